//! What pulls the player for a card: the thread that fills the ring, evenly and ahead of the callbacks, or, where that
//! thread is late, the callback that found too little.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtrb::Producer;
use silentmon_playback_core::player::Player;
use silentmon_proto::time::Instant;

use super::ahead::Ahead;
use super::callback::Frame;
use super::lead::Change;
use crate::clock;
use crate::sink::length;

/// Pulled at once: 2.5 ms, so that whoever brings packets never waits for the player for long, and none of them misses its
/// time because more than is needed was pulled.
const TICKS_PER_SECOND: u32 = 400;
/// Louder than this, of full scale, is no pause.
const QUIET: f32 = 0.004;

/// A supply that the feeding thread and the callbacks share.
pub(super) type SharedSupply = Arc<Mutex<Supply>>;

/// The end of the ring that frames are put into.
pub(super) struct Supply {
    ring: Producer<Frame>,
    tick: Vec<Frame>,
    sample_rate: u32,
    ahead: Ahead,
    /// Frames pulled, all of which went into the ring.
    frames: u64,
    /// The frame behind the last that wasn't quiet.
    quiet_from: u64,
}

impl Supply {
    pub(super) fn new(ring: Producer<Frame>, sample_rate: u32) -> Self {
        Self {
            ring,
            tick: vec![[0.0; 2]; (sample_rate / TICKS_PER_SECOND) as usize],
            sample_rate,
            ahead: Ahead::default(),
            frames: 0,
            quiet_from: 0,
        }
    }

    /// Frames pulled.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Mean time from pulling a frame to hearing it.
    pub(super) fn ahead(&self) -> Duration {
        self.ahead.mean()
    }

    /// From now on more is kept ready, or less.
    pub(super) fn follow(&mut self, change: Change) {
        self.ahead.follow(change);
    }

    /// How long the newest frames have been quiet.
    pub(super) fn quiet(&self) -> Duration {
        length(self.frames - self.quiet_from, self.sample_rate)
    }

    /// How long the sound lasts that waits where the card has taken so many frames.
    pub(super) fn held(&self, taken: u64) -> Duration {
        length(self.frames.saturating_sub(taken), self.sample_rate)
    }

    /// How long what is pulled at once lasts.
    pub(super) fn tick_length(&self) -> Duration {
        length(self.tick.len() as u64, self.sample_rate)
    }

    /// Pulls once; false where the ring has no room. The ring's very first frame is heard at `origin`. The first pull may
    /// allocate, those after it don't.
    pub(super) fn pull(&mut self, player: &mut Player, origin: Instant) -> bool {
        if self.ring.slots() < self.tick.len() {
            return false;
        }
        let heard = origin + length(self.frames, self.sample_rate);
        player.set_sample_rate(self.sample_rate);
        player.pull(self.ahead.time(clock::now(), heard), &mut self.tick);
        self.frames += self.tick.len() as u64;
        if self.tick.iter().flatten().any(|sample| sample.abs() > QUIET) {
            self.quiet_from = self.frames;
        }
        for frame in &self.tick {
            // There is room, and nobody else puts anything there.
            let _ = self.ring.push(*frame);
        }
        true
    }

    /// Frames as if they had been pulled.
    #[cfg(test)]
    pub(super) fn put(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.frames += u64::from(self.ring.push(*frame).is_ok());
        }
    }
}

//! One session's sound: two legs in, one stereo signal out, agent left, customer right, 16 bit at 8 kHz.
//!
//! Sans-IO: packets are handed in with the time they came, samples are pulled by whoever has a clock to play them.

use std::time::Duration;

use silentmon_proto::ids;
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::rtp;
use silentmon_proto::time::Instant;

use crate::leg::{Arrival, Leg};
use crate::mix::{Levels, MixSettings, Mixer};
use crate::playout::TICK;
use crate::quality::Concealment;
use crate::report::LegReport;
use crate::schedule::{ArrivalClock, difference};
use crate::units::{count, duration, samples, samples_from_nanos, span};

/// Frames per second handed out.
pub const SAMPLE_RATE: u32 = 8000;

/// A sample of 16 bit that is one beyond full scale.
pub const FULL_SCALE: f32 = 32768.0;

/// A sample as 16 bit: those that a decoder gave, and nothing changed, come back exactly.
#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
pub fn to_i16(sample: f32) -> i16 {
    (sample * FULL_SCALE).round() as i16
}

/// How long packets wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutSettings {
    /// Target: from the fastest possible arrival of a packet to its first sample.
    pub delay: Duration,
    /// Beyond this, sound is left out at once rather than in the next pause.
    pub max_delay: Duration,
    /// What fills the gaps that loss leaves. Undamaged sound is never touched.
    pub concealment: Concealment,
}

impl Default for PlayoutSettings {
    /// 60 ms, at most 300 ms, concealed.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(60),
            max_delay: Duration::from_millis(300),
            concealment: Concealment::Concealed,
        }
    }
}

/// The player of one session.
///
/// The time handed in must come from one clock and not run backwards. After construction nothing is allocated.
#[derive(Debug)]
pub struct Player {
    legs: [Leg; 2],
    clock: ArrivalClock,
    mixer: Mixer,
    /// When the player was first spoken to.
    epoch: Option<Instant>,
    /// When the first frame of `tick` plays; `None` before the first.
    tick_at: Option<Instant>,
    tick: [[f32; 2]; TICK],
    /// Frames of `tick` handed out.
    taken: usize,
}

impl Player {
    /// A player that has heard nothing yet.
    pub fn new(settings: PlayoutSettings) -> Self {
        Self {
            legs: [Leg::new(settings), Leg::new(settings)],
            clock: ArrivalClock::new(),
            mixer: Mixer::new(SAMPLE_RATE),
            epoch: None,
            tick_at: None,
            tick: [[0.0; 2]; TICK],
            taken: TICK,
        }
    }

    /// Changes how the legs are mixed.
    pub fn set_mix(&mut self, settings: MixSettings) {
        self.mixer.set(settings);
    }

    /// How loud both legs are.
    pub fn levels(&self) -> Levels {
        self.mixer.levels()
    }

    /// Takes an audio datagram of the relay that came at `now`: its header, and the RTP bytes behind it.
    pub fn handle_packet(&mut self, now: Instant, header: &AudioHeader, bytes: &[u8]) {
        self.leg(header.leg).handle_relay_sequence(header.relay_sequence);
        match header.kind {
            AudioKind::Rtp => self.handle_rtp(now, header.leg, header.captured, bytes),
            AudioKind::Suppressed => self.handle_suppressed(now, header.leg, header.captured, bytes),
        }
    }

    fn handle_rtp(&mut self, now: Instant, leg: ids::Leg, captured: Instant, bytes: &[u8]) {
        let position = self.position(now, leg);
        let Ok(packet) = rtp::parse(bytes) else {
            return self.leg(leg).count_dropped();
        };
        self.clock.observe(now, captured);
        let arrival = Arrival {
            now,
            captured,
            position,
        };
        let [agent, customer] = &mut self.legs;
        let target = match leg {
            ids::Leg::Agent => agent,
            ids::Leg::Customer => customer,
        };
        target.handle_packet(arrival, &mut self.clock, &packet);
    }

    /// The header of an event packet (RFC 4733) that the capture server kept back is silence, not loss.
    fn handle_suppressed(&mut self, now: Instant, leg: ids::Leg, captured: Instant, bytes: &[u8]) {
        self.epoch.get_or_insert(now);
        match rtp::parse(bytes) {
            Ok(packet) => {
                self.clock.observe(now, captured);
                self.leg(leg).handle_suppressed(&packet);
            }
            Err(_) => self.leg(leg).count_dropped(),
        }
    }

    /// Writes the next frames (left, right; full scale ±1), the first of which plays at `now`. To be called every 10 ms
    /// or oftener.
    pub fn pull(&mut self, now: Instant, out: &mut [[f32; 2]]) {
        self.begin(now);
        let mut at = now;
        let mut rest = out;
        while !rest.is_empty() {
            if self.taken == TICK {
                self.render(at);
            }
            let ready = self.tick.get(self.taken..).unwrap_or_default();
            let length = ready.len().min(rest.len());
            let (target, after) = rest.split_at_mut(length);
            target.copy_from_slice(ready.get(..length).unwrap_or_default());
            self.taken += length;
            at += duration(length as u64);
            rest = after;
        }
    }

    /// How long the sound lasts that already waits: what is still to be pulled when no packet comes any more.
    pub fn buffered(&self) -> Duration {
        let waiting = |leg: &Leg| count(leg.playout.end() - leg.playout.cursor());
        let longest = self.legs.iter().map(waiting).max().unwrap_or(0);
        duration((longest + TICK - self.taken) as u64)
    }

    /// What became of a leg's packets so far.
    pub fn report(&self, leg: ids::Leg) -> LegReport {
        let [agent, customer] = &self.legs;
        match leg {
            ids::Leg::Agent => agent.report(),
            ids::Leg::Customer => customer.report(),
        }
    }

    fn leg(&mut self, leg: ids::Leg) -> &mut Leg {
        let [agent, customer] = &mut self.legs;
        match leg {
            ids::Leg::Agent => agent,
            ids::Leg::Customer => customer,
        }
    }

    /// Lets the time between the first packet and the first pull pass.
    fn begin(&mut self, now: Instant) {
        if self.tick_at.is_some() {
            return;
        }
        let epoch = *self.epoch.get_or_insert(now);
        for leg in &mut self.legs {
            leg.playout.advance(samples(now.saturating_since(epoch)));
        }
        self.tick_at = Some(now);
    }

    fn render(&mut self, at: Instant) {
        let [agent, customer] = &mut self.legs;
        let mut left = [0; TICK];
        let mut right = [0; TICK];
        agent.render(at, &mut left);
        customer.render(at, &mut right);
        let [left, right] = [left, right].map(|leg| leg.map(|sample| f32::from(sample) / FULL_SCALE));
        self.mixer.mix(&left, &right, &mut self.tick);
        self.tick_at = Some(at);
        self.taken = 0;
    }

    /// The place on a leg's time line that plays at `now`: between two pulls the card goes on.
    fn position(&mut self, now: Instant, leg: ids::Leg) -> i64 {
        let epoch = *self.epoch.get_or_insert(now);
        let cursor = self.leg(leg).playout.cursor();
        match self.tick_at {
            None => cursor + samples(now.saturating_since(epoch)),
            Some(at) => {
                let elapsed = samples_from_nanos(difference(now, at)).clamp(0, span(TICK));
                cursor - span(TICK) + elapsed
            }
        }
    }
}

//! The frames of a burst, made from a pattern: only number, time and checksums change.

use silentmon_proto::time::Instant;

use crate::check::CheckId;
use crate::frame::{self, Ends};
use crate::plan::BurstPlan;
use crate::wire::{self, SessionId};

/// What makes the frames of a burst.
#[derive(Debug, Clone)]
pub struct BurstFrames {
    pattern: Vec<u8>,
    payload: usize,
    session: SessionId,
    round: u8,
    /// How many, and how fast.
    pub plan: BurstPlan,
}

impl BurstFrames {
    pub(crate) fn new(ends: Ends, session: SessionId, round: u8, plan: BurstPlan) -> Self {
        let header = frame::header(session, CheckId::Burst, round, 0, Instant::EPOCH);
        let shape = CheckId::Burst.shape(0);
        Self {
            pattern: shape
                .map(|shape| frame::probe(ends, &shape, &header))
                .unwrap_or_default(),
            payload: shape.map_or(0, |shape| frame::payload_offset(&shape)),
            session,
            round,
            plan,
        }
    }

    /// Length of each frame in bytes.
    pub fn length(&self) -> usize {
        self.pattern.len()
    }

    /// Room for this many frames, to be filled by [`Self::fill`].
    pub fn room(&self, frames: usize) -> Vec<u8> {
        self.pattern.repeat(frames)
    }

    /// Makes the frames in `room`, one after the other, the ones numbered from `first` on, sent now.
    pub fn fill(&self, room: &mut [u8], first: u32, now: Instant) {
        for (sequence, frame) in (first..).zip(room.chunks_exact_mut(self.length().max(1))) {
            let header = frame::header(self.session, CheckId::Burst, self.round, sequence, now);
            if let Some(payload) = frame.get_mut(self.payload..) {
                wire::seal(payload, &header);
            }
        }
    }
}

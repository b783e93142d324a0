//! Packets that wait to be played, ordered by the place on the leg's time line where their first sample belongs.
//!
//! Payloads stay encoded until they are played: a codec with a memory needs them in order. All memory is taken at the start.

use std::collections::VecDeque;

use silentmon_proto::time::Instant;

use crate::decoder::Decoder;
use crate::units::span;

/// Most packets that wait at once: 1.28 s at 10 ms a packet.
const CAPACITY: usize = 128;
/// Longest payload taken: what fits an Ethernet frame.
pub(crate) const MAX_PAYLOAD: usize = 1500;

/// A packet on the time line.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Where its first sample belongs.
    pub(crate) at: i64,
    /// How many samples it holds.
    pub(crate) samples: usize,
    /// Which stretch of continuous time stamps it belongs to.
    pub(crate) generation: u32,
    /// Its sequence number without the wrap.
    pub(crate) sequence: i64,
    /// Which run of sequence numbers that is.
    pub(crate) run: u32,
    /// When it was captured, by the local clock.
    pub(crate) captured: Instant,
    /// What decodes it.
    pub(crate) decoder: Decoder,
    /// Its payload.
    pub(crate) payload: Vec<u8>,
}

impl Waiting {
    /// Where the sample after its last belongs.
    pub(crate) fn end(&self) -> i64 {
        self.at + span(self.samples)
    }
}

/// The packets that wait.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    waiting: VecDeque<Waiting>,
    spare: Vec<Vec<u8>>,
}

impl JitterBuffer {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(CAPACITY),
            spare: (0..CAPACITY).map(|_| Vec::with_capacity(MAX_PAYLOAD)).collect(),
        }
    }

    /// Memory for a payload; `None` where as many packets wait as may, or the payload is too long.
    pub(crate) fn store(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.len() > MAX_PAYLOAD {
            return None;
        }
        let mut memory = self.spare.pop()?;
        memory.extend_from_slice(payload);
        Some(memory)
    }

    /// Takes back the memory of a payload.
    pub(crate) fn recycle(&mut self, mut payload: Vec<u8>) {
        payload.clear();
        self.spare.push(payload);
    }

    pub(crate) fn insert(&mut self, packet: Waiting) {
        let place = self
            .waiting
            .partition_point(|other| (other.at, other.sequence) < (packet.at, packet.sequence));
        self.waiting.insert(place, packet);
    }

    /// The packet to be played next.
    pub(crate) fn front(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Where the last sample that waits ends.
    pub(crate) fn end(&self) -> Option<i64> {
        self.waiting.iter().map(Waiting::end).max()
    }

    /// Throws away what belongs at `from` or later.
    pub(crate) fn truncate(&mut self, from: i64) {
        while self.waiting.back().is_some_and(|packet| packet.at >= from) {
            if let Some(packet) = self.waiting.pop_back() {
                self.recycle(packet.payload);
            }
        }
    }
}

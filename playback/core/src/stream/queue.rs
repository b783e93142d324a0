//! Packets of a codec with a memory: they wait undecoded, because it needs them in order.

use super::MAX_PAYLOAD;

/// Most packets that wait at once: 2.5 s at 20 ms a packet.
const CAPACITY: usize = 128;

#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) sequence: i64,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) payload: Vec<u8>,
}

/// Ordered by sequence number. Takes its memory with the first packet.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Vec<Queued>,
    spare: Vec<Vec<u8>>,
    /// The packet decoded last: its number, and the place behind its last sample.
    decoded: Option<(i64, i64)>,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            spare: Vec::new(),
            decoded: None,
        }
    }

    pub(crate) fn clear(&mut self) {
        while let Some(packet) = self.waiting.pop() {
            self.recycle(packet.payload);
        }
        self.decoded = None;
    }

    /// Takes a packet; `false` where it comes after one that is decoded, is too long, or too many wait.
    pub(crate) fn insert(&mut self, sequence: i64, start: i64, end: i64, bytes: &[u8]) -> bool {
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(CAPACITY);
            self.spare
                .extend((0..CAPACITY).map(|_| Vec::with_capacity(MAX_PAYLOAD)));
        }
        let passed = self.decoded.is_some_and(|(decoded, _)| sequence <= decoded);
        let place = self.waiting.partition_point(|packet| packet.sequence < sequence);
        let again = self
            .waiting
            .get(place)
            .is_some_and(|packet| packet.sequence == sequence);
        if passed || again || bytes.len() > MAX_PAYLOAD {
            return false;
        }
        let Some(mut payload) = self.spare.pop() else {
            return false;
        };
        payload.extend_from_slice(bytes);
        self.waiting.insert(
            place,
            Queued {
                sequence,
                start,
                end,
                payload,
            },
        );
        true
    }

    pub(crate) fn front(&self) -> Option<&Queued> {
        self.waiting.first()
    }

    pub(crate) const fn decoded(&self) -> Option<(i64, i64)> {
        self.decoded
    }

    /// Takes the first packet out, as decoded next; `recycle` its payload afterwards.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        if self.waiting.is_empty() {
            return None;
        }
        let packet = self.waiting.remove(0);
        self.decoded = Some((packet.sequence, packet.end));
        Some(packet)
    }

    pub(crate) fn recycle(&mut self, mut payload: Vec<u8>) {
        // It may lie unused for long: nothing of a call stays in it.
        payload.fill(0);
        payload.clear();
        self.spare.push(payload);
    }

    /// Behind the last sample that waits.
    pub(crate) fn end(&self) -> Option<i64> {
        self.waiting.iter().map(|packet| packet.end).max()
    }
}

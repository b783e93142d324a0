//! The byte streams of TCP, put together as far as a listener can: in order, each byte once, within bounds.
//!
//! A listener joins in the middle and misses segments, and nobody sends them again for him. So a gap that isn't filled
//! soon is skipped, and reading goes on at the next message that begins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::time::Instant;

/// Flows at a time; a new one displaces the one that was silent longest.
const MOST_FLOWS: usize = 8_192;
/// Bytes of a message whose end hasn't come: the largest SIP message, and then some.
const MOST_BYTES: usize = 80 * 1024;
/// Segments that wait for one before them, and how many bytes they may have together.
const MOST_EARLY: usize = 32;
const MOST_EARLY_BYTES: usize = 64 * 1024;
/// How long they wait: a sender repeats a lost segment well within.
const GAP: Duration = Duration::from_secs(2);
/// A flow this silent is forgotten; what comes after it is joined as in the middle.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// A segment this far from what is expected belongs to another connection between the same ports.
const WINDOW: u32 = 1 << 22;

/// How a protocol marks its messages in a byte stream.
#[derive(Clone, Copy)]
pub(super) struct Framing {
    /// Length of the message the bytes begin with; `Ok(None)`: more bytes must come; `Err`: there is none.
    pub length: fn(&[u8]) -> Result<Option<usize>, ()>,
    /// Where the next message begins.
    pub find_start: fn(&[u8]) -> Option<usize>,
}

/// A segment of a byte stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub sequence: u32,
    pub opens: bool,
    pub closes: bool,
    pub bytes: &'a [u8],
}

/// One direction of a connection: from whom, to whom.
pub(super) type FlowKey = (SocketAddr, SocketAddr);

/// The flows that are read.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: HashMap<FlowKey, Flow>,
}

#[derive(Debug)]
struct Flow {
    /// Number of the byte that comes next.
    next: u32,
    /// Bytes in order, from the start of a message on; while `lost`, from anywhere on.
    bytes: Vec<u8>,
    /// Whether the start of a message must be found first.
    lost: bool,
    /// Segments that came before others, by distance from `next` when kept as absolute numbers.
    early: BTreeMap<u32, Vec<u8>>,
    early_bytes: usize,
    /// Since when there is a gap.
    gap: Option<Instant>,
    last: Instant,
}

impl Flow {
    fn joined(next: u32, lost: bool, now: Instant) -> Self {
        Self {
            next,
            bytes: Vec::new(),
            lost,
            early: BTreeMap::new(),
            early_bytes: 0,
            gap: None,
            last: now,
        }
    }

    fn add(&mut self, piece: &Piece<'_>, now: Instant) {
        self.last = now;
        self.take(piece.sequence, piece.bytes, now);
        self.take_early(now);
        let full = self.early.len() > MOST_EARLY || self.early_bytes > MOST_EARLY_BYTES;
        if full || self.gap.is_some_and(|since| now - since > GAP) {
            self.skip_gap();
            self.take_early(now);
        }
    }

    fn take(&mut self, sequence: u32, bytes: &[u8], now: Instant) {
        let ahead = sequence.wrapping_sub(self.next);
        let behind = self.next.wrapping_sub(sequence);
        if ahead == 0 || behind < WINDOW {
            let known = usize::try_from(behind).unwrap_or(usize::MAX);
            if let Some(new) = bytes.get(known..) {
                self.append(new);
            }
        } else if ahead < WINDOW {
            if !bytes.is_empty() && !self.early.contains_key(&sequence) {
                self.early_bytes += bytes.len();
                self.early.insert(sequence, bytes.to_vec());
                self.gap.get_or_insert(now);
            }
        } else {
            *self = Self::joined(sequence, true, now);
            self.append(bytes);
        }
    }

    fn append(&mut self, new: &[u8]) {
        self.bytes.extend_from_slice(new);
        self.next = self.next.wrapping_add(u32::try_from(new.len()).unwrap_or(0));
    }

    /// The nearest segment that was kept, by its distance: numbers wrap.
    fn nearest(&self) -> Option<u32> {
        let distance = |sequence: &&u32| {
            let ahead = sequence.wrapping_sub(self.next);
            if ahead < WINDOW { ahead } else { 0 }
        };
        self.early.keys().min_by_key(distance).copied()
    }

    fn take_early(&mut self, now: Instant) {
        while let Some(sequence) = self.nearest() {
            let ahead = sequence.wrapping_sub(self.next);
            if ahead != 0 && ahead < WINDOW {
                return;
            }
            let bytes = self.early.remove(&sequence).unwrap_or_default();
            self.early_bytes -= bytes.len();
            self.take(sequence, &bytes, now);
        }
        self.gap = None;
    }

    fn skip_gap(&mut self) {
        if let Some(sequence) = self.nearest() {
            self.next = sequence;
            self.bytes.clear();
            self.lost = true;
        }
        self.gap = None;
    }

    /// Hands over the messages that are whole.
    fn drain(&mut self, framing: Framing, mut on_message: impl FnMut(&[u8])) {
        let mut done = 0;
        while let Some(rest) = self.bytes.get(done..).filter(|rest| !rest.is_empty()) {
            if self.lost {
                match (framing.find_start)(rest) {
                    Some(start) => done += start,
                    None => break,
                }
                self.lost = false;
                continue;
            }
            match (framing.length)(rest) {
                Ok(Some(length)) if length > 0 => {
                    on_message(rest.get(..length).unwrap_or(rest));
                    done += length;
                }
                Ok(_) => break,
                Err(()) => {
                    self.lost = true;
                    done += 1;
                }
            }
        }
        self.bytes.drain(..done.min(self.bytes.len()));
        if self.bytes.len() > MOST_BYTES {
            self.bytes.clear();
            self.lost = true;
        } else if self.lost {
            self.forget_all_but_a_beginning();
        }
    }

    /// While the start of a message is looked for, only a line or header that isn't whole yet may hold it.
    fn forget_all_but_a_beginning(&mut self) {
        const BEGINNING: usize = 1024;
        let surplus = self.bytes.len().saturating_sub(BEGINNING);
        self.bytes.drain(..surplus);
    }
}

impl Flows {
    /// Takes a segment and hands over the messages it completes.
    pub(super) fn handle(
        &mut self,
        key: FlowKey,
        piece: &Piece<'_>,
        framing: Framing,
        now: Instant,
        on_message: impl FnMut(&[u8]),
    ) {
        if piece.opens {
            self.make_room(key);
            let first = piece.sequence.wrapping_add(1);
            self.flows.insert(key, Flow::joined(first, false, now));
            return;
        }
        if !piece.bytes.is_empty() {
            self.make_room(key);
            let joined = || Flow::joined(piece.sequence, true, now);
            let flow = self.flows.entry(key).or_insert_with(joined);
            flow.add(piece, now);
            flow.drain(framing, on_message);
        }
        if piece.closes {
            self.flows.remove(&key);
        }
    }

    /// Forgets what was silent too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.flows.retain(|_, flow| now - flow.last < IDLE);
    }

    fn make_room(&mut self, key: FlowKey) {
        if self.flows.len() < MOST_FLOWS || self.flows.contains_key(&key) {
            return;
        }
        let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.last).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.flows.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;

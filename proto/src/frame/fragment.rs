//! Reassembly of IP fragments (RFC 791, RFC 8200 section 4.5), bounded in datagrams, bytes, pieces and time.
//!
//! A piece already held is ignored, so the copies of a mirror do no harm. Pieces that overlap otherwise condemn their
//! datagram (RFC 5722, here for IPv4 too): there is no telling which of two versions the receiver took.

use std::time::Duration;

use super::Rejected;
use super::walk::{Layer, Next, Path, Walk};
use crate::time::Instant;

/// How much a [`FrameReader`](super::FrameReader) keeps while it waits for fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Most datagrams in reassembly; a new one beyond that displaces the oldest.
    pub datagrams: usize,
    /// Most bytes of fragments held for all of them together.
    pub bytes: usize,
    /// Most bytes of one datagram's payload; IP allows 65,535.
    pub datagram_bytes: usize,
    /// Most fragments of one datagram.
    pub pieces: u16,
    /// How long, in capture time, the first fragment waits for the last.
    pub timeout: Duration,
}

impl Default for FrameLimits {
    /// 256 datagrams, 4 MiB, 65,535 bytes and 128 fragments each, 5 seconds.
    fn default() -> Self {
        Self {
            datagrams: 256,
            bytes: 4 << 20,
            datagram_bytes: 65_535,
            pieces: 128,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What became of fragmented datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FragmentCounters {
    /// Datagrams put together.
    pub reassembled: u64,
    /// Datagrams given up because a fragment didn't come in time.
    pub timed_out: u64,
    /// Datagrams given up to make room for newer ones.
    pub displaced: u64,
    /// Datagrams given up because their fragments contradict each other or exceed a limit.
    pub condemned: u64,
}

/// What its header tells about a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub identification: u32,
    /// Protocol number of what is fragmented; of IPv6 only the first fragment's counts.
    pub protocol: u8,
    /// Position in the datagram's payload, in bytes.
    pub offset: u16,
    pub more: bool,
}

impl Piece {
    /// What isn't fragmented.
    pub const WHOLE: Self = Self {
        identification: 0,
        protocol: 0,
        offset: 0,
        more: false,
    };
}

/// A fragment as the walk through its frame found it.
pub(super) struct Fragment<'a> {
    pub path: &'a Path,
    pub payload: &'a [u8],
}

impl Fragment<'_> {
    /// First byte and the one after the last, in the datagram's payload.
    fn range(&self) -> (usize, usize) {
        let start = usize::from(self.path.piece.offset);
        (start, start + self.payload.len())
    }

    /// Same addresses, identification and protocol (RFC 791 section 2.3), on the same VLANs and in the same kind of
    /// tunnel: a mirror shows one datagram on several.
    fn belongs_to(&self, pending: &Pending) -> bool {
        let same_protocol = self.path.source.is_ipv6() || self.path.piece.protocol == pending.protocol;
        pending.identification == self.path.piece.identification
            && same_protocol
            && pending.path.source == self.path.source
            && pending.path.destination == self.path.destination
            && pending.path.vlan == self.path.vlan
            && pending.path.tunnel == self.path.tunnel
    }
}

/// Buffers larger than this are given back to the allocator once their datagram is done with.
const KEPT_CAPACITY: usize = 4096;

/// A datagram some fragments of which have arrived.
#[derive(Debug)]
struct Pending {
    path: Path,
    identification: u32,
    protocol: u8,
    state: State,
    first_seen: Instant,
    payload: Vec<u8>,
    /// Ranges of `payload` that have arrived: ascending, apart from each other.
    arrived: Vec<(usize, usize)>,
    /// Length of the whole payload, once the last fragment told it.
    length: Option<usize>,
    pieces: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not in use; its buffers wait for the next datagram.
    Free,
    Open,
    /// Given up, remembered until time-out so that its later fragments don't begin it anew.
    Condemned,
}

enum Insertion {
    Pending,
    Whole,
    Contradiction,
}

impl Pending {
    fn new(fragment: &Fragment<'_>) -> Self {
        Self {
            path: *fragment.path,
            identification: fragment.path.piece.identification,
            protocol: fragment.path.piece.protocol,
            state: State::Open,
            first_seen: fragment.path.captured,
            payload: Vec::new(),
            arrived: Vec::new(),
            length: None,
            pieces: 0,
        }
    }

    /// Begins another datagram with the buffers of the last.
    fn reuse(&mut self, fragment: &Fragment<'_>) {
        let fresh = Self {
            payload: std::mem::take(&mut self.payload),
            arrived: std::mem::take(&mut self.arrived),
            ..Self::new(fragment)
        };
        *self = fresh;
    }

    fn close(&mut self, state: State) {
        self.state = state;
        self.payload.clear();
        self.payload.shrink_to(KEPT_CAPACITY);
        self.arrived.clear();
    }

    fn insert(&mut self, fragment: &Fragment<'_>, limits: &FrameLimits) -> Insertion {
        let (start, end) = fragment.range();
        let odd =
            fragment.path.piece.more && (fragment.payload.is_empty() || !fragment.payload.len().is_multiple_of(8));
        let beyond = self.length.is_some_and(|length| end > length) || end > limits.datagram_bytes;
        let moved_end = !fragment.path.piece.more
            && (self.length.is_some_and(|length| length != end)
                || self.arrived.last().is_some_and(|last| last.1 > end));
        self.pieces = self.pieces.saturating_add(1);
        if odd || beyond || moved_end || self.pieces > limits.pieces {
            return Insertion::Contradiction;
        }
        if !fragment.path.piece.more {
            self.length = Some(end);
        }
        if start == 0 {
            self.protocol = fragment.path.piece.protocol;
        }
        match self.place(start, end) {
            Place::Held => {}
            Place::Overlap => return Insertion::Contradiction,
            Place::Free => self.copy(start, end, fragment.payload),
        }
        match (self.length, self.arrived.as_slice()) {
            (Some(length), [(0, end)]) if *end == length => Insertion::Whole,
            _ => Insertion::Pending,
        }
    }

    fn place(&self, start: usize, end: usize) -> Place {
        let touching = |&(from, to): &(usize, usize)| from < end && start < to;
        match self.arrived.iter().copied().find(touching) {
            None => Place::Free,
            Some((from, to)) if from <= start && end <= to => Place::Held,
            Some(_) => Place::Overlap,
        }
    }

    fn copy(&mut self, start: usize, end: usize, bytes: &[u8]) {
        if self.payload.len() < end {
            self.payload.resize(end, 0);
        }
        if let Some(room) = self.payload.get_mut(start..end) {
            room.copy_from_slice(bytes);
        }
        let at = self.arrived.partition_point(|run| run.0 < start);
        self.arrived.insert(at, (start, end));
        self.arrived.dedup_by(|later, earlier| {
            let joined = earlier.1 == later.0;
            if joined {
                earlier.1 = later.1;
            }
            joined
        });
    }
}

enum Place {
    Free,
    Held,
    Overlap,
}

/// The fragmented datagrams that wait for the rest of themselves.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    limits: FrameLimits,
    pending: Vec<Pending>,
    counters: FragmentCounters,
}

impl Reassembly {
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    pub const fn counters(&self) -> FragmentCounters {
        self.counters
    }

    /// Adds a fragment. The one that completes its datagram puts it into `whole` and yields the walk on through it.
    #[cold]
    pub fn add<'a>(&mut self, fragment: &Fragment<'_>, whole: &'a mut Vec<u8>) -> Result<Walk<'a>, Rejected> {
        self.expire(fragment.path.captured);
        let (_, end) = fragment.range();
        if end > self.limits.bytes {
            return Err(Rejected::FragmentDropped);
        }
        self.make_room(end);
        let limits = self.limits;
        let Some(pending) = self.slot_for(fragment) else {
            return Err(Rejected::FragmentDropped);
        };
        if pending.state == State::Condemned {
            return Err(Rejected::FragmentDropped);
        }
        match pending.insert(fragment, &limits) {
            Insertion::Pending => Err(Rejected::FragmentPending),
            Insertion::Contradiction => {
                pending.close(State::Condemned);
                self.counters.condemned += 1;
                Err(Rejected::FragmentDropped)
            }
            Insertion::Whole => {
                std::mem::swap(&mut pending.payload, whole);
                let layer = Layer::Payload(pending.protocol);
                pending.close(State::Free);
                self.counters.reassembled += 1;
                Ok(Walk::on(*fragment.path, Next::new(layer, whole)))
            }
        }
    }

    /// Gives up what waited too long. Capture time that jumps back (files put together) makes everything too old.
    fn expire(&mut self, now: Instant) {
        let timeout = self.limits.timeout;
        let open_or_condemned = self.pending.iter_mut().filter(|pending| pending.state != State::Free);
        for pending in open_or_condemned {
            let waited = now.saturating_since(pending.first_seen) + pending.first_seen.saturating_since(now);
            if waited > timeout {
                self.counters.timed_out += u64::from(pending.state == State::Open);
                pending.close(State::Free);
            }
        }
    }

    fn make_room(&mut self, bytes: usize) {
        while self.held_bytes() + bytes > self.limits.bytes {
            if !self.displace_oldest() {
                return;
            }
        }
    }

    fn held_bytes(&self) -> usize {
        self.pending.iter().map(|pending| pending.payload.len()).sum()
    }

    fn displace_oldest(&mut self) -> bool {
        let in_use = self.pending.iter_mut().filter(|pending| pending.state != State::Free);
        let Some(oldest) = in_use.min_by_key(|pending| pending.first_seen) else {
            return false;
        };
        self.counters.displaced += u64::from(oldest.state == State::Open);
        oldest.close(State::Free);
        true
    }

    /// The datagram the fragment belongs to, or a free place that it begins in.
    fn slot_for(&mut self, fragment: &Fragment<'_>) -> Option<&mut Pending> {
        let known = |pending: &Pending| pending.state != State::Free && fragment.belongs_to(pending);
        if let Some(index) = self.pending.iter().position(known) {
            return self.pending.get_mut(index);
        }
        if self.pending.len() < self.limits.datagrams && !self.pending.iter().any(is_free) {
            self.pending.push(Pending::new(fragment));
            return self.pending.last_mut();
        }
        if !self.pending.iter().any(is_free) && !self.displace_oldest() {
            return None;
        }
        let free = self.pending.iter_mut().find(|pending| is_free(pending))?;
        free.reuse(fragment);
        Some(free)
    }
}

fn is_free(pending: &Pending) -> bool {
    pending.state == State::Free
}

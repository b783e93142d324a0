//! What else was seen between two addresses: STUN, DTLS, RTCP or RTP beside a lone packet make it credible, anything
//! else makes it doubtful.
//!
//! A cache, not a table: of fixed size, it may forget but never grows.

use std::hash::{BuildHasher, Hash};
use std::net::SocketAddr;

use foldhash::fast::FixedState;

const ENTRIES: usize = 1 << 14;

/// Kinds of traffic seen beside RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours(u8);

impl Neighbours {
    /// STUN or TURN.
    pub const STUN: Self = Self(1);
    /// DTLS, so that the media are SRTP (RFC 5764).
    pub const DTLS: Self = Self(2);
    /// RTCP.
    pub const RTCP: Self = Self(4);
    /// A valid RTP stream.
    pub const RTP: Self = Self(8);
    /// Something that has no place beside RTP.
    pub const FOREIGN: Self = Self(16);

    /// Whether any of the other's kinds is among these.
    pub const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Remembers the neighbours of recent pairs of addresses.
#[derive(Debug)]
pub struct NeighbourCache {
    hasher: FixedState,
    entries: Vec<(u32, Neighbours)>,
}

impl NeighbourCache {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            hasher: FixedState::default(),
            entries: vec![(0, Neighbours::default()); ENTRIES],
        }
    }

    /// Notes traffic between two addresses, in either direction.
    pub fn note(&mut self, one: SocketAddr, other: SocketAddr, kind: Neighbours) {
        let (index, tag) = self.place(one, other);
        if let Some(entry) = self.entries.get_mut(index) {
            let known = if entry.0 == tag { entry.1 } else { Neighbours::default() };
            *entry = (tag, known.and(kind));
        }
    }

    /// What was seen between two addresses.
    pub fn between(&self, one: SocketAddr, other: SocketAddr) -> Neighbours {
        let (index, tag) = self.place(one, other);
        match self.entries.get(index) {
            Some(&(known, kinds)) if known == tag => kinds,
            _ => Neighbours::default(),
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn place(&self, one: SocketAddr, other: SocketAddr) -> (usize, u32) {
        let pair = if one <= other { (one, other) } else { (other, one) };
        let hash = self.hasher.hash_one(Pair(pair.0, pair.1));
        (hash as usize % ENTRIES, (hash >> 32) as u32)
    }
}

#[derive(Hash)]
struct Pair(SocketAddr, SocketAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_both_directions_of_a_pair_and_no_other() {
        let [a, b, c] = ["10.0.0.1:5000", "10.0.0.2:6000", "10.0.0.2:6002"].map(|text| text.parse().expect("address"));
        let mut cache = NeighbourCache::new();
        cache.note(a, b, Neighbours::STUN);
        cache.note(b, a, Neighbours::DTLS);
        assert!(cache.between(a, b).any_of(Neighbours::STUN));
        assert!(cache.between(b, a).any_of(Neighbours::DTLS));
        assert!(!cache.between(a, b).any_of(Neighbours::FOREIGN));
        assert_eq!(cache.between(a, c), Neighbours::default());
    }
}

//! The last few packets of a stream by fingerprint: how copies of it on another VLAN are recognised.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use silentmon_proto::ids::{RtpTimestamp, SequenceNumber};

use silentmon_proto::rtp::Packet;

/// Packets remembered: 160 ms at 20 ms, more than any path through a router takes.
pub const REMEMBERED: usize = 8;

/// A packet by its number and a hash of timestamp, payload type and payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    hash: u32,
    timestamp: u32,
    sequence: u16,
}

impl Fingerprint {
    /// The fingerprint of a packet.
    #[allow(clippy::cast_possible_truncation)]
    pub fn of(packet: &Packet<'_>) -> Self {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(packet.payload);
        hasher.write_u8(packet.payload_type.0);
        Self {
            hash: hasher.finish() as u32,
            timestamp: packet.timestamp.0,
            sequence: packet.sequence.0,
        }
    }

    /// The packet's sequence number.
    pub const fn sequence(self) -> SequenceNumber {
        SequenceNumber(self.sequence)
    }

    /// The packet's timestamp.
    pub const fn timestamp(self) -> RtpTimestamp {
        RtpTimestamp(self.timestamp)
    }
}

/// The last packets of a stream, oldest overwritten first.
#[derive(Debug, Clone, Copy)]
pub struct Recent {
    prints: [Fingerprint; REMEMBERED],
    next: u8,
}

impl Recent {
    /// Starts with the first packet.
    pub const fn new(first: Fingerprint) -> Self {
        Self {
            prints: [first; REMEMBERED],
            next: 1,
        }
    }

    /// Remembers a packet.
    pub fn push(&mut self, print: Fingerprint) {
        let next = usize::from(self.next);
        if let Some(place) = self.prints.get_mut(next) {
            *place = print;
        }
        self.next = if next + 1 < REMEMBERED { self.next + 1 } else { 0 };
    }

    /// Whether this very packet is among the last ones.
    pub fn contains(&self, print: Fingerprint) -> bool {
        self.prints.contains(&print)
    }

    /// The first packets, as long as none is overwritten.
    pub fn first(&self, count: usize) -> &[Fingerprint] {
        self.prints.get(..count.min(REMEMBERED)).unwrap_or(&[])
    }
}

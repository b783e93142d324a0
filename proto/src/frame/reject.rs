//! Why a frame yields no datagram. Such frames are the everyday of a mirror port: they are counted, never errors.

use std::fmt;

/// Why [`FrameReader::read`](super::FrameReader::read) found no UDP datagram to hand back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejected {
    /// No IP in it: ARP, spanning tree, LLDP, MACsec and their like.
    NotIp,
    /// IP, but no UDP: TCP, ICMP queries, ESP and their like.
    NotUdp,
    /// An ICMP error; the datagram it quotes was seen, or lost, elsewhere.
    IcmpQuoted,
    /// The capture cut the frame off inside a header (snap length).
    Truncated,
    /// A fragment, kept until the rest of its datagram arrives.
    FragmentPending,
    /// A fragment that contradicts the others of its datagram or exceeds the limits of reassembly.
    FragmentDropped,
    /// A header contradicts itself or its frame.
    Malformed,
    /// A link type whose frames are not read.
    UnsupportedLinkType,
    /// More headers inside each other than any network builds.
    TooDeep,
}

impl Rejected {
    /// Every reason, in the order of [`index`](Self::index).
    pub const ALL: [Self; 9] = [
        Self::NotIp,
        Self::NotUdp,
        Self::IcmpQuoted,
        Self::Truncated,
        Self::FragmentPending,
        Self::FragmentDropped,
        Self::Malformed,
        Self::UnsupportedLinkType,
        Self::TooDeep,
    ];

    /// Position in [`ALL`](Self::ALL), for an array of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::NotUdp => "not_udp",
            Self::IcmpQuoted => "icmp_quoted",
            Self::Truncated => "truncated",
            Self::FragmentPending => "fragment_pending",
            Self::FragmentDropped => "fragment_dropped",
            Self::Malformed => "malformed",
            Self::UnsupportedLinkType => "unsupported_link_type",
            Self::TooDeep => "too_deep",
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_index() {
        for (position, reason) in Rejected::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), position, "{reason}");
        }
    }
}

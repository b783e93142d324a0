//! What the capture hands to the resolver.

use std::net::SocketAddr;

use silentmon_proto::frame::{Datagram, Segment};
use silentmon_proto::time::Instant;

use crate::filter::Carrier;

/// A piece of signalling as captured: a datagram, or a segment of a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signalling<'a> {
    /// When it was captured.
    pub captured: Instant,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// What it came in.
    pub transport: Transport,
    /// Its bytes, as far as captured.
    pub payload: &'a [u8],
}

/// What signalling came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A segment of a byte stream.
    Tcp {
        /// Number of its first byte (of one that opens: one before it).
        sequence: u32,
        /// Whether the connection begins here.
        opens: bool,
        /// Whether the sender is done, or breaks off.
        closes: bool,
    },
}

impl Transport {
    /// What carries it.
    pub const fn carrier(self) -> Carrier {
        match self {
            Self::Udp => Carrier::Udp,
            Self::Tcp { .. } => Carrier::Tcp,
        }
    }
}

impl<'a> From<&Datagram<'a>> for Signalling<'a> {
    fn from(datagram: &Datagram<'a>) -> Self {
        Self {
            captured: datagram.captured,
            source: datagram.source,
            destination: datagram.destination,
            transport: Transport::Udp,
            payload: datagram.payload,
        }
    }
}

impl<'a> From<&Segment<'a>> for Signalling<'a> {
    fn from(segment: &Segment<'a>) -> Self {
        Self {
            captured: segment.captured,
            source: segment.source,
            destination: segment.destination,
            transport: Transport::Tcp {
                sequence: segment.sequence,
                opens: segment.opens,
                closes: segment.closes,
            },
            payload: segment.payload,
        }
    }
}

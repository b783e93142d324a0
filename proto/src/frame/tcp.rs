//! TCP segments (RFC 9293): only signalling is carried by them, so they are read only where asked for.

use std::net::SocketAddr;

use super::walk::{Path, split};
use super::{Rejected, VlanStack};
use crate::time::Instant;

/// A TCP segment found in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// When its frame was captured.
    pub captured: Instant,
    /// VLAN identifiers of the frame, outermost first.
    pub vlan: VlanStack,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Number of its first byte of payload (of a SYN: one before it).
    pub sequence: u32,
    /// Whether a connection begins here (SYN).
    pub opens: bool,
    /// Whether the sender is done (FIN), or breaks the connection off (RST).
    pub closes: bool,
    /// The payload, as far as captured.
    pub payload: &'a [u8],
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// The segment in these bytes.
pub(super) fn segment<'a>(bytes: &'a [u8], path: &Path) -> Result<Segment<'a>, Rejected> {
    let (header, _) = split::<20>(bytes)?;
    let [s0, s1, d0, d1, n0, n1, n2, n3, _, _, _, _, offset, flags, ..] = *header;
    let payload = bytes.get(usize::from(offset >> 4) * 4..).ok_or(Rejected::Truncated)?;
    if offset >> 4 < 5 {
        return Err(Rejected::Malformed);
    }
    Ok(Segment {
        captured: path.captured,
        vlan: path.vlan,
        source: SocketAddr::new(path.source, u16::from_be_bytes([s0, s1])),
        destination: SocketAddr::new(path.destination, u16::from_be_bytes([d0, d1])),
        sequence: u32::from_be_bytes([n0, n1, n2, n3]),
        opens: flags & SYN != 0,
        closes: flags & (FIN | RST) != 0,
        payload,
    })
}

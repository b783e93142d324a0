//! From a captured frame to the UDP datagram or TCP segment in it: link layer, tags, tunnels, IP, fragments, UDP, TCP.
//!
//! [`FrameReader`] reads in one pass and allocates nothing per frame. Headers are read by etherparse where it has them;
//! the modules beside this one read what it lacks. A capture shows what was on the wire, so checksums are not verified.

use std::net::SocketAddr;

use crate::time::Instant;

mod fragment;
mod headers;
mod ip;
mod label;
mod link;
mod reader;
mod reject;
mod tcp;
mod tunnel;
mod vlan;
mod walk;

pub use fragment::{FragmentCounters, FrameLimits};
pub use headers::{Headers, MacAddress};
pub use link::LinkType;
pub use reader::FrameReader;
pub use reject::Rejected;
pub use tcp::Segment;
pub use tunnel::Tunnel;
pub use vlan::{VlanStack, VlanTag};

/// A captured frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// How to read the bytes.
    pub link_type: LinkType,
    /// When it was captured.
    pub captured: Instant,
    /// The bytes captured.
    pub bytes: &'a [u8],
    /// How long the frame was on the wire, in bytes.
    pub wire_length: u32,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried<'a> {
    /// A UDP datagram.
    Datagram(Datagram<'a>),
    /// A TCP segment.
    Segment(Segment<'a>),
}

/// A UDP datagram found in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When its frame (of a fragmented one: the last fragment's) was captured.
    pub captured: Instant,
    /// VLAN identifiers of the frame, outermost first; those inside a tunnel follow those outside.
    pub vlan: VlanStack,
    /// The tunnel it came in.
    pub tunnel: Option<Tunnel>,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// The UDP payload, as far as captured.
    pub payload: &'a [u8],
    /// Whether the capture cut the payload short (snap length).
    pub truncated: bool,
}

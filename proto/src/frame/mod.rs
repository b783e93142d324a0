//! From a captured frame to the UDP datagram in it: link layer, tags, tunnels, IP, UDP.

use std::net::SocketAddr;

use crate::time::Instant;

/// What the bytes of a frame begin with (LINKTYPE_ values of the pcap formats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// LINKTYPE_ETHERNET (1).
    Ethernet,
    /// LINKTYPE_LINUX_SLL (113).
    LinuxSll,
    /// LINKTYPE_LINUX_SLL2 (276).
    LinuxSll2,
    /// LINKTYPE_RAW (101), LINKTYPE_IPV4 (228), LINKTYPE_IPV6 (229).
    RawIp,
    /// LINKTYPE_NULL (0): address family in the capturing host's byte order.
    Null,
    /// LINKTYPE_LOOP (108): address family in network byte order.
    Loop,
    /// LINKTYPE_PPP (9).
    Ppp,
    /// Any other; its frames are counted, not read.
    Other(u16),
}

impl LinkType {
    /// The link type of a LINKTYPE_ value as capture files write it.
    pub const fn from_pcap(value: u16) -> Self {
        match value {
            0 => Self::Null,
            1 => Self::Ethernet,
            9 => Self::Ppp,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

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

/// An 802.1Q or 802.1ad tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanTag {
    /// VLAN identifier, 0 (priority tag) to 4095.
    pub id: u16,
    /// Priority code point, 0 to 7.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
}

/// The VLAN identifiers of a frame, outermost first; tags beyond the eighth are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VlanStack {
    len: u8,
    ids: [u16; Self::MAX],
}

impl VlanStack {
    /// Most identifiers kept.
    pub const MAX: usize = 8;

    /// Adds a tag inside those already there.
    pub fn push(&mut self, id: u16) {
        if let Some(slot) = self.ids.get_mut(usize::from(self.len)) {
            *slot = id;
            self.len += 1;
        }
    }

    /// The identifiers, outermost first.
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The tunnel in which a mirror delivered a frame; the innermost where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tunnel {
    /// ERSPAN type I (GRE 0x88be without sequence number).
    Erspan1,
    /// ERSPAN type II.
    Erspan2,
    /// ERSPAN type III.
    Erspan3,
    /// GRE with IP, Ethernet or PPP in it.
    Gre,
    /// VXLAN (RFC 7348) or VXLAN-GPE.
    Vxlan,
    /// GENEVE (RFC 8926).
    Geneve,
    /// MPLS (RFC 3032).
    Mpls,
    /// PPPoE (RFC 2516).
    Pppoe,
    /// IP in IP (RFC 2003, RFC 2473).
    IpInIp,
}

impl Tunnel {
    /// The word used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Erspan1 => "erspan1",
            Self::Erspan2 => "erspan2",
            Self::Erspan3 => "erspan3",
            Self::Gre => "gre",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Mpls => "mpls",
            Self::Pppoe => "pppoe",
            Self::IpInIp => "ipip",
        }
    }
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

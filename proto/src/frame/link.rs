//! Link layers: what a captured frame begins with, down to an EtherType or the IP header itself.
//!
//! Ethernet II and IEEE 802.3 with LLC/SNAP, Linux cooked captures, BSD loopback, PPP. The tags that follow an EtherType
//! are in `vlan`.

use etherparse::Ethernet2HeaderSlice;

use super::Rejected;
use super::walk::{Layer, Next, Step, split};

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
    /// LINKTYPE_PPP (9), LINKTYPE_PPP_HDLC (50), LINKTYPE_C_HDLC (104).
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
            9 | 50 | 104 => Self::Ppp,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }

    /// The layer a frame of this type opens with.
    pub(super) const fn first_layer(self) -> Result<Layer, Rejected> {
        Ok(match self {
            Self::Ethernet => Layer::Ethernet,
            Self::LinuxSll => Layer::LinuxSll,
            Self::LinuxSll2 => Layer::LinuxSll2,
            Self::RawIp => Layer::Ip,
            Self::Null | Self::Loop => Layer::Loopback,
            Self::Ppp => Layer::Ppp,
            Self::Other(_) => return Err(Rejected::UnsupportedLinkType),
        })
    }
}

/// Length of an IEEE 802.3 frame's data at most; greater values of the field are EtherTypes (IEEE 802.3 clause 3.2.6).
const MAX_LENGTH_FIELD: u16 = 1500;

/// Ethernet II or IEEE 802.3.
#[inline]
pub(super) fn ethernet(bytes: &[u8]) -> Step<'_> {
    let header = Ethernet2HeaderSlice::from_slice(bytes).map_err(|_| Rejected::Truncated)?;
    let rest = bytes.get(header.slice().len()..).unwrap_or_default();
    let field = header.ether_type().0;
    if field > MAX_LENGTH_FIELD {
        return Ok(Next::ether_type(field, rest));
    }
    Ok(Next::new(Layer::Llc, rest.get(..usize::from(field)).unwrap_or(rest)))
}

/// LLC (IEEE 802.2), with SNAP where it has it.
pub(super) fn llc(bytes: &[u8]) -> Step<'_> {
    const SNAP: u8 = 0xaa;
    const IP: u8 = 0x06;
    const UNNUMBERED: u8 = 0x03;
    let ([destination, source, control], rest) = split::<3>(bytes)?;
    match (destination, source, control) {
        (&SNAP, &SNAP, &UNNUMBERED) => snap(rest),
        (&IP, &IP, &UNNUMBERED) => Ok(Next::new(Layer::Ip, rest)),
        _ => Err(Rejected::NotIp),
    }
}

fn snap(bytes: &[u8]) -> Step<'_> {
    let ([a, b, c, high, low], rest) = split::<5>(bytes)?;
    match [*a, *b, *c] {
        // 00-00-F8: IEEE 802.1H, for bridges that may not translate
        [0, 0, 0 | 0xf8] => Ok(Next::ether_type(u16::from_be_bytes([*high, *low]), rest)),
        _ => Err(Rejected::NotIp),
    }
}

/// LINKTYPE_LINUX_SLL. etherparse refuses packet and hardware types it doesn't know, so its reader is not used.
pub(super) fn linux_sll(bytes: &[u8]) -> Step<'_> {
    let ([.., high, low], rest) = split::<16>(bytes)?;
    Ok(cooked(u16::from_be_bytes([*high, *low]), rest))
}

/// LINKTYPE_LINUX_SLL2.
pub(super) fn linux_sll2(bytes: &[u8]) -> Step<'_> {
    let ([high, low, ..], rest) = split::<20>(bytes)?;
    Ok(cooked(u16::from_be_bytes([*high, *low]), rest))
}

fn cooked(protocol: u16, rest: &[u8]) -> Next<'_> {
    const LINUX_802_2: u16 = 0x0004;
    match protocol {
        LINUX_802_2 => Next::new(Layer::Llc, rest),
        ether_type => Next::ether_type(ether_type, rest),
    }
}

/// LINKTYPE_NULL and LINKTYPE_LOOP, in either byte order: files keep that of the host that captured them.
pub(super) fn loopback(bytes: &[u8]) -> Step<'_> {
    let (family, rest) = split::<4>(bytes)?;
    match u32::from_le_bytes(*family).min(u32::from_be_bytes(*family)) {
        2 => Ok(Next::new(Layer::Ipv4, rest)),
        // AF_INET6 of Linux, Windows, NetBSD, FreeBSD, macOS
        10 | 23 | 24 | 28 | 30 => Ok(Next::new(Layer::Ipv6, rest)),
        // some writers leave junk in the family: the header itself decides
        _ => super::ip::any(rest),
    }
}

/// PPP (RFC 1661), with or without HDLC framing (RFC 1662) and protocol field compression, or Cisco HDLC.
pub(super) fn ppp(bytes: &[u8]) -> Step<'_> {
    let bytes = match bytes {
        [0x0f | 0x8f, 0x00, high, low, rest @ ..] => {
            return Ok(Next::ether_type(u16::from_be_bytes([*high, *low]), rest));
        }
        [0xff, 0x03, rest @ ..] => rest,
        all => all,
    };
    let (protocol, rest) = match bytes {
        [short, rest @ ..] if short & 1 == 1 => (u16::from(*short), rest),
        [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
        _ => return Err(Rejected::Truncated),
    };
    match protocol {
        0x0021 => Ok(Next::new(Layer::Ipv4, rest)),
        0x0057 => Ok(Next::new(Layer::Ipv6, rest)),
        0x0281 | 0x0283 => Ok(Next::new(Layer::Mpls, rest)),
        _ => Err(Rejected::NotIp),
    }
}

//! Tunnels in which a mirror or a provider delivers frames: GRE and ERSPAN, VXLAN, GENEVE, IP in IP.
//!
//! Those over UDP are known by their port only until their header is looked at: what doesn't fit is a plain datagram.

use super::walk::{Layer, Next, Path, Step, split};
use super::{Rejected, label};

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

const GRE_CHECKSUM: u16 = 0x8000;
const GRE_ROUTING: u16 = 0x4000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;
const GRE_ACKNOWLEDGMENT: u16 = 0x0080;
const GRE_VERSION: u16 = 0x0007;

/// GRE (RFC 2784, RFC 2890, source routes of RFC 1701) and its PPTP variant (RFC 2637).
pub(super) fn gre<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    let ([high, low, type_high, type_low], rest) = split::<4>(bytes)?;
    let flags = u16::from_be_bytes([*high, *low]);
    let protocol = u16::from_be_bytes([*type_high, *type_low]);
    path.tunnel = Some(Tunnel::Gre);
    match flags & GRE_VERSION {
        0 => gre_payload(protocol, flags, skip_gre_options(flags, rest)?, path),
        1 => pptp(flags, rest),
        _ => Err(Rejected::Malformed),
    }
}

fn skip_gre_options(flags: u16, bytes: &[u8]) -> Result<&[u8], Rejected> {
    let words = [GRE_CHECKSUM | GRE_ROUTING, GRE_KEY, GRE_SEQUENCE]
        .into_iter()
        .filter(|option| flags & option != 0)
        .count();
    let rest = skip(bytes, words * 4)?;
    if flags & GRE_ROUTING == 0 {
        return Ok(rest);
    }
    skip_source_routes(rest)
}

/// Source route entries (RFC 1701): address family, offset, length; the one without family and length ends them.
fn skip_source_routes(bytes: &[u8]) -> Result<&[u8], Rejected> {
    const MAX_ENTRIES: usize = 16;
    let mut rest = bytes;
    for _ in 0..MAX_ENTRIES {
        let ([high, low, _offset, length], after) = split::<4>(rest)?;
        if (*high, *low, *length) == (0, 0, 0) {
            return Ok(after);
        }
        rest = skip(after, usize::from(*length))?;
    }
    Err(Rejected::Malformed)
}

fn pptp(flags: u16, bytes: &[u8]) -> Step<'_> {
    let ([high, low, _, _], rest) = split::<4>(bytes)?;
    let numbers = [GRE_SEQUENCE, GRE_ACKNOWLEDGMENT]
        .into_iter()
        .filter(|number| flags & number != 0)
        .count();
    let rest = skip(rest, numbers * 4)?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    Ok(Next::new(Layer::Ppp, rest.get(..length).unwrap_or(rest)))
}

fn gre_payload<'a>(protocol: u16, flags: u16, bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    match protocol {
        0x88be if flags & GRE_SEQUENCE == 0 => {
            path.tunnel = Some(Tunnel::Erspan1);
            Ok(Next::new(Layer::Ethernet, bytes))
        }
        0x88be => erspan2(bytes, path),
        0x22eb => erspan3(bytes, path),
        0x880b => Ok(Next::new(Layer::Ppp, bytes)),
        0x883e => Ok(web_cache_redirect(bytes)),
        ether_type => Ok(Next::ether_type(ether_type, bytes)),
    }
}

/// WCCP: version 2 puts four bytes before the IP header, version 1 none.
fn web_cache_redirect(bytes: &[u8]) -> Next<'_> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => Next::new(Layer::Ipv4, bytes),
        _ => Next::new(Layer::Ip, bytes.get(4..).unwrap_or_default()),
    }
}

/// ERSPAN type II (draft-foschiano-erspan section 4.2). A tag that the mirroring switch took off the frame goes onto the
/// stack; one it left in place is read there.
fn erspan2<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    const VERSION: u16 = 1;
    const ISL: u16 = 1;
    const DOT1Q: u16 = 2;
    let ([a, b, c, d, _, _, _, _], rest) = split::<8>(bytes)?;
    let version_vlan = u16::from_be_bytes([*a, *b]);
    if version_vlan >> 12 != VERSION {
        return Err(Rejected::Malformed);
    }
    path.tunnel = Some(Tunnel::Erspan2);
    let encapsulation = (u16::from_be_bytes([*c, *d]) >> 11) & 0b11;
    if matches!(encapsulation, ISL | DOT1Q) {
        path.vlan.push(version_vlan & 0x0fff);
    }
    Ok(Next::new(Layer::Ethernet, rest))
}

/// ERSPAN type III (draft-foschiano-erspan section 4.3), with its platform specific subheader.
fn erspan3<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    const VERSION: u8 = 2;
    const SUBHEADER: u8 = 0x01;
    const SUBHEADER_LENGTH: usize = 8;
    let ([first, .., kind, options], rest) = split::<12>(bytes)?;
    if first >> 4 != VERSION {
        return Err(Rejected::Malformed);
    }
    path.tunnel = Some(Tunnel::Erspan3);
    let rest = match options & SUBHEADER {
        0 => rest,
        _ => skip(rest, SUBHEADER_LENGTH)?,
    };
    match (kind >> 2) & 0x1f {
        0 => Ok(Next::new(Layer::Ethernet, rest)),
        2 => Ok(Next::new(Layer::Ip, rest)),
        _ => Err(Rejected::NotIp),
    }
}

const VXLAN: u16 = 4789;
/// Where Linux put VXLAN before the port was assigned.
const VXLAN_LINUX: u16 = 8472;
const VXLAN_GPE: u16 = 4790;
const GENEVE: u16 = 6081;
const MPLS_IN_UDP: u16 = 6635;

/// The tunnel that a datagram to `port` carries, if it is one.
#[inline]
pub(super) fn over_udp(port: u16, payload: &[u8], truncated: bool) -> Option<(Tunnel, Next<'_>)> {
    match port {
        VXLAN | VXLAN_LINUX => vxlan(payload).map(|next| (Tunnel::Vxlan, next)),
        VXLAN_GPE => vxlan_gpe(payload).map(|next| (Tunnel::Vxlan, next)),
        GENEVE => geneve(payload).map(|next| (Tunnel::Geneve, next)),
        MPLS_IN_UDP => {
            label::is_mpls_in_udp(payload, truncated).then_some((Tunnel::Mpls, Next::new(Layer::Mpls, payload)))
        }
        _ => None,
    }
}

/// The I flag: without a valid network identifier it is no VXLAN (RFC 7348 section 5).
const VXLAN_VALID_VNI: u8 = 0x08;

/// VXLAN (RFC 7348), also with group policy; reserved bits are ignored on receipt.
fn vxlan(payload: &[u8]) -> Option<Next<'_>> {
    let (header, rest) = payload.split_first_chunk::<8>()?;
    (header[0] & VXLAN_VALID_VNI != 0).then_some(Next::new(Layer::Ethernet, rest))
}

/// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
fn vxlan_gpe(payload: &[u8]) -> Option<Next<'_>> {
    const NEXT_PROTOCOL: u8 = 0x04;
    const VERSION: u8 = 0x30;
    let ([flags, _, _, protocol, ..], rest) = payload.split_first_chunk::<8>()?;
    if flags & VXLAN_VALID_VNI == 0 || flags & VERSION != 0 {
        return None;
    }
    let layer = match flags & NEXT_PROTOCOL {
        0 => Layer::Ethernet,
        _ => match protocol {
            4 => Layer::EtherType(0x894f),
            other => next_protocol(*other)?,
        },
    };
    Some(Next::new(layer, rest))
}

/// The next protocol numbers that VXLAN-GPE and the network service header share.
const fn next_protocol(number: u8) -> Option<Layer> {
    match number {
        1 => Some(Layer::Ipv4),
        2 => Some(Layer::Ipv6),
        3 => Some(Layer::Ethernet),
        5 => Some(Layer::Mpls),
        _ => None,
    }
}

/// The network service header (RFC 8300): base header, path and context, whose length it tells in words.
pub(super) fn service_header(bytes: &[u8]) -> Step<'_> {
    let ([_, length, _, protocol], _) = split::<4>(bytes)?;
    let length = usize::from(length & 0x3f) * 4;
    if length < 8 {
        return Err(Rejected::Malformed);
    }
    let layer = next_protocol(*protocol).ok_or(Rejected::NotIp)?;
    Ok(Next::new(layer, skip(bytes, length)?))
}

/// GENEVE (RFC 8926) version 0.
fn geneve(payload: &[u8]) -> Option<Next<'_>> {
    let ([version_length, _, high, low, ..], rest) = payload.split_first_chunk::<8>()?;
    if version_length >> 6 != 0 {
        return None;
    }
    let rest = rest.get(usize::from(version_length & 0x3f) * 4..)?;
    Some(Next::ether_type(u16::from_be_bytes([*high, *low]), rest))
}

fn skip(bytes: &[u8], length: usize) -> Result<&[u8], Rejected> {
    bytes.get(length..).ok_or(Rejected::Truncated)
}

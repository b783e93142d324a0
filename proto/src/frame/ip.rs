//! IPv4, IPv6 and its extension headers, ICMP errors: from an IP header to what it carries.
//!
//! Lengths are taken as a mirror shows them: zero where the sending NIC was yet to segment, too long where the capture cut
//! the frame, too short for the padding of small Ethernet frames.

use std::net::IpAddr;

use etherparse::{
    IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
    err::{ipv4, ipv6},
};

use super::Rejected;
use super::fragment::Piece;
use super::walk::{Layer, Next, Path, Step};

pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ICMP: u8 = 1;
pub(super) const IPV4: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const IPV6: u8 = 41;
pub(super) const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const GRE: u8 = 47;
pub(super) const AUTHENTICATION: u8 = 51;
pub(super) const ICMPV6: u8 = 58;
pub(super) const DESTINATION: u8 = 60;
pub(super) const MOBILITY: u8 = 135;
pub(super) const MPLS: u8 = 137;
pub(super) const HIP: u8 = 139;
pub(super) const SHIM6: u8 = 140;

/// IP of either version.
pub(super) fn any(bytes: &[u8]) -> Step<'_> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => Ok(Next::new(Layer::Ipv4, bytes)),
        Some(6) => Ok(Next::new(Layer::Ipv6, bytes)),
        Some(_) => Err(Rejected::NotIp),
        None => Err(Rejected::Truncated),
    }
}

/// IPv4 (RFC 791).
#[inline]
pub(super) fn v4<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => Rejected::Truncated,
        ipv4::HeaderSliceError::Content(_) => Rejected::Malformed,
    })?;
    let header_length = header.slice().len();
    let whole = match usize::from(header.total_len()) {
        0 => bytes,
        short if short < header_length => return Err(Rejected::Malformed),
        length => within(bytes, length, path),
    };
    path.source = IpAddr::V4(header.source_addr());
    path.destination = IpAddr::V4(header.destination_addr());
    path.hops = header.ttl();
    let payload = whole.get(header_length..).unwrap_or_default();
    let protocol = header.protocol().0;
    if !header.is_fragmenting_payload() {
        return Ok(Next::new(Layer::Payload(protocol), payload));
    }
    path.piece = Piece {
        identification: u32::from(header.identification()),
        protocol,
        offset: header.fragments_offset().byte_offset(),
        more: header.more_fragments(),
    };
    fragment(payload, path)
}

/// IPv6 (RFC 8200).
#[inline]
pub(super) fn v6<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    let header = Ipv6HeaderSlice::from_slice(bytes).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => Rejected::Truncated,
        ipv6::HeaderSliceError::Content(_) => Rejected::Malformed,
    })?;
    let rest = bytes.get(header.header_len()..).unwrap_or_default();
    path.source = IpAddr::V6(header.source_addr());
    path.destination = IpAddr::V6(header.destination_addr());
    path.hops = header.hop_limit();
    let payload = match usize::from(header.payload_length()) {
        0 => rest,
        length => within(rest, length, path),
    };
    Ok(Next::new(Layer::Payload(header.next_header().0), payload))
}

/// The first `length` bytes; fewer where the capture cut them off, which `path` then knows.
#[inline]
fn within<'a>(bytes: &'a [u8], length: usize, path: &mut Path) -> &'a [u8] {
    path.cut = length > bytes.len();
    bytes.get(..length).unwrap_or(bytes)
}

/// Hop-by-hop options, routing, destination options and other extension headers of the same shape (RFC 6564).
pub(super) fn v6_extension(bytes: &[u8]) -> Step<'_> {
    let header = Ipv6RawExtHeaderSlice::from_slice(bytes).map_err(|_| Rejected::Truncated)?;
    let rest = bytes.get(header.slice().len()..).unwrap_or_default();
    Ok(Next::new(Layer::Payload(header.next_header().0), rest))
}

/// The authentication header (RFC 4302): what it protects is in the clear.
pub(super) fn authentication(bytes: &[u8]) -> Step<'_> {
    use etherparse::err::ip_auth::HeaderSliceError;
    let header = IpAuthHeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => Rejected::Truncated,
        HeaderSliceError::Content(_) => Rejected::Malformed,
    })?;
    let rest = bytes.get(header.slice().len()..).unwrap_or_default();
    Ok(Next::new(Layer::Payload(header.next_header().0), rest))
}

/// The fragment header (RFC 8200 section 4.5); one that is a whole datagram by itself (RFC 6946) is read at once.
pub(super) fn v6_fragment<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    let header = Ipv6FragmentHeaderSlice::from_slice(bytes).map_err(|_| Rejected::Truncated)?;
    let payload = bytes.get(header.slice().len()..).unwrap_or_default();
    let protocol = header.next_header().0;
    if !header.is_fragmenting_payload() {
        return Ok(Next::new(Layer::Payload(protocol), payload));
    }
    path.piece = Piece {
        identification: header.identification(),
        protocol,
        offset: header.fragment_offset().byte_offset(),
        more: header.more_fragments(),
    };
    fragment(payload, path)
}

/// A fragment worth keeping: of something that can lead to UDP, and whole. One that the capture cut can never be
/// completed; the first of a datagram is read as far as it goes.
#[cold]
fn fragment<'a>(payload: &'a [u8], path: &Path) -> Step<'a> {
    let piece = path.piece;
    match piece.protocol {
        UDP | IPV4 | IPV6 | GRE | MPLS | AUTHENTICATION | DESTINATION | ROUTING => match (path.cut, piece.offset) {
            (false, _) => Ok(Next::new(Layer::Fragment, payload)),
            (true, 0) => Ok(Next::new(Layer::Payload(piece.protocol), payload)),
            (true, _) => Err(Rejected::Truncated),
        },
        ICMP if piece.offset == 0 => Err(icmp(payload)),
        ICMPV6 if piece.offset == 0 => Err(icmp_v6(payload)),
        _ => Err(Rejected::NotUdp),
    }
}

/// ICMP (RFC 792): unreachable, source quench, redirect, time exceeded and parameter problem quote a datagram.
pub(super) fn icmp(bytes: &[u8]) -> Rejected {
    match bytes.first() {
        Some(3 | 4 | 5 | 11 | 12) => Rejected::IcmpQuoted,
        _ => Rejected::NotUdp,
    }
}

/// ICMPv6 (RFC 4443): types below 128 are errors and quote a datagram.
pub(super) fn icmp_v6(bytes: &[u8]) -> Rejected {
    match bytes.first() {
        Some(..128) => Rejected::IcmpQuoted,
        _ => Rejected::NotUdp,
    }
}

//! Builds the frames of a test.

use silentmon_proto::time::Instant;

use crate::check::CheckId;
use crate::control::Control;
use crate::mac::MacAddress;
use crate::plan::{Carrier, Destination, FCS, Shape};
use crate::wire::{self, ETHER_TYPE, HEADER, Header, Kind, SessionId, TRAILER, UDP_PORT};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const UDP: u8 = 17;
const ETHERNET: usize = 14;
const TAG: usize = 4;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
/// DSCP EF (RFC 3246) in its place in the IP header.
const EXPEDITED: u8 = 0xb8;
/// No router passes it on.
const HOPS: u8 = 1;
/// Addresses for documentation: 192.0.2.1 and 192.0.2.2 (RFC 5737).
const IPV4_ADDRESSES: [u8; 8] = [192, 0, 2, 1, 192, 0, 2, 2];
/// Addresses for documentation: 2001:db8::1 and 2001:db8::2 (RFC 3849).
const IPV6_ADDRESSES: [u8; 32] = [
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
];

/// The two ends of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The generator's interface.
    pub generator: MacAddress,
    /// The interface under test.
    pub target: MacAddress,
}

/// Length of a frame of this shape without its frame check sequence: what a socket sends.
pub fn length(shape: &Shape) -> usize {
    usize::from(shape.wire_length - FCS)
}

/// Where the payload of a frame of this shape begins.
pub fn payload_offset(shape: &Shape) -> usize {
    let carrier = match shape.carrier {
        Carrier::Raw => 0,
        Carrier::Ipv4 => IPV4_HEADER + UDP_HEADER,
        Carrier::Ipv6 => IPV6_HEADER + UDP_HEADER,
    };
    ETHERNET + shape.tags.len() * TAG + carrier
}

/// A frame of a check.
pub fn probe(ends: Ends, shape: &Shape, header: &Header) -> Vec<u8> {
    let destination = match shape.destination {
        Destination::Target => ends.target,
        Destination::Foreign => MacAddress::FOREIGN,
    };
    let mut frame = Vec::with_capacity(length(shape));
    frame.extend(destination.0);
    frame.extend(ends.generator.0);
    for tag in shape.tags {
        frame.extend(tag.tpid.to_be_bytes());
        frame.extend(tag.vlan.to_tci().to_be_bytes());
    }
    let offset = payload_offset(shape);
    let datagram = u16::try_from(length(shape).saturating_sub(offset) + UDP_HEADER).unwrap_or(u16::MAX);
    match shape.carrier {
        Carrier::Raw => frame.extend(ETHER_TYPE.to_be_bytes()),
        Carrier::Ipv4 => push_ipv4(&mut frame, datagram),
        Carrier::Ipv6 => push_ipv6(&mut frame, datagram),
    }
    frame.resize(length(shape).max(offset + HEADER + TRAILER), 0);
    if let Some(payload) = frame.get_mut(offset..) {
        wire::fill(payload);
        wire::seal(payload, header);
    }
    if shape.carrier == Carrier::Ipv6 {
        sum_udp6(&mut frame, offset - UDP_HEADER - IPV6_HEADER);
    }
    frame
}

/// A frame with a message. It is at least 60 bytes long, the shortest Ethernet has.
pub fn control(
    from: MacAddress,
    to: MacAddress,
    session: SessionId,
    round: u8,
    now: Instant,
    message: &Control,
) -> Vec<u8> {
    let header = Header {
        session,
        kind: message.kind(),
        round,
        sequence: 0,
        sent: now,
    };
    let mut payload = vec![0; HEADER];
    payload.extend(message.body());
    payload.resize((payload.len() + TRAILER).max(46), 0);
    wire::seal(&mut payload, &header);
    let mut frame = [to.0, from.0].concat();
    frame.extend(ETHER_TYPE.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header of a check's frame.
pub const fn header(session: SessionId, check: CheckId, round: u8, sequence: u32, sent: Instant) -> Header {
    Header {
        session,
        kind: Kind::Probe(check),
        round,
        sequence,
        sent,
    }
}

/// EtherType, IPv4 header (RFC 791) and UDP header without a checksum (RFC 768).
pub(crate) fn push_ipv4(frame: &mut Vec<u8>, datagram: u16) {
    let begin = frame.len() + 2;
    frame.extend(IPV4.to_be_bytes());
    frame.extend([0x45, EXPEDITED]);
    frame.extend((datagram + 20).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, HOPS, UDP, 0, 0]);
    frame.extend(IPV4_ADDRESSES);
    let sum = !ones_sum(frame.get(begin..).unwrap_or_default(), 0);
    if let Some(place) = frame.get_mut(begin + 10..begin + 12) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    push_udp(frame, datagram);
}

/// EtherType, IPv6 header (RFC 8200 section 3) and UDP header whose checksum is still missing.
fn push_ipv6(frame: &mut Vec<u8>, datagram: u16) {
    frame.extend(IPV6.to_be_bytes());
    frame.extend([0x60 | EXPEDITED >> 4, EXPEDITED << 4, 0, 0]);
    frame.extend(datagram.to_be_bytes());
    frame.extend([UDP, HOPS]);
    frame.extend(IPV6_ADDRESSES);
    push_udp(frame, datagram);
}

fn push_udp(frame: &mut Vec<u8>, datagram: u16) {
    frame.extend(UDP_PORT.to_be_bytes());
    frame.extend(UDP_PORT.to_be_bytes());
    frame.extend(datagram.to_be_bytes());
    frame.extend([0, 0]);
}

/// Fills in UDP's checksum, which IPv6 demands (RFC 8200 section 8.1).
fn sum_udp6(frame: &mut [u8], ip: usize) {
    let addresses = ones_sum(frame.get(ip + 8..ip + IPV6_HEADER).unwrap_or_default(), 0);
    let datagram = frame.get(ip + IPV6_HEADER..).unwrap_or_default();
    let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    let pseudo = u32::from(addresses) + u32::from(length) + u32::from(UDP);
    let sum = match !ones_sum(datagram, pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    if let Some(place) = frame.get_mut(ip + IPV6_HEADER + 6..ip + IPV6_HEADER + 8) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
}

/// The Internet checksum's sum (RFC 1071).
fn ones_sum(bytes: &[u8], begin: u32) -> u16 {
    let mut sum = begin;
    for pair in bytes.chunks(2) {
        let word = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
        sum += u32::from(u16::from_be_bytes(word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

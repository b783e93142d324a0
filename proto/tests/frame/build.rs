//! Builders of headers around a payload, innermost first, and the reading of what they built.

use std::net::SocketAddr;

use silentmon_proto::frame::{Datagram, Frame, FrameReader, LinkType, Rejected, Tunnel};
use silentmon_proto::time::Instant;

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
pub const DOT1Q: u16 = 0x8100;
pub const DOT1AD: u16 = 0x88a8;
pub const UDP: u8 = 17;

/// What every frame here carries unless it says otherwise.
pub const VOICE: &[u8] = &[
    0x80, 0x00, 0x12, 0x34, 0, 0, 0, 160, 0x44, 0x1b, 0xc0, 0xcf, 0xff, 0xfe, 0xfd, 0xfc,
];

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a length of 16 bits").to_be_bytes()
}

pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub fn udp_between(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    join(&[
        &source,
        &destination,
        &length(8 + payload.len()),
        &[0xab, 0xcd],
        payload,
    ])
}

pub fn udp(payload: &[u8]) -> Vec<u8> {
    udp_between((24678, 16384), payload)
}

/// IPv4 from 10.1.1.20 to 10.9.8.7, its checksum wrong as that of a mirror may be.
pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(0x4000, &[], protocol, payload)
}

pub fn ipv4_with(flags_and_offset: u16, options: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).expect("at most 40 bytes of options");
    join(&[
        &[0x40 | words, 0xb8],
        &length(20 + options.len() + payload.len()),
        &[0x77, 0x07],
        &flags_and_offset.to_be_bytes(),
        &[64, protocol, 0xde, 0xad, 10, 1, 1, 20, 10, 9, 8, 7],
        options,
        payload,
    ])
}

/// IPv6 from 2001:db8::20 to 2001:db8::7.
pub fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let host = |last| [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    join(&[
        &[0x60, 0, 0, 0],
        &length(payload.len()),
        &[next_header, 64],
        &host(0x20),
        &host(7),
        payload,
    ])
}

pub fn tag(tci: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&tci.to_be_bytes(), &ether_type.to_be_bytes(), payload])
}

pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
        &ether_type.to_be_bytes(),
        payload,
    ])
}

pub fn gre(flags: u16, protocol: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    join(&[&flags.to_be_bytes(), &protocol.to_be_bytes(), options, payload])
}

/// ERSPAN type II over GRE: VLAN 110 in its header, and how the frame was encapsulated (0 to 3).
pub fn erspan2(encapsulation: u8, frame: &[u8]) -> Vec<u8> {
    let header = [0x10, 110, encapsulation << 3, 10, 0, 0, 0, 0];
    gre(0x1000, 0x88be, &[0, 0, 0, 1], &join(&[&header, frame]))
}

/// ERSPAN type III over GRE.
pub fn erspan3(frame_type: u8, subheader: &[u8], frame: &[u8]) -> Vec<u8> {
    let options = u8::from(!subheader.is_empty());
    let header = [0x20, 110, 0, 10, 1, 2, 3, 4, 0, 0, frame_type << 2, options];
    gre(0x1000, 0x22eb, &[0, 0, 0, 1], &join(&[&header, subheader, frame]))
}

pub fn vxlan(frame: &[u8]) -> Vec<u8> {
    udp_between((50000, 4789), &join(&[&[0x08, 0, 0, 0, 0, 0x13, 0x88, 0], frame]))
}

pub fn vxlan_gpe(next_protocol: u8, packet: &[u8]) -> Vec<u8> {
    udp_between(
        (50000, 4790),
        &join(&[&[0x0c, 0, 0, next_protocol, 0, 0x13, 0x88, 0], packet]),
    )
}

pub fn geneve(ether_type: u16, options: &[u8], packet: &[u8]) -> Vec<u8> {
    let words = u8::try_from(options.len() / 4).expect("at most 252 bytes of options");
    let header = join(&[&[words, 0], &ether_type.to_be_bytes(), &[0, 0x13, 0x88, 0], options]);
    udp_between((50000, 6081), &join(&[&header, packet]))
}

/// A label stack of `depth` entries.
pub fn mpls(depth: u8, packet: &[u8]) -> Vec<u8> {
    let entry = |n: u8| [0x01, n, u8::from(n == depth), 64];
    let stack: Vec<u8> = (1..=depth).flat_map(entry).collect();
    join(&[&stack, packet])
}

pub fn pppoe(protocol: u16, packet: &[u8]) -> Vec<u8> {
    let header = [0x11, 0, 0, 9];
    join(&[&header, &length(2 + packet.len()), &protocol.to_be_bytes(), packet])
}

/// A UDP datagram with voice in IPv4.
pub fn voice() -> Vec<u8> {
    ipv4(UDP, &udp(VOICE))
}

/// A tagged frame with voice, VLAN 200.
pub fn tagged_voice() -> Vec<u8> {
    ethernet(DOT1Q, &tag(0xa000 | 0xc8, IPV4, &voice()))
}

pub fn frame(link_type: LinkType, bytes: &[u8]) -> Frame<'_> {
    Frame {
        link_type,
        captured: Instant::from_parts(1_700_000_000, 0),
        bytes,
        wire_length: u32::try_from(bytes.len()).expect("a short frame"),
    }
}

/// What was read, in a form that outlives the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub vlan: Vec<u16>,
    pub tunnel: Option<Tunnel>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub payload: Vec<u8>,
    pub truncated: bool,
}

impl From<Datagram<'_>> for Read {
    fn from(datagram: Datagram<'_>) -> Self {
        Self {
            vlan: datagram.vlan.ids().to_vec(),
            tunnel: datagram.tunnel,
            source: datagram.source,
            destination: datagram.destination,
            payload: datagram.payload.to_vec(),
            truncated: datagram.truncated,
        }
    }
}

/// What [`voice`] reads as.
pub fn read_voice(vlan: &[u16], tunnel: Option<Tunnel>) -> Read {
    Read {
        vlan: vlan.to_vec(),
        tunnel,
        source: "10.1.1.20:24678".parse().expect("an address"),
        destination: "10.9.8.7:16384".parse().expect("an address"),
        payload: VOICE.to_vec(),
        truncated: false,
    }
}

/// The same from and to the addresses of [`ipv6`].
pub fn read_voice_v6(vlan: &[u16], tunnel: Option<Tunnel>) -> Read {
    Read {
        source: "[2001:db8::20]:24678".parse().expect("an address"),
        destination: "[2001:db8::7]:16384".parse().expect("an address"),
        ..read_voice(vlan, tunnel)
    }
}

pub fn read_as(link_type: LinkType, bytes: &[u8]) -> Result<Read, Rejected> {
    FrameReader::default().read(&frame(link_type, bytes)).map(Read::from)
}

pub fn read(bytes: &[u8]) -> Result<Read, Rejected> {
    read_as(LinkType::Ethernet, bytes)
}

/// Reads `bytes` of a frame that was longer on the wire.
pub fn read_cut(bytes: &[u8]) -> Result<Read, Rejected> {
    let cut = Frame {
        wire_length: 1514,
        ..frame(LinkType::Ethernet, bytes)
    };
    FrameReader::default().read(&cut).map(Read::from)
}

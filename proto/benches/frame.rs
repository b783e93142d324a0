//! From frame to RTP: what reading one packet of a mirror port costs.
//!
//! The mix is what contact centres send: mostly G.711 under one tag, some QinQ and IPv6, some TCP, a little ERSPAN.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use silentmon_proto::frame::{Frame, FrameReader, LinkType};
use silentmon_proto::rtp;
use silentmon_proto::time::Instant;

const ETHERNET_ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

fn big_endian(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes()
}

fn rtp_in_udp(number: u16) -> Vec<u8> {
    let mut udp = vec![0x60, 0x56];
    udp.extend((16384 + 2 * (number % 512)).to_be_bytes());
    udp.extend(big_endian(8 + 12 + 160));
    udp.extend([0, 0, 0x80, 0]);
    udp.extend(number.to_be_bytes());
    udp.extend((u32::from(number) * 160).to_be_bytes());
    udp.extend((0x441b_0000 + u32::from(number % 512)).to_be_bytes());
    udp.extend([0xd5; 160]);
    udp
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0xb8];
    packet.extend(big_endian(20 + payload.len()));
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 1, 1, 20, 10, 9, 8, 7]);
    packet.extend(payload);
    packet
}

fn ipv6(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(big_endian(payload.len()));
    packet.extend([17, 64]);
    for host in [1, 2] {
        packet.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    packet.extend(payload);
    packet
}

fn ethernet(tags: &[(u16, u16)], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = ETHERNET_ADDRESSES.to_vec();
    for (tag_type, tci) in tags {
        frame.extend(tag_type.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

fn erspan(inner: &[u8]) -> Vec<u8> {
    let mut gre = vec![0x10, 0, 0x88, 0xbe, 0, 0, 0, 1];
    gre.extend([0x10, 0x6e, 0x18, 0x0a, 0, 0, 0, 0]);
    gre.extend(inner);
    ethernet(&[], 0x0800, &ipv4(47, &gre))
}

fn frame(number: u16) -> Vec<u8> {
    let udp = rtp_in_udp(number);
    let voice = 0xa06e;
    match number % 20 {
        0..12 => ethernet(&[(0x8100, voice)], 0x0800, &ipv4(17, &udp)),
        12..14 => ethernet(&[(0x88a8, 30), (0x8100, voice)], 0x0800, &ipv4(17, &udp)),
        14..16 => ethernet(&[(0x8100, voice)], 0x86dd, &ipv6(&udp)),
        16..19 => ethernet(&[(0x8100, 200)], 0x0800, &ipv4(6, &[0; 500])),
        _ => erspan(&ethernet(&[(0x8100, voice)], 0x0800, &ipv4(17, &udp))),
    }
}

fn read_one(reader: &mut FrameReader, bytes: &[u8]) -> usize {
    let frame = Frame {
        link_type: LinkType::Ethernet,
        captured: Instant::EPOCH,
        bytes,
        wire_length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
    };
    let Ok(datagram) = reader.read(&frame) else {
        return 0;
    };
    rtp::parse(datagram.payload).map_or(0, |packet| packet.payload.len())
}

fn bench(criterion: &mut Criterion) {
    let cases: [(&str, Vec<Vec<u8>>); 4] = [
        ("mix", (0..2000).map(frame).collect()),
        ("tagged_g711", (0..2000).map(|n| frame(n - n % 20)).collect()),
        ("tagged_tcp", (0..2000).map(|n| frame(n - n % 20 + 16)).collect()),
        ("erspan", (0..2000).map(|n| frame(n - n % 20 + 19)).collect()),
    ];
    let mut group = criterion.benchmark_group("frame_to_rtp");
    for (name, frames) in cases {
        let mut reader = FrameReader::default();
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let octets = |frame: &Vec<u8>| read_one(&mut reader, black_box(frame));
                frames.iter().map(octets).sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

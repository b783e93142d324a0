//! Memory of the stream table: fills it with as many valid streams as its default limits keep, then shows it as many
//! again, and prints resident memory after each. `cargo run --release --example stream_memory`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, not part of the core"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use silentmon_capture_core::stream::{Evidence, Limits, StreamTable};
use silentmon_proto::frame::{Datagram, VlanStack};
use silentmon_proto::time::Instant;

const STREAMS: u32 = 100_000;

fn main() {
    let mut table = StreamTable::new(Limits::default());
    let empty = resident_kib();
    println!("empty table: {empty} KiB resident");
    for round in 0..3 {
        for stream in 0..STREAMS {
            show(&mut table, round * STREAMS + stream);
        }
        let grown = resident_kib().saturating_sub(empty);
        let seen = (round + 1) * STREAMS;
        println!(
            "{seen} streams seen, {} kept, {} given up: {grown} KiB more, {} bytes a stream kept",
            table.len(),
            table.evicted(),
            grown * 1024 / table.len().max(1) as u64
        );
    }
}

/// Two packets in sequence: enough to be valid.
fn show(table: &mut StreamTable, stream: u32) {
    for number in 0..2u16 {
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend(stream.to_be_bytes());
        packet.extend([0xff; 160]);
        let mut vlan = VlanStack::default();
        vlan.push(200);
        table.handle_datagram(
            &Datagram {
                captured: Instant::from_nanos(1_700_000_000_000_000_000 + u64::from(stream) * 1_000_000),
                vlan,
                tunnel: None,
                source: endpoint(stream),
                destination: endpoint(!stream),
                payload: &packet,
                truncated: false,
            },
            Evidence::Observed,
        );
    }
}

fn endpoint(number: u32) -> SocketAddr {
    let [.., low] = number.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(number)), 16_384 + u16::from(low) * 2)
}

/// Resident memory as Linux tells it; 0 elsewhere.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let digits: String = line.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

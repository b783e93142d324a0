//! What the tests with a kernel share: a network namespace of their own with a pair of interfaces, and a sender.
#![allow(dead_code)]

#[path = "../../../../tests/common/namespace.rs"]
mod namespace;

use std::io::Write;
use std::process::Command;

use pcap::{Active, Capture};

/// The interface frames are sent on.
pub const SENDING: &str = "smsend";
/// The interface at its other end, to capture on.
pub const CAPTURING: &str = "smcapture";

/// Says on standard error why a test isn't run.
pub fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Runs the calling test again in a namespace of its own, with the pair of interfaces; see [`namespace::in_namespace`].
pub fn in_namespace(test: &str) -> bool {
    let inside = namespace::in_namespace(test);
    if inside {
        pair();
    }
    inside
}

/// Runs `ip` in the namespace.
pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip runs");
    assert!(status.success(), "ip {arguments}");
}

fn pair() {
    ip(&format!("link add {SENDING} type veth peer name {CAPTURING}"));
    for interface in [SENDING, CAPTURING] {
        // Without an address the kernel sends nothing of its own on it.
        ip(&format!("link set {interface} addrgenmode none"));
        ip(&format!("link set {interface} up"));
    }
}

/// Sends frames on [`SENDING`] as they are.
pub fn sender() -> Capture<Active> {
    Capture::from_device(SENDING)
        .expect("a device")
        .snaplen(64)
        .open()
        .expect("to send")
}

/// A UDP datagram over IPv4 in an Ethernet frame with these tags (EtherType and tag control information).
pub fn frame(tags: &[(u16, u16)], from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (kind, control) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    let length = u16::try_from(payload.len()).expect("a datagram");
    frame.extend([0x08, 0x00, 0x45, 0x00]);
    frame.extend((length + 28).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend(from);
    frame.extend(to);
    frame.extend([0x60, 0x66, 0x0f, 0xa0]);
    frame.extend((length + 8).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

//! A realistic mix of frames on a mirror port: tagged G.711 calls in both directions, their RTCP, some SIP, DNS and TCP.

use silentmon_proto::frame::{Frame, LinkType};
use silentmon_proto::time::Instant;

/// Frames in the order of capture.
pub struct Mix {
    frames: Vec<(Instant, Vec<u8>)>,
}

impl Mix {
    /// `calls` calls in both directions for `packets` packets of 20 ms.
    pub fn new(calls: u32, packets: u32) -> Self {
        let mut frames = Vec::new();
        for number in 0..packets {
            let at = Instant::from_nanos(1_700_000_000_000_000_000 + u64::from(number) * 20_000_000);
            for call in 0..calls {
                for reverse in [false, true] {
                    frames.push((at, rtp(call, reverse, number)));
                }
                frames.extend(other(call, number).map(|frame| (at, frame)));
            }
        }
        Self { frames }
    }

    /// Number of frames.
    pub fn len(&self) -> u64 {
        self.frames.len() as u64
    }

    /// The frames.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(|(captured, bytes)| Frame {
            link_type: LinkType::Ethernet,
            captured: *captured,
            bytes,
            wire_length: bytes.len() as u32,
        })
    }
}

/// The phone of a call.
pub fn phone(call: u32) -> [u8; 4] {
    let [.., high, low] = call.to_be_bytes();
    [10, 1, high, low]
}

fn rtp(call: u32, reverse: bool, number: u32) -> Vec<u8> {
    let ssrc = call * 2 + u32::from(reverse);
    let mut packet = vec![0x80, 0];
    packet.extend(((number + ssrc) as u16).to_be_bytes());
    packet.extend((number * 160).to_be_bytes());
    packet.extend((0x1000_0000 + ssrc).to_be_bytes());
    packet.extend((0..160).map(|sample| speech(number * 160 + sample + ssrc * 77)));
    udp(call, reverse, [16_384 + (call % 8000 * 2) as u16, 20_000], &packet)
}

/// Something with the statistics of speech in µ-law: two tones under a slow envelope.
fn speech(at: u32) -> u8 {
    let time = f64::from(at) / 8000.0;
    let envelope = (time * 3.1).sin().abs();
    let sample = ((time * 1100.0).sin() + (time * 2930.0).sin()) * 0.25 * envelope;
    let magnitude = ((255.0 * sample.abs()).ln_1p() / 256f64.ln() * 127.0) as u8;
    !(magnitude | if sample < 0.0 { 0x80 } else { 0 })
}

/// One RTCP report, SIP message, DNS answer or TCP segment to some fifty packets of a call.
fn other(call: u32, number: u32) -> Option<Vec<u8>> {
    match (number + call * 13) % 200 {
        0 => {
            let mut report = vec![0x80, 200, 0, 6];
            report.extend((0x1000_0000 + call * 2).to_be_bytes());
            report.resize(28, 0);
            Some(udp(call, false, [16_385 + (call % 8000 * 2) as u16, 20_001], &report))
        }
        50 => Some(udp(call, false, [5060, 5060], &[b'S'; 700])),
        100 => Some(udp(call, true, [53, 40_000], &[0x12; 90])),
        150 => Some(tcp(call)),
        _ => None,
    }
}

fn udp(call: u32, reverse: bool, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let ports = if reverse { [ports[1], ports[0]] } else { ports };
    let mut datagram: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    datagram.extend((payload.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    ip(call, reverse, 17, &datagram)
}

fn tcp(call: u32) -> Vec<u8> {
    ip(call, false, 6, &[0x50; 120])
}

fn ip(call: u32, reverse: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0x00, 0xa0, 200, 0x08, 0x00]);
    frame.extend([0x45, 0xb8]);
    frame.extend((payload.len() as u16 + 20).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    let gateway = [10, 9, 0, 1];
    let (source, destination) = if reverse {
        (gateway, phone(call))
    } else {
        (phone(call), gateway)
    };
    frame.extend(source);
    frame.extend(destination);
    frame.extend(payload);
    frame
}

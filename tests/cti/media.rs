//! What passes on the mirror: tagged RTP whose every stream is a tone of its own, and SIP dialogs, as a capture file.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::Path;

/// Samples a second of all streams here.
pub const RATE: u32 = 8000;
const SAMPLES: u32 = 160;

/// The tones of a stream in hertz, by which it is known again in what is heard. All fit into a frame of 20 ms.
pub type Tone = u32;

/// A call's media: both legs, from one time to another, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    pub phone: &'static str,
    pub far: &'static str,
    pub tones: [Tone; 2],
    pub from: f64,
    pub to: f64,
}

/// Frames by time.
#[derive(Debug, Default)]
pub struct Mirror {
    frames: BTreeMap<(u64, usize), Vec<u8>>,
}

impl Mirror {
    /// Something from the start to `end`, so that the capture is as long as that: a datagram that is no RTP.
    pub fn lasting(end: f64) -> Self {
        let mut mirror = Self::default();
        for second in 0..=end as u64 {
            mirror.datagram(second as f64, "10.9.9.9:9", "10.9.9.8:9", b"idle");
        }
        mirror
    }

    pub fn talk(mut self, talk: Talk) -> Self {
        for (leg, tone) in talk.tones.into_iter().enumerate() {
            let (source, destination) = if leg == 0 {
                (talk.phone, talk.far)
            } else {
                (talk.far, talk.phone)
            };
            let count = ((talk.to - talk.from) * 50.0) as u32;
            for number in 0..count {
                let at = talk.from + f64::from(number) / 50.0 + leg as f64 / 500.0;
                self.datagram(at, source, destination, &packet(tone, number));
            }
        }
        self
    }

    /// A SIP message over UDP.
    pub fn sip(mut self, at: f64, source: &str, destination: &str, message: &str) -> Self {
        self.datagram(at, source, destination, message.as_bytes());
        self
    }

    fn datagram(&mut self, at: f64, source: &str, destination: &str, payload: &[u8]) {
        let number = self.frames.len();
        let frame = frame(parse(source), parse(destination), payload);
        self.frames.insert(((at * 1e6) as u64, number), frame);
    }

    /// Writes a classic capture file of Ethernet frames.
    pub fn write(&self, path: &Path) {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            file.extend(word.to_le_bytes());
        }
        for ((micros, _), frame) in &self.frames {
            let length = frame.len() as u32;
            let seconds = 1_772_442_000 + micros / 1_000_000;
            for word in [seconds as u32, (micros % 1_000_000) as u32, length, length] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        }
        std::fs::write(path, file).expect("writes");
    }
}

fn parse(address: &str) -> SocketAddrV4 {
    address.parse().expect("an IPv4 address and port")
}

/// Twenty milliseconds of a tone as an RTP packet (PCMU). The same call goes on where its numbers do.
fn packet(tone: Tone, number: u32) -> Vec<u8> {
    let mut packet = vec![0x80, u8::from(number == 0) << 7];
    packet.extend((number as u16).to_be_bytes());
    packet.extend((number * SAMPLES).to_be_bytes());
    packet.extend((0x5100_0000 | tone).to_be_bytes());
    for sample in number * SAMPLES..(number + 1) * SAMPLES {
        let turns = f64::from(sample * tone % RATE) / f64::from(RATE);
        packet.push(mu_law((8000.0 * (turns * std::f64::consts::TAU).sin()) as i32));
    }
    packet
}

/// ITU-T G.711 table 2a.
fn mu_law(sample: i32) -> u8 {
    let magnitude = sample.abs().min(32_635) + 132;
    let exponent = (31 - magnitude.leading_zeros()).saturating_sub(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// Ethernet with a tag of VLAN 200, IPv4, UDP.
fn frame(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0x00, 0xa0, 200, 0x08, 0x00];
    let udp = 8 + payload.len() as u16;
    let mut header = vec![0x45, 0xb8];
    header.extend((20 + udp).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    header.extend(source.ip().octets());
    header.extend(destination.ip().octets());
    let sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    frame.extend(header);
    frame.extend(source.port().to_be_bytes());
    frame.extend(destination.port().to_be_bytes());
    frame.extend(udp.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

//! Calls on a wire, frame by frame, each of which a test may bend.

use std::net::Ipv4Addr;
use std::time::Duration;

use silentmon_proto::frame::{Frame, LinkType, MacAddress};
use silentmon_proto::time::Instant;

use super::super::{Report, Survey, SurveyOptions};

pub const OWN: MacAddress = MacAddress([2, 0, 0x5e, 0, 0, 0xaa]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// A frame with UDP in it.
#[derive(Clone)]
pub struct Wire {
    pub to: MacAddress,
    pub from: MacAddress,
    /// Tag control information, outermost first.
    pub tags: Vec<u16>,
    pub hops: u8,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub ports: (u16, u16),
    pub payload: Vec<u8>,
    /// Bytes to which the mirror cut the frame.
    pub cut: usize,
}

/// Which packet of which call.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    pub call: u8,
    /// From the gateway to the phone.
    pub reverse: bool,
    pub number: u16,
}

pub fn at(milliseconds: u64) -> Instant {
    Instant::EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(milliseconds)
}

impl Wire {
    pub fn of(voice: Voice) -> Self {
        let Voice { call, reverse, .. } = voice;
        let phone = (Ipv4Addr::new(10, 1, 1, call), 20_000, MacAddress([2, 0, 0, 0, 1, call]));
        let gateway = (GATEWAY, 16_384 + u16::from(call) * 2, MacAddress([2, 0, 0, 0, 9, 9]));
        let (source, destination) = if reverse { (gateway, phone) } else { (phone, gateway) };
        Self {
            to: destination.2,
            from: source.2,
            tags: vec![0xa0c8],
            hops: 64,
            source: source.0,
            destination: destination.0,
            ports: (source.1, destination.1),
            payload: rtp(0, voice, &speech(voice.number)),
            cut: usize::MAX,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.to.0, self.from.0].concat();
        for tci in &self.tags {
            bytes.extend([0x81, 0]);
            bytes.extend(tci.to_be_bytes());
        }
        bytes.extend([8, 0]);
        let length = |more: usize| u16::try_from(self.payload.len() + more).expect("16 bits").to_be_bytes();
        bytes.extend([0x45, 0xb8]);
        bytes.extend(length(28));
        bytes.extend([0, 0, 0x40, 0, self.hops, 17, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(self.ports.0.to_be_bytes());
        bytes.extend(self.ports.1.to_be_bytes());
        bytes.extend(length(8));
        bytes.extend([0, 0]);
        bytes.extend(&self.payload);
        bytes.truncate(self.cut);
        bytes
    }
}

/// µ-law of a loud, slow wave.
pub fn speech(number: u16) -> Vec<u8> {
    let mut payload = vec![0xd5; 160];
    payload.splice(..2, number.to_be_bytes());
    payload
}

/// Bytes that nothing tells from chance.
pub fn ciphertext(voice: Voice) -> Vec<u8> {
    let mut state = u64::from(voice.number) << 16 | u64::from(voice.call) << 8 | u64::from(voice.reverse) | 1 << 40;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..170).map(|_| next()).collect()
}

pub fn rtp(payload_type: u8, voice: Voice, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend((1000 + voice.number).to_be_bytes());
    packet.extend((u32::from(voice.number) * 160 + 8000).to_be_bytes());
    packet.extend([0x44, u8::from(voice.reverse), 0x12, voice.call]);
    packet.extend(payload);
    packet
}

pub fn show(survey: &mut Survey, bytes: &[u8], captured: Instant) {
    let wire_length = u32::try_from(bytes.len()).expect("32 bits");
    survey.handle_frame(&Frame {
        link_type: LinkType::Ethernet,
        captured,
        bytes,
        wire_length,
    });
}

pub fn survey() -> Survey {
    Survey::new(SurveyOptions { own: Some(OWN) })
}

/// So many calls for so many packets of 20 ms; `bend` says what the mirror makes of each frame.
pub fn play(survey: &mut Survey, calls: u8, packets: u16, bend: impl Fn(Voice, Wire) -> Vec<Wire>) -> Report {
    for number in 0..packets {
        for call in 1..=calls {
            for reverse in [false, true] {
                let voice = Voice { call, reverse, number };
                for wire in bend(voice, Wire::of(voice)) {
                    show(survey, &wire.bytes(), at(u64::from(number) * 20));
                }
            }
        }
    }
    survey.conclude();
    survey.report()
}

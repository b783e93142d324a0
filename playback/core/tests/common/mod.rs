//! A simulated sender, network and card for the player, in virtual time.
#![allow(clippy::expect_used, reason = "a test may fail here")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::Duration;

use silentmon_playback_core::g711::Law;
use silentmon_playback_core::player::{Player, PlayoutSettings, Preset, to_i16};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{Leg, PayloadType};
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::time::Instant;

/// When everything begins.
pub const START: Instant = Instant::from_parts(1_700_000_000, 0);

/// Longest fade after the last packet: a second, in which what was behind the voice goes on.
const FADE: usize = 9600;

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An RTP packet on its way.
#[derive(Debug, Clone)]
pub struct Sent {
    pub captured: Instant,
    pub arrives: Instant,
    pub leg: Leg,
    pub rtp: Vec<u8>,
}

/// What stands before a packet of G.711 in an audio datagram.
pub fn header(leg: Leg, captured: Instant) -> AudioHeader {
    AudioHeader {
        kind: AudioKind::Rtp,
        leg,
        again: false,
        codec: Codec::Pcmu,
        channel: 1,
        relay_sequence: 0,
        captured,
    }
}

impl Sent {
    pub fn header(&self) -> AudioHeader {
        AudioHeader {
            codec: Codec::from_static_payload_type(PayloadType(self.rtp[1] & 0x7f)),
            ..header(self.leg, self.captured)
        }
    }
}

/// A phone that counts up.
#[derive(Debug, Clone)]
pub struct Phone {
    pub leg: Leg,
    pub ssrc: u32,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub at: Instant,
}

impl Phone {
    pub fn new(leg: Leg) -> Self {
        Self {
            leg,
            ssrc: 0x1234_5678,
            payload_type: 0,
            sequence: 1000,
            timestamp: 5000,
            at: START,
        }
    }

    /// Sends a payload and waits until the next is due.
    pub fn send(&mut self, payload: &[u8]) -> Sent {
        let sent = Sent {
            captured: self.at,
            arrives: self.at,
            leg: self.leg,
            rtp: self.packet(payload),
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.pause(payload.len());
        sent
    }

    /// Sends a number of payloads that can be told apart.
    pub fn talk(&mut self, packets: usize, length: usize) -> Vec<Sent> {
        (0..packets)
            .map(|_| {
                let payload = speech(self.timestamp, length);
                self.send(&payload)
            })
            .collect()
    }

    /// Lets so many samples pass without a packet.
    pub fn pause(&mut self, samples: usize) {
        self.timestamp = self
            .timestamp
            .wrapping_add(u32::try_from(samples).expect("few samples"));
        self.at += Duration::from_micros(125 * samples as u64);
    }

    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut rtp = vec![0x80, self.payload_type];
        rtp.extend_from_slice(&self.sequence.to_be_bytes());
        rtp.extend_from_slice(&self.timestamp.to_be_bytes());
        rtp.extend_from_slice(&self.ssrc.to_be_bytes());
        rtp.extend_from_slice(payload);
        rtp
    }
}

/// Loud payload that depends on where it lies, so that every misplaced sample shows.
pub fn speech(timestamp: u32, length: usize) -> Vec<u8> {
    (0..u32::try_from(length).expect("short"))
        .map(|n| {
            let mixed = timestamp.wrapping_add(n).wrapping_mul(2_654_435_761);
            let noise = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
            0x80 | (noise >> 26) as u8
        })
        .collect()
}

pub fn decoded(sent: &[Sent]) -> Vec<i16> {
    sent.iter()
        .flat_map(|sent| {
            let law = if sent.rtp[1] & 0x7f == 8 { Law::A } else { Law::Mu };
            sent.rtp[12..].iter().map(move |&code| law.decode(code))
        })
        .collect()
}

/// Plays packets for a time, pulling 10 ms at a time; the packets are handed over when they arrive.
pub fn play_with(player: &mut Player, mut sent: Vec<Sent>, length: Duration) -> [Vec<i16>; 2] {
    sent.sort_by_key(|sent| sent.arrives);
    let mut waiting = sent.into_iter().peekable();
    let mut out = [Vec::new(), Vec::new()];
    let mut now = START;
    while now < START + length {
        while let Some(packet) = waiting.next_if(|packet| packet.arrives <= now) {
            player.handle_packet(packet.arrives, &packet.header(), &packet.rtp);
        }
        let mut frames = [[0.0; 2]; 80];
        player.pull(now, &mut frames);
        for [left, right] in frames.map(|frame| frame.map(to_i16)) {
            out[0].push(left);
            out[1].push(right);
        }
        now += ms(10);
    }
    out
}

/// A delay that nothing in most tests changes: 60 ms.
pub fn steady() -> PlayoutSettings {
    PlayoutSettings {
        preset: Preset::Low,
        min_delay: ms(60),
        ..PlayoutSettings::default()
    }
}

pub fn play(sent: Vec<Sent>, length: Duration) -> (Player, [Vec<i16>; 2]) {
    let mut player = Player::new(steady());
    let out = play_with(&mut player, sent, length);
    (player, out)
}

/// As much as was sent, from the first sound on. What follows the last packet may only be its sound fading away: nobody
/// can know that no other packet comes.
pub fn heard<'a>(samples: &'a [i16], sent: &[i16]) -> &'a [i16] {
    let sound = trimmed(samples);
    let (played, after) = sound.split_at(sent.len().min(sound.len()));
    assert!(after.len() <= FADE, "sound went on for {} samples", after.len());
    let loudest = |samples: &[i16]| samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    assert!(loudest(after) / 5 <= loudest(played) / 4 + 1, "it grew louder");
    played
}

/// Without the silence before and after.
pub fn trimmed(samples: &[i16]) -> &[i16] {
    let Some(first) = samples.iter().position(|&sample| sample != 0) else {
        return &[];
    };
    let last = samples.iter().rposition(|&sample| sample != 0).unwrap_or(first);
    &samples[first..=last]
}

/// Numbers that look random, from a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// A sender goes on for a while when it hears silence.
pub fn hangover(phone: &mut Phone) -> Vec<Sent> {
    (0..5).map(|_| phone.send(&[0xff; 160])).collect()
}

/// Speech of one second, then half a second of quiet, for so many seconds.
pub fn turns(phone: &mut Phone, seconds: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    for _ in 0..seconds {
        sent.extend(phone.talk(35, 160));
        sent.extend((0..15).map(|_| phone.send(&[0xff; 160])));
    }
    sent
}

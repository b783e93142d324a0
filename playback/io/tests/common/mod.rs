//! A phone that talks in real time.
#![allow(clippy::expect_used, reason = "a test may fail here")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::f64::consts::TAU;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use silentmon_playback_core::g711::Law;
use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_playback_io::clock;
use silentmon_playback_io::sink::SharedPlayer;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, AudioKind};

/// A player with so much patience that a machine under load makes no difference.
pub fn patient_player() -> SharedPlayer {
    let settings = PlayoutSettings {
        min_delay: Duration::from_millis(300),
        max_delay: Duration::from_secs(3),
        ..PlayoutSettings::default()
    };
    Arc::new(Mutex::new(Player::new(settings)))
}

/// One sample of a tone of 440 Hz, as µ-law.
#[expect(clippy::cast_possible_truncation, reason = "16,000 at most")]
fn tone(n: usize) -> u8 {
    Law::Mu.encode(((n as f64 * TAU * 440.0 / 8000.0).sin() * 16_000.0) as i16)
}

/// What so many packets of the tone decode to.
pub fn tone_samples(packets: usize) -> Vec<i16> {
    (0..packets * 160).map(|n| Law::Mu.decode(tone(n))).collect()
}

/// Sends a tone of 440 Hz to the agent's leg at real pace, 20 ms a packet.
pub fn play_tone(player: &SharedPlayer, packets: usize) {
    let start = clock::now();
    for n in 0..packets {
        let captured = start + Duration::from_millis(20 * n as u64);
        thread::sleep(captured.saturating_since(clock::now()));
        let mut rtp = vec![0x80, 0];
        rtp.extend_from_slice(&u16::try_from(n).expect("few packets").to_be_bytes());
        rtp.extend_from_slice(&u32::try_from(n * 160).expect("few packets").to_be_bytes());
        rtp.extend_from_slice(&7_u32.to_be_bytes());
        rtp.extend((n * 160..(n + 1) * 160).map(tone));
        let mut player = player.lock().expect("no thread died");
        let header = AudioHeader {
            kind: AudioKind::Rtp,
            leg: Leg::Agent,
            again: false,
            codec: Codec::Pcmu,
            channel: 1,
            relay_sequence: u32::try_from(n).expect("few packets"),
            captured,
        };
        player.handle_packet(clock::now(), &header, &rtp);
    }
}

//! The output's rate may change while the player plays.
#![allow(clippy::expect_used, reason = "a test may fail here")]

mod common;

use std::f64::consts::TAU;
use std::time::Duration;

use common::{Phone, START};
use silentmon_playback_core::g711::Law;
use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_proto::ids::Leg;
use silentmon_proto::time::Instant;

const HERTZ: f64 = 440.0;

/// 20 ms of a tone.
fn tone(packet: usize) -> Vec<u8> {
    let sample = |n: usize| (n as f64 * TAU * HERTZ / 8000.0).sin() * 16_000.0;
    let range = packet * 160..(packet + 1) * 160;
    #[expect(clippy::cast_possible_truncation, reason = "16,000 at most")]
    range.map(|n| Law::Mu.encode(sample(n) as i16)).collect()
}

/// A player that hears a tone, and what it played.
struct Ear {
    player: Player,
    phone: Phone,
    packets: usize,
    now: Instant,
}

impl Ear {
    fn new() -> Self {
        Self {
            player: Player::new(PlayoutSettings::default()),
            phone: Phone::new(Leg::Agent),
            packets: 0,
            now: START,
        }
    }

    /// What the agent's ear hears for so many ticks of 10 ms.
    fn hear(&mut self, ticks: u32) -> Vec<f64> {
        let mut frames = vec![[0.0; 2]; self.player.sample_rate() as usize / 100];
        let mut heard = Vec::new();
        for _ in 0..ticks {
            if self.now >= self.phone.at {
                let packet = self.phone.send(&tone(self.packets));
                self.packets += 1;
                self.player.handle_packet(self.now, &packet.header(), &packet.rtp);
            }
            self.player.pull(self.now, &mut frames);
            heard.extend(frames.iter().map(|frame| f64::from(frame[0])));
            self.now += Duration::from_millis(10);
        }
        heard
    }
}

/// Amplitude and phase of the tone in samples of which the first is heard at `start` seconds.
fn fit(samples: &[f64], rate: u32, start: f64) -> (f64, f64) {
    let angle = |n: usize| TAU * HERTZ * (start + n as f64 / f64::from(rate));
    let part = |wave: fn(f64) -> f64| -> f64 {
        let products = samples.iter().enumerate();
        2.0 * products.map(|(n, x)| x * wave(angle(n))).sum::<f64>() / samples.len() as f64
    };
    let (sine, cosine) = (part(f64::sin), part(f64::cos));
    (sine.hypot(cosine), cosine.atan2(sine))
}

#[test]
fn sound_goes_on_where_it_was_when_the_rate_changes() {
    let mut ear = Ear::new();
    assert_eq!(ear.player.sound_rate(), None);
    let first = ear.hear(100);
    assert_eq!(ear.player.sound_rate(), Some(8000));
    ear.player.set_sample_rate(48_000);
    let second = ear.hear(100);
    assert_eq!((first.len(), second.len()), (8_000, 48_000));
    ear.player.set_sample_rate(8000);
    let third = ear.hear(100);
    let fits = [
        fit(&first[4_000..], 8000, 0.5),
        fit(&second, 48_000, 1.0),
        fit(&third, 8000, 2.0),
    ];
    for (amplitude, phase) in fits {
        assert!((amplitude - 0.488).abs() < 0.005, "{fits:?}");
        let slip = (phase - fits[0].1 + TAU * 1.5).rem_euclid(TAU) - TAU / 2.0;
        assert!(slip.abs() < 0.1, "{fits:?}");
    }
}

#[test]
fn rates_beyond_what_is_possible_are_brought_within() {
    let mut player = Player::new(PlayoutSettings::default());
    player.set_sample_rate(192_000);
    assert_eq!(player.sample_rate(), 96_000);
    player.set_sample_rate(1);
    assert_eq!(player.sample_rate(), 8000);
}

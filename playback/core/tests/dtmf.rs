//! In-band DTMF: digits of every allowed kind are muted in time and wholly, other sounds are left alone.

use std::f32::consts::TAU;

use silentmon_playback_core::mix::{MixSettings, Mixer};

/// ITU-T Q.23.
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// A digit as a telephone sends it.
#[derive(Debug, Clone, Copy)]
struct Digit {
    row: f32,
    column: f32,
    /// Both tones together, in dB relative to a full-scale square wave.
    level_db: f32,
    /// How much stronger the higher tone is.
    twist_db: f32,
    /// Deviation of the frequencies as a share of them.
    deviation: f32,
    /// Level of white noise below the digit.
    noise_db: Option<f32>,
    milliseconds: u32,
}

impl Digit {
    fn plain(row: f32, column: f32) -> Self {
        Self {
            row,
            column,
            level_db: -10.0,
            twist_db: 0.0,
            deviation: 0.0,
            noise_db: None,
            milliseconds: 60,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        ROWS.into_iter()
            .flat_map(|row| COLUMNS.map(|column| Self::plain(row, column)))
    }

    /// `lead` samples of silence, the digit, and 50 ms of silence; noise under all of it.
    fn samples(self, lead: usize, rate: u32, noise: &mut Noise) -> Vec<f32> {
        let power = 10_f32.powf(self.level_db / 10.0);
        let ratio = 10_f32.powf(self.twist_db / 10.0);
        let amplitudes = [1.0 / (1.0 + ratio), ratio / (1.0 + ratio)].map(|share| (2.0 * power * share).sqrt());
        let hiss = self
            .noise_db
            .map_or(0.0, |below| (3.0 * power * 10_f32.powf(-below / 10.0)).sqrt());
        let length = (self.milliseconds * rate / 1000) as usize;
        (0..lead + length + rate as usize / 20)
            .map(|n| {
                let time = n as f32 / rate as f32;
                let tone = |frequency: f32, amplitude: f32| {
                    amplitude * (TAU * frequency * (1.0 + self.deviation) * time).sin()
                };
                let heard = (lead..lead + length).contains(&n);
                let digit = tone(self.row, amplitudes[0]) + tone(self.column, amplitudes[1]);
                hiss * noise.next() + if heard { digit } else { 0.0 }
            })
            .collect()
    }
}

/// Numbers that look like noise, -1 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from((self.0 >> 48) as u16) / 32_768.0 - 1.0
    }
}

fn suppressing(rate: u32) -> Mixer {
    let mut mixer = Mixer::new(rate);
    mixer.set(MixSettings {
        suppress_dtmf: true,
        ..MixSettings::default()
    });
    mixer
}

/// What is heard of an agent's sound.
fn heard(mixer: &mut Mixer, samples: &[f32]) -> Vec<f32> {
    let mut out = vec![[0.0; 2]; samples.len()];
    mixer.mix(samples, &[], &mut out);
    out.into_iter().map(|[left, _]| left).collect()
}

/// Milliseconds of the digit that are heard; all of it must be before the first mute.
fn heard_milliseconds(digit: Digit, lead: usize, rate: u32) -> f32 {
    let mut mixer = suppressing(rate);
    let samples = digit.samples(lead, rate, &mut Noise(u64::from(rate) + lead as u64));
    let out = heard(&mut mixer, &samples);
    assert_eq!(mixer.levels().agent.digits_muted, 1, "{digit:?}");
    let end = lead + (digit.milliseconds * rate / 1000) as usize;
    let last = out[lead..end].iter().rposition(|sample| *sample != 0.0);
    last.map_or(0.0, |last| (last + 1) as f32 * 1000.0 / rate as f32)
}

#[test]
fn every_digit_is_muted_before_a_receiver_could_read_it() {
    let mut most = 0.0_f32;
    for (n, plain) in Digit::all().enumerate() {
        for level_db in [-26.0, -3.0] {
            for twist_db in [-8.0, 4.0] {
                for deviation in [-0.015, 0.015] {
                    for noise_db in [None, Some(18.0)] {
                        let digit = Digit {
                            level_db,
                            twist_db,
                            deviation,
                            noise_db,
                            ..plain
                        };
                        most = most.max(heard_milliseconds(digit, 800 + 7 * n, 8000));
                    }
                }
            }
        }
    }
    assert!(most <= 25.0, "{most} ms were heard");
}

#[test]
fn the_shortest_digit_of_q_24_is_muted_at_every_rate() {
    for rate in [8000, 16_000, 44_100, 48_000] {
        for plain in Digit::all() {
            let digit = Digit {
                milliseconds: 40,
                noise_db: Some(20.0),
                ..plain
            };
            let heard = heard_milliseconds(digit, 977, rate);
            assert!(heard <= 25.0, "{rate} Hz, {digit:?}: {heard} ms");
        }
    }
}

#[test]
fn digits_one_after_the_other_are_each_muted() {
    let mut mixer = suppressing(8000);
    let mut noise = Noise(1);
    for digit in Digit::all() {
        heard(&mut mixer, &digit.samples(0, 8000, &mut noise));
    }
    assert_eq!(mixer.levels().agent.digits_muted, 16);
    assert_eq!(mixer.levels().customer.digits_muted, 0);
}

#[test]
fn sound_comes_back_after_a_digit() {
    let mut mixer = suppressing(8000);
    heard(&mut mixer, &Digit::plain(770.0, 1336.0).samples(0, 8000, &mut Noise(1)));
    assert_eq!(heard(&mut mixer, &[0.25; 100]), [0.25; 100]);
}

#[test]
fn switching_it_off_brings_the_sound_back() {
    let mut mixer = suppressing(8000);
    let digit = Digit {
        milliseconds: 100,
        ..Digit::plain(770.0, 1336.0)
    };
    let samples = digit.samples(0, 8000, &mut Noise(1));
    assert!(
        heard(&mut mixer, &samples[..400])[380..]
            .iter()
            .all(|sample| *sample == 0.0)
    );
    mixer.set(MixSettings::default());
    let again = heard(&mut mixer, &samples[400..800]);
    assert_eq!(again[100..], samples[500..800]);
}

#[test]
fn single_tones_other_pairs_and_noise_are_left_alone() {
    let mut noise = Noise(5);
    let second = |amplitudes: [(f32, f32); 2], noise: &mut Noise, hiss: f32| -> Vec<f32> {
        (0..8000)
            .map(|n| {
                let tones =
                    amplitudes.map(|(frequency, amplitude)| amplitude * (TAU * frequency * n as f32 / 8000.0).sin());
                tones[0] + tones[1] + hiss * noise.next()
            })
            .collect()
    };
    // Dial and ringing tone, a lone row, frequencies 3.5 % off, two rows, a twist of 20 dB, noise.
    let cases = [
        ([(425.0, 0.3), (0.0, 0.0)], 0.0),
        ([(350.0, 0.2), (440.0, 0.2)], 0.0),
        ([(440.0, 0.2), (480.0, 0.2)], 0.0),
        ([(480.0, 0.2), (620.0, 0.2)], 0.0),
        ([(697.0, 0.3), (0.0, 0.0)], 0.0),
        ([(770.0 * 1.035, 0.2), (1336.0 * 1.035, 0.2)], 0.0),
        ([(852.0 * 0.965, 0.2), (1477.0 * 0.965, 0.2)], 0.0),
        ([(697.0, 0.2), (852.0, 0.2)], 0.0),
        ([(697.0, 0.3), (1209.0, 0.03)], 0.0),
        ([(697.0, 0.0), (1209.0, 0.0)], 0.3),
    ];
    for (tones, hiss) in cases {
        let mut mixer = suppressing(8000);
        let samples = second(tones, &mut noise, hiss);
        assert_eq!(heard(&mut mixer, &samples), samples, "{tones:?}");
        assert_eq!(mixer.levels().agent.digits_muted, 0);
    }
}

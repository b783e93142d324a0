//! The mixer: exact by default, smooth where something changes, within full scale always.
#![allow(clippy::expect_used, reason = "a test that can't go on panics")]

use std::f32::consts::TAU;

use proptest::prelude::*;
use silentmon_playback_core::mix::{MixSettings, Mixer};

const RATE: u32 = 8000;

fn sine(frequency: f32, amplitude: f32, rate: u32, samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|n| amplitude * (TAU * frequency * n as f32 / rate as f32).sin())
        .collect()
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

fn mixed(mixer: &mut Mixer, agent: &[f32], customer: &[f32]) -> Vec<[f32; 2]> {
    let mut out = vec![[0.0; 2]; agent.len()];
    mixer.mix(agent, customer, &mut out);
    out
}

fn rms_db(samples: impl Iterator<Item = f32>) -> f32 {
    let (count, sum) = samples.fold((0.0, 0.0), |(count, sum), x| (count + 1.0, sum + x * x));
    10.0 * (sum / count).log10()
}

#[test]
#[expect(clippy::float_cmp, reason = "exact")]
fn every_16_bit_sample_comes_out_as_it_went_in() {
    for settings in [
        MixSettings::default(),
        MixSettings {
            suppress_dtmf: true,
            ..MixSettings::default()
        },
    ] {
        let mut mixer = Mixer::new(RATE);
        mixer.set(settings);
        let agent: Vec<f32> = (i16::MIN..=i16::MAX)
            .map(|sample| f32::from(sample) / 32_768.0)
            .collect();
        let customer: Vec<f32> = agent.iter().rev().copied().collect();
        for (n, frame) in mixed(&mut mixer, &agent, &customer).into_iter().enumerate() {
            assert_eq!(frame, [agent[n], customer[n]]);
        }
    }
}

#[test]
fn the_output_does_not_depend_on_how_it_is_pulled() {
    let settings = MixSettings {
        volume_db: 9.0,
        balance: 0.3,
        mono: true,
        auto_level: true,
        suppress_dtmf: true,
        ..MixSettings::default()
    };
    let mut noise = Noise(7);
    let agent: Vec<f32> = (0..8000).map(|_| noise.next()).collect();
    let customer: Vec<f32> = (0..8000).map(|_| noise.next()).collect();
    let mut whole = Mixer::new(RATE);
    whole.set(settings);
    let expected = mixed(&mut whole, &agent, &customer);
    let mut parts = Mixer::new(RATE);
    parts.set(settings);
    let mut found = Vec::new();
    for (agent, customer) in agent.chunks(37).zip(customer.chunks(37)) {
        found.extend(mixed(&mut parts, agent, customer));
    }
    assert_eq!(expected, found);
}

#[test]
#[expect(clippy::float_cmp, reason = "exact")]
fn balance_keeps_the_power_and_its_centre_changes_nothing() {
    let constant = vec![0.1; 200];
    for balance in [-1.0, -0.5, 0.0, 0.25, 1.0] {
        let mut mixer = Mixer::new(RATE);
        mixer.set(MixSettings {
            balance,
            ..MixSettings::default()
        });
        let [left, right] = mixed(&mut mixer, &constant, &constant)[199];
        let power = left * left + right * right;
        assert!((power / 0.02 - 1.0).abs() < 1e-4, "{balance}: {power}");
        match balance {
            -1.0 => assert!(right.abs() < 1e-6),
            0.0 => assert_eq!([left, right], [0.1, 0.1]),
            1.0 => assert!(left.abs() < 1e-6),
            _ => assert_eq!(balance > 0.0, right > left),
        }
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "exact")]
fn a_muted_leg_is_silent_after_5_ms_and_the_other_untouched() {
    let mut mixer = Mixer::new(RATE);
    mixer.set(MixSettings {
        muted: [true, false],
        ..MixSettings::default()
    });
    let out = mixed(&mut mixer, &[0.5; 100], &[0.25; 100]);
    assert!(out[0][0] < 0.5 && out[0][0] > 0.45, "{:?}", out[0]);
    assert!(out[40..].iter().all(|frame| *frame == [0.0, 0.25]));
}

#[test]
fn no_change_of_a_setting_clicks() {
    let settings = [
        MixSettings {
            muted: [true, true],
            ..MixSettings::default()
        },
        MixSettings::default(),
        MixSettings {
            volume_db: -20.0,
            ..MixSettings::default()
        },
        MixSettings {
            balance: -1.0,
            ..MixSettings::default()
        },
        MixSettings {
            mono: true,
            ..MixSettings::default()
        },
        MixSettings::default(),
    ];
    let mut mixer = Mixer::new(RATE);
    let mut last = None;
    for settings in settings {
        // In the middle of a ramp too.
        for length in [15, 400] {
            mixer.set(settings);
            for frame in mixed(&mut mixer, &vec![0.25; length], &vec![0.25; length]) {
                let before = last.replace(frame).unwrap_or(frame);
                for ear in [0, 1] {
                    let step = (frame[ear] - before[ear]).abs();
                    assert!(step <= 0.25 * 1.5 / 40.0, "{settings:?}: {step}");
                }
            }
        }
    }
}

#[test]
fn mono_is_the_same_in_both_ears_and_as_loud_as_one_of_two_voices() {
    let mut mixer = Mixer::new(RATE);
    mixer.set(MixSettings {
        mono: true,
        ..MixSettings::default()
    });
    let agent = sine(440.0, 0.25, RATE, 8000);
    let customer = sine(700.0, 0.25, RATE, 8000);
    let out = mixed(&mut mixer, &agent, &customer);
    assert!(
        out[40..]
            .iter()
            .all(|[left, right]| (left - right).abs() < f32::EPSILON)
    );
    let level = rms_db(out[100..].iter().map(|frame| frame[0]));
    let one = rms_db(agent.iter().copied());
    assert!((level - one).abs() < 0.1, "{level} {one}");
}

#[test]
fn what_is_too_loud_is_turned_down_without_being_cut_off() {
    let mut mixer = Mixer::new(RATE);
    mixer.set(MixSettings {
        volume_db: 12.0,
        ..MixSettings::default()
    });
    let agent = sine(440.0, 0.5, RATE, 8000);
    let out = mixed(&mut mixer, &agent, &agent);
    let loudest = out.iter().map(|frame| frame[0].abs()).fold(0.0, f32::max);
    assert!(loudest <= 1.0 && loudest > 0.99);
    // After the first swing it is a sine: its crest is 3 dB above its mean.
    let crest = -rms_db(out[1000..].iter().map(|frame| frame[0]));
    assert!((crest - 3.01).abs() < 0.15, "{crest}");
}

#[test]
fn the_limiter_lets_go_completely() {
    let mut mixer = Mixer::new(RATE);
    mixed(&mut mixer, &[4.0; 10], &[0.0; 10]);
    mixed(&mut mixer, &vec![0.5; 20_000], &vec![0.5; 20_000]);
    assert_eq!(mixed(&mut mixer, &[0.5], &[0.5]), [[0.5, 0.5]]);
}

#[test]
fn meters_show_known_signals() {
    for rate in [8000, 16_000, 48_000] {
        let mut mixer = Mixer::new(rate);
        let second = rate as usize;
        mixer.set(MixSettings {
            muted: [true, true],
            ..MixSettings::default()
        });
        assert!(mixer.levels().agent.rms_dbfs <= -96.0 && mixer.levels().agent.peak_dbfs <= -96.0);
        let agent = sine(1000.0, 0.5, rate, second);
        mixed(&mut mixer, &agent, &vec![-1.0; second]);
        let levels = mixer.levels();
        assert!((levels.agent.rms_dbfs + 9.03).abs() < 0.02, "{levels:?}");
        assert!((levels.agent.peak_dbfs + 6.02).abs() < 0.02, "{levels:?}");
        assert!(levels.customer.rms_dbfs.abs() < 0.01 && levels.customer.peak_dbfs.abs() < 0.01);

        mixed(&mut mixer, &vec![0.0; second], &vec![0.0; second]);
        let levels = mixer.levels();
        assert!(levels.agent.rms_dbfs <= -96.0, "{levels:?}");
        assert!(
            (levels.agent.peak_dbfs + 6.02).abs() < 0.02,
            "held for 1.5 s: {levels:?}"
        );
        mixed(&mut mixer, &vec![0.0; second], &vec![0.0; second]);
        assert!(mixer.levels().agent.peak_dbfs <= -96.0);
    }
}

/// Something like speech: syllables of 200 ms in bursts of two seconds, with pauses of one.
fn speech(rms_db: f32, seconds: usize) -> Vec<f32> {
    let amplitude = 10_f32.powf(rms_db / 20.0) * std::f32::consts::SQRT_2;
    let mut noise = Noise(3);
    (0..seconds * RATE as usize)
        .map(|n| {
            let time = n as f32 / RATE as f32;
            let syllable = time % 3.0 < 2.0 && time % 0.25 < 0.2;
            let voice = (TAU * 150.0 * time).sin() * 0.8 + (TAU * 450.0 * time).sin() * 0.6;
            let background = noise.next() * 0.0005;
            if syllable {
                amplitude * voice + background
            } else {
                background
            }
        })
        .collect()
}

fn with_auto_level(agent: &[f32]) -> (Vec<f32>, f32) {
    let mut mixer = Mixer::new(RATE);
    mixer.set(MixSettings {
        auto_level: true,
        ..MixSettings::default()
    });
    let out = mixed(&mut mixer, agent, &vec![0.0; agent.len()]);
    let gain = mixer.levels().agent.auto_level_db;
    (out.into_iter().map(|frame| frame[0]).collect(), gain)
}

#[test]
fn speech_comes_to_its_level_slowly() {
    for (level, gain) in [(-30.0, 8.0), (-22.0, 0.0), (-12.0, -10.0), (-45.0, 12.0)] {
        let (out, found) = with_auto_level(&speech(level, 20));
        assert!((found - gain).abs() <= 1.1, "{level}: {found} dB");
        // The last burst's syllables.
        let start = 18 * RATE as usize;
        let heard = out[start..start + 1600].iter().copied();
        let measured = rms_db(heard);
        assert!((measured - level - gain).abs() < 1.2, "{level}: {measured}");
    }
}

#[test]
fn automatic_level_moves_at_most_6_db_a_second() {
    let (_, gain) = with_auto_level(&speech(-10.0, 1));
    assert!((-6.0..0.0).contains(&gain), "{gain}");
    let (_, gain) = with_auto_level(&speech(-40.0, 1));
    assert!((0.0..=3.0).contains(&gain), "{gain}");
}

#[test]
fn noise_and_pauses_are_not_pumped_up() {
    let mut noise = Noise(11);
    let hiss: Vec<f32> = (0..20 * RATE).map(|_| noise.next() * 0.005).collect();
    let (_, gain) = with_auto_level(&hiss);
    assert!(gain.abs() < f32::EPSILON, "{gain}");
    let mut talk = speech(-26.0, 9);
    let (_, before) = with_auto_level(&talk);
    talk.extend(&hiss);
    let (_, after) = with_auto_level(&talk);
    assert!((before - after).abs() < f32::EPSILON, "{before} {after}");
}

fn samples() -> impl Strategy<Value = f32> {
    prop_oneof![
        -1.0..1.0_f32,
        any::<f32>(),
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(f32::MAX),
    ]
}

fn settings() -> impl Strategy<Value = MixSettings> {
    let numbers = prop_oneof![-70.0..30.0_f32, any::<f32>()];
    (numbers, prop_oneof![-1.5..1.5_f32, any::<f32>()], any::<[bool; 5]>()).prop_map(
        |(volume_db, balance, [agent, customer, mono, auto_level, suppress_dtmf])| MixSettings {
            volume_db,
            balance,
            muted: [agent, customer],
            mono,
            auto_level,
            suppress_dtmf,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_exceeds_full_scale_whatever_is_set(
        changes in prop::collection::vec((settings(), prop::collection::vec((samples(), samples()), 0..150)), 1..8),
        rate in prop_oneof![Just(8000_u32), Just(16_000), Just(44_100), Just(48_000), any::<u32>()],
    ) {
        let mut mixer = Mixer::new(rate);
        for (settings, legs) in changes {
            mixer.set(settings);
            let (agent, customer): (Vec<f32>, Vec<f32>) = legs.into_iter().unzip();
            for frame in mixed(&mut mixer, &agent, &customer) {
                for sample in frame {
                    prop_assert!(sample.abs() <= 1.0, "{sample}");
                }
            }
        }
        let levels = mixer.levels();
        for level in [levels.agent, levels.customer] {
            prop_assert!(level.rms_dbfs >= -96.0 && level.peak_dbfs >= -96.0);
            prop_assert!(level.rms_dbfs.is_finite() && level.auto_level_db.is_finite());
        }
    }
}

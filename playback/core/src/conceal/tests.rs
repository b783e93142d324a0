use std::f32::consts::TAU;

use proptest::prelude::*;

use super::*;

const RATES: [u32; 3] = [8000, 16_000, 48_000];

fn samples(milliseconds: usize, rate: u32) -> usize {
    milliseconds * rate as usize / 1000
}

/// A voice of 125 Hz with harmonics: a period is 8 ms.
fn voice(rate: u32, range: std::ops::Range<usize>) -> Vec<f32> {
    let at = |n: usize| {
        let turn = n as f32 / rate as f32 * 125.0 * TAU;
        (1..6)
            .map(|k| (turn * k as f32 + k as f32).sin() / k as f32)
            .sum::<f32>()
            * 0.1
    };
    range.map(at).collect()
}

/// A concealer that heard 100 ms of the voice.
fn after_voice(rate: u32) -> (Concealer, usize) {
    let mut concealer = Concealer::new(rate);
    let heard = samples(100, rate);
    concealer.heard(&voice(rate, 0..heard));
    (concealer, heard)
}

fn furthest(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn loudness(sound: &[f32]) -> f32 {
    crate::pitch::power(sound).sqrt()
}

#[test]
fn a_voice_goes_on_through_a_gap_at_any_rate() {
    for rate in RATES {
        let (mut concealer, heard) = after_voice(rate);
        let mut gap = vec![0.0; samples(10, rate)];
        concealer.conceal(None, &mut gap);
        let off = furthest(&gap, &voice(rate, heard..heard + gap.len()));
        assert!(off < 0.03, "{off} at {rate}");
    }
}

#[test]
fn a_gap_that_is_known_from_both_sides_is_met_in_phase() {
    for rate in RATES {
        let (mut concealer, heard) = after_voice(rate);
        let mut gap = vec![0.0; samples(60, rate)];
        let after = heard + gap.len();
        let future = voice(rate, after..after + samples(20, rate));
        concealer.conceal(
            Some(Future {
                after: gap.len(),
                samples: &future,
            }),
            &mut gap,
        );
        let off = furthest(&gap, &voice(rate, heard..after));
        assert!(off < 0.06, "{off} at {rate}");
        let mut resumed = future.clone();
        concealer.resume(&mut resumed);
        assert_eq!(resumed, future);
    }
}

#[test]
fn a_gap_may_be_concealed_in_ticks_of_any_length() {
    let (mut once, heard) = after_voice(8000);
    let (mut ticks, _) = after_voice(8000);
    let future = voice(8000, heard + 320..heard + 480);
    let mut whole = [0.0; 320];
    once.conceal(None, &mut whole[..100]);
    once.conceal(
        Some(Future {
            after: 220,
            samples: &future,
        }),
        &mut whole[100..],
    );
    let mut parts = [0.0; 320];
    let mut at = 0;
    for length in [1, 40, 59, 80, 7, 133] {
        let known = Future {
            after: 320 - at,
            samples: &future,
        };
        ticks.conceal((at >= 100).then_some(known), &mut parts[at..at + length]);
        at += length;
    }
    assert_eq!(whole.to_vec(), parts.to_vec());
}

#[test]
fn the_sound_after_a_gap_that_nobody_saw_coming_is_touched_for_3_ms_only() {
    let (mut concealer, _) = after_voice(8000);
    concealer.conceal(None, &mut [0.0; 160]);
    let mut next = [0.2; 80];
    concealer.resume(&mut next);
    let is_touched = |sample: &f32| sample.to_bits() != 0.2_f32.to_bits();
    assert!(is_touched(&next[0]));
    assert!(!next[24..].iter().any(is_touched));
}

#[test]
fn a_long_gap_fades_slowly_to_silence() {
    let (mut concealer, _) = after_voice(8000);
    let mut gap = vec![0.0; 8000];
    concealer.conceal(None, &mut gap);
    let blocks: Vec<f32> = gap.chunks(800).map(loudness).collect();
    assert!(blocks[0] > 0.6 * loudness(&voice(8000, 0..800)));
    assert!(blocks[..4].windows(2).all(|pair| pair[1] < pair[0]));
    assert!(blocks[5..].iter().all(|&block| block == 0.0));
}

#[test]
fn where_a_voice_has_faded_its_background_goes_on() {
    let mut noise = ComfortNoise::new(8000, 9);
    noise.describe(&[60]);
    let mut concealer = Concealer::new(8000);
    for tick in 0..800 {
        let mut heard = if tick % 100 < 80 {
            voice(8000, tick * 40..tick * 40 + 40)
        } else {
            vec![0.0; 40]
        };
        noise.add(true, &mut heard);
        concealer.heard(&heard);
    }
    let mut gap = vec![0.0; 8000];
    concealer.conceal(None, &mut gap);
    let decibels = 20.0 * loudness(&gap[4000..]).log10();
    assert!((-68.0..-60.0).contains(&decibels), "{decibels}");
}

#[test]
fn there_is_no_click_where_a_packet_ends_early_in_its_period() {
    let (mut concealer, heard) = after_voice(8000);
    let steepest = |sound: &[f32]| {
        sound
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max)
    };
    let mut sound = voice(8000, 0..heard);
    let limit = steepest(&sound) * 1.3;
    let mut gap = [0.0; 480];
    // The other side is another voice, out of phase.
    let future: Vec<f32> = voice(8000, 2017..2177).iter().map(|sample| sample * 0.7).collect();
    for (tick, out) in gap.chunks_mut(40).enumerate() {
        let known = Future {
            after: 480 - tick * 40,
            samples: &future,
        };
        concealer.conceal((tick > 5).then_some(known), out);
    }
    let mut resumed = future;
    concealer.resume(&mut resumed);
    sound.extend(gap);
    sound.extend(resumed);
    assert!(steepest(&sound) < limit, "{} of {limit}", steepest(&sound));
}

#[test]
fn a_packet_that_came_too_late_mends_what_is_continued() {
    let (mut concealer, heard) = after_voice(8000);
    let mut gap = [0.0; 160];
    concealer.silent(400);
    concealer.conceal(None, &mut gap);
    assert!(loudness(&gap) < 1e-3);
    concealer.mend(560, &voice(8000, heard..heard + 560));
    concealer.conceal(None, &mut gap);
    let off = furthest(&gap[24..], &voice(8000, heard + 584..heard + 720));
    assert!(off < 0.04, "{off}");
}

#[test]
fn a_pause_is_not_continued() {
    let (mut concealer, _) = after_voice(8000);
    concealer.silent(8000);
    let mut gap = [1.0; 160];
    concealer.conceal(None, &mut gap);
    assert!(gap.iter().all(|&sample| sample == 0.0));
}

#[derive(Debug, Clone)]
enum Step {
    Heard(Vec<f32>),
    Concealed {
        length: usize,
        after: usize,
        future: Vec<f32>,
    },
    Resumed(Vec<f32>),
    Silent(usize),
    Mended(usize, Vec<f32>),
}

fn sound() -> impl Strategy<Value = Vec<f32>> {
    (0_usize..1000, 0.0_f32..1.0, 1_usize..400).prop_map(|(length, volume, period)| {
        let wave = |n: usize| ((n % period) as f32 / period as f32 - 0.5) * volume;
        (0..length).map(wave).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        sound().prop_map(Step::Heard),
        (0_usize..1000, 0_usize..3000, sound()).prop_map(|(length, after, future)| Step::Concealed {
            length,
            after,
            future
        }),
        sound().prop_map(Step::Resumed),
        (0_usize..2000).prop_map(Step::Silent),
        (0_usize..1500, sound()).prop_map(|(ago, sound)| Step::Mended(ago, sound)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_order_of_calls_breaks_it_or_makes_it_loud(
        rate in prop_oneof![Just(8000_u32), Just(11_025), Just(48_000)],
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let mut concealer = Concealer::new(rate);
        for step in steps {
            let played = match step {
                Step::Heard(sound) => { concealer.heard(&sound); sound }
                Step::Concealed { length, after, future } => {
                    let mut out = vec![0.0; length];
                    concealer.conceal(Some(Future { after, samples: &future }), &mut out);
                    out
                }
                Step::Resumed(mut sound) => { concealer.resume(&mut sound); sound }
                Step::Silent(length) => { concealer.silent(length); vec![] }
                Step::Mended(ago, sound) => { concealer.mend(ago, &sound); vec![] }
            };
            prop_assert!(played.iter().all(|sample| sample.is_finite() && sample.abs() <= 4.0));
        }
    }
}

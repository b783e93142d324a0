//! The rate converter in virtual time: exact where nothing is to be converted, a sine stays a sine everywhere else.

use std::f64::consts::TAU;

use silentmon_playback_core::resample::{HALF_WIDTH, Resampler};

const AMPLITUDE: f64 = 0.5;
/// Half an hour takes minutes without optimisation.
const DRIFTING_MINUTES: u64 = if cfg!(debug_assertions) { 1 } else { 30 };

#[expect(clippy::cast_possible_truncation, reason = "a sample")]
fn sine(frequency: f64, rate: u32, n: u64) -> f32 {
    (AMPLITUDE * (TAU * frequency * n as f64 / f64::from(rate)).sin()) as f32
}

/// A source of endless sine and the converter behind it.
struct Line {
    resampler: Resampler,
    frequency: f64,
    rate: u32,
    taken: u64,
}

impl Line {
    fn new(frequency: f64, input: u32, output: u32) -> Self {
        let mut resampler = Resampler::new(480);
        resampler.set_rates(input, output);
        Self {
            resampler,
            frequency,
            rate: input,
            taken: 0,
        }
    }

    fn pull(&mut self, output: &mut [f32]) {
        let needed = self.resampler.input_needed(output.len());
        let input: Vec<f32> = (self.taken..)
            .take(needed)
            .map(|n| sine(self.frequency, self.rate, n))
            .collect();
        self.taken += needed as u64;
        self.resampler.process(&input, output);
    }

    fn seconds(&mut self, output_rate: u32, seconds: f64) -> Vec<f32> {
        let mut samples = Vec::new();
        while (samples.len() as f64) < seconds * f64::from(output_rate) {
            let mut chunk = vec![0.0; output_rate as usize / 200];
            self.pull(&mut chunk);
            samples.extend(chunk);
        }
        samples
    }
}

/// What a least-squares fit of a sine of this frequency leaves, relative to the signal, in dB.
fn residue_db(samples: &[f32], frequency: f64, rate: u32) -> f64 {
    let angle = |n: usize| TAU * frequency * n as f64 / f64::from(rate);
    let [mut ss, mut cc, mut sc, mut xs, mut xc, mut xx] = [0.0; 6];
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = angle(n).sin_cos();
        let x = f64::from(sample);
        ss += sin * sin;
        cc += cos * cos;
        sc += sin * cos;
        xs += x * sin;
        xc += x * cos;
        xx += x * x;
    }
    let determinant = ss * cc - sc * sc;
    let a = (xs * cc - xc * sc) / determinant;
    let b = (xc * ss - xs * sc) / determinant;
    10.0 * ((xx - a * xs - b * xc).max(1e-30) / xx).log10()
}

#[test]
fn equal_rates_give_the_samples_as_they_are_and_at_once() {
    let mut resampler = Resampler::new(160);
    let mut n = 0_u16;
    for length in [1, 80, 7, 160, 33] {
        assert_eq!(resampler.input_needed(length), length);
        let input: Vec<f32> = (0..length)
            .map(|_| {
                n = n.wrapping_mul(31_421).wrapping_add(6927);
                f32::from(n) / 65_536.0 - 0.5
            })
            .collect();
        let mut output = vec![0.0; length];
        resampler.process(&input, &mut output);
        assert_eq!(input, output);
    }
    assert!(resampler.held().abs() < f64::EPSILON);
}

#[test]
fn a_sine_stays_a_sine_at_all_rates() {
    for input in [8000, 16_000, 44_100, 48_000] {
        for output in [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
            let samples = Line::new(1000.0, input, output).seconds(output, 0.3);
            let steady = &samples[samples.len() / 10..];
            let residue = residue_db(steady, 1000.0, output);
            assert!(residue < -60.0, "{input} -> {output}: {residue}");
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_carry_is_left_out() {
    for (input, output, frequency) in [
        (48_000, 8000, 6000.0),
        (16_000, 8000, 5000.0),
        (44_100, 16_000, 10_000.0),
    ] {
        let samples = Line::new(frequency, input, output).seconds(output, 0.3);
        let steady = &samples[samples.len() / 10..];
        let power = steady.iter().map(|x| f64::from(x * x)).sum::<f64>() / steady.len() as f64;
        let level = 10.0 * (power * 2.0 / AMPLITUDE.powi(2)).log10();
        assert!(level < -55.0, "{frequency} Hz {input} -> {output}: {level}");
    }
}

#[test]
fn a_drift_comes_and_goes_without_a_step() {
    let mut line = Line::new(1000.0, 8000, 8000);
    let mut samples = Vec::new();
    for drift in [0.0, 1e-3, -1e-3, 2e-4, 0.0, 0.0] {
        line.resampler.set_drift(drift);
        samples.extend(line.seconds(8000, 0.5));
    }
    assert!(line.resampler.held().abs() < f64::EPSILON, "whole samples again");
    // In a short stretch the frequency is as good as constant.
    let most = TAU * 1000.0 / 8000.0 * AMPLITUDE * 1.002;
    for pair in samples.windows(2) {
        assert!(f64::from((pair[1] - pair[0]).abs()) <= most, "{pair:?}");
    }
    let worst = samples[80..]
        .windows(20)
        .step_by(10)
        .map(best_residue_db)
        .fold(f64::MIN, f64::max);
    assert!(worst < -60.0, "{worst}");
}

/// The residue with the best of the frequencies that a ramp passes through.
fn best_residue_db(chunk: &[f32]) -> f64 {
    (-20..=20)
        .map(|step| residue_db(chunk, 1000.0 * (1.0 + f64::from(step) * 1e-4), 8000))
        .fold(f64::MAX, f64::min)
}

#[test]
fn a_drift_takes_the_samples_it_says() {
    let mut line = Line::new(1000.0, 8000, 48_000);
    line.seconds(48_000, 0.1);
    line.resampler.set_drift(500e-6);
    line.seconds(48_000, 0.1);
    let before = line.taken as f64 - line.resampler.held();
    line.seconds(48_000, 10.0);
    let consumed = line.taken as f64 - line.resampler.held() - before;
    assert!((consumed - 80_000.0 * 1.0005).abs() < 0.01, "{consumed}");
}

#[test]
fn the_look_ahead_is_what_it_says() {
    let mut line = Line::new(1000.0, 8000, 48_000);
    line.seconds(48_000, 0.1);
    assert!(
        (line.resampler.held() - HALF_WIDTH as f64).abs() <= 1.0,
        "{}",
        line.resampler.held()
    );
}

#[test]
fn a_long_drift_has_no_jump() {
    for drift in [200e-6, -200e-6] {
        let mut line = Line::new(1000.0, 8000, 8000);
        line.resampler.set_drift(drift);
        let most = f64::from(sine(1000.0 * 1.0002, 8000, 1)) * 2.0 / AMPLITUDE;
        let mut last = 0.0;
        let mut chunk = [0.0; 80];
        for _ in 0..DRIFTING_MINUTES * 60 * 100 {
            line.pull(&mut chunk);
            for sample in chunk {
                assert!(f64::from(sample - last).abs() < most);
                last = sample;
            }
        }
    }
}

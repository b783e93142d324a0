//! Plays a little faster or slower without a change of pitch: a whole pitch period is left out or said twice, with
//! overlap-add, where the sound resembles itself; any stretch of it where it is quiet. Elsewhere nothing is done: the
//! caller plays on and tries again later.

use crate::pitch::{likeness, power};

/// What a change of the time scale took and gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaled {
    /// Samples taken from the front of the input.
    pub consumed: usize,
    /// Samples written to the front of the output, to be played in place of those consumed.
    pub written: usize,
}

/// Shortens or lengthens sound; never where it would be heard.
#[derive(Debug)]
pub struct Stretcher {
    /// Samples to one at about 8000 per second.
    factor: usize,
    shortest: usize,
    longest: usize,
    least: usize,
    most: usize,
}

/// At 8000 samples per second: stretches that are left out or said again, 2.5 to 20 ms; least and most overlap, 5 and 10 ms.
const SHORTEST: usize = 20;
const LONGEST: usize = 160;
const LEAST_OVERLAP: usize = 40;
const MOST_OVERLAP: usize = 80;
/// Normalised correlation from which two stretches count as the same, and least ratio of their powers.
const ALIKE: f32 = 0.85;
const EQUALLY_LOUD: f32 = 0.4;
/// Mean square below which all is alike: -48 dB of full scale.
const QUIET: f32 = 1.6e-5;

impl Stretcher {
    /// For a stream of so many samples per second.
    pub fn new(sample_rate: u32) -> Self {
        let scaled = |at_8000: usize| (at_8000 * sample_rate as usize).div_ceil(8000);
        Self {
            factor: ((sample_rate as usize + 4000) / 8000).max(1),
            shortest: scaled(SHORTEST),
            longest: scaled(LONGEST),
            least: scaled(LEAST_OVERLAP),
            most: scaled(MOST_OVERLAP),
        }
    }

    /// The most samples that one call removes, adds or writes; as many of the past are looked at.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Least input that a call can do something with: 5 ms.
    pub const fn least(&self) -> usize {
        self.least
    }

    /// Leaves out at most `at_most` samples of `input`, which waits to be played. `None` where no good place was found:
    /// play on and try again. With more input more places are found: 30 ms are enough for all voices.
    pub fn shorten(&self, input: &[f32], at_most: usize, out: &mut [f32]) -> Option<Scaled> {
        let overlap = self.overlap(input.len() / 3);
        let last = at_most.min(self.longest).min(input.len().checked_sub(overlap)?);
        let lag = self.best(last, |lag| (&input[..overlap], &input[lag..lag + overlap]))?;
        let written = fade(&input[..overlap], &input[lag..], out)?;
        Some(Scaled {
            consumed: lag + written,
            written,
        })
    }

    /// Says at most `at_most` samples of the past again before `input` goes on, of which nothing is consumed. `past` was
    /// played last, the newest sample at the end.
    pub fn lengthen(&self, past: &[f32], input: &[f32], at_most: usize, out: &mut [f32]) -> Option<Scaled> {
        let overlap = self.overlap(input.len());
        let template = input.get(..overlap)?;
        let last = at_most.min(self.longest).min(past.len()).min(out.len());
        let lag = self.best(last, |lag| {
            let again = &past[past.len() - lag..];
            let compared = overlap.min(lag);
            (&template[..compared], &again[..compared])
        })?;
        let again = &past[past.len() - lag..];
        let faded = fade(&template[..overlap.min(lag)], again, out)?;
        out[faded..lag].copy_from_slice(&again[faded..]);
        Some(Scaled {
            consumed: 0,
            written: lag,
        })
    }

    fn overlap(&self, available: usize) -> usize {
        available.clamp(self.least, self.most)
    }

    /// The lag of the stretches that are most alike, if they are alike enough; the longest where it is quiet.
    fn best<'a>(&self, last: usize, pair: impl Fn(usize) -> (&'a [f32], &'a [f32])) -> Option<usize> {
        if last >= self.shortest && is_quiet(pair(last)) {
            return Some(last);
        }
        let coarse = (self.shortest..=last).step_by(self.factor);
        let (_, near) = most_alike(coarse, |lag| sparse_likeness(pair(lag), self.factor))?;
        let fine = near.saturating_sub(self.factor - 1).max(self.shortest)..=last.min(near + self.factor - 1);
        let (alike, lag) = most_alike(fine, |lag| likeness(pair(lag).0, pair(lag).1))?;
        (alike >= ALIKE && is_equally_loud(pair(lag))).then_some(lag)
    }
}

fn most_alike(lags: impl Iterator<Item = usize>, likeness: impl Fn(usize) -> f32) -> Option<(f32, usize)> {
    lags.map(|lag| (likeness(lag), lag))
        .max_by(|one, other| one.0.total_cmp(&other.0))
}

/// Normalised correlation of every `step`th sample.
fn sparse_likeness((one, other): (&[f32], &[f32]), step: usize) -> f32 {
    let (mut product, mut first, mut second) = (0.0, 0.0, 1e-12);
    for (a, b) in one.iter().zip(other).step_by(step) {
        product += a * b;
        first += a * a;
        second += b * b;
    }
    product / (first * second + 1e-12_f32).sqrt()
}

fn is_quiet((one, other): (&[f32], &[f32])) -> bool {
    power(one).max(power(other)) < QUIET
}

fn is_equally_loud((one, other): (&[f32], &[f32])) -> bool {
    let (one, other) = (power(one), power(other));
    one.min(other) >= EQUALLY_LOUD * one.max(other)
}

/// Writes `from`, fading over to `to`; returns how much was written.
fn fade(from: &[f32], to: &[f32], out: &mut [f32]) -> Option<usize> {
    let length = from.len();
    let out = out.get_mut(..length)?;
    for (place, (sample, (from, to))) in out.iter_mut().zip(from.iter().zip(to)).enumerate() {
        let share = (place as f32 + 0.5) / length as f32;
        *sample = from + (to - from) * share;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    /// A voice of 125 Hz with harmonics: a period is 8 ms.
    fn voice(rate: u32, length: usize) -> Vec<f32> {
        let at = |n: usize| {
            let turn = n as f32 / rate as f32 * 125.0 * TAU;
            (1..6)
                .map(|k| (turn * k as f32 + k as f32).sin() / k as f32)
                .sum::<f32>()
                * 0.1
        };
        (0..length).map(at).collect()
    }

    fn noise(length: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..length).map(|_| next() * 0.3).collect()
    }

    fn shortened(rate: u32) -> (Scaled, Vec<f32>) {
        let stretcher = Stretcher::new(rate);
        let input = voice(rate, 3 * stretcher.longest());
        let mut out = vec![0.0; stretcher.longest()];
        let scaled = stretcher.shorten(&input, stretcher.longest(), &mut out).unwrap();
        out.truncate(scaled.written);
        out.extend(&input[scaled.consumed..]);
        (scaled, out)
    }

    fn close(one: &[f32], other: &[f32]) -> bool {
        one.iter().zip(other).all(|(a, b)| (a - b).abs() < 0.01)
    }

    #[test]
    fn a_voice_is_shortened_by_whole_periods_at_any_rate() {
        for rate in [8000, 16_000, 48_000] {
            let (scaled, out) = shortened(rate);
            let removed = scaled.consumed - scaled.written;
            assert_eq!(removed % (rate as usize / 125), 0, "{removed} at {rate}");
            assert!(close(&out, &voice(rate, out.len())));
        }
    }

    #[test]
    fn a_voice_is_lengthened_by_whole_periods_at_any_rate() {
        for rate in [8000, 16_000, 48_000] {
            let stretcher = Stretcher::new(rate);
            let all = voice(rate, 4 * stretcher.longest());
            let (past, input) = all.split_at(2 * stretcher.longest());
            let mut out = vec![0.0; stretcher.longest()];
            let scaled = stretcher.lengthen(past, input, stretcher.longest(), &mut out).unwrap();
            assert_eq!(scaled.consumed, 0);
            assert_eq!(scaled.written % (rate as usize / 125), 0);
            assert!(close(&out[..scaled.written], input));
        }
    }

    #[test]
    fn loud_noise_is_left_alone_and_quiet_noise_goes_as_far_as_allowed() {
        let stretcher = Stretcher::new(8000);
        let mut sound = noise(480);
        let mut out = [0.0; 160];
        assert_eq!(stretcher.shorten(&sound, 160, &mut out), None);
        assert_eq!(stretcher.lengthen(&sound[..240], &sound[240..], 160, &mut out), None);
        for sample in &mut sound {
            *sample *= 0.01;
        }
        let shorter = stretcher.shorten(&sound, 97, &mut out).unwrap();
        assert_eq!(shorter.consumed - shorter.written, 97);
        let longer = stretcher.lengthen(&sound[..240], &sound[240..], 97, &mut out).unwrap();
        assert_eq!(longer.written, 97);
    }

    #[test]
    fn an_onset_is_not_repeated() {
        let stretcher = Stretcher::new(8000);
        let mut sound = voice(8000, 480);
        for sample in &mut sound[..240] {
            *sample *= 0.05;
        }
        assert_eq!(
            stretcher.lengthen(&sound[..240], &sound[240..], 160, &mut [0.0; 160]),
            None
        );
    }

    #[test]
    fn little_input_and_little_room_change_nothing() {
        let stretcher = Stretcher::new(8000);
        let sound = voice(8000, 480);
        for length in 0..40 {
            assert_eq!(stretcher.shorten(&sound[..length], 160, &mut [0.0; 160]), None);
            assert_eq!(stretcher.lengthen(&sound, &sound[..length], 160, &mut [0.0; 160]), None);
        }
        assert_eq!(stretcher.shorten(&sound, 19, &mut [0.0; 160]), None);
        assert_eq!(stretcher.shorten(&sound, 160, &mut []), None);
        assert_eq!(stretcher.lengthen(&sound, &sound, 160, &mut []), None);
        assert_eq!(stretcher.lengthen(&[], &sound, 160, &mut [0.0; 160]), None);
    }
}

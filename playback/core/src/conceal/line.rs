//! Sound that goes on from an edge of a gap, away from what is known: the last pitch period again and again, after a while
//! the last few periods, so that it doesn't hum.

use crate::pitch::{Pitch, power, whole};

/// Known samples kept before the edge, for the interpolation.
const MARGIN: usize = 4;
/// From so much on, two and three periods are repeated instead of one: 20 and 40 ms at 8000 samples per second.
const TWO_PERIODS: f32 = 160.0;
const THREE_PERIODS: f32 = 320.0;
/// Sound below this voicing is noise: a longer stretch of it is repeated.
const NOISE: f32 = 0.3;
const NOISE_STRETCH: f32 = 120.0;
/// What remains of a step at the edge after each sample at 8000 samples per second.
const STEP_DECAY: f32 = 0.6;
/// At full volume so long, then fading to silence over so long: 10 and 275 ms at 8000 samples per second.
const FULL: f32 = 80.0;
const FADE: f32 = 2200.0;
/// How much volume noise loses within 10 ms.
const NOISE_LOSS: f32 = 0.2;
const NOISE_LOSS_SPAN: f32 = 80.0;
/// Sound that grew quieter from one period to the next goes on doing so by at most this, for so many periods.
const STEEPEST: f32 = 0.7;
const TREND_PERIODS: f32 = 2.0;

/// Sound made up beyond an edge.
#[derive(Debug)]
pub(super) struct Line {
    /// The last known samples, then what was made up.
    samples: Vec<f32>,
    filled: usize,
    /// Samples for each one at 8000 per second.
    scale: f32,
    pub(super) pitch: Pitch,
    /// Amplitude of the last known period by that of the one before, at most 1.
    trend: f32,
}

impl Line {
    pub(super) fn new(scale: f32, reach: usize) -> Self {
        Self {
            samples: vec![0.0; MARGIN + reach],
            filled: 0,
            scale,
            pitch: Pitch::NONE,
            trend: 1.0,
        }
    }

    /// Goes on from the end of `known`, which is longer than the period of `pitch`.
    pub(super) fn begin(&mut self, known: &[f32], pitch: Pitch) {
        let period = whole(pitch.period).clamp(1, known.len());
        self.pitch = pitch;
        self.trend = trend(known, period);
        self.filled = MARGIN.min(known.len());
        self.samples[..self.filled].copy_from_slice(&known[known.len() - self.filled..]);
        let mut step = step_at_edge(known, period);
        let decay = STEP_DECAY.powf(1.0 / self.scale);
        let mut from = known.len() - period * self.periods(0, period, known.len());
        while self.filled < self.samples.len() {
            let run = known.len() - from;
            let made_up = self.filled - MARGIN.min(known.len());
            let next = known.len() - period * self.periods(made_up + run, period, known.len());
            let fade = (period / 4).min(next).min(run);
            for place in from..known.len().min(from + self.samples.len() - self.filled) {
                let left = known.len() - place;
                let mut sample = known[place];
                if left <= fade {
                    let share = (fade - left + 1) as f32 / (fade + 1) as f32;
                    sample += (known[next - left] - sample) * share;
                }
                step *= decay;
                self.samples[self.filled] = sample + step;
                self.filled += 1;
            }
            from = next;
        }
    }

    /// Periods repeated after so many samples were made up.
    fn periods(&self, made_up: usize, period: usize, known: usize) -> usize {
        let wanted = if self.pitch.voicing < NOISE {
            whole((NOISE_STRETCH * self.scale / period as f32).ceil())
        } else if (made_up as f32) < TWO_PERIODS * self.scale {
            1
        } else if (made_up as f32) < THREE_PERIODS * self.scale {
            2
        } else {
            3
        };
        let most = known.saturating_sub(period / 4) / period;
        wanted.min(most).max(1)
    }

    /// The sample so far beyond the edge; 0 is the first that was made up. Between samples it is interpolated.
    pub(super) fn at(&self, distance: f32) -> f32 {
        let place = (distance + MARGIN as f32).max(1.0);
        let before = whole(place);
        let Some(&[a, b, c, d]) = self.samples[before.saturating_sub(1).min(self.samples.len())..].first_chunk() else {
            return 0.0;
        };
        let rest = place - before as f32;
        let linear = (c - a) / 2.0;
        let square = a - 2.5 * b + 2.0 * c - d / 2.0;
        let cubic = (d - a) / 2.0 + 1.5 * (b - c);
        ((cubic * rest + square) * rest + linear) * rest + b
    }

    /// How loud the sound is to be so far beyond the edge: the surer it is, the louder.
    pub(super) fn volume(&self, distance: f32) -> f32 {
        let far = distance / self.scale;
        let faded = 1.0 - (far - FULL).max(0.0) / FADE;
        let noise = 1.0 - self.pitch.voicing.clamp(0.0, 1.0);
        let unsure = NOISE_LOSS * noise * (far / NOISE_LOSS_SPAN).min(1.0);
        let periods = (distance / self.pitch.period).clamp(0.0, TREND_PERIODS);
        faded.max(0.0) * (1.0 - unsure) * self.trend.powf(periods)
    }
}

/// Amplitude of the last period by that of the one before.
fn trend(known: &[f32], period: usize) -> f32 {
    let Some(start) = known.len().checked_sub(2 * period) else {
        return 1.0;
    };
    let (before, last) = known[start..].split_at(period);
    ((power(last) + 1e-9) / (power(before) + 1e-9))
        .sqrt()
        .clamp(STEEPEST, 1.0)
}

/// How far the sound would jump from the last known sample to its repetition.
fn step_at_edge(known: &[f32], period: usize) -> f32 {
    let last = known.len().checked_sub(1);
    let before = last.and_then(|last| last.checked_sub(period));
    match (last, before) {
        (Some(last), Some(before)) => known[last] - known[before],
        _ => 0.0,
    }
}

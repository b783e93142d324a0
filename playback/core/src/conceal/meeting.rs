//! Where the sound before a gap and the sound after it meet: both are continued into the gap with one common course of the
//! pitch period, the earlier one a little faster or slower so that they are in phase, and fade over into each other.

use super::line::Line;
use crate::pitch::whole;

/// Both sides are voiced, and their periods differ by no more than this ratio: the period glides from one to the other.
const VOICED: f32 = 0.5;
const GLIDE: f32 = 1.3;
/// Most that the earlier side is shifted: half a period, 60 samples at 8000 per second, and this share of the meeting.
const MOST_SHIFT: f32 = 60.0;
const MOST_SHIFT_SHARE: f32 = 0.4;
/// What a shift by the whole meeting would cost in likeness.
const SHIFT_COST: f32 = 1.2;
/// Samples compared either side of the middle, at 8000 per second.
const COMPARED: f32 = 60.0;
const MOST_POINTS: usize = 120;

/// A meeting of two lines: how both are read from the moment it was arranged to the end of the gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meeting {
    /// Samples from the moment it was arranged to the end of the gap.
    length: f32,
    /// Where the forward line is read at that moment.
    read: f32,
    /// How much further it is read at the end because of the alignment.
    shift: f32,
    /// Ratio of the period after the gap to the one before, as far as it glides.
    glide: f32,
}

impl Meeting {
    /// For a gap that goes on for `length` samples, with the forward line at `read`. `scale`: samples for each one at 8000
    /// per second.
    pub(super) fn arrange(forward: &Line, backward: &Line, read: f32, length: usize, scale: f32) -> Self {
        let mut meeting = Self {
            length: length as f32,
            read,
            shift: 0.0,
            glide: glide(forward, backward),
        };
        let most = (forward.pitch.period / 2.0 + 1.0)
            .min(MOST_SHIFT * scale)
            .min(MOST_SHIFT_SHARE * meeting.length);
        let points = points(meeting.length, scale);
        let mut other = [0.0; MOST_POINTS];
        for (sample, place) in other.iter_mut().zip(points.clone()) {
            *sample = backward.at(meeting.backward_place(place));
        }
        let steps = whole(most / scale);
        let mut best = (f32::MIN, 0.0);
        for step in 0..=2 * steps {
            meeting.shift = (step as f32 - steps as f32) * scale;
            let cost = SHIFT_COST * meeting.shift.abs() / meeting.length;
            let score = meeting.likeness(forward, &other, points.clone()) - cost;
            if score > best.0 {
                best = (score, meeting.shift);
            }
        }
        meeting.shift = best.1;
        meeting
    }

    /// Likeness of the forward line to the samples of the `other`.
    fn likeness(&self, forward: &Line, other: &[f32], points: impl Iterator<Item = f32>) -> f32 {
        let (mut product, mut first, mut second) = (0.0, 1e-9, 1e-9);
        for (place, &other) in points.zip(other) {
            let share = (place + 0.5) / self.length;
            let weight = share * (1.0 - share);
            let one = forward.at(self.forward_place(place));
            product += weight * one * other;
            first += weight * one * one;
            second += weight * other * other;
        }
        product / (first * second).sqrt()
    }

    /// Where the forward line is read.
    pub(super) fn forward_place(&self, place: f32) -> f32 {
        let share = place / self.length;
        self.read + self.length * glided(share, self.glide) + self.shift * share
    }

    /// Where the backward line is read: its first sample is the last of the gap.
    pub(super) fn backward_place(&self, place: f32) -> f32 {
        let share = 1.0 - place / self.length;
        self.length * glided(share, 1.0 / self.glide) - 1.0
    }

    /// The sample at `place`, `position` samples into the gap.
    pub(super) fn sample(&self, forward: &Line, backward: &Line, place: f32, position: f32) -> f32 {
        let share = ((place + 0.5) / self.length).min(1.0);
        let one = forward.at(self.forward_place(place)) * forward.volume(position);
        let other = backward.at(self.backward_place(place)) * backward.volume(self.length - place);
        one + (other - one) * share
    }

    /// Whether `place` is past the gap.
    pub(super) fn is_over(&self, place: f32) -> bool {
        place >= self.length
    }
}

fn glide(forward: &Line, backward: &Line) -> f32 {
    let ratio = backward.pitch.period / forward.pitch.period;
    let voiced = forward.pitch.voicing.min(backward.pitch.voicing) > VOICED;
    if voiced && (1.0 / GLIDE..GLIDE).contains(&ratio) {
        ratio
    } else {
        1.0
    }
}

/// How far a line is read after this share of the meeting, as a share of the meeting, when its period glides to `glide`
/// times what it was: the integral of 1 / (1 + (glide - 1) x), to the third power.
fn glided(share: f32, glide: f32) -> f32 {
    let tilt = glide - 1.0;
    share * (1.0 - share * tilt * (0.5 - share * tilt / 3.0))
}

/// The places around the middle of a meeting at which the lines are compared.
fn points(length: f32, scale: f32) -> impl Iterator<Item = f32> + Clone {
    let middle = length / 2.0;
    let half = (COMPARED * scale).min(middle);
    let count = whole((2.0 * half / scale).ceil()).min(MOST_POINTS);
    (0..count).map(move |point| middle - half + point as f32 * scale)
}

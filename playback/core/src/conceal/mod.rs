//! What fills the gap of a lost packet: the sound before it goes on, and meets the sound after it as soon as that is known.
//! Looks only at what was heard and at what has come; knows neither packets nor time.
//!
//! From the sound before the gap alone it does what G.711 appendix I does, with a finer search and a slower fade.

use crate::pitch::{Pitch, PitchSearch};

mod background;
mod comfort_noise;
mod line;
mod meeting;

use background::Background;
pub use comfort_noise::ComfortNoise;
use line::Line;
use meeting::Meeting;

/// All at 8000 samples per second: what is remembered, how much of the future is looked at (60 ms), the longest gap
/// filled (the sound has faded then), and how near its end must be for the other side to be heard (120 ms).
const HISTORY: usize = 640;
const LOOKED_AT: usize = 480;
const LONGEST: usize = 4200;
const NEAR: usize = 960;
/// Least that must be known of the future.
const LEAST_KNOWN: usize = 60;
/// Samples over which one continuation gives way to another, or to what was decoded: 3 ms.
const OVERLAP: usize = 24;

/// What is known of the sound after a gap.
#[derive(Debug, Clone, Copy)]
pub struct Future<'a> {
    /// Samples from the next one to be concealed until the known sound begins.
    pub after: usize,
    /// As much of the known sound as has come, without a hole.
    pub samples: &'a [f32],
}

/// Remembers what was played and continues it through gaps. One for each stream; allocates only when made.
#[derive(Debug)]
pub struct Concealer {
    /// Samples for each one at 8000 per second.
    scale: f32,
    search: PitchSearch,
    background: Background,
    history: Vec<f32>,
    /// The future, newest first.
    reversed: Vec<f32>,
    forward: Line,
    backward: Line,
    /// Samples concealed in this gap.
    position: usize,
    /// Where the forward line is read while there is no meeting.
    read: f32,
    /// The meeting, and the samples concealed since it was arranged.
    meeting: Option<(Meeting, usize)>,
    /// How a continuation that was given up would have gone on, and how much of it is left.
    given_up: Vec<f32>,
    left: usize,
}

impl Concealer {
    /// For a stream of so many samples per second.
    pub fn new(sample_rate: u32) -> Self {
        let scaled = |at_8000: usize| (at_8000 * sample_rate as usize).div_ceil(8000);
        let scale = sample_rate as f32 / 8000.0;
        Self {
            scale,
            search: PitchSearch::new(sample_rate),
            background: Background::new(sample_rate),
            history: vec![0.0; scaled(HISTORY)],
            reversed: vec![0.0; scaled(LOOKED_AT)],
            forward: Line::new(scale, scaled(LONGEST)),
            backward: Line::new(scale, scaled(NEAR) * 3 / 2),
            position: 0,
            read: 0.0,
            meeting: None,
            given_up: vec![0.0; scaled(OVERLAP)],
            left: 0,
        }
    }

    /// What was played last, 80 ms, the newest sample at the end.
    pub fn history(&self) -> &[f32] {
        &self.history
    }

    /// Remembers samples that were played as decoded.
    pub fn heard(&mut self, samples: &[f32]) {
        self.end_gap();
        self.background.hear(samples);
        self.remember(samples);
    }

    /// The next samples of a gap, of any number. `future` is what has come of the sound after it by now.
    pub fn conceal(&mut self, future: Option<Future<'_>>, out: &mut [f32]) {
        if self.position == 0 {
            self.begin_gap(self.history.len());
        }
        if let Some(future) = future {
            self.look_at(future);
        }
        for sample in out.iter_mut() {
            let next = self.next();
            *sample = self.faded_over(next);
        }
        self.remember(out);
    }

    /// What `conceal` would make up next, at full volume and without the sound after the gap. False where no gap goes on, or
    /// where it is to meet what is known already.
    pub fn continuation(&self, out: &mut [f32]) -> bool {
        if self.position == 0 || self.meeting.is_some() {
            return false;
        }
        for (place, sample) in out.iter_mut().enumerate() {
            *sample = self.forward.at(self.read + place as f32);
        }
        true
    }

    /// Takes the first decoded samples after a gap, and fades over to them in place where the gap ended without meeting
    /// them; then remembers them.
    pub fn resume(&mut self, samples: &mut [f32]) {
        if self.position > 0 && !self.has_met() {
            self.give_up();
        }
        for sample in samples.iter_mut() {
            *sample = self.faded_over(*sample);
        }
        self.meeting = None;
        self.position = 0;
        self.remember(samples);
    }

    /// Remembers a pause that isn't loss.
    pub fn silent(&mut self, samples: usize) {
        self.end_gap();
        let samples = samples.min(self.history.len());
        let kept = self.history.len() - samples;
        self.history.rotate_left(samples);
        self.history[kept..].fill(0.0);
    }

    /// Puts right what was concealed: `samples` came too late; the first of them should have been played `ago` samples
    /// before the one that is next. A gap that still goes on is continued from them.
    pub fn mend(&mut self, ago: usize, samples: &[f32]) {
        let length = self.history.len();
        for (offset, &sample) in samples.iter().enumerate().take(ago) {
            if let Some(place) = (length + offset).checked_sub(ago) {
                self.history[place] = sample;
            }
        }
        let since = ago.saturating_sub(samples.len());
        if since < self.position && since < length / 4 {
            self.give_up();
            self.meeting = None;
            self.begin_gap(length - since);
            self.read = since as f32;
            self.position = since.max(1);
        }
    }

    fn end_gap(&mut self) {
        self.position = 0;
        self.meeting = None;
        self.left = 0;
    }

    /// Continues the history up to `end`.
    fn begin_gap(&mut self, end: usize) {
        let known = &self.history[..end];
        let pitch = self.search.find(known, None).unwrap_or(Pitch::NONE);
        self.forward.begin(known, pitch);
        self.read = 0.0;
    }

    /// Arranges a meeting with the sound after the gap, unless one was arranged already.
    fn look_at(&mut self, future: Future<'_>) {
        let known = future.samples.len().min(self.reversed.len());
        let near = future.after > 0 && future.after as f32 <= NEAR as f32 * self.scale;
        if self.meeting.is_some() || !near || (known as f32) < LEAST_KNOWN as f32 * self.scale {
            return;
        }
        let reversed = &mut self.reversed[..known];
        for (reversed, sample) in reversed.iter_mut().zip(future.samples[..known].iter().rev()) {
            *reversed = *sample;
        }
        let Some(pitch) = self.search.find(reversed, Some(self.forward.pitch)) else {
            return;
        };
        self.backward.begin(reversed, pitch);
        let meeting = Meeting::arrange(&self.forward, &self.backward, self.read, future.after, self.scale);
        self.meeting = Some((meeting, 0));
    }

    fn has_met(&self) -> bool {
        self.meeting
            .is_some_and(|(meeting, place)| meeting.is_over(place as f32))
    }

    fn next(&mut self) -> f32 {
        let position = self.position as f32;
        self.position = self.position.saturating_add(1);
        if let Some((meeting, place)) = &mut self.meeting {
            let at = *place as f32;
            *place += 1;
            return meeting.sample(&self.forward, &self.backward, at, position);
        }
        let volume = self.forward.volume(position);
        let sample = self.forward.at(self.read) * volume + self.background.next() * (1.0 - volume);
        self.read += 1.0;
        sample
    }

    /// Notes how the present continuation would go on, so that what replaces it can be faded to.
    fn give_up(&mut self) {
        for place in 0..self.given_up.len() {
            let next = self.next();
            self.given_up[place] = self.faded_over(next);
        }
        self.left = self.given_up.len();
    }

    /// `sample`, or a mixture with what was given up.
    fn faded_over(&mut self, sample: f32) -> f32 {
        let length = self.given_up.len();
        let Some(&before) = length.checked_sub(self.left).and_then(|place| self.given_up.get(place)) else {
            return sample;
        };
        let share = (self.left as f32 - 0.5) / length as f32;
        self.left -= 1;
        sample + (before - sample) * share
    }

    fn remember(&mut self, samples: &[f32]) {
        let length = self.history.len();
        let samples = &samples[samples.len().saturating_sub(length)..];
        self.history.rotate_left(samples.len());
        self.history[length - samples.len()..].copy_from_slice(samples);
    }
}

#[cfg(test)]
mod tests;

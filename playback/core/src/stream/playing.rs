//! Samples out: what lies at the cursor is played, what is missing is concealed.

use crate::conceal::Future;
use crate::quality::Concealment;
use crate::units::{count, span};

use super::ring::Content;
use super::{Phase, Stream};

/// After so long without anything to play the concealment can't be heard any longer.
const FADED_PER_SECOND: f64 = 0.15;
/// Where a sender has paused before, what breaks off may be a pause, and is one where it was quiet: a sender goes on for a
/// while when it hears silence.
const PAUSE_LIKELY: Fade = Fade {
    after: 0.02,
    over: 0.02,
};
const PAUSE_SURE: Fade = Fade {
    after: 0.0,
    over: 0.005,
};
/// Concealment ends for good after this.
const GIVEN_UP_PER_SECOND: f64 = 1.0;

/// How concealment ends: after so many seconds, within so many.
#[derive(Debug, Clone, Copy)]
struct Fade {
    after: f32,
    over: f32,
}

impl Stream {
    /// The next frames at the output's rate, at most a chunk. `output` is when the first of them plays.
    pub(crate) fn render(&mut self, output: f64, out: &mut [f32]) {
        if self.phase == Phase::Idle {
            return out.fill(0.0);
        }
        self.steer(output);
        let needed = self.resampler.input_needed(out.len()).min(self.taken.len());
        let mut taken = std::mem::take(&mut self.taken);
        if let Some(samples) = taken.get_mut(..needed) {
            self.produce(samples);
            self.resampler.process(samples, out);
        }
        self.taken = taken;
    }

    /// The next samples at the stream's rate.
    fn produce(&mut self, out: &mut [f32]) {
        let mut rest = out;
        while !rest.is_empty() {
            let length = self.next(rest);
            let (_, after) = rest.split_at_mut(length.clamp(1, rest.len()));
            rest = after;
        }
    }

    /// Writes some samples to the front of `out`; answers how many.
    fn next(&mut self, out: &mut [f32]) -> usize {
        if self.pending.len() > 0 || (self.may_change_pace() && self.change_pace()) {
            return self.play_pending(out);
        }
        self.decode_waiting();
        let most = out.len().min(self.fade_length());
        let (content, length) = self.ring.run(self.cursor, most);
        let Some(part) = out.get_mut(..length) else {
            return out.len();
        };
        match content {
            Content::Sound => self.play_sound(part),
            Content::Silence => self.play_silence(part),
            Content::Empty => self.play_nothing(part),
        }
        self.cursor += span(length);
        self.ring.follow(self.cursor);
        length
    }

    fn play_pending(&mut self, out: &mut [f32]) -> usize {
        let length = self.pending.take(out);
        let part = out.get(..length).unwrap_or_default();
        self.concealer.heard(part);
        self.pace.hear(part);
        length
    }

    fn play_sound(&mut self, out: &mut [f32]) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Playing;
        }
        self.heard = true;
        self.ring.read(self.cursor, out);
        if self.gap.take().is_some() {
            // Only now it is certain that the sound didn't just end.
            self.played.concealed += self.nanos(span(self.starved));
            self.resumed = 0;
        }
        self.starved = 0;
        if self.resumed < self.fade_length() && self.concealment == Concealment::Concealed {
            self.concealer.resume(out);
            self.resumed += out.len();
        } else {
            self.concealer.heard(out);
        }
        self.pace.hear(out);
        self.played.sound += self.nanos(span(out.len()));
    }

    fn play_silence(&mut self, out: &mut [f32]) {
        self.gap = None;
        self.starved = 0;
        let level = self.silent_from.map_or(0.0, |(_, level)| level);
        self.make_noise(level, out);
        self.concealer.silent(out.len());
        self.pace.hear(out);
    }

    /// Comfort noise (RFC 3389) of so much effective value: white, from a linear congruential generator.
    fn make_noise(&mut self, effective_value: f32, out: &mut [f32]) {
        // Evenly distributed numbers up to x have an effective value of x / sqrt 3.
        let peak = effective_value * 3.0_f32.sqrt();
        for sample in out {
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = peak * ((self.noise >> 8) as f32 / 8_388_608.0 - 1.0);
        }
    }

    fn play_nothing(&mut self, out: &mut [f32]) {
        if self.phase == Phase::Waiting {
            return out.fill(0.0);
        }
        if let Some((from, level)) = self.silent_from
            && self.cursor >= from
        {
            self.gap = None;
            self.make_noise(level, out);
            return self.concealer.silent(out.len());
        }
        let next = self.ring.next_known(self.cursor);
        if next.is_none() && self.phase == Phase::Ending {
            self.phase = Phase::Idle;
            return out.fill(0.0);
        }
        if self.gap.is_none() {
            self.gap = Some(self.cursor);
            self.broke_off_quiet = self.pace.is_in_quiet();
        }
        self.starved += out.len();
        if self.concealment == Concealment::None || self.has_starved(GIVEN_UP_PER_SECOND) {
            out.fill(0.0);
            return self.concealer.silent(out.len());
        }
        match next {
            None => {
                self.concealer.conceal(None, out);
                self.fade_into_pause(out);
            }
            Some(next) => self.conceal_before(next, out),
        }
        self.pace.hear(out);
    }

    /// A sender that pauses has probably paused again where nothing comes: its concealment ends soon.
    fn fade_into_pause(&self, out: &mut [f32]) {
        if !self.pauses {
            return;
        }
        let fade = if self.broke_off_quiet { PAUSE_SURE } else { PAUSE_LIKELY };
        let rate = self.rate as f32;
        let passed = self.starved.saturating_sub(out.len());
        for (place, sample) in out.iter_mut().enumerate() {
            let since = (passed + place) as f32 / rate - fade.after;
            *sample *= 1.0 - (since / fade.over).clamp(0.0, 1.0);
        }
    }

    /// Conceals, with the sound after the gap before the eyes.
    fn conceal_before(&mut self, next: i64, out: &mut [f32]) {
        let (content, length) = self.ring.run(next, self.shown.len());
        if content != Content::Sound {
            return self.concealer.conceal(None, out);
        }
        let Some(shown) = self.shown.get_mut(..length) else {
            return;
        };
        self.ring.read(next, shown);
        let future = Future {
            after: count(next - self.cursor),
            samples: shown,
        };
        self.concealer.conceal(Some(future), out);
    }

    pub(super) fn has_starved(&self, seconds: f64) -> bool {
        self.starved as f64 > seconds * f64::from(self.rate)
    }

    /// Whether nothing is heard now, so that sound may begin whenever it is best.
    pub(super) fn is_in_pause(&self) -> bool {
        let silent = self.silent_from.is_some_and(|(from, _)| self.cursor >= from)
            || self.ring.content(self.cursor) == Content::Silence;
        silent || (self.gap.is_some() && self.has_starved(FADED_PER_SECOND))
    }
}

//! How the delay follows its target: at once where nothing is heard, in the pauses of speech, by whole pitch periods where
//! it has to be during speech, and by resampling where the clocks run apart. Where the delay is right nothing is touched.

use crate::pitch::likeness;
use crate::quality::Concealment;
use crate::settings::Preset;
use crate::units::{count, rounded, span};

use super::intake::{Arrival, Standing};
use super::numbers::Span;
use super::ring::Content;
use super::{Phase, Stream};

/// More delay than the target by so much and by such a share is put up with.
const TOLERANCE: f64 = 0.010;
const TOLERANCE_SHARE: f64 = 0.1;
/// Less delay than the target by so much is put up with.
const SHORTAGE: f64 = 0.003;
/// A correction ends when the delay is this close.
const CORRECTED: f64 = 0.001;
/// The delay must be too long for so long before it is corrected.
const PATIENCE: f64 = 1.0;
/// Once the preset is in a hurry all that is quiet is used, and speech is shortened too if the delay is so much too long.
const URGENT: f64 = 0.040;
/// Less than the target by this much lengthens speech too.
const URGENT_SHORTAGE: f64 = 0.010;
/// Between two changes in speech.
const REST: f64 = 0.06;
/// Most that is left out of a pause or added to it at once.
const PAUSE_STEP: f64 = 0.010;
/// Pauses shorter than this belong to the words, and of the others so much remains, unless there is hurry. So far it is looked
/// ahead for their end.
const REAL_PAUSE: f64 = 0.200;
const KEPT_PAUSE: f64 = 0.100;
/// An arrival that moves the beginning of sound by less moves nothing.
const STEADY: f64 = 0.004;
/// Mean square below which it is quiet: -48 dB of full scale, or -30 dB of the speech.
const QUIET: f32 = 1.6e-5;
const QUIET_SHARE: f32 = 1e-3;
/// Late packets in a row that are all equally late: the path has become slower for good.
const STEP_PACKETS: u32 = 4;
/// Two, where they are late by so many times the usual and by so much, and the delay aimed at is no longer than they last.
const CLEAR_STEP_PACKETS: u32 = 2;
const CLEAR_STEP_DELAY: f64 = 0.04;
const CLEAR_STEP: f64 = 3.0;
const CLEAR_STEP_LATENESS: f64 = 0.06;
/// Equally late: within this.
const STEP_SLACK: f64 = 0.002;
/// What came late before them is played too, as far as so much.
const NOT_MISSED: f64 = 0.1;
/// Late packets for so long that don't come closer: the delay is too short, whatever the reason.
const LATE_TIME: f64 = 0.2;
/// Sound that comes late goes on in phase with what was made up for it, up to so long a gap, where the two are as alike as
/// this (normalised correlation). What leaving out a second of it costs, in the same measure.
const IN_PHASE: f64 = 0.04;
const ALIKE: f32 = 0.5;
const LEFT_OUT_COST: f32 = 20.0;
/// Where the clocks run apart: how far the delay may be from its target before speech is resampled, and how near it is led
/// then. In pauses it is led all the way.
const DRIFT_SLACK: f64 = 0.020;
const DRIFT_NEAR: f64 = 0.002;
/// How much more delay is aimed at for that at most, and how much more shortage put up with.
const DRIFT_RESERVE: f64 = 0.010;
/// Speed with which it is led there in speech and in pauses: this share of the difference in a second, and the most of it.
const DRIFT_GAIN: f64 = 0.2;
const DRIFT_LEAD: f64 = 1e-3;
/// Usual time from one pause to the next.
const PAUSE_DISTANCE: f64 = 5.0;
/// So long a pause it takes.
const PAUSE: f64 = 0.12;
const QUIET_GAIN: f64 = 10.0;
const QUIET_LEAD: f64 = 1e-2;

/// What is known of the sound's level, and since when the delay is wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    /// How long only pauses are used to make the delay shorter, in seconds.
    unhurried: f64,
    /// Mean square of what was played last, and of loud speech.
    recent: f32,
    speech: f32,
    /// Delay beyond the target now, in seconds.
    excess: f64,
    now: f64,
    too_long_since: Option<f64>,
    correcting: bool,
    changed_at: f64,
    /// Whether speech is resampled, because the clocks ran too far apart since the last pause.
    resampling: bool,
    /// When anything but a pause was played last, and how much was left out since.
    loud_at: f64,
    left_out: f64,
}

impl Pace {
    pub(crate) fn new(preset: Preset) -> Self {
        Self {
            unhurried: preset.policy().unhurried,
            ..Self::default()
        }
    }

    /// For a new time line.
    pub(crate) fn restart(&mut self) {
        *self = Self {
            unhurried: self.unhurried,
            ..Self::default()
        };
    }

    /// Learns the level of what is played.
    pub(crate) fn hear(&mut self, samples: &[f32]) {
        if samples.is_empty() {
            return;
        }
        let sum: f32 = samples.iter().map(|sample| sample * sample).sum();
        let mean = sum / samples.len() as f32;
        let weight = (samples.len() as f32 / 80.0).min(1.0);
        self.recent += (mean - self.recent) * weight;
        self.speech = (self.speech * (1.0 - 0.002 * weight)).max(self.recent);
        if !self.is_quiet(mean) {
            self.loud_at = self.now;
            self.left_out = 0.0;
        }
    }

    /// Whether what was played last was quiet.
    pub(super) fn is_in_quiet(&self) -> bool {
        self.is_quiet(self.recent)
    }

    fn is_quiet(&self, mean_square: f32) -> bool {
        mean_square < QUIET.max(self.speech * QUIET_SHARE)
    }

    fn observe(&mut self, now: f64, excess: f64, tolerance: f64) {
        self.now = now;
        self.excess = excess;
        if excess <= tolerance && !self.correcting {
            self.too_long_since = None;
        } else if excess > CORRECTED {
            let since = *self.too_long_since.get_or_insert(now);
            self.correcting |= now - since >= PATIENCE;
        } else {
            self.too_long_since = None;
            self.correcting = false;
        }
    }

    /// Whether the delay has been too long for longer than the preset bears.
    fn is_late(&self) -> bool {
        self.too_long_since
            .is_some_and(|since| self.now - since >= self.unhurried)
    }

    fn is_urgent(&self) -> bool {
        self.excess > URGENT && self.is_late()
    }
}

/// Late packets in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steps {
    packets: u32,
    /// How many of them were equally late.
    steady: u32,
    since: f64,
    lateness: f64,
}

/// What late packets in a row mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing yet, or the end of a stall.
    Wait,
    /// The path has become slower for good.
    Step,
    /// They won't come in time for a while.
    Late,
}

impl Steps {
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn observe(&mut self, at: f64, lateness: f64, usual: f64) -> Verdict {
        let change = lateness - self.lateness;
        if self.packets == 0 || change < -STEP_SLACK {
            self.packets = 0;
            self.since = at;
        }
        self.steady = if self.packets > 0 && change.abs() <= STEP_SLACK {
            self.steady + 1
        } else {
            1
        };
        self.packets += 1;
        self.lateness = lateness;
        let clear = usual < CLEAR_STEP_DELAY && lateness > (CLEAR_STEP * usual).max(CLEAR_STEP_LATENESS);
        if self.steady >= if clear { CLEAR_STEP_PACKETS } else { STEP_PACKETS } {
            Verdict::Step
        } else if self.packets > 1 && at - self.since >= LATE_TIME {
            Verdict::Late
        } else {
            Verdict::Wait
        }
    }
}

impl Stream {
    /// Looks where the delay stands before the next frames are made.
    pub(super) fn steer(&mut self, output: f64) {
        if self.phase != Phase::Playing {
            return self.pace.observe(output, 0.0, 0.0);
        }
        let excess = self.delay(output) - self.goal;
        let tolerance = (self.goal * TOLERANCE_SHARE).max(TOLERANCE).max(self.spare);
        self.pace.observe(output, excess, tolerance);
        let share = self.lead(excess);
        self.resampler.set_drift(share);
    }

    /// By which share the sound is to be played faster because the clocks run apart: in pauses so that the delay is right at
    /// their end, and in speech only where no pause came for long.
    fn lead(&mut self, excess: f64) -> f64 {
        let skew = self.drift.skew();
        if skew == 0.0 || excess.abs() < self.spare {
            self.pace.resampling = false;
            return 0.0;
        }
        if self.pace.now - self.pace.loud_at >= PAUSE && self.is_quiet_at(self.cursor, self.fade_length()) {
            self.pace.resampling = false;
            return (excess * QUIET_GAIN).clamp(-QUIET_LEAD, QUIET_LEAD) - skew;
        }
        let least = if self.pace.resampling { DRIFT_NEAR } else { DRIFT_SLACK };
        self.pace.resampling = excess.abs() > least;
        if self.pace.resampling {
            (excess * DRIFT_GAIN).clamp(-DRIFT_LEAD, DRIFT_LEAD) - skew
        } else {
            0.0
        }
    }

    /// A slow sender runs down the delay between two pauses: so much more is aimed at.
    pub(super) fn reserve(&self) -> f64 {
        (self.drift.skew() * PAUSE_DISTANCE).clamp(0.0, DRIFT_RESERVE)
    }

    /// Less delay than is aimed at by so much is put up with.
    fn shortage(&self) -> f64 {
        let drifting = if self.drift.skew() == 0.0 { 0.0 } else { DRIFT_RESERVE };
        SHORTAGE + drifting + self.spare
    }

    /// Beyond so much speech is lengthened too: not as a precaution. Where the clocks run apart it is resampled before that.
    fn urgent_shortage(&self) -> f64 {
        let shortage = if self.drift.skew() == 0.0 {
            URGENT_SHORTAGE
        } else {
            DRIFT_SLACK + SHORTAGE
        };
        self.precaution + shortage
    }

    pub(super) fn may_change_pace(&self) -> bool {
        self.phase == Phase::Playing
            && self.gap.is_none()
            && self.resumed >= self.fade_length()
            && (self.pace.correcting || self.pace.excess < -self.shortage() || self.pace.excess > self.ceiling)
    }

    /// Leaves out or adds a little, where that can't be heard; what is to be played for it is then pending.
    pub(super) fn change_pace(&mut self) -> bool {
        let excess = self.pace.excess;
        if excess > self.ceiling {
            return self.skip(self.samples(excess));
        }
        if excess > 0.0 {
            return self.skip_quiet(excess) || (self.pace.is_urgent() && self.rested() && self.shorten(excess));
        }
        self.repeat_quiet(-excess) || (excess < -self.urgent_shortage() && self.rested() && self.lengthen(-excess))
    }

    fn rested(&self) -> bool {
        self.concealment == Concealment::Concealed && self.pace.now - self.pace.changed_at >= REST
    }

    fn changed(&mut self, by: i64) {
        let seconds = self.seconds(by);
        self.pace.excess += seconds;
        self.pace.changed_at = self.pace.now;
        if by < 0 {
            self.played.shortened += self.nanos(by);
        } else {
            self.played.lengthened += self.nanos(by);
        }
    }

    /// Goes on elsewhere, cross-fading. `from` and `to` must be known for the length of a fade.
    fn jump(&mut self, to: i64) {
        let (from, length) = (self.cursor, self.fade_length());
        let ring = &self.ring;
        self.pending.fill(|out| {
            let Some((old, rest)) = out.split_at_mut_checked(length) else {
                return 0;
            };
            let Some(new) = rest.get_mut(..length) else { return 0 };
            ring.read(from, old);
            ring.read(to, new);
            for (place, (old, new)) in old.iter_mut().zip(new.iter()).enumerate() {
                let share = (place as f32 + 0.5) / length as f32;
                *old += (new - *old) * share;
            }
            length
        });
        self.cursor = to + span(length);
        self.ring.follow(self.cursor);
    }

    /// Leaves out so many samples whatever they are.
    fn skip(&mut self, samples: i64) -> bool {
        let fade = self.fade_length();
        if !self.ring.knows(self.cursor, fade) || !self.ring.knows(self.cursor + samples, fade) {
            return false;
        }
        self.jump(self.cursor + samples);
        self.changed(-samples);
        true
    }

    fn skip_quiet(&mut self, excess: f64) -> bool {
        let fade = self.fade_length();
        let by = self.samples(excess.min(PAUSE_STEP));
        let length = count(by) + fade;
        let may_leave_out = || self.pace.is_late() || self.is_real_pause(self.seconds(by));
        if by <= 0 || !self.is_quiet_at(self.cursor, length) || !may_leave_out() {
            return false;
        }
        self.jump(self.cursor + by);
        self.changed(-by);
        self.pace.left_out += self.seconds(by);
        true
    }

    /// Whether what is quiet now is more than a part of a word, also without so many seconds of it.
    fn is_real_pause(&self, by: f64) -> bool {
        let length = self.pace.now - self.pace.loud_at + self.quiet_ahead();
        length - by >= KEPT_PAUSE && length + self.pace.left_out >= REAL_PAUSE
    }

    /// How long what comes next is known to be quiet, as far as that matters.
    fn quiet_ahead(&self) -> f64 {
        let step = self.fade_length();
        let blocks = count(self.samples(REAL_PAUSE)).div_ceil(step);
        let is_quiet = |block: &usize| {
            let from = self.cursor + span(block * step);
            self.ring.knows(from, step) && self.pace.is_quiet(self.ring.mean_square(from, step))
        };
        self.seconds(span((0..blocks).take_while(is_quiet).count() * step))
    }

    fn repeat_quiet(&mut self, shortage: f64) -> bool {
        let fade = self.fade_length();
        let by = self.samples(shortage.min(PAUSE_STEP));
        let may_add = || shortage > self.urgent_shortage() || self.is_real_pause(0.0);
        if by <= 0 || !self.is_quiet_at(self.cursor - by, count(by) + fade) || !may_add() {
            return false;
        }
        self.jump(self.cursor - by);
        self.changed(by);
        true
    }

    fn is_quiet_at(&self, from: i64, length: usize) -> bool {
        self.pace.is_in_quiet()
            && self.ring.knows(from, length)
            && self.pace.is_quiet(self.ring.mean_square(from, length))
    }

    fn shorten(&mut self, excess: f64) -> bool {
        let at_most = count(self.samples(excess));
        let (_, length) = self.ring.run(self.cursor, self.shown.len());
        let Some(input) = self.shown.get_mut(..length) else {
            return false;
        };
        self.ring.read(self.cursor, input);
        let (stretcher, input) = (&self.stretcher, &*input);
        let mut scaled = None;
        self.pending.fill(|out| {
            scaled = stretcher.shorten(input, at_most, out);
            scaled.map_or(0, |scaled| scaled.written)
        });
        let Some(scaled) = scaled else { return false };
        self.cursor += span(scaled.consumed);
        self.ring.follow(self.cursor);
        self.changed(span(scaled.written) - span(scaled.consumed));
        true
    }

    fn lengthen(&mut self, shortage: f64) -> bool {
        let at_most = count(self.samples(shortage));
        let (_, length) = self.ring.run(self.cursor, self.shown.len());
        let Some(input) = self.shown.get_mut(..length) else {
            return false;
        };
        self.ring.read(self.cursor, input);
        let (stretcher, input, past) = (&self.stretcher, &*input, self.concealer.history());
        let mut scaled = None;
        self.pending.fill(|out| {
            scaled = stretcher.lengthen(past, input, at_most, out);
            scaled.map_or(0, |scaled| scaled.written)
        });
        let Some(scaled) = scaled else { return false };
        self.cursor += span(scaled.consumed);
        self.changed(span(scaled.written) - span(scaled.consumed));
        true
    }

    /// A packet came after its first sample was to be played. Where the target allows a longer delay, it is played from
    /// where the sound broke off; where not, time is kept and the rest of it is played, if there is any.
    pub(super) fn catch_late(&mut self, arrival: Arrival, span: Span, standing: Standing, lateness: f64) {
        if standing == Standing::BeginsTalkspurt {
            // What was late before the pause has nothing to do with it.
            self.steps.forget();
        }
        if standing != Standing::Reordered {
            match self.steps.observe(arrival.at, lateness, self.goal) {
                Verdict::Wait => {}
                Verdict::Step => return self.accept_step(arrival, span),
                Verdict::Late => return self.catch_up_with(span),
            }
        }
        if standing == Standing::BeginsTalkspurt {
            return self.begin_talkspurt(span);
        }
        let Some(gap) = self.gap else { return };
        let behind = self.cursor - span.start.max(gap);
        let room = self.samples(self.goal - self.delay(arrival.output));
        let back = self.in_phase(behind.min(room));
        self.go_back(back);
    }

    /// How far to go back, of so many samples at most, so that the sound goes on where what was made up in its place has
    /// arrived within the pitch period. A little of it is left out for that, but a jump in phase is heard more.
    fn in_phase(&mut self, most: i64) -> i64 {
        let compared = self.fade_length();
        if most <= 0 || self.has_starved(IN_PHASE) {
            return most;
        }
        let Some((made_up, known)) = self.shown.split_at_mut_checked(compared) else {
            return most;
        };
        let (from, wanted) = (self.cursor - most, known.len().min(count(most) + compared));
        let (content, length) = self.ring.run(from, wanted);
        let known = known.get_mut(..length).unwrap_or_default();
        if content != Content::Sound || !self.concealer.continuation(made_up) {
            return most;
        }
        self.ring.read(from, known);
        let cost = LEFT_OUT_COST / self.rate as f32;
        let places = known.windows(compared).enumerate().map(|(left_out, sound)| {
            let alike = likeness(made_up, sound);
            (left_out, alike, alike - cost * left_out as f32)
        });
        let best = places.max_by(|one, other| one.2.total_cmp(&other.2));
        best.filter(|(_, alike, _)| *alike >= ALIKE)
            .map_or(most, |(left_out, ..)| most - span(left_out))
    }

    /// Until now nothing was heard, so all of it is played, and the pause before it becomes longer.
    fn begin_talkspurt(&mut self, span: Span) {
        let missed = self.cursor - self.gap.map_or(span.start, |gap| gap.max(span.start));
        self.go_back(missed.min(self.samples(NOT_MISSED)));
        if self.gap.take().is_some() {
            // The sound had just ended.
            self.starved = 0;
            self.resumed = 0;
        }
    }

    fn go_back(&mut self, by: i64) {
        if by > 0 {
            self.cursor -= by;
            self.played.lengthened += self.nanos(by);
        }
    }

    /// The path has become slower for good: its fastest packet is this one.
    fn accept_step(&mut self, arrival: Arrival, span: Span) {
        let offset = arrival.at - self.seconds(span.start);
        self.baseline.restart(arrival.at, offset);
        self.drift.restart();
        self.catch_up_with(span);
    }

    /// Plays this packet at once, though the delay becomes longer than is aimed at.
    fn catch_up_with(&mut self, span: Span) {
        self.steps.forget();
        if let Some(gap) = self.gap {
            self.cursor = (span.start - self.samples(NOT_MISSED)).max(gap);
        }
    }

    /// Lets sound begin just when it should: nobody hears the difference.
    pub(super) fn end_pause(&mut self, start: i64, lateness: f64) {
        let due = start - rounded((self.goal - lateness).max(0.0) * f64::from(self.rate));
        let to = self.gap.map_or(due, |gap| due.max(gap));
        let steady = self.seconds(to - self.cursor).abs() < STEADY && self.cursor <= start;
        // What lies within a gap was never played; elsewhere it was, or would be left out.
        let passes_sound = self.gap.is_none() && self.ring.has_sound(to.min(self.cursor), start);
        if !steady && !passes_sound && self.pending.len() == 0 {
            self.cursor = to;
            self.ring.follow(self.cursor);
        }
    }
}

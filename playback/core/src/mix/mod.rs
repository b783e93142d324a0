//! Two legs become one stereo signal: agent left, customer right, or both in both ears.
//!
//! With the default settings samples come out exactly as they went in. Every change of a setting is a ramp, and nothing
//! that comes out exceeds full scale.

mod auto_level;
mod dtmf;
mod limiter;
mod meter;
mod ramp;

use auto_level::AutoLevel;
use dtmf::Suppressor;
use limiter::Limiter;
use meter::Meter;
use ramp::Ramp;
use serde::Serialize;

/// Length of every change of a gain: 5 ms.
const RAMPS_PER_SECOND: u32 = 200;
/// Input beyond this is cut off: 24 dB above full scale is no sound, and must not become infinite.
const LARGEST_INPUT: f32 = 16.0;
/// Each leg's share of a mono signal: -3 dB, so that two voices are together as loud as one.
const MONO_GAIN: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// Range of the volume in dB.
pub const VOLUME_DB: std::ops::RangeInclusive<f32> = -60.0..=20.0;

/// How the legs are mixed. Numbers outside of their range are brought within; what is no number counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MixSettings {
    /// Gain of both legs in dB, [`VOLUME_DB`].
    pub volume_db: f32,
    /// From -1, only the agent, to 1, only the customer; the power of both together stays the same.
    pub balance: f32,
    /// Whether the agent, the customer isn't heard.
    pub muted: [bool; 2],
    /// Both legs in both ears.
    pub mono: bool,
    /// Brings each leg's speech slowly to -22 dB, by at most 12 dB.
    pub auto_level: bool,
    /// Mutes in-band DTMF digits (Q.23) once they are recognised, at most 23 ms after they began.
    pub suppress_dtmf: bool,
}

impl MixSettings {
    /// Gain of each leg, and of it in each ear: `[agent, customer]` in `[left, right]`.
    fn gains(&self) -> [[f32; 2]; 2] {
        let volume = bounded(self.volume_db, *VOLUME_DB.start(), *VOLUME_DB.end());
        let volume = if volume == 0.0 { 1.0 } else { 10_f32.powf(volume / 20.0) };
        let balance = bounded(self.balance, -1.0, 1.0);
        let sides = if balance == 0.0 {
            [1.0, 1.0]
        } else {
            let angle = (balance + 1.0) * std::f32::consts::FRAC_PI_4;
            [angle.cos(), angle.sin()].map(|share| (share * std::f32::consts::SQRT_2).max(0.0))
        };
        let [agent, customer] = [0, 1].map(|leg| {
            let heard = if self.muted[leg] { 0.0 } else { 1.0 };
            volume * sides[leg] * heard
        });
        if self.mono {
            [[agent * MONO_GAIN, customer * MONO_GAIN]; 2]
        } else {
            [[agent, 0.0], [0.0, customer]]
        }
    }
}

/// The number within its range; 0 where it is none.
fn bounded(number: f32, low: f32, high: f32) -> f32 {
    if number.is_nan() { 0.0 } else { number.clamp(low, high) }
}

/// How loud a leg is as it came, before anything was done to it, in dB relative to a full-scale square wave, at least
/// [`SILENCE_DBFS`](crate::report::SILENCE_DBFS); and what was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Level {
    /// Root mean square of the last 100 ms.
    pub rms_dbfs: f32,
    /// Largest sample of the last 1.5 s.
    pub peak_dbfs: f32,
    /// Gain of the automatic level in dB.
    pub auto_level_db: f32,
    /// In-band DTMF digits muted so far.
    pub digits_muted: u64,
}

/// Of both legs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Levels {
    /// The agent's.
    pub agent: Level,
    /// The customer's.
    pub customer: Level,
}

/// What one leg goes through before both are joined.
#[derive(Debug)]
struct Strip {
    meter: Meter,
    suppressor: Suppressor,
    auto_level: AutoLevel,
}

impl Strip {
    fn new(sample_rate: u32) -> Self {
        Self {
            meter: Meter::new(sample_rate),
            suppressor: Suppressor::new(sample_rate),
            auto_level: AutoLevel::new(sample_rate),
        }
    }

    fn set(&mut self, settings: MixSettings) {
        self.suppressor.switch(settings.suppress_dtmf);
        self.auto_level.switch(settings.auto_level);
    }

    fn apply(&mut self, sample: f32) -> f32 {
        self.meter.observe(sample);
        self.auto_level.apply(self.suppressor.apply(sample))
    }

    fn changes_nothing(&self) -> bool {
        self.suppressor.is_off() && self.auto_level.is_off()
    }

    fn level(&self) -> Level {
        Level {
            rms_dbfs: self.meter.rms_dbfs(),
            peak_dbfs: self.meter.peak_dbfs(),
            auto_level_db: self.auto_level.gain_db(),
            digits_muted: self.suppressor.digits(),
        }
    }
}

/// The mixer of one session; allocates only in [`new`](Self::new).
#[derive(Debug)]
pub struct Mixer {
    settings: MixSettings,
    strips: [Strip; 2],
    /// Gain of `[agent, customer]` in each ear.
    ears: [[Ramp; 2]; 2],
    limiters: [Limiter; 2],
}

impl Mixer {
    /// A mixer of so many frames per second, with the default settings.
    pub fn new(sample_rate: u32) -> Self {
        let settings = MixSettings::default();
        let length = (sample_rate / RAMPS_PER_SECOND).max(1);
        Self {
            settings,
            strips: [Strip::new(sample_rate), Strip::new(sample_rate)],
            ears: settings.gains().map(|ear| ear.map(|gain| Ramp::new(gain, length))),
            limiters: [Limiter::new(sample_rate); 2],
        }
    }

    /// Changes the settings; the sound follows within 5 ms.
    pub fn set(&mut self, settings: MixSettings) {
        self.settings = settings;
        for strip in &mut self.strips {
            strip.set(settings);
        }
        for (ear, gains) in self.ears.iter_mut().zip(settings.gains()) {
            for (ramp, gain) in ear.iter_mut().zip(gains) {
                ramp.set(gain);
            }
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> MixSettings {
        self.settings
    }

    /// Mixes as many frames (left, right) as `out` has; a leg with fewer samples is silent after them.
    pub fn mix(&mut self, agent: &[f32], customer: &[f32], out: &mut [[f32; 2]]) {
        let silence = std::iter::repeat(&0.0);
        let legs = agent.iter().chain(silence.clone()).zip(customer.iter().chain(silence));
        let mut untouched = self.changes_nothing();
        for (frame, (&agent, &customer)) in out.iter_mut().zip(legs) {
            let legs = [sane(agent), sane(customer)];
            untouched = untouched && legs.iter().all(|sample| sample.abs() <= 1.0);
            *frame = if untouched {
                self.metered(legs)
            } else {
                self.frame(legs)
            };
        }
    }

    /// Whether sound within full scale comes out as it goes in.
    fn changes_nothing(&self) -> bool {
        let [left, right] = &self.ears;
        self.strips.iter().all(Strip::changes_nothing)
            && self.limiters.iter().all(Limiter::is_transparent)
            && [left[0], right[1]].iter().all(|ramp| ramp.rests_at(1.0))
            && [left[1], right[0]].iter().all(|ramp| ramp.rests_at(0.0))
    }

    fn metered(&mut self, legs: [f32; 2]) -> [f32; 2] {
        for (strip, sample) in self.strips.iter_mut().zip(legs) {
            strip.meter.observe(sample);
        }
        legs
    }

    fn frame(&mut self, [agent, customer]: [f32; 2]) -> [f32; 2] {
        let [agent_strip, customer_strip] = &mut self.strips;
        let agent = agent_strip.apply(agent);
        let customer = customer_strip.apply(customer);
        let [left, right] = &mut self.ears;
        let [left, right] =
            [left, right].map(|[agent_gain, customer_gain]| agent_gain.apply(agent) + customer_gain.apply(customer));
        let [left_limiter, right_limiter] = &mut self.limiters;
        [left_limiter.limit(left), right_limiter.limit(right)]
    }

    /// How loud each leg is.
    pub fn levels(&self) -> Levels {
        let [agent, customer] = self.strips.each_ref().map(Strip::level);
        Levels { agent, customer }
    }
}

/// The sample, where it is one.
fn sane(sample: f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-LARGEST_INPUT, LARGEST_INPUT)
    } else {
        0.0
    }
}

//! Two legs become one stereo signal: agent left, customer right, or both in both ears.
//!
//! With the default settings samples come out exactly as they went in. Every change of a setting is a ramp, and nothing
//! that comes out exceeds full scale.

mod limiter;
mod meter;
mod ramp;

use limiter::Limiter;
use meter::Meter;
pub use meter::{Level, Levels};
use ramp::Ramp;

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

/// The mixer of one session; allocates only in [`new`](Self::new).
#[derive(Debug)]
pub struct Mixer {
    settings: MixSettings,
    /// Gain of `[agent, customer]` in each ear.
    ears: [[Ramp; 2]; 2],
    limiters: [Limiter; 2],
    meters: [Meter; 2],
}

impl Mixer {
    /// A mixer of so many frames per second, with the default settings.
    pub fn new(sample_rate: u32) -> Self {
        let settings = MixSettings::default();
        let length = (sample_rate / RAMPS_PER_SECOND).max(1);
        Self {
            settings,
            ears: settings.gains().map(|ear| ear.map(|gain| Ramp::new(gain, length))),
            limiters: [Limiter::new(sample_rate); 2],
            meters: [0, 1].map(|_| Meter::new(sample_rate)),
        }
    }

    /// Changes the settings; the sound follows within 5 ms.
    pub fn set(&mut self, settings: MixSettings) {
        self.settings = settings;
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
        for (frame, (&agent, &customer)) in out.iter_mut().zip(legs) {
            *frame = self.frame([sane(agent), sane(customer)]);
        }
    }

    fn frame(&mut self, legs: [f32; 2]) -> [f32; 2] {
        for (meter, sample) in self.meters.iter_mut().zip(legs) {
            meter.observe(sample);
        }
        let [agent, customer] = legs;
        let [left, right] = &mut self.ears;
        let sums =
            [left, right].map(|[agent_gain, customer_gain]| agent_gain.apply(agent) + customer_gain.apply(customer));
        let [left, right] = &mut self.limiters;
        [left.limit(sums[0]), right.limit(sums[1])]
    }

    /// How loud each leg is, as it came: before volume and mute.
    pub fn levels(&self) -> Levels {
        let [agent, customer] = self.meters.each_ref().map(Meter::level);
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

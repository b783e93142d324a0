//! The noise behind the voice: what is left when a voice has faded in a long gap, so that the line doesn't seem dead.

use super::ComfortNoise;
use crate::pitch::power;

/// Each stretch of so many seconds gives one minimum; the lower of the last two counts.
const STRETCH_SECONDS: f32 = 1.5;
/// Least that tells a level: 5 ms.
const LEAST_SECONDS: f32 = 0.005;
/// Never louder than -50 dB of full scale, and a little softer than what was heard.
const LOUDEST: f32 = 3.2e-3;
const SOFTER: f32 = 0.7;
/// A noise with somewhat more of the low frequencies than of the high (RFC 3389 payload: any level, one coefficient).
const SPECTRUM: [u8; 2] = [127, 64];

/// Follows the level of the background, and imitates it.
#[derive(Debug)]
pub(super) struct Background {
    rate: f32,
    /// Samples heard in this stretch.
    heard: f32,
    lowest: f32,
    lowest_before: f32,
    noise: ComfortNoise,
}

impl Background {
    pub(super) fn new(sample_rate: u32) -> Self {
        let mut noise = ComfortNoise::new(sample_rate, 1);
        noise.describe(&SPECTRUM);
        Self {
            rate: sample_rate as f32,
            heard: 0.0,
            lowest: LOUDEST,
            lowest_before: 0.0,
            noise,
        }
    }

    /// Takes note of what was heard at once, if that is long enough to have a level.
    pub(super) fn hear(&mut self, samples: &[f32]) {
        let length = samples.len() as f32;
        if length < LEAST_SECONDS * self.rate {
            return;
        }
        self.lowest = self.lowest.min(power(samples).sqrt());
        self.heard += length;
        if self.heard >= STRETCH_SECONDS * self.rate {
            self.heard = 0.0;
            self.lowest_before = self.lowest;
            self.lowest = LOUDEST;
        }
    }

    /// The next sample of a like noise.
    pub(super) fn next(&mut self) -> f32 {
        self.noise.sample() * self.lowest.min(self.lowest_before) * SOFTER
    }
}

//! Comfort noise (RFC 3389): noise of a given level and spectrum for pauses that weren't sent.

/// Most reflection coefficients used; more are ignored (RFC 3389 section 3.3 leaves the order to the sender).
const MOST_COEFFICIENTS: usize = 16;

/// Noise of the level and spectrum last described, faded in and out. The same seed gives the same noise.
#[derive(Debug, Clone)]
pub struct ComfortNoise {
    state: u32,
    /// Root mean square of the noise, full scale ±1.
    level: f32,
    /// Level that is glided to, so that a new description makes no step.
    target: f32,
    reflection: [f32; MOST_COEFFICIENTS],
    memory: [f32; MOST_COEFFICIENTS + 1],
    /// What white noise of power 1 is multiplied by before the filter, so that the power after it is 1.
    innovation: f32,
    /// 0 is silent, 1 is full.
    presence: f32,
    /// Change of `presence` and of the level for each sample.
    step: f32,
}

impl ComfortNoise {
    /// For a stream of so many samples per second; silent until it was described.
    pub fn new(sample_rate: u32, seed: u32) -> Self {
        Self {
            state: seed | 1,
            level: 0.0,
            target: 0.0,
            reflection: [0.0; MOST_COEFFICIENTS],
            memory: [0.0; MOST_COEFFICIENTS + 1],
            innovation: 1.0,
            presence: 0.0,
            step: 100.0 / sample_rate.max(1) as f32,
        }
    }

    /// Takes the payload of a comfort noise packet (RFC 3389 section 3): the level, and perhaps reflection coefficients.
    /// An empty payload changes nothing.
    pub fn describe(&mut self, payload: &[u8]) {
        let Some((&level, coefficients)) = payload.split_first() else {
            return;
        };
        self.target = level_of(level);
        self.reflection = [0.0; MOST_COEFFICIENTS];
        for (coefficient, &index) in self.reflection.iter_mut().zip(coefficients) {
            *coefficient = coefficient_of(index);
        }
        let passed: f32 = self.reflection.iter().map(|k| 1.0 - k * k).product();
        self.innovation = passed.sqrt();
        self.begin();
    }

    /// Sets noise of a root mean square, full scale ±1, with the spectrum described before.
    pub fn set_level(&mut self, level: f32) {
        self.target = level.clamp(0.0, 1.0);
        self.begin();
    }

    /// Adds noise to `out`, fading in over 10 ms where it is `wanted`, and out over 10 ms where not.
    pub fn add(&mut self, wanted: bool, out: &mut [f32]) {
        if !wanted && self.is_silent() {
            return;
        }
        for sample in out {
            let goal = if wanted { 1.0 } else { 0.0 };
            self.presence += (goal - self.presence).clamp(-self.step, self.step);
            self.level += (self.target - self.level) * self.step;
            *sample += self.sample() * self.level * self.presence;
        }
    }

    /// Whether nothing is heard of it now.
    pub fn is_silent(&self) -> bool {
        self.presence == 0.0
    }

    /// Out of silence the level is there at once: the fade is enough.
    fn begin(&mut self) {
        if self.is_silent() {
            self.level = self.target;
        }
    }

    /// Noise of power 1: white noise through an all-pole lattice filter.
    pub(super) fn sample(&mut self) -> f32 {
        let mut forward = self.white() * self.innovation;
        for (stage, &k) in self.reflection.iter().enumerate().rev() {
            forward -= k * self.memory[stage];
            self.memory[stage + 1] = self.memory[stage] + k * forward;
        }
        self.memory[0] = forward;
        forward
    }

    /// Uniform noise of power 1.
    fn white(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state as f32 / u32::MAX as f32 * 2.0 - 1.0) * 3.0_f32.sqrt()
    }
}

/// Noise level in -dBov (RFC 3389 section 3.1; the topmost bit is 0). 0 dBov is the power of a square wave at full scale.
fn level_of(byte: u8) -> f32 {
    10.0_f32.powf(-f32::from(byte & 0x7F) / 20.0)
}

/// Reflection coefficient of a quantisation index (RFC 3389 section 3.2).
fn coefficient_of(index: u8) -> f32 {
    258.0 * (f32::from(index.min(254)) - 127.0) / 32768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(payload: &[u8], length: usize) -> Vec<f32> {
        let mut noise = ComfortNoise::new(8000, 7);
        noise.describe(payload);
        let mut out = vec![0.0; length];
        noise.add(true, &mut out);
        out
    }

    fn decibels(samples: &[f32]) -> f32 {
        let power: f32 = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
        10.0 * power.log10()
    }

    #[test]
    fn noise_has_the_level_that_was_described() {
        for level in [20, 40, 60, 78] {
            let off = decibels(&noise(&[level], 16_000)[100..]) + f32::from(level);
            assert!(off.abs() < 0.5, "{level}: {off} dB off");
        }
    }

    #[test]
    fn a_spectrum_changes_the_colour_and_not_the_level() {
        let white = noise(&[40], 16_000);
        let coloured = noise(&[40, 40, 150, 100], 16_000);
        let correlation = |s: &[f32]| {
            let product: f32 = s.windows(2).map(|pair| pair[0] * pair[1]).sum();
            product / s.iter().map(|s| s * s).sum::<f32>()
        };
        assert!(correlation(&white[100..]).abs() < 0.05);
        assert!(correlation(&coloured[100..]) > 0.3);
        assert!((decibels(&coloured[100..]) + 40.0).abs() < 1.0);
    }

    #[test]
    fn it_fades_in_and_out_within_10_ms() {
        let mut noise = ComfortNoise::new(8000, 7);
        noise.describe(&[20]);
        let mut out = [0.0; 160];
        noise.add(true, &mut out);
        assert!(out[..4].iter().all(|s| s.abs() < 0.02));
        let mut out = [0.0; 160];
        noise.add(false, &mut out);
        assert!(out[80..].iter().all(|&s| s == 0.0));
        assert!(noise.is_silent());
    }

    #[test]
    fn any_payload_gives_finite_noise() {
        for index in [0, 1, 127, 254, 255] {
            let out = noise(&[0; 1].iter().chain(&[index; 40]).copied().collect::<Vec<_>>(), 8000);
            assert!(out.iter().all(|s| s.is_finite()), "{index}");
        }
        assert!(noise(&[], 80).iter().all(|&s| s == 0.0));
    }
}

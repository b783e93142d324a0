//! The pitch period of what was heard: normalised cross-correlation, searched at about 8000 samples per second and refined
//! at the full rate.

/// How sound repeats itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pitch {
    /// Samples.
    pub(crate) period: f32,
    /// Normalised correlation with what was a period before: 1 is a hum, below 0.3 is noise.
    pub(crate) voicing: f32,
}

impl Pitch {
    /// Where nothing is known.
    pub(crate) const NONE: Self = Self {
        period: 1.0,
        voicing: 0.0,
    };
}

/// Periods searched at 8000 samples per second: 47 to 400 Hz.
const SHORTEST: usize = 20;
const LONGEST: usize = 170;
/// Samples compared at 8000 samples per second: the last 7.5 ms, or 5 where not more is known.
const COMPARED: usize = 60;
const LEAST_COMPARED: usize = 40;
/// What a sample more of period costs: a multiple of the period is no better than the period.
const LENGTH_COST: f32 = 0.001;
/// How much a period near the expected one is favoured, and how near (natural logarithm of the ratio).
const EXPECTED_BONUS: f32 = 0.1;
const EXPECTED_WIDTH: f32 = 0.15;

/// Finds periods in streams of one sample rate; allocates only when made.
#[derive(Debug)]
pub(crate) struct PitchSearch {
    /// Samples to one at about 8000 per second.
    factor: usize,
    coarse: Vec<f32>,
}

impl PitchSearch {
    pub(crate) fn new(sample_rate: u32) -> Self {
        let factor = (sample_rate as usize + 4000) / 8000;
        Self {
            factor: factor.max(1),
            coarse: vec![0.0; COMPARED + LONGEST],
        }
    }

    /// The period at the end of `known`; in a short stretch only short ones are found. One near `expected` is favoured.
    pub(crate) fn find(&mut self, known: &[f32], expected: Option<Pitch>) -> Option<Pitch> {
        let length = (known.len() / self.factor).min(self.coarse.len());
        let longest = LONGEST.min(length.checked_sub(LEAST_COMPARED)?);
        let start = known.len() - length * self.factor;
        for (coarse, group) in self.coarse.iter_mut().zip(known[start..].chunks_exact(self.factor)) {
            *coarse = group.iter().sum::<f32>() / self.factor as f32;
        }
        let coarse = &self.coarse[..length];
        let mut best: Option<(f32, usize, f32)> = None;
        for lag in SHORTEST..=longest {
            let voicing = likeness_at(coarse, lag, COMPARED.min(length - lag));
            let score = voicing - LENGTH_COST * lag as f32 + self.bonus(lag, expected);
            if best.is_none_or(|(most, ..)| score > most) {
                best = Some((score, lag, voicing));
            }
        }
        let (_, lag, voicing) = best?;
        let period = self.refine(known, lag) as f32;
        Some(Pitch { period, voicing })
    }

    fn bonus(&self, lag: usize, expected: Option<Pitch>) -> f32 {
        let Some(expected) = expected else {
            return 0.0;
        };
        let off = ((lag * self.factor) as f32 / expected.period).ln() / EXPECTED_WIDTH;
        EXPECTED_BONUS * expected.voicing.max(0.0) * (-off * off).exp()
    }

    /// The best lag at the full rate around one found at the coarse rate.
    fn refine(&self, known: &[f32], lag: usize) -> usize {
        let around = lag * self.factor;
        if self.factor == 1 {
            return around;
        }
        let last = (around + self.factor).min(known.len() - LEAST_COMPARED);
        let compared = (COMPARED * self.factor).min(known.len() - last);
        let mut best = (f32::MIN, around);
        for lag in around - self.factor..=last {
            let alike = likeness_at(known, lag, compared);
            if alike > best.0 {
                best = (alike, lag);
            }
        }
        best.1
    }
}

/// How much the last `compared` samples are like those `lag` before.
fn likeness_at(samples: &[f32], lag: usize, compared: usize) -> f32 {
    let start = samples.len() - compared;
    likeness(&samples[start..], &samples[start - lag..samples.len() - lag])
}

/// Whole samples; none where it is negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounds towards 0, and saturates"
)]
pub(crate) const fn whole(samples: f32) -> usize {
    samples as usize
}

/// Normalised correlation: 1 for the same, 0 for strangers.
pub(crate) fn likeness(one: &[f32], other: &[f32]) -> f32 {
    let product: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    product / (power(one) * power(other) * (one.len() * other.len()) as f32 + 1e-12).sqrt()
}

/// Mean square.
pub(crate) fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

//! Plays a little faster or slower without a change of pitch: whole pitch periods are left out or said twice, with
//! overlap-add, where the sound resembles itself; anything may go where it is quiet.

/// What a change of the time scale took and gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaled {
    /// Samples taken from the front of the input.
    pub consumed: usize,
    /// Samples written to the front of the output, to be played in place of those consumed.
    pub written: usize,
}

/// Shortens or lengthens sound; never where it would be heard.
#[derive(Debug)]
pub struct Stretcher {
    shortest: usize,
    longest: usize,
    overlap: usize,
}

/// Normalised correlation from which two stretches count as the same.
const ALIKE: f32 = 0.85;
/// Mean square below which all is alike: -48 dB of full scale.
const QUIET: f32 = 1.6e-5;

impl Stretcher {
    /// For a stream of so many samples per second.
    pub fn new(sample_rate: u32) -> Self {
        let scaled = |at_8000: usize| at_8000 * sample_rate as usize / 8000;
        Self {
            shortest: scaled(20),
            longest: scaled(160),
            overlap: scaled(40),
        }
    }

    /// The most samples that one call removes, adds or writes; as many of the past are looked at.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Least input that a call can do something with: 5 ms.
    pub const fn least(&self) -> usize {
        self.overlap
    }

    /// Leaves out at most `at_most` samples of `input`, which waits to be played. `None` where no good place was found:
    /// play on and try again. With more input more places are found; 30 ms are enough for most voices, 40 ms for all.
    pub fn shorten(&self, input: &[f32], at_most: usize, out: &mut [f32]) -> Option<Scaled> {
        let template = input.get(..self.overlap)?;
        let last = at_most.min(self.longest).min(input.len() - self.overlap);
        let lag = self.best(last, |lag| (template, &input[lag..lag + self.overlap]))?;
        let written = self.fade(template, &input[lag..], out)?;
        Some(Scaled {
            consumed: lag + written,
            written,
        })
    }

    /// Says at most `at_most` samples of the past again before `input` goes on. `past` was played last (newest at the
    /// end). Consumes `least()` samples of the input, and writes those and what is added.
    pub fn lengthen(&self, past: &[f32], input: &[f32], at_most: usize, out: &mut [f32]) -> Option<Scaled> {
        let template = input.get(..self.overlap)?;
        let last = at_most.min(self.longest).min(past.len());
        let lag = self.best(last.checked_sub(1)?, |lag| {
            let from = past.len() - lag;
            (
                &template[..self.overlap.min(lag)],
                &past[from..past.len().min(from + self.overlap)],
            )
        })?;
        let again = &past[past.len() - lag..];
        let faded = self.fade(template, again, out)?;
        out.get_mut(faded..lag)?.copy_from_slice(&again[faded..]);
        Some(Scaled {
            consumed: 0,
            written: lag,
        })
    }

    fn best<'a>(&self, last: usize, pair: impl Fn(usize) -> (&'a [f32], &'a [f32])) -> Option<usize> {
        let mut best: Option<(f32, usize)> = None;
        for lag in self.shortest..=last {
            let (one, other) = pair(lag);
            let alike = alike(one, other);
            if alike >= ALIKE && best.is_none_or(|(most, _)| alike > most) {
                best = Some((alike, lag));
            }
        }
        best.map(|(_, lag)| lag)
    }

    fn fade(&self, from: &[f32], to: &[f32], out: &mut [f32]) -> Option<usize> {
        let length = self.overlap.min(to.len());
        let out = out.get_mut(..length)?;
        for (place, sample) in out.iter_mut().enumerate() {
            let share = (place as f32 + 0.5) / length as f32;
            *sample = from[place] * (1.0 - share) + to[place] * share;
        }
        Some(length)
    }
}

fn alike(one: &[f32], other: &[f32]) -> f32 {
    let product: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    let first: f32 = one.iter().map(|a| a * a).sum();
    let second: f32 = other.iter().map(|b| b * b).sum();
    if first.max(second) < QUIET * one.len() as f32 {
        return 1.0;
    }
    product / (first * second + 1e-12).sqrt()
}

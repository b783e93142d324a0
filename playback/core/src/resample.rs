//! From any rate to any other, with a ratio that may follow a drifting clock.
//!
//! A windowed sinc (Kaiser), looked up in a table and band-limited to the lower of both rates. Where both rates are equal and
//! nothing drifts the samples come out as they went in, without delay; otherwise what comes out needs
//! [`HALF_WIDTH`] zero crossings of look-ahead. Leaving that state and coming back to it makes no step in the sound:
//! only the number of samples asked for changes.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Zero crossings of the sinc on each side: 1.5 ms of look-ahead at 8 kHz.
pub const HALF_WIDTH: usize = 12;
/// Largest deviation that [`Resampler::set_drift`] takes.
pub const MAX_DRIFT: f64 = 0.02;

/// Table entries from one zero crossing to the next; linear interpolation between them errs by less than -100 dB.
const RESOLUTION: usize = 512;
/// Shape of the Kaiser window: side lobes of about -63 dB.
const KAISER_BETA: f64 = 6.0;
/// The rates served: from the lowest to the highest.
const LOWEST_RATE: u32 = 8000;
pub(crate) const HIGHEST_RATE: u32 = 96_000;
/// Input frames per output frame at most, drift included.
const MAX_STEP: usize = 13;
/// Reach of the longest filter on each side, in input samples.
const MAX_REACH: usize = HALF_WIDTH * 12;
/// Change of the drift per second: 1 % in 50 ms.
const DRIFT_SLEW: f64 = 0.2;
/// Rounding errors are smaller than this, and nothing audible is.
const NEGLIGIBLE: f64 = 1e-9;
/// Speed with which a drift that is over leads back to whole samples.
const RETURN_DRIFT: f64 = 100e-6;

/// The right half of the windowed sinc, one row per fraction of a zero crossing, so that the taps of an output sample
/// lie side by side.
struct Kernel {
    rows: Box<[[f32; HALF_WIDTH]]>,
}

static KERNEL: LazyLock<Kernel> = LazyLock::new(Kernel::new);

impl Kernel {
    fn new() -> Self {
        let exact: Vec<[f64; HALF_WIDTH]> = (0..=RESOLUTION)
            .map(|row| std::array::from_fn(|tap| windowed_sinc(row as f64 / RESOLUTION as f64 + tap as f64)))
            .collect();
        let sum = |row: &[f64; HALF_WIDTH]| row.iter().sum::<f64>();
        // Both halves together weigh one, so that a constant stays that constant.
        let rows = exact.iter().zip(exact.iter().rev()).map(|(row, mirrored)| {
            let weight = sum(row) + sum(mirrored);
            row.map(|tap| single(tap / weight))
        });
        Self { rows: rows.collect() }
    }

    /// Two neighbouring rows, and how far between them `fraction` of a crossing lies.
    fn rows(&self, fraction: f64) -> (&[f32; HALF_WIDTH], &[f32; HALF_WIDTH], f32) {
        const NOTHING: &[f32; HALF_WIDTH] = &[0.0; HALF_WIDTH];
        let place = fraction * RESOLUTION as f64;
        let row = whole(place).min(RESOLUTION - 1);
        let between = single(place - row as f64);
        let at = |row: usize| self.rows.get(row).unwrap_or(NOTHING);
        (at(row), at(row + 1), between)
    }

    /// The signal between two samples: `left` ends with the sample before, `right` begins with the one after.
    fn between(&self, left: &[f32], right: &[f32], fraction: f64) -> f32 {
        let half = |(row, next, between): (&[f32; HALF_WIDTH], &[f32; HALF_WIDTH], f32), sample: (usize, &f32)| {
            let (tap, &sample) = sample;
            let (Some(&weight), Some(&after)) = (row.get(tap), next.get(tap)) else {
                return 0.0;
            };
            sample * (weight + between * (after - weight))
        };
        let before = self.rows(fraction);
        let behind = self.rows(1.0 - fraction);
        let left: f32 = left.iter().rev().enumerate().map(|tap| half(before, tap)).sum();
        let right: f32 = right.iter().enumerate().map(|tap| half(behind, tap)).sum();
        left + right
    }

    /// The same, band-limited to `band` of the input's.
    fn band_limited(&self, left: &[f32], right: &[f32], fraction: f64, band: f64) -> f32 {
        let weight = |distance: f64| {
            let place = distance * band;
            let tap = whole(place);
            let (row, next, between) = self.rows(place - tap as f64);
            match (row.get(tap), next.get(tap)) {
                (Some(&weight), Some(&after)) => weight + between * (after - weight),
                _ => 0.0,
            }
        };
        let mut sum = 0.0;
        let mut total = 0.0;
        let mut add = |distance: f64, sample: f32| {
            let weight = weight(distance);
            sum += sample * weight;
            total += weight;
        };
        for (tap, &sample) in left.iter().rev().enumerate() {
            add(tap as f64 + fraction, sample);
        }
        for (tap, &sample) in right.iter().enumerate() {
            add(tap as f64 + 1.0 - fraction, sample);
        }
        sum / total
    }
}

fn windowed_sinc(distance: f64) -> f64 {
    let half_width = HALF_WIDTH as f64;
    if distance >= half_width {
        return 0.0;
    }
    let sinc = if distance == 0.0 {
        1.0
    } else {
        (PI * distance).sin() / (PI * distance)
    };
    let place = distance / half_width;
    sinc * bessel_i0(KAISER_BETA * (1.0 - place * place).sqrt()) / bessel_i0(KAISER_BETA)
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let terms = (1..30).scan(1.0, |term, k| {
        *term *= quarter / f64::from(k * k);
        Some(*term)
    });
    1.0 + terms.sum::<f64>()
}

/// Where an output sample lies in the input, and how far apart they are.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// Of the next output sample, in samples of the buffer.
    start: f64,
    /// From one output sample to the next, at first.
    step: f64,
    /// Growth of the step from one output sample to the next.
    growth: f64,
}

impl Course {
    fn at(&self, output: usize) -> f64 {
        let n = output as f64;
        self.start + n * (self.step + self.growth * (n + 1.0) / 2.0)
    }

    /// Whether each output sample is an input sample.
    #[expect(clippy::float_cmp, reason = "exactly these, or interpolation")]
    fn is_exact(&self) -> bool {
        self.step == 1.0 && self.growth == 0.0 && self.start.fract() == 0.0
    }
}

/// One stream's converter: mono, pulled, allocates only in [`new`](Self::new).
#[derive(Debug)]
pub struct Resampler {
    input_rate: u32,
    output_rate: u32,
    /// Input heard before and still to come: `filled` samples.
    buffer: Box<[f32]>,
    filled: usize,
    /// Place of the next output sample in the buffer.
    position: f64,
    drift: f64,
    target_drift: f64,
    max_chunk: usize,
}

impl Resampler {
    /// A converter from 8 kHz to 8 kHz that gives up to `max_chunk` samples at once.
    pub fn new(max_chunk: usize) -> Self {
        LazyLock::force(&KERNEL);
        Self {
            input_rate: LOWEST_RATE,
            output_rate: LOWEST_RATE,
            buffer: vec![0.0; 2 * MAX_REACH + (max_chunk + 2) * MAX_STEP].into_boxed_slice(),
            filled: MAX_REACH,
            position: MAX_REACH as f64,
            drift: 0.0,
            target_drift: 0.0,
            max_chunk,
        }
    }

    /// Sets samples per second in and out (8000 to 96,000 each, others are brought within); what was heard is kept.
    pub fn set_rates(&mut self, input: u32, output: u32) {
        self.input_rate = input.clamp(LOWEST_RATE, HIGHEST_RATE);
        self.output_rate = output.clamp(LOWEST_RATE, HIGHEST_RATE);
    }

    /// Consumes the input faster by this share (`200e-6`: 200 ppm more samples in than the rates say; negative: slower),
    /// from now on gradually, 1 % in 50 ms. At most [`MAX_DRIFT`] either way.
    pub fn set_drift(&mut self, share: f64) {
        if share.is_finite() {
            self.target_drift = share.clamp(-MAX_DRIFT, MAX_DRIFT);
        }
    }

    /// The drift that the samples are converted with now.
    pub fn drift(&self) -> f64 {
        self.drift
    }

    /// Input samples taken and not yet due, with the fraction of one: what the look-ahead costs.
    pub fn held(&self) -> f64 {
        self.filled as f64 - self.position
    }

    /// Forgets what was heard; rates stay, drift is zero.
    pub fn reset(&mut self) {
        self.buffer.fill(0.0);
        self.filled = MAX_REACH;
        self.position = MAX_REACH as f64;
        self.drift = 0.0;
        self.target_drift = 0.0;
    }

    /// Samples that [`process`](Self::process) takes to give the next `output` ones (at most the largest chunk).
    pub fn input_needed(&self, output: usize) -> usize {
        let output = output.min(self.max_chunk);
        let Some(last) = output.checked_sub(1) else {
            return 0;
        };
        let course = self.course(output);
        let end = whole(course.at(last)) + 1 + if course.is_exact() { 0 } else { self.reach() };
        end.saturating_sub(self.filled)
    }

    /// Converts: takes [`input_needed`](Self::input_needed) samples and fills `output`. Where `input` has fewer, silence
    /// follows it; what it has more isn't looked at, and what `output` has beyond the largest chunk becomes silent.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        let length = output.len().min(self.max_chunk);
        let (output, beyond) = output.split_at_mut(length);
        beyond.fill(0.0);
        self.take(input, self.input_needed(length));
        let course = self.course(length);
        if course.is_exact() {
            let start = whole(self.position);
            if let Some(samples) = self.buffer.get(start..start + length) {
                output.copy_from_slice(samples);
            }
        } else {
            let band = (f64::from(self.output_rate) / f64::from(self.input_rate)).min(1.0);
            for (n, sample) in output.iter_mut().enumerate() {
                *sample = self.interpolate(course.at(n), band);
            }
        }
        self.advance(course, length);
    }

    /// Samples on each side of an output sample that it is made of.
    fn reach(&self) -> usize {
        let longer = f64::from(self.input_rate) / f64::from(self.output_rate);
        whole((HALF_WIDTH as f64 * longer.max(1.0)).ceil())
    }

    fn take(&mut self, input: &[f32], wanted: usize) {
        let end = (self.filled + wanted).min(self.buffer.len());
        let Some(room) = self.buffer.get_mut(self.filled..end) else {
            return;
        };
        let given = room.len().min(input.len());
        let (known, missing) = room.split_at_mut(given);
        known.copy_from_slice(input.get(..given).unwrap_or_default());
        missing.fill(0.0);
        self.filled = end;
    }

    fn interpolate(&self, position: f64, band: f64) -> f32 {
        let before = whole(position) + 1;
        let fraction = position.fract();
        let reach = self.reach();
        let left = self
            .buffer
            .get(before.saturating_sub(reach)..before)
            .unwrap_or_default();
        let right = self.buffer.get(before..before + reach).unwrap_or_default();
        if band < 1.0 {
            KERNEL.band_limited(left, right, fraction, band)
        } else {
            KERNEL.between(left, right, fraction)
        }
    }

    /// The way of the next `output` samples through the input.
    fn course(&self, output: usize) -> Course {
        let nominal = f64::from(self.input_rate) / f64::from(self.output_rate);
        let length = output.max(1) as f64;
        let slew = DRIFT_SLEW * length / f64::from(self.output_rate);
        let drift = self.drift + (self.target_drift - self.drift).clamp(-slew, slew);
        let mut course = Course {
            start: self.position,
            step: nominal * (1.0 + self.drift),
            growth: nominal * (drift - self.drift) / length,
        };
        if self.input_rate == self.output_rate && self.drift == 0.0 && drift == 0.0 {
            let away = self.position.round() - self.position;
            course.step += (away / length).clamp(-RETURN_DRIFT, RETURN_DRIFT);
        }
        course
    }

    /// Goes on behind the output samples and lets go of the input that no further one is made of.
    fn advance(&mut self, course: Course, length: usize) {
        let end = course.at(length);
        self.drift += course.growth * length as f64 / (f64::from(self.input_rate) / f64::from(self.output_rate));
        if (self.drift - self.target_drift).abs() < NEGLIGIBLE {
            self.drift = self.target_drift;
        }
        let arrived =
            self.drift == 0.0 && self.input_rate == self.output_rate && (end - end.round()).abs() < NEGLIGIBLE;
        let end = if arrived { end.round() } else { end };
        let gone = whole(end).saturating_sub(MAX_REACH).min(self.filled);
        self.buffer.copy_within(gone..self.filled, 0);
        self.filled -= gone;
        self.position = end - gone as f64;
    }
}

/// The whole part of a number that isn't negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions in a buffer: small and not negative"
)]
fn whole(number: f64) -> usize {
    number as usize
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "samples and weights are of single precision"
)]
fn single(number: f64) -> f32 {
    number as f32
}

//! G.722 (ITU-T, 1988 and later) at 64, 56 or 48 kbit/s, bit exact: two sub-bands of ADPCM and the receive QMF.
//!
//! Samples come at 16 kHz, two a byte, though the RTP clock runs at 8 kHz (RFC 3551 section 4.5.2). Names in capitals
//! in the comments are the blocks of clause 6 of the recommendation.

use super::{BadPayload, Decoder};
use crate::g711::FULL_SCALE;

/// Samples per second.
pub const SAMPLE_RATE: u32 = 16_000;

/// How many bits of each byte are sound (clause 1.3); the rest may be an auxiliary data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 64 kbit/s: all eight. What RTP carries.
    Sound64,
    /// 56 kbit/s: the lowest bit is data.
    Sound56,
    /// 48 kbit/s: the two lowest bits are data.
    Sound48,
}

/// Decodes one stream.
#[derive(Debug, Clone)]
pub struct G722 {
    mode: Mode,
    lower: SubBand,
    higher: SubBand,
    filter: ReceiveFilter,
}

impl G722 {
    /// A decoder in its initial state.
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            lower: SubBand::new(LOWER),
            higher: SubBand::new(HIGHER),
            filter: ReceiveFilter { delay: [0; TAPS] },
        }
    }

    /// The two 16 bit samples of a byte.
    pub fn decode_byte(&mut self, byte: u8) -> [i16; 2] {
        let lower = self.lower_sub_band(byte & 0x3f);
        let higher = self.higher_sub_band(byte >> 6);
        self.filter.synthesise(lower, higher)
    }

    /// The predictor is fed with the four highest bits in every mode, so that data in the others never disturb it.
    fn lower_sub_band(&mut self, code: u8) -> i32 {
        let (band, coarse) = (&mut self.lower, usize::from(code >> 2));
        let fine = match self.mode {
            Mode::Sound64 => QUANTISER_6[usize::from(code)],
            Mode::Sound56 => QUANTISER_5[usize::from(code >> 1)],
            Mode::Sound48 => QUANTISER_4[coarse],
        };
        let output = limited(band.predicted + band.scaled(fine));
        let difference = band.scaled(QUANTISER_4[coarse]);
        band.adapt_scale(SCALE_STEP_LOWER[coarse]);
        band.predict(difference);
        output
    }

    fn higher_sub_band(&mut self, code: u8) -> i32 {
        let (band, code) = (&mut self.higher, usize::from(code));
        let difference = band.scaled(QUANTISER_2[code]);
        let output = limited(band.predicted + difference);
        band.adapt_scale(SCALE_STEP_HIGHER[code]);
        band.predict(difference);
        output
    }
}

impl Decoder for G722 {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload> {
        Ok(payload.len() * 2)
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload> {
        super::fits(payload, payload.len() * 2, out)?;
        let (pairs, _) = out.as_chunks_mut::<2>();
        for (pair, &byte) in pairs.iter_mut().zip(payload) {
            *pair = self.decode_byte(byte).map(|sample| f32::from(sample) / FULL_SCALE);
        }
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::new(self.mode);
    }
}

/// What the two sub-bands differ in.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Upper limit of the logarithmic scale factor (LIMIT of LOGSCL, LOGSCH).
    most: i32,
    /// Binary places between a mantissa and the scale factor (SCALEL, SCALEH).
    shift: i32,
    /// Scale factor to begin with (clause 6.2.1.2, table 10).
    first: i32,
}

const LOWER: Scale = Scale {
    most: 18_432,
    shift: 8,
    first: 32,
};

const HIGHER: Scale = Scale {
    most: 22_528,
    shift: 10,
    first: 8,
};

/// A sub-band's adaptive quantiser and predictor: two poles, six zeros.
#[derive(Debug, Clone)]
struct SubBand {
    scale: Scale,
    /// NBL, NBH.
    logarithm: i32,
    /// DETL, DETH.
    factor: i32,
    /// SL, SH.
    predicted: i32,
    /// SZL, SZH: the part of the zeros in it.
    predicted_by_zeros: i32,
    /// RLT1, RLT2, the latest first.
    reconstructed: [i32; 2],
    /// AL1, AL2.
    poles: [i32; 2],
    /// Signs of PLT1, PLT2: whether the partly reconstructed signal was negative.
    negative: [bool; 2],
    /// DLT1 to DLT6.
    differences: [i32; 6],
    /// BL1 to BL6.
    zeros: [i32; 6],
}

impl SubBand {
    const fn new(scale: Scale) -> Self {
        Self {
            scale,
            logarithm: 0,
            factor: scale.first,
            predicted: 0,
            predicted_by_zeros: 0,
            reconstructed: [0; 2],
            poles: [0; 2],
            negative: [false; 2],
            differences: [0; 6],
            zeros: [0; 6],
        }
    }

    /// INVQAL, INVQBL, INVQAH: a quantised difference in proportion to the scale factor.
    const fn scaled(&self, quantised: i32) -> i32 {
        (self.factor * quantised) >> 15
    }

    /// LOGSCL and SCALEL, LOGSCH and SCALEH.
    fn adapt_scale(&mut self, step: i32) {
        self.logarithm = (leak(self.logarithm, 127) + step).clamp(0, self.scale.most);
        let mantissa = MANTISSAS[(self.logarithm >> 6 & 31).unsigned_abs() as usize];
        let places = self.scale.shift - (self.logarithm >> 11);
        let shifted = if places < 0 {
            mantissa << -places
        } else {
            mantissa >> places
        };
        self.factor = shifted << 2;
    }

    /// The next prediction, after a difference (Blocks 4L, 4H).
    fn predict(&mut self, difference: i32) {
        let partly = saturated(difference + self.predicted_by_zeros);
        let reconstructed = saturated(self.predicted + difference);
        self.adapt_poles(partly < 0);
        self.adapt_zeros(difference);
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.predicted_by_zeros = filtered(&self.zeros, &self.differences);
        let by_poles = filtered(&self.poles, &self.reconstructed);
        self.predicted = saturated(by_poles + self.predicted_by_zeros);
    }

    /// UPPOL2, then UPPOL1.
    fn adapt_poles(&mut self, negative: bool) {
        let [first, second] = self.poles;
        let [before, earlier] = self.negative;
        let push = saturated(first * 4);
        let push = if negative == before { saturated(-push) } else { push };
        let step = if negative == earlier { 128 } else { -128 };
        let second = ((push >> 7) + step + leak(second, 127)).clamp(-12_288, 12_288);
        let step = if negative == before { 192 } else { -192 };
        let most = 15_360 - second;
        let first = (leak(first, 255) + step).clamp(-most, most);
        self.poles = [first, second];
        self.negative = [negative, before];
    }

    /// UPZERO, and the delay line moved on.
    fn adapt_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (zero, earlier) in self.zeros.iter_mut().zip(self.differences) {
            let same = (difference < 0) == (earlier < 0);
            *zero = saturated(leak(*zero, 255) + if same { step } else { -step });
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
    }
}

/// FILTEZ, FILTEP: a sum of products in 15 bits.
fn filtered<const N: usize>(coefficients: &[i32; N], signal: &[i32; N]) -> i32 {
    let products = coefficients.iter().zip(signal);
    products.fold(0, |sum, (&coefficient, &value)| {
        saturated(sum + ((coefficient * saturated(value * 2)) >> 15))
    })
}

/// The value times `parts` of 128 or 256: 127/128 or 255/256 as 16 bit arithmetic has it.
const fn leak(value: i32, parts: i32) -> i32 {
    let factor = if parts == 127 { 32_512 } else { 32_640 };
    (value * factor) >> 15
}

fn saturated(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

/// LIMIT: to 15 bits.
fn limited(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

const TAPS: usize = 24;

/// The receive QMF (clause 4.4): sums and differences of the sub-bands, the latest first.
#[derive(Debug, Clone)]
struct ReceiveFilter {
    delay: [i32; TAPS],
}

impl ReceiveFilter {
    fn synthesise(&mut self, lower: i32, higher: i32) -> [i16; 2] {
        self.delay.copy_within(..TAPS - 2, 2);
        self.delay[0] = lower - higher;
        self.delay[1] = lower + higher;
        let (pairs, _) = self.delay.as_chunks::<2>();
        let first: i32 = pairs.iter().zip(&FILTER).map(|(pair, factor)| pair[0] * factor).sum();
        let backwards = FILTER.iter().rev();
        let second: i32 = pairs.iter().zip(backwards).map(|(pair, factor)| pair[1] * factor).sum();
        [first, second].map(sample)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturated to 16 bits")]
fn sample(sum: i32) -> i16 {
    saturated(sum >> 11) as i16
}

/// Even coefficients of the QMF in 13 bits (table 11); the odd ones are the same backwards.
static FILTER: [i32; TAPS / 2] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Table 17: QL6, by the code of six bits.
static QUANTISER_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

/// Table 18: QL5, by the code of five bits.
static QUANTISER_5: [i32; 32] = [
    -280, -280, -23352, -17560, -14120, -11664, -9752, -8184, -6864, -5712, -4696, -3784, -2960, -2208, -1520, -880,
    23352, 17560, 14120, 11664, 9752, 8184, 6864, 5712, 4696, 3784, 2960, 2208, 1520, 880, 280, -280,
];

/// Table 19: QL4, by the code of four bits.
static QUANTISER_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
];

/// Table 20: QH2, by the code of two bits.
static QUANTISER_2: [i32; 4] = [-7408, -1616, 7408, 1616];

/// WL by the code of four bits.
static SCALE_STEP_LOWER: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];

/// WH by the code of two bits.
static SCALE_STEP_HIGHER: [i32; 4] = [798, -214, 798, -214];

/// ILB: the steps of an octave in 12 bits.
static MANTISSAS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

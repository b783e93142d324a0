//! G.711 µ-law and A-law (ITU-T G.711, 1988): bit-exact decoding by table, and encoding for fixtures and tools.
//!
//! Samples are 16 bit: the 14 bit (µ-law) and 13 bit (A-law) values of the recommendation, aligned to the top.

/// Which of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// µ-law: payload type 0, PCMU.
    Mu,
    /// A-law: payload type 8, PCMA.
    A,
}

/// A sample of 16 bit that is one beyond full scale.
pub const FULL_SCALE: f32 = 32768.0;
/// Samples per second, and bytes per second of either law.
pub const SAMPLE_RATE: u32 = 8000;

/// Added to a µ-law magnitude so that every segment starts at a power of two (G.711 table 2).
const MU_BIAS: i16 = 0x84;
/// Largest biased magnitude in 14 bits (G.711 table 2a).
const MU_CLIP: i32 = 0x1fff;
/// The even bits of an A-law code are inverted on the line (G.711 table 1a, note 2).
const A_TOGGLE: u8 = 0x55;

static MU_TABLE: [i16; 256] = table(Law::Mu);
static A_TABLE: [i16; 256] = table(Law::A);
static MU_FULL_SCALE: [f32; 256] = full_scale(&table(Law::Mu));
static A_FULL_SCALE: [f32; 256] = full_scale(&table(Law::A));

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0_u8;
    loop {
        table[code as usize] = match law {
            Law::Mu => expand_mu(code),
            Law::A => expand_a(code),
        };
        if code == u8::MAX {
            return table;
        }
        code += 1;
    }
}

const fn full_scale(samples: &[i16; 256]) -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = samples[code] as f32 / FULL_SCALE;
        code += 1;
    }
    table
}

const fn expand_mu(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i16;
    let magnitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn expand_a(code: u8) -> i16 {
    let code = code ^ A_TOGGLE;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i16;
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

impl Law {
    /// The sample of one code.
    pub fn decode(self, code: u8) -> i16 {
        match self {
            Self::Mu => MU_TABLE[usize::from(code)],
            Self::A => A_TABLE[usize::from(code)],
        }
    }

    /// The sample of one code at full scale ±1.
    pub fn decode_to_full_scale(self, code: u8) -> f32 {
        match self {
            Self::Mu => MU_FULL_SCALE[usize::from(code)],
            Self::A => A_FULL_SCALE[usize::from(code)],
        }
    }

    /// Appends the samples of a payload, one per byte.
    pub fn decode_into(self, payload: &[u8], samples: &mut Vec<i16>) {
        samples.extend(payload.iter().map(|&code| self.decode(code)));
    }

    /// The code of one sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => compress_mu(sample),
            Self::A => compress_a(sample),
        }
    }
}

/// One's complement magnitude, as the ITU's reference code takes it: -1 and 0 share a step.
const fn magnitude(sample: i16) -> i32 {
    if sample < 0 { !(sample as i32) } else { sample as i32 }
}

fn compress_mu(sample: i16) -> u8 {
    let biased = ((magnitude(sample) >> 2) + 33).min(MU_CLIP);
    let segment = 31 - (biased >> 5).leading_zeros();
    let step = (biased >> (segment + 1)) & 0x0f;
    let code = !low_byte(step | i32::from(nibble(segment)) << 4);
    if sample < 0 { code & 0x7f } else { code | 0x80 }
}

fn compress_a(sample: i16) -> u8 {
    let magnitude = magnitude(sample) >> 4;
    let code = if magnitude < 16 {
        magnitude
    } else {
        let segment = 28 - magnitude.leading_zeros();
        ((magnitude >> (segment - 1)) & 0x0f) | i32::from(nibble(segment)) << 4
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (low_byte(code) | sign) ^ A_TOGGLE
}

const fn nibble(segment: u32) -> u8 {
    (segment & 0x07) as u8
}

#[expect(clippy::cast_sign_loss, reason = "masked to a byte")]
const fn low_byte(code: i32) -> u8 {
    (code & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_values_of_the_recommendation() {
        let mu = [
            (0x80, 32124),
            (0x00, -32124),
            (0xff, 0),
            (0x7f, 0),
            (0xf0, 120),
            (0xef, 132),
        ];
        for (code, sample) in mu {
            assert_eq!(Law::Mu.decode(code), sample, "µ-law {code:02x}");
        }
        let a = [
            (0xd5, 8),
            (0x55, -8),
            (0xaa, 32256),
            (0x2a, -32256),
            (0xc5, 264),
            (0x80, 5504),
        ];
        for (code, sample) in a {
            assert_eq!(Law::A.decode(code), sample, "A-law {code:02x}");
        }
    }

    #[test]
    fn every_code_but_the_negative_zero_survives_a_round_trip() {
        for code in 0..=u8::MAX {
            assert_eq!(Law::A.encode(Law::A.decode(code)), code, "A-law {code:02x}");
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(code)), expected, "µ-law {code:02x}");
        }
    }

    #[test]
    fn encodes_every_sample_to_a_nearest_step() {
        for sample in i16::MIN..=i16::MAX {
            for law in [Law::Mu, Law::A] {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                let limit = (i32::from(sample).abs() / 16).max(16) + 8;
                assert!(error <= limit.max(i32::from(sample).abs() - 32256), "{law:?} {sample}");
            }
        }
    }

    #[test]
    fn a_payload_becomes_one_sample_per_byte() {
        let mut samples = vec![7];
        Law::Mu.decode_into(&[0xff, 0x80], &mut samples);
        assert_eq!(samples, [7, 0, 32124]);
    }
}

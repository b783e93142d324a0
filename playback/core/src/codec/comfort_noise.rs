//! Comfort noise (RFC 3389): how loud the pause is that the sender doesn't send.

use crate::g711::FULL_SCALE;

/// What a comfort noise payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComfortNoise {
    /// Decibels below the overload point (RFC 3389 section 3.1), 0 to 127.
    pub below_overload: u8,
}

impl ComfortNoise {
    /// Reads the level; the spectrum after it (section 3.2) isn't used. `None` where the payload is empty.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let level = *payload.first()?;
        Some(Self {
            below_overload: level & 0x7f,
        })
    }

    /// Effective value of the noise at full scale ±1: 0 dBov is that of a square wave over the full range.
    pub fn effective_value(self) -> f32 {
        10_f32.powf(f32::from(self.below_overload) / -20.0)
    }

    /// Whether nobody would hear it in 16 bits.
    pub fn is_inaudible(self) -> bool {
        self.effective_value() * FULL_SCALE < 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_the_level_and_its_highest_bit_means_nothing() {
        for payload in [&[0x46][..], &[0x80 | 0x46, 1, 2, 3]] {
            let noise = ComfortNoise::parse(payload).expect("has a level");
            assert_eq!(noise.below_overload, 70);
        }
        assert_eq!(ComfortNoise::parse(&[]), None);
    }

    #[test]
    fn twenty_decibels_are_a_factor_of_ten() {
        let noise = |below_overload| ComfortNoise { below_overload };
        assert!((noise(0).effective_value() - 1.0).abs() < 1e-6);
        assert!((noise(40).effective_value() - 0.01).abs() < 1e-6);
        assert!(!noise(70).is_inaudible());
        assert!(noise(100).is_inaudible());
    }
}

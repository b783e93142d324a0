//! Linear 16 bit (RFC 3551 section 4.5.11): big-endian, channels interleaved and averaged here.

use super::{BadPayload, Decoder};
use crate::g711::FULL_SCALE;

const WORD: usize = 2;

/// Decodes linear sound.
#[derive(Debug, Clone, Copy)]
pub struct L16 {
    sample_rate: u32,
    channels: usize,
}

impl L16 {
    /// A decoder of so many samples per second in one channel.
    pub const fn mono(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            channels: 1,
        }
    }

    /// A decoder of so many samples per second in each of two channels.
    pub const fn stereo(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            channels: 2,
        }
    }
}

impl Decoder for L16 {
    fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload> {
        let frame = WORD * self.channels;
        if !payload.len().is_multiple_of(frame) {
            return Err(BadPayload {
                expected: "L16: whole samples of each channel",
                found: payload.len(),
            });
        }
        Ok(payload.len() / frame)
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload> {
        out.fill(0.0);
        super::fits(payload, self.samples(payload)?, out)?;
        let scale = FULL_SCALE * self.channels as f32;
        for (sample, frame) in out.iter_mut().zip(payload.chunks_exact(WORD * self.channels)) {
            let (words, _) = frame.as_chunks::<WORD>();
            let sum: i32 = words.iter().map(|&word| i32::from(i16::from_be_bytes(word))).sum();
            *sample = sum as f32 / scale;
        }
        Ok(())
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_big_endian_and_channels_averaged() {
        let mut out = [9.0; 2];
        L16::mono(8000).decode(&[0x40, 0, 0xc0, 0], &mut out).expect("decodes");
        assert_eq!(out.map(f32::to_bits), [0.5_f32, -0.5].map(f32::to_bits));
        let mut out = [9.0; 1];
        L16::stereo(44_100).decode(&[0x40, 0, 0, 0], &mut out).expect("decodes");
        assert_eq!(out.map(f32::to_bits), [0.25_f32].map(f32::to_bits));
    }

    #[test]
    fn half_a_sample_is_refused_and_silent() {
        let mut out = [9.0; 1];
        let error = L16::mono(8000).decode(&[0x40, 0, 1], &mut out).expect_err("odd");
        assert_eq!((error.found, out.map(f32::to_bits)), (3, [0]));
    }
}

//! GSM full rate (ETSI EN 300 961, RFC 3551 section 4.5.8): frames of 33 bytes for 20 ms each.

use oxideav_gsm::{DecoderState, UnpackedFrame};

use super::{BadPayload, Decoder};
use crate::g711::FULL_SCALE;

const SAMPLE_RATE: u32 = 8000;
const FRAME_BYTES: usize = 33;
const FRAME_SAMPLES: usize = 160;
/// The upper half of each frame's first byte.
const SIGNATURE: u8 = 0xd;

/// Decodes one stream.
#[derive(Debug, Clone, Default)]
pub struct Gsm {
    state: DecoderState,
}

impl Gsm {
    /// A decoder in its initial state.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Decoder for Gsm {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload> {
        let (frames, rest) = payload.as_chunks::<FRAME_BYTES>();
        if !rest.is_empty() || frames.iter().any(|frame| frame[0] >> 4 != SIGNATURE) {
            return Err(refused(payload));
        }
        Ok(frames.len() * FRAME_SAMPLES)
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload> {
        out.fill(0.0);
        super::fits(payload, self.samples(payload)?, out)?;
        for (samples, frame) in out
            .chunks_exact_mut(FRAME_SAMPLES)
            .zip(payload.chunks_exact(FRAME_BYTES))
        {
            let frame = UnpackedFrame::from_gsm_byte_frame(frame).map_err(|_| refused(payload))?;
            for (place, sample) in samples.iter_mut().zip(self.state.decode_frame(&frame)) {
                *place = f32::from(sample) / FULL_SCALE;
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.state.reset();
    }
}

fn refused(payload: &[u8]) -> BadPayload {
    BadPayload {
        expected: "GSM: frames of 33 bytes that begin with 0xd",
        found: payload.len(),
    }
}

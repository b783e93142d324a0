//! G.711 as RTP carries it (RFC 3551 section 4.5.14): a sample a byte, of which none depends on another.

use super::{BadPayload, Decoder};
use crate::g711::{Law, SAMPLE_RATE};

/// Decodes either law.
#[derive(Debug, Clone, Copy)]
pub struct G711 {
    law: Law,
}

impl G711 {
    /// A decoder of one of the laws.
    pub const fn new(law: Law) -> Self {
        Self { law }
    }
}

impl Decoder for G711 {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload> {
        Ok(payload.len())
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload> {
        super::fits(payload, payload.len(), out)?;
        for (sample, &code) in out.iter_mut().zip(payload) {
            *sample = self.law.decode_to_full_scale(code);
        }
        Ok(())
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn reset(&mut self) {}
}

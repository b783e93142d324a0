//! From payload to samples. One arm per codec; a codec with a memory would carry it here, one decoder per stream.

use silentmon_proto::codec::Codec;

use crate::codec::BadPayload;
use crate::g711::Law;
use crate::player::FULL_SCALE;

/// What decodes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// G.711, one sample per byte.
    G711(Law),
}

impl Decoder {
    /// The decoder of a codec, where there is one.
    pub(crate) const fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Pcmu => Some(Self::G711(Law::Mu)),
            Codec::Pcma => Some(Self::G711(Law::A)),
            _ => None,
        }
    }

    /// How many samples a payload holds.
    pub(crate) const fn samples(self, payload: &[u8]) -> usize {
        match self {
            Self::G711(_) => payload.len(),
        }
    }

    /// Appends the samples of a payload.
    pub(crate) fn decode_into(self, payload: &[u8], samples: &mut Vec<i16>) {
        match self {
            Self::G711(law) => law.decode_into(payload, samples),
        }
    }
}

/// G.711 behind the common interface.
#[derive(Debug)]
struct G711(Law);

impl crate::codec::Decoder for G711 {
    fn sample_rate(&self) -> u32 {
        crate::g711::SAMPLE_RATE
    }

    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload> {
        Ok(payload.len())
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload> {
        for (sample, &code) in out.iter_mut().zip(payload) {
            *sample = f32::from(self.0.decode(code)) / FULL_SCALE;
        }
        Ok(())
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn reset(&mut self) {}
}

/// A new decoder of a codec.
pub(crate) fn decoder(codec: Codec) -> Option<Box<dyn crate::codec::Decoder>> {
    match codec {
        Codec::Pcmu => Some(Box::new(G711(Law::Mu))),
        Codec::Pcma => Some(Box::new(G711(Law::A))),
        _ => None,
    }
}

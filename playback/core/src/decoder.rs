//! From payload to samples. One arm per codec; a codec with a memory would carry it here, one decoder per stream.

use silentmon_proto::codec::Codec;

use crate::g711::Law;

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

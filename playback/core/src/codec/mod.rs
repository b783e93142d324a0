//! From payload to samples: one file a codec, all behind [`Decoder`].

use std::fmt::Debug;

use silentmon_proto::codec::Codec;
use thiserror::Error;

pub mod comfort_noise;
pub mod g711;
pub mod g722;
pub mod gsm;
pub mod l16;
pub mod opus;

use crate::g711::Law;

/// A new decoder of a codec: of each that [is built in](Codec::is_built_in), and of no other. Comfort noise and
/// telephone events aren't decoded: see [`comfort_noise::ComfortNoise`].
pub fn decoder(codec: Codec) -> Option<Box<dyn Decoder>> {
    Some(match codec {
        Codec::Pcmu => Box::new(g711::G711::new(Law::Mu)),
        Codec::Pcma => Box::new(g711::G711::new(Law::A)),
        Codec::G722 => Box::new(g722::G722::new(g722::Mode::Sound64)),
        Codec::Gsm => Box::new(gsm::Gsm::new()),
        Codec::Opus => Box::new(opus::Opus::new()?),
        Codec::L16At8000 | Codec::L16At16000 | Codec::L16At44100 | Codec::L16At48000 => {
            Box::new(l16::L16::mono(codec.clock_rate()))
        }
        Codec::L16At44100Stereo => Box::new(l16::L16::stereo(codec.clock_rate())),
        Codec::G723 | Codec::G728 | Codec::G729 | Codec::Ilbc | Codec::Cn | Codec::TelephoneEvent | Codec::Unknown => {
            return None;
        }
    })
}

/// A payload that its codec can't read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected {expected}, found {found} bytes")]
pub struct BadPayload {
    /// What the codec takes, in words.
    pub expected: &'static str,
    /// Length of the payload.
    pub found: usize,
}

/// What a decoder made of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// The samples were recovered from redundancy in the packet after the gap: as good as decoded.
    Recovered,
    /// The codec made the samples up from its own state.
    Concealed,
    /// The codec can't; the caller conceals from what was heard. The samples were left alone.
    Open,
}

/// Decodes one stream. Samples are mono (channels are averaged) at full scale ±1.
///
/// A decoder with a memory is handed the payloads of its stream in order, each once.
pub trait Decoder: Debug + Send {
    /// Samples per second that it gives.
    fn sample_rate(&self) -> u32;

    /// Samples that a payload holds, without decoding it.
    ///
    /// # Errors
    /// Where it is no payload of this codec.
    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload>;

    /// Decodes a payload into exactly [`samples`](Self::samples) places; allocates nothing.
    ///
    /// # Errors
    /// Where it is no payload of this codec; `out` is then silent.
    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload>;

    /// Fills a gap of as many samples as `out` has. `next` is the payload just after it, if it has come: it is only
    /// looked at for redundancy, and is decoded by `decode` afterwards.
    fn fill_gap(&mut self, next: Option<&[u8]>, out: &mut [f32]) -> Gap {
        let _ = (next, out);
        Gap::Open
    }

    /// Whether payloads may be decoded in any order, because nothing is remembered from one to the next.
    fn is_stateless(&self) -> bool {
        false
    }

    /// Forgets all payloads before: the stream begins anew.
    fn reset(&mut self);
}

/// Whether the samples of a payload have the places they need.
fn fits(payload: &[u8], samples: usize, out: &[f32]) -> Result<(), BadPayload> {
    if out.len() == samples {
        return Ok(());
    }
    Err(BadPayload {
        expected: "as many samples as there are places for",
        found: payload.len(),
    })
}

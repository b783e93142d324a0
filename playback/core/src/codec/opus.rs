//! Opus (RFC 6716, RFC 7587) through libopus: mono at 48 kHz whatever the sender's rate and channels, with its own
//! concealment and in-band forward error correction.

use audiopus::coder::{Decoder as Libopus, GenericCtl as _};
use audiopus::packet::Packet;
use audiopus::{Channels, MutSignals, SampleRate};

use super::{BadPayload, Decoder, Gap};
use crate::g711::FULL_SCALE;

const SAMPLE_RATE: u32 = 48_000;
/// The shortest stretch that libopus makes up: 2.5 ms.
const SHORTEST: usize = 120;
/// Longest packet: 120 ms (RFC 6716 section 2.1.4).
const LONGEST: usize = 5760;
/// The longest frame: 20 ms in SILK; longer packets hold several (RFC 6716 section 4.2.2).
const SILK_FRAME: usize = 960;

/// Decodes one stream.
#[derive(Debug)]
pub struct Opus {
    inner: Libopus,
    /// Room for the longest packet.
    decoded: Box<[i16]>,
}

impl Opus {
    /// A decoder in its initial state; `None` where there is no memory for it.
    pub fn new() -> Option<Self> {
        let inner = Libopus::new(SampleRate::Hz48000, Channels::Mono).ok()?;
        Some(Self {
            inner,
            decoded: vec![0; LONGEST].into_boxed_slice(),
        })
    }

    /// Decodes into exactly the places there are; `None` stands for a packet that was lost. In 16 bit, as every other
    /// player does, so that samples can be compared.
    fn decode_exactly(&mut self, packet: Option<&[u8]>, out: &mut [f32], redundancy: bool) -> Option<()> {
        let packet = packet.map(Packet::try_from).transpose().ok()?;
        let places = self.decoded.get_mut(..out.len())?;
        let signals = MutSignals::try_from(&mut *places).ok()?;
        let decoded = self.inner.decode(packet, signals, redundancy).ok()?;
        for (place, sample) in out.iter_mut().zip(places.iter()) {
            *place = f32::from(*sample) / FULL_SCALE;
        }
        (decoded == out.len()).then_some(())
    }
}

impl Decoder for Opus {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn samples(&self, payload: &[u8]) -> Result<usize, BadPayload> {
        samples(payload).ok_or_else(|| refused(payload))
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<(), BadPayload> {
        out.fill(0.0);
        super::fits(payload, self.samples(payload)?, out)?;
        if self.decode_exactly(Some(payload), out, false).is_none() {
            out.fill(0.0);
            return Err(refused(payload));
        }
        Ok(())
    }

    /// The last frame before `next` comes from its redundancy, where it carries some; what is before that, and all of
    /// it otherwise, is made up.
    fn fill_gap(&mut self, next: Option<&[u8]>, out: &mut [f32]) -> Gap {
        let odd = out.len() % SHORTEST;
        let (head, body) = out.split_at_mut(odd);
        if !head.is_empty() {
            let mut scratch = [0.0; SHORTEST];
            if self.decode_exactly(None, &mut scratch, false).is_none() {
                return Gap::Open;
            }
            head.copy_from_slice(scratch.get(..odd).unwrap_or_default());
        }
        if body.is_empty() {
            return Gap::Concealed;
        }
        let redundant = next.filter(|payload| repeated(payload).is_some());
        let recovered = odd == 0 && redundant.and_then(repeated) == Some(body.len());
        let filled = redundant
            .and_then(|payload| self.decode_exactly(Some(payload), body, true))
            .or_else(|| {
                let mut parts = body.chunks_mut(LONGEST);
                parts.try_for_each(|part| self.decode_exactly(None, part, false))
            });
        match filled {
            Some(()) if recovered => Gap::Recovered,
            Some(()) => Gap::Concealed,
            None => Gap::Open,
        }
    }

    fn reset(&mut self) {
        // Only a decoder that isn't one could refuse.
        let _ = self.inner.reset_state();
    }
}

/// Which libopus decodes.
pub fn version() -> &'static str {
    audiopus::version()
}

fn refused(payload: &[u8]) -> BadPayload {
    BadPayload {
        expected: "an Opus packet",
        found: payload.len(),
    }
}

fn samples(payload: &[u8]) -> Option<usize> {
    let packet = Packet::try_from(payload).ok()?;
    audiopus::packet::nb_samples(packet, SampleRate::Hz48000).ok()
}

/// Samples of the frame before it that a packet repeats, if it does (LBRR flag, RFC 6716 sections 4.2.3 and 4.2.4). The
/// flags are the first bits of the first frame: voice activity of each SILK frame, then LBRR, for each channel.
pub fn repeated(payload: &[u8]) -> Option<usize> {
    let toc = *payload.first()?;
    let length = frame_length(toc)?;
    let flags = *first_frame(toc, payload)?.first()?;
    let frames = (length / SILK_FRAME).max(1);
    let is_set = |channel: usize| flags >> (7 - frames - channel * (frames + 1)) & 1 == 1;
    let is_stereo = toc & 0x04 != 0;
    (is_set(0) || (is_stereo && is_set(1))).then_some(length)
}

/// Samples of a frame at 48 kHz in SILK and hybrid modes (RFC 6716 table 2); CELT alone has no redundancy.
fn frame_length(toc: u8) -> Option<usize> {
    let configuration = toc >> 3;
    match configuration {
        0..=11 => [480, 960, 1920, 2880].get(usize::from(configuration & 3)).copied(),
        12..=15 => [480, 960].get(usize::from(configuration & 1)).copied(),
        _ => None,
    }
}

/// The bytes from the first frame on (RFC 6716 section 3.2).
fn first_frame(toc: u8, payload: &[u8]) -> Option<&[u8]> {
    let coded_length = |at: usize| match payload.get(at)? {
        252..=255 => Some(2),
        _ => Some(1),
    };
    let start = match toc & 3 {
        0 | 1 => 1,
        2 => 1 + coded_length(1)?,
        _ => {
            let count = *payload.get(1)?;
            let mut start = 2;
            if count & 0x40 != 0 {
                while payload.get(start)? == &255 {
                    start += 1;
                }
                start += 1;
            }
            if count & 0x80 != 0 {
                for _ in 1..count & 0x3f {
                    start += coded_length(start)?;
                }
            }
            start
        }
    };
    payload.get(start..)
}

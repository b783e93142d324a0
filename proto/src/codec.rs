//! Audio codecs by their RTP encoding names, clock rates and static payload types (RFC 3551 section 6).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::PayloadType;

/// What the payload of an RTP packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s; RTP clock 8 kHz though it samples at 16 kHz.
    G722,
    /// G.723.1.
    G723,
    /// G.728.
    G728,
    /// G.729 and its annexes A and B.
    G729,
    /// GSM full rate.
    Gsm,
    /// Opus (RFC 7587); RTP clock 48 kHz whatever it samples at.
    Opus,
    /// iLBC (RFC 3952), 20 or 30 ms a frame, which the payload's length tells.
    Ilbc,
    /// Linear 16 bit, mono at 8 kHz.
    #[serde(rename = "L16/8000")]
    L16At8000,
    /// Linear 16 bit, mono at 16 kHz.
    #[serde(rename = "L16/16000")]
    L16At16000,
    /// Linear 16 bit, mono at 44.1 kHz.
    #[serde(rename = "L16/44100")]
    L16At44100,
    /// Linear 16 bit, stereo at 44.1 kHz.
    #[serde(rename = "L16/44100/2")]
    L16At44100Stereo,
    /// Linear 16 bit, mono at 48 kHz.
    #[serde(rename = "L16/48000")]
    L16At48000,
    /// Comfort noise (RFC 3389): silence, not speech.
    Cn,
    /// Named telephone events (RFC 4733): DTMF, never forwarded.
    #[serde(rename = "telephone-event")]
    TelephoneEvent,
    /// A dynamic payload type that nobody described.
    Unknown,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        Self::G723,
        Self::G728,
        Self::G729,
        Self::Gsm,
        Self::Opus,
        Self::Ilbc,
        Self::L16At8000,
        Self::L16At16000,
        Self::L16At44100,
        Self::L16At44100Stereo,
        Self::L16At48000,
        Self::Cn,
        Self::TelephoneEvent,
        Self::Unknown,
    ];

    /// The codec of a static payload type (RFC 3551 table 4), `Unknown` for all others.
    pub const fn from_static_payload_type(payload_type: PayloadType) -> Self {
        match payload_type.0 {
            0 => Self::Pcmu,
            3 => Self::Gsm,
            4 => Self::G723,
            8 => Self::Pcma,
            9 => Self::G722,
            10 => Self::L16At44100Stereo,
            11 => Self::L16At44100,
            13 | 19 => Self::Cn,
            15 => Self::G728,
            18 => Self::G729,
            _ => Self::Unknown,
        }
    }

    /// The codec of an encoding as `a=rtpmap` has it: `opus/48000/2`, `L16/16000`, or a name alone.
    pub fn from_encoding(encoding: &str) -> Option<Self> {
        let mut parts = encoding.trim().split('/');
        let name = parts.next()?;
        let clock_rate = parts.next().map(str::parse).transpose().ok()?;
        let channels = parts.next().map_or(Ok(1), str::parse).ok()?;
        Self::from_rtpmap(name, clock_rate, channels)
    }

    /// The codec of an encoding name in whatever case, its clock rate where it is told and its channels, where this
    /// program knows it. G.722 is told by its sampling rate too, against RFC 3551 section 4.5.2; the parameter after
    /// Opus' clock rate is always 2 (RFC 7587 section 7).
    pub fn from_rtpmap(name: &str, clock_rate: Option<u32>, channels: u8) -> Option<Self> {
        let named = |codec: &Self| codec.name().eq_ignore_ascii_case(name) && *codec != Self::Unknown;
        let fits = |codec: &Self| match codec {
            Self::Cn | Self::TelephoneEvent | Self::Opus => true,
            Self::G722 => matches!(clock_rate, None | Some(8000 | 16_000)),
            _ => codec.channels() == channels && clock_rate.is_none_or(|rate| rate == codec.clock_rate()),
        };
        let is_ambiguous = clock_rate.is_none() && name.eq_ignore_ascii_case(Self::L16At8000.name());
        let found = Self::ALL.into_iter().find(|codec| named(codec) && fits(codec));
        found.filter(|_| !is_ambiguous)
    }

    /// The codec by its number in an audio datagram (six bits); `Unknown` for numbers of a newer program.
    pub fn from_number(number: u8) -> Self {
        let found = Self::ALL.into_iter().find(|codec| codec.number() == number);
        found.unwrap_or(Self::Unknown)
    }

    /// Its number in an audio datagram, below 64: the static payload type where it has one.
    pub const fn number(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Gsm => 3,
            Self::G723 => 4,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::L16At44100Stereo => 10,
            Self::L16At44100 => 11,
            Self::Cn => 13,
            Self::G728 => 15,
            Self::G729 => 18,
            Self::Opus => 40,
            Self::Ilbc => 41,
            Self::L16At8000 => 42,
            Self::L16At16000 => 43,
            Self::L16At48000 => 44,
            Self::TelephoneEvent => 62,
            Self::Unknown => 63,
        }
    }

    /// The encoding name of RFC 3551 or the codec's own RFC.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::G723 => "G723",
            Self::G728 => "G728",
            Self::G729 => "G729",
            Self::Gsm => "GSM",
            Self::Opus => "opus",
            Self::Ilbc => "iLBC",
            Self::L16At8000 | Self::L16At16000 | Self::L16At44100 | Self::L16At44100Stereo | Self::L16At48000 => "L16",
            Self::Cn => "CN",
            Self::TelephoneEvent => "telephone-event",
            Self::Unknown => "unknown",
        }
    }

    /// Channels in a payload; Opus is played in one, whatever it carries.
    pub const fn channels(self) -> u8 {
        match self {
            Self::L16At44100Stereo => 2,
            _ => 1,
        }
    }

    /// Whether it has no payload type of its own (RFC 3551 section 6).
    pub const fn is_dynamic(self) -> bool {
        self.number() > 34
    }

    /// Ticks of the RTP timestamp per second; 8000 where the codec is unknown.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::L16At48000 => 48_000,
            Self::L16At44100 | Self::L16At44100Stereo => 44_100,
            Self::L16At16000 => 16_000,
            _ => 8000,
        }
    }

    /// Whether this program decodes it.
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Pcmu
            | Self::Pcma
            | Self::G722
            | Self::Gsm
            | Self::Opus
            | Self::L16At8000
            | Self::L16At16000
            | Self::L16At44100
            | Self::L16At44100Stereo
            | Self::L16At48000 => true,
            Self::G723 | Self::G728 | Self::G729 | Self::Ilbc | Self::Cn | Self::TelephoneEvent | Self::Unknown => {
                false
            }
        }
    }

    /// Whether packets of it are speech, rather than comfort noise or events.
    pub const fn is_speech(self) -> bool {
        !matches!(self, Self::Cn | Self::TelephoneEvent)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_its_own_number() {
        for codec in Codec::ALL {
            assert!(codec.number() < 64);
            assert_eq!(Codec::from_number(codec.number()), codec);
        }
        assert_eq!(Codec::from_number(50), Codec::Unknown);
    }

    #[test]
    fn an_encoding_is_known_by_name_clock_and_channels() {
        for (encoding, codec) in [
            ("pcmu/8000", Some(Codec::Pcmu)),
            ("PCMA", Some(Codec::Pcma)),
            ("pcma", Some(Codec::Pcma)),
            ("PCMA/16000", None),
            ("G722/8000", Some(Codec::G722)),
            ("G722/16000", Some(Codec::G722)),
            ("OPUS/48000/2", Some(Codec::Opus)),
            ("opus/48000/2", Some(Codec::Opus)),
            ("iLBC/8000", Some(Codec::Ilbc)),
            ("L16/8000", Some(Codec::L16At8000)),
            ("L16/16000", Some(Codec::L16At16000)),
            ("l16/16000/1", Some(Codec::L16At16000)),
            ("L16/44100/2", Some(Codec::L16At44100Stereo)),
            ("L16/44100", Some(Codec::L16At44100)),
            ("L16/16000/2", None),
            ("L16/48000/2", None),
            ("L16", None),
            ("telephone-event/48000", Some(Codec::TelephoneEvent)),
            ("CN/16000", Some(Codec::Cn)),
            ("unknown", None),
            ("AMR/8000", None),
            ("PCMU/eight", None),
            ("", None),
        ] {
            assert_eq!(Codec::from_encoding(encoding), codec, "{encoding}");
        }
    }

    #[test]
    fn static_payload_types_are_the_codecs_own_numbers() {
        for number in 0..128 {
            let codec = Codec::from_static_payload_type(PayloadType(number));
            assert!(
                codec == Codec::Unknown || codec.number() == number || codec == Codec::Cn,
                "{number}"
            );
        }
    }
}

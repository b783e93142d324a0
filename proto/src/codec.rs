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
    /// Comfort noise (RFC 3389): silence, not speech.
    Cn,
    /// Named telephone events (RFC 4733): DTMF, never forwarded.
    #[serde(rename = "telephone-event")]
    TelephoneEvent,
    /// A dynamic payload type that nobody described.
    Unknown,
}

impl Codec {
    /// The codec of a static payload type (RFC 3551 table 4), `Unknown` for all others.
    pub const fn from_static_payload_type(payload_type: PayloadType) -> Self {
        match payload_type.0 {
            0 => Self::Pcmu,
            3 => Self::Gsm,
            4 => Self::G723,
            8 => Self::Pcma,
            9 => Self::G722,
            13 | 19 => Self::Cn,
            15 => Self::G728,
            18 => Self::G729,
            _ => Self::Unknown,
        }
    }

    /// The codec of an encoding name (RFC 3551 section 6) in whatever case, where this program knows it.
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        const KNOWN: [Codec; 9] = [
            Codec::Pcmu,
            Codec::Pcma,
            Codec::G722,
            Codec::G723,
            Codec::G728,
            Codec::G729,
            Codec::Gsm,
            Codec::Cn,
            Codec::TelephoneEvent,
        ];
        KNOWN.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
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
            Self::Cn => "CN",
            Self::TelephoneEvent => "telephone-event",
            Self::Unknown => "unknown",
        }
    }

    /// Ticks of the RTP timestamp per second; 8000 where the codec is unknown.
    pub const fn clock_rate(self) -> u32 {
        8000
    }

    /// Whether this program decodes it.
    pub const fn is_built_in(self) -> bool {
        matches!(self, Self::Pcmu | Self::Pcma)
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

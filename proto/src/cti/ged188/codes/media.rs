//! What the RTP events tell about media.

use crate::cti::MediaDirection;
use crate::cti::ged188::wire::number;

number! {
    /// Which way the media go, seen from the phone.
    RtpDirection: u16 {
        INPUT = 0, OUTPUT = 1, BIDIRECTIONAL = 2,
    }
}

impl RtpDirection {
    /// The direction in the project's words; absent for both (or unknown).
    pub const fn media_direction(self) -> Option<MediaDirection> {
        match self {
            Self::INPUT => Some(MediaDirection::Receive),
            Self::OUTPUT => Some(MediaDirection::Send),
            _ => None,
        }
    }
}

number! {
    /// What is in the media.
    RtpType: u16 {
        AUDIO = 0, VIDEO = 1, DATA = 2,
    }
}

number! {
    /// The codec, in the switch's own enumeration; not the payload type of RTP.
    MediaPayloadType: u16 {
        G711_A_LAW_64K = 2, G711_A_LAW_56K = 3, G711_MU_LAW_64K = 4, G711_MU_LAW_56K = 5, G722_64K = 6, G722_56K = 7,
        G722_48K = 8, G723_1 = 9, G728 = 10, G729 = 11, G729_ANNEX_A = 12, G729_ANNEX_B = 15, G729_ANNEX_A_AND_B = 16,
        WIDEBAND_256K = 25, G722_1_32K = 40, G722_1_24K = 41, G726_32K = 82, G726_24K = 83, G726_16K = 84, ILBC = 86,
        ISAC = 89, OPUS = 90, AMR = 97, AMR_WB = 98,
    }
}

impl MediaPayloadType {
    /// The encoding name (RFC 3551 and the codec's own RFC). A hint: what RTP itself says counts.
    pub const fn encoding_name(self) -> Option<&'static str> {
        Some(match self {
            Self::G711_A_LAW_64K | Self::G711_A_LAW_56K => "PCMA",
            Self::G711_MU_LAW_64K | Self::G711_MU_LAW_56K => "PCMU",
            Self::G722_64K | Self::G722_56K | Self::G722_48K => "G722",
            Self::G723_1 => "G723",
            Self::G728 => "G728",
            Self::G729 | Self::G729_ANNEX_A | Self::G729_ANNEX_B | Self::G729_ANNEX_A_AND_B => "G729",
            Self::WIDEBAND_256K => "L16/16000",
            Self::G722_1_32K | Self::G722_1_24K => "G7221",
            Self::G726_32K => "G726-32",
            Self::G726_24K => "G726-24",
            Self::G726_16K => "G726-16",
            Self::ILBC => "iLBC",
            Self::ISAC => "isac",
            Self::OPUS => "opus",
            Self::AMR => "AMR",
            Self::AMR_WB => "AMR-WB",
            _ => return None,
        })
    }
}

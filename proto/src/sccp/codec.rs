//! Media payload types of Cisco (protocol sheet 1.5: the CTI Server uses the same numbers).

/// The RTP encoding name (RFC 3551 and the codecs' own) of a media payload type, where it is one of speech.
pub const fn encoding_name(payload: u32) -> Option<&'static str> {
    Some(match payload {
        2 | 3 => "PCMA",
        4 | 5 => "PCMU",
        6..=8 => "G722",
        9 => "G723",
        10 => "G728",
        11 | 12 | 15 | 16 => "G729",
        25 => "L16/16000",
        40 | 41 => "G7221",
        82 => "G726-32",
        83 => "G726-24",
        84 => "G726-16",
        86 => "iLBC",
        89 => "iSAC",
        90 => "opus",
        97 => "AMR",
        98 => "AMR-WB",
        _ => return None,
    })
}

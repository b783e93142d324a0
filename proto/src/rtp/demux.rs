//! What else arrives at a port where RTP is expected (RFC 7983, RFC 5761): STUN, DTLS, ZRTP, TURN channels, RTCP.

/// What a UDP payload at a media port begins with (RFC 7983 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RTP, as far as two bytes can tell.
    Rtp,
    /// RTCP, with the packet types that RFC 5761 section 4 sets apart.
    Rtcp,
    /// STUN (RFC 8489) or its predecessor without magic cookie (RFC 3489).
    Stun,
    /// ZRTP (RFC 6189).
    Zrtp,
    /// DTLS (RFC 9147).
    Dtls,
    /// TURN channel data (RFC 8656 section 12).
    TurnChannel,
    /// None of these.
    Other,
}

impl Protocol {
    /// What `payload` is, by its first bytes.
    pub fn of(payload: &[u8]) -> Self {
        match payload {
            [0..=3, ..] if is_stun(payload) || is_classic_stun(payload) => Self::Stun,
            [16..=19, _, _, _, b'Z', b'R', b'T', b'P', ..] => Self::Zrtp,
            [20..=63, ..] if is_dtls(payload) => Self::Dtls,
            [64..=79, _, high, low, ..] if usize::from(u16::from_be_bytes([*high, *low])) + 4 <= payload.len() => {
                Self::TurnChannel
            }
            [128..=191, ..] if is_rtcp(payload) => Self::Rtcp,
            [128..=191, _, ..] if payload.len() >= 12 => Self::Rtp,
            _ => Self::Other,
        }
    }
}

/// Whether `payload` is a STUN message with its magic cookie (RFC 8489 section 5).
pub fn is_stun(payload: &[u8]) -> bool {
    const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    let Some((header, _)) = payload.split_first_chunk::<20>() else {
        return false;
    };
    header[0] < 4 && header[3].is_multiple_of(4) && header[4..8] == MAGIC_COOKIE
}

/// STUN before the magic cookie (RFC 3489 section 11.1): only its length gives it away.
fn is_classic_stun(payload: &[u8]) -> bool {
    match payload {
        [0 | 1, 1 | 2 | 0x11 | 0x12, high, low, ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) + 20 == payload.len()
        }
        _ => false,
    }
}

/// Whether `payload` is a DTLS record: content type 20 to 63 (RFC 7983), version 1.0 or 1.2 (RFC 6347 section 4.1), or a
/// record of DTLS 1.3 with its unified header (RFC 9147 section 4).
pub fn is_dtls(payload: &[u8]) -> bool {
    match payload {
        [20..=26, 0xfe, 0xff | 0xfd, ..] => payload.len() >= 13,
        [32..=63, ..] => payload.len() >= 17,
        _ => false,
    }
}

/// Whether `payload` begins with an RTCP packet: version 2, a packet type of 192 to 223 (RFC 5761 section 4), and a length
/// that fits.
pub fn is_rtcp(payload: &[u8]) -> bool {
    match payload {
        [0x80..=0xbf, 192..=223, high, low, ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])) + 1) * 4 <= payload.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length(head: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn tells_the_protocols_of_a_media_port_apart() {
        let cases: [(&[u8], usize, Protocol); 10] = [
            (&[0x80, 0x00], 172, Protocol::Rtp),
            (&[0x80, 0xe0], 172, Protocol::Rtp),
            (&[0x81, 201, 0, 7], 32, Protocol::Rtcp),
            (&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42], 28, Protocol::Stun),
            (&[1, 1, 0, 8], 28, Protocol::Stun),
            (&[22, 0xfe, 0xfd], 100, Protocol::Dtls),
            (&[0x2f, 0x12], 40, Protocol::Dtls),
            (&[0x10, 0, 0, 1, b'Z', b'R', b'T', b'P'], 60, Protocol::Zrtp),
            (&[0x40, 0x01, 0, 40], 44, Protocol::TurnChannel),
            (&[0; 4], 172, Protocol::Other),
        ];
        for (head, length, expected) in cases {
            assert_eq!(Protocol::of(&with_length(head, length)), expected, "{head:?}");
        }
        assert_eq!(Protocol::of(&[]), Protocol::Other);
    }

    #[test]
    fn a_keepalive_of_one_or_two_bytes_is_none_of_them() {
        for bytes in [&[0u8][..], &[0x80], &[0x80, 0], b"\r\n\r\n"] {
            assert_eq!(Protocol::of(bytes), Protocol::Other, "{bytes:?}");
        }
    }
}

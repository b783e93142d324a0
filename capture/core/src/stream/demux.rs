//! What a datagram on a media port carries: RTP, RTCP, STUN, DTLS or TURN channel data, told by its first bytes
//! (RFC 7983, RFC 5761 section 4). RTP relayed by a TURN server is found inside its wrapping (RFC 8656).

use silentmon_proto::ids::{PayloadType, RtpTimestamp, SequenceNumber, Ssrc};

const RTP_HEADER: usize = 12;
const STUN_HEADER: usize = 20;
const STUN_MAGIC_COOKIE: u32 = 0x2112_a442;
const STUN_SEND_INDICATION: u16 = 0x0016;
const STUN_DATA_INDICATION: u16 = 0x0017;
const STUN_DATA_ATTRIBUTE: u16 = 0x0013;
const DTLS_RECORD_HEADER: usize = 13;
/// RFC 5761 section 4: payload types that would collide with RTCP packet types 192 to 223.
const RTCP_PAYLOAD_TYPES: std::ops::RangeInclusive<u8> = 64..=95;

/// An RTP packet with its header read (RFC 3550 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// The packet as captured, from its first header byte.
    pub bytes: &'a [u8],
    /// Length of the header with CSRC list and extension, in bytes.
    pub header_length: usize,
    /// The payload: without CSRC list, extension and padding.
    pub payload: &'a [u8],
    /// Payload type.
    pub payload_type: PayloadType,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: SequenceNumber,
    /// Timestamp.
    pub timestamp: RtpTimestamp,
    /// Synchronisation source.
    pub ssrc: Ssrc,
    /// Number of contributing sources.
    pub csrc_count: u8,
}

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried<'a> {
    /// An RTP packet, as far as its header tells.
    Rtp(RtpPacket<'a>),
    /// One or more RTCP packets.
    Rtcp(&'a [u8]),
    /// STUN without RTP in it.
    Stun,
    /// A DTLS record: the media beside it are encrypted.
    Dtls,
    /// Anything else.
    Other,
}

/// Looks at the payload of a datagram. `truncated` payloads keep their padding, whose length stood in the bytes cut off.
pub fn carried(payload: &[u8], truncated: bool) -> Carried<'_> {
    match payload.first() {
        Some(0..=3) => from_stun(payload, truncated),
        Some(20..=63) if is_dtls(payload) => Carried::Dtls,
        Some(64..=79) => from_channel_data(payload, truncated),
        Some(128..=191) => from_version_2(payload, truncated),
        _ => Carried::Other,
    }
}

fn from_version_2(payload: &[u8], truncated: bool) -> Carried<'_> {
    let is_rtcp = payload
        .get(1)
        .is_some_and(|second| RTCP_PAYLOAD_TYPES.contains(&(second & 0x7f)));
    if is_rtcp {
        return Carried::Rtcp(payload);
    }
    read_rtp(payload, truncated).map_or(Carried::Other, Carried::Rtp)
}

/// Reads an RTP header; `None` where the bytes can't be an RTP packet of version 2.
fn read_rtp(bytes: &[u8], truncated: bool) -> Option<RtpPacket<'_>> {
    let (header, _) = bytes.split_first_chunk::<RTP_HEADER>()?;
    let [first, second, s0, s1, t0, t1, t2, t3, ssrc @ ..] = *header;
    let csrc_count = first & 0x0f;
    let mut start = RTP_HEADER + 4 * usize::from(csrc_count);
    if first & 0x10 != 0 {
        let ([_, _, l0, l1], _) = bytes.get(start..)?.split_first_chunk::<4>()?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([*l0, *l1]));
    }
    let mut payload = bytes.get(start..)?;
    if first & 0x20 != 0 && !truncated {
        let padding = usize::from(*payload.last()?);
        payload = payload.get(..payload.len().checked_sub(padding)?)?;
        if padding == 0 {
            return None;
        }
    }
    Some(RtpPacket {
        bytes,
        header_length: start,
        payload,
        payload_type: PayloadType(second & 0x7f),
        marker: second & 0x80 != 0,
        sequence: SequenceNumber(u16::from_be_bytes([s0, s1])),
        timestamp: RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
        ssrc: Ssrc(u32::from_be_bytes(ssrc)),
        csrc_count,
    })
}

fn from_stun(payload: &[u8], truncated: bool) -> Carried<'_> {
    let Some((header, attributes)) = payload.split_first_chunk::<STUN_HEADER>() else {
        return Carried::Other;
    };
    let [k0, k1, l0, l1, c0, c1, c2, c3, ..] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let fits = length == attributes.len() || (truncated && length > attributes.len());
    if length % 4 != 0 || !fits {
        return Carried::Other;
    }
    let kind = u16::from_be_bytes([k0, k1]);
    let modern = u32::from_be_bytes([c0, c1, c2, c3]) == STUN_MAGIC_COOKIE;
    match kind {
        STUN_SEND_INDICATION | STUN_DATA_INDICATION if modern => relayed(stun_data(attributes), truncated),
        _ => Carried::Stun,
    }
}

/// The DATA attribute of a Send or Data indication (RFC 8656 section 18.4).
fn stun_data(mut attributes: &[u8]) -> Option<&[u8]> {
    while let Some(([t0, t1, l0, l1], rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == STUN_DATA_ATTRIBUTE {
            return rest.get(..length);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn from_channel_data(payload: &[u8], truncated: bool) -> Carried<'_> {
    let Some(([_, _, l0, l1], rest)) = payload.split_first_chunk::<4>() else {
        return Carried::Other;
    };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    match rest.get(..length) {
        Some(inner) if rest.len() - length < 4 => relayed(Some(inner), truncated),
        _ => Carried::Other,
    }
}

/// What a TURN server relays; STUN and nothing readable are its own business.
fn relayed(inner: Option<&[u8]>, truncated: bool) -> Carried<'_> {
    match inner {
        Some(inner @ [128..=191, ..]) => match from_version_2(inner, truncated) {
            Carried::Other => Carried::Stun,
            media => media,
        },
        Some(inner @ [20..=63, ..]) if is_dtls(inner) => Carried::Dtls,
        _ => Carried::Stun,
    }
}

/// A DTLS 1.0 to 1.2 record header: content type 20 to 25, version 0xfeff, 0xfefd or the 0x0100 of old OpenSSL.
fn is_dtls(payload: &[u8]) -> bool {
    payload.len() >= DTLS_RECORD_HEADER
        && matches!(payload, [20..=25, 0xfe, 0xff | 0xfd, ..] | [20..=25, 0x01, 0x00, ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rtp(second: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, second, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4];
        bytes.extend([0xff; 20]);
        bytes
    }

    #[test]
    fn reads_the_header_and_cuts_csrc_extension_and_padding_from_the_payload() {
        let mut bytes = vec![0xb1, 0x88, 0xff, 0xfe, 0, 0, 0, 160, 1, 2, 3, 4];
        bytes.extend([9; 4]);
        bytes.extend([0xbe, 0xde, 0, 1, 5, 5, 5, 5]);
        bytes.extend([0xd5; 10]);
        bytes.extend([0, 2]);
        let Carried::Rtp(packet) = carried(&bytes, false) else {
            panic!("expected RTP");
        };
        assert_eq!(packet.payload, [0xd5; 10]);
        assert_eq!(
            (packet.payload_type, packet.marker, packet.sequence, packet.csrc_count),
            (PayloadType::PCMA, true, SequenceNumber(0xfffe), 1)
        );
        assert_eq!((packet.timestamp, packet.ssrc), (RtpTimestamp(160), Ssrc(0x0102_0304)));
    }

    #[test]
    fn rtcp_packet_types_are_not_rtp_with_a_marker() {
        for packet_type in 192..=223u8 {
            assert_eq!(carried(&rtp(packet_type), false), Carried::Rtcp(&rtp(packet_type)));
        }
        assert!(matches!(carried(&rtp(0xe0), false), Carried::Rtp(_)));
    }

    #[test]
    fn finds_rtp_in_turn_indications_and_channel_data() {
        let inner = rtp(0);
        let mut indication = vec![0, 0x17, 0, 48, 0x21, 0x12, 0xa4, 0x42];
        indication.extend([7; 12]);
        indication.extend([0, 0x12, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0]);
        indication.extend([0, 0x13, 0, 32]);
        indication.extend(&inner);
        assert!(matches!(carried(&indication, false), Carried::Rtp(packet) if packet.bytes == inner));
        let mut channel = vec![0x40, 1, 0, 32];
        channel.extend(&inner);
        assert!(matches!(carried(&channel, false), Carried::Rtp(packet) if packet.bytes == inner));
    }

    #[test]
    fn nothing_of_what_shares_the_port_is_rtp() {
        let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        binding.extend([7; 12]);
        assert_eq!(carried(&binding, false), Carried::Stun);
        let mut hello = vec![22, 0xfe, 0xff];
        hello.extend([0; 20]);
        assert_eq!(carried(&hello, false), Carried::Dtls);
        assert_eq!(carried(b"INVITE sip:x", false), Carried::Other);
        assert_eq!(carried(&[], false), Carried::Other);
        assert_eq!(carried(&[0x80; 11], false), Carried::Other);
        assert_eq!(
            carried(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false),
            Carried::Other
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(bytes in proptest::collection::vec(any::<u8>(), 0..200), truncated: bool) {
            if let Carried::Rtp(packet) = carried(&bytes, truncated) {
                prop_assert!(packet.header_length + packet.payload.len() <= packet.bytes.len());
            }
        }
    }
}

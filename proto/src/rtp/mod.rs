//! RTP packets (RFC 3550 section 5): the header of one, read from a UDP payload.
//!
//! Whether a packet that reads well really is RTP only its neighbours tell (RFC 3550 appendix A.1): that is the stream
//! table's business, not decided here.

use rtp_rs::{RtpReader, RtpReaderError};
use thiserror::Error;

use crate::ids::{PayloadType, RtpTimestamp, SequenceNumber, Ssrc};

mod demux;
mod sequence;

pub use demux::{Protocol, is_dtls, is_rtcp, is_stun};
pub use sequence::{ExtendedSequence, ExtendedTimestamp};

/// An RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What the payload is.
    pub payload_type: PayloadType,
    /// In audio: the first packet after silence (RFC 3551 section 4.1).
    pub marker: bool,
    /// Sequence number.
    pub sequence: SequenceNumber,
    /// When the first sample of the payload was taken, in ticks of the RTP clock.
    pub timestamp: RtpTimestamp,
    /// The stream's source.
    pub ssrc: Ssrc,
    /// Number of contributing sources (CSRC), 0 to 15: more than 0 comes from a mixer.
    pub contributing_sources: u8,
    /// The header extension, where there is one.
    pub extension: Option<Extension<'a>>,
    /// Length of everything before the payload, in bytes.
    pub header_length: usize,
    /// What was sent, without CSRC list, header extension and padding.
    pub payload: &'a [u8],
    /// The whole packet as captured.
    pub bytes: &'a [u8],
}

/// A header extension (RFC 3550 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Defined by the profile: 0xbede for one-byte elements (RFC 8285 section 4.2).
    pub profile: u16,
    /// Its content, a multiple of four bytes.
    pub content: &'a [u8],
}

/// Why a UDP payload is no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotRtp {
    /// Shorter than the fixed header.
    #[error("expected an RTP header of 12 bytes, found {found} bytes")]
    TooShort {
        /// Length of the payload in bytes.
        found: usize,
    },
    /// Another version: STUN, DTLS and whatever else shares the port.
    #[error("expected RTP version 2, found {found}")]
    Version {
        /// The first two bits.
        found: u8,
    },
    /// RTCP by its packet type (RFC 5761 section 4).
    #[error("expected RTP, found RTCP packet type {packet_type}")]
    Rtcp {
        /// 192 to 223.
        packet_type: u8,
    },
    /// A payload type that RFC 5761 section 4 keeps free so that RTCP can be told apart.
    #[error("expected an RTP payload type outside 64 to 95, found {found}")]
    ReservedPayloadType {
        /// 64 to 95.
        found: u8,
    },
    /// CSRC list or header extension reach beyond the end.
    #[error("expected {expected} bytes of RTP header, found {found} bytes")]
    HeaderTooLong {
        /// Length of the header by its own fields, in bytes.
        expected: usize,
        /// Length of the payload in bytes.
        found: usize,
    },
    /// Padding of length zero, or longer than what follows the header.
    #[error("padding of {found} bytes does not fit the RTP packet")]
    Padding {
        /// What the last byte says.
        found: u8,
    },
}

impl From<RtpReaderError> for NotRtp {
    fn from(error: RtpReaderError) -> Self {
        match error {
            RtpReaderError::BufferTooShort(found) => Self::TooShort { found },
            RtpReaderError::UnsupportedVersion(found) => Self::Version { found },
            RtpReaderError::HeadersTruncated { header_len, buffer_len } => Self::HeaderTooLong {
                expected: header_len,
                found: buffer_len,
            },
            RtpReaderError::PaddingLengthInvalid(found) => Self::Padding { found },
        }
    }
}

/// Reads a UDP payload as an RTP packet.
///
/// # Errors
/// [`NotRtp`] where it can't be one: another version, RTCP, or a header that doesn't fit.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Packet<'_>, NotRtp> {
    let reader = RtpReader::new(bytes)?;
    let payload_type = reader.payload_type();
    if (64..=95).contains(&payload_type) {
        return Err(reserved(payload_type, reader.mark()));
    }
    Ok(Packet {
        payload_type: PayloadType(payload_type),
        marker: reader.mark(),
        sequence: SequenceNumber(reader.sequence_number().into()),
        timestamp: RtpTimestamp(reader.timestamp()),
        ssrc: Ssrc(reader.ssrc()),
        contributing_sources: reader.csrc_count(),
        extension: reader
            .extension()
            .map(|(profile, content)| Extension { profile, content }),
        header_length: reader.payload_offset(),
        payload: reader.payload(),
        bytes,
    })
}

const fn reserved(payload_type: u8, marker: bool) -> NotRtp {
    if marker {
        let packet_type = payload_type | 0x80;
        NotRtp::Rtcp { packet_type }
    } else {
        NotRtp::ReservedPayloadType { found: payload_type }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtp_rs::{Pad, RtpPacketBuilder, Seq};

    use super::*;

    const HEADER: [u8; 12] = [0x80, 0x00, 0x12, 0x34, 0, 0, 0, 160, 0x44, 0x1b, 0xc0, 0xcf];

    fn packet(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        (bytes[0], bytes[1]) = (first, second);
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn reads_a_plain_packet() {
        let bytes = packet(0x80, 0x88, &[0xd5; 160]);
        let expected = Packet {
            payload_type: PayloadType::PCMA,
            marker: true,
            sequence: SequenceNumber(0x1234),
            timestamp: RtpTimestamp(160),
            ssrc: Ssrc(0x441b_c0cf),
            contributing_sources: 0,
            extension: None,
            header_length: 12,
            payload: &[0xd5; 160],
            bytes: &bytes,
        };
        assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn takes_contributing_sources_extension_and_padding_off_the_payload() {
        let mut rest = vec![0, 0, 0, 1, 0, 0, 0, 2];
        rest.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]);
        rest.extend_from_slice(b"voice");
        rest.extend_from_slice(&[0, 0, 3]);
        let bytes = packet(0xb2, 0, &rest);
        let packet = parse(&bytes).expect("an RTP packet");
        assert_eq!(packet.contributing_sources, 2);
        let extension = Extension {
            profile: 0xbede,
            content: &[0x10, 0x55, 0, 0],
        };
        assert_eq!(packet.extension, Some(extension));
        assert_eq!(packet.header_length, 28);
        assert_eq!(packet.payload, b"voice");
    }

    #[test]
    fn tells_rtcp_from_rtp_by_the_second_byte() {
        for packet_type in 192..=223 {
            assert_eq!(
                parse(&packet(0x80, packet_type, &[])),
                Err(NotRtp::Rtcp { packet_type })
            );
        }
        for found in 64..=95 {
            assert_eq!(
                parse(&packet(0x80, found, &[])),
                Err(NotRtp::ReservedPayloadType { found })
            );
        }
        for second in [63, 96, 191, 224] {
            assert!(parse(&packet(0x80, second, &[])).is_ok(), "{second}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_header_that_does_not_fit() {
        assert_eq!(parse(&HEADER[..11]), Err(NotRtp::TooShort { found: 11 }));
        assert_eq!(parse(&packet(0x40, 0, &[])), Err(NotRtp::Version { found: 1 }));
        let long_list = NotRtp::HeaderTooLong {
            expected: 16,
            found: 12,
        };
        assert_eq!(parse(&packet(0x81, 0, &[])), Err(long_list));
        let long_extension = NotRtp::HeaderTooLong {
            expected: 24,
            found: 20,
        };
        assert_eq!(parse(&packet(0x90, 0, &[0, 0, 0, 2, 1, 1, 1, 1])), Err(long_extension));
        assert_eq!(parse(&packet(0xa0, 0, &[1, 2, 0])), Err(NotRtp::Padding { found: 0 }));
        assert_eq!(parse(&packet(0xa0, 0, &[1, 2, 4])), Err(NotRtp::Padding { found: 4 }));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn reads_what_was_built(
            payload_type in prop_oneof![0u8..64, 96u8..128],
            (marker, sequence, timestamp, ssrc) in any::<(bool, u16, u32, u32)>(),
            sources in prop::collection::vec(any::<u32>(), 0..=15),
            extension in prop::option::of((any::<u16>(), prop::collection::vec(any::<u32>(), 0..5))),
            payload in prop::collection::vec(any::<u8>(), 1..400),
            padded in any::<bool>(),
        ) {
            let content: Vec<u8> = extension.iter().flat_map(|(_, words)| words.iter().flat_map(|w| w.to_be_bytes())).collect();
            let mut builder = RtpPacketBuilder::new()
                .payload_type(payload_type).marked(marker).sequence(Seq::from(sequence)).timestamp(timestamp).ssrc(ssrc)
                .padded(if padded { Pad::round_to(4) } else { Pad::none() })
                .payload(&payload);
            for source in &sources {
                builder = builder.add_csrc(*source);
            }
            if let Some((profile, _)) = &extension {
                builder = builder.extension(*profile, &content);
            }
            let bytes = builder.build().expect("a valid packet");
            let packet = parse(&bytes).expect("an RTP packet");
            let header_length = 12 + 4 * sources.len() + extension.as_ref().map_or(0, |_| 4 + content.len());
            let expected = Packet {
                payload_type: PayloadType(payload_type),
                marker,
                sequence: SequenceNumber(sequence),
                timestamp: RtpTimestamp(timestamp),
                ssrc: Ssrc(ssrc),
                contributing_sources: u8::try_from(sources.len()).expect("at most 15"),
                extension: extension.as_ref().map(|(profile, _)| Extension { profile: *profile, content: &content }),
                header_length,
                payload: &payload,
                bytes: &bytes,
            };
            prop_assert_eq!(packet, expected);
        }
    }
}

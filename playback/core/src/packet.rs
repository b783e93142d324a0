//! What the player needs of an RTP packet (RFC 3550 section 5.1).

use rtp_rs::RtpReader;
use silentmon_proto::ids::{PayloadType, Ssrc};

/// A packet's header fields and its payload without padding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) payload_type: PayloadType,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: Ssrc,
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` where the bytes are no RTP of version 2.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let reader = RtpReader::new(bytes).ok()?;
        Some(Self {
            payload_type: PayloadType(reader.payload_type()),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: Ssrc(reader.ssrc()),
            payload: reader.payload(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Packet::parse(&bytes);
        }

        #[test]
        fn any_bytes_behind_a_version_2_header_never_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 12..80),
        ) {
            bytes[0] = bytes[0] & 0x3f | 0x80;
            let _ = Packet::parse(&bytes);
        }
    }
}

//! What a datagram on a media port carries, seen through the wrapping of a TURN server (RFC 8656), in which WebRTC media
//! travel where there is no direct path.

use silentmon_proto::rtp::{self, Packet, Protocol};

const STUN_HEADER: usize = 20;
const SEND_INDICATION: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;
const DATA_ATTRIBUTE: u16 = 0x0013;

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried<'a> {
    /// An RTP packet, as far as its header tells.
    Rtp(Packet<'a>),
    /// One or more RTCP packets.
    Rtcp(&'a [u8]),
    /// STUN or TURN without media in it.
    Stun,
    /// A DTLS record: the media beside it are encrypted.
    Dtls,
    /// Anything else.
    Other,
}

/// Looks at the payload of a datagram.
pub fn carried(payload: &[u8]) -> Carried<'_> {
    match Protocol::of(payload) {
        Protocol::Stun => relayed(indicated(payload)),
        Protocol::TurnChannel => relayed(channelled(payload)),
        protocol => media(protocol, payload),
    }
}

fn media(protocol: Protocol, payload: &[u8]) -> Carried<'_> {
    match protocol {
        Protocol::Rtp => rtp::parse(payload).map_or(Carried::Other, Carried::Rtp),
        Protocol::Rtcp => Carried::Rtcp(payload),
        Protocol::Dtls if is_handshake(payload) => Carried::Dtls,
        Protocol::Stun => Carried::Stun,
        Protocol::Dtls | Protocol::Zrtp | Protocol::TurnChannel | Protocol::Other => Carried::Other,
    }
}

/// Every DTLS connection begins with records that name their version. Those of DTLS 1.3 that come later don't, and begin
/// with bytes that text begins with as well: they prove nothing.
fn is_handshake(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| *first < 32)
}

/// What a TURN server passes on; whatever isn't media is its own business.
fn relayed(inner: Option<&[u8]>) -> Carried<'_> {
    match inner.map(|inner| media(Protocol::of(inner), inner)) {
        None | Some(Carried::Other) => Carried::Stun,
        Some(media) => media,
    }
}

/// The DATA attribute of a Send or Data indication (RFC 8656 section 18.4).
fn indicated(payload: &[u8]) -> Option<&[u8]> {
    let (header, mut attributes) = payload.split_first_chunk::<STUN_HEADER>()?;
    let [k0, k1, ..] = *header;
    if !matches!(u16::from_be_bytes([k0, k1]), SEND_INDICATION | DATA_INDICATION) {
        return None;
    }
    while let Some(([t0, t1, l0, l1], rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == DATA_ATTRIBUTE {
            return rest.get(..length);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// The data of a channel message (RFC 8656 section 12.4).
fn channelled(payload: &[u8]) -> Option<&[u8]> {
    let ([_, _, l0, l1], rest) = payload.split_first_chunk::<4>()?;
    rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(second: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, second, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4];
        bytes.extend([0xff; 20]);
        bytes
    }

    fn indication(inner: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 0x17, 0, 48, 0x21, 0x12, 0xa4, 0x42];
        message.extend([7; 12]);
        message.extend([0, 0x12, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend([0, 0x13, 0, 32]);
        message.extend(inner);
        message
    }

    #[test]
    fn finds_rtp_in_turn_indications_and_channel_data() {
        let inner = packet(0);
        let channel = [&[0x40, 1, 0, 32][..], &inner].concat();
        for wrapped in [indication(&inner), channel] {
            assert!(matches!(carried(&wrapped), Carried::Rtp(packet) if packet.bytes == inner));
        }
    }

    #[test]
    fn an_indication_without_media_is_the_turn_servers_business() {
        assert_eq!(carried(&indication(&[9; 32])), Carried::Stun);
        assert_eq!(carried(&indication(&[])), Carried::Stun);
    }

    #[test]
    fn text_is_no_dtls() {
        assert_eq!(carried(b"!/1 [10.1.1.1] T=1{C=-{AV=a{AT{}}}}"), Carried::Other);
        let hello = [&[22, 0xfe, 0xfd][..], &[0; 40]].concat();
        assert_eq!(carried(&hello), Carried::Dtls);
    }

    #[test]
    fn reserved_payload_types_are_not_rtp() {
        assert_eq!(carried(&packet(72)), Carried::Other);
        assert!(matches!(carried(&packet(0xe0)), Carried::Rtp(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Carried::Rtp(packet) = carried(&bytes) {
                prop_assert!(packet.header_length + packet.payload.len() <= packet.bytes.len());
            }
        }
    }
}

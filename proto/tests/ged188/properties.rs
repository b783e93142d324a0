//! Any message of any version encodes to what it was decoded from; any bytes leave the decoder standing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use silentmon_proto::cti::ged188::*;

use crate::layouts::FIXED_SIZES;

const VERSIONS: [u32; 7] = [9, 14, 16, 19, 20, 24, 25];

fn version() -> impl Strategy<Value = ProtocolVersion> {
    select(&VERSIONS[..]).prop_map(ProtocolVersion)
}

/// A version, a message type, and a body laid out as the version has it: fixed part and floating part.
fn message() -> impl Strategy<Value = (ProtocolVersion, MessageType, Vec<u8>, Vec<u8>)> {
    let fields = vec((1_u16..=266, vec(any::<u8>(), 0..24)), 0..8);
    (version(), select(FIXED_SIZES), vec(any::<u8>(), 64), fields).prop_map(|(version, layout, filling, fields)| {
        let mut fixed = filling;
        fixed.truncate(layout.size(version));
        let mut floating = Floating::default();
        for (tag, data) in fields {
            let tag = if version.tag_width() == 1 { tag.min(255) } else { tag };
            floating.push_bytes(Tag(tag), &data);
        }
        let mut tagged = Vec::new();
        floating.encode(version, &mut tagged).unwrap();
        (version, layout.message_type, fixed, tagged)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decoding_undoes_encoding((version, message_type, fixed, floating) in message()) {
        let decoded = Message::decode(message_type, &[&fixed[..], &floating].concat(), version).unwrap();
        prop_assert_eq!(decoded.deviation, None);
        prop_assert_eq!(decoded.message.message_type(), message_type);
        let wire = decoded.message.encode(version).unwrap();
        let body = &wire[HEADER_SIZE..];
        prop_assert_eq!(body.len(), fixed.len() + floating.len());
        prop_assert_eq!(&body[fixed.len()..], floating);
        prop_assert_eq!(Message::decode(message_type, body, version).unwrap(), decoded);
    }

    #[test]
    fn no_body_panics(version in 0_u32..40, number in 0_u32..310, body in vec(any::<u8>(), 0..200)) {
        let version = ProtocolVersion(version);
        let Ok(decoded) = Message::decode(MessageType(number), &body, version) else { return Ok(()) };
        let _ = format!("{decoded:?}");
        if let Ok(wire) = decoded.message.encode(version) {
            prop_assert_eq!(&wire[4..8], number.to_be_bytes());
        }
    }

    #[test]
    fn no_floating_part_panics(bytes in vec(any::<u8>(), 0..120), version in version(), tag in 0_u16..300) {
        let Ok(floating) = Floating::decode(&bytes, version) else { return Ok(()) };
        let tag = Tag(tag);
        let _ = (floating.text(tag), floating.uint(tag), floating.address(tag), floating.port(tag));
        let _ = floating.entries(tag);
        let mut out = Vec::new();
        floating.encode(version, &mut out).unwrap();
        prop_assert_eq!(out, bytes);
    }
}

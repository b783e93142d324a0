//! What an audio datagram says that its payload is.

use super::*;

/// Agent 4711 talks; the CTI source names his call's codec.
fn talking(codec: Option<&str>) -> House {
    let mut house = House::new();
    house.agent_state("4711", AgentState::Talking);
    house.call("4711", "81", CallEventKind::Established);
    house.cti(&CtiEvent::from(MediaStarted {
        agent: Some("4711".into()),
        call: Some("81".into()),
        codec: codec.map(str::to_owned),
        ..MediaStarted::at(PHONE.parse().expect("an address"))
    }));
    house.start(ANNA, "4711", None);
    house
}

/// What both legs' packets of a payload type are said to be.
fn heard(house: &mut House, payload_type: u8) -> Vec<Codec> {
    for number in 0..100 {
        for (source, destination) in [(PHONE, GATEWAY), (GATEWAY, PHONE)] {
            house.packet(source, destination, &rtp(payload_type, number, &[7; 40]));
        }
        house.pass(Duration::from_millis(20));
    }
    let mut codecs: Vec<Codec> = house.audio(ANNA).iter().map(|(header, _)| header.codec).collect();
    codecs.dedup();
    codecs
}

#[test]
fn a_dynamic_payload_type_is_what_the_cti_source_names() {
    let mut house = talking(Some("opus"));
    assert_eq!(heard(&mut house, 114), [Codec::Opus]);
    assert_eq!(house.last_status().reason.code, Code::AudioFlowing);
}

#[test]
fn a_dynamic_payload_type_is_what_the_signalling_describes() {
    let mut house = talking(None);
    house.described = Some((PayloadType(96), Codec::Opus));
    assert_eq!(heard(&mut house, 96), [Codec::Opus]);
}

#[test]
fn a_named_codec_changes_no_static_payload_type() {
    let mut house = talking(Some("opus"));
    assert_eq!(heard(&mut house, 18), [Codec::G729]);
}

#[test]
fn a_codec_that_is_not_built_in_is_named_with_its_payload_type() {
    for (named, payload_type, sentence) in [
        (None, 4, "Codec G723 (payload type 4) is not built in."),
        (Some("iLBC"), 116, "Codec iLBC (payload type 116) is not built in."),
        (Some("AMR-WB"), 100, "Codec AMR-WB (payload type 100) is not built in."),
        (
            None,
            100,
            "Nobody tells which codec payload type 100 is; it can't be played.",
        ),
    ] {
        let mut house = talking(named);
        heard(&mut house, payload_type);
        let reason = house.last_status().reason;
        assert_eq!((reason.code, reason.text.as_str()), (Code::CodecNotBuiltIn, sentence));
    }
}

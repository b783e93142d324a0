//! What is heard, what is kept back, and what is said where nothing is heard.

use super::*;

#[test]
fn a_supervisor_hears_both_legs_byte_for_byte() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    for number in 0..50 {
        house.packet(PHONE, GATEWAY, &rtp(0, number, &speech(number)));
        house.packet(GATEWAY, PHONE, &rtp(0, number, &speech(number + 9)));
        house.pass(Duration::from_millis(20));
    }
    let audio = house.audio(ANNA);
    for (leg, shift) in [(Leg::Agent, 0), (Leg::Customer, 9)] {
        let leg: Vec<_> = audio.iter().filter(|(header, _)| header.leg == leg).collect();
        let wanted: Vec<_> = (0..50).map(|number| rtp(0, number, &speech(number + shift))).collect();
        assert_eq!(leg.iter().map(|(_, rtp)| rtp.clone()).collect::<Vec<_>>(), wanted);
        assert!(leg.iter().map(|(header, _)| header.relay_sequence).eq(0..50));
    }
    assert_eq!(house.last_status().reason.code, Code::AudioFlowing);
    assert_eq!(house.last_status().calls, ["81".into()]);
    assert!(house.audio(BERT).is_empty());
}

#[test]
fn encrypted_media_is_said_and_never_sent() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..150, cipher);
    assert_eq!(house.audio(ANNA).len(), 0);
    assert_eq!(house.last_status().reason.code, Code::Encrypted);
}

#[test]
fn a_mirror_that_shows_one_side_is_named() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(GATEWAY, PHONE, 0..200, speech);
    let status = house.last_status();
    assert_eq!(status.reason.code, Code::OneSideOnly);
    assert!(status.reason.text.contains("customer"), "{}", status.reason);
}

#[test]
fn a_mirror_without_the_agent_and_one_without_frames_are_told_apart() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream("10.9.9.9:4000", "10.9.9.8:4000", 0..200, speech);
    assert_eq!(house.last_status().reason.code, Code::AgentNotInMirror);
    house.pass(Duration::from_secs(6));
    assert_eq!(house.last_status().reason.code, Code::NoFrames);
}

#[test]
fn dtmf_events_are_kept_back_as_silence() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    for (number, duration) in (10..16).zip((160_u16..).step_by(160)) {
        let mut event = rtp(101, number, &[[5, 10].as_slice(), &duration.to_be_bytes()].concat());
        event[4..8].copy_from_slice(&1600_u32.to_be_bytes());
        house.packet(PHONE, GATEWAY, &event);
        house.pass(Duration::from_millis(20));
    }
    house.stream(PHONE, GATEWAY, 16..26, speech);
    let audio = house.audio(ANNA);
    let kept_back = audio.iter().filter(|(header, _)| header.kind == AudioKind::Suppressed);
    assert!(
        kept_back.clone().all(|(_, rtp)| rtp.len() == 12),
        "the digit doesn't leave the server"
    );
    assert_eq!(kept_back.count(), 6);
    assert!(
        audio
            .iter()
            .all(|(header, rtp)| header.kind == AudioKind::Suppressed || rtp[1] == 0)
    );
}

#[test]
fn plain_rtp_goes_untouched_to_a_receiver_that_policy_names() {
    let mut house = House::new();
    house.talking();
    let receiver = "127.0.0.1:39200".parse().expect("an address");
    let output = OutputKind::PlainRtp { receiver };
    let start = ClientMessage::StartMonitor {
        request: 5,
        agent: "4711".into(),
        resume: None,
        purpose: None,
        output,
    };
    house.say(ANNA, start);
    house.packet(PHONE, GATEWAY, &rtp(0, 0, &speech(0)));
    house.packet(PHONE, GATEWAY, &rtp(0, 1, &speech(1)));
    house.packet(GATEWAY, PHONE, &rtp(0, 0, &speech(7)));
    house.packet(GATEWAY, PHONE, &rtp(0, 1, &speech(8)));
    let plain = house.sent.iter().filter_map(|transmit| match transmit {
        Transmit::PlainRtp { receiver, packet } => Some((receiver.port(), packet.clone())),
        _ => None,
    });
    let plain: Vec<_> = plain.collect();
    for wanted in [(39200, rtp(0, 0, &speech(0))), (39202, rtp(0, 1, &speech(8)))] {
        assert!(plain.contains(&wanted), "{plain:?}");
    }
    assert_eq!(house.audio(ANNA).len(), 0);
}

#[test]
fn an_unmonitored_agent_is_audible_where_his_packets_are_counted() {
    let mut house = House::new();
    house.talking();
    let phone = [10, 1, 1, 20].into();
    house.engine.handle_address_count(phone, 100, 100, house.now);
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    let row = house.messages().find_map(|(_, message)| match message {
        ServerMessage::Agents { agents, .. } => agents.first().cloned(),
        _ => None,
    });
    assert!(row.expect("a row").audible);
}

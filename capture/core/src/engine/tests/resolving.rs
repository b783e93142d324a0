//! Who tells a media address, in the configured order.

use silentmon_proto::relay::AgentRow;

use super::*;

const ELSEWHERE: &str = "10.1.1.40:30000";

fn sighted(device: &str, address: &str) -> CtiEvent {
    let media = MediaStarted::at(address.parse().expect("an address"));
    CtiEvent::from(MediaStarted {
        device: Some(device.into()),
        call: Some("a84b4c76e66710@phone".into()),
        ..media
    })
}

fn at(device: &str, address: &str) -> BTreeMap<Extension, MediaAddress> {
    [(device.into(), address.parse().expect("an address"))].into()
}

/// Agent 4711 at 3001 talks on an ACD call of which the CTI source tells no media.
fn talking_somewhere() -> House {
    let mut house = House::new();
    house.signed_in("4711", "3001", AgentState::Talking);
    house.device_call("3001", "81", CallEventKind::Established, Some(true));
    house.start(ANNA, "4711", None);
    house
}

fn row(house: &mut House) -> AgentRow {
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    let rows = house.messages().rev().find_map(|(_, message)| match message {
        ServerMessage::Agents { agents, .. } => Some(agents.clone()),
        _ => None,
    });
    rows.expect("a listing").remove(0)
}

fn origins(house: &mut House) -> Vec<(String, MediaOrigin)> {
    let media = row(house).media.into_iter();
    media.map(|media| (media.address.to_string(), media.origin)).collect()
}

#[test]
fn the_first_origin_in_order_that_has_an_answer_is_believed() {
    let mut house = talking_somewhere();
    let told = |address: &str, origin| vec![(address.to_owned(), origin)];
    assert_eq!(origins(&mut house), []);
    house
        .engine
        .handle_devices(MediaOrigin::RisPort, at("3001", "10.1.1.50"), house.now);
    assert_eq!(origins(&mut house), told("10.1.1.50", MediaOrigin::RisPort));
    house
        .engine
        .handle_sighting(MediaOrigin::Sccp, &sighted("3001", "10.1.1.40:2"), house.now);
    assert_eq!(origins(&mut house), told("10.1.1.40:2", MediaOrigin::Sccp));
    house
        .engine
        .handle_sighting(MediaOrigin::Sip, &sighted("3001", ELSEWHERE), house.now);
    assert_eq!(origins(&mut house), told(ELSEWHERE, MediaOrigin::Sip));
    house
        .engine
        .handle_devices(MediaOrigin::Devices, at("3001", "10.1.1.60"), house.now);
    assert_eq!(origins(&mut house), told("10.1.1.60", MediaOrigin::Devices));
    house.device_media("3001", "81", PHONE);
    assert_eq!(origins(&mut house), told(PHONE, MediaOrigin::Cti));
    assert_eq!(row(&mut house).extension, Some("3001".into()));
}

#[test]
fn media_seen_in_signalling_are_heard_until_it_ends_them() {
    let mut house = talking_somewhere();
    house
        .engine
        .handle_sighting(MediaOrigin::Sip, &sighted("3001", ELSEWHERE), house.now);
    assert_eq!(house.heard(ELSEWHERE, GATEWAY, 10), 10);
    assert_eq!(
        house.last_status().calls,
        ["81".into()],
        "the call's id is the CTI source's"
    );
    let stop = CtiEvent::from(MediaStopped {
        agent: None,
        device: Some("3001".into()),
        call: Some("a84b4c76e66710@phone".into()),
        address: None,
        direction: None,
    });
    house.engine.handle_sighting(MediaOrigin::Sip, &stop, house.now);
    assert_eq!(house.heard(ELSEWHERE, GATEWAY, 10), 0);
    assert_eq!(house.last_status().reason.code, Code::NoMediaAddress);
}

#[test]
fn a_socket_seen_at_another_phone_is_that_ones() {
    let mut house = talking_somewhere();
    house
        .engine
        .handle_sighting(MediaOrigin::Sip, &sighted("3001", ELSEWHERE), house.now);
    let alias = sighted("6f2a", ELSEWHERE);
    house.engine.handle_sighting(MediaOrigin::Sip, &alias, house.now);
    assert!(
        house.heard(ELSEWHERE, GATEWAY, 10) > 0,
        "another name of the same call's phone"
    );
    let CtiEvent::MediaStarted(other) = sighted("3002", ELSEWHERE) else {
        unreachable!()
    };
    let other = CtiEvent::from(MediaStarted {
        call: Some("another".into()),
        ..other
    });
    house.engine.handle_sighting(MediaOrigin::Sip, &other, house.now);
    assert_eq!(house.heard(ELSEWHERE, GATEWAY, 10), 0);
}

#[test]
fn devices_on_a_call_that_nobody_resolved_are_listed_for_a_query() {
    let mut house = talking_somewhere();
    house.signed_in("4712", "3002", AgentState::Available);
    assert_eq!(house.engine.unresolved(house.now), ["3001".into()].into());
    house
        .engine
        .handle_devices(MediaOrigin::RisPort, at("3001", "10.1.1.20"), house.now);
    assert!(house.engine.unresolved(house.now).is_empty());
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    house.device_call("3001", "81", CallEventKind::ConnectionCleared, None);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 0, "a map answers only during a call");
}

#[test]
fn encryption_announced_by_the_signalling_is_said_with_its_evidence() {
    let mut house = talking_somewhere();
    let CtiEvent::MediaStarted(media) = sighted("3001", ELSEWHERE) else {
        unreachable!()
    };
    let encrypted = Some(true);
    let media = MediaStarted { encrypted, ..media };
    house.engine.handle_sighting(MediaOrigin::Sip, &media.into(), house.now);
    house.pass(Duration::from_secs(1));
    let reason = house.last_status().reason;
    assert_eq!(reason.code, Code::Encrypted);
    assert!(reason.text.contains("SIP"), "{reason}");
}

#[test]
fn what_the_phone_sends_from_another_port_to_its_remote_is_the_agents_leg() {
    let mut house = talking_somewhere();
    let media = MediaStarted {
        agent: Some("4711".into()),
        call: Some("81".into()),
        remote: Some(GATEWAY.parse().expect("an address")),
        ..MediaStarted::at(PHONE.parse().expect("an address"))
    };
    house.cti(&media.into());
    let odd_port = "10.1.1.20:50000";
    assert_eq!(house.heard(odd_port, GATEWAY, 10), 10);
    assert_eq!(house.heard(GATEWAY, PHONE, 10), 10);
    assert_eq!(
        house.heard(odd_port, "10.1.1.2:16390", 10),
        0,
        "another conversation of the same phone"
    );
    let legs = house.audio(ANNA).into_iter().map(|(header, _)| header.leg);
    assert_eq!(legs.filter(|leg| *leg == Leg::Agent).count(), 10);
    let socket = |text: &str| text.parse::<SocketAddr>().expect("an address");
    assert!(house.engine.monitored().wants(socket(odd_port), socket(GATEWAY)));
}

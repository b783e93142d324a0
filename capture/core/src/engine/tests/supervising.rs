//! Barge-in and intercept through the CTI link (requirements S5).

use silentmon_proto::relay::SuperviseAction;

use super::*;
use crate::link::{LinkCommand, Supervise};

fn able() -> House {
    let mut house = House::new();
    let link = "cisco".into();
    house.link(None);
    house.engine.handle_link_controls(&link, &[SuperviseAction::BargeIn]);
    house.signed_in("4711", "3001", AgentState::Talking);
    house.call("4711", "81", CallEventKind::Established);
    house.media("4711", "81", PHONE);
    house.start(ANNA, "4711", None);
    house
}

fn barge_in(house: &mut House, from: ConnectionId) {
    let session = house.session();
    let message = ClientMessage::Supervise {
        request: 7,
        session,
        action: SuperviseAction::BargeIn,
        device: "3999".into(),
    };
    house.say(from, message);
}

fn answers(house: &House) -> Vec<(ConnectionId, Result<(), String>)> {
    let answer = |(to, message): (ConnectionId, &ServerMessage)| match message {
        ServerMessage::Supervised { request: 7, result } => Some((to, result.clone())),
        _ => None,
    };
    house.messages().filter_map(answer).collect()
}

fn command(house: &House) -> Option<Supervise> {
    house.events.iter().rev().find_map(|event| match event {
        EngineEvent::Command {
            command: LinkCommand::Supervise(command),
            ..
        } => Some(command.clone()),
        _ => None,
    })
}

#[test]
fn a_supervisor_joins_the_call_he_hears_and_goes_on_listening() {
    let mut house = able();
    assert_eq!(house.last_status().controls, [SuperviseAction::BargeIn]);
    barge_in(&mut house, ANNA);
    let command = command(&house).expect("a command");
    assert_eq!((command.device.as_str(), command.call.as_str()), ("3001", "81"));
    assert_eq!(command.supervisor_device, "3999".into());
    assert!(answers(&house).is_empty(), "the link has yet to answer");
    house.engine.handle_link_done(command.number, Ok(()), house.now);
    house.collect();
    assert_eq!(answers(&house), [(ANNA, Ok(()))]);
    assert_eq!(house.heard(PHONE, GATEWAY, 10), 10);
    let recorded = |event: &EngineEvent| event.is_audited() && matches!(event, EngineEvent::SuperviseRequested(_));
    assert_eq!(house.count(recorded), 1);
}

#[test]
fn a_request_for_anothers_session_is_refused() {
    let mut house = able();
    barge_in(&mut house, BERT);
    assert!(matches!(answers(&house)[..], [(BERT, Err(_))]));
    assert_eq!(command(&house), None);
}

#[test]
fn where_the_link_cannot_do_it_the_control_is_absent_and_a_request_refused() {
    let mut house = able();
    house.engine.handle_link_controls(&"cisco".into(), &[]);
    house.call("4711", "81", CallEventKind::Held);
    assert!(house.last_status().controls.is_empty());
    house.call("4711", "81", CallEventKind::Retrieved);
    barge_in(&mut house, ANNA);
    assert!(matches!(answers(&house)[..], [(ANNA, Err(_))]));
    let refused =
        |event: &EngineEvent| matches!(event, EngineEvent::SuperviseRequested(record) if record.refused.is_some());
    assert_eq!(house.count(refused), 1, "a refused request is written down too");
}

#[test]
fn a_call_that_policy_excludes_cannot_be_joined() {
    let mut house = able();
    house.call("4711", "81", CallEventKind::ConnectionCleared);
    let private = CallEvent::of_agent("4711", "90", CallEventKind::Established);
    house.cti(
        &CallEvent {
            acd: Some(false),
            ..private
        }
        .into(),
    );
    house.media("4711", "90", PHONE);
    barge_in(&mut house, ANNA);
    assert_eq!(command(&house), None);
}

#[test]
fn a_link_that_does_not_answer_is_given_up() {
    let mut house = able();
    barge_in(&mut house, ANNA);
    house.pass(Duration::from_secs(20));
    assert!(matches!(answers(&house)[..], [(ANNA, Err(_))]));
}

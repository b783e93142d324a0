use super::*;

fn both() -> Lab {
    let mut settings = settings();
    settings.active_standby = true;
    let mut lab = Lab::new(settings);
    let connects = lab.take_outputs();
    assert_eq!(
        connects,
        [StreamOutput::Connect(Endpoint(A)), StreamOutput::Connect(Endpoint(B))]
    );
    lab.outputs.push(StreamOutput::Connect(Endpoint(A)));
    let request = lab.accept(A);
    assert!(request.services_requested.contains(ServiceMask::ACTIVE_STANDBY));
    lab.outputs.push(StreamOutput::Connect(Endpoint(B)));
    lab.accept_as(B, SessionType::STANDBY);
    lab.take_events();
    lab.take_outputs();
    lab
}

#[test]
fn keeps_a_session_with_the_standby_side() {
    let mut lab = both();
    lab.pass(seconds(5));
    let heartbeats: Vec<_> = lab.take_outputs();
    assert_eq!(heartbeats.len(), 2);
    assert_eq!(lab.take_events(), []);
}

#[test]
fn the_standby_side_takes_over_when_the_active_one_breaks() {
    let mut lab = both();
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    lab.closed(A, Closed::ByPeer);
    let Some(Err(reason)) = lab.take_link() else {
        panic!("expected the link to be down");
    };
    let text = "side A: the source closed the connection; side B: connected, on standby; since 22:13:20 UTC";
    assert_eq!(reason.text, text);
    lab.take_outputs();
    lab.say(B, StandbyActiveEvent::default());
    assert_eq!(lab.take_link(), Some(Ok(())));
    let sent = lab.take_sent(B);
    assert!(matches!(sent.as_slice(), [Message::QueryAgentStateReq(_)]), "{sent:?}");
}

#[test]
fn agrees_to_maintenance_while_the_standby_side_is_there() {
    let mut lab = both();
    let request = ActiveMaintenanceReq {
        invoke_id: InvokeId(7),
        ..ActiveMaintenanceReq::default()
    };
    let answer = |accepted| {
        Message::from(ActiveMaintenanceResp {
            invoke_id: InvokeId(7),
            accepted,
            ..ActiveMaintenanceResp::default()
        })
    };
    lab.say(A, request.clone());
    assert_eq!(lab.take_sent(A), [answer(true)]);
    lab.refused(B);
    lab.take_outputs();
    lab.say(A, request);
    assert_eq!(lab.take_sent(A), [answer(false)]);
}

#[test]
fn hands_over_for_maintenance_without_the_link_going_down() {
    let mut lab = both();
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    lab.take_events();
    lab.say(
        A,
        ActiveMaintenanceEvent {
            proceed: true,
            ..ActiveMaintenanceEvent::default()
        },
    );
    let sent = lab.take_sent(A);
    assert!(
        matches!(sent.as_slice(), [Message::StoppingRequestsToThisSideInd(_)]),
        "{sent:?}"
    );
    lab.pass(seconds(2));
    lab.take_outputs();
    lab.say(B, StandbyActiveEvent::default());
    assert_eq!(lab.take_events(), []);
    assert!(matches!(lab.take_sent(B).as_slice(), [Message::QueryAgentStateReq(_)]));
}

#[test]
fn answers_still_due_are_waited_for_before_a_side_is_left() {
    let mut lab = both();
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    lab.command(LinkCommand::SnapshotDevice("3001".into()));
    let sent = lab.take_sent(A);
    let [Message::SnapshotDeviceReq(request)] = sent.as_slice() else {
        panic!("expected a snapshot, found {sent:?}");
    };
    lab.say(
        A,
        ActiveMaintenanceEvent {
            proceed: true,
            ..ActiveMaintenanceEvent::default()
        },
    );
    assert_eq!(lab.take_sent(A), []);
    lab.say(A, failure(request.invoke_id, Status::INVALID_CALL_ID));
    assert!(matches!(
        lab.take_sent(A).as_slice(),
        [Message::StoppingRequestsToThisSideInd(_)]
    ));
}

#[test]
fn a_handover_that_nobody_takes_up_is_a_link_that_is_down() {
    let mut lab = both();
    lab.say(
        A,
        ActiveMaintenanceEvent {
            proceed: true,
            ..ActiveMaintenanceEvent::default()
        },
    );
    lab.keep_alive(B, seconds(9));
    assert_eq!(lab.take_link(), None);
    lab.pass(seconds(1));
    assert!(matches!(lab.take_link(), Some(Err(_))));
}

#[test]
fn a_lower_version_keeps_one_session_only() {
    let mut settings = settings();
    settings.active_standby = true;
    let mut lab = Lab::new(settings);
    lab.take_outputs();
    lab.outputs.push(StreamOutput::Connect(Endpoint(A)));
    lab.refuse(A, Status::INVALID_VERSION);
    assert_eq!(
        lab.take_outputs(),
        [StreamOutput::Disconnect(Endpoint(A))],
        "side B is under way already"
    );
    lab.outputs.push(StreamOutput::Connect(Endpoint(B)));
    lab.refuse(B, Status::INVALID_VERSION);
    let request = lab.accept(B);
    assert_eq!(request.version_number, ProtocolVersion(23));
    assert!(!request.services_requested.contains(ServiceMask::ACTIVE_STANDBY));
    lab.take_outputs();
    lab.keep_alive(B, seconds(60));
    assert!(
        lab.take_outputs()
            .iter()
            .all(|output| !matches!(output, StreamOutput::Connect(_)))
    );
}

#[test]
fn what_the_old_side_did_not_answer_is_asked_of_the_new_one() {
    let mut lab = both();
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    lab.command(LinkCommand::SnapshotDevice("3001".into()));
    lab.say(B, StandbyActiveEvent::default());
    lab.take_outputs();
    lab.closed(A, Closed::ByPeer);
    let sent = lab.take_sent(B);
    assert!(matches!(sent.as_slice(), [Message::QueryAgentStateReq(_)]), "{sent:?}");
    assert_eq!(lab.take_link(), None, "events flow from the new side");
}

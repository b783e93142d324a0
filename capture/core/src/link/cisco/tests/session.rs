use super::*;

#[test]
fn opens_a_session_with_what_is_configured() {
    let mut lab = Lab::new(settings());
    let request = lab.accept(A);
    assert_eq!(request.version_number, ProtocolVersion(24));
    assert_eq!(request.idle_timeout, Some(20));
    assert_eq!(request.peripheral_id, None);
    assert_eq!(
        request.services_requested,
        ServiceMask::ALL_EVENTS | ServiceMask::CLIENT_CONTROL
    );
    assert_eq!(request.call_message_mask, CallMessageMask(0x00e0_637d));
    assert_eq!(request.agent_state_mask, AgentStateMask(0x3ff));
    assert_eq!(request.floating.text(Tag::CLIENT_ID).as_deref(), Some("client"));
    assert_eq!(request.floating.bytes(Tag::CLIENT_PASSWORD), Some(b"secret".as_slice()));
    assert_eq!(request.floating.text(Tag::CLIENT_SIGNATURE), None);
    assert_eq!(lab.take_link(), Some(Ok(())));
}

#[test]
fn goes_down_the_versions_on_the_same_side_without_waiting_and_remembers() {
    let mut lab = Lab::new(settings());
    for version in [24, 23, 22, 21, 20] {
        let request = lab.refuse(A, Status::INVALID_VERSION);
        assert_eq!(request.version_number, ProtocolVersion(version));
    }
    let request = lab.accept(A);
    assert_eq!(request.version_number, ProtocolVersion(19));
    assert_eq!(lab.take_link(), Some(Ok(())), "nothing was down meanwhile");
    lab.closed(A, Closed::ByPeer);
    lab.refused(B);
    lab.pass(seconds(2));
    assert_eq!(lab.accept(A).version_number, ProtocolVersion(19));
}

#[test]
fn says_so_when_no_version_is_accepted_and_begins_again_at_the_top() {
    let mut settings = settings();
    settings.lowest_version = ProtocolVersion(23);
    settings.sides = super::super::Sides::A;
    let mut lab = Lab::new(settings);
    lab.refuse(A, Status::INVALID_VERSION);
    lab.refuse(A, Status::INVALID_VERSION);
    let text = "side A: The CTI Server doesn't speak the protocol version asked for (status 1); since 22:13:20 UTC";
    assert_eq!(lab.take_link(), Some(down(Code::CtiRefused, text)));
    lab.pass(seconds(80));
    assert_eq!(lab.accept(A).version_number, ProtocolVersion(24));
}

#[test]
fn sends_heartbeats_and_goes_on_while_they_are_answered() {
    let mut lab = Lab::open();
    lab.pass(seconds(5));
    let sent = lab.take_sent(A);
    assert!(matches!(sent.as_slice(), [Message::HeartbeatReq(_)]), "{sent:?}");
    lab.keep_alive(A, seconds(300));
    assert_eq!(lab.take_events(), []);
}

#[test]
fn three_unanswered_heartbeats_end_a_half_open_session_after_twenty_seconds() {
    let mut lab = Lab::open();
    lab.pass(seconds(19));
    assert_eq!(lab.take_sent(A).len(), 3);
    assert_eq!(lab.take_link(), None);
    lab.pass(seconds(1));
    let text = "side A: 3 heartbeats unanswered; since 22:13:40 UTC";
    assert_eq!(lab.take_link(), Some(down(Code::CtiLinkDown, text)));
    assert_eq!(
        lab.take_outputs(),
        [
            StreamOutput::Disconnect(Endpoint(A)),
            StreamOutput::Connect(Endpoint(B))
        ]
    );
}

#[test]
fn a_refused_heartbeat_ends_the_session() {
    let mut lab = Lab::open();
    lab.pass(seconds(5));
    let Some(Message::HeartbeatReq(request)) = lab.take_sent(A).pop() else {
        panic!("expected a heartbeat");
    };
    lab.say(A, failure(request.invoke_id, Status::CTI_SERVER_OFFLINE));
    let text = "side A: The CTI Server is off-line (status 15); since 22:13:25 UTC";
    assert_eq!(lab.take_link(), Some(down(Code::CtiLinkDown, text)));
}

#[test]
fn gives_up_a_session_that_does_not_open_within_half_a_minute() {
    let mut lab = Lab::new(settings());
    lab.opening(A);
    lab.pass(seconds(30));
    assert_eq!(lab.take_outputs(), [StreamOutput::Disconnect(Endpoint(A))]);
    let text = "side A: no answer to OPEN_REQ within 30 s; since 22:13:20 UTC";
    assert_eq!(lab.take_link(), Some(down(Code::CtiLinkDown, text)));
}

#[test]
fn a_session_without_all_events_is_a_wrong_configuration() {
    let mut lab = Lab::new(settings());
    let request = lab.opening(A);
    lab.say(
        A,
        OpenConf {
            invoke_id: request.invoke_id,
            services_granted: ServiceMask::CLIENT_CONTROL,
            ..OpenConf::default()
        },
    );
    let text = "side A: the CTI Server doesn't grant the All Events service; since 22:13:20 UTC";
    assert_eq!(lab.take_link(), Some(down(Code::CtiRefused, text)));
}

#[test]
fn a_damaged_stream_is_reset_and_opened_anew() {
    let mut lab = Lab::open();
    lab.take_outputs();
    lab.bytes(A, &[0xff; 16]);
    assert_eq!(
        lab.take_outputs(),
        [
            StreamOutput::Disconnect(Endpoint(A)),
            StreamOutput::Connect(Endpoint(B))
        ]
    );
    let Some(Err(reason)) = lab.take_link() else {
        panic!("expected the link to be down");
    };
    assert!(reason.text.starts_with("side A: the stream was damaged"), "{reason}");
}

#[test]
fn a_message_that_cannot_be_read_is_skipped() {
    let mut lab = Lab::open();
    lab.bytes(A, &[0, 0, 0, 2, 0, 0, 0, 30, 1, 2]);
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    assert_eq!(lab.take_cti(), [agent("1001", State::Available)]);
}

#[test]
fn messages_may_come_in_any_portions() {
    let mut lab = Lab::open();
    let message = Message::from(agent_state("1001", AgentState::AVAILABLE));
    for byte in message.encode(lab.version).expect("a message") {
        lab.bytes(A, &[byte]);
    }
    assert_eq!(lab.take_cti(), [agent("1001", State::Available)]);
}

#[test]
fn says_goodbye_and_waits_for_the_answer() {
    let mut lab = Lab::open();
    lab.take_outputs();
    lab.link.close(lab.now);
    lab.drain();
    let sent = lab.take_sent(A);
    let [Message::CloseReq(request)] = sent.as_slice() else {
        panic!("expected CLOSE_REQ, found {sent:?}");
    };
    assert_eq!(request.status, Status::NO_ERROR);
    let invoke_id = request.invoke_id;
    lab.say(
        A,
        CloseConf {
            invoke_id,
            ..CloseConf::default()
        },
    );
    assert_eq!(lab.take_outputs(), [StreamOutput::Disconnect(Endpoint(A))]);
    assert_eq!(lab.link.poll_timeout(), None);
}

#[test]
fn waits_only_five_seconds_for_the_answer_to_a_goodbye() {
    let mut lab = Lab::open();
    lab.link.close(lab.now);
    lab.drain();
    lab.take_outputs();
    lab.pass(seconds(5));
    assert_eq!(lab.take_outputs(), [StreamOutput::Disconnect(Endpoint(A))]);
    lab.pass(seconds(100));
    assert_eq!(lab.take_outputs(), []);
}

#[test]
fn reconnects_on_request_from_the_top_of_the_versions() {
    let mut lab = Lab::new(settings());
    lab.refuse(A, Status::INVALID_VERSION);
    lab.accept(A);
    lab.take_outputs();
    lab.command(LinkCommand::Reconnect);
    assert!(matches!(lab.take_sent(A).as_slice(), [Message::CloseReq(_)]));
    lab.say(A, CloseConf::default());
    assert_eq!(lab.accept(A).version_number, ProtocolVersion(24));
    assert_eq!(lab.take_link(), Some(Ok(())));
}

#[test]
fn a_failure_told_for_people_to_know_ends_nothing() {
    let mut lab = Lab::open();
    let status = Status::CALL_MANAGER_PROBLEM;
    lab.say(
        A,
        FailureEvent {
            status,
            ..FailureEvent::default()
        },
    );
    assert_eq!(lab.take_link(), None);
    lab.say(A, agent_state("1001", AgentState::AVAILABLE));
    assert_eq!(lab.take_cti(), [agent("1001", State::Available)]);
}

//! Session, monitors, heartbeats, snapshots, reconnecting.

use silentmon_proto::cti::csta::{LoginShape, SessionLogin};
use silentmon_proto::cti::{CallEventKind, DeviceSnapshot, SnapshotCall};
use silentmon_proto::ids::AgentId;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn with_login(shape: LoginShape) -> CstaSettings {
    let login = SessionLogin {
        shape,
        user: "qmon".into(),
        password: "s3cret".into(),
        session_id: None,
    };
    CstaSettings {
        session: Some(SessionSettings {
            login: Some(login),
            ..SessionSettings::default()
        }),
        ..settings(&["3001"])
    }
}

#[test]
fn opens_a_session_then_monitors_each_device_and_asks_for_its_calls() {
    let mut rig = Rig::new(settings(&["3001", "3002"]));
    rig.connect();
    assert_eq!(rig.events(), [], "not up before the session is");
    let start = rig.accept_session("s1", 600);
    assert_eq!(start.text(&["applicationInfo", "applicationID"]), "silentmon");
    assert_eq!(start.text(&["requestedSessionDuration"]), "600");
    assert_eq!(rig.link_state(), None);
    let first = rig.next("MonitorStart");
    assert_eq!(first.text(&["monitorObject", "deviceObject"]), "3001");
    let second = rig.next("MonitorStart");
    rig.say(first.id, &monitor_started("17"));
    let snapshot = rig.next("SnapshotDevice");
    assert_eq!(snapshot.text(&["snapshotObject"]), "3001");
    rig.say(second.id, &monitor_started("18"));
    assert_eq!(rig.link.monitored(), 2);
}

#[test]
fn both_shapes_of_a_vendors_login_are_sent() {
    let mut rig = Rig::new(with_login(LoginShape::OpenScapeBusiness));
    rig.connect();
    let start = rig.next("StartApplicationSession");
    let specific = ["applicationInfo", "applicationSpecificInfo", "user"];
    assert_eq!(start.text(&specific), "qmon");
    let mut rig = Rig::new(with_login(LoginShape::Avaya));
    rig.connect();
    let start = rig.next("StartApplicationSession");
    let info = start.element.descendant("SessionLoginInfo").expect("the login");
    assert_eq!(info.child_text("userName"), Some("qmon"));
    assert_eq!(info.child_text("password"), Some("s3cret"));
    assert_eq!(info.child_text("sessionID"), None);
}

#[test]
fn a_refused_session_is_told_in_words_and_tried_again_after_a_pause() {
    let mut rig = Rig::new(settings(&["3001"]));
    rig.connect();
    rig.answer(
        "StartApplicationSession",
        "<StartApplicationSessionNegResponse><errorCode><definedError>invalidApplicationInfo</definedError></errorCode>\
         </StartApplicationSessionNegResponse>",
    );
    let CtiEvent::Link(update) = rig.only_cti() else {
        panic!("no link event")
    };
    let down = update.down.expect("down");
    assert_eq!(down.code, Code::CtiRefused);
    assert!(down.text.contains("user or password is wrong"), "{}", down.text);
    assert_eq!(rig.done.pop_front(), Some(StreamOutput::Disconnect(Endpoint(0))));
    rig.pass(SECOND * 2);
    assert_eq!(rig.done.pop_front(), Some(StreamOutput::Connect(Endpoint(0))));
}

#[test]
fn a_switch_that_answers_nothing_is_given_up_and_the_next_place_is_tried() {
    let mut rig = Rig::new(CstaSettings {
        endpoints: 2,
        ..settings(&["3001"])
    });
    rig.connect();
    rig.pass(SECOND * 10);
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    assert_eq!(rig.done.pop_front(), Some(StreamOutput::Disconnect(Endpoint(0))));
    rig.pass(SECOND * 2);
    assert_eq!(rig.endpoint, Endpoint(1));
    rig.connect();
    rig.accept_session("s1", 600);
    assert_eq!(rig.link_state(), None);
}

#[test]
fn a_plain_port_an_unreachable_one_and_a_refusal_have_codes_of_their_own() {
    for (why, code) in [
        (Closed::PlainPort(vec![0, 0]), Code::CtiPortIsPlain),
        (Closed::Unreachable("connection refused".into()), Code::CtiLinkDown),
        (Closed::Tls("bad certificate".into()), Code::CtiLinkDown),
    ] {
        let mut rig = Rig::new(settings(&["3001"]));
        rig.close(why.clone());
        assert_eq!(rig.link_state(), Some(code), "{why}");
        rig.pass(SECOND * 2);
        rig.close(why);
        assert_eq!(rig.events(), [], "the same isn't told twice");
    }
}

#[test]
fn a_session_is_renewed_every_half_of_what_the_switch_grants() {
    let mut rig = Rig::new(settings(&[]));
    rig.connect();
    rig.accept_session("s1", 120);
    rig.pass(SECOND * 59);
    assert!(rig.received.is_empty());
    rig.pass(SECOND);
    let renewal = rig.answer(
        "ResetApplicationSessionTimer",
        "<ResetApplicationSessionTimerPosResponse><actualSessionDuration>40</actualSessionDuration>\
         </ResetApplicationSessionTimerPosResponse>",
    );
    assert_eq!(renewal.text(&["sessionID"]), "s1");
    rig.pass(SECOND * 20);
    rig.next("ResetApplicationSessionTimer");
}

#[test]
fn a_renewal_without_answer_is_sent_again_and_a_refused_one_opens_a_new_session() {
    let mut rig = Rig::new(settings(&[]));
    rig.connect();
    rig.accept_session("s1", 120);
    rig.events();
    rig.pass(SECOND * 60);
    rig.next("ResetApplicationSessionTimer");
    rig.pass(SECOND * 10);
    rig.answer(
        "ResetApplicationSessionTimer",
        "<ResetApplicationSessionTimerNegResponse><errorCode><definedError>invalidSessionID</definedError></errorCode>\
         </ResetApplicationSessionTimerNegResponse>",
    );
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    rig.done.clear();
    rig.pass(SECOND * 2);
    rig.done.clear();
    rig.done.push_back(StreamOutput::Connect(rig.endpoint));
    rig.connect();
    rig.accept_session("s2", 120);
    assert_eq!(rig.link_state(), None);
}

#[test]
fn the_switchs_system_status_is_answered_under_its_own_id() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.say(4711, "<SystemStatus><systemStatus>normal</systemStatus></SystemStatus>");
    assert_eq!(rig.next("SystemStatusResponse").id, 4711);
    assert_eq!(rig.events(), []);
}

#[test]
fn lost_messages_and_the_end_of_a_pause_ask_for_all_calls_anew() {
    let mut rig = Rig::up(settings(&["3001", "3002"]));
    rig.say(
        1,
        "<SystemStatus><systemStatus>messagesLost</systemStatus></SystemStatus>",
    );
    rig.next("SystemStatusResponse");
    rig.answer("SnapshotDevice", &snapshot_of(&[]));
    rig.answer("SnapshotDevice", &snapshot_of(&[]));
    rig.events();
    rig.say(2, "<SystemStatus><systemStatus>disabled</systemStatus></SystemStatus>");
    rig.next("SystemStatusResponse");
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    rig.say(3, "<SystemStatus><systemStatus>enabled</systemStatus></SystemStatus>");
    rig.next("SystemStatusResponse");
    assert_eq!(rig.link_state(), None);
    assert_eq!(rig.received.len(), 2);
}

#[test]
fn registers_for_system_status_where_wanted() {
    let mut rig = Rig::new(CstaSettings {
        system_register: true,
        ..settings(&[])
    });
    rig.connect();
    rig.accept_session("s1", 600);
    rig.answer(
        "SystemRegister",
        "<SystemRegisterResponse><sysStatRegisterID>1</sysStatRegisterID></SystemRegisterResponse>",
    );
    assert!(rig.received.is_empty());
}

#[test]
fn three_unanswered_heartbeats_end_the_connection_after_twenty_seconds() {
    let mut rig = Rig::up(CstaSettings {
        heartbeat: SECOND * 5,
        ..settings(&[])
    });
    let up = rig.now;
    for _ in 0..3 {
        rig.pass(SECOND * 5);
        rig.next("RequestSystemStatus");
    }
    rig.pass(Duration::from_millis(4_999));
    assert_eq!(rig.events(), []);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.now - up, SECOND * 20);
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    assert_eq!(rig.done.pop_front(), Some(StreamOutput::Disconnect(Endpoint(0))));
}

#[test]
fn an_answered_heartbeat_or_any_other_document_keeps_the_connection() {
    let mut rig = Rig::up(CstaSettings {
        heartbeat: SECOND * 5,
        ..settings(&[])
    });
    for _ in 0..20 {
        rig.pass(SECOND * 5);
        rig.answer("RequestSystemStatus", "<RequestSystemStatusResponse/>");
    }
    for _ in 0..20 {
        rig.pass(SECOND * 5);
        rig.answer("RequestSystemStatus", &refused("operation", "serviceNotSupported"));
    }
    for _ in 0..20 {
        rig.pass(SECOND * 5);
        rig.next("RequestSystemStatus");
        rig.say(9999, "<SomethingNew/>");
    }
    assert_eq!(rig.events(), []);
}

#[test]
fn an_interval_of_zero_turns_heartbeats_off() {
    let mut rig = Rig::up(CstaSettings {
        heartbeat: Duration::ZERO,
        session: None,
        ..settings(&[])
    });
    rig.pass(SECOND * 3600);
    assert!(rig.received.is_empty());
    assert_eq!(rig.link.poll_timeout(), None);
}

#[test]
fn without_a_session_the_switch_is_only_asked_for_its_status() {
    let mut rig = Rig::new(CstaSettings {
        session: None,
        ..settings(&["3001"])
    });
    rig.connect();
    rig.answer("RequestSystemStatus", &refused("operation", "serviceNotSupported"));
    assert_eq!(rig.link_state(), None);
    rig.next("MonitorStart");
}

#[test]
fn a_refused_monitor_is_told_in_words_and_asked_for_again_with_growing_pauses() {
    let mut rig = Rig::new(settings(&["3001", "3002"]));
    rig.connect();
    rig.accept_session("s1", 600);
    let first = rig.next("MonitorStart");
    let second = rig.next("MonitorStart");
    rig.say(first.id, &refused("operation", "invalidDeviceID"));
    rig.say(second.id, &monitor_started("18"));
    rig.accept_all();
    let refusals: Vec<_> = rig
        .link
        .refused()
        .map(|(device, why)| (device.to_string(), why.to_owned()))
        .collect();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].0, "3001");
    assert!(refusals[0].1.contains("doesn't know this device"), "{}", refusals[0].1);
    rig.pass(SECOND * 7);
    assert!(rig.received.is_empty());
    rig.pass(SECOND * 6);
    rig.answer("MonitorStart", &refused("operation", "invalidDeviceID"));
    rig.pass(SECOND * 14);
    assert!(rig.received.is_empty(), "the second pause is longer");
    rig.pass(SECOND * 12);
    rig.answer("MonitorStart", &monitor_started("17"));
    assert_eq!(rig.link.refused().count(), 0);
    rig.next("SnapshotDevice");
}

#[test]
fn at_most_ten_requests_of_setting_up_wait_and_each_has_its_pause() {
    let devices: Vec<String> = (0..50).map(|number| (3000 + number).to_string()).collect();
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let mut rig = Rig::new(settings(&devices));
    rig.connect();
    rig.accept_session("s1", 600);
    assert_eq!(rig.received.len(), 10);
    rig.accept_all();
    assert_eq!(rig.link.monitored(), 50);
    let mut rig = Rig::new(CstaSettings {
        request_pause: Duration::from_millis(100),
        ..settings(&devices)
    });
    rig.connect();
    rig.accept_session("s1", 600);
    assert_eq!(rig.received.len(), 1);
    rig.pass(Duration::from_millis(250));
    assert_eq!(rig.received.len(), 3);
}

#[test]
fn a_monitor_that_the_switch_ends_is_answered_and_started_again() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.say(
        5,
        "<MonitorStop><monitorCrossRefID>3001</monitorCrossRefID></MonitorStop>",
    );
    assert_eq!(rig.next("MonitorStopResponse").id, 5);
    assert_eq!(rig.link.monitored(), 0);
    rig.pass(SECOND * 13);
    rig.next("MonitorStart");
}

#[test]
fn a_monitor_that_starts_too_late_is_stopped() {
    let mut rig = Rig::new(settings(&["3001"]));
    rig.connect();
    rig.accept_session("s1", 600);
    let first = rig.next("MonitorStart");
    rig.pass(SECOND * 10);
    rig.say(first.id, &monitor_started("17"));
    assert_eq!(rig.next("MonitorStop").text(&["monitorCrossRefID"]), "17");
}

#[test]
fn a_broken_connection_takes_up_the_old_session_and_starts_its_monitors_anew() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.close(Closed::ByPeer);
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    rig.pass(SECOND * 2);
    rig.connect();
    let resume = rig.answer(
        "ResetApplicationSessionTimer",
        "<ResetApplicationSessionTimerPosResponse/>",
    );
    assert_eq!(resume.text(&["sessionID"]), "s1");
    assert_eq!(rig.link_state(), None);
    assert_eq!(rig.next("MonitorStop").text(&["monitorCrossRefID"]), "3001");
    rig.answer("MonitorStart", &monitor_started("18"));
    rig.answer("SnapshotDevice", &snapshot_of(&[]));
}

#[test]
fn a_session_that_is_gone_is_replaced_by_a_new_one() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.close(Closed::ByPeer);
    rig.pass(SECOND * 2);
    rig.connect();
    rig.answer(
        "ResetApplicationSessionTimer",
        &refused("operation", "invalidSessionID"),
    );
    rig.accept_session("s2", 600);
    rig.next("MonitorStart");
    assert!(rig.received.is_empty(), "the old monitors went with their session");
}

#[test]
fn an_avaya_login_names_the_old_session_whose_monitors_go_on() {
    let mut rig = Rig::up(with_login(LoginShape::Avaya));
    rig.close(Closed::ByPeer);
    rig.pass(SECOND * 2);
    rig.connect();
    let start = rig.accept_session("s1", 600);
    let info = start.element.descendant("SessionLoginInfo").expect("the login");
    assert_eq!(info.child_text("sessionID"), Some("s1"));
    rig.answer("SnapshotDevice", &snapshot_of(&[]));
    assert!(rig.received.is_empty());
    assert_eq!(rig.link.monitored(), 1);
    rig.close(Closed::ByPeer);
    rig.pass(SECOND * 3);
    rig.connect();
    rig.accept_session("another", 600);
    rig.next("MonitorStart");
}

#[test]
fn a_session_that_the_switch_terminates_is_opened_anew() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.say(
        9999,
        "<ApplicationSessionTerminated><sessionID>s1</sessionID></ApplicationSessionTerminated>",
    );
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    rig.done.clear();
    rig.pass(SECOND * 2);
    rig.connect();
    rig.next("StartApplicationSession");
}

#[test]
fn a_stream_that_is_no_csta_is_reset() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.link
        .handle_bytes(rig.endpoint, b"HTTP/1.1 400 Bad Request\r\n", rig.now);
    rig.collect();
    assert_eq!(rig.link_state(), Some(Code::CtiLinkDown));
    assert_eq!(rig.done.pop_front(), Some(StreamOutput::Disconnect(Endpoint(0))));
}

#[test]
fn closing_stops_monitors_and_session_and_waits_for_the_answer() {
    let mut rig = Rig::up(settings(&["3001", "3002"]));
    rig.link.close(rig.now);
    rig.collect();
    rig.next("MonitorStop");
    rig.next("MonitorStop");
    assert_eq!(rig.done, []);
    let stop = rig.answer("StopApplicationSession", "<StopApplicationSessionPosResponse/>");
    assert_eq!(stop.text(&["sessionEndReason", "definedEndReason"]), "normal");
    assert_eq!(rig.done, [StreamOutput::Disconnect(Endpoint(0))]);
    assert_eq!(rig.link.poll_timeout(), None);
}

#[test]
fn closing_does_not_wait_for_ever() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.link.close(rig.now);
    rig.pass(SECOND * 5);
    assert_eq!(rig.done, [StreamOutput::Disconnect(Endpoint(0))]);
    assert_eq!(rig.link.poll_timeout(), None);
    let mut rig = Rig::new(settings(&["3001"]));
    rig.close(Closed::ByPeer);
    rig.done.clear();
    rig.link.close(rig.now);
    assert_eq!(rig.link.poll_timeout(), None);
    assert_eq!(rig.link.poll_output(), None);
}

#[test]
fn a_damaged_stream_while_closing_does_not_bring_the_link_back() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.link.close(rig.now);
    rig.link.handle_bytes(rig.endpoint, b"no CSTA at all", rig.now);
    rig.collect();
    assert_eq!(rig.done, [StreamOutput::Disconnect(Endpoint(0))]);
    assert_eq!(rig.link.poll_timeout(), None);
}

#[test]
fn reconnecting_ends_the_session_and_opens_a_new_one() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.command(LinkCommand::Reconnect);
    rig.next("MonitorStop");
    rig.answer("StopApplicationSession", "<StopApplicationSessionPosResponse/>");
    assert_eq!(rig.done.pop_front(), Some(StreamOutput::Disconnect(Endpoint(0))));
    rig.connect();
    rig.accept_session("s2", 600);
    rig.next("MonitorStart");
}

#[test]
fn a_snapshot_on_command_replaces_a_devices_calls() {
    let mut rig = Rig::up(settings(&["tel:3001"]));
    rig.command(LinkCommand::SnapshotDevice(Extension::new("3001")));
    let asked = rig.answer(
        "SnapshotDevice",
        &snapshot_of(&[("81", "callEstablishedHeld"), ("82", "callReceived")]),
    );
    assert_eq!(asked.text(&["snapshotObject"]), "tel:3001", "as configured");
    let call = |call: &str, kind| SnapshotCall {
        call: call.into(),
        kind,
        acd: None,
    };
    let expected = DeviceSnapshot {
        device: "3001".into(),
        calls: vec![call("81", CallEventKind::Held), call("82", CallEventKind::Delivered)],
    };
    assert_eq!(rig.cti(), [CtiEvent::DeviceSnapshot(expected)]);
}

#[test]
fn a_snapshot_in_parts_is_told_once_it_is_complete() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.command(LinkCommand::SnapshotDevice(Extension::new("3001")));
    rig.answer(
        "SnapshotDevice",
        "<SnapshotDeviceResponse><crossRefIDorSnapshotData><serviceCrossRefID>9</serviceCrossRefID>\
         </crossRefIDorSnapshotData></SnapshotDeviceResponse>",
    );
    for (call, last) in [("81", false), ("82", true)] {
        assert_eq!(rig.events(), []);
        rig.say(
            9999,
            &format!(
                "<SnapshotDeviceData><serviceCrossRefID>9</serviceCrossRefID><lastSegment>{last}</lastSegment>\
                 <snapshotData><snapshotDeviceResponseInfo><connectionIdentifier><callID>{call}</callID>\
                 </connectionIdentifier><localCallState><simpleCallState>callEstablished</simpleCallState>\
                 </localCallState></snapshotDeviceResponseInfo></snapshotData></SnapshotDeviceData>"
            ),
        );
    }
    let CtiEvent::DeviceSnapshot(snapshot) = rig.only_cti() else {
        panic!("no snapshot")
    };
    assert_eq!(snapshot.calls.len(), 2);
}

#[test]
fn a_call_whose_state_a_snapshot_leaves_out_is_asked_for_by_itself() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.command(LinkCommand::SnapshotDevice(Extension::new("3001")));
    rig.answer("SnapshotDevice", &snapshot_of(&[("81", "somethingNew")]));
    rig.events();
    let asked = rig.answer(
        "SnapshotCall",
        "<SnapshotCallResponse><crossRefIDorSnapshotData><snapshotData><snapshotCallResponseInfo><deviceOnCall>\
         <deviceIdentifier>3002</deviceIdentifier></deviceOnCall><connectionIdentifier><callID>81</callID>\
         <deviceID>3002</deviceID></connectionIdentifier><localConnectionState>connected</localConnectionState>\
         </snapshotCallResponseInfo><snapshotCallResponseInfo><connectionIdentifier><callID>81</callID>\
         <deviceID>3001</deviceID></connectionIdentifier><localConnectionState>hold</localConnectionState>\
         </snapshotCallResponseInfo></snapshotData></crossRefIDorSnapshotData></SnapshotCallResponse>",
    );
    assert_eq!(asked.text(&["snapshotObject", "callID"]), "81");
    let CtiEvent::Call(call) = rig.only_cti() else {
        panic!("no call event")
    };
    assert_eq!(call.kind, CallEventKind::Held);
}

fn barge_in(number: u64, action: SuperviseAction) -> LinkCommand {
    LinkCommand::Supervise(Supervise {
        number,
        action,
        agent: AgentId::new("4711"),
        device: Extension::new("3001"),
        call: CallId::new("81"),
        supervisor_device: Extension::new("3999"),
    })
}

fn done(number: u64, result: Result<(), &str>) -> LinkEvent {
    LinkEvent::Done {
        number,
        result: result.map_err(str::to_owned),
    }
}

#[test]
fn barging_in_is_a_single_step_conference_with_the_connection_as_the_switch_writes_it() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.event(
        "EstablishedEvent",
        "3001",
        "<establishedConnection><callID>81</callID><deviceID>N&lt;3001&gt;;x</deviceID></establishedConnection>",
    );
    rig.events();
    rig.command(barge_in(5, SuperviseAction::BargeIn));
    let asked = rig.answer("SingleStepConferenceCall", "<SingleStepConferenceCallResponse/>");
    assert_eq!(asked.text(&["activeCall", "callID"]), "81");
    assert_eq!(asked.text(&["activeCall", "deviceID"]), "N<3001>;x");
    assert_eq!(asked.text(&["deviceToJoin"]), "3999");
    assert_eq!(asked.text(&["participationType"]), "active");
    assert_eq!(rig.events(), [done(5, Ok(()))]);
}

#[test]
fn a_barge_in_that_fails_says_why() {
    let mut rig = Rig::up(settings(&["3001"]));
    rig.command(barge_in(1, SuperviseAction::Intercept));
    assert_eq!(
        rig.events(),
        [done(1, Err("CSTA has no service to take over another's call"))]
    );
    rig.command(barge_in(2, SuperviseAction::BargeIn));
    rig.answer(
        "SingleStepConferenceCall",
        &refused("stateIncompatibility", "noActiveCall"),
    );
    let words = "the object is in the wrong state: no active call (noActiveCall)";
    assert_eq!(rig.events(), [done(2, Err(words))]);
    rig.command(barge_in(3, SuperviseAction::BargeIn));
    rig.pass(SECOND * 10);
    assert_eq!(rig.events(), [done(3, Err("the switch doesn't answer"))]);
    rig.command(barge_in(4, SuperviseAction::BargeIn));
    rig.close(Closed::ByPeer);
    assert_eq!(rig.events()[0], done(4, Err("the CTI link broke")));
    rig.command(barge_in(5, SuperviseAction::BargeIn));
    assert_eq!(rig.events(), [done(5, Err("the CTI link is down"))]);
}

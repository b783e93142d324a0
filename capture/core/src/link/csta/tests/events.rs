//! What events mean: calls, release tracking, conference and transfer, agents.

use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind as Kind, CallRenamed, ReleasingParty,
};

use super::*;

/// An event of a call's connection; `local` is how the monitored device stands then.
fn connection(name: &str, call: &str, device: &str, local: &str, more: &str) -> (String, String) {
    let element = match name {
        "ServiceInitiatedEvent" => "initiatedConnection",
        "OriginatedEvent" => "originatedConnection",
        "EstablishedEvent" => "establishedConnection",
        "HeldEvent" => "heldConnection",
        "RetrievedEvent" => "retrievedConnection",
        "ConnectionClearedEvent" => "droppedConnection",
        "QueuedEvent" => "queuedConnection",
        "FailedEvent" => "failedConnection",
        "NetworkReachedEvent" => "outboundConnection",
        _ => "connection",
    };
    let body = format!(
        "<{element}><callID>{call}</callID><deviceID>{device}</deviceID></{element}>{more}\
         <localConnectionInfo>{local}</localConnectionInfo>"
    );
    (name.to_owned(), body)
}

fn releasing(device: &str) -> String {
    format!("<releasingDevice><deviceIdentifier>{device}</deviceIdentifier></releasingDevice>")
}

fn tell(rig: &mut Rig, monitor: &str, (name, body): (String, String)) -> Vec<CtiEvent> {
    rig.event(&name, monitor, &body);
    rig.cti()
}

/// What a monitor of 3001 makes of these events of one call.
fn kinds(events: &[(&str, &str, &str)]) -> Vec<Vec<Kind>> {
    let mut rig = Rig::up(settings(&["3001"]));
    let mut told = Vec::new();
    for (name, device, local) in events {
        let cti = tell(&mut rig, "3001", connection(name, "81", device, local, ""));
        told.push(cti.iter().map(kind_of).collect());
    }
    told
}

fn kind_of(event: &CtiEvent) -> Kind {
    match event {
        CtiEvent::Call(call) => {
            assert_eq!(
                call.device,
                Some("3001".into()),
                "only the monitored device's connections"
            );
            call.kind
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_inbound_call_is_told_as_it_happens_to_the_device() {
    let told = kinds(&[
        ("DeliveredEvent", "N&lt;3001&gt;;noa=nk", "alerting"),
        ("EstablishedEvent", "3001", "connected"),
        ("HeldEvent", "tel:3001", "hold"),
        ("RetrievedEvent", "sip:3001", "connected"),
        ("HeldEvent", "9000", "connected"),
        ("RetrievedEvent", "9000", "connected"),
        ("ConnectionClearedEvent", "3001", "null"),
    ]);
    let expected: [&[Kind]; 7] = [
        &[Kind::Delivered],
        &[Kind::Established],
        &[Kind::Held],
        &[Kind::Retrieved],
        &[],
        &[],
        &[Kind::ConnectionCleared],
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_outbound_call_is_established_when_the_other_side_answers() {
    let told = kinds(&[
        ("ServiceInitiatedEvent", "3001", "initiated"),
        ("OriginatedEvent", "3001", "connected"),
        ("NetworkReachedEvent", "T1", "connected"),
        ("DeliveredEvent", "9000", "connected"),
        ("EstablishedEvent", "9000", "connected"),
        ("EstablishedEvent", "9001", "connected"),
        ("ConnectionClearedEvent", "9000", "connected"),
        ("ConnectionClearedEvent", "3001", "null"),
    ]);
    let expected: [&[Kind]; 8] = [
        &[Kind::ServiceInitiated],
        &[Kind::Originated],
        &[Kind::NetworkReached],
        &[],
        &[Kind::Established],
        &[],
        &[],
        &[Kind::ConnectionCleared],
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_call_that_is_first_heard_of_through_another_connection_is_told_as_it_stands_here() {
    for (name, local, kind) in [
        ("DeliveredEvent", "connected", Some(Kind::Originated)),
        ("EstablishedEvent", "connected", Some(Kind::Established)),
        ("HeldEvent", "connected", Some(Kind::Established)),
        ("HeldEvent", "hold", Some(Kind::Held)),
        ("ConnectionClearedEvent", "connected", Some(Kind::Established)),
        ("ConnectionClearedEvent", "null", None),
        ("QueuedEvent", "queued", Some(Kind::Queued)),
    ] {
        let expected: Vec<Kind> = kind.into_iter().collect();
        assert_eq!(kinds(&[(name, "9000", local)]), [expected], "{name} {local}");
    }
}

#[test]
fn a_diverted_a_queued_and_a_failed_call_are_told() {
    let told = kinds(&[
        ("QueuedEvent", "3001", "queued"),
        ("DeliveredEvent", "3001", "alerting"),
        ("DivertedEvent", "3001", "null"),
    ]);
    assert_eq!(told, [[Kind::Queued], [Kind::Delivered], [Kind::Diverted]]);
    let told = kinds(&[
        ("OriginatedEvent", "3001", "connected"),
        ("FailedEvent", "9000", "connected"),
    ]);
    assert_eq!(told, [[Kind::Originated], [Kind::Failed]]);
}

#[test]
fn numbers_and_the_queue_hint_come_along_and_the_hint_stays() {
    let mut rig = Rig::up(settings(&["3001"]));
    let more = "<callingDevice><deviceIdentifier>N&lt;5551234&gt;;noa=nk</deviceIdentifier></callingDevice>\
                <calledDevice><deviceIdentifier>8001</deviceIdentifier></calledDevice>\
                <callCharacteristics><acdCall>true</acdCall></callCharacteristics>";
    let delivered = tell(
        &mut rig,
        "3001",
        connection("DeliveredEvent", "81", "3001", "alerting", more),
    );
    let expected = CallEvent {
        acd: Some(true),
        calling: Some("5551234".into()),
        called: Some("8001".into()),
        ..CallEvent::of_device("3001", "81", Kind::Delivered)
    };
    assert_eq!(delivered, [CtiEvent::Call(expected)]);
    let established = tell(
        &mut rig,
        "3001",
        connection("EstablishedEvent", "81", "3001", "connected", ""),
    );
    let [CtiEvent::Call(call)] = established.as_slice() else {
        panic!("{established:?}")
    };
    assert_eq!(call.acd, Some(true));
}

#[test]
fn call_information_that_a_call_is_of_the_queue_is_told_once() {
    let mut rig = Rig::up(settings(&["3001"]));
    tell(
        &mut rig,
        "3001",
        connection("EstablishedEvent", "81", "3001", "connected", ""),
    );
    let information = || {
        let hint = "<callCharacteristics><acdCall>true</acdCall></callCharacteristics>";
        connection("CallInformationEvent", "81", "3001", "connected", hint)
    };
    let expected = CallEvent {
        acd: Some(true),
        ..CallEvent::of_device("3001", "81", Kind::Established)
    };
    assert_eq!(tell(&mut rig, "3001", information()), [CtiEvent::Call(expected)]);
    assert_eq!(tell(&mut rig, "3001", information()), []);
}

fn released_by(events: &[CtiEvent]) -> Option<ReleasingParty> {
    match events {
        [CtiEvent::Call(call)] => call.released_by,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_released_a_call_is_told_from_the_devices_side() {
    for (more, party) in [
        (releasing("N&lt;3001&gt;;noa=nk"), ReleasingParty::Local),
        (releasing("9000"), ReleasingParty::Remote),
        (
            "<releasingDevice><notKnown/></releasingDevice>".into(),
            ReleasingParty::Unknown,
        ),
        (String::new(), ReleasingParty::Unknown),
    ] {
        let mut rig = Rig::up(settings(&["3001"]));
        tell(
            &mut rig,
            "3001",
            connection("EstablishedEvent", "81", "3001", "connected", ""),
        );
        let cleared = tell(
            &mut rig,
            "3001",
            connection("ConnectionClearedEvent", "81", "3001", "null", &more),
        );
        assert_eq!(released_by(&cleared), Some(party), "{more}");
    }
}

#[test]
fn local_on_one_side_of_a_call_is_remote_on_the_other() {
    let mut rig = Rig::up(settings(&["3001", "3002"]));
    for monitor in ["3001", "3002"] {
        tell(
            &mut rig,
            monitor,
            connection("EstablishedEvent", "81", "3001", "connected", ""),
        );
    }
    let hung_up = releasing("3002");
    let first = tell(
        &mut rig,
        "3002",
        connection("ConnectionClearedEvent", "81", "3002", "null", &hung_up),
    );
    assert_eq!(released_by(&first), Some(ReleasingParty::Local));
    let elsewhere = connection("ConnectionClearedEvent", "81", "3002", "connected", &hung_up);
    assert_eq!(tell(&mut rig, "3001", elsewhere), []);
    let followed = connection("ConnectionClearedEvent", "81", "3001", "null", &releasing("3001"));
    let second = tell(&mut rig, "3001", followed);
    assert_eq!(
        released_by(&second),
        Some(ReleasingParty::Remote),
        "3002 had hung up first"
    );
    let ended = tell(
        &mut rig,
        "3001",
        (
            "CallClearedEvent".into(),
            "<clearedCall><callID>81</callID></clearedCall>".into(),
        ),
    );
    let expected = CallEnded {
        call: "81".into(),
        controlling_party: Some("3002".into()),
    };
    assert_eq!(ended, [CtiEvent::CallEnded(expected)]);
}

#[test]
fn leaving_a_conference_is_the_leavers_own_release() {
    let mut rig = Rig::up(settings(&["3001"]));
    tell(
        &mut rig,
        "3001",
        merged("ConferencedEvent", "connected", &["3001", "3002", "3003"]),
    );
    let other = connection("ConnectionClearedEvent", "83", "3003", "connected", &releasing("3003"));
    assert_eq!(tell(&mut rig, "3001", other), []);
    let own = connection("ConnectionClearedEvent", "83", "3001", "null", &releasing("3001"));
    assert_eq!(released_by(&tell(&mut rig, "3001", own)), Some(ReleasingParty::Local));
}

#[test]
fn a_busy_destination_is_released_by_the_other_side_and_a_rejected_call_by_this_one() {
    let mut rig = Rig::up(settings(&["3001"]));
    tell(
        &mut rig,
        "3001",
        connection("OriginatedEvent", "81", "3001", "connected", ""),
    );
    let failing = "<failingDevice><deviceIdentifier>9000</deviceIdentifier></failingDevice><cause>busy</cause>";
    let failed = tell(
        &mut rig,
        "3001",
        connection("FailedEvent", "81", "9000", "connected", failing),
    );
    assert_eq!(released_by(&failed), Some(ReleasingParty::Remote));
    let own = "<failingDevice><deviceIdentifier>3001</deviceIdentifier></failingDevice>";
    let failed = tell(&mut rig, "3001", connection("FailedEvent", "83", "3001", "fail", own));
    assert_eq!(
        released_by(&failed),
        Some(ReleasingParty::Unknown),
        "nobody asked for that"
    );
    tell(
        &mut rig,
        "3001",
        connection("DeliveredEvent", "82", "3001", "alerting", ""),
    );
    let rejected = connection("ConnectionClearedEvent", "82", "3001", "null", &releasing("3001"));
    assert_eq!(
        released_by(&tell(&mut rig, "3001", rejected)),
        Some(ReleasingParty::Local)
    );
}

#[test]
fn a_call_that_ends_for_unknown_reasons_names_nobody() {
    let mut rig = Rig::up(settings(&["3001"]));
    let ended = tell(
        &mut rig,
        "3001",
        (
            "CallClearedEvent".into(),
            "<clearedCall><callID>81</callID></clearedCall>".into(),
        ),
    );
    let expected = CallEnded {
        call: "81".into(),
        controlling_party: None,
    };
    assert_eq!(ended, [CtiEvent::CallEnded(expected)]);
}

/// 3001's calls 82 (active) and 81 (held) become 83, with these devices in it.
fn merged(name: &str, local: &str, devices: &[&str]) -> (String, String) {
    let (list, by) = if name == "ConferencedEvent" {
        ("conferenceConnections", "conferencingDevice")
    } else {
        ("transferredConnections", "transferringDevice")
    };
    let mut items = String::new();
    for device in devices {
        items = format!(
            "{items}<connectionListItem><newConnection><callID>83</callID><deviceID>{device}</deviceID></newConnection>\
             </connectionListItem>"
        );
    }
    let body = format!(
        "<primaryOldCall><callID>82</callID><deviceID>3001</deviceID></primaryOldCall>\
         <secondaryOldCall><callID>81</callID><deviceID>3001</deviceID></secondaryOldCall>\
         <{by}><deviceIdentifier>3001</deviceIdentifier></{by}><{list}>{items}</{list}>\
         <localConnectionInfo>{local}</localConnectionInfo>"
    );
    (name.to_owned(), body)
}

fn renamed(from: &str, call: &str) -> CtiEvent {
    CtiEvent::CallRenamed(CallRenamed {
        from: from.into(),
        call: call.into(),
    })
}

fn call(device: &str, call: &str, kind: Kind) -> CtiEvent {
    CtiEvent::Call(CallEvent::of_device(device, call, kind))
}

fn with_two_calls(devices: &[&str]) -> Rig {
    let mut rig = Rig::up(settings(devices));
    for id in ["81", "82"] {
        tell(
            &mut rig,
            "3001",
            connection("EstablishedEvent", id, "3001", "connected", ""),
        );
    }
    rig
}

#[test]
fn a_conference_goes_on_under_the_resulting_call() {
    let mut rig = with_two_calls(&["3001"]);
    let told = tell(
        &mut rig,
        "3001",
        merged("ConferencedEvent", "connected", &["3001", "3002", "3003"]),
    );
    assert_eq!(
        told,
        [
            renamed("82", "83"),
            renamed("81", "83"),
            call("3001", "83", Kind::Conferenced)
        ]
    );
    let held = tell(&mut rig, "3001", connection("HeldEvent", "83", "3001", "hold", ""));
    assert_eq!(held, [call("3001", "83", Kind::Held)]);
}

#[test]
fn a_transfer_ends_both_calls_of_the_device_that_transfers_under_either_spelling() {
    for name in ["TransferedEvent", "TransferredEvent"] {
        let mut rig = with_two_calls(&["3001"]);
        let told = tell(&mut rig, "3001", merged(name, "null", &["3002", "9000"]));
        assert_eq!(
            told,
            [
                call("3001", "82", Kind::Transferred),
                call("3001", "81", Kind::Transferred),
                renamed("82", "83"),
                renamed("81", "83"),
            ]
        );
    }
}

#[test]
fn the_device_that_is_transferred_to_goes_on_in_the_resulting_call() {
    let mut rig = Rig::up(settings(&["3001", "3002"]));
    tell(
        &mut rig,
        "3002",
        connection("EstablishedEvent", "82", "3002", "connected", ""),
    );
    let told = tell(
        &mut rig,
        "3002",
        merged("TransferedEvent", "connected", &["3002", "9000"]),
    );
    assert_eq!(
        told,
        [
            renamed("82", "83"),
            renamed("81", "83"),
            call("3002", "83", Kind::Established)
        ]
    );
}

#[test]
fn without_a_list_of_connections_the_active_call_keeps_its_id() {
    let mut rig = with_two_calls(&["3001"]);
    let (name, body) = merged("ConferencedEvent", "connected", &[]);
    let told = tell(&mut rig, "3001", (name, body));
    assert_eq!(told, [renamed("81", "82"), call("3001", "82", Kind::Conferenced)]);
}

fn agent_event(rig: &mut Rig, name: &str, agent: &str) -> CtiEvent {
    let agent = if agent.is_empty() {
        String::new()
    } else {
        format!("<agentID>{agent}</agentID>")
    };
    rig.event(
        name,
        "3001",
        &format!("<agentDevice><deviceIdentifier>N&lt;3001&gt;;noa=nk</deviceIdentifier></agentDevice>{agent}"),
    );
    rig.only_cti()
}

fn agent(agent: &str, state: AgentState) -> CtiEvent {
    CtiEvent::AgentState(AgentUpdate {
        extension: Some("3001".into()),
        ..AgentUpdate::new(agent, state)
    })
}

#[test]
fn agents_are_told_with_every_state_and_known_by_their_device_afterwards() {
    let mut rig = Rig::up(settings(&["3001"]));
    for (name, state) in [
        ("AgentLoggedOnEvent", AgentState::Login),
        ("AgentReadyEvent", AgentState::Available),
        ("AgentBusyEvent", AgentState::Talking),
        ("AgentWorkingAfterCallEvent", AgentState::WorkNotReady),
        ("AgentNotReadyEvent", AgentState::NotReady),
        ("AgentLoggedOffEvent", AgentState::Logout),
    ] {
        let named = if state == AgentState::Login { "4711" } else { "" };
        assert_eq!(agent_event(&mut rig, name, named), agent("4711", state), "{name}");
    }
    assert_eq!(
        agent_event(&mut rig, "AgentReadyEvent", ""),
        agent("3001", AgentState::Available),
        "after he signed out nobody is known at the device"
    );
}

#[test]
fn agents_that_are_signed_in_already_are_asked_for() {
    let mut rig = Rig::new(CstaSettings {
        agent_states: true,
        ..settings(&["3001"])
    });
    rig.connect();
    rig.accept_session("s1", 600);
    rig.answer("MonitorStart", &monitor_started("3001"));
    rig.answer("SnapshotDevice", &snapshot_of(&[]));
    rig.events();
    rig.answer(
        "GetAgentState",
        "<GetAgentStateResponse><agentStateList><agentStateEntry><agentID>4711</agentID><loggedOnState>true\
         </loggedOnState><agentInfo><agentInfoItem><agentState>agentNotReady</agentState></agentInfoItem></agentInfo>\
         </agentStateEntry><agentStateEntry><loggedOnState>false</loggedOnState></agentStateEntry></agentStateList>\
         </GetAgentStateResponse>",
    );
    let expected = [agent("4711", AgentState::NotReady), agent("4711", AgentState::Logout)];
    assert_eq!(rig.cti(), expected);
}

use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEvent, CallEventKind, DeviceSnapshot, ReleasingParty, SnapshotCall,
};

use super::*;
use crate::link::{Supervise, SuperviseAction};

const CALLS: &str = "mkern@d/Advanced Call";
const AGENT: &str = "mkern@d/Call Center Agent";

const INBOUND: &str = "<xsi:personality>Terminator</xsi:personality><xsi:remoteParty>\
    <xsi:address>tel:+49301234</xsi:address></xsi:remoteParty>";
const OUTBOUND: &str = "<xsi:personality>Originator</xsi:personality><xsi:remoteParty>\
    <xsi:address>tel:+49301234</xsi:address></xsi:remoteParty>";
const QUEUED: &str = "<xsi:acdCallInfo><xsi:acdNumber>tel:8001</xsi:acdNumber></xsi:acdCallInfo>";

/// Kinds told by one event about one call, with who released it.
fn kinds(pair: &mut Pair, data_type: &str, data: &str) -> Vec<(CallEventKind, Option<ReleasingParty>)> {
    pair.event(CALLS, data_type, data);
    pair.told_cti()
        .into_iter()
        .map(|event| match event {
            CtiEvent::Call(event) => (event.kind, event.released_by),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn only(kind: CallEventKind) -> Vec<(CallEventKind, Option<ReleasingParty>)> {
    vec![(kind, None)]
}

#[test]
fn an_acd_call_is_told_with_its_numbers() {
    let mut pair = Pair::ready();
    pair.event(
        CALLS,
        "CallReceivedEvent",
        &call("callhalf-1:0", "Alerting", &[INBOUND, QUEUED].concat()),
    );
    let expected = CallEvent {
        agent: Some("mkern@d".into()),
        acd: Some(true),
        calling: Some("+49301234".into()),
        called: Some("8001".into()),
        ..CallEvent::of_device("3001", "callhalf-1:0", CallEventKind::Delivered)
    };
    assert_eq!(pair.told_cti(), [expected.into()]);
}

#[test]
fn an_outbound_call_goes_through_the_events_of_the_sheet() {
    let mut pair = Pair::ready();
    pair.event(CALLS, "HookStatusEvent", "<xsi:hookStatus>Off-Hook</xsi:hookStatus>");
    pair.event(CALLS, "CallOriginatedEvent", &call("c1", "Alerting", OUTBOUND));
    pair.event(CALLS, "CallUpdatedEvent", &call("c1", "Alerting", OUTBOUND));
    pair.event(CALLS, "CallAnsweredEvent", &call("c1", "Active", OUTBOUND));
    let release = "<xsi:releasingParty>localRelease</xsi:releasingParty><xsi:answerTime>1</xsi:answerTime>\
        <xsi:releaseCause><xsi:internalReleaseCause>Normal</xsi:internalReleaseCause></xsi:releaseCause>";
    pair.event(CALLS, "CallReleasedEvent", &call("c1", "Released", release));
    pair.event(CALLS, "HookStatusEvent", "<xsi:hookStatus>On-Hook</xsi:hookStatus>");
    let told: Vec<_> = pair
        .told_cti()
        .into_iter()
        .map(|event| match event {
            CtiEvent::Call(event) => (event.kind, event.acd, event.calling, event.called, event.released_by),
            other => panic!("{other:?}"),
        })
        .collect();
    let (own, other) = (Some("3001".to_owned()), Some("+49301234".to_owned()));
    let released = Some(ReleasingParty::Local);
    assert_eq!(
        told,
        [
            (CallEventKind::Originated, Some(false), own.clone(), other.clone(), None),
            (CallEventKind::Established, Some(false), own, other, None),
            (CallEventKind::ConnectionCleared, Some(false), None, None, released),
        ]
    );
}

#[test]
fn every_event_about_a_call_has_its_meaning() {
    let mut pair = Pair::ready();
    let active = call("c1", "Active", INBOUND);
    let held = call("c1", "Held", INBOUND);
    let alerting = call("c2", "Alerting", OUTBOUND);
    for (data_type, data, kind) in [
        (
            "CallReceivedEvent",
            &call("c1", "Alerting", INBOUND),
            CallEventKind::Delivered,
        ),
        ("CallAnsweredEvent", &active, CallEventKind::Established),
        ("CallHeldEvent", &held, CallEventKind::Held),
        ("CallOriginatingEvent", &alerting, CallEventKind::ServiceInitiated),
        ("CallCollectingEvent", &alerting, CallEventKind::ServiceInitiated),
        ("CallOriginatedEvent", &alerting, CallEventKind::Originated),
        ("CallRetrievedEvent", &active, CallEventKind::Retrieved),
        ("CallBargedInEvent", &active, CallEventKind::Conferenced),
        ("CallDetachedEvent", &active, CallEventKind::Held),
        ("CallPickedUpEvent", &active, CallEventKind::Established),
        ("CallTransferredEvent", &active, CallEventKind::Transferred),
        ("CallForwardedEvent", &alerting, CallEventKind::Diverted),
        ("CallRedirectedEvent", &alerting, CallEventKind::Diverted),
        (
            "CallPickedUpEvent",
            &call("c2", "Released", INBOUND),
            CallEventKind::Diverted,
        ),
    ] {
        assert_eq!(kinds(&mut pair, data_type, data), only(kind), "{data_type}");
    }
    for data_type in [
        "CallReleasingEvent",
        "CallRecordingStartedEvent",
        "CallRecordingStoppedEvent",
    ] {
        assert_eq!(kinds(&mut pair, data_type, &active), [], "{data_type}");
    }
}

#[test]
fn an_update_makes_good_what_was_missed_and_repeats_nothing() {
    let mut pair = Pair::ready();
    let told = kinds(&mut pair, "CallUpdatedEvent", &call("c1", "Active", INBOUND));
    assert_eq!(told, only(CallEventKind::Established));
    assert_eq!(kinds(&mut pair, "CallUpdatedEvent", &call("c1", "Active", INBOUND)), []);
    let told = kinds(&mut pair, "CallUpdatedEvent", &call("c1", "Held", INBOUND));
    assert_eq!(told, only(CallEventKind::Held));
    let told = kinds(&mut pair, "CallRetrievedEvent", &call("c1", "Active", INBOUND));
    assert_eq!(told, only(CallEventKind::Retrieved));
    assert_eq!(
        kinds(&mut pair, "CallUpdatedEvent", &call("c1", "Remote Held", INBOUND)),
        []
    );
}

#[test]
fn the_releasing_party_is_told_for_every_kind_of_release() {
    let cleared = |by| vec![(CallEventKind::ConnectionCleared, Some(by))];
    let failed = |by| {
        vec![
            (CallEventKind::Failed, Some(by)),
            (CallEventKind::ConnectionCleared, Some(by)),
        ]
    };
    let local = "<xsi:releasingParty>localRelease</xsi:releasingParty>";
    let remote = "<xsi:releasingParty>remoteRelease</xsi:releasingParty>";
    let answered = "<xsi:answerTime>5</xsi:answerTime>";
    let busy = "<xsi:releaseCause><xsi:internalReleaseCause>Busy</xsi:internalReleaseCause></xsi:releaseCause>";
    for (what, parts, expected) in [
        (
            "normal, by the agent",
            [INBOUND, local, answered],
            cleared(ReleasingParty::Local),
        ),
        (
            "normal, by the customer",
            [INBOUND, remote, answered],
            cleared(ReleasingParty::Remote),
        ),
        ("abnormal", [INBOUND, "", answered], cleared(ReleasingParty::Unknown)),
        (
            "a rejected alerting call",
            [INBOUND, local, busy],
            cleared(ReleasingParty::Local),
        ),
        (
            "an abandoned alerting call",
            [INBOUND, remote, ""],
            cleared(ReleasingParty::Remote),
        ),
        (
            "a busy destination",
            [OUTBOUND, remote, busy],
            failed(ReleasingParty::Remote),
        ),
        (
            "given up while it rings",
            [OUTBOUND, local, busy],
            cleared(ReleasingParty::Local),
        ),
    ] {
        let mut pair = Pair::ready();
        let told = kinds(&mut pair, "CallReleasedEvent", &call("c1", "Released", &parts.concat()));
        assert_eq!(told, expected, "{what}");
    }
}

#[test]
fn a_conference_is_told_for_each_of_its_calls() {
    let mut pair = Pair::ready();
    let conference = |ids: &[&str]| {
        let participants: Vec<_> = ids
            .iter()
            .map(|id| format!("<xsi:conferenceParticipant><xsi:callId>{id}</xsi:callId></xsi:conferenceParticipant>"))
            .collect();
        format!(
            "<xsi:conference><xsi:conferenceParticipantList>{}</xsi:conferenceParticipantList></xsi:conference>",
            participants.concat()
        )
    };
    let both = conference(&["c1", "c2"]);
    let twice = |kind| vec![(kind, None); 2];
    assert_eq!(
        kinds(&mut pair, "ConferenceStartedEvent", &both),
        twice(CallEventKind::Conferenced)
    );
    assert_eq!(
        kinds(&mut pair, "ConferenceUpdatedEvent", &conference(&["c1", "c2", "c3"])),
        only(CallEventKind::Conferenced)
    );
    assert_eq!(kinds(&mut pair, "CallUpdatedEvent", &call("c1", "Active", INBOUND)), []);
    assert_eq!(
        kinds(&mut pair, "ConferenceHeldEvent", &both),
        twice(CallEventKind::Held)
    );
    assert_eq!(
        kinds(&mut pair, "ConferenceRetrievedEvent", &both),
        twice(CallEventKind::Retrieved)
    );
    assert_eq!(kinds(&mut pair, "ConferenceReleasedEvent", &both), []);
}

#[test]
fn an_unsolicited_snapshot_replaces_the_users_calls() {
    for data_type in ["CallSubscriptionEvent", "CallSubscriptionResyncEvent"] {
        let mut pair = Pair::ready();
        pair.event(
            CALLS,
            "CallSubscriptionEvent",
            "<xsi:hookStatus>On-Hook</xsi:hookStatus>",
        );
        pair.event(CALLS, "CallAnsweredEvent", &call("stuck", "Active", INBOUND));
        pair.told();
        let calls = [
            call("c2", "Active", &[INBOUND, QUEUED].concat()),
            call("c3", "Alerting", OUTBOUND),
            call("c4", "Alerting", INBOUND),
            call("c5", "Remote Held", INBOUND),
            call("gone", "Released", INBOUND),
        ];
        pair.event(CALLS, data_type, &format!("<xsi:calls>{}</xsi:calls>", calls.concat()));
        let listed = |id: &str, kind, acd| SnapshotCall {
            call: id.into(),
            kind,
            acd: Some(acd),
        };
        let expected = DeviceSnapshot {
            device: "3001".into(),
            calls: vec![
                listed("c2", CallEventKind::Established, true),
                listed("c3", CallEventKind::Originated, false),
                listed("c4", CallEventKind::Delivered, false),
                listed("c5", CallEventKind::Established, false),
            ],
        };
        assert_eq!(pair.told_cti(), [expected.into()], "{data_type}");
        assert_eq!(kinds(&mut pair, "CallUpdatedEvent", &call("c2", "Active", INBOUND)), []);
    }
}

#[test]
fn agents_states_are_told_in_the_words_of_ged_188() {
    let mut pair = Pair::ready();
    for (word, state) in [
        ("Sign-In", AgentState::Login),
        ("Available", AgentState::Available),
        ("Unavailable", AgentState::NotReady),
        ("Wrap-Up", AgentState::WorkReady),
        ("Sign-Out", AgentState::Logout),
    ] {
        let expected = AgentUpdate {
            extension: Some("3001".into()),
            ..AgentUpdate::new("mkern@d", state)
        };
        let info = |name| format!("<xsi:{name}><xsi:state>{word}</xsi:state></xsi:{name}>");
        pair.event(AGENT, "AgentStateEvent", &info("agentStateInfo"));
        assert_eq!(pair.told_cti(), [expected.clone().into()]);
        pair.event(AGENT, "AgentSubscriptionEvent", &info("stateInfo"));
        assert_eq!(pair.told_cti(), [expected.into()]);
    }
    pair.event(
        AGENT,
        "AgentStateEvent",
        "<xsi:agentStateInfo><xsi:state>Dreaming</xsi:state></xsi:agentStateInfo>",
    );
    assert_eq!(pair.told(), []);
}

#[test]
fn a_queue_tells_the_calls_that_wait_in_it() {
    let mut pair = Pair::of(1, vec![MonitoredUser::queue("q@d", "8001")]);
    pair.open(Endpoint(0));
    pair.grant_all();
    pair.told();
    let entry = "<xsi:queueEntry><xsi:callId>c1</xsi:callId><xsi:remoteParty><xsi:address>tel:+49301234</xsi:address>\
        </xsi:remoteParty></xsi:queueEntry>";
    let event = |kind, released_by| CallEvent {
        acd: Some(true),
        calling: Some("+49301234".into()),
        called: Some("8001".into()),
        released_by,
        ..CallEvent::of_device("8001", "c1", kind)
    };
    for (data_type, expected) in [
        ("ACDCallAddedEvent", Some(event(CallEventKind::Queued, None))),
        ("ACDCallOfferedToAgentEvent", None),
        ("ACDCallBouncedEvent", None),
        (
            "ACDCallAnsweredByAgentEvent",
            Some(event(CallEventKind::Diverted, None)),
        ),
        ("ACDCallOverflowedEvent", Some(event(CallEventKind::Diverted, None))),
        (
            "ACDCallAbandonedEvent",
            Some(event(CallEventKind::ConnectionCleared, Some(ReleasingParty::Remote))),
        ),
    ] {
        pair.event("q@d/Call Center Queue", data_type, entry);
        let expected: Vec<CtiEvent> = expected.into_iter().map(CtiEvent::from).collect();
        assert_eq!(pair.told_cti(), expected, "{data_type}");
    }
}

#[test]
fn barge_in_is_declined_in_words() {
    let mut pair = Pair::ready();
    pair.command(LinkCommand::Supervise(Supervise {
        number: 5,
        action: SuperviseAction::BargeIn,
        agent: "mkern@d".into(),
        device: "3001".into(),
        call: "c1".into(),
        supervisor_device: "9000".into(),
    }));
    let told = pair.told();
    let [
        LinkEvent::Done {
            number: 5,
            result: Err(why),
        },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert!(why.contains("Barge-in"), "{why}");
}

//! Sessions: who may start, take up and stop one, and what is written down.

use silentmon_proto::cti::{TeamMember, TeamOperation, TeamUpdate};

use super::*;

#[test]
fn several_supervisors_hear_one_agent() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.start(BERT, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    assert_eq!(house.audio(ANNA).len(), 10);
    assert_eq!(house.audio(BERT).len(), 10);
    assert_eq!(house.engine.session_count(), 2);
}

#[test]
fn starting_twice_is_one_session() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let first = house.session();
    house.start(ANNA, "4711", None);
    assert_eq!(house.session(), first);
    assert_eq!(house.engine.session_count(), 1);
}

#[test]
fn a_reconnect_keeps_the_session_and_its_count() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let session = house.session();
    house.stream(PHONE, GATEWAY, 0..10, speech);
    house.engine.handle_disconnected(ANNA, house.now);
    house.stream(PHONE, GATEWAY, 10..15, speech);
    let again = ConnectionId(9);
    house.engine.handle_connected(again, supervisor("anna"));
    house.start(again, "4711", Some(session));
    house.stream(PHONE, GATEWAY, 15..20, speech);
    assert_eq!(house.session(), session);
    let numbers: Vec<_> = house
        .audio(again)
        .iter()
        .map(|(header, _)| header.relay_sequence)
        .collect();
    assert_eq!(
        numbers,
        (15..20).collect::<Vec<_>>(),
        "the gap shows in the relay's own numbers"
    );
    let started = house
        .events
        .iter()
        .filter(|event| matches!(event, EngineEvent::SessionStarted(_)))
        .count();
    assert_eq!(started, 1, "one session, one audit record");
}

#[test]
fn a_session_of_another_supervisor_cannot_be_taken_up() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    let annas = house.session();
    house.engine.handle_disconnected(ANNA, house.now);
    house.start(BERT, "4711", Some(annas));
    assert_ne!(house.session(), annas);
}

#[test]
fn a_connection_that_does_not_come_back_ends_its_sessions() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.engine.handle_disconnected(ANNA, house.now);
    house.pass(Duration::from_secs(29));
    assert_eq!(house.engine.session_count(), 1);
    house.pass(Duration::from_secs(2));
    assert_eq!(house.engine.session_count(), 0);
    assert!(
        house
            .events
            .iter()
            .any(|event| matches!(event, EngineEvent::SessionStopped(..)))
    );
}

#[test]
fn refuses_what_policy_refuses_and_writes_it_down() {
    let mut house = House::with_policy(|policy| policy.who = Who::Team);
    house.talking();
    house.start(ANNA, "4711", None);
    let refused = house.messages().find_map(|(_, message)| match message {
        ServerMessage::MonitorRefused { request: 5, reason } => Some(reason.code),
        _ => None,
    });
    assert_eq!(refused, Some(Code::NotAuthorised));
    assert!(matches!(house.events.last(), Some(EngineEvent::SessionRefused { .. })));
    assert_eq!(house.engine.session_count(), 0);
}

#[test]
fn stopping_ends_the_sound_and_gives_the_sums() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    let session = house.session();
    house.say(BERT, ClientMessage::StopMonitor { session });
    assert_eq!(
        house.engine.session_count(),
        1,
        "only its own supervisor stops a session"
    );
    house.say(ANNA, ClientMessage::StopMonitor { session });
    let stopped = house.messages().find_map(|(_, message)| match message {
        ServerMessage::MonitorStopped { status, .. } => Some(status.legs[0].captured),
        _ => None,
    });
    assert_eq!(stopped, Some(10));
    house.stream(PHONE, GATEWAY, 10..20, speech);
    assert_eq!(house.audio(ANNA).len(), 10);
    assert_eq!(house.engine.monitored().ips(), Some(vec![]));
}

#[test]
fn agents_are_listed_and_changes_told_to_those_who_watch() {
    let mut house = House::new();
    house.talking();
    house.say(ANNA, ClientMessage::ListAgents { watch: true });
    house.sent.clear();
    house.agent_state("4712", AgentState::NotReady);
    let told: Vec<_> = house.messages().collect();
    let [(to, ServerMessage::AgentChanged { agent })] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((to, agent.agent.as_str(), agent.audible), (ANNA, "4712", false));
    assert_eq!(agent.reason.code, Code::AgentNotOnCall);
}

#[test]
fn nothing_is_heard_before_the_journal_has_it() {
    let mut house = House::new();
    house.journal_works = false;
    house.talking();
    house.start(ANNA, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    assert_eq!(house.audio(ANNA).len(), 0);
    let started = |house: &House| {
        house
            .messages()
            .any(|(_, message)| matches!(message, ServerMessage::MonitorStarted { .. }))
    };
    assert!(!started(&house));
    house.engine.handle_recorded(SessionId(1), house.now);
    house.stream(PHONE, GATEWAY, 10..20, speech);
    assert!(started(&house));
    assert_eq!(house.audio(ANNA).len(), 10);
}

#[test]
fn a_session_that_the_journal_cannot_have_is_refused() {
    let mut house = House::new();
    house.journal_works = false;
    house.talking();
    house.start(ANNA, "4711", None);
    house
        .engine
        .handle_unrecorded(SessionId(1), Code::AuditUnwritable.into(), house.now);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    let refused = house.messages().find_map(|(_, message)| match message {
        ServerMessage::MonitorRefused { reason, .. } => Some(reason.code),
        _ => None,
    });
    assert_eq!(refused, Some(Code::AuditUnwritable));
    assert_eq!((house.audio(ANNA).len(), house.engine.session_count()), (0, 0));
}

#[test]
fn a_listing_of_many_agents_comes_in_pages() {
    let mut house = House::new();
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    for number in 0..1_201 {
        house.agent_state(&format!("{number}"), AgentState::Available);
    }
    house.say(ANNA, ClientMessage::ListAgents { watch: false });
    let pages: Vec<_> = house
        .messages()
        .filter_map(|(_, message)| match message {
            ServerMessage::Agents { agents, more, .. } => Some((agents.len(), *more)),
            _ => None,
        })
        .collect();
    assert_eq!(pages, [(0, false), (500, true), (500, true), (201, false)]);
}

#[test]
fn a_session_ends_soon_after_the_cti_source_takes_the_team_from_its_supervisor() {
    let mut house = House::with_policy(|policy| policy.who = Who::Team);
    let claims = |members: &[(&str, bool)]| {
        let member = |(agent, supervisor): &(&str, bool)| TeamMember {
            agent: (*agent).into(),
            supervisor: *supervisor,
        };
        CtiEvent::from(TeamUpdate {
            team: "claims".into(),
            operation: TeamOperation::Replace,
            members: members.iter().map(member).collect(),
        })
    };
    house.talking();
    house.cti(&claims(&[("4711", false), ("anna", true)]));
    house.start(ANNA, "4711", None);
    // A team told anew in two messages is without her for a moment.
    house.cti(&claims(&[("4711", false)]));
    house.pass(Duration::from_secs(3));
    house.cti(&claims(&[("4711", false), ("anna", true)]));
    house.pass(Duration::from_secs(30));
    assert_eq!(house.engine.session_count(), 1);
    house.cti(&claims(&[("4711", false)]));
    house.pass(Duration::from_secs(5));
    assert_eq!(house.engine.session_count(), 0);
}

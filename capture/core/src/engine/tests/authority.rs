//! Who may listen: at the start, at every change, and with whose session ids.

use std::num::NonZeroUsize;

use silentmon_proto::relay::SuperviseAction;

use super::*;
use crate::policy::{Administrators, DirectoryView, SessionLimit, SignInOutcome};

const ROOT: ConnectionId = ConnectionId(8);

fn refused(house: &House) -> Vec<Reason> {
    let reasons = house.messages().filter_map(|(_, message)| match message {
        ServerMessage::MonitorRefused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    reasons.collect()
}

fn stopped(house: &House) -> Option<&Reason> {
    house.events.iter().rev().find_map(|event| match event {
        EngineEvent::SessionStopped(_, reason) => Some(reason),
        _ => None,
    })
}

/// Anna leads claims, of which 4711 is; 4712 is of sales.
fn teams() -> House {
    let mut house = House::with_policy(|policy| {
        policy.who = Who::Team;
        policy.teams = [("claims".into(), vec!["anna".into()])].into();
    });
    for (agent, team) in [("4711", "claims"), ("4712", "sales")] {
        house.cti(&CtiEvent::from(AgentUpdate {
            team: Some(team.into()),
            ..AgentUpdate::new(agent, AgentState::Talking)
        }));
    }
    house
}

fn listed(house: &mut House, to: ConnectionId) -> Vec<String> {
    house.sent.clear();
    house.say(to, ClientMessage::ListAgents { watch: false });
    let rows = house.messages().filter_map(|(_, message)| match message {
        ServerMessage::Agents { agents, .. } => Some(agents.iter().map(|row| row.agent.to_string())),
        _ => None,
    });
    rows.flatten().collect()
}

fn administrator(house: &mut House) {
    let root = Principal {
        role: Role::Administrator,
        ..supervisor("root")
    };
    house.engine.handle_connected(ROOT, root);
}

fn fail(house: &mut House, times: u32) {
    let anna = Principal {
        means: Means::Password,
        ..supervisor("anna")
    };
    for _ in 0..times {
        let (name, from) = (&anna.name, anna.from);
        house
            .engine
            .handle_sign_in_attempt(name, from, house.now)
            .expect("may try");
        house.engine.handle_sign_in(&anna, SignInOutcome::Failed, house.now);
    }
    house.collect();
}

#[test]
fn a_session_ends_within_a_heartbeat_when_a_rule_turns_against_it() {
    type Change = fn(&mut Policy);
    let changes: [(Change, &str); 4] = [
        (|policy| policy.teams.clear(), "policy.who"),
        (
            |policy| policy.roles.administrator.push("anna".into()),
            "policy.administrators",
        ),
        (
            |policy| policy.excluded.agents.extend(["4711".into()]),
            "policy.excluded_agents",
        ),
        (
            |policy| policy.hours = vec!["Sat 08:00-09:00".parse().expect("a window")].into(),
            "policy.hours",
        ),
    ];
    for (change, rule) in changes {
        let mut house = teams();
        house.start(ANNA, "4711", None);
        assert_eq!(house.engine.session_count(), 1);
        let mut policy = house.engine.settings.policy.clone();
        change(&mut policy);
        house.engine.handle_policy(policy, BTreeMap::new(), house.now);
        house.pass(Duration::from_secs(5));
        assert_eq!(house.engine.session_count(), 0, "{rule}");
        let reason = stopped(&house).expect("written down");
        assert_eq!(reason.evidence.get("rule"), Some(rule));
    }
}

#[test]
fn a_session_ends_when_its_agent_changes_team_or_sits_down_at_an_excluded_phone() {
    let mut house = teams();
    house.start(ANNA, "4711", None);
    house.cti(&CtiEvent::from(AgentUpdate {
        team: Some("sales".into()),
        ..AgentUpdate::new("4711", AgentState::Talking)
    }));
    house.pass(Duration::from_secs(5));
    assert_eq!(stopped(&house).map(|reason| reason.code), Some(Code::NotAuthorised));

    let mut house = House::with_policy(|policy| policy.excluded.devices.extend(["3009".into()]));
    house.signed_in("4711", "3001", AgentState::Talking);
    house.start(ANNA, "4711", None);
    house.signed_in("4711", "3009", AgentState::Talking);
    house.pass(Duration::from_secs(2));
    let reason = stopped(&house).expect("ended");
    assert!(reason.text.contains("at 3009"), "{reason}");
}

#[test]
fn listening_begins_and_ends_with_the_hours() {
    let at = |hour, minute| WeekMinute::new(0, hour, minute).expect("a minute");
    let mut house = House::with_policy(|policy| {
        policy.hours = vec!["Mon-Fri 08:00-18:00".parse().expect("a window")].into();
    });
    house.talking();
    house.engine.handle_local_time(at(7, 59), house.now);
    house.start(ANNA, "4711", None);
    assert_eq!(refused(&house)[0].code, Code::ExcludedByPolicy);
    house.engine.handle_local_time(at(8, 0), house.now);
    house.start(ANNA, "4711", None);
    assert_eq!(house.engine.session_count(), 1);
    house.engine.handle_local_time(at(17, 59), house.now);
    house.pass(Duration::from_secs(5));
    assert_eq!(house.engine.session_count(), 1);
    house.engine.handle_local_time(at(18, 0), house.now);
    house.pass(Duration::from_secs(2));
    let reason = stopped(&house).expect("ended");
    assert!(reason.text.contains("Mon-Fri 08:00-18:00; it is Mon 18:00"), "{reason}");
}

#[test]
fn no_more_listen_than_policy_lets() {
    let two = NonZeroUsize::new(2);
    let carla = ConnectionId(3);
    let mut house = House::with_policy(|policy| {
        policy.limits.supervisors_per_agent = two;
        policy.limits.sessions_per_supervisor = two;
    });
    house.engine.handle_connected(carla, supervisor("carla"));
    house.talking();
    for agent in ["4712", "4713"] {
        house.agent_state(agent, AgentState::Available);
    }
    for connection in [ANNA, BERT, carla] {
        house.start(connection, "4711", None);
    }
    let reasons = refused(&house);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(reasons[0].evidence.get("rule"), Some("policy.supervisors_per_agent"));
    house.start(ANNA, "4711", None);
    assert_eq!(refused(&house).len(), 1, "the one she has");
    house.start(ANNA, "4712", None);
    house.start(ANNA, "4713", None);
    let reasons = refused(&house);
    assert_eq!(reasons[1].evidence.get("rule"), Some("policy.sessions_per_supervisor"));
    assert_eq!(house.engine.session_count(), 3);
}

#[test]
fn a_purpose_is_wanted_where_policy_has_a_list() {
    let mut house = House::with_policy(|policy| policy.purposes = vec!["coaching".to_owned()]);
    house.talking();
    house.start(ANNA, "4711", None);
    assert_eq!(refused(&house)[0].code, Code::ExcludedByPolicy);
    house.say(
        ANNA,
        ClientMessage::StartMonitor {
            request: 6,
            agent: "4711".into(),
            resume: None,
            purpose: Some("coaching".to_owned()),
            output: OutputKind::Play,
        },
    );
    assert_eq!(house.engine.session_count(), 1);
}

#[test]
fn a_long_session_goes_on_only_while_its_supervisor_says_so() {
    let mut house = House::with_policy(|policy| {
        policy.limits.session = Some(SessionLimit {
            longest: Duration::from_secs(600),
            ask_before: Duration::from_secs(60),
        });
    });
    let asked = |house: &House| {
        let asked = |(to, message): &(ConnectionId, &ServerMessage)| {
            *to == ANNA && matches!(message, ServerMessage::ConfirmListening { within_s: 59..=60, .. })
        };
        house.messages().filter(asked).count()
    };
    house.talking();
    house.start(ANNA, "4711", None);
    let session = house.session();
    house.say(ANNA, ClientMessage::StillThere { session });
    house.pass(Duration::from_secs(535));
    assert_eq!(asked(&house), 0);
    house.pass(Duration::from_secs(10));
    assert_eq!(asked(&house), 1, "what was said before counts for nothing");
    house.say(BERT, ClientMessage::StillThere { session });
    house.say(ANNA, ClientMessage::StillThere { session });
    assert_eq!(
        house.count(|event| matches!(event, EngineEvent::SessionConfirmed(_))),
        1
    );
    house.pass(Duration::from_secs(560));
    assert_eq!((asked(&house), house.engine.session_count()), (2, 1));
    house.pass(Duration::from_secs(60));
    assert_eq!(house.engine.session_count(), 0);
    let reason = stopped(&house).expect("ended");
    assert_eq!(reason.code, Code::ExcludedByPolicy);
    assert!(reason.text.contains("ended after 10 min"), "{reason}");
}

#[test]
fn whoever_comes_back_is_asked_again() {
    let mut house = House::with_policy(|policy| {
        policy.limits.session = Some(SessionLimit {
            longest: Duration::from_secs(600),
            ask_before: Duration::from_secs(60),
        });
    });
    house.talking();
    house.start(ANNA, "4711", None);
    let session = house.session();
    house.pass(Duration::from_secs(545));
    house.engine.handle_disconnected(ANNA, house.now);
    let again = ConnectionId(9);
    house.engine.handle_connected(again, supervisor("anna"));
    house.start(again, "4711", Some(session));
    house.pass(Duration::from_secs(2));
    let asked = |(to, message): &(ConnectionId, &ServerMessage)| {
        *to == again && matches!(message, ServerMessage::ConfirmListening { .. })
    };
    assert_eq!(house.messages().filter(asked).count(), 1);
}

#[test]
fn session_ids_of_others_are_refused_and_counted() {
    let mut house = teams();
    house.engine.settings.policy.who = Who::AnySupervisor;
    house.talking();
    house.start(ANNA, "4711", None);
    let session = house.session();
    house.say(BERT, ClientMessage::StopMonitor { session });
    house.say(BERT, ClientMessage::StillThere { session });
    house.start(BERT, "4711", Some(session));
    house.say(
        BERT,
        ClientMessage::Supervise {
            request: 1,
            session,
            action: SuperviseAction::BargeIn,
            device: "3999".into(),
        },
    );
    house.say(
        BERT,
        ClientMessage::Diagnose {
            request: 2,
            agent: None,
            session: Some(session),
        },
    );
    house.say(BERT, ClientMessage::ListLocks { request: 3 });
    // The same name is not the same person where it was proved otherwise.
    let password = ConnectionId(7);
    house.engine.handle_connected(
        password,
        Principal {
            means: Means::Password,
            ..supervisor("anna")
        },
    );
    house.start(password, "4711", Some(session));
    let counts: Vec<_> = house
        .engine
        .foreign_requests()
        .iter()
        .map(|(request, count)| (request.name(), *count))
        .collect();
    let expected = [
        ("stop", 1),
        ("supervise", 1),
        ("resume", 2),
        ("diagnose", 1),
        ("confirm", 1),
        ("administer", 1),
    ];
    assert_eq!(counts, expected);
    let annas = &house.engine.sessions[&session];
    assert_eq!(annas.connection(), Some(ANNA), "it is still hers");
}

#[test]
fn a_supervisor_is_shown_his_own_agents_and_no_others() {
    let mut house = teams();
    administrator(&mut house);
    assert_eq!(listed(&mut house, ANNA), ["4711"]);
    assert_eq!(listed(&mut house, BERT), [""; 0]);
    assert_eq!(listed(&mut house, ROOT), ["4711", "4712"]);
    house.engine.settings.policy.directory = DirectoryView::All;
    assert_eq!(listed(&mut house, BERT), ["4711", "4712"]);
}

#[test]
fn who_watches_is_told_of_agents_he_may_see_and_when_that_changes() {
    let mut house = teams();
    let rows = |house: &House| -> Vec<(ConnectionId, Vec<String>)> {
        let told = |(to, message): (ConnectionId, &ServerMessage)| match message {
            ServerMessage::Agents { agents, .. } => {
                Some((to, agents.iter().map(|row| row.agent.to_string()).collect()))
            }
            ServerMessage::AgentChanged { agent } => Some((to, vec![agent.agent.to_string()])),
            _ => None,
        };
        house.messages().filter_map(told).collect()
    };
    for connection in [ANNA, BERT] {
        house.say(connection, ClientMessage::ListAgents { watch: true });
    }
    house.sent.clear();
    house.agent_state("4711", AgentState::Available);
    house.agent_state("4712", AgentState::Available);
    assert_eq!(rows(&house), [(ANNA, vec!["4711".to_owned()])]);
    house.sent.clear();
    // 4711 goes to sales, of which the CTI source now says that Bert leads it.
    house.cti(&CtiEvent::from(AgentUpdate {
        team: Some("sales".into()),
        ..AgentUpdate::new("4711", AgentState::Available)
    }));
    let mut policy = house.engine.settings.policy.clone();
    policy.teams.insert("sales".into(), vec!["bert".into()]);
    house.engine.handle_policy(policy, BTreeMap::new(), house.now);
    house.pass(Duration::from_secs(2));
    let told = rows(&house);
    assert!(told.contains(&(ANNA, Vec::new())), "{told:?}");
    assert!(
        told.contains(&(BERT, vec!["4711".to_owned(), "4712".to_owned()])),
        "{told:?}"
    );
}

#[test]
fn an_administrator_sees_and_listens_only_where_policy_says_so() {
    let mut house = teams();
    administrator(&mut house);
    house.start(ROOT, "4711", None);
    assert!(
        refused(&house)[0].text.contains("administrators see"),
        "{:?}",
        refused(&house)
    );
    house.engine.settings.policy.administrators = Administrators::Listen;
    house.start(ROOT, "4711", None);
    assert_eq!(house.engine.session_count(), 1);
}

#[test]
fn whoever_failed_to_sign_in_thrice_starts_nothing_until_it_is_over_or_unlocked() {
    let mut house = House::new();
    administrator(&mut house);
    house.talking();
    house.start(ANNA, "4711", None);
    fail(&mut house, 3);
    assert_eq!(house.engine.session_count(), 1, "what runs goes on");
    house.agent_state("4712", AgentState::Available);
    house.start(ANNA, "4712", None);
    assert_eq!(refused(&house)[0].code, Code::LockedOut);
    assert_eq!(
        house.count(|event| matches!(event, EngineEvent::SessionRefused { .. })),
        1
    );
    let hops = house
        .engine
        .examine(Some(&"4712".into()), Some(&supervisor("anna")), house.now);
    let broken = hops.iter().find(|hop| hop.result.stops()).expect("broken");
    assert_eq!((broken.hop.as_str(), broken.code), ("lock-out", Some(Code::LockedOut)));
    assert_eq!(broken.evidence.get("source"), Some("10.1.9.1"));

    house.say(ROOT, ClientMessage::ListLocks { request: 1 });
    let name = "anna".into();
    let unlock = ClientMessage::Unlock {
        request: 2,
        name,
        source: None,
    };
    house.say(ROOT, unlock);
    let answers: Vec<_> = house
        .messages()
        .filter_map(|(_, message)| match message {
            ServerMessage::Locks { result, .. } => Some(result.as_ref().map(Vec::len)),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [Ok(1), Ok(1)]);
    assert_eq!(house.count(|event| matches!(event, EngineEvent::Unlocked { .. })), 1);
    house.start(ANNA, "4712", None);
    assert_eq!(house.engine.session_count(), 2);

    fail(&mut house, 3);
    house.agent_state("4713", AgentState::Available);
    house.pass(Duration::from_secs(900));
    house.start(ANNA, "4713", None);
    assert_eq!(house.engine.session_count(), 3);
}

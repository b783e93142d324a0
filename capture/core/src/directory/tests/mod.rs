//! The directory on its own: events in, calls and media out.

mod model;
mod releases;
mod seating;

use silentmon_proto::cti::{
    AgentUpdate, CallEnded, CallEvent, CallEventKind, CallRenamed, DeviceSnapshot, MediaDirection, MediaStarted,
    MediaStopped, SnapshotCall, TeamMember, TeamOperation, TeamUpdate,
};

use super::*;

const NOW: Instant = Instant::from_nanos(1_000);

fn state(agent: &str, state: AgentState) -> CtiEvent {
    let extension = Some("3001".into());
    CtiEvent::from(AgentUpdate {
        extension,
        ..AgentUpdate::new(agent, state)
    })
}

fn call(agent: &str, id: &str, kind: CallEventKind) -> CtiEvent {
    CallEvent::of_agent(agent, id, kind).into()
}

fn media(agent: &str, id: &str, address: &str) -> CtiEvent {
    CtiEvent::from(MediaStarted {
        agent: Some(agent.into()),
        call: Some(id.into()),
        ..MediaStarted::at(address.parse().expect("an address"))
    })
}

fn after(events: &[CtiEvent]) -> AgentDirectory {
    let mut directory = AgentDirectory::default();
    let devices = [("3001".into(), "10.1.1.20".parse().expect("an address"))];
    directory.handle_devices(MediaOrigin::Devices, devices.into());
    for event in events {
        directory.handle_event(event, NOW);
    }
    directory
}

fn addresses(directory: &AgentDirectory, agent: &str) -> Vec<String> {
    directory
        .media(&agent.into())
        .iter()
        .map(|leg| leg.address.to_string())
        .collect()
}

#[test]
fn knows_the_media_address_that_the_cti_source_told() {
    let directory = after(&[
        media("1", "81", "10.1.1.20:24678"),
        call("1", "81", CallEventKind::Established),
    ]);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.20:24678"]);
}

#[test]
fn asks_the_device_map_only_while_a_call_is_in_progress() {
    let mut events = vec![
        state("1", AgentState::Talking),
        call("1", "81", CallEventKind::Delivered),
    ];
    assert!(addresses(&after(&events), "1").is_empty());
    events.push(call("1", "81", CallEventKind::Established));
    assert_eq!(addresses(&after(&events), "1"), ["10.1.1.20"]);
    events.push(call("1", "81", CallEventKind::ConnectionCleared));
    assert!(addresses(&after(&events), "1").is_empty());
}

#[test]
fn the_end_of_a_call_ends_its_media_even_without_a_media_event() {
    let directory = after(&[
        media("1", "81", "10.1.1.20:24678"),
        call("1", "81", CallEventKind::ConnectionCleared),
    ]);
    assert!(addresses(&directory, "1").is_empty());
}

#[test]
fn stopping_the_media_of_one_call_leaves_the_other() {
    let stop = CtiEvent::from(MediaStopped {
        agent: Some("1".into()),
        device: None,
        call: Some("81".into()),
        address: None,
        direction: None,
    });
    let directory = after(&[
        media("1", "81", "10.1.1.20:2000"),
        media("1", "82", "10.1.1.20:2002"),
        stop,
    ]);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.20:2002"]);
}

#[test]
fn an_address_told_for_another_agent_moves_to_him() {
    let directory = after(&[media("1", "81", "10.1.1.20:2000"), media("2", "90", "10.1.1.20:2000")]);
    assert!(addresses(&directory, "1").is_empty());
    assert_eq!(addresses(&directory, "2"), ["10.1.1.20:2000"]);
}

#[test]
fn repeated_events_change_nothing() {
    let events = [
        state("1", AgentState::Talking),
        call("1", "81", CallEventKind::Established),
        media("1", "81", "10.1.1.20:2000"),
    ];
    let once = after(&events);
    let twice = after(&[events.clone(), events].concat());
    assert_eq!(once.agent(&"1".into()), twice.agent(&"1".into()));
}

#[test]
fn signing_out_forgets_calls_and_media() {
    let directory = after(&[media("1", "81", "10.1.1.20:2000"), state("1", AgentState::Logout)]);
    assert!(addresses(&directory, "1").is_empty());
    assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls().len()), Some(0));
}

fn stopped(agent: &str, id: Option<&str>, address: Option<&str>, direction: Option<MediaDirection>) -> CtiEvent {
    CtiEvent::from(MediaStopped {
        agent: Some(agent.into()),
        device: None,
        call: id.map(CallId::from),
        address: address.map(|address| address.parse().expect("an address")),
        direction,
    })
}

fn one_way(id: &str, address: &str, direction: MediaDirection) -> CtiEvent {
    let CtiEvent::MediaStarted(media) = media("1", id, address) else {
        unreachable!()
    };
    let direction = Some(direction);
    MediaStarted { direction, ..media }.into()
}

#[test]
fn a_leg_lives_while_one_direction_does() {
    let (receive, send) = (MediaDirection::Receive, MediaDirection::Send);
    let mut directory = after(&[
        one_way("81", "10.1.1.20:2000", receive),
        one_way("81", "10.1.1.20:2000", send),
        stopped("1", Some("81"), None, Some(send)),
    ]);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.20:2000"]);
    directory.handle_event(&stopped("1", Some("81"), None, Some(receive)), NOW);
    assert!(addresses(&directory, "1").is_empty());
}

#[test]
fn a_restart_on_another_port_replaces_the_same_call_and_direction() {
    let (receive, send) = (MediaDirection::Receive, MediaDirection::Send);
    let mut events = vec![
        one_way("81", "10.1.1.20:2000", receive),
        one_way("81", "10.1.1.20:2000", send),
        one_way("81", "10.1.1.20:3000", receive),
    ];
    assert_eq!(addresses(&after(&events), "1"), ["10.1.1.20:2000", "10.1.1.20:3000"]);
    events.push(one_way("81", "10.1.1.20:3000", send));
    assert_eq!(addresses(&after(&events), "1"), ["10.1.1.20:3000"]);
}

#[test]
fn late_events_do_not_bring_back_a_call_that_was_left_or_has_ended() {
    let ended = CtiEvent::from(CallEnded {
        call: "81".into(),
        controlling_party: None,
    });
    for end in [call("1", "81", CallEventKind::ConnectionCleared), ended] {
        let directory = after(&[
            call("1", "81", CallEventKind::Established),
            media("1", "81", "10.1.1.20:2000"),
            end,
            media("1", "81", "10.1.1.20:2000"),
            call("1", "81", CallEventKind::Held),
            stopped("1", Some("81"), None, None),
        ]);
        assert!(addresses(&directory, "1").is_empty());
        assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls().len()), Some(0));
    }
}

#[test]
fn a_call_that_comes_back_to_an_agent_who_left_it_is_his_again() {
    let directory = after(&[
        call("1", "81", CallEventKind::Established),
        call("1", "81", CallEventKind::ConnectionCleared),
        call("1", "81", CallEventKind::Delivered),
        call("1", "81", CallEventKind::Established),
    ]);
    assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls().len()), Some(1));
}

#[test]
fn calls_that_are_over_are_forgotten_after_a_while() {
    let mut directory = AgentDirectory::default();
    for number in 0..1000_u64 {
        let (now, id) = (Instant::from_parts(number, 0), number.to_string());
        directory.handle_event(&call("1", &id, CallEventKind::Established), now);
        directory.handle_event(&call("1", &id, CallEventKind::ConnectionCleared), now);
        let ended = CallEnded {
            call: id.as_str().into(),
            controlling_party: None,
        };
        directory.handle_event(&ended.into(), now);
    }
    assert!(directory.call_count() <= 61, "{}", directory.call_count());
}

#[test]
fn a_call_rings_before_it_is_talked_on_in_whatever_order_that_is_told() {
    let directory = after(&[
        call("1", "81", CallEventKind::Established),
        call("1", "81", CallEventKind::Delivered),
    ]);
    let state = directory
        .agent(&"1".into())
        .and_then(|agent| Some(agent.call(&"81".into())?.state));
    assert_eq!(state, Some(CallState::Connected));
}

#[test]
fn a_renamed_call_goes_by_both_ids_until_it_ended() {
    let renamed = |from: &str, call: &str| {
        CtiEvent::from(CallRenamed {
            from: from.into(),
            call: call.into(),
        })
    };
    let mut directory = after(&[
        call("1", "81", CallEventKind::Established),
        media("1", "81", "10.1.1.20:2000"),
        renamed("81", "99"),
        renamed("81", "99"),
        call("1", "81", CallEventKind::Held),
    ]);
    let held = directory
        .agent(&"1".into())
        .and_then(|agent| agent.call_in_progress().cloned());
    assert_eq!(
        held.map(|call| (call.id, call.state)),
        Some(("99".into(), CallState::Held))
    );
    directory.handle_event(&stopped("1", Some("99"), None, None), NOW);
    assert!(addresses(&directory, "1").is_empty());
    directory.handle_event(&call("1", "99", CallEventKind::ConnectionCleared), NOW);
    assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls().len()), Some(0));
}

#[test]
fn media_of_a_nailed_up_line_survive_calls_and_their_repeated_ends() {
    let leg = CtiEvent::from(MediaStarted {
        agent: Some("1".into()),
        ..MediaStarted::at("10.1.1.20:2000".parse().expect("an address"))
    });
    let directory = after(&[
        leg,
        call("1", "81", CallEventKind::Established),
        media("1", "81", "10.1.1.20:2000"),
        stopped("1", Some("81"), None, None),
        stopped("1", Some("81"), None, None),
        call("1", "81", CallEventKind::ConnectionCleared),
    ]);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.20:2000"]);
}

#[test]
fn a_snapshot_replaces_and_never_merges() {
    let snapshot = CtiEvent::from(DeviceSnapshot {
        device: "3001".into(),
        calls: vec![SnapshotCall {
            call: "82".into(),
            kind: CallEventKind::Established,
            acd: Some(true),
        }],
    });
    let mut directory = after(&[
        state("1", AgentState::Talking),
        call("1", "81", CallEventKind::Established),
        snapshot.clone(),
    ]);
    let calls = |directory: &AgentDirectory| {
        let agent = directory.agent(&"1".into()).expect("known");
        agent.calls().iter().map(|call| call.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(calls(&directory), ["82".into()]);
    let difference = Resynchronised {
        device: "3001".into(),
        closed: vec!["81".into()],
        opened: vec!["82".into()],
    };
    assert_eq!(directory.take_notices(), [Notice::Resynchronised(difference)]);
    directory.handle_event(&snapshot, NOW);
    assert_eq!(
        (calls(&directory), directory.take_notices()),
        (vec!["82".into()], vec![])
    );
}

#[test]
fn skill_groups_that_repeat_a_state_change_nothing() {
    let mut directory = after(&[state("1", AgentState::Talking)]);
    let before = directory.agent(&"1".into()).cloned();
    directory.handle_event(&state("1", AgentState::Talking), Instant::from_parts(99, 0));
    assert_eq!(directory.agent(&"1".into()).cloned(), before);
}

#[test]
fn a_team_is_replaced_added_to_and_taken_from() {
    let team = |operation, members: &[(&str, bool)]| {
        let member = |(agent, supervisor): &(&str, bool)| TeamMember {
            agent: (*agent).into(),
            supervisor: *supervisor,
        };
        CtiEvent::from(TeamUpdate {
            team: "claims".into(),
            operation,
            members: members.iter().map(member).collect(),
        })
    };
    let supervises = |directory: &AgentDirectory| {
        let agent = directory.agent(&"1".into()).expect("known");
        directory.supervises(&"9".into(), &"1".into(), agent)
    };
    let mut directory = after(&[
        state("1", AgentState::Available),
        team(TeamOperation::Replace, &[("1", false)]),
        team(TeamOperation::Add, &[("9", true)]),
    ]);
    assert!(supervises(&directory));
    let agent = directory.agent(&"1".into()).expect("known");
    assert_eq!(directory.team(&"1".into(), agent), Some(&"claims".into()));
    directory.handle_event(&team(TeamOperation::Remove, &[("9", true)]), NOW);
    assert!(!supervises(&directory));
    directory.handle_event(&team(TeamOperation::Replace, &[("9", true)]), NOW);
    assert!(!supervises(&directory));
}

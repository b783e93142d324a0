//! The directory on its own: events in, calls and media out.

use silentmon_proto::cti::{AgentUpdate, CallEvent, CallEventKind, MediaStarted, MediaStopped};

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

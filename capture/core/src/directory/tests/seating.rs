//! Who sits where: shared lines, other desks, guests.

use silentmon_proto::cti::Hoteling;

use super::*;

fn at(agent: &str, extension: &str, device: Option<&str>, state: AgentState) -> CtiEvent {
    CtiEvent::from(AgentUpdate {
        extension: Some(extension.into()),
        device: device.map(Extension::from),
        ..AgentUpdate::new(agent, state)
    })
}

fn device_media(device: &str, call: Option<&str>, address: &str) -> CtiEvent {
    CtiEvent::from(MediaStarted {
        device: Some(device.into()),
        call: call.map(CallId::from),
        ..MediaStarted::at(address.parse().expect("an address"))
    })
}

fn device_call(device: &str, call: &str, kind: CallEventKind) -> CtiEvent {
    CallEvent::of_device(device, call, kind).into()
}

const TALKING: AgentState = AgentState::Talking;

#[test]
fn both_names_of_a_phone_mean_its_agent() {
    let directory = after(&[
        at("1", "4000", Some("SEP001122334455"), TALKING),
        device_call("4000", "81", CallEventKind::Established),
        device_media("SEP001122334455", Some("81"), "10.1.1.20:2000"),
    ]);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.20:2000"]);
    assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls().len()), Some(1));
}

#[test]
fn on_a_shared_line_an_event_that_names_nobody_is_nobodys_unless_the_call_tells() {
    let shared = [
        at("1", "4000", Some("SEP1"), TALKING),
        at("2", "4000", Some("SEP2"), TALKING),
    ];
    let mut directory = after(&shared);
    directory.handle_event(&device_media("4000", None, "10.1.1.20:2000"), NOW);
    assert!(addresses(&directory, "1").is_empty() && addresses(&directory, "2").is_empty());
    directory.handle_event(&call("2", "81", CallEventKind::Established), NOW);
    directory.handle_event(&device_media("4000", Some("81"), "10.1.1.21:2000"), NOW);
    assert!(addresses(&directory, "1").is_empty());
    assert_eq!(addresses(&directory, "2"), ["10.1.1.21:2000"]);
    directory.handle_event(&device_media("SEP1", None, "10.1.1.22:2000"), NOW);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.22:2000"], "the phone is his alone");
}

#[test]
fn an_agent_elsewhere_leaves_what_belonged_to_his_former_desk() {
    let directory = after(&[
        at("1", "4000", None, TALKING),
        device_call("4000", "81", CallEventKind::Established),
        device_media("4000", Some("81"), "10.1.1.20:2000"),
        at("1", "4001", None, AgentState::Available),
        device_media("4001", None, "10.1.1.21:2000"),
    ]);
    assert_eq!(addresses(&directory, "1"), ["10.1.1.21:2000"]);
    assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls().len()), Some(0));
}

#[test]
fn the_next_agent_at_a_desk_inherits_nothing_even_of_late_events() {
    let directory = after(&[
        at("1", "4000", None, TALKING),
        device_call("4000", "81", CallEventKind::Established),
        at("1", "4000", None, AgentState::Logout),
        device_call("4000", "81", CallEventKind::Held),
        device_media("4000", Some("81"), "10.1.1.20:2000"),
        at("2", "4000", None, AgentState::Available),
    ]);
    let calls = directory.agent(&"2".into()).map(|agent| agent.calls().len());
    assert_eq!((calls, addresses(&directory, "2").len()), (Some(0), 0));
}

#[test]
fn whoever_signs_in_at_a_phone_has_it_though_the_former_ones_sign_out_was_lost() {
    let mut directory = after(&[
        at("1", "4000", None, TALKING),
        at("2", "4000", None, TALKING),
        device_media("4000", None, "10.1.1.20:2000"),
    ]);
    assert_eq!(addresses(&directory, "2"), ["10.1.1.20:2000"]);
    // He is there after all: the phone tells nothing any more.
    directory.handle_event(&at("1", "4000", None, TALKING), NOW);
    directory.handle_event(&device_media("4000", None, "10.1.1.20:3000"), NOW);
    assert_eq!(addresses(&directory, "2"), ["10.1.1.20:2000"]);
    assert!(addresses(&directory, "1").is_empty());
}

#[test]
fn an_event_with_both_names_tells_who_sits_there_where_nobody_else_does() {
    let both = CtiEvent::from(CallEvent {
        agent: Some("1".into()),
        ..CallEvent::of_device("4000", "81", CallEventKind::Delivered)
    });
    let directory = after(&[
        device_media("4000", Some("81"), "10.1.1.20:2000"),
        both,
        device_call("4000", "81", CallEventKind::Established),
        at("1", "4009", None, TALKING),
    ]);
    assert_eq!(
        addresses(&directory, "1"),
        ["10.1.1.20:2000"],
        "a better word takes nothing away"
    );
    let state = directory
        .agent(&"1".into())
        .and_then(|agent| Some(agent.call(&"81".into())?.state));
    assert_eq!(state, Some(CallState::Connected));
}

#[test]
fn a_guest_signs_out_who_was_at_the_hosts_phone() {
    let hoteling = |host: Option<&str>| {
        CtiEvent::from(Hoteling {
            guest: "guest@x".into(),
            host: host.map(Extension::from),
        })
    };
    let directory = after(&[
        at("1", "4000", None, AgentState::Available),
        at("2", "guest@x", None, AgentState::Available),
        hoteling(Some("4000")),
        device_media("4000", None, "10.1.1.20:2000"),
        device_call("guest@x", "81", CallEventKind::Established),
    ]);
    assert!(addresses(&directory, "1").is_empty());
    assert_eq!(addresses(&directory, "2"), ["10.1.1.20:2000"]);
    assert_eq!(
        directory.agent(&"1".into()).and_then(|agent| agent.extension.clone()),
        None
    );
}

#[test]
fn a_guest_known_only_by_the_hosts_phone_is_followed_by_his_own_calls() {
    let hoteling = Hoteling {
        guest: "guest@x".into(),
        host: Some("4000".into()),
    };
    let directory = after(&[
        device_call("guest@x", "81", CallEventKind::Established),
        hoteling.into(),
        at("guest@x", "4000", None, AgentState::NotReady),
    ]);
    assert_eq!(
        directory.agent(&"guest@x".into()).map(|agent| agent.calls().len()),
        Some(1)
    );
}

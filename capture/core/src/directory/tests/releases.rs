//! Who released a call (requirements C8).

use silentmon_proto::cti::{CallEnded, ReleasingParty};

use super::*;

fn on(device: &str, kind: CallEventKind) -> CtiEvent {
    CallEvent::of_device(device, "81", kind).into()
}

fn cleared(device: &str, by: Option<ReleasingParty>) -> CtiEvent {
    CtiEvent::from(CallEvent {
        released_by: by,
        ..CallEvent::of_device(device, "81", CallEventKind::ConnectionCleared)
    })
}

fn by(directory: &AgentDirectory, device: &str) -> Option<ReleasingParty> {
    directory.last_release(&device.into()).map(|release| release.by)
}

const LOCAL: Option<ReleasingParty> = Some(ReleasingParty::Local);
const REMOTE: Option<ReleasingParty> = Some(ReleasingParty::Remote);
const UNKNOWN: Option<ReleasingParty> = Some(ReleasingParty::Unknown);

/// 3001 called 3002, who answered.
fn two_on_a_call() -> Vec<CtiEvent> {
    vec![
        on("3001", CallEventKind::Originated),
        on("3002", CallEventKind::Delivered),
        on("3001", CallEventKind::Established),
        on("3002", CallEventKind::Established),
    ]
}

fn after_both(endings: &[CtiEvent]) -> AgentDirectory {
    after(&[two_on_a_call(), endings.to_vec()].concat())
}

#[test]
fn local_on_one_side_is_remote_on_the_other_whatever_that_says() {
    for said in [REMOTE, UNKNOWN, LOCAL, None] {
        let directory = after_both(&[cleared("3001", LOCAL), cleared("3002", said)]);
        assert_eq!(
            (by(&directory, "3001"), by(&directory, "3002")),
            (LOCAL, REMOTE),
            "{said:?}"
        );
        assert_eq!(directory.controlling_party(&"81".into()), Some(&"3001".into()));
    }
}

#[test]
fn the_side_that_said_nothing_first_is_explained_by_the_other() {
    let directory = after_both(&[cleared("3001", None), cleared("3002", LOCAL)]);
    assert_eq!((by(&directory, "3001"), by(&directory, "3002")), (REMOTE, LOCAL));
    assert_eq!(directory.controlling_party(&"81".into()), Some(&"3002".into()));
}

#[test]
fn where_neither_says_who_nobody_is_to_blame() {
    let directory = after_both(&[cleared("3001", None), cleared("3002", UNKNOWN)]);
    assert_eq!((by(&directory, "3001"), by(&directory, "3002")), (UNKNOWN, UNKNOWN));
    assert_eq!(directory.controlling_party(&"81".into()), None);
}

#[test]
fn leaving_a_conference_is_the_leavers_own_and_ends_it_for_nobody_else() {
    let mut events = two_on_a_call();
    events.extend([on("3003", CallEventKind::Conferenced), cleared("3001", LOCAL)]);
    let directory = after(&events);
    assert_eq!(
        (by(&directory, "3001"), by(&directory, "3002"), by(&directory, "3003")),
        (LOCAL, None, None)
    );
    assert_eq!(directory.controlling_party(&"81".into()), None);
    events.extend([cleared("3003", LOCAL), cleared("3002", None)]);
    let directory = after(&events);
    assert_eq!((by(&directory, "3002"), by(&directory, "3003")), (REMOTE, LOCAL));
}

#[test]
fn a_rejected_call_is_released_by_the_phone_that_rang() {
    let events = [
        on("3001", CallEventKind::Originated),
        on("3002", CallEventKind::Delivered),
        cleared("3002", LOCAL),
        cleared("3001", None),
    ];
    let directory = after(&events);
    assert_eq!((by(&directory, "3001"), by(&directory, "3002")), (REMOTE, LOCAL));
}

#[test]
fn a_busy_destination_releases_the_caller_from_afar() {
    let failed = CtiEvent::from(CallEvent {
        released_by: REMOTE,
        ..CallEvent::of_device("3001", "81", CallEventKind::Failed)
    });
    let directory = after(&[on("3001", CallEventKind::Originated), failed]);
    assert_eq!(by(&directory, "3001"), REMOTE);
    assert_eq!(directory.last_release(&"3002".into()), None);
}

#[test]
fn the_end_of_the_call_names_its_controlling_party_where_the_source_does() {
    let mut directory = after(&two_on_a_call());
    directory.take_notices();
    let ended = CallEnded {
        call: "81".into(),
        controlling_party: Some("3002".into()),
    };
    directory.handle_event(&ended.into(), NOW);
    let ended = Notice::CallEnded {
        call: "81".into(),
        controlling_party: Some("3002".into()),
    };
    assert_eq!(directory.take_notices(), [ended]);
}

#[test]
fn a_repeated_release_is_told_once() {
    let mut directory = after_both(&[cleared("3001", LOCAL), cleared("3002", None)]);
    let told = directory.take_notices().len();
    directory.handle_event(&cleared("3001", REMOTE), NOW);
    assert_eq!((told, by(&directory, "3001")), (2, LOCAL));
    assert!(directory.take_notices().is_empty());
}

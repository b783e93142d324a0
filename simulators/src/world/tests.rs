//! What is told of scripts, in short words.

use silentmon_proto::cti::script;

use super::*;

/// What is told of a script, in short words.
fn told(script: &str) -> Vec<String> {
    let mut world = World::default();
    let steps = script::parse(script).expect("a good script");
    let happenings = steps
        .into_iter()
        .flat_map(|step| world.apply(step.event))
        .collect::<Vec<_>>();
    happenings.iter().map(in_short).collect()
}

fn in_short(happening: &Happening) -> String {
    match happening {
        Happening::Agent { agent, state, .. } => format!("{agent} {state:?}"),
        Happening::CallBegan(told) => format!("{} began", told.call),
        Happening::Call {
            told,
            kind,
            merged: None,
            ..
        } => format!("{} {kind:?} {}", told.call, told.party.extension),
        Happening::Call {
            told,
            kind,
            merged: Some(gone),
            parties,
            ..
        } => {
            let parties: Vec<_> = parties.iter().map(Extension::as_str).collect();
            format!(
                "{} {kind:?} {} takes {gone}: {}",
                told.call,
                told.party.extension,
                parties.join(" ")
            )
        }
        Happening::CallRenamed { told, from } => format!("{from} is now {}", told.call),
        Happening::CallEnded { call, .. } => format!("{call} ended"),
        Happening::MediaStarted(media) => format!("{:?} of {} at {}", media.direction, media.call, media.address),
        Happening::MediaStopped(media) => format!("{:?} of {} stopped", media.direction, media.call),
        Happening::Team { team, members, .. } => format!("{} in {team}", members.len()),
        Happening::Hoteling { guest, host, .. } => format!("{guest} at {host:?}"),
        Happening::Replaced(party) => format!("{} replaced", party.extension),
    }
}

const ON_A_CALL: &str = r#"
    {"at":0,"event":"call","device":"3001","call":"1","kind":"established"}
    {"at":0,"event":"media_started","device":"3001","call":"1","address":"10.1.1.20:4000","direction":"receive"}
"#;

fn on_a_call_then(rest: &str) -> Vec<String> {
    told(&format!("{ON_A_CALL}{rest}")).split_off(4)
}

#[test]
fn an_answer_is_preceded_by_what_a_switch_says_before() {
    let expected = [
        "1 began",
        "1 Delivered 3001",
        "1 Established 3001",
        "Receive of 1 at 10.1.1.20:4000",
    ];
    assert_eq!(told(ON_A_CALL), expected);
}

#[test]
fn media_stop_while_a_call_is_held_and_come_back() {
    let seen = on_a_call_then(
        r#"
        {"at":0,"event":"call","device":"3001","call":"1","kind":"held"}
        {"at":0,"event":"call","device":"3001","call":"1","kind":"retrieved"}
        {"at":0,"event":"call","device":"3001","call":"1","kind":"connection_cleared"}
    "#,
    );
    let expected = [
        "1 Held 3001",
        "Receive of 1 stopped",
        "1 Retrieved 3001",
        "Receive of 1 at 10.1.1.20:4000",
        "Receive of 1 stopped",
        "1 ConnectionCleared 3001",
        "1 ended",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_script_that_says_where_media_come_back_is_not_talked_over() {
    let seen = on_a_call_then(
        r#"
        {"at":0,"event":"call","device":"3001","call":"1","kind":"held"}
        {"at":0,"event":"media_stopped","device":"3001","call":"1"}
        {"at":0,"event":"call","device":"3001","call":"1","kind":"retrieved"}
        {"at":0,"event":"media_started","device":"3001","call":"1","address":"10.1.1.20:4002","direction":"receive"}
    "#,
    );
    let expected = [
        "1 Held 3001",
        "Receive of 1 stopped",
        "1 Retrieved 3001",
        "Receive of 1 at 10.1.1.20:4002",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_conference_takes_the_other_call_in_and_a_rename_keeps_both_ids() {
    let seen = on_a_call_then(
        r#"
        {"at":0,"event":"call","device":"3001","call":"2","kind":"originated","called":"3002"}
        {"at":0,"event":"call","device":"3002","call":"2","kind":"established"}
        {"at":0,"event":"call","device":"3001","call":"1","kind":"conferenced"}
        {"at":0,"event":"call_renamed","from":"2","call":"1"}
        {"at":0,"event":"call_renamed","from":"1","call":"7"}
        {"at":0,"event":"call","device":"3002","call":"2","kind":"connection_cleared"}
        {"at":0,"event":"call_ended","call":"7","controlling_party":"3001"}
    "#,
    );
    let expected = [
        "2 began",
        "2 Originated 3001",
        "2 Delivered 3002",
        "2 Established 3002",
        "1 Conferenced 3001 takes 2: 3001 3002",
        "2 ended",
        "1 is now 7",
        "7 ConnectionCleared 3002",
        "Receive of 7 stopped",
        "7 ConnectionCleared 3001",
        "7 ended",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_transfer_leaves_the_others_connected() {
    let seen = on_a_call_then(
        r#"
        {"at":0,"event":"call","device":"3001","call":"2","kind":"originated","called":"3002"}
        {"at":0,"event":"call","device":"3002","call":"2","kind":"established"}
        {"at":0,"event":"call","device":"3001","call":"1","kind":"transferred"}
    "#,
    );
    let expected = ["1 Transferred 3001 takes 2: 3002", "2 ended", "Receive of 1 stopped"];
    assert_eq!(seen[4..], expected);
}

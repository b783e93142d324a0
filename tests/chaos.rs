//! The rehearsal of failures: that its judge finds what is wrong, by logs that were written for it, and a short one with real
//! members.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

#[path = "common/punctual.rs"]
mod punctual;

use std::path::Path;
use std::process::{Command, Output};

use punctual::{BEARABLE, on_a_machine_that_keeps_time};
use serde_json::{Value, json};

fn chaos(arguments: &[&str]) -> Option<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/chaos");
    match Command::new(script).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: python3 is needed: {error}");
            None
        }
    }
}

/// One minute: anna hears agent 1000, whose voice passes the mirrors of site2 and then of site3, at site1. That is killed
/// at second 20, and she goes on at site2.
fn rehearsal() -> Value {
    let fault = |what: &str, key: &str, which: Value, begin: f64, end: f64| json!({"what": what, key: which, "begin": begin, "end": end});
    let record = |second: u8, event: &str| json!({"at": format!("1970-01-01T00:01:{second:02}.000000Z"), "event": event, "session": "s1", "supervisor": "anna", "agent": "1000"});
    json!({
        "first": 60.0, "last": 115.0, "members": [1, 2, 3], "agents": [1000], "broken": [],
        "faults": [fault("kill", "member", json!(1), 80.0, 82.0)],
        "cti": [fault("CTI side killed", "side", json!("a"), 70.0, 75.0)],
        "shown": [{"at": 50.0, "agent": 1000, "members": [2]}, {"at": 95.0, "agent": 1000, "members": [3]}],
        "standstills": [[100.0, 0.2]],
        "holders": [[50.0, 1], [80.2, 2]],
        "listeners": {"anna": {
            "rows": {"1000": {"packets": 5400, "foreign": 0, "twice": 0, "median": 900, "late": 2000,
                "gaps": [[80.0, 0.45], [95.0, 0.9], [100.0, 0.25]]}},
            "said": ["# 55.0 connected site1", "# 55.1 1000 starts", "# 80.4 connected site2", "# 80.45 1000 goes on after 0.45 s", "# 115.0 over"],
        }},
        "journals": {
            "1": [record(0, "session_started"), {"at": "1970-01-01T00:01:22.000000Z", "event": "service_started"}],
            "2": [record(0, "session_started")],
            "3": [],
        },
    })
}

/// What the judge finds wrong in a rehearsal that was changed.
fn wrong(change: impl FnOnce(&mut Value)) -> Option<Vec<String>> {
    let mut log = rehearsal();
    change(&mut log);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.json");
    std::fs::write(&path, log.to_string()).expect("writes");
    let output = chaos(&["--judge", path.to_str().expect("a UTF-8 path")])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("wrong\t"))
        .map(ToOwned::to_owned)
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), found.is_empty(), "{text}{errors}");
    Some(found)
}

#[test]
fn a_rehearsal_in_which_all_went_well_is_found_right() {
    let Some(found) = wrong(|_| {}) else { return };
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_gap_that_two_faults_explain_only_together_is_right() {
    let found = wrong(|log| {
        row(log)["gaps"] = json!([[80.0, 13.0]]);
        let slow = json!({"what": "slow", "member": 2, "begin": 85.0, "end": 86.0});
        log["faults"].as_array_mut().expect("faults").push(slow);
    });
    let Some(found) = found else { return };
    assert_eq!(found, [""; 0]);
}

#[test]
fn each_thing_that_went_wrong_is_found() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 12] = [
        ("foreign packets", |log| row(log)["foreign"] = json!(1)),
        ("twice", |log| row(log)["twice"] = json!(1)),
        ("no journal has it", |log| log["journals"]["2"] = json!([])),
        ("isn't whole", |log| log["broken"] = json!([3])),
        ("nothing was broken on the way", |log| {
            row(log)["gaps"] = json!([[71.0, 0.2]]);
        }),
        ("nothing was broken on the way", |log| log["standstills"] = json!([])),
        ("at the end", |log| row(log)["gaps"] = json!([[112.0, 2.0]])),
        ("went on 1.20 s after site1 was killed", |log| {
            said(log, 3, "# 81.20 1000 goes on after 1.20 s");
        }),
        ("didn't go on after site1 was killed", |log| {
            said(log, 3, "# 80.5 1000 stumbles");
        }),
        ("went on 21.00 s after site1 fell silent", |log| {
            log["faults"][0]["what"] = json!("unplug");
            said(log, 3, "# 101.00 1000 goes on after 21.00 s");
        }),
        ("lost his session", |log| said(log, 3, "# 80.45 1000 starts")),
        ("nobody took the CTI sessions", |log| {
            log["holders"] = json!([[50.0, 1]]);
        }),
    ];
    for (sentence, change) in cases {
        let Some(found) = wrong(change) else { return };
        assert!(
            found.iter().any(|found| found.contains(sentence)),
            "{sentence}: {found:?}"
        );
    }
}

fn row(log: &mut Value) -> &mut Value {
    &mut log["listeners"]["anna"]["rows"]["1000"]
}

fn said(log: &mut Value, line: usize, words: &str) {
    log["listeners"]["anna"]["said"][line] = json!(words);
}

#[test]
fn a_home_dies_a_cable_is_slow_and_agents_move_and_everybody_hears_on() {
    let program = Path::new(env!("CARGO_BIN_EXE_silentmon"));
    let beside = program.parent().expect("a folder").join("examples/hearing");
    if !beside.exists() {
        return eprintln!("skipped: the example hearing of silentmon-playback-io isn't built");
    }
    on_a_machine_that_keeps_time(BEARABLE, || {
        let program = program.to_str().expect("a UTF-8 path");
        let Some(output) = chaos(&["--short", "--agents", "2", "--program", program]) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        eprintln!("{said}{errors}");
    });
}

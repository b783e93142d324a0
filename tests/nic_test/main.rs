//! `silentmon nic-test` on a pair of interfaces in a network namespace, with faults in the kernel between wire and capture.
//! Needs root; skipped without.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod lab;
mod matrix;
#[path = "../common/namespace.rs"]
mod namespace;

use std::process::Command;
use std::time::Duration;

use common::said;
use lab::{GENERATOR, Lab, TARGET};
use namespace::in_namespace;
use serde_json::json;

#[test]
fn one_command_on_each_side_qualifies_and_both_say_so() {
    if !in_namespace("one_command_on_each_side_qualifies_and_both_say_so") {
        return;
    }
    let lab = Lab::build();
    let receiving = lab.start(&["receive", TARGET, "--json"]);
    let sent = lab.run(
        &[
            &["send", GENERATOR, "--to", &lab.address(TARGET), "--json"],
            lab::SHORT_BURST,
        ]
        .concat(),
    );
    let (code, verdict) = lab::finish(receiving);
    assert_eq!((code, &verdict["verdict"]), (0, &json!("qualified")), "{verdict}");
    let sent: serde_json::Value = serde_json::from_slice(&sent.stdout).expect("JSON");
    assert_eq!(sent["verdict"], json!("qualified"), "{sent}");
    assert_eq!(sent["session"], verdict["parties"]["session"]);
    assert_eq!(sent["sent"]["SMNIC-1"], json!(5));
}

#[test]
fn a_wire_of_one_direction_is_enough() {
    if !in_namespace("a_wire_of_one_direction_is_enough") {
        return;
    }
    let lab = Lab::build();
    let receiving = lab.start(&["receive", TARGET, "--silent", "--json", "--session", "00c0ffee"]);
    // The target must listen before it is spoken to but once.
    std::thread::sleep(Duration::from_millis(400));
    for session in ["1", "c0ffee"] {
        let arguments = [
            "send",
            GENERATOR,
            "--one-way",
            "--session",
            session,
            "--to",
            &lab.address(TARGET),
        ];
        let sent = lab.run(&[&arguments, lab::SHORT_BURST].concat());
        assert!(sent.status.success(), "{}", said(&sent));
    }
    let (code, verdict) = lab::finish(receiving);
    assert_eq!((code, &verdict["verdict"]), (0, &json!("qualified")), "{verdict}");
    assert_eq!(verdict["parties"]["session"], json!("0000000000c0ffee"));
    assert!(verdict["others"]["other_sessions"].as_u64() > Some(100), "{verdict}");
}

#[test]
fn the_classic_sample_is_written_replayed_and_recognised() {
    if !in_namespace("the_classic_sample_is_written_replayed_and_recognised") {
        return;
    }
    let lab = Lab::build();
    let folder = tempfile::tempdir().expect("a folder");
    let sample = folder.path().join("sample.pcap");
    let sample = sample.to_str().expect("UTF-8");
    assert!(lab.run(&["sample", sample]).status.success());
    let receiving = lab.start(&["receive", TARGET, "--for", "2", "--json"]);
    std::thread::sleep(Duration::from_millis(500));
    let sent = lab.run(&[
        "send",
        GENERATOR,
        "--file",
        sample,
        "--to",
        &lab.address(TARGET),
        "--json",
    ]);
    assert_eq!(said(&sent), "{\"interface\":\"smsend\",\"left_out\":0,\"sent\":5}\n");
    let (code, verdict) = lab::finish(receiving);
    assert_eq!((code, &verdict["verdict"]), (2, &json!("inconclusive")), "{verdict}");
    assert_eq!(verdict["others"]["classic"], json!(5));
    assert!(
        verdict["notes"].to_string().contains("Classic sample frames seen"),
        "{verdict}"
    );
}

#[test]
fn a_setting_that_helps_is_found_and_put_back() {
    if !in_namespace("a_setting_that_helps_is_found_and_put_back") {
        return;
    }
    let lab = Lab::build();
    lab.set_mtu(TARGET, 1500);
    let before = lab.facts(TARGET);
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    let report = page.to_str().expect("UTF-8");
    let arguments = [
        "qualify",
        TARGET,
        "--generator",
        GENERATOR,
        "--json",
        "--try-fixes",
        "--report",
        report,
    ];
    let (code, verdict) = lab.verdict(&[&arguments, lab::SHORT_BURST].concat());
    assert_eq!(
        (code, &verdict["verdict"]),
        (0, &json!("qualified_with_notes")),
        "{verdict}"
    );
    let trials = verdict["trials"].as_array().expect("trials");
    let helped: Vec<_> = trials
        .iter()
        .filter(|trial| trial["helped"] == json!(["SMNIC-9"]))
        .collect();
    assert_eq!(helped.len(), 1, "{verdict}");
    assert_eq!(
        (&helped[0]["setting"], &helped[0]["to"]),
        (&json!("mtu"), &json!("1508"))
    );
    assert!(
        trials.len() > 1 && trials.iter().all(|trial| trial["put_back"] == json!(true)),
        "{verdict}"
    );
    assert_eq!(lab.facts(TARGET), before, "every setting is as it was");
    let page = std::fs::read_to_string(page).expect("a report");
    for words in ["QUALIFIED WITH NOTES", "SMNIC-9", "veth", "mtu"] {
        assert!(page.contains(words), "{words} in {page}");
    }
}

#[test]
fn a_test_that_is_interrupted_puts_settings_back() {
    if !in_namespace("a_test_that_is_interrupted_puts_settings_back") {
        return;
    }
    let lab = Lab::build();
    let before = lab.facts(TARGET);
    let fault = faults::Fault::DropsTagged
        .attach(lab.index(TARGET), lab.octets(TARGET))
        .expect("a fault");
    let arguments = ["qualify", TARGET, "--generator", GENERATOR, "--try-fixes"];
    let mut running = lab.start(&[&arguments[..], &["--burst-seconds", "1", "--burst-rate", "2000"]].concat());
    let begun = std::time::Instant::now();
    while lab.facts(TARGET) == before {
        assert!(begun.elapsed() < Duration::from_secs(15), "nothing was tried");
        std::thread::sleep(Duration::from_millis(10));
    }
    let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(running.wait().expect("it ends").code(), Some(2));
    assert_eq!(lab.facts(TARGET), before, "every setting is as it was");
    drop(fault);
}

#[test]
fn what_cannot_be_tested_gets_one_sentence() {
    let output = common::run(&["nic-test", "receive", "nosuch0"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(said(&output).contains("none called 'nosuch0'"), "{}", said(&output));
    let output = common::run(&["nic-test", "explain", "SMNIC-99"]);
    assert_eq!(output.status.code(), Some(64));
    let output = common::run(&["nic-test", "explain"]);
    assert!(said(&output).contains("SMNIC-13"), "{}", said(&output));
}

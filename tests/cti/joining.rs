//! A supervisor joins the call he listens to, through the CTI link.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::common::said;
use super::media::{Mirror, Talk};
use super::stage::{Place, Source, Stage};

const CALL: &str = r#"
{"at":0.0,"event":"agent_state","agent":"3001","extension":"3001","state":"available"}
{"at":1.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":1.0,"event":"media_started","agent":"3001","device":"3001","call":"81","address":"10.1.1.20:24678","remote":"10.1.1.99:18000","codec":"PCMU"}
"#;
const DEVICES: &str = "[devices]\n\"3001\" = \"10.1.1.20\"\n";

/// Listens, types a key and waits until the simulated source was asked for what it stands for: what the supervisor's
/// program said, and the audit journal.
fn joins(source: Source, key: &str, asked: &str) -> (String, String) {
    let stage = Stage::build(source, Place::File, "", DEVICES);
    stage.record(&Mirror::lasting(14.0).talk(Talk {
        phone: "10.1.1.20:24678",
        far: "10.1.1.99:18000",
        tones: [300, 500],
        from: 1.0,
        to: 14.0,
    }));
    let _simulator = stage.simulate(CALL, &[]);
    let _service = stage.serve();
    stage.wait_for_agents(|agents| agents.contains("\"SM-0000\""));
    let more = ["--output", "null", "--for", "6", "--supervisor-device", "3999"];
    let mut supervisor = stage
        .house
        .listen("anna", "3001", stage.server, &more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("listen starts");
    std::thread::sleep(Duration::from_secs(2));
    let mut keyboard = supervisor.stdin.take().expect("a keyboard");
    keyboard.write_all(key.as_bytes()).expect("types");
    let begun = Instant::now();
    while !stage.requests().contains(asked) && begun.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = supervisor.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON summary");
    let audible = summary["audible_s"].as_f64().expect("a sum");
    let taken_over = key == "i\n" && source == Source::CtiServer;
    assert_eq!(
        audible > 4.0,
        !taken_over,
        "listening goes on while the agent is in the call: {summary}"
    );
    let audit = std::fs::read_to_string(stage.house.path("audit.jsonl")).expect("a journal");
    let requests = stage.requests();
    assert_eq!(requests.contains(asked), key == "b\n" || taken_over, "{requests}");
    (said(&output), audit)
}

#[test]
fn a_supervisor_joins_a_call_through_a_cti_server() {
    let (said, audit) = joins(Source::CtiServer, "b\n", "SUPERVISE_CALL");
    assert!(audit.contains("barge_in") && audit.contains("3999"), "{audit}");
    assert!(!said.contains("can't"), "{said}");
}

#[test]
fn a_supervisor_takes_a_call_over_through_a_cti_server() {
    let (_, audit) = joins(Source::CtiServer, "i\n", "SUPERVISE_CALL");
    assert!(audit.contains("intercept"), "{audit}");
}

#[test]
fn a_supervisor_joins_a_call_through_a_csta_switch_and_cannot_take_it_over() {
    let (_, audit) = joins(Source::Csta, "b\n", "SingleStepConferenceCall");
    assert!(audit.contains("barge_in"), "{audit}");
    joins(Source::Csta, "i\n", "SingleStepConferenceCall");
}

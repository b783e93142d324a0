//! The main job from a capture file on: capture service, relay, `listen`. No root needed; what is heard must be the
//! samples of the exact decode.
#![allow(clippy::expect_used, reason = "a test that can't go on panics")]

mod common;

use std::time::Duration;

use common::punctual::{BEARABLE, on_a_machine_that_keeps_time};
use common::{House, common_run, exact, fixture, said, wav_channels};

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");
const RATE: usize = 8000;

fn source(pace: &str) -> String {
    let call = fixture("call.pcap.gz");
    format!("{{ file = '{}', pace = \"{pace}\", loop = true }}", call.display())
}

#[test]
fn what_is_heard_over_the_relay_is_the_exact_decode() {
    on_a_machine_that_keeps_time(BEARABLE, hears_the_exact_decode);
}

fn hears_the_exact_decode() {
    let house = House::build();
    let server = house.configure(&source("real"), EVENTS, "recording = \"allowed\"");
    let service = house.start();
    let wav = house.text("heard.wav");
    let output = house
        .listen(
            "anna",
            "4711",
            server,
            &["--output", &format!("wav:{wav}"), "--for", "12"],
        )
        .output()
        .expect("listen runs");
    assert!(output.status.success(), "{}", said(&output));

    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON summary");
    assert_eq!(summary["agent"], "4711");
    assert_eq!(summary["server"], "gw1");
    assert_eq!(summary["calls"], serde_json::json!(["81"]));
    let heard = wav_channels(wav.as_ref());
    assert_eq!(heard.len(), 2, "agent left, customer right");
    for (leg, heard) in ["agent", "customer"].iter().zip(heard) {
        let (begin, length) = common_run(&heard, &exact(&house, leg));
        assert!(begin < 2 * RATE, "{leg}: identical from sample {begin} on");
        assert!(length > 9 * RATE, "{leg}: {length} samples identical, then they differ");
        let counts = &summary["legs"][leg];
        assert_eq!(
            (&counts["lost_on_relay"], &counts["lost_in_call"]),
            (&0.into(), &0.into()),
            "{summary}"
        );
    }
    let (code, took) = service.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "SIGTERM took {took:?}");
    let audit = std::fs::read_to_string(house.path("audit.jsonl")).expect("an audit journal");
    assert!(
        audit.contains("session_started") && audit.contains("session_stopped"),
        "{audit}"
    );
}

#[test]
fn recording_is_refused_unless_policy_allows_it() {
    let house = House::build();
    let server = house.configure(&source("real"), EVENTS, "");
    let _service = house.start();
    let wav = format!("wav:{}", house.text("no.wav"));
    let output = house
        .listen("anna", "4711", server, &["--output", &wav, "--for", "5"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(said(&output).contains("SM-1003"), "{}", said(&output));
}

#[test]
fn two_supervisors_hear_the_same_agent() {
    let house = House::build();
    let server = house.configure(&source("real"), EVENTS, "");
    let _service = house.start();
    let listen = |supervisor| {
        house
            .listen(supervisor, "4711", server, &["--output", "null", "--for", "4"])
            .output()
    };
    let summaries = std::thread::scope(|scope| {
        let both = ["anna", "bert"].map(|supervisor| scope.spawn(move || listen(supervisor).expect("runs")));
        both.map(|one| one.join().expect("no panic"))
    });
    for output in summaries {
        assert!(output.status.success(), "{}", said(&output));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON summary");
        assert!(
            summary["legs"]["customer"]["received"].as_u64() > Some(100),
            "{summary}"
        );
        assert_eq!(summary["reason"], "SM-0000");
    }
}

#[test]
fn an_agent_nobody_knows_is_named_in_the_refusal() {
    let house = House::build();
    let server = house.configure(&source("real"), EVENTS, "");
    let _service = house.start();
    let output = house
        .listen("anna", "9999", server, &["--output", "null", "--for", "3"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(
        said(&output).contains("SM-1210") && said(&output).contains("9999"),
        "{}",
        said(&output)
    );
}

#[test]
fn agents_are_listed_with_whether_they_can_be_heard() {
    let house = House::build();
    let server = house.configure(&source("real"), EVENTS, "");
    let _service = house.start();
    std::thread::sleep(Duration::from_secs(2)); // Until the first packets of the call have passed.
    let arguments = ["agents", "--json", "--server", &server.to_string()].map(str::to_owned);
    let output = common::silentmon()
        .args(arguments)
        .args(["--identity", &house.text("anna.pem"), "--ca", &house.text("ca.pem")])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", said(&output));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a JSON array");
    let marko = rows
        .iter()
        .find(|row| row["agent"] == "4711")
        .expect("agent 4711 is listed");
    assert_eq!(
        (&marko["name"], &marko["audible"], &marko["server"]),
        (&"Marko Kern".into(), &true.into(), &"gw1".into())
    );
}

#[test]
fn a_server_that_nobody_runs_is_said_in_one_sentence() {
    let house = House::build();
    let nobody = common::free_address();
    let output = house
        .listen("anna", "4711", nobody, &["--output", "null", "--for", "2"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(
        said(&output).contains("SM-2001") && said(&output).contains(&nobody.to_string()),
        "{}",
        said(&output)
    );
}

#[test]
fn certificates_of_a_stranger_or_of_the_wrong_role_are_refused_by_name() {
    let (house, stranger) = (House::build(), House::build());
    let server = house.configure(&source("real"), EVENTS, "");
    let _service = house.start();
    let wrong_ca = stranger
        .listen("anna", "4711", server, &["--output", "null", "--for", "2"])
        .output()
        .expect("runs");
    assert_eq!(wrong_ca.status.code(), Some(69), "{}", said(&wrong_ca));
    assert!(said(&wrong_ca).contains("SM-2002"), "{}", said(&wrong_ca));
    let wrong_role = house
        .listen("gw1", "4711", server, &["--output", "null", "--for", "2"])
        .output()
        .expect("runs");
    assert_eq!(wrong_role.status.code(), Some(69), "{}", said(&wrong_role));
    assert!(said(&wrong_role).contains("SM-2002"), "{}", said(&wrong_role));
}

//! `span-check` at a mirror port: a veth pair in network namespaces, into which a variant of the call is played.

#[path = "../live/lab.rs"]
#[allow(dead_code, reason = "the laboratory of tests/live, of which this uses a part")]
mod lab;

use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{INTERFACE, Lab, Running};
use serde_json::{Value, json};

use crate::codes;
use crate::common::{House, said, silentmon};

/// What `span-check` says that is interrupted (SIGINT) four seconds into a variant, and its exit code; `None` where there
/// can be no laboratory.
fn check(variant: &str) -> Option<(Option<i32>, Value, String)> {
    let lab = Lab::build()?;
    let house = House::empty();
    let capture = lab::media(&house, variant, "81");
    let mut command = silentmon();
    command.args(["span-check", INTERFACE, "--for", "60", "--json"]);
    let running = lab
        .inside(&command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let player: Running = lab.play(&capture);
    std::thread::sleep(Duration::from_secs(4));
    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(interrupted.expect("kill runs").success());
    let output = running.wait_with_output().expect("it ends");
    drop(player);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    Some((output.status.code(), document, said(&output)))
}

#[test]
fn a_live_call_is_healthy_and_the_port_promiscuous() {
    let Some((code, document, said)) = check("call") else {
        return;
    };
    assert_eq!((code, codes(&document)), (Some(0), vec![]), "{said}");
    assert_eq!(
        (&document["source"], &document["link"]["promiscuous"]),
        (&json!(INTERFACE), &json!(true))
    );
    assert_eq!(document["link"]["carrier"], true);
    assert_eq!(document["tags"]["stacks"][0]["vlan"], json!([200]), "{said}");
    assert_eq!(document["calls"]["two_way"], 1, "{said}");
    assert!(document["destinations"]["foreign"].as_u64() > Some(100), "{said}");
    assert_eq!(
        (&document["counters"]["dropped"], &document["rtp"]["lost"]),
        (&json!(0), &json!(0)),
        "{said}"
    );
}

#[test]
fn a_port_that_nothing_is_mirrored_to_is_said() {
    let Some(lab) = Lab::build() else { return };
    let mut command = silentmon();
    command.args(["span-check", INTERFACE, "--for", "1", "--json"]);
    let output = lab.inside(&command).output().expect("it runs");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Neighbours of IPv6 may greet each other on a link that just came up.
    assert!(
        matches!(codes(&document).as_slice(), ["SM-2101" | "SM-2104"]),
        "{document}"
    );
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}", said(&output));
}

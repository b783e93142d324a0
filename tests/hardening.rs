//! The running capture service has given up what it doesn't need, and lives its whole life without.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;

use common::{House, Service, fixture, run, said};

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");

/// A house whose journal has a folder of its own and whose configuration goes on with `more`.
fn build(more: &str) -> (House, std::net::SocketAddr) {
    let house = House::build();
    let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
    let server = house.configure(&source, EVENTS, "");
    std::fs::create_dir(house.path("state")).expect("a folder");
    change(&house, |config| {
        config.replace("\"audit.jsonl\"", "\"state/audit.jsonl\"\nrotate_mib = 1") + more
    });
    (house, server)
}

fn change(house: &House, change: impl FnOnce(String) -> String) {
    let path = house.path("capture.toml");
    let config = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(house.path("capture.new"), change(config)).expect("writes");
    std::fs::rename(house.path("capture.new"), path).expect("replaces");
}

/// A key that must stand before the first section.
fn at_the_top(config: &str, line: &str) -> String {
    config.replacen("schema = 1\n", &format!("schema = 1\n{line}\n"), 1)
}

fn start_with_log(house: &House) -> (Service, Vec<String>) {
    let mut command = common::silentmon();
    command.args(["capture", "--config", &house.text("capture.toml")]);
    Service::start_with_log(command)
}

/// The service, and the line in which it says what it has given up.
fn start(house: &House) -> (Service, String) {
    let (service, log) = start_with_log(house);
    let line = log.into_iter().find(|line| line.contains("hardening: no dumps"));
    (service, line.expect("it says what it has given up"))
}

fn heard(house: &House, server: std::net::SocketAddr) -> bool {
    let more = ["--output", "null", "--for", "1", "--reason", "coaching"];
    let output = house.listen("anna", "4711", server, &more).output().expect("runs");
    output.status.success()
}

#[test]
fn no_thread_of_the_service_holds_what_it_has_given_up() {
    let (house, server) = build("");
    let (service, said) = start(&house);
    assert!(
        heard(&house, server),
        "a supervisor connected, so that every thread runs"
    );
    for (key, wanted) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        let found = service.threads(key);
        assert!(
            found.len() > 2 && found.iter().all(|value| value == wanted),
            "{key} {found:?}"
        );
    }
    if said.contains("seccomp") {
        let found = service.threads("Seccomp:");
        assert!(found.iter().all(|mode| mode == "2"), "{found:?}");
    } else {
        eprintln!("skipped: no seccomp here: {said}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).expect("reads");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "neither soft nor hard");
}

#[test]
fn a_confined_service_reloads_and_rotates_and_ends_as_it_should() {
    let (house, server) = build("");
    let (service, _) = start(&house);
    assert!(heard(&house, server));
    // Half a MiB of rules, written down twice: more than the journal may hold.
    let many = "n".repeat(600 << 10);
    std::fs::write(house.path("phones.toml"), "\"3001\" = \"10.1.1.20\"\n").expect("writes");
    for round in 0..2 {
        change(&house, |config| match round {
            0 => at_the_top(&config, "devices_file = \"phones.toml\"") + &format!("[teams]\nnobody = [\"{many}\"]\n"),
            _ => config,
        });
        service.hang_up();
        service.wait_for_line(|line| line.contains("configuration reloaded"));
    }
    assert!(heard(&house, server), "the rules and the rotated journal hold");
    let (code, _) = service.terminate();
    assert_eq!(code, Some(0));
    let parts = std::fs::read_dir(house.path("state")).expect("a folder");
    let mut parts: Vec<_> = parts
        .map(|part| part.expect("a part").path())
        .filter(|part| part.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|part| part.to_str().expect("a UTF-8 path").to_owned())
        .collect();
    parts.sort();
    assert!(parts.len() > 1, "{parts:?}");
    let mut verify = vec!["audit", "verify"];
    verify.extend(parts.iter().map(String::as_str));
    let output = run(&verify);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_file_that_the_configuration_did_not_name_at_the_start_cannot_be_read() {
    let (house, _) = build("");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let secret = elsewhere.path().join("phones.toml");
    std::fs::write(&secret, "\"3001\" = \"10.1.1.20\"\n").expect("writes");
    let (service, said) = start(&house);
    if !said.contains("landlock") {
        return eprintln!("skipped: no Landlock here: {said}");
    }
    let top = format!("devices_file = '{}'", secret.display());
    change(&house, |config| at_the_top(&config, &top));
    service.hang_up();
    let line = service.wait_for_line(|line| line.contains("the configuration stays as it was"));
    assert!(
        line.contains("phones.toml") && line.contains("ermission denied"),
        "{line}"
    );
    assert!(line.contains("restart"), "what to do about it: {line}");
}

#[test]
fn a_service_that_must_be_confined_starts_only_where_nothing_is_lacking() {
    let (house, server) = build("");
    let (service, log) = start_with_log(&house);
    let lacking = log.iter().any(|line| line.contains("hardening: this system lacks"));
    drop(service);
    change(&house, |config| config + "[hardening]\nrequired = true\n");
    if lacking {
        let output = run(&["capture", "--config", &house.text("capture.toml")]);
        assert_eq!(output.status.code(), Some(69), "{}", said(&output));
        assert!(said(&output).contains("hardening.required"), "{}", said(&output));
    } else {
        let (_service, _) = start_with_log(&house);
        assert!(heard(&house, server));
    }
}

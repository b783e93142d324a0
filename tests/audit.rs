//! The audit journal of a running service: whatever ends it, nothing was heard that isn't written down, and the chain holds.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;
#[path = "common/dialler.rs"]
mod dialler;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{House, eventually, fixture, run, said};
use dialler::Dialler;
use serde_json::json;

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");

fn source() -> String {
    format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display())
}

/// The configuration of a house, with the journal elsewhere and more at its end.
fn configure(house: &House, journal: &Path, more: &str) -> SocketAddr {
    let server = house.configure(&source(), EVENTS, "");
    let path = house.path("capture.toml");
    let config = std::fs::read_to_string(&path).expect("reads");
    let config = config.replace("path = \"audit.jsonl\"", &format!("path = '{}'", journal.display()));
    std::fs::write(path, config + more).expect("writes");
    server
}

fn listen(house: &House, server: SocketAddr, seconds: &str) -> Output {
    let more = ["--output", "null", "--for", seconds, "--reason", "coaching"];
    house.listen("anna", "4711", server, &more).output().expect("runs")
}

/// What `audit verify` says of a journal.
fn verified(journal: &Path) -> serde_json::Value {
    let output = run(&["audit", "verify", "--json", journal.to_str().expect("a UTF-8 path")]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn events(journal: &Path) -> Vec<String> {
    let output = run(&["audit", "export", "--json", journal.to_str().expect("a UTF-8 path")]);
    let text = String::from_utf8(output.stdout).expect("text");
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["event"].clone();
    text.lines()
        .map(|line| event(line).as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn a_killed_service_leaves_a_whole_journal_with_what_was_heard_and_goes_on_with_it() {
    let house = House::build();
    let journal = house.path("audit.jsonl");
    let server = configure(&house, &journal, "");
    let service = house.start();
    let mut listener = house
        .listen("anna", "4711", server, &["--output", "null", "--for", "30"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    while !std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("session_started")) {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(service);
    let _ = listener.kill();
    let _ = listener.wait();
    assert_eq!(verified(&journal)["records"], 2);

    let service = house.start();
    assert!(listen(&house, server, "1").status.success());
    let (code, _) = service.terminate();
    assert_eq!(code, Some(0));
    let expected = [
        "service_started",
        "session_started",
        "service_started",
        "session_started",
        "session_stopped",
        "service_stopped",
    ];
    assert_eq!(events(&journal), expected);
    let checked = verified(&journal);
    assert_eq!((&checked["records"], &checked["end_known"]), (&6.into(), &true.into()));

    let text = std::fs::read_to_string(&journal).expect("reads");
    std::fs::write(&journal, text.replacen("4711", "4712", 1)).expect("writes");
    let output = run(&["audit", "verify", journal.to_str().expect("a UTF-8 path")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("record 2 before this one was changed"),
        "{}",
        said(&output)
    );
}

#[test]
fn wherever_a_crash_comes_nothing_was_heard_that_is_not_written_down_and_the_journal_stays_whole() {
    let house = House::build();
    let journal = house.path("audit.jsonl");
    let server = configure(&house, &journal, "");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut heard = 0;
    for wait in [0, 1, 2, 3, 4, 6, 8, 12, 20, 100, 500, 1500] {
        let service = house.start();
        let before = events(&journal)
            .iter()
            .filter(|event| *event == "session_started")
            .count();
        let sound = runtime.block_on(async {
            let mut anna = Dialler::dial(&house, "anna", server).await;
            let start = json!({"type": "start_monitor", "request": 1, "agent": "4711", "output": {"kind": "play"}});
            anna.say(&start).await;
            tokio::time::sleep(Duration::from_millis(wait)).await;
            service.kill();
            anna.datagrams().await.len()
        });
        let after = events(&journal)
            .iter()
            .filter(|event| *event == "session_started")
            .count();
        assert!(
            sound == 0 || after == before + 1,
            "after {wait} ms: {sound} packets, {before} starts, then {after}"
        );
        verified(&journal);
        heard += sound;
    }
    assert!(heard > 0, "the longest of the waits let something be heard");
}

/// A file system in memory, unmounted at the end.
struct Mount(PathBuf);

impl Mount {
    fn build(at: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir(&at).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&at)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at));
        }
        eprintln!("skipped: a file system of its own needs root");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_nobody_listens_and_the_journal_stays_whole() {
    let house = House::build();
    let Some(disk) = Mount::build(house.path("disk"), "size=4k") else {
        return;
    };
    // The rules are written down at the start: with a supervisor of so long a name hardly anything fits behind them.
    let teams = |length: usize| format!("[teams]\nnobody = [\"{}\"]\n", "n".repeat(length));
    let journal = house.path("audit.jsonl");
    configure(&house, &journal, &teams(0));
    drop(house.start());
    let short = std::fs::metadata(&journal).expect("is there").len();
    let journal = disk.0.join("audit.jsonl");
    let longer = usize::try_from(4096 - 100 - short).expect("a page");
    let server = configure(&house, &journal, &teams(longer));
    let service = house.start();
    let room = 4096 - std::fs::metadata(&journal).expect("is there").len();
    assert!(room < 200, "{room} octets are left: enough for a record");
    let output = listen(&house, server, "3");
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("SM-5002"), "{}", said(&output));
    assert_eq!(events(&journal), ["service_started"]);
    drop(service);
    assert_eq!(verified(&journal)["torn"], 0);
}

#[test]
fn where_the_disk_fills_up_in_mid_session_nobody_else_listens_and_the_end_is_written_once_there_is_room() {
    let house = House::build();
    let Some(disk) = Mount::build(house.path("disk"), "size=64k") else {
        return;
    };
    let journal = disk.0.join("audit.jsonl");
    let server = configure(&house, &journal, "");
    let service = house.start();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let mut anna = Dialler::dial(&house, "anna", server).await;
        let started = anna.start("4711", &json!({})).await;
        assert_eq!(started["type"], "monitor_started", "{started}");
        let filler = disk.0.join("filler");
        let full = std::fs::write(&filler, vec![0; 64 << 10]);
        assert!(full.is_err(), "the disk is full");
        // A record fits into the last page of the journal as long as that isn't full.
        let mut bert = Dialler::dial(&house, "bert", server).await;
        let refused = loop {
            let answer = bert.start("4711", &json!({})).await;
            if answer["type"] == "monitor_refused" {
                break answer;
            }
            bert.say(&json!({"type": "stop_monitor", "session": answer["session"]}))
                .await;
        };
        assert_eq!(refused["reason"]["code"], "SM-5002", "{refused}");
        anna.hear_sound(20).await;
        anna.say(&json!({"type": "stop_monitor", "session": started["session"]}))
            .await;
        anna.hear_of("monitor_stopped").await;
        std::fs::remove_file(filler).expect("removes");
    });
    eventually(Duration::from_secs(10), || {
        let events = events(&journal);
        let count = |name: &str| events.iter().filter(|event| *event == name).count();
        (count("session_started") > count("session_stopped")).then(|| format!("{events:?}"))
    });
    assert!(listen(&house, server, "1").status.success());
    assert_eq!(service.terminate().0, Some(0));
    assert_eq!(verified(&journal)["torn"], 0);
}

#[test]
fn without_a_journal_the_service_does_not_start() {
    let house = House::build();
    let Some(disk) = Mount::build(house.path("disk"), "ro") else {
        return;
    };
    configure(&house, &disk.0.join("audit.jsonl"), "");
    let output = run(&["capture", "--config", &house.text("capture.toml")]);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(
        said(&output).contains("SM-5002") && said(&output).contains("audit.jsonl"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_is_no_journal_is_said() {
    let call = fixture("call.pcap.gz");
    let output = run(&["audit", "verify", call.to_str().expect("a UTF-8 path")]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    let output = run(&["audit", "verify", "/nonexistent/audit.jsonl"]);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("/nonexistent/audit.jsonl"), "{}", said(&output));
    let output = run(&["audit", "export", "--since", "yesterday", "audit.jsonl"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
}

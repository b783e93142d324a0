//! `silentmon simulate` from outside: it plays, says what clients asked, and names the line it can't read.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail here")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// OPEN_REQ of version 24 as in the vectors: ClientID `qmon`, no password.
const OPEN_REQUEST: [u8; 65] =
    *b"\0\0\0\x39\0\0\0\x03\0\0\0\x01\0\0\0\x18\0\0\0\x14\xff\xff\xff\xff\0\0\0\x10\0\x60\x63\x7f\
    \0\0\x03\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x05qmon\0\0\x02\0\0";

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("script.jsonl");
    std::fs::write(&path, text).expect("a script");
    path
}

fn simulate(script: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silentmon"));
    command.args(["simulate", arguments[0], "--script"]).arg(script);
    command.args(&arguments[1..]).args(["--listen", "127.0.0.1:0"]);
    command
}

/// Where it listens, from its log, which nobody reads on after that: it must not mind.
fn address(simulator: &mut Child) -> String {
    let log = BufReader::new(simulator.stderr.take().expect("a log"));
    let line = log.lines().map_while(Result::ok).find(|line| line.contains("address="));
    let line = line.expect("where it listens");
    line.split("address=").nth(1).expect("an address").trim().to_owned()
}

#[test]
fn a_session_starts_the_script_and_the_counters_say_what_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(
        folder.path(),
        "{\"at\":0,\"event\":\"agent_state\",\"agent\":\"4711\",\"state\":\"available\"}\n",
    );
    let mut simulator = simulate(&script, &["cti-server", "--end-after", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a simulator");
    let mut client = TcpStream::connect(address(&mut simulator)).expect("side A");
    client.write_all(&OPEN_REQUEST).expect("sent");
    let mut answer = [0; 8];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, [0, 0, 0, 0x34, 0, 0, 0, 4], "OPEN_CONF");
    let output = simulator.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON Lines"))
        .collect();
    assert_eq!(lines[0]["request"], "OPEN_REQ");
    assert_eq!(lines[0]["details"]["VersionNumber"], "24");
    let counters = lines.last().expect("counters");
    assert_eq!((&counters["sessions"], &counters["events"]), (&1.into(), &1.into()));
}

#[test]
fn the_same_script_is_played_by_each_simulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(
        folder.path(),
        "{\"at\":0,\"event\":\"call\",\"agent\":\"4711\",\"call\":\"81\",\"kind\":\"established\"}\n\
         {\"at\":0,\"fault\":\"close\"}\n",
    );
    for protocol in ["cti-server", "csta", "broadworks"] {
        let output = simulate(&script, &[protocol, "--start", "immediately", "--end-after", "1"])
            .output()
            .expect("a simulator");
        let counters: serde_json::Value = serde_json::from_slice(&output.stdout).expect("counters");
        assert_eq!(
            (&counters["events"], &counters["faults"]),
            (&1.into(), &1.into()),
            "{protocol}"
        );
    }
}

#[test]
fn a_line_that_is_no_step_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(folder.path(), "\n{\"at\":0,\"fault\":\"earthquake\"}\n");
    let output = simulate(&script, &["csta"]).output().expect("a simulator");
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("line 2") && said.contains("earthquake"), "{said}");
}

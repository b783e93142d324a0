//! What can be wrong around the program: one clear sentence on stderr, and the exit code that belongs to it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{House, fixture, run, said};

fn sentence(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// The exit code, that each of `words` is said, and that nothing panicked or spread over lines.
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "expected {word:?} in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    assert!(sentence(output).lines().count() <= 2, "one sentence, not: {text}");
}

fn replay(file: &Path) -> Output {
    run(&["replay", file.to_str().expect("a UTF-8 path"), "--list"])
}

#[test]
fn an_unknown_key_is_named_with_file_line_and_column() {
    let house = House::build();
    house.configure("{ interface = \"lo\" }", "", "recoding = \"allowed\"");
    let file = house.text("capture.toml");
    let text = std::fs::read_to_string(&file).expect("reads");
    let line = text
        .lines()
        .position(|line| line.starts_with("recoding"))
        .expect("the line is there")
        + 1;
    for arguments in [["config", "check", &file], ["capture", "--config", &file]] {
        assert_refused(&run(&arguments), 78, &[&format!("{file}:{line}:1: "), "recoding"]);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_file_line_and_column() {
    let house = House::build();
    house.configure("{ interface = \"lo\" }", "", "acd_only = \"sometimes\"");
    let file = house.text("capture.toml");
    assert_refused(&run(&["config", "check", &file]), 78, &["capture.toml:", "boolean"]);
}

#[test]
fn disclosure_has_to_be_chosen() {
    let house = House::build();
    house.configure("{ interface = \"lo\" }", "", "");
    let text = std::fs::read_to_string(house.path("capture.toml")).expect("reads");
    std::fs::write(house.path("capture.toml"), text.replace("disclosure = \"never\"\n", "")).expect("writes");
    assert_refused(
        &run(&["config", "check", &house.text("capture.toml")]),
        78,
        &["disclosure"],
    );
}

#[test]
fn the_packaged_sample_is_a_good_configuration() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/silentmon.toml");
    let output = run(&["config", "check", sample.to_str().expect("a UTF-8 path")]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_configuration_that_is_not_there_is_said() {
    let house = House::build();
    let file = house.text("nothing.toml");
    assert_refused(&run(&["capture", "--config", &file]), 78, &[&file]);
}

#[test]
fn an_interface_that_does_not_exist_is_named() {
    let house = House::build();
    house.configure("{ interface = \"sm-nic-9\" }", "", "");
    assert_refused(
        &run(&["capture", "--config", &house.text("capture.toml")]),
        69,
        &["sm-nic-9"],
    );
}

#[test]
fn a_user_who_may_not_capture_is_told_which_right_is_missing() {
    let house = House::build();
    house.configure("{ interface = \"lo\" }", "", "");
    let program = house.text("silentmon");
    std::fs::copy(env!("CARGO_BIN_EXE_silentmon"), &program).expect("copies the program");
    let mut command = if is_root() {
        give_away(&house, "65534");
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
            &program,
        ]);
        command
    } else {
        Command::new(&program)
    };
    let output = command
        .args(["capture", "--config", &house.text("capture.toml")])
        .output()
        .expect("it runs");
    assert_refused(&output, 77, &["lo", "CAP_NET_RAW"]);
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

/// Private keys must be their user's own.
fn give_away(house: &House, user: &str) {
    let owned = Command::new("chown").args(["-R", user]).arg(house.path(".")).status();
    assert!(owned.expect("chown runs").success());
}

#[test]
fn a_missing_capture_file_is_named() {
    let missing = fixture("not-there.pcap");
    assert_refused(&replay(&missing), 65, &["not-there.pcap"]);
}

#[test]
fn a_file_that_is_no_capture_is_bad_data() {
    assert_refused(&replay(&fixture("README.md")), 65, &["README.md"]);
}

/// A capture service over a capture file, until it ends by itself.
fn serve_file(house: &House, file: &Path) -> Output {
    house.configure(&format!("{{ file = '{}', pace = \"fast\" }}", file.display()), "", "");
    run(&["capture", "--config", &house.text("capture.toml")])
}

#[test]
fn a_service_whose_capture_file_breaks_names_file_and_place() {
    let house = House::build();
    let broken = house.path("broken.pcap");
    std::fs::write(
        &broken,
        b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0cut",
    )
    .expect("writes");
    let output = serve_file(&house, &broken);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    assert!(said(&output).contains("broken.pcap"), "{}", said(&output));
    let missing = serve_file(&house, &house.path("missing.pcap"));
    assert_refused(&missing, 65, &["capture.source", "missing.pcap"]);
}

#[test]
fn a_capture_that_ends_in_mid_frame_is_read_up_to_there_and_said() {
    let house = House::build();
    let file = house.path("cut.pcap.gz");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
    let made = Command::new(script)
        .args(["--variant", "truncated", "--out"])
        .arg(&file)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: python3 is needed to make the truncated capture");
        return;
    }
    let output = run(&["replay", file.to_str().expect("a UTF-8 path"), "--list", "--json"]);
    assert_refused(&output, 65, &["cut.pcap.gz"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the list of what came before");
    assert_eq!(list["frames"], 1612);
    let packets: Vec<_> = list["streams"]
        .as_array()
        .expect("streams")
        .iter()
        .map(|s| s["packets"].clone())
        .collect();
    assert_eq!(
        packets.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(),
        1601,
        "{packets:?}"
    );
}

#[test]
fn a_stream_that_is_not_in_the_file_is_named() {
    let (house, call) = (House::build(), fixture("call.pcap.gz"));
    let call = call.to_str().expect("a UTF-8 path");
    let output = run(&["replay", call, "--stream", "0x12345678", "--wav", &house.text("no.wav")]);
    assert_refused(&output, 69, &["0x12345678"]);
}

#[test]
fn a_wrong_command_line_is_usage() {
    assert_eq!(run(&["replay"]).status.code(), Some(64));
    assert_eq!(run(&["listten", "4711"]).status.code(), Some(64));
    let house = House::build();
    let bad = house
        .listen("anna", "4711", common::free_address(), &["--for", "soon"])
        .output()
        .expect("runs");
    assert_eq!(bad.status.code(), Some(64), "{}", said(&bad));
}

#[test]
fn an_identity_that_is_not_there_is_named() {
    let house = House::build();
    let output = house
        .listen("nobody", "4711", common::free_address(), &["--for", "1"])
        .output()
        .expect("runs");
    assert!(matches!(output.status.code(), Some(69 | 78)), "{}", said(&output));
    assert!(said(&output).contains("nobody.pem"), "{}", said(&output));
}

#[test]
fn a_script_with_a_wrong_event_is_named_with_its_line() {
    let house = House::build();
    house.configure("{ interface = \"lo\" }", "\n{\"at\":0,\"event\":\"lunch\"}\n", "");
    assert_refused(
        &run(&["capture", "--config", &house.text("capture.toml")]),
        78,
        &["events.jsonl:2: ", "lunch"],
    );
}

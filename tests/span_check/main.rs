//! `span-check` and `span template` from end to end: on captures whose content is known, and at a mirror port.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;
mod live;
mod reference;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{fixture, run, said};
use serde_json::{Value, json};

/// Makes a variant of the fixture call in a folder; `None` where Python is missing.
fn variant(folder: &Path, name: &str) -> Option<PathBuf> {
    let out = folder.join(format!("{name}.pcap.gz"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
    let made = Command::new(script)
        .args(["--variant", name, "--out"])
        .arg(&out)
        .status();
    let Ok(status) = made else {
        eprintln!("skipped: python3 is needed to make variants of the call");
        return None;
    };
    assert!(status.success(), "make-fixtures --variant {name}");
    Some(out)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// The exit code and the document.
fn check(file: &Path) -> (Option<i32>, Value) {
    let output = run(&["span-check", "--file", text(file), "--json"]);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    (output.status.code(), document)
}

fn codes(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().expect("findings");
    findings.iter().filter_map(|finding| finding["code"].as_str()).collect()
}

#[test]
fn the_fixture_call_is_healthy_and_its_figures_are_those_put_in() {
    let (code, document) = check(&fixture("call.pcap.gz"));
    assert_eq!((code, &document["verdict"]), (Some(0), &json!("healthy")), "{document}");
    assert_eq!((&document["findings"], &document["link"]), (&json!([]), &Value::Null));
    assert_eq!(document["source"], "call.pcap.gz");
    let stack = &document["tags"]["stacks"][0];
    assert_eq!((&stack["vlan"], &stack["percent"]), (&json!([200]), &json!(100.0)));
    assert_eq!(document["calls"]["two_way"], 1);
    assert_eq!(document["rtp"]["codecs"][0]["codec"], "PCMU");
}

#[test]
fn every_fault_of_a_variant_is_named_and_healthy_ones_are_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let expected: [(&str, &[&str], i32); 4] = [
        ("erspan3", &[], 0),
        ("two-calls", &[], 0),
        ("duplicated", &["SM-2112"], 0),
        ("srtp", &["SM-2120"], 1),
    ];
    for (name, wanted, code) in expected {
        let Some(file) = variant(folder.path(), name) else {
            return;
        };
        let (ended, document) = check(&file);
        assert_eq!(
            (codes(&document).as_slice(), ended),
            (wanted, Some(code)),
            "{name}: {document}"
        );
    }
}

#[test]
fn a_one_way_mirror_is_said_in_words_and_on_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(file) = variant(folder.path(), "one-way") else {
        return;
    };
    let page = folder.path().join("page.html");
    let output = run(&["span-check", "--file", text(&file), "--report", text(&page)]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("SM-2111") && said.contains("Mirror both directions"),
        "{said}"
    );
    let page = std::fs::read_to_string(page).expect("a page");
    for part in [
        "<td class=\"bad\">SM-2111</td>",
        "Mirror both directions",
        "VLAN tags",
        "0x7a31d0e4",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_file_that_is_no_capture_or_damaged_ends_with_65() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = folder.path().join("none.pcap");
    std::fs::write(&none, "not a capture").expect("writes");
    let output = run(&["span-check", "--file", text(&none)]);
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(65), 0),
        "{}",
        said(&output)
    );
    let damaged = folder.path().join("damaged.pcap.gz");
    let whole = std::fs::read(fixture("call.pcap.gz")).expect("the fixture");
    std::fs::write(&damaged, &whole[..whole.len() / 2]).expect("writes");
    let (code, document) = check(&damaged);
    assert_eq!(
        (code, &document["verdict"]),
        (Some(65), &json!("healthy")),
        "{document}"
    );
    assert!(
        document["damage"]
            .as_str()
            .is_some_and(|damage| damage.contains("damaged.pcap.gz")),
        "{document}"
    );
}

#[test]
fn a_capture_without_frames_is_not_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pcap");
    let header = [
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0,
    ];
    std::fs::write(&empty, header).expect("writes");
    let (code, document) = check(&empty);
    assert_eq!((code, codes(&document)), (Some(2), vec!["SM-2101"]), "{document}");
}

#[test]
fn what_to_look_at_must_be_said_once() {
    for arguments in [
        &["span-check"][..],
        &["span-check", "eth0", "--file", "x.pcap"],
        &["span-check", "eth0", "--for", "0"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(64), "{arguments:?}");
    }
    let output = run(&["span-check", "no-such-interface0"]);
    assert!(matches!(output.status.code(), Some(69 | 77)), "{}", said(&output));
}

#[test]
fn a_template_is_printed_for_every_switch() {
    for switch in ["ios", "nxos", "iosxr", "catos", "junos", "aruba", "esxi", "hyperv"] {
        let output = run(&[
            "span",
            "template",
            "--switch",
            switch,
            "--source",
            "port-a",
            "--destination",
            "port-b",
        ]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        for part in ["port-a", "port-b", "encapsulation replicate"] {
            assert!(said.contains(part), "{switch}: {part}: {said}");
        }
    }
    for wrong in [
        &["--switch", "abacus"][..],
        &["--switch", "ios", "--vlan", "4095"],
        &["--switch", "aruba", "--vlan", "7"],
    ] {
        let output = run(&[&["span", "template"], wrong].concat());
        assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    }
}

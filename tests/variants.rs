//! `replay` on every variant of the fixture call: tags, tunnels, codecs and damage. What it lists must be what
//! `scripts/make-fixtures` put in, and the same voice must come out of every wrapping.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{run, said, wav_channels};
use serde_json::Value;

/// Makes a variant and its facts; `None` where Python is missing.
fn make(folder: &Path, name: &str) -> Option<(PathBuf, Value)> {
    let (capture, facts) = (
        folder.join(format!("{name}.pcap.gz")),
        folder.join(format!("{name}.json")),
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
    let made = Command::new(script)
        .args(["--variant", name, "--out"])
        .arg(&capture)
        .arg("--facts")
        .arg(&facts)
        .status();
    let Ok(status) = made else {
        eprintln!("skipped: python3 is needed to make variants of the call");
        return None;
    };
    assert!(status.success(), "make-fixtures --variant {name}");
    let facts = std::fs::read(facts).expect("the facts are there");
    Some((capture, serde_json::from_slice(&facts).expect("facts are JSON")))
}

/// One row per stream, ordered by SSRC: the fields that both sides know.
fn rows(document: &Value) -> Vec<Vec<Value>> {
    let fields = ["ssrc", "source", "destination", "packets", "duplicates", "lost"];
    let streams = document["streams"].as_array().expect("streams");
    let mut rows: Vec<Vec<Value>> = streams
        .iter()
        .map(|stream| fields.map(|field| stream[field].clone()).to_vec())
        .collect();
    rows.sort_by_key(|row| row[0].to_string());
    rows
}

fn list(capture: &Path) -> Value {
    let output = run(&["replay", capture.to_str().expect("a UTF-8 path"), "--list", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("a JSON list")
}

/// The bare decode of the agent's leg.
fn agent(folder: &Path, capture: &Path) -> Vec<i16> {
    let wav = folder.join("agent.wav");
    let paths = [capture, &wav].map(|path| path.to_str().expect("a UTF-8 path"));
    let output = run(&[
        "replay",
        paths[0],
        "--stream",
        "0x441bc0cf",
        "--exact",
        "--wav",
        paths[1],
    ]);
    assert!(output.status.success(), "{}", said(&output));
    wav_channels(&wav).remove(0)
}

fn agrees(names: &[&str], more: impl Fn(&str, &Value)) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        let Some((capture, facts)) = make(folder.path(), name) else {
            return;
        };
        let list = list(&capture);
        assert_eq!(rows(&list), rows(&facts), "{name}");
        for stream in list["streams"].as_array().expect("streams") {
            assert_eq!(
                (&stream["vlan"], &stream["encrypted"]),
                (&facts["vlan"], &facts["encrypted"]),
                "{name}"
            );
            more(name, stream);
        }
    }
}

#[test]
fn every_stack_of_tags_is_listed_as_it_came() {
    agrees(
        &["call", "untagged", "vid0", "dei", "qinq", "qinq-8100", "triple", "ipv6"],
        |name, stream| {
            assert_eq!(
                (&stream["codec"], &stream["ptime_ms"]),
                (&"PCMU".into(), &20.into()),
                "{name}"
            );
            assert_eq!(stream["tunnel"], Value::Null, "{name}");
        },
    );
}

#[test]
fn mirror_tunnels_are_opened_and_named() {
    agrees(
        &["vxlan", "geneve", "gre", "erspan1", "erspan2", "erspan3"],
        |name, stream| {
            assert_eq!(stream["tunnel"], name);
        },
    );
}

#[test]
fn contents_are_told_apart() {
    agrees(
        &["alaw", "dtmf", "srtp", "two-calls", "one-way"],
        |name, stream| match name {
            "alaw" => assert_eq!(stream["codec"], "PCMA"),
            "dtmf" if stream["ssrc"] == "0x7a31d0e4" => {
                assert_eq!(stream["payload_types"], serde_json::json!({"0": 1179, "101": 21}));
            }
            _ => assert_eq!(stream["codec"], "PCMU", "{name}"),
        },
    );
}

#[test]
fn loss_reordering_and_duplicates_are_counted() {
    agrees(&["loss", "reordered", "duplicated"], |name, stream| {
        let reordered = stream["reordered"].as_u64().expect("a count");
        assert_eq!(reordered > 0, name == "reordered", "{name}: {reordered} reordered");
    });
}

#[test]
fn the_same_voice_comes_out_of_every_wrapping() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((call, _)) = make(folder.path(), "call") else {
        return;
    };
    let voice = agent(folder.path(), &call);
    assert_eq!(voice.len(), 192_000, "24 s at 8 kHz");
    for name in [
        "untagged", "qinq", "vid0", "ipv6", "vxlan", "geneve", "gre", "erspan1", "erspan2", "erspan3",
    ] {
        let (capture, _) = make(folder.path(), name).expect("Python is here");
        assert!(agent(folder.path(), &capture) == voice, "{name}: another voice");
    }
    for name in ["reordered", "duplicated"] {
        let (capture, _) = make(folder.path(), name).expect("Python is here");
        assert!(
            agent(folder.path(), &capture) == voice,
            "{name}: repair changes the voice"
        );
    }
}

#[test]
fn encrypted_voice_is_not_decoded() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((capture, _)) = make(folder.path(), "srtp") else {
        return;
    };
    let wav = folder.path().join("no.wav");
    let paths = [&capture, &wav].map(|path| path.to_str().expect("a UTF-8 path"));
    let output = run(&[
        "replay",
        paths[0],
        "--stream",
        "0x441bc0cf",
        "--exact",
        "--wav",
        paths[1],
    ]);
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("encrypted (SRTP, SM-2120)"), "{}", said(&output));
    assert!(!wav.exists(), "no file is written");
}

#[test]
fn frames_cut_by_a_snap_length_still_count_in_their_stream() {
    agrees(&["cut-frames"], |_, stream| assert_eq!(stream["codec"], "PCMU"));
}

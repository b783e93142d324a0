//! `silentmon replay` against captures whose content is known: those of the shared reference data where they are at
//! hand, the project's own fixtures everywhere.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

use common::{files_below, fixture, rows, run, said, shared, silentmon};

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Lists a file; a damaged one is listed up to the damage, unless nothing of it could be read.
fn list(file: &Path) -> Value {
    let output = run(&["replay", text(file), "--list", "--json"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(65) => assert!(
            complaint.contains(text(file)),
            "the message names the file: {complaint}"
        ),
        _ => panic!("{}: {}", file.display(), said(&output)),
    }
    if output.stdout.is_empty() {
        return serde_json::json!({"frames": 0, "streams": []});
    }
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn decode(file: &Path, arguments: &[&str]) -> (Option<i32>, Option<Vec<u8>>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let wav = folder.path().join("out.wav");
    let output = run(&[&["replay", text(file), "--wav", text(&wav)], arguments].concat());
    (output.status.code(), std::fs::read(&wav).ok(), said(&output))
}

/// The samples of a WAV file as this program writes it, and its number of channels.
fn samples(wav: &[u8]) -> (&[u8], u16) {
    assert_eq!(wav.get(36..40), Some(&b"data"[..]));
    (&wav[44..], u16::from_le_bytes([wav[22], wav[23]]))
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// What the reference says of a stream, in the words of the list.
fn expected(row: &BTreeMap<String, String>) -> BTreeMap<&'static str, String> {
    let columns = [
        ("ssrc", "ssrc"),
        ("packets", "packets"),
        ("unique", "unique_seq"),
        ("duplicates", "dup"),
        ("reordered", "reordered"),
        ("expected", "ext_expected"),
        ("lost", "lost"),
        ("first_sequence", "seq_first"),
        ("last_sequence", "seq_last"),
        ("first_timestamp", "ts_first"),
        ("last_timestamp", "ts_last"),
        ("markers", "markers"),
    ];
    let mut facts: BTreeMap<_, _> = columns.map(|(ours, theirs)| (ours, row[theirs].clone())).into();
    facts.insert("source", format!("{}:{}", row["src"], row["sport"]));
    facts.insert("destination", format!("{}:{}", row["dst"], row["dport"]));
    let mut types: Vec<_> = row["pts"].split(',').map(str::to_owned).collect();
    types.sort();
    facts.insert("payload_types", types.join(","));
    facts.insert(
        "duration_s",
        format!("{:.3}", row["dur_s"].parse::<f64>().expect("seconds")),
    );
    facts
}

fn found(stream: &Value, names: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut facts: BTreeMap<_, _> = names.map(|name| (name, word(&stream[name]))).collect();
    let types = stream["payload_types"].as_object().expect("counts");
    let mut types: Vec<_> = types
        .iter()
        .map(|(number, count)| format!("{number}:{count}"))
        .collect();
    types.sort();
    facts.insert("payload_types", types.join(","));
    facts.insert(
        "duration_s",
        format!("{:.3}", stream["duration_s"].as_f64().expect("seconds")),
    );
    facts
}

fn vlan(stream: &Value) -> Vec<String> {
    stream["vlan"]
        .as_array()
        .expect("a list")
        .iter()
        .map(Value::to_string)
        .collect()
}

#[test]
fn lists_every_stream_of_the_reference_captures_and_none_besides() {
    let Some(data) = shared() else { return };
    let mut reference: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    for row in rows(&data.join("gold/streams.tsv")) {
        reference.entry(row["file"].clone()).or_default().push(row);
    }
    let captures = data.join("captures");
    let mut listed = 0;
    for file in files_below(&captures) {
        let name = file
            .strip_prefix(&captures)
            .expect("below")
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let list = list(&file);
        let streams = list["streams"].as_array().expect("a list");
        let mut rows = reference.remove(&name).unwrap_or_default();
        for stream in streams {
            let identity =
                |facts: &BTreeMap<&str, String>| ["source", "destination", "ssrc"].map(|key| facts[key].clone());
            let place = rows.iter().position(|row| {
                let wanted = expected(row);
                identity(&wanted) == identity(&found(stream, wanted.keys().copied()))
            });
            let row = rows.remove(place.unwrap_or_else(|| panic!("{name}: not in the reference: {stream}")));
            let wanted = expected(&row);
            assert_eq!(found(stream, wanted.keys().copied()), wanted, "{name}");
            // The reference has the 802.1Q identifiers only, ours holds 802.1ad's before them.
            let tags: Vec<_> = row["vlan"]
                .split(',')
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .collect();
            assert!(vlan(stream).ends_with(&tags), "{name}: {stream}");
            assert!(
                vlan(stream).len() == tags.len() || name.contains("88a8"),
                "{name}: {stream}"
            );
            assert!(
                !name.starts_with("srtp/") || stream["encrypted"] == true,
                "{name}: {stream}"
            );
            listed += 1;
        }
        assert!(rows.is_empty(), "{name}: missing {rows:?}");
    }
    assert!(reference.is_empty(), "{:?}", reference.keys());
    assert!(listed > 100, "{listed} streams");
}

#[test]
fn the_bare_decode_gives_the_reference_samples() {
    let Some(data) = shared() else { return };
    for row in rows(&data.join("gold/g711_pcm.tsv")) {
        let file = data.join("captures").join(&row["file"]);
        let (source, destination) = row["direction"].split_once('>').expect("two addresses");
        let selections = [
            vec!["--stream", &row["ssrc"]],
            vec!["--media-address", source, "--leg", "agent", "--stream", &row["ssrc"]],
            vec![
                "--media-address",
                destination,
                "--leg",
                "customer",
                "--stream",
                &row["ssrc"],
            ],
        ];
        for selection in selections {
            let (code, wav, said) = decode(&file, &[&selection[..], &["--exact"]].concat());
            assert_eq!(code, Some(0), "{row:?}: {said}");
            let wav = wav.expect("a file");
            let (samples, channels) = samples(&wav);
            assert_eq!(channels, 1);
            assert_eq!(
                sha256(samples),
                row["sha256_pcm_timeline"],
                "{} {selection:?}",
                row["file"]
            );
        }
    }
}

#[test]
fn nothing_encrypted_is_ever_written() {
    let Some(data) = shared() else { return };
    for file in files_below(&data.join("captures/srtp")) {
        for stream in list(&file)["streams"].as_array().expect("a list") {
            let ssrc = stream["ssrc"].as_str().expect("text");
            for mode in [&["--exact"][..], &[]] {
                let (code, wav, said) = decode(&file, &[&["--stream", ssrc], mode].concat());
                assert_eq!((code, wav), (Some(69), None), "{said}");
                assert!(said.contains("encrypted"), "{said}");
            }
        }
    }
}

#[test]
fn damaged_and_odd_captures_end_with_0_or_65_and_never_panic() {
    let Some(data) = shared() else { return };
    for folder in ["malformed", "pcapng-structure", "fragments", "encap", "neg", "rtp-odd"] {
        for file in files_below(&data.join("captures").join(folder)) {
            let output = run(&["replay", text(&file), "--list"]);
            let said = said(&output);
            assert!(
                matches!(output.status.code(), Some(0 | 65)),
                "{}: {said}",
                file.display()
            );
            assert!(!said.contains("panicked"), "{}: {said}", file.display());
        }
    }
}

#[test]
fn a_double_tagged_stream_shows_both_tags() {
    let Some(data) = shared() else { return };
    let list = list(&data.join("captures/derived/qinq-88a8-30-8100-200--milliwatt.pcap"));
    assert_eq!(list["streams"][0]["vlan"], serde_json::json!([30, 200]));
}

#[test]
fn tunnels_and_copies_are_told() {
    let Some(data) = shared() else { return };
    let derived = data.join("captures/derived");
    let tunnel = |name: &str| list(&derived.join(name))["streams"][0]["tunnel"].clone();
    assert_eq!(tunnel("erspan2-vlan110--isa_sip.pcap"), "erspan2");
    assert_eq!(tunnel("vxlan5000--milliwatt.pcap"), "vxlan");
    assert_eq!(tunnel("vlan4094-dei--sipp_g711a.pcap"), Value::Null);
    let copied = list(&derived.join("spandup-vlan110-vlan120--isa_sip.pcap"));
    assert_eq!(copied["streams"][0]["copies"], serde_json::json!([[120]]));
    let icmp = list(&data.join("captures/sip-rtp/isa--MichalCab+ISA_sip.pcap"));
    assert!(icmp["rejected"]["icmp_quoted"].as_u64() > Some(0), "{icmp}");
}

/// A variant of the fixture call and the facts about it; `None` without python3.
fn variant(name: &str, folder: &Path) -> Option<(PathBuf, Value)> {
    let (capture, facts) = (folder.join(format!("{name}.pcap")), folder.join(format!("{name}.json")));
    let made = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures"))
        .args(["--variant", name, "--out", text(&capture), "--facts", text(&facts)])
        .output();
    match made {
        Ok(output) if output.status.success() => {
            let facts = std::fs::read(&facts).expect("facts");
            Some((capture, serde_json::from_slice(&facts).expect("JSON")))
        }
        _ => {
            eprintln!("skipped: python3 is needed to make the fixture \"{name}\"");
            None
        }
    }
}

#[test]
fn what_a_supervisor_hears_of_an_undamaged_call_are_its_samples() {
    let call = fixture("call.pcap.gz");
    let phone = ["--media-address", "10.1.1.20:24678", "--leg", "agent"];
    let (_, exact, _) = decode(&call, &[&phone[..], &["--exact"]].concat());
    let (code, heard, said) = decode(&call, &phone);
    assert_eq!(code, Some(0), "{said}");
    let (exact, heard) = (exact.expect("a file"), heard.expect("a file"));
    let ((exact, _), (heard, _)) = (samples(&exact), samples(&heard));
    let first = |bytes: &[u8]| bytes.chunks(2).position(|sample| sample != [0, 0]).expect("sound") * 2;
    let exact = &exact[first(exact)..];
    let heard = &heard[first(heard)..];
    assert!(heard.len() >= exact.len(), "{} of {} bytes", heard.len(), exact.len());
    let same = exact
        .iter()
        .zip(heard)
        .take_while(|(exact, heard)| exact == heard)
        .count();
    assert_eq!(same, exact.len());
}

#[test]
fn both_legs_are_stereo_with_the_agent_left_and_one_leg_is_mono() {
    let call = fixture("call.pcap.gz");
    let both = decode(&call, &["--media-address", "10.1.1.20", "--exact"])
        .1
        .expect("a file");
    let (both, channels) = samples(&both);
    assert_eq!(channels, 2);
    for (side, leg, start) in [("agent", "agent", 0), ("customer", "customer", 2)] {
        let one = decode(&call, &["--media-address", "10.1.1.20", "--exact", "--leg", leg])
            .1
            .expect("a file");
        let (one, channels) = samples(&one);
        assert_eq!(channels, 1);
        let channel: Vec<u8> = both
            .chunks(4)
            .flat_map(|frame| frame[start..start + 2].to_vec())
            .collect();
        // The leg that began later is placed by capture time, so its own file begins with its first sample.
        let silence = channel.len().checked_sub(one.len()).expect("no shorter");
        let lead: BTreeSet<u8> = channel[..silence].iter().copied().collect();
        assert!(channel.ends_with(one) || channel.starts_with(one), "{side}");
        assert!(channel.starts_with(one) || lead.iter().all(|byte| *byte == 0), "{side}");
    }
}

#[test]
fn standard_input_will_do() {
    let file = std::fs::File::open(fixture("call.pcap.gz")).expect("the fixture");
    let output = silentmon()
        .args(["replay", "-", "--list", "--json"])
        .stdin(Stdio::from(file))
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", said(&output));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(list["streams"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_cannot_be_done_is_one_sentence_and_the_right_exit_code() {
    let call = fixture("call.pcap.gz");
    let call = text(&call);
    let folder = tempfile::tempdir().expect("a folder");
    let (wav, nowhere) = (folder.path().join("o.wav"), folder.path().join("none/o.wav"));
    let (wav, nowhere) = (text(&wav), text(&nowhere));
    let cases: [(&[&str], i32, &str); 8] = [
        (&["/nonexistent.pcap", "--list"], 65, "/nonexistent.pcap"),
        (&[call], 64, "--list"),
        (&[call, "--wav", wav], 64, "--stream"),
        (&[call, "--wav", wav, "--stream", "nonsense"], 64, "SSRC"),
        (&[call, "--list", "--stream", "0x1"], 64, "--list"),
        (
            &[call, "--wav", wav, "--stream", "0x00000001"],
            69,
            "no RTP stream 0x00000001",
        ),
        (&[call, "--wav", wav, "--media-address", "192.0.2.1"], 69, "192.0.2.1"),
        (&[call, "--wav", nowhere, "--stream", "0x441bc0cf"], 69, "can't write"),
    ];
    for (arguments, code, word) in cases {
        let output = run(&[&["replay"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
        assert!(!Path::new(wav).exists(), "{arguments:?} wrote a file");
    }
}

#[test]
fn a_damaged_file_is_listed_up_to_the_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((capture, _)) = variant("vlan", folder.path()) else {
        return;
    };
    let bytes = std::fs::read(&capture).expect("reads");
    let cut = folder.path().join("cut.pcap");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("writes");
    let output = run(&["replay", text(&cut), "--list", "--json"]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(list["streams"].as_array().map(Vec::len), Some(2));
    assert!(
        list["damage"]
            .as_str()
            .is_some_and(|damage| damage.contains("cut.pcap")),
        "{list}"
    );
}

#[test]
fn one_ssrc_from_two_senders_has_to_be_told_apart() {
    let Some(data) = shared() else { return };
    let file = data.join("captures/rtp-amr/libosmo-netif--rtp-nanobts-2-phones-amr.pcap");
    let (code, wav, said) = decode(&file, &["--stream", "0x07090042"]);
    assert_eq!((code, wav), (Some(64), None), "{said}");
    assert!(
        said.contains("192.168.0.174:4010") && said.contains("192.168.0.1:30004"),
        "{said}"
    );
}

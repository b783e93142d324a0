//! A survey of every reference capture: no panic, figures as the reference has them, and no finding where nothing is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use silentmon_capture_core::survey::{Report, Survey, SurveyOptions};
use silentmon_capture_io::file::CaptureFile;
use silentmon_capture_io::survey::read_file;
use silentmon_proto::reason::Code;

use crate::common::{Row, files_below, rows, shared};

/// What the reference says of each capture, by its name below `captures`.
struct Gold {
    streams: BTreeMap<String, Vec<Row>>,
    facts: BTreeMap<String, String>,
}

impl Gold {
    fn read(data: &Path) -> Self {
        let mut gold = Self {
            streams: BTreeMap::new(),
            facts: BTreeMap::new(),
        };
        for row in rows(&data.join("gold/streams.tsv")) {
            gold.streams.entry(row["file"].clone()).or_default().push(row);
        }
        for row in rows(&data.join("manifest.tsv")) {
            if let Some(name) = row["file"].strip_prefix("captures/") {
                gold.facts.insert(name.to_owned(), row["facts"].clone());
            }
        }
        gold
    }

    /// Frames, where the reference could read the file to its end.
    fn frames(&self, name: &str) -> Option<u64> {
        let facts = self.facts.get(name)?;
        if facts.contains("stops") || facts.contains("cut short") {
            return None;
        }
        let count = facts.split("; ").find_map(|fact| fact.strip_suffix(" pkts"))?;
        // It has none of link types that it doesn't know.
        count.parse().ok().filter(|count| *count > 0)
    }

    /// Frames by stack of tags.
    fn tags(&self, name: &str) -> BTreeMap<String, u64> {
        let facts = self.facts.get(name).map_or("", String::as_str);
        let tags = facts.split("; ").find_map(|fact| fact.strip_prefix("vlan "));
        let stack = |entry: &str| {
            let (stack, count) = entry.strip_suffix(')')?.split_once('(')?;
            Some((stack.to_owned(), count.parse().ok()?))
        };
        tags.into_iter()
            .flat_map(|tags| tags.split(','))
            .filter_map(stack)
            .collect()
    }

    /// Whether all is well with a capture's calls: both directions, nothing missing, nothing twice, nothing encrypted,
    /// codecs that are built in. A capture without calls is well too.
    fn is_healthy(&self, name: &str) -> bool {
        let Some(streams) = self.streams.get(name) else {
            return true;
        };
        let ends: BTreeSet<_> = streams.iter().map(|row| (&row["src"], &row["dst"])).collect();
        let answered = |row: &Row| row["src"] != row["dst"] && ends.contains(&(&row["dst"], &row["src"]));
        let whole = |row: &Row| row["lost"] == "0" && row["dup"] == "0";
        let plain = !name.starts_with("srtp/") && !KEYED_BY_DTLS.contains(&name);
        let built_in = |row: &Row| row["pts"].split(',').all(|types| !types.starts_with("18:"));
        plain && streams.iter().all(|row| answered(row) && whole(row) && built_in(row))
    }
}

/// The report, and whether the file was read to its end; `None` where nothing of it could be read.
fn survey(file: &Path) -> Option<(Report, bool)> {
    let mut capture = CaptureFile::open(file).ok()?;
    let mut survey = Survey::new(SurveyOptions::default());
    let whole = read_file(&mut capture, &mut survey, || true).is_ok();
    survey.conclude();
    Some((survey.report(), whole))
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

/// The streams of a report in the words of the reference: ends, SSRC, packets, copies, missing ones, payload types.
fn found(report: &Report) -> BTreeSet<[String; 7]> {
    let streams = report.streams.iter().map(|stream| {
        let mut types: Vec<_> = stream
            .payload_types
            .iter()
            .map(|(number, count)| format!("{number}:{count}"))
            .collect();
        types.sort();
        [
            stream.source.clone(),
            stream.destination.clone(),
            stream.ssrc.to_string(),
            stream.packets.to_string(),
            stream.duplicates.to_string(),
            stream.lost.to_string(),
            types.join(","),
        ]
    });
    streams.collect()
}

fn wanted(rows: &[Row]) -> BTreeSet<[String; 7]> {
    let row = |row: &Row| {
        let mut types: Vec<_> = row["pts"].split(',').collect();
        types.sort_unstable();
        [
            format!("{}:{}", row["src"], row["sport"]),
            format!("{}:{}", row["dst"], row["dport"]),
            row["ssrc"].clone(),
            row["packets"].clone(),
            row["dup"].clone(),
            row["lost"].clone(),
            types.join(","),
        ]
    };
    rows.iter().map(row).collect()
}

/// The codec that the reference's payload types tell where they are static (RFC 3551).
fn static_codec(row: &Row) -> Option<&'static str> {
    let count = |types: &&str| types.split_once(':').and_then(|(_, count)| count.parse::<u64>().ok());
    let most = row["pts"].split(',').max_by_key(count)?;
    match most.split(':').next()? {
        "0" => Some("PCMU"),
        "3" => Some("GSM"),
        "8" => Some("PCMA"),
        "9" => Some("G722"),
        "18" => Some("G729"),
        _ => None,
    }
}

fn stacks(report: &Report) -> BTreeMap<String, u64> {
    let stack = |ids: &[u16]| ids.iter().map(u16::to_string).collect::<Vec<_>>().join(".");
    report
        .tags
        .stacks
        .iter()
        .map(|share| (stack(&share.vlan), share.frames))
        .collect()
}

#[test]
fn every_reference_capture_is_counted_as_the_reference_has_it() {
    let Some(data) = shared() else { return };
    let gold = Gold::read(&data);
    let captures = data.join("captures");
    let (mut files, mut counted, mut streams, mut tagged, mut healthy) = (0, 0, 0, 0, 0);
    let mut wrong = Vec::new();
    for file in files_below(&captures) {
        let name = file
            .strip_prefix(&captures)
            .expect("below")
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let Some((report, whole)) = survey(&file) else { continue };
        files += 1;
        if let Some(frames) = gold.frames(&name).filter(|_| whole) {
            counted += 1;
            if report.frames.total != frames {
                wrong.push(format!(
                    "{name}: {} frames, the reference has {frames}",
                    report.frames.total
                ));
            }
        }
        let rows = gold.streams.get(&name).map_or(&[][..], Vec::as_slice);
        if found(&report) != wanted(rows) {
            wrong.push(format!(
                "{name}: {:?}, the reference has {:?}",
                found(&report),
                wanted(rows)
            ));
        }
        for row in rows {
            streams += 1;
            let stream = report
                .streams
                .iter()
                .find(|stream| stream.ssrc.to_string() == row["ssrc"]);
            let codec = stream.map(|stream| stream.codec);
            if static_codec(row).is_some_and(|wanted| codec != Some(wanted)) {
                wrong.push(format!("{name}: {codec:?} for {row:?}"));
            }
        }
        let tags = gold.tags(&name);
        if whole && !tags.is_empty() {
            tagged += 1;
            if stacks(&report) != tags && !TAGGED_OTHERWISE.contains(&name.as_str()) {
                wrong.push(format!("{name}: {:?}, the reference has {tags:?}", stacks(&report)));
            }
        }
        if gold.is_healthy(&name) {
            healthy += 1;
            let expected: &[Code] = if report.frames.total == 0 {
                &[Code::NoFrames]
            } else {
                &[]
            };
            if codes(&report) != expected {
                wrong.push(format!("{name}: false alarm: {:?}", report.findings));
            }
        }
    }
    eprintln!("{files} files, frames of {counted}, {streams} streams, tags of {tagged}, {healthy} healthy");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files > 300 && counted > 250 && streams > 100 && tagged > 20 && healthy > 200);
}

/// Captures outside `srtp` whose media are encrypted: a DTLS handshake on their ports agrees upon keys (RFC 5764).
const KEYED_BY_DTLS: [&str; 1] = ["webrtc/ndpi--stun_dtls_rtp_unidir.pcapng"];

/// Captures whose tags the reference counts in another way: it leaves out those that the mirroring switch took off the
/// frame and wrote into the ERSPAN header.
const TAGGED_OTHERWISE: [&str; 1] = ["encap/tcpdump--erspan-type-ii-3.pcap"];

#[test]
fn faulty_mirrors_among_the_reference_captures_are_told_by_their_cause() {
    let Some(data) = shared() else { return };
    let captures = data.join("captures");
    let of = |name: &str| survey(&captures.join(name)).expect("a capture").0;
    let exact = of("derived/spandup-exact-vlan110--isa_sip.pcap");
    assert_eq!(codes(&exact), [Code::DuplicateMirror]);
    assert_eq!((exact.copies.same_frame, exact.copies.total()), (154, 154));
    let vlans = of("derived/spandup-vlan110-vlan120--isa_sip.pcap");
    assert_eq!(
        (codes(&vlans), vlans.copies.total()),
        (vec![Code::DuplicateMirror], 154),
        "{:?}",
        vlans.copies
    );
    for name in [
        "voipshark--SIP-over-TLS-RSA-SRTP_Normal_Call_two_parties.pcap",
        "rtpproxy--alice_srtp.pcap",
    ] {
        let report = of(&format!("srtp/{name}"));
        assert!(
            codes(&report).contains(&Code::Encrypted),
            "{name}: {:?}",
            report.findings
        );
        assert_eq!(report.rtp.encrypted, report.rtp.streams, "{name}");
    }
    let g729 = of("derived/vlan-perdirection-301-302--trex_sip_g729.pcap");
    assert_eq!((codes(&g729), g729.calls.two_way), (vec![Code::CodecNotBuiltIn], 1));
    let one_way = of("rtp-g711/testsuite--A_party_g711a.pcap");
    assert_eq!(codes(&one_way), [Code::OneSideOnly]);
    let tunnel = of("derived/erspan2-vlan110--isa_sip.pcap");
    assert_eq!((codes(&tunnel), tunnel.frames.tunnels.len()), (vec![], 1));
}

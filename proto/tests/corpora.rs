//! Real captures and fuzzing corpora, where they are at hand: nothing panics, and every RTP stream known to be in a capture
//! is found packet by packet.
//!
//! The material is looked for in `SILENTMON_SHARED`, else in `shared` beside the workspace; without it the tests skip.
#![allow(
    clippy::disallowed_methods,
    reason = "the core is without IO, its tests read reference files"
)]
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use silentmon_proto::frame::{Frame, FrameReader, LinkType};
use silentmon_proto::ids::Ssrc;
use silentmon_proto::time::Instant;
use silentmon_proto::{rtcp, rtp, telephone_event::TelephoneEvent};

/// A directory of the shared material, or `None` where it is absent.
#[allow(clippy::print_stderr, reason = "a skipped test has to say so")]
fn shared(directory: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("SILENTMON_SHARED").map_or(beside, PathBuf::from);
    let path = root.join("data").join(directory);
    if !path.is_dir() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A record of a classic capture file.
struct Record<'a> {
    captured: Instant,
    wire_length: u32,
    bytes: &'a [u8],
}

/// The link type and records of a classic capture file as far as it can be read; `None` for other formats.
fn records(file: &[u8]) -> Option<(LinkType, Vec<Record<'_>>)> {
    let (header, mut rest) = file.split_at_checked(24)?;
    let (big_endian, nanoseconds) = match header[..4] {
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
        _ => return None,
    };
    let word = |bytes: &[u8], at: usize| {
        let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if big_endian {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        }
    };
    let link_type = LinkType::from_pcap(u16::try_from(word(header, 20) & 0xffff).expect("masked"));
    let mut records = Vec::new();
    while let Some((head, after)) = rest.split_at_checked(16) {
        let length = usize::try_from(word(head, 8)).expect("32 bits");
        let Some((bytes, after)) = after.split_at_checked(length) else {
            break;
        };
        let fraction = word(head, 4).saturating_mul(if nanoseconds { 1 } else { 1000 });
        records.push(Record {
            captured: Instant::from_parts(word(head, 0).into(), fraction),
            wire_length: word(head, 12),
            bytes,
        });
        rest = after;
    }
    Some((link_type, records))
}

type Stream = (SocketAddr, SocketAddr, Ssrc);

/// Reads a capture to the end: RTP packets by stream.
fn streams_of(file: &[u8]) -> Option<BTreeMap<Stream, u64>> {
    let (link_type, records) = records(file)?;
    let mut reader = FrameReader::default();
    let mut streams = BTreeMap::new();
    for record in &records {
        let frame = Frame {
            link_type,
            captured: record.captured,
            bytes: record.bytes,
            wire_length: record.wire_length,
        };
        let Ok(datagram) = reader.read(&frame) else {
            continue;
        };
        read_everything(datagram.payload);
        if let Ok(packet) = rtp::parse(datagram.payload) {
            let stream = (datagram.source, datagram.destination, packet.ssrc);
            *streams.entry(stream).or_default() += 1;
        }
    }
    Some(streams)
}

/// Gives `payload` to every parser; returns how many RTCP packets it held.
fn read_everything(payload: &[u8]) -> usize {
    let _ = rtp::Protocol::of(payload);
    if let Ok(packet) = rtp::parse(payload) {
        let _ = TelephoneEvent::parse(packet.payload);
        TelephoneEvent::all(packet.payload).count();
    }
    rtcp::Compound::new(payload).filter(read_inside).count()
}

fn read_inside(packet: &Result<rtcp::Packet<'_>, rtcp::Malformed>) -> bool {
    match packet {
        Ok(rtcp::Packet::SenderReport(report)) => report.blocks().count(),
        Ok(rtcp::Packet::ReceiverReport(report)) => report.blocks().count(),
        Ok(rtcp::Packet::SourceDescription(description)) => {
            description.chunks().map(|chunk| chunk.items().count()).sum()
        }
        Ok(rtcp::Packet::Goodbye(goodbye)) => goodbye.sources().count(),
        Ok(rtcp::Packet::ExtendedReport(report)) => report.blocks().count(),
        Ok(rtcp::Packet::Other { .. }) | Err(_) => 0,
    };
    packet.is_ok()
}

/// The streams and their packets that `gold/streams.tsv` lists for a file.
fn known_streams(gold: &str, file: &str) -> BTreeMap<Stream, u64> {
    let mut streams = BTreeMap::new();
    for line in gold.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields[0] != file {
            continue;
        }
        let address = |ip: &str, port: &str| SocketAddr::new(ip.parse().expect("an IP"), port.parse().expect("a port"));
        let stream = (
            address(fields[2], fields[3]),
            address(fields[4], fields[5]),
            fields[7].parse().expect("an SSRC"),
        );
        streams.insert(stream, fields[9].parse().expect("a number of packets"));
    }
    streams
}

/// The list was made with a dissector that takes everything after a T.38 offer for T.38; these packets go on with RTP, in
/// sequence.
const PACKETS_READ_AS_T38: [(Ssrc, u64); 1] = [(Ssrc(0x0eaf_0eaf), 27)];

#[test]
fn every_known_stream_of_every_capture_is_found_packet_by_packet() {
    let (Some(captures), Some(gold)) = (shared("captures"), shared("gold")) else {
        return;
    };
    let gold = fs::read_to_string(gold.join("streams.tsv")).expect("a list of streams");
    let mut checked = 0;
    for path in files_in(&captures) {
        let Some(found) = streams_of(&fs::read(&path).expect("a readable file")) else {
            continue;
        };
        let name = path.strip_prefix(&captures).expect("below captures").to_string_lossy();
        for (stream, packets) in known_streams(&gold, &name) {
            let packets = packets
                + PACKETS_READ_AS_T38
                    .iter()
                    .find(|odd| stream.2 == odd.0)
                    .map_or(0, |odd| odd.1);
            assert_eq!(found.get(&stream), Some(&packets), "{name}: {stream:?}");
            checked += 1;
        }
    }
    assert!(checked > 70, "only {checked} streams compared");
}

#[test]
fn no_file_of_any_capture_panics_whatever_it_claims_to_be() {
    let Some(captures) = shared("captures") else {
        return;
    };
    for path in files_in(&captures) {
        let file = fs::read(&path).expect("a readable file");
        let Some((_, records)) = records(&file) else {
            continue;
        };
        for link_type in [0, 1, 9, 101, 108, 113, 276].map(LinkType::from_pcap) {
            let mut reader = FrameReader::default();
            for record in records.iter().take(200) {
                let frame = Frame {
                    link_type,
                    captured: record.captured,
                    bytes: record.bytes,
                    wire_length: record.wire_length,
                };
                if let Ok(datagram) = reader.read(&frame) {
                    read_everything(datagram.payload);
                }
            }
        }
    }
}

#[test]
fn fuzzing_corpora_of_rtp_rtcp_and_stun_are_read_without_panic() {
    let Some(vectors) = shared("vectors") else {
        return;
    };
    let mut packets = BTreeMap::new();
    for corpus in ["webrtc-rtp-corpus", "webrtc-rtcp-corpus", "webrtc-stun-corpus"] {
        for path in files_in(&vectors.join(corpus)) {
            let bytes = fs::read(&path).expect("a readable file");
            *packets.entry(corpus).or_insert(0) += read_everything(&bytes);
        }
    }
    assert!(packets["webrtc-rtcp-corpus"] > 20, "{packets:?}");
}

#[test]
fn stun_is_recognised_and_never_rtp() {
    let Some(vectors) = shared("vectors") else {
        return;
    };
    let stun = files_in(&vectors.join("webrtc-stun-corpus"))
        .into_iter()
        .map(|path| fs::read(path).expect("a readable file"))
        .filter(|bytes| rtp::is_stun(bytes));
    let mut recognised = 0;
    for bytes in stun {
        assert_eq!(rtp::Protocol::of(&bytes), rtp::Protocol::Stun);
        assert!(rtp::parse(&bytes).is_err());
        recognised += 1;
    }
    assert!(recognised > 0, "no STUN in the corpus");
}

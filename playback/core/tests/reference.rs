//! Against the reference material: the ITU's vectors and real captures with their known decodes. Skipped where absent.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use silentmon_playback_core::exact::Timeline;
use silentmon_playback_core::g711::Law;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{PayloadType, RtpTimestamp, SequenceNumber};

fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("SILENTMON_SHARED").map_or_else(beside, PathBuf::from);
    if !shared.join("data").is_dir() {
        eprintln!("skipped: no reference material at {}", shared.display());
        return None;
    }
    Some(shared.join("data"))
}

fn words(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).expect("readable");
    bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[test]
fn all_256_codes_of_both_laws_decode_as_elsewhere() {
    let Some(data) = shared() else { return };
    for (file, law) in [("g711_ulaw_256.s16le", Law::Mu), ("g711_alaw_256.s16le", Law::A)] {
        let expected = words(&data.join("vectors").join(file));
        let decoded: Vec<i16> = (0..=u8::MAX).map(|code| law.decode(code)).collect();
        assert_eq!(decoded, expected, "{file}");
    }
}

#[test]
fn the_sweep_of_the_itu_software_tools_is_coded_and_decoded_bit_exact() {
    let Some(data) = shared() else { return };
    let sweep = data.join("vectors/itu-stl-g711");
    let source = words(&sweep.join("sweep.src"));
    for (law, coded, decoded) in [
        (Law::Mu, "sweep-r.u", "sweep-r.reu"),
        (Law::A, "sweep-r.a", "sweep-r.rea"),
    ] {
        let codes: Vec<u8> = source.iter().map(|&sample| law.encode(sample)).collect();
        let words_of_codes: Vec<i16> = codes.iter().copied().map(i16::from).collect();
        assert!(words_of_codes == words(&sweep.join(coded)), "{coded}");
        let samples: Vec<i16> = codes.iter().map(|&code| law.decode(code)).collect();
        assert!(samples == words(&sweep.join(decoded)), "{decoded}");
    }
}

/// An RTP packet found in a capture: from, to, SSRC, and the packet.
type Key = (String, String, u32);

/// The RTP packets of a classic pcap of Ethernet frames, behind any VLAN tags; `None` for other files.
fn rtp_of(capture: &Path) -> Option<BTreeMap<Key, Vec<Vec<u8>>>> {
    let file = std::fs::read(capture).expect("readable");
    let little = match file.get(..4)? {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => true,
        [0xa1, 0xb2, 0xc3, 0xd4] => false,
        _ => return None,
    };
    let word = |at: usize| {
        let bytes = file.get(at..at + 4)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    if word(20)? != 1 {
        return None;
    }
    let mut streams: BTreeMap<Key, Vec<Vec<u8>>> = BTreeMap::new();
    let mut at = 24;
    while let Some(length) = word(at + 8) {
        let end = at + 16 + length as usize;
        if let Some((key, packet)) = file.get(at + 16..end).and_then(rtp) {
            streams.entry(key).or_default().push(packet);
        }
        at = end;
    }
    Some(streams)
}

fn rtp(frame: &[u8]) -> Option<(Key, Vec<u8>)> {
    let mut at = 12;
    while matches!(frame.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    let ip = frame.get(at + 2..).filter(|_| frame[at..at + 2] == [0x08, 0x00])?;
    let udp = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
    if ip.get(9)? != &17 {
        return None;
    }
    let packet = udp.get(8..usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?])))?;
    if packet.len() < 12 || packet[0] >> 6 != 2 {
        return None;
    }
    let address = |ip: &[u8], port: &[u8]| {
        let port = u16::from_be_bytes([port[0], port[1]]);
        format!("{}.{}.{}.{}:{port}", ip[0], ip[1], ip[2], ip[3])
    };
    let ssrc = u32::from_be_bytes(packet[8..12].try_into().ok()?);
    let key = (
        address(ip.get(12..16)?, udp),
        address(ip.get(16..20)?, udp.get(2..)?),
        ssrc,
    );
    Some((key, packet.to_vec()))
}

fn timeline_hash(packets: &[Vec<u8>]) -> (usize, String) {
    let mut timeline = Timeline::new();
    for rtp in packets {
        let header = 12 + 4 * usize::from(rtp[0] & 0x0f);
        assert_eq!(rtp[0] & 0x30, 0, "no padding or extension in these captures");
        timeline
            .push(
                SequenceNumber(u16::from_be_bytes([rtp[2], rtp[3]])),
                RtpTimestamp(u32::from_be_bytes([rtp[4], rtp[5], rtp[6], rtp[7]])),
                Codec::from_static_payload_type(PayloadType(rtp[1] & 0x7f)),
                &rtp[header..],
            )
            .expect("short enough");
    }
    let samples = timeline.finish().expect("short enough");
    let digest = Sha256::digest(bytes(&samples));
    let mut hash = String::new();
    for byte in digest {
        write!(hash, "{byte:02x}").expect("writes to memory");
    }
    (samples.len(), hash)
}

/// How many packets of a stream are RTP: what follows on the same ports may have been announced as T.38.
fn packets_of(streams: &str, file: &str, ssrc: &str, from: &str) -> Option<usize> {
    streams.lines().find_map(|row| {
        let fields: Vec<&str> = row.split('\t').collect();
        let [a_file, _, ip, port, _, _, _, an_ssrc, _, packets, ..] = fields[..] else {
            return None;
        };
        let matches = a_file == file && an_ssrc == ssrc && from == format!("{ip}:{port}");
        matches.then(|| packets.parse().ok()).flatten()
    })
}

#[test]
fn the_bare_decode_of_real_captures_has_the_known_hash() {
    let Some(data) = shared() else { return };
    let table = std::fs::read_to_string(data.join("gold/g711_pcm.tsv")).expect("readable");
    let known = std::fs::read_to_string(data.join("gold/streams.tsv")).expect("readable");
    let mut compared = 0;
    for row in table.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [file, _, ssrc, direction, _, _, _, _, _, length, hash, ..] = fields[..] else {
            panic!("a row of another shape: {row}");
        };
        let Some(streams) = rtp_of(&data.join("captures").join(file)) else {
            continue;
        };
        let (from, to) = direction.split_once('>').expect("a direction");
        let key = u32::from_str_radix(ssrc.trim_start_matches("0x"), 16).expect("an SSRC");
        let Some(packets) = streams.get(&(from.to_owned(), to.to_owned(), key)) else {
            continue;
        };
        let count = packets_of(&known, file, ssrc, from).expect("a known stream");
        let packets = &packets[..count.min(packets.len())];
        let expected = (length.parse().expect("a number"), hash.to_owned());
        assert_eq!(timeline_hash(packets), expected, "{file} {ssrc}");
        compared += 1;
    }
    assert!(compared >= 30, "only {compared} streams compared");
}

//! Against the reference material: the ITU's vectors and real captures with their known decodes. Skipped where absent.
#![allow(
    clippy::disallowed_methods,
    reason = "reference vectors come from files; the ban is for the crate itself"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

mod common;
#[path = "common/shared.rs"]
mod material;

use material::{hash, shared, words};
use silentmon_playback_core::exact::Timeline;
use silentmon_playback_core::g711::Law;
use silentmon_playback_core::player::{Player, PlayoutSettings, to_i16};
use silentmon_playback_core::settings::Preset;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{Leg, PayloadType, RtpTimestamp, SequenceNumber};
use silentmon_proto::relay::AudioHeader;
use silentmon_proto::time::Instant;

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

/// A packet with its capture time in microseconds.
type Captured = (u64, Vec<u8>);

/// The RTP packets of a classic pcap of Ethernet frames, behind any VLAN tags; `None` for other files.
fn rtp_of(capture: &Path) -> Option<BTreeMap<Key, Vec<Captured>>> {
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
    let mut streams: BTreeMap<Key, Vec<Captured>> = BTreeMap::new();
    let mut at = 24;
    while let Some(length) = word(at + 8) {
        let end = at + 16 + length as usize;
        if let Some((key, packet)) = file.get(at + 16..end).and_then(rtp) {
            let at = u64::from(word(at)?) * 1_000_000 + u64::from(word(at + 4)?);
            streams.entry(key).or_default().push((at, packet));
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

fn timeline(packets: &[Captured]) -> Vec<i16> {
    let mut timeline = Timeline::new();
    for (_, rtp) in packets {
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
    timeline.finish().expect("short enough").samples
}

fn hashed(samples: &[i16]) -> (usize, String) {
    (samples.len(), hash(samples))
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

/// Calls `judge` with each known G.711 stream that this test can read: name, length and hash of its time line, packets.
fn for_each_stream(data: &Path, mut judge: impl FnMut(&str, (usize, String), &[Captured])) {
    let table = std::fs::read_to_string(data.join("gold/g711_pcm.tsv")).expect("readable");
    let known = std::fs::read_to_string(data.join("gold/streams.tsv")).expect("readable");
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
        let expected = (length.parse().expect("a number"), hash.to_owned());
        judge(
            &format!("{file} {ssrc}"),
            expected,
            &packets[..count.min(packets.len())],
        );
    }
}

#[test]
fn the_bare_decode_of_real_captures_has_the_known_hash() {
    let Some(data) = shared() else { return };
    let mut compared = 0;
    for_each_stream(&data, |name, expected, packets| {
        assert_eq!(hashed(&timeline(packets)), expected, "{name}");
        compared += 1;
    });
    assert!(compared >= 30, "only {compared} streams compared");
}

/// Plays a stream as it was captured, to its end, with the delay with which files are written.
fn played(packets: &[Captured]) -> (Player, Vec<i16>) {
    let mut player = Player::new(PlayoutSettings {
        preset: Preset::Smooth,
        min_delay: Duration::from_millis(500),
        ..PlayoutSettings::default()
    });
    let mut out = Vec::new();
    let mut frames = [[0.0; 2]; 80];
    let time = |micros: u64| Instant::from_nanos(micros * 1000);
    let mut now = packets.first().map_or(0, |(at, _)| *at);
    let mut waiting = packets.iter().peekable();
    while waiting.peek().is_some() || !player.buffered().is_zero() {
        while let Some((at, rtp)) = waiting.next_if(|(at, _)| *at <= now) {
            let codec = Codec::from_static_payload_type(PayloadType(rtp[1] & 0x7f));
            let header = AudioHeader {
                codec,
                ..common::header(Leg::Agent, time(*at))
            };
            player.handle_packet(time(*at), &header, rtp);
        }
        player.pull(time(now), &mut frames);
        out.extend(frames.map(|[left, _]| to_i16(left)));
        now += 10_000;
    }
    (player, out)
}

#[test]
fn real_captures_play_as_they_decode_where_nothing_is_late() {
    let Some(data) = shared() else { return };
    let mut identical = 0;
    for_each_stream(&data, |name, _, packets| {
        let (player, out) = played(packets);
        let report = player.report(Leg::Agent);
        let line = timeline(packets);
        let line = &line[line.iter().position(|&sample| sample != 0).unwrap_or(0)..];
        let first = out.iter().position(|&sample| sample != 0).unwrap_or(0);
        let same = out[first..].starts_with(line);
        // Of a damaged stream, or one that jumps, drifts or comes too late, only the bare decode is defined.
        let whole = report.lost == 0
            && report.late == 0
            && report.concealed.is_zero()
            && report.resyncs == 0
            && report.drift_ppm == 0.0
            && report.shortened.is_zero()
            && report.lengthened.is_zero();
        assert!(same || !whole, "{name}: {report:?}");
        identical += u32::from(same);
    });
    assert!(identical >= 24, "only {identical} streams played as they decode");
}

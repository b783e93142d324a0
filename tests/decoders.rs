//! The decoders on real captures, read the way the program reads them. Skipped where the reference data is absent.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use silentmon_capture_core::stream::{Arrival, Evidence, Limits, StreamId, StreamTable};
use silentmon_capture_io::file::CaptureFile;
use silentmon_playback_core::codec::{self, Decoder};
use silentmon_playback_core::player::to_i16;
use silentmon_proto::codec::Codec;
use silentmon_proto::frame::FrameReader;
use silentmon_proto::ids::{PayloadType, Ssrc};

use common::shared;

/// One packet of RTP.
struct Heard {
    stream: StreamId,
    ssrc: Ssrc,
    payload_type: PayloadType,
    sequence: u64,
    codec: Codec,
    payload: Vec<u8>,
}

/// The packets of a capture that aren't copies, up to damage, if any.
fn packets(file: &Path) -> Vec<Heard> {
    let limits = Limits {
        max_streams: 10_000,
        idle: None,
    };
    let mut table = StreamTable::new(limits).with_signalling();
    let mut frames = FrameReader::default();
    let mut capture = CaptureFile::open(file).expect("a capture");
    let mut packets = Vec::new();
    while let Ok(Some(frame)) = capture.next_frame() {
        let Ok(datagram) = frames.read(&frame.into()) else {
            continue;
        };
        let Arrival::Rtp(arrival) = table.handle_datagram(&datagram, Evidence::Observed) else {
            continue;
        };
        packets.push(Heard {
            stream: arrival.stream,
            ssrc: arrival.packet.ssrc,
            payload_type: arrival.packet.payload_type,
            sequence: arrival.extended_sequence,
            codec: arrival.codec,
            payload: arrival.packet.payload.to_vec(),
        });
    }
    packets
}

/// A payload's samples as 16 bit; none where it is no payload of the codec.
fn decoded(decoder: &mut dyn Decoder, payload: &[u8]) -> Vec<i16> {
    let Ok(length) = decoder.samples(payload) else {
        return Vec::new();
    };
    let mut out = vec![0.0; length];
    match decoder.decode(payload, &mut out) {
        Ok(()) => out.into_iter().map(to_i16).collect(),
        Err(_) => Vec::new(),
    }
}

fn sha256(samples: &[i16]) -> String {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let digits = Sha256::digest(bytes)
        .into_iter()
        .flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[test]
fn opus_of_real_captures_decodes_to_the_known_samples() {
    let Some(data) = shared() else {
        return;
    };
    if !codec::opus::version().contains("1.3.1") {
        eprintln!(
            "skipped: the samples are those of libopus 1.3.1, here is {}",
            codec::opus::version()
        );
        return;
    }
    let table = std::fs::read_to_string(data.join("gold/opus_pcm.tsv")).expect("a table");
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [file, _, ssrc, payload_type, _, _, length, .., hash] = cells[..] else {
            panic!("a row of another shape: {row}");
        };
        let (ssrc, payload_type): (Ssrc, u8) =
            (ssrc.parse().expect("an SSRC"), payload_type.parse().expect("a number"));
        let in_order: BTreeMap<u64, Vec<u8>> = packets(&data.join("captures").join(file))
            .into_iter()
            .filter(|packet| packet.ssrc == ssrc && packet.payload_type.0 == payload_type)
            .map(|packet| (packet.sequence, packet.payload))
            .collect();
        let mut decoder = codec::decoder(Codec::Opus).expect("is built in");
        let samples: Vec<i16> = in_order
            .values()
            .flat_map(|payload| decoded(decoder.as_mut(), payload))
            .collect();
        assert_eq!(
            (samples.len().to_string().as_str(), sha256(&samples).as_str()),
            (length, hash),
            "{file}"
        );
    }
}

/// What is decoded of a stream: the first minute or so.
const MOST_PACKETS: usize = 3000;

#[test]
fn every_stream_of_the_captures_of_rtp_decodes_without_a_panic() {
    let Some(data) = shared() else {
        return;
    };
    let mut spoken: BTreeMap<Codec, usize> = BTreeMap::new();
    for file in captures_of_rtp(&data.join("captures")) {
        let mut streams: BTreeMap<StreamId, Vec<Heard>> = BTreeMap::new();
        for packet in packets(&file) {
            streams.entry(packet.stream).or_default().push(packet);
        }
        for stream in streams.into_values() {
            let mut decoders: BTreeMap<Codec, Box<dyn Decoder>> = BTreeMap::new();
            for packet in stream.iter().take(MOST_PACKETS) {
                if !packet.codec.is_built_in() {
                    continue;
                }
                let new = || codec::decoder(packet.codec).expect("is built in");
                let decoder = decoders.entry(packet.codec).or_insert_with(new);
                *spoken.entry(packet.codec).or_default() += decoded(decoder.as_mut(), &packet.payload).len();
            }
        }
    }
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G729] {
        let expected = codec.is_built_in();
        assert_eq!(
            spoken.get(&codec).is_some_and(|samples| *samples > 100_000),
            expected,
            "{codec}: {spoken:?}"
        );
    }
}

fn captures_of_rtp(captures: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let is_rtp = |folder: &PathBuf| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("rtp-") || name == "sip-rtp" || name == "sccp-rtp")
    };
    let folders = entries(captures).into_iter().filter(is_rtp);
    folders.flat_map(|folder| entries(&folder)).collect()
}

//! How surely encrypted media and telephone events are recognised, measured on the shared reference captures.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::shared;
use silentmon_capture_core::stream::{
    Arrival, Encryption, EncryptionDetector, Evidence, Limits, PayloadKind, RtpArrival, StreamId, StreamTable,
};
use silentmon_capture_io::file::CaptureFile;
use silentmon_proto::codec::Codec;
use silentmon_proto::frame::{Datagram, FrameReader};

/// Shows every RTP packet of a capture.
fn for_each_packet(file: &Path, mut see: impl FnMut(&Datagram<'_>, &RtpArrival<'_>)) {
    let limits = Limits {
        max_streams: 10_000,
        idle: None,
    };
    let mut table = StreamTable::new(limits).with_signalling();
    let mut frames = FrameReader::default();
    let mut capture = CaptureFile::open(file).expect("a capture");
    while let Ok(Some(frame)) = capture.next_frame() {
        let Ok(datagram) = frames.read(&frame.into()) else {
            continue;
        };
        if let Arrival::Rtp(arrival) = table.handle_datagram(&datagram, Evidence::Observed) {
            see(&datagram, &arrival);
        }
    }
}

fn captures(data: &Path) -> Vec<PathBuf> {
    let gold = std::fs::read_to_string(data.join("gold/streams.tsv")).expect("a table");
    let names: BTreeSet<_> = gold
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .collect();
    names.into_iter().map(|name| data.join("captures").join(name)).collect()
}

/// The speech of one stream: payload and ticks since the packet before.
type Speech = Vec<(Vec<u8>, Option<u32>)>;

fn speech(file: &Path) -> BTreeMap<(StreamId, Codec), Speech> {
    let mut streams: BTreeMap<(StreamId, Codec), Speech> = BTreeMap::new();
    let mut before: BTreeMap<StreamId, u32> = BTreeMap::new();
    for_each_packet(file, |_, arrival| {
        if let PayloadKind::Speech(codec @ (Codec::Pcmu | Codec::Pcma | Codec::G722)) = arrival.kind
            && arrival.freshness.is_new()
        {
            let timestamp = arrival.packet.timestamp.0;
            let ticks = before
                .insert(arrival.stream, timestamp)
                .map(|last| timestamp.wrapping_sub(last));
            let payload = arrival.packet.payload.to_vec();
            streams
                .entry((arrival.stream, codec))
                .or_default()
                .push((payload, ticks));
        }
    });
    streams
}

/// The verdict on a stream that is first heard with its packet `start`, and the packets that took.
fn judge(codec: Codec, speech: &Speech, start: usize, by_length_too: bool) -> (usize, Encryption) {
    let mut detector = EncryptionDetector::default();
    let mut packets = 0;
    for (payload, ticks) in speech.iter().skip(start).take(48) {
        packets += 1;
        let ticks = ticks.filter(|_| by_length_too && packets > 1);
        let verdict = detector.handle(codec, payload, ticks);
        if verdict != Encryption::Undecided {
            return (packets, verdict);
        }
    }
    (packets, Encryption::Undecided)
}

/// The verdicts over many starts, by the packets they took.
#[derive(Default)]
struct Score {
    plain: Vec<usize>,
    encrypted: Vec<usize>,
    undecided: Vec<usize>,
}

impl Score {
    fn add(&mut self, (packets, verdict): (usize, Encryption)) {
        match verdict {
            Encryption::Plain => self.plain.push(packets),
            Encryption::Encrypted => self.encrypted.push(packets),
            Encryption::Undecided => self.undecided.push(packets),
        }
    }

    fn starts(&self) -> usize {
        self.plain.len() + self.encrypted.len() + self.undecided.len()
    }

    /// Share decided within so many packets, in percent.
    fn share(&self, verdicts: &[usize], packets: usize) -> f64 {
        let quick = verdicts.iter().filter(|after| **after <= packets).count();
        quick as f64 * 100.0 / self.starts() as f64
    }

    fn show(&self, what: &str, verdicts: &[usize]) {
        let shares = [1, 2, 3, 4, 6, 8, 12, 24].map(|packets| format!("{:6.2}", self.share(verdicts, packets)));
        eprintln!(
            "{what:32} {:6} starts, decided after 1 2 3 4 6 8 12 24 packets: {}",
            self.starts(),
            shares.join(" ")
        );
    }
}

/// A listener may come in at any packet, so each is tried as the first. Plain: calls, DTMF, fax, music, milliwatt.
#[test]
fn plain_and_encrypted_media_are_never_mistaken_wherever_listening_begins() {
    let Some(data) = shared() else { return };
    for (by_length_too, needed) in [(true, 3), (false, 6)] {
        let (mut plain, mut encrypted) = (Score::default(), Score::default());
        for file in captures(&data) {
            let is_srtp = file.starts_with(data.join("captures/srtp"));
            for ((_, codec), speech) in speech(&file) {
                // Within a stream's last packets there may be too few to decide: that is no error, nothing is heard.
                let starts = if is_srtp {
                    speech.len().saturating_sub(24)
                } else {
                    speech.len()
                };
                let score = if is_srtp { &mut encrypted } else { &mut plain };
                (0..starts).for_each(|start| score.add(judge(codec, &speech, start, by_length_too)));
            }
        }
        let how = if by_length_too {
            "bytes and length"
        } else {
            "bytes alone"
        };
        plain.show(&format!("plain, {how}"), &plain.plain);
        encrypted.show(&format!("SRTP, {how}"), &encrypted.encrypted);
        assert_eq!(
            (plain.encrypted.len(), plain.undecided.len()),
            (0, 0),
            "plain media refused"
        );
        assert_eq!(encrypted.plain.len(), 0, "ciphertext let through");
        assert!(plain.starts() > 20_000 && encrypted.starts() > 5_000);
        assert!(plain.share(&plain.plain, 1) > 99.0 && plain.share(&plain.plain, 3) > 99.99);
        assert!(encrypted.share(&encrypted.encrypted, needed) > 98.0);
    }
}

/// What the reference says of an event: event, packets, end bits, longest duration, volume.
type Event = (u8, usize, usize, u16, u8);

#[test]
fn telephone_events_are_those_of_the_reference_and_no_others() {
    let Some(data) = shared() else { return };
    let mut wanted: BTreeMap<(PathBuf, u32, u32), Event> = BTreeMap::new();
    let gold = std::fs::read_to_string(data.join("gold/events.tsv")).expect("a table");
    for line in gold.lines().skip(1) {
        let cells: Vec<_> = line.split('\t').collect();
        let number = |at: usize| cells[at].parse::<u32>().expect("a number");
        let ssrc = u32::from_str_radix(cells[2].trim_start_matches("0x"), 16).expect("an SSRC");
        let [event, volume] = [3, 8].map(|at| u8::try_from(number(at)).expect("a byte"));
        let [packets, ends] = [5, 6].map(|at| number(at) as usize);
        let longest = u16::try_from(number(7)).expect("16 bits");
        let event = (event, packets, ends, longest, volume);
        wanted.insert((data.join("captures").join(cells[0]), ssrc, number(4)), event);
    }
    let mut besides = Vec::new();
    for file in captures(&data) {
        if file.starts_with(data.join("captures/derived")) {
            continue;
        }
        let mut found: BTreeMap<(PathBuf, u32, u32), Event> = BTreeMap::new();
        for_each_packet(&file, |_, arrival| {
            if let PayloadKind::TelephoneEvent(event) = arrival.kind
                && arrival.freshness.is_new()
            {
                let key = (file.clone(), arrival.packet.ssrc.0, arrival.packet.timestamp.0);
                let seen = found.entry(key).or_insert((event.event, 0, 0, 0, event.volume));
                seen.1 += 1;
                seen.2 += usize::from(event.end);
                seen.3 = seen.3.max(event.duration);
            }
        });
        for (key, event) in found {
            match wanted.remove(&key) {
                Some(wanted) => assert_eq!(event, wanted, "{key:?}"),
                None => besides.push(event),
            }
        }
    }
    assert!(wanted.is_empty(), "{wanted:?}");
    // The reference lacks the answer tone (RFC 4734 section 2.3, event 32) of the fax call: its one packet of type 102.
    assert_eq!(besides, [(32, 1, 0, 883, 0)]);
}

//! Files made here through a capture thread to a receiver.

use std::time::Duration;

use silentmon_capture_core::addressing::AddressCounts;
use silentmon_proto::frame::Rejected;

use super::*;
use crate::file::{Damage, Problem};

const AGENT: [u8; 4] = [10, 1, 1, 20];
const OTHER: [u8; 4] = [10, 9, 9, 9];

/// An Ethernet frame, tagged with VLAN 200, with a datagram.
fn frame(from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0x00, 0x00, 0xc8, 0x08, 0x00, 0x45, 0x00]);
    frame.extend((length + 28).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend(from);
    frame.extend(to);
    frame.extend([0x60, 0x66, 0x0f, 0xa0]);
    frame.extend((length + 8).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// A pcap file of frames and the milliseconds they were captured at.
fn pcap(frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]);
    for (milliseconds, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        file.extend(words(&[
            milliseconds / 1000,
            milliseconds % 1000 * 1000,
            length,
            length,
        ]));
        file.extend(frame);
    }
    file
}

fn source(file: Vec<u8>, pace: Pace, filtering: Filtering) -> Source {
    Source::File {
        origin: FileOrigin::Memory {
            name: "test".to_owned(),
            bytes: file.into(),
        },
        pace,
        repeat: Repeat::Once,
        filtering,
    }
}

fn wanting(address: [u8; 4]) -> Arc<ArcSwap<MediaFilter>> {
    let address = silentmon_proto::ids::MediaAddress {
        ip: address.into(),
        port: None,
    };
    Arc::new(ArcSwap::from_pointee(MediaFilter::from_iter([address])))
}

/// Milliseconds and payload of every datagram until the source ends.
fn receive(handle: &mut CaptureHandle) -> Vec<(u64, Vec<u8>)> {
    let mut batches = handle.batches();
    let mut received = Vec::new();
    while let Some(batch) = batches.blocking_recv() {
        for datagram in batch.datagrams() {
            assert_eq!(datagram.vlan.ids(), [200]);
            received.push((datagram.captured.as_nanos() / 1_000_000, datagram.payload.to_vec()));
        }
        handle.recycle(batch);
    }
    received
}

#[test]
fn hands_over_what_is_wanted_and_counts_the_rest() {
    let arp = [&[2; 12][..], &[0x08, 0x06], &[0; 28]].concat();
    let file = pcap(&[
        (10, frame(AGENT, OTHER, b"one")),
        (20, frame(OTHER, OTHER, b"nobody's")),
        (25, arp.clone()),
        (30, frame(OTHER, AGENT, b"two")),
    ]);
    let bytes = file.len() as u64 - 24 - 4 * 16;
    let mut handle = CaptureHandle::start(source(file, Pace::Fast, Filtering::Kernel), wanting(AGENT)).unwrap();
    assert_eq!(receive(&mut handle), [(10, b"one".to_vec()), (30, b"two".to_vec())]);
    assert_eq!(handle.end(), CaptureEnd::EndOfFile);
    assert!(handle.is_file() && !handle.counts_in_kernel());
    let stats = handle.stats();
    assert_eq!(stats.rejected.of(Rejected::NotIp), 1);
    assert_eq!(stats.rejected.iter().map(|(_, count)| count).sum::<u64>(), 1);
    let expected = CaptureStats {
        frames: 4,
        bytes,
        passed: 2,
        unwanted: 1,
        last_frame: Some(Instant::from_nanos(30_000_000)),
        rejected: stats.rejected,
        tagged: 3,
        addressed: AddressCounts {
            foreign: 4,
            ..AddressCounts::default()
        },
        ..CaptureStats::default()
    };
    assert_eq!(stats, expected);
}

#[test]
fn unfiltered_hands_over_everything() {
    let file = pcap(&[(10, frame(AGENT, OTHER, b"one")), (20, frame(OTHER, OTHER, b"two"))]);
    let nothing = Arc::new(ArcSwap::from_pointee(MediaFilter::default()));
    let mut handle = CaptureHandle::start(source(file, Pace::Fast, Filtering::Nowhere), nothing).unwrap();
    assert_eq!(receive(&mut handle).len(), 2);
}

#[test]
fn a_file_waits_for_a_slow_receiver_and_loses_nothing() {
    const COUNT: u32 = 50_000;
    let frames: Vec<_> = (0..COUNT)
        .map(|number| (number, frame(AGENT, OTHER, &number.to_be_bytes())))
        .collect();
    let source = source(pcap(&frames), Pace::Fast, Filtering::UserSpace);
    let mut handle = CaptureHandle::start(source, wanting(AGENT)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(handle.stats().frames < u64::from(COUNT), "the thread waits");
    let numbers = receive(&mut handle).into_iter().map(|(_, payload)| payload);
    assert!(numbers.eq((0..COUNT).map(|number| number.to_be_bytes().to_vec())));
    assert_eq!(handle.stats().passed, u64::from(COUNT));
    assert_eq!(handle.stats().dropped_handover, 0);
}

#[test]
fn damage_ends_the_capture_after_what_precedes_it() {
    let mut file = pcap(&[(10, frame(AGENT, OTHER, b"one")), (20, frame(AGENT, OTHER, b"two"))]);
    file.pop();
    let mut handle = CaptureHandle::start(source(file, Pace::Fast, Filtering::UserSpace), wanting(AGENT)).unwrap();
    assert_eq!(receive(&mut handle), [(10, b"one".to_vec())]);
    let CaptureEnd::Failed(CaptureError::File(error)) = handle.end() else {
        panic!("{:?}", handle.end())
    };
    assert_eq!(error.damage(), Damage::Kept(1));
    assert!(matches!(error.problem(), Problem::CutShort { .. }));
}

#[test]
fn what_is_no_capture_file_is_refused_at_the_start() {
    let refused = CaptureHandle::start(source(Vec::new(), Pace::Fast, Filtering::UserSpace), wanting(AGENT));
    assert_eq!(
        refused.err().unwrap().to_string(),
        "test: expected a capture file, found an empty one"
    );
}

#[test]
fn real_pace_hands_frames_over_when_they_are_due() {
    let file = pcap(&[
        (7000, frame(AGENT, OTHER, b"one")),
        (7060, frame(AGENT, OTHER, b"two")),
        (7120, frame(AGENT, OTHER, b"three")),
    ]);
    let before = thread::day_now();
    let mut handle = CaptureHandle::start(source(file, Pace::Real, Filtering::UserSpace), wanting(AGENT)).unwrap();
    let mut batches = handle.batches();
    let mut lateness = Vec::new();
    let mut stamps = Vec::new();
    while let Some(batch) = batches.blocking_recv() {
        for datagram in batch.datagrams() {
            lateness.push(thread::day_now().seconds_since(datagram.captured));
            stamps.push(datagram.captured);
        }
    }
    let gaps: Vec<_> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [Duration::from_millis(60); 2]);
    assert!(stamps[0] >= before);
    assert!(
        lateness.iter().all(|late| (-0.002..0.05).contains(late)),
        "{lateness:?}"
    );
}

#[test]
fn stopping_wakes_a_file_that_waits_for_its_next_frame() {
    let file = pcap(&[
        (0, frame(AGENT, OTHER, b"one")),
        (3_600_000, frame(AGENT, OTHER, b"an hour later")),
    ]);
    let mut handle = CaptureHandle::start(source(file, Pace::Real, Filtering::UserSpace), wanting(AGENT)).unwrap();
    let mut batches = handle.batches();
    assert_eq!(batches.blocking_recv().map(|batch| batch.len()), Some(1));
    let stopped = std::time::Instant::now();
    handle.stop();
    assert_eq!(handle.end(), CaptureEnd::Stopped);
    assert!(stopped.elapsed() < Duration::from_millis(100));
    assert!(batches.blocking_recv().is_none());
}

#[test]
fn nobody_receiving_ends_the_thread() {
    let frames: Vec<_> = (0..20_000).map(|number| (number, frame(AGENT, OTHER, b"x"))).collect();
    let source = source(pcap(&frames), Pace::Fast, Filtering::UserSpace);
    let mut handle = CaptureHandle::start(source, wanting(AGENT)).unwrap();
    drop(handle.batches());
    assert_eq!(handle.end(), CaptureEnd::Stopped);
}

#[test]
fn a_changed_filter_counts_for_the_frames_after_it() {
    let file = pcap(&[(0, frame(OTHER, OTHER, b"early")), (150, frame(OTHER, OTHER, b"late"))]);
    let filter = wanting(AGENT);
    let source = source(file, Pace::Real, Filtering::UserSpace);
    let mut handle = CaptureHandle::start(source, Arc::clone(&filter)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    filter.store(wanting(OTHER).load_full());
    let payloads: Vec<_> = receive(&mut handle).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [b"late".to_vec()]);
}

/// A file's frame with a TCP segment in place of the datagram.
fn segment(from: [u8; 4], to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut tcp = vec![0, 0, 0, 7, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0];
    tcp.extend(payload);
    let mut frame = frame(from, to, &tcp);
    frame[27] = 6;
    frame[40..42].copy_from_slice(&port.to_be_bytes());
    // Where the datagram has length and checksum, the segment has the first half of its number.
    frame.drain(42..46);
    frame.splice(42..42, []);
    let length = u16::try_from(frame.len() - 18).unwrap();
    frame[20..22].copy_from_slice(&length.to_be_bytes());
    frame
}

#[test]
fn hands_over_signalling_at_its_ports_besides_and_nothing_else_of_tcp() {
    let mut sip = frame(OTHER, OTHER, b"REGISTER");
    sip[38..40].copy_from_slice(&5060_u16.to_be_bytes());
    let file = pcap(&[
        (10, sip),
        (20, segment(OTHER, OTHER, 2000, b"skinny")),
        (30, segment(OTHER, OTHER, 80, b"GET")),
        (40, frame(AGENT, OTHER, b"voice")),
    ]);
    let ports = silentmon_capture_core::filter::SignallingPorts {
        sip: vec![5060],
        sccp: vec![2000],
    };
    for filtering in [Filtering::UserSpace, Filtering::Nowhere] {
        let filter = wanting(AGENT);
        filter.store(Arc::new(
            MediaFilter::clone(&filter.load()).with_signalling(ports.clone()),
        ));
        let mut handle = CaptureHandle::start(source(file.clone(), Pace::Fast, filtering), filter).unwrap();
        let batch = handle.batches().blocking_recv().unwrap();
        let signalled: Vec<_> = batch
            .signalling()
            .map(|signalling| signalling.payload.to_vec())
            .collect();
        assert_eq!(signalled, [b"REGISTER".to_vec(), b"skinny".to_vec()]);
        let last = batch.datagrams().last().map(|datagram| datagram.payload.to_vec());
        assert_eq!(last, Some(b"voice".to_vec()));
        handle.end();
        assert_eq!(handle.stats().signalling, 2);
        assert_eq!(handle.stats().rejected.of(Rejected::NotUdp), 1);
    }
}

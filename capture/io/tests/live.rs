//! Live capture and the kernel filter on a pair of interfaces in a network namespace. Needs root; skipped without.

#![allow(clippy::expect_used)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use common::{CAPTURING, frame, in_namespace, ip, sender, skip};
use silentmon_capture_core::filter::MediaFilter;
use silentmon_capture_io::feed::{AddressCount, CaptureEnd, CaptureError, CaptureHandle, Filtering, Source};
use silentmon_capture_io::kernel_filter::{Interest, KernelCounters};
use silentmon_capture_io::live::{LiveCapture, LiveCounters, LiveError, LiveOptions, LiveRead};
use silentmon_proto::ids::MediaAddress;

const AGENT: [u8; 4] = [10, 1, 1, 20];
const OTHER: [u8; 4] = [10, 9, 9, 9];
const QUIET: Duration = Duration::from_millis(300);

fn open() -> LiveCapture {
    LiveCapture::open(CAPTURING, &LiveOptions::default()).expect("to capture")
}

/// Reads until nothing has come for [`QUIET`], on a thread that stops the capture then.
fn read_until_quiet(capture: &mut LiveCapture) -> Vec<Vec<u8>> {
    let stop = capture.stop();
    let (alive, quiet) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        while quiet.recv_timeout(QUIET).is_ok() {}
        stop.stop();
    });
    let mut frames = Vec::new();
    while let LiveRead::Frames(count) = capture
        .read(1000, |frame| frames.push(frame.bytes.to_vec()))
        .expect("to read")
    {
        if count > 0 {
            alive.send(()).expect("the watchdog lives");
        }
    }
    drop(alive);
    watchdog.join().expect("the watchdog");
    frames
}

#[test]
fn tags_arrive_as_they_were_sent() {
    if !in_namespace("tags_arrive_as_they_were_sent") {
        return;
    }
    let stacks: [&[(u16, u16)]; 6] = [
        &[],
        &[(0x8100, 0xa064)],
        &[(0x8100, 0xa000)],
        &[(0x8100, 0x0064), (0x8100, 0x00c8)],
        &[(0x88a8, 0x0064), (0x8100, 0x10c8)],
        &[(0x88a8, 0x0064), (0x8100, 0x00c8), (0x8100, 0x012c)],
    ];
    let frames = stacks.map(|tags| frame(tags, AGENT, OTHER, &[7; 172]));
    let mut capture = open();
    let mut sender = sender();
    for frame in &frames {
        sender.sendpacket(frame.as_slice()).expect("to send");
    }
    assert_eq!(read_until_quiet(&mut capture), frames);
}

#[test]
fn frames_carry_the_time_and_the_length_they_had() {
    if !in_namespace("frames_carry_the_time_and_the_length_they_had") {
        return;
    }
    let options = LiveOptions {
        snap_length: 60,
        ..LiveOptions::default()
    };
    let mut capture = LiveCapture::open(CAPTURING, &options).expect("to capture");
    let before = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    sender()
        .sendpacket(frame(&[], AGENT, OTHER, &[7; 172]))
        .expect("to send");
    let mut seen = None;
    while seen.is_none() {
        capture
            .read(10, |frame| {
                seen = Some((frame.captured.as_nanos(), frame.bytes.len(), frame.wire_length));
            })
            .expect("to read");
    }
    let (nanoseconds, captured, wire) = seen.expect("a frame");
    let delay = u128::from(nanoseconds)
        .checked_sub(before.as_nanos())
        .expect("not before it was sent");
    assert!(delay < 1_000_000_000, "{delay} ns");
    assert!(
        !nanoseconds.is_multiple_of(1000) || !delay.is_multiple_of(1000),
        "nanoseconds"
    );
    assert_eq!((captured, wire), (60, 214));
}

#[test]
fn the_kernel_filter_passes_and_counts() {
    if !in_namespace("the_kernel_filter_passes_and_counts") {
        return;
    }
    let mut capture = open();
    let filter = capture.attach_kernel_filter(16).expect("a filter");
    let [agent, other] = [AGENT, OTHER].map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let known = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 21));
    filter
        .set_watched([(agent, Interest::Pass), (known, Interest::Count)])
        .expect("to watch");
    let mut sender = sender();
    let wanted = [
        frame(&[], AGENT, OTHER, b"from"),
        frame(&[(0x8100, 0x0064)], OTHER, AGENT, b"to, tagged"),
        frame(&[(0x88a8, 1), (0x8100, 2)], AGENT, OTHER, b"two tags"),
        frame(&[(0x8100, 0)], AGENT, OTHER, b"priority tag"),
        frame(&[(0x8100, 1), (0x8100, 2), (0x8100, 3)], AGENT, OTHER, b"three tags"),
    ];
    for frame in &wanted {
        sender.sendpacket(frame.as_slice()).expect("to send");
    }
    for tags in [&[][..], &[(0x8100, 0x0064)], &[(0x8100, 1), (0x8100, 2)]] {
        sender
            .sendpacket(frame(tags, [10, 1, 1, 21], OTHER, b"counted only"))
            .expect("to send");
        sender
            .sendpacket(frame(tags, [10, 1, 1, 22], OTHER, b"nobody's"))
            .expect("to send");
    }
    assert_eq!(read_until_quiet(&mut capture), wanted);
    assert_eq!(
        filter.counters().expect("counters"),
        KernelCounters { seen: 11, tagged: 8 }
    );
    let counted = filter.address_counters().expect("counters");
    let counted: Vec<_> = counted
        .into_iter()
        .map(|(ip, counters)| (ip, counters.from, counters.to))
        .collect();
    assert_eq!(counted, [(agent, 4, 1), (known, 3, 0)]);
    let kernel = LiveCounters {
        received: 5,
        ..LiveCounters::default()
    };
    assert_eq!(capture.counters(), kernel);
    assert!(!counted.iter().any(|(ip, ..)| *ip == other));
}

#[test]
fn changing_what_is_watched_loses_nothing_of_a_call_that_goes_on() {
    const PACKETS: u32 = 50_000;
    if !in_namespace("changing_what_is_watched_loses_nothing_of_a_call_that_goes_on") {
        return;
    }
    let mut capture = open();
    let filter = capture.attach_kernel_filter(4096).expect("a filter");
    let agent = (IpAddr::V4(Ipv4Addr::from(AGENT)), Interest::Pass);
    filter.set_watched([agent]).expect("to watch");
    let sending = std::thread::spawn(|| {
        let mut sender = sender();
        for number in 0..PACKETS {
            let tags = [(0x8100, 0x0064)];
            sender
                .sendpacket(frame(&tags, AGENT, OTHER, &number.to_be_bytes()))
                .expect("to send");
            sender
                .sendpacket(frame(&tags, OTHER, [10, 1, 2, 3], b"stranger"))
                .expect("to send");
            if number % 50 == 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    });
    let changing = std::thread::spawn(move || {
        let mut changes = 0_u32;
        while !sending.is_finished() || changes < 300 {
            let others = (0..100_u32).map(|number| {
                let address = Ipv4Addr::from_bits(0x0b00_0000 + (changes * 37 + number) % 1000);
                let interest = if (changes + number).is_multiple_of(3) {
                    Interest::Count
                } else {
                    Interest::Pass
                };
                (IpAddr::V4(address), interest)
            });
            filter.set_watched(others.chain([agent])).expect("to watch");
            changes += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        sending.join().expect("the sender");
        (changes, filter)
    });
    let numbers: Vec<_> = read_until_quiet(&mut capture)
        .iter()
        .map(|frame| u32::from_be_bytes(*frame.last_chunk().expect("a number")))
        .collect();
    let (changes, filter) = changing.join().expect("the changes");
    assert!(changes >= 300, "{changes}");
    assert!(
        numbers.iter().copied().eq(0..PACKETS),
        "{} of {PACKETS} after {changes} changes",
        numbers.len()
    );
    let seen = filter.counters().expect("counters").seen;
    assert_eq!(seen, 2 * u64::from(PACKETS));
}

#[test]
fn stopping_wakes_an_idle_capture() {
    if !in_namespace("stopping_wakes_an_idle_capture") {
        return;
    }
    let mut capture = open();
    let stop = capture.stop();
    let reading = std::thread::spawn(move || {
        let read = capture.read(1000, |_| {});
        (read, Instant::now())
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!reading.is_finished());
    let stopped = Instant::now();
    stop.stop();
    let (read, woken) = reading.join().expect("the reader");
    assert_eq!(read, Ok(LiveRead::Stopped));
    assert!(woken.duration_since(stopped) < Duration::from_millis(100));
}

#[test]
fn a_capture_stopped_before_it_reads_does_not_block() {
    if !in_namespace("a_capture_stopped_before_it_reads_does_not_block") {
        return;
    }
    let mut capture = open();
    capture.stop().stop();
    assert_eq!(capture.read(1000, |_| {}), Ok(LiveRead::Stopped));
}

#[test]
fn an_interface_that_goes_away_ends_the_capture_with_an_error() {
    if !in_namespace("an_interface_that_goes_away_ends_the_capture_with_an_error") {
        return;
    }
    let mut capture = open();
    let removing = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(100));
        ip(&format!("link delete {CAPTURING}"));
    });
    let error = loop {
        match capture.read(1000, |_| {}) {
            Ok(LiveRead::Frames(_)) => {}
            Ok(LiveRead::Stopped) => panic!("nobody stopped it"),
            Err(error) => break error,
        }
    };
    removing.join().expect("the removal");
    assert!(matches!(error, LiveError::Ended { .. }), "{error}");
}

#[test]
fn says_why_an_interface_can_not_be_captured_from() {
    if !in_namespace("says_why_an_interface_can_not_be_captured_from") {
        return;
    }
    let missing = LiveCapture::open("ens224", &LiveOptions::default())
        .err()
        .expect("an error");
    assert_eq!(
        missing.to_string(),
        "expected a network interface, found none called 'ens224' (there are: lo, smcapture, smsend)"
    );
    ip(&format!("link set {CAPTURING} down"));
    let down = LiveCapture::open(CAPTURING, &LiveOptions::default()).err();
    let interface = CAPTURING.to_owned();
    assert_eq!(down, Some(LiveError::Down { interface }));
}

#[test]
fn says_when_capturing_is_not_permitted() {
    const UNPRIVILEGED: &str = "SILENTMON_TEST_UNPRIVILEGED";
    if std::env::var_os(UNPRIVILEGED).is_some() {
        let refused = LiveCapture::open("lo", &LiveOptions::default()).err();
        assert!(matches!(refused, Some(LiveError::NotPermitted { .. })), "{refused:?}");
        return;
    }
    let output = std::process::Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
        ])
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", "says_when_capturing_is_not_permitted"])
        .env(UNPRIVILEGED, "1")
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) if String::from_utf8_lossy(&output.stderr).starts_with("setpriv:") => {
            skip("privileges can't be dropped here (needs root and setpriv)");
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => skip(&error.to_string()),
    }
}

#[test]
fn a_reader_that_stalls_is_seen_in_the_kernels_counters() {
    const SENT: u64 = 20_000;
    if !in_namespace("a_reader_that_stalls_is_seen_in_the_kernels_counters") {
        return;
    }
    let options = LiveOptions {
        buffer_size: 1 << 20,
        ..LiveOptions::default()
    };
    let mut capture = LiveCapture::open(CAPTURING, &options).expect("to capture");
    let mut sender = sender();
    for _ in 0..SENT {
        sender.sendpacket(frame(&[], AGENT, OTHER, &[7; 172])).expect("to send");
    }
    let read = read_until_quiet(&mut capture).len() as u64;
    let counters = capture.counters();
    assert!(counters.dropped > 0);
    assert_eq!(counters.received, SENT);
    assert_eq!(read + counters.dropped, SENT);
}

fn wanting(addresses: &[[u8; 4]]) -> MediaFilter {
    let any_port = |&address: &[u8; 4]| MediaAddress {
        ip: address.into(),
        port: None,
    };
    addresses.iter().map(any_port).collect()
}

fn start(filtering: Filtering, filter: MediaFilter) -> CaptureHandle {
    let source = Source::Interface {
        name: CAPTURING.to_owned(),
        options: LiveOptions::default(),
        filtering,
    };
    CaptureHandle::start(source, Arc::new(ArcSwap::from_pointee(filter))).expect("to capture")
}

/// Waits until the capture has taken as many frames.
fn await_frames(handle: &CaptureHandle, frames: u64) {
    let begun = Instant::now();
    while handle.stats().frames < frames {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", handle.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_live_capture_hands_over_monitored_datagrams_and_counts_known_ones() {
    const KNOWN: [u8; 4] = [10, 1, 1, 21];
    if !in_namespace("a_live_capture_hands_over_monitored_datagrams_and_counts_known_ones") {
        return;
    }
    let mut handle = start(Filtering::Kernel, wanting(&[AGENT]));
    handle.watch(&wanting(&[AGENT]), &wanting(&[AGENT, KNOWN]));
    assert!(handle.counts_in_kernel() && !handle.is_file());
    let mut batches = handle.batches();
    let mut sender = sender();
    for (from, to) in [
        (AGENT, OTHER),
        (KNOWN, OTHER),
        (OTHER, AGENT),
        (OTHER, OTHER),
        (OTHER, KNOWN),
    ] {
        sender
            .sendpacket(frame(&[(0x8100, 0x0064)], from, to, &from))
            .expect("to send");
    }
    await_frames(&handle, 2);
    handle.stop();
    let mut received = Vec::new();
    while let Some(batch) = batches.blocking_recv() {
        received.extend(
            batch
                .datagrams()
                .map(|datagram| (datagram.vlan.ids().to_vec(), datagram.payload.to_vec())),
        );
        handle.recycle(batch);
    }
    assert_eq!(handle.end(), CaptureEnd::Stopped);
    assert_eq!(received, [(vec![100], AGENT.to_vec()), (vec![100], OTHER.to_vec())]);
    let count = |ip: [u8; 4], from, to| AddressCount {
        ip: ip.into(),
        from,
        to,
    };
    assert_eq!(handle.address_counts(), [count(AGENT, 1, 1), count(KNOWN, 1, 1)]);
    let stats = handle.stats();
    assert_eq!((stats.frames, stats.passed, stats.unwanted), (2, 2, 0));
    assert_eq!((stats.seen, stats.seen_tagged), (5, 5));
    assert_eq!((stats.kernel_received, stats.kernel_dropped), (2, 0));
}

#[test]
fn an_event_loop_that_stalls_costs_counted_datagrams_and_not_the_capture() {
    const SENT: u64 = 100_000;
    if !in_namespace("an_event_loop_that_stalls_costs_counted_datagrams_and_not_the_capture") {
        return;
    }
    let mut handle = start(Filtering::UserSpace, wanting(&[AGENT]));
    let mut batches = handle.batches();
    let mut sender = sender();
    for _ in 0..SENT {
        sender.sendpacket(frame(&[], AGENT, OTHER, &[7; 172])).expect("to send");
    }
    await_frames(&handle, SENT);
    handle.stop();
    let mut received = 0;
    while let Some(batch) = batches.blocking_recv() {
        received += batch.len() as u64;
    }
    let stats = handle.stats();
    assert_eq!((stats.passed, stats.kernel_dropped), (SENT, 0));
    assert!(stats.dropped_handover > 0);
    assert_eq!(received + stats.dropped_handover, SENT);
}

#[test]
fn stopping_ends_an_idle_capture_thread_at_once() {
    if !in_namespace("stopping_ends_an_idle_capture_thread_at_once") {
        return;
    }
    let mut handle = start(Filtering::Kernel, MediaFilter::default());
    std::thread::sleep(Duration::from_millis(50));
    let stopped = Instant::now();
    handle.stop();
    assert_eq!(handle.end(), CaptureEnd::Stopped);
    assert!(stopped.elapsed() < Duration::from_millis(100));
}

#[test]
fn an_interface_that_goes_away_ends_the_thread_with_its_error() {
    if !in_namespace("an_interface_that_goes_away_ends_the_thread_with_its_error") {
        return;
    }
    let mut handle = start(Filtering::Kernel, MediaFilter::default());
    ip(&format!("link delete {CAPTURING}"));
    assert!(handle.batches().blocking_recv().is_none());
    let end = handle.end();
    assert!(
        matches!(end, CaptureEnd::Failed(CaptureError::Live(LiveError::Ended { .. }))),
        "{end:?}"
    );
}

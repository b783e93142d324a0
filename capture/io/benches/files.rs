//! How fast capture files are read: ten seconds of 1,000 calls, tagged G.711 at 20 ms, from the page cache.

#![allow(clippy::cast_possible_truncation, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use silentmon_capture_core::filter::MediaFilter;
use silentmon_capture_io::feed::{CaptureHandle, Filtering, Source};
use silentmon_capture_io::file::CaptureFile;
use silentmon_capture_io::file::paced::{FileOrigin, Pace, Repeat};
use silentmon_proto::ids::MediaAddress;

const PACKETS: u32 = 1_000_000;
const FRAME: usize = 218;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Tagged Ethernet, IPv4, UDP, RTP with 160 bytes of G.711.
fn frame(number: u32) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0, 0, 100, 8, 0, 0x45, 0, 0, 200, 0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 1, 1, 20, 10, 9, 9, 9, 0x60, 0x66, 0x0f, 0xa0, 0, 180, 0, 0, 0x80, 0]);
    frame.extend((number as u16).to_be_bytes());
    frame.resize(FRAME, number as u8);
    frame
}

fn classic() -> Vec<u8> {
    let mut bytes = words(&[0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1]);
    for number in 0..PACKETS {
        bytes.extend(words(&[
            number / 100_000,
            number % 100_000 * 10_000,
            FRAME as u32,
            FRAME as u32,
        ]));
        bytes.extend(frame(number));
    }
    bytes
}

fn pcapng() -> Vec<u8> {
    let mut bytes = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
    bytes.extend(words(&[1, 20, 1, 0, 20]));
    let length = 32 + FRAME.next_multiple_of(4) as u32;
    for number in 0..PACKETS {
        bytes.extend(words(&[6, length, 0, 0, number * 10, FRAME as u32, FRAME as u32]));
        bytes.extend(frame(number));
        bytes.extend([0; FRAME.next_multiple_of(4) - FRAME]);
        bytes.extend(words(&[length]));
    }
    bytes
}

fn read(path: &Path) -> u64 {
    let mut file = CaptureFile::open(path).expect("the file made above");
    let mut sum = 0;
    while let Some(frame) = file.next_frame().expect("a frame") {
        sum += frame.captured.as_nanos() ^ u64::from(frame.bytes[12]);
    }
    assert_eq!(file.frames(), u64::from(PACKETS));
    sum
}

/// Reads, filters and hands over on a capture thread; `wanted` decides about the only address there is.
fn hand_over(path: &Path, wanted: Wanted) -> u64 {
    let ip = match wanted {
        Wanted::All => [10, 1, 1, 20],
        Wanted::None => [10, 1, 1, 21],
    };
    let address = MediaAddress {
        ip: ip.into(),
        port: None,
    };
    let filter = Arc::new(ArcSwap::from_pointee(MediaFilter::from_iter([address])));
    let source = Source::File {
        origin: FileOrigin::Path(path.to_owned()),
        pace: Pace::Fast,
        repeat: Repeat::Once,
        filtering: Filtering::UserSpace,
    };
    let mut handle = CaptureHandle::start(source, filter).expect("the file made above");
    let mut batches = handle.batches();
    let mut sum = 0;
    while let Some(batch) = batches.blocking_recv() {
        sum += batch
            .datagrams()
            .map(|datagram| datagram.payload.len() as u64)
            .sum::<u64>();
        handle.recycle(batch);
    }
    assert_eq!(handle.stats().frames, u64::from(PACKETS));
    sum
}

#[derive(Clone, Copy)]
enum Wanted {
    All,
    None,
}

fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("capture files");
    group.throughput(Throughput::Elements(PACKETS.into()));
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (name, bytes) in [("pcap", classic()), ("pcapng", pcapng())] {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&bytes).expect("room for it");
        group.bench_function(name, |bencher| bencher.iter(|| black_box(read(file.path()))));
        for (what, wanted) in [("filtered out", Wanted::None), ("handed over", Wanted::All)] {
            let name = format!("{name}, {what}");
            group.bench_function(name, |bencher| {
                bencher.iter(|| black_box(hand_over(file.path(), wanted)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, files);
criterion_main!(benches);

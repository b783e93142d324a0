//! How fast capture files are read: ten seconds of 1,000 calls, tagged G.711 at 20 ms, from the page cache.

#![allow(clippy::cast_possible_truncation, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use silentmon_capture_io::file::CaptureFile;

const PACKETS: u32 = 1_000_000;
const FRAME: usize = 218;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
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
        bytes.extend([number as u8; FRAME]);
    }
    bytes
}

fn pcapng() -> Vec<u8> {
    let mut bytes = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
    bytes.extend(words(&[1, 20, 1, 0, 20]));
    let length = 32 + FRAME.next_multiple_of(4) as u32;
    for number in 0..PACKETS {
        bytes.extend(words(&[6, length, 0, 0, number * 10, FRAME as u32, FRAME as u32]));
        bytes.extend([number as u8; FRAME.next_multiple_of(4)]);
        bytes.extend(words(&[length]));
    }
    bytes
}

fn read(path: &std::path::Path) -> u64 {
    let mut file = CaptureFile::open(path).expect("the file made above");
    let mut sum = 0;
    while let Some(frame) = file.next_frame().expect("a frame") {
        sum += frame.captured.as_nanos() ^ u64::from(frame.bytes[12]);
    }
    assert_eq!(file.frames(), u64::from(PACKETS));
    sum
}

fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("capture files");
    group.throughput(Throughput::Elements(PACKETS.into()));
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (name, bytes) in [("pcap", classic()), ("pcapng", pcapng())] {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&bytes).expect("room for it");
        group.bench_function(name, |bencher| bencher.iter(|| black_box(read(file.path()))));
    }
    group.finish();
}

criterion_group!(benches, files);
criterion_main!(benches);

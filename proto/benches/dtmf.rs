//! What listening for in-band digits costs: 20 ms of G.711, decoded and looked at.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use silentmon_proto::dtmf::DtmfDetector;
use silentmon_proto::g711::{Law, SAMPLE_RATE};

/// One of two tones together.
#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
fn code(tones: [f32; 2], n: u8) -> u8 {
    let wave = |frequency: f32| (std::f32::consts::TAU * frequency * f32::from(n) / 8000.0).sin();
    Law::Mu.encode(((wave(tones[0]) + wave(tones[1])) * 8000.0) as i16)
}

fn listen(criterion: &mut Criterion) {
    let sounds = [("voice", [310.0, 2480.0]), ("digit", [770.0, 1336.0])];
    let mut group = criterion.benchmark_group("in_band_dtmf");
    group.throughput(Throughput::Elements(1));
    for (name, tones) in sounds {
        let payload: Vec<u8> = (0..160).map(|n| code(tones, n)).collect();
        let mut detector = DtmfDetector::new(SAMPLE_RATE);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let heard = black_box(&payload)
                    .iter()
                    .filter_map(|&code| detector.observe(Law::Mu.decode_to_full_scale(code)));
                black_box(heard.filter(|heard| *heard).count())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, listen);
criterion_main!(benches);

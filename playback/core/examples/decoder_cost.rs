//! What decoding costs: `cargo run --release -p silentmon-playback-core --example decoder_cost`.
//!
//! Decodes packets of 20 ms and prints, for each codec that is built in, microseconds of processor time for a second of
//! sound, as the best of five runs.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "an example measures and prints"
)]

use std::time::{Duration, Instant};

use silentmon_playback_core::codec;
use silentmon_proto::codec::Codec;

const PACKETS: usize = 3000;
const PACKETS_A_SECOND: usize = 50;

fn main() {
    for codec in Codec::ALL.into_iter().filter(|codec| codec.is_built_in()) {
        let payloads = payloads(codec);
        let best = (0..5).map(|_| time(codec, &payloads)).min().expect("five runs");
        let seconds = PACKETS / PACKETS_A_SECOND;
        println!(
            "{:>16} {:>8.1} µs",
            format!("{codec}/{}", codec.clock_rate()),
            best.as_secs_f64() * 1e6 / seconds as f64
        );
    }
}

fn time(codec: Codec, payloads: &[Vec<u8>]) -> Duration {
    let mut decoder = codec::decoder(codec).expect("is built in");
    let mut out = Vec::new();
    let begun = Instant::now();
    for payload in payloads {
        out.resize(decoder.samples(payload).expect("a payload of it"), 0.0);
        decoder.decode(payload, &mut out).expect("decodes");
    }
    begun.elapsed()
}

/// 20 ms of noise as the codec would have it; Opus codes a tone.
fn payloads(codec: Codec) -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(byte).take(length).collect()
    };
    match codec {
        Codec::Opus => opus(),
        Codec::G729 => (0..PACKETS).map(|_| noise(20)).collect(),
        Codec::Pcmu | Codec::Pcma | Codec::G722 => (0..PACKETS).map(|_| noise(160)).collect(),
        linear => {
            let bytes = linear.clock_rate() as usize / PACKETS_A_SECOND * 2 * usize::from(linear.channels());
            (0..PACKETS).map(|_| noise(bytes)).collect()
        }
    }
}

fn opus() -> Vec<Vec<u8>> {
    let mut encoder = audiopus::coder::Encoder::new(
        audiopus::SampleRate::Hz16000,
        audiopus::Channels::Mono,
        audiopus::Application::Voip,
    )
    .expect("an encoder");
    encoder
        .set_bitrate(audiopus::Bitrate::BitsPerSecond(24_000))
        .expect("a rate it has");
    let packet = |number: usize| {
        let sound: Vec<f32> = (0..320)
            .map(|at| (((number * 320 + at) as f32 / 16_000.0) * 1234.5).sin() * 0.3)
            .collect();
        let mut coded = vec![0; 500];
        let length = encoder.encode_float(&sound, &mut coded).expect("encodes");
        coded.truncate(length);
        coded
    };
    (0..PACKETS).map(packet).collect()
}

//! The decoders against the ITU's vectors, and against whatever bytes may come.
#![allow(
    clippy::disallowed_methods,
    reason = "reference vectors come from files; the ban is for the crate itself"
)]
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

#[path = "common/shared.rs"]
mod reference;

use proptest::prelude::*;
use reference::{hash, shared, words};
use silentmon_playback_core::codec::g722::{G722, Mode};
use silentmon_playback_core::codec::opus::repeated;
use silentmon_playback_core::codec::{self, Decoder, Gap};
use silentmon_playback_core::player::to_i16;
use silentmon_proto::codec::Codec;

fn decoded(decoder: &mut dyn Decoder, payload: &[u8]) -> Vec<i16> {
    let mut out = vec![0.0; decoder.samples(payload).expect("a payload of this codec")];
    decoder.decode(payload, &mut out).expect("decodes");
    out.into_iter().map(to_i16).collect()
}

#[test]
fn exactly_the_codecs_that_are_built_in_have_a_decoder() {
    for codec in Codec::ALL {
        assert_eq!(codec::decoder(codec).is_some(), codec.is_built_in(), "{codec}");
    }
}

#[test]
fn the_sweep_of_the_itu_software_tools_comes_out_of_the_decoders_bit_exact() {
    let Some(data) = shared() else { return };
    for (codec, coded, expected) in [
        (Codec::Pcmu, "sweep-r.u", "sweep-r.reu"),
        (Codec::Pcma, "sweep-r.a", "sweep-r.rea"),
    ] {
        let sweep = data.join("vectors/itu-stl-g711");
        let payload: Vec<u8> = words(&sweep.join(coded))
            .into_iter()
            .map(|code| code.to_le_bytes()[0])
            .collect();
        let mut decoder = codec::decoder(codec).expect("is built in");
        assert!(
            decoded(decoder.as_mut(), &payload) == words(&sweep.join(expected)),
            "{coded}"
        );
    }
}

#[test]
fn the_itu_vectors_of_g722_are_decoded_bit_exact_in_all_modes() {
    let Some(data) = shared() else { return };
    let vectors = data.join("vectors/itu-stl-g722");
    // One byte in each word; `codsp.cod` has the same bytes with each two swapped.
    let coded: Vec<u8> = words(&vectors.join("codspw.cod"))
        .into_iter()
        .map(|word| word.to_le_bytes()[0])
        .collect();
    for (mode, file) in [
        (Mode::Sound64, "outsp1.bin"),
        (Mode::Sound56, "outsp2.bin"),
        (Mode::Sound48, "outsp3.bin"),
    ] {
        let mut decoder = G722::new(mode);
        let mut out = Vec::new();
        for payload in coded.chunks(160) {
            out.extend(decoded(&mut decoder, payload));
        }
        assert!(out == words(&vectors.join(file)), "{file}");
    }
}

#[test]
fn gsm_is_decoded_bit_exact() {
    let coded = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/speechlike.gsm")).expect("readable");
    let mut decoder = codec::decoder(Codec::Gsm).expect("is built in");
    let out: Vec<i16> = coded
        .chunks(66)
        .flat_map(|payload| decoded(decoder.as_mut(), payload))
        .collect();
    assert_eq!(
        hash(&out),
        "9a0d8966f4bf6e901e27b40068a67657464cc42ed56da9b7edf85f3a7fad8164"
    );
}

/// A voice in packets of 20 ms, as Opus codes it for a path that loses so much.
fn opus_packets(count: usize, loss_percent: u8) -> Vec<Vec<u8>> {
    let mut encoder = audiopus::coder::Encoder::new(
        audiopus::SampleRate::Hz16000,
        audiopus::Channels::Mono,
        audiopus::Application::Voip,
    )
    .expect("an encoder");
    encoder
        .set_bitrate(audiopus::Bitrate::BitsPerSecond(32_000))
        .expect("taken");
    encoder.set_inband_fec(loss_percent > 0).expect("taken");
    encoder.set_packet_loss_perc(loss_percent).expect("taken");
    (0..count)
        .map(|packet| {
            let sound: Vec<f32> = (0..320).map(|at| voice(packet * 320 + at)).collect();
            let mut coded = vec![0; 1000];
            let length = encoder.encode_float(&sound, &mut coded).expect("encodes");
            coded.truncate(length);
            coded
        })
        .collect()
}

/// Something like a voice: a gliding pulse train at 16 kHz.
fn voice(at: usize) -> f32 {
    let time = at as f32 / 16_000.0;
    let pitch = 120.0 + 30.0 * (time * 3.0).sin();
    let phase = (time * pitch).fract();
    (0.6 - phase).max(0.0) * (1.0 + (time * 7.0).sin()) * 0.4
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

/// A packet in a loud place: soft ones aren't repeated.
const LOST: usize = 16;

/// What `fill_gap` makes of that packet, and what was really in it.
fn gap_of_opus(packets: &[Vec<u8>], next: Option<&[u8]>) -> (Gap, Vec<f32>, Vec<f32>) {
    let mut whole = codec::decoder(Codec::Opus).expect("is built in");
    let mut damaged = codec::decoder(Codec::Opus).expect("is built in");
    let mut out = vec![0.0; 960];
    for packet in &packets[..LOST] {
        whole.decode(packet, &mut out).expect("decodes");
        damaged.decode(packet, &mut out).expect("decodes");
    }
    let mut really = vec![0.0; 960];
    whole.decode(&packets[LOST], &mut really).expect("decodes");
    let gap = damaged.fill_gap(next, &mut out);
    (gap, out, really)
}

#[test]
fn opus_recovers_a_lost_packet_from_the_next_one_where_that_repeats_it() {
    let packets = opus_packets(40, 20);
    assert_eq!(repeated(&packets[LOST + 1]), Some(960));
    let (gap, recovered, really) = gap_of_opus(&packets, Some(&packets[LOST + 1]));
    assert_eq!(gap, Gap::Recovered);
    let (gap, concealed, _) = gap_of_opus(&packets, None);
    assert_eq!(gap, Gap::Concealed);
    let error = |made: &[f32]| {
        let difference: Vec<f32> = made.iter().zip(&really).map(|(a, b)| a - b).collect();
        power(&difference) / power(&really)
    };
    assert!(
        error(&recovered) < error(&concealed),
        "{} {}",
        error(&recovered),
        error(&concealed)
    );
}

#[test]
fn opus_without_redundancy_makes_the_gap_up() {
    let packets = opus_packets(40, 0);
    assert_eq!(repeated(&packets[LOST + 1]), None);
    let (gap, made, really) = gap_of_opus(&packets, Some(&packets[LOST + 1]));
    assert_eq!(gap, Gap::Concealed);
    assert!(power(&made) > power(&really) / 4.0, "no hole");
}

#[test]
fn a_gap_of_any_length_is_filled_and_decoding_goes_on() {
    let packets = opus_packets(40, 20);
    for length in [1, 119, 120, 121, 480, 960, 1000, 2880, 10_000] {
        let mut decoder = codec::decoder(Codec::Opus).expect("is built in");
        let mut out = vec![0.0; 960];
        decoder.decode(&packets[0], &mut out).expect("decodes");
        let mut gap = vec![9.0; length];
        assert_ne!(decoder.fill_gap(Some(&packets[2]), &mut gap), Gap::Open, "{length}");
        assert!(gap.iter().all(|sample| sample.abs() < 2.0), "{length}");
        decoder.decode(&packets[2], &mut out).expect("decodes");
    }
}

#[test]
fn a_decoder_that_was_reset_decodes_like_a_new_one() {
    let payloads = opus_packets(4, 0);
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::L16At16000] {
        let mut fresh = codec::decoder(codec).expect("is built in");
        let expected: Vec<_> = payloads
            .iter()
            .map(|payload| decoded(fresh.as_mut(), even(payload)))
            .collect();
        fresh.reset();
        let again: Vec<_> = payloads
            .iter()
            .map(|payload| decoded(fresh.as_mut(), even(payload)))
            .collect();
        assert!(again == expected, "{codec}");
    }
}

fn even(payload: &[u8]) -> &[u8] {
    &payload[..payload.len() / 2 * 2]
}

/// Decodes into the middle of a buffer, of which the rest must stay untouched.
fn decode_between_marks(decoder: &mut dyn Decoder, payload: &[u8]) {
    const MARK: f32 = 1234.5;
    let Ok(samples) = decoder.samples(payload) else {
        let mut none: [f32; 0] = [];
        assert!(decoder.decode(payload, &mut none).is_err());
        return;
    };
    let mut out = vec![MARK; samples + 64];
    let middle = &mut out[32..32 + samples];
    if decoder.decode(payload, middle).is_err() {
        assert!(
            middle.iter().all(|sample| *sample == 0.0),
            "what can't be decoded is silent"
        );
    }
    assert!(middle.iter().all(|sample| sample.is_finite()));
    let edges = out[..32].iter().chain(&out[32 + samples..]);
    assert!(edges.into_iter().all(|sample| sample.to_bits() == MARK.to_bits()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_comes_no_decoder_panics_or_writes_outside(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 1..6),
        gap in 0_usize..2000,
    ) {
        for codec in Codec::ALL {
            let Some(mut decoder) = codec::decoder(codec) else { continue };
            for payload in &payloads {
                decode_between_marks(decoder.as_mut(), payload);
                let mut filled = vec![0.0; gap];
                decoder.fill_gap(payloads.first().map(Vec::as_slice), &mut filled);
                prop_assert!(filled.iter().all(|sample| sample.is_finite()));
            }
        }
    }

    #[test]
    fn whole_frames_of_noise_are_decoded_by_all(seed in any::<u64>(), frames in 1_usize..8) {
        for (codec, frame) in [(Codec::G722, 160), (Codec::G729, 10), (Codec::Gsm, 33), (Codec::Opus, 40), (Codec::L16At48000, 960)] {
            let Some(mut decoder) = codec::decoder(codec) else { continue };
            let mut state = seed | 1;
            for _ in 0..frames {
                let payload: Vec<u8> = std::iter::repeat_with(|| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    state.to_be_bytes()[0]
                })
                .take(frame)
                .enumerate()
                .map(|(at, byte)| if codec == Codec::Gsm && at == 0 { 0xd0 | byte & 0x0f } else { byte })
                .collect();
                decode_between_marks(decoder.as_mut(), &payload);
            }
        }
    }
}

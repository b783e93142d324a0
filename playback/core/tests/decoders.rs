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

use reference::{shared, words};
use silentmon_playback_core::codec::g722::{G722, Mode};
use silentmon_playback_core::codec::{self, Decoder};
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

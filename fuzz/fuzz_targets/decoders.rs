//! Decoders: any payloads in any order, with gaps between them.
//!
//! Input: the codec's number, then payloads, each after a byte with its length and one with the length of the gap before
//! it in 2.5 ms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_playback_core::codec;
use silentmon_proto::codec::Codec;

fuzz_target!(|bytes: &[u8]| {
    let Some((&number, mut rest)) = bytes.split_first() else {
        return;
    };
    let Some(mut decoder) = codec::decoder(Codec::from_number(number)) else {
        return;
    };
    while let Some((&[length, gap], after)) = rest.split_first_chunk() {
        let (payload, after) = after.split_at(after.len().min(length.into()));
        rest = after;
        if gap > 0 {
            let samples = decoder.sample_rate() as usize / 400 * usize::from(gap);
            decoder.fill_gap(Some(payload), &mut vec![0.0; samples]);
        }
        if let Ok(samples) = decoder.samples(payload) {
            let mut out = vec![0.0; samples];
            let _ = decoder.decode(payload, &mut out);
            assert!(out.iter().all(|sample| sample.is_finite()));
        }
    }
});

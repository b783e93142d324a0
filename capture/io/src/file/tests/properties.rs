//! Any bytes never panic; what was written is read.

use proptest::prelude::*;

use super::*;

const SECTION: [u8; 12] = [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a];

/// Cuts and flips bits of good files of every format.
fn damaged_file() -> impl Strategy<Value = Vec<u8>> {
    let classic = Writer::new(true)
        .pcap(0xa1b2_3c4d, 4, 1)
        .record((7, 0), 60, &[1; 60])
        .record((8, 0), 60, &[2; 60]);
    let both = [
        sample_pcapng(),
        Writer::new(true).section().interface(1, 0, &NANOSECONDS_BIG).bytes,
    ]
    .concat();
    let files = [classic.bytes, both.clone(), gzip(&both), TRACE.as_bytes().to_vec()];
    let flips = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (
        prop::sample::select(files.to_vec()),
        any::<prop::sample::Index>(),
        flips,
    )
        .prop_map(|(mut file, cut, flips)| {
            for (at, value) in flips {
                let at = at.index(file.len());
                file[at] = value;
            }
            let length = cut.index(file.len() * 2).min(file.len());
            file.truncate(length);
            file
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_never_panic_and_an_error_counts_the_frames_before_it(file in damaged_file()) {
        let (seen, error) = read_all(&file);
        if let Some(error) = error {
            prop_assert_eq!(error.place().frames, seen.len() as u64);
        }
    }

    #[test]
    fn random_bytes_behind_a_good_start_never_panic(
        start in prop::sample::select(vec![&[0xd4, 0xc3, 0xb2, 0xa1][..], &SECTION, b"1.0: x(i) len=9\n", &[0x1f, 0x8b, 8, 0]]),
        noise in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        read_all(&[start, &noise].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(
        frames in proptest::collection::vec(
            (any::<u32>(), 0_u32..1_000_000, any::<u16>(), proptest::collection::vec(any::<u8>(), 0..100)),
            0..30,
        ),
        big in any::<bool>(),
    ) {
        let mut classic = Writer::new(big).pcap(0xa1b2_c3d4, 4, 1);
        let mut pcapng = Writer::new(big).section().interface(1, 0, &[]);
        let mut expected = Vec::new();
        for (seconds, micros, wire, data) in &frames {
            classic = classic.record((*seconds, *micros), u32::from(*wire), data);
            let ticks = u64::from(*seconds) * 1_000_000 + u64::from(*micros);
            pcapng = pcapng.enhanced(0, ticks, u32::from(*wire), data);
            expected.push((ETHERNET, ticks * 1000, data.clone(), u32::from(*wire)));
        }
        prop_assert_eq!(good(&classic.bytes), expected.clone());
        prop_assert_eq!(good(&pcapng.bytes), expected);
    }
}

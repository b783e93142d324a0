//! Tells encrypted media from plain ones, for payload types whose bytes would decode to noise either way.
//!
//! Ciphertext is uniform: its bytes collide by chance only and its samples don't follow each other. Speech, tones, fax
//! and noise, however loud, are far from that in the logarithmic codes of G.711 and the sub-band codes of G.722. Both
//! measures are normalised to a standard deviation of 1 under ciphertext and tested sequentially (Wald). Codecs of
//! fixed frames are judged by length: SRTP lengthens a payload by its authentication tag.

use silentmon_proto::codec::Codec;

/// Whether a stream's media can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encryption {
    /// Not enough seen yet, or a codec of which nothing can be told.
    #[default]
    Undecided,
    /// Not encrypted.
    Plain,
    /// Encrypted (SRTP): never relayed, never decoded.
    Encrypted,
}

/// Standard deviations above chance that make a stream plain. None of 1.2 million random streams got there, while all
/// real speech, music, tones and fax do within three payloads, 99.8 % with the first.
const PLAIN: f32 = 9.0;
/// The same for a stream that was found encrypted before.
const PLAIN_AFTER_ENCRYPTED: f32 = 12.0;
/// Below this after [`ENOUGH`] payloads it is ciphertext. Plain media stand at 15 and more by then.
const CHANCE: f32 = 3.5;
/// Payloads needed to call a stream encrypted by its bytes alone.
const ENOUGH: u16 = 6;
/// Payloads needed where their length shows an authentication tag as well, and to doubt a stream that was plain.
const ENOUGH_FOR_DOUBT: u16 = 3;
/// Payloads of the right length that make a codec of fixed frames plain.
const ENOUGH_FRAMES: u16 = 2;
/// Of a plain stream every such packet's bytes are looked at: they cost more than all else the table does.
const LOOK_AGAIN: u8 = 4;
/// Sixteen levels spread wider by chance than 256 codes do (chi-squared with 15 degrees of freedom): 10 deviations of
/// theirs are rarer than 7.
const LEVELS_WEIGHT: f32 = 0.7;
/// Shorter payloads say too little.
const SHORTEST: usize = 20;
/// 40 ms of G.711: more adds cost, not certainty.
const LONGEST: usize = 320;
/// Bytes that SRTP adds to a payload: tags of RFC 3711 (10, 4), RFC 7714 (16), and 4 bytes of MKI with them.
const TAGS: [usize; 6] = [4, 8, 10, 14, 16, 20];

/// Watches the payloads of one stream.
#[derive(Debug, Clone, Default)]
pub struct EncryptionDetector {
    verdict: Encryption,
    passed_by: u8,
    payloads: u16,
    tagged: u16,
    collisions: f32,
    levels: f32,
    structure: f32,
}

impl EncryptionDetector {
    /// What is known so far.
    pub const fn verdict(&self) -> Encryption {
        self.verdict
    }

    /// Settles it by other evidence, such as a DTLS handshake on the same ports.
    pub const fn declare_encrypted(&mut self) {
        self.conclude(Encryption::Encrypted);
    }

    /// Takes the payload of a packet seen for the first time. `ticks` is the step of the timestamp from the packet
    /// before, where that is known.
    pub fn handle(&mut self, codec: Codec, payload: &[u8], ticks: Option<u32>) -> Encryption {
        match codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => self.handle_samples(codec, payload, ticks),
            Codec::G723 | Codec::G729 | Codec::Gsm => self.handle_frames(codec, payload.len(), ticks),
            _ => {}
        }
        self.verdict
    }

    fn handle_samples(&mut self, codec: Codec, payload: &[u8], ticks: Option<u32>) {
        let payload_length = payload.len();
        let Some(payload) = payload.get(..payload_length.min(LONGEST)) else {
            return;
        };
        if payload.len() < SHORTEST {
            return;
        }
        let tagged = has_tag(codec, payload_length, ticks);
        if self.may_pass(tagged) {
            return;
        }
        self.payloads += 1;
        self.tagged += u16::from(tagged);
        self.structure += match codec {
            Codec::G722 => forbidden_codes(payload),
            law => likeness(payload, if law == Codec::Pcma { 0x55 } else { 0xff }),
        };
        // The cheapest measure is enough for most speech: the strongest one counts, and all begin anew with a verdict.
        if self.deviations(self.structure) >= self.plain_at().0 {
            return self.conclude(Encryption::Plain);
        }
        let histogram = Histogram::of(payload);
        self.collisions += histogram.collisions();
        if codec != Codec::G722 {
            self.levels += histogram.level_collisions();
        }
        self.judge_samples();
    }

    fn deviations(&self, measure: f32) -> f32 {
        measure / f32::from(self.payloads).sqrt()
    }

    const fn is_all_tagged(&self) -> bool {
        self.tagged > 0 && self.tagged + 1 >= self.payloads
    }

    /// Deviations that make a stream plain, and payloads that make one without them encrypted.
    const fn plain_at(&self) -> (f32, u16) {
        match self.verdict {
            Encryption::Encrypted => (PLAIN_AFTER_ENCRYPTED, ENOUGH),
            _ if self.is_all_tagged() => (PLAIN, ENOUGH_FOR_DOUBT),
            Encryption::Undecided | Encryption::Plain => (PLAIN, ENOUGH),
        }
    }

    /// A plain stream is looked at closely only now and then, unless a length or the last look was suspicious.
    const fn may_pass(&mut self, tagged: bool) -> bool {
        let settled = matches!(self.verdict, Encryption::Plain) && self.payloads == 0 && !tagged;
        let passes = settled && self.passed_by + 1 < LOOK_AGAIN;
        self.passed_by = if passes { self.passed_by + 1 } else { 0 };
        passes
    }

    fn judge_samples(&mut self) {
        let most = self.collisions.max(self.structure).max(self.levels * LEVELS_WEIGHT);
        let deviations = self.deviations(most);
        let all_tagged = self.is_all_tagged();
        let (plain, enough) = self.plain_at();
        if deviations >= plain {
            self.conclude(Encryption::Plain);
        } else if self.payloads >= enough && deviations < CHANCE {
            self.conclude(Encryption::Encrypted);
        } else if self.verdict == Encryption::Plain && (all_tagged || self.doubtful(deviations)) {
            self.verdict = Encryption::Undecided;
        } else if self.payloads >= 4 * ENOUGH {
            self.conclude(self.verdict);
        }
    }

    /// A call can turn to SRTP in its middle: what looks like that is held back until it is certain.
    fn doubtful(&self, deviations: f32) -> bool {
        self.payloads >= ENOUGH_FOR_DOUBT && deviations < CHANCE
    }

    fn handle_frames(&mut self, codec: Codec, length: usize, ticks: Option<u32>) {
        let Some(ticks) = ticks else {
            return;
        };
        if frame_ticks(codec, length) == Some(ticks) {
            self.payloads += 1;
            self.tagged = 0;
        } else if has_tag(codec, length, Some(ticks)) {
            self.tagged += 1;
            self.payloads = 0;
        }
        if self.payloads >= ENOUGH_FRAMES {
            self.conclude(Encryption::Plain);
        } else if self.tagged >= ENOUGH_FOR_DOUBT {
            self.conclude(Encryption::Encrypted);
        }
    }

    /// A new test begins with each verdict, so that a change in mid call is found.
    const fn conclude(&mut self, verdict: Encryption) {
        *self = Self {
            verdict,
            passed_by: 0,
            payloads: 0,
            tagged: 0,
            collisions: 0.0,
            levels: 0.0,
            structure: 0.0,
        };
    }
}

/// How often each byte occurs in a payload.
struct Histogram {
    counts: [u16; 256],
    bytes: usize,
}

impl Histogram {
    /// Counts in four lanes, so that a run of equal bytes doesn't wait for its own counter.
    fn of(payload: &[u8]) -> Self {
        let mut lanes = [[0u8; 256]; 4];
        let (blocks, rest) = payload.as_chunks::<4>();
        for block in blocks.iter().copied() {
            for (lane, byte) in lanes.iter_mut().zip(block) {
                lane[usize::from(byte)] += 1;
            }
        }
        let [first, second, third, fourth] = &mut lanes;
        for &byte in rest {
            first[usize::from(byte)] += 1;
        }
        let mut counts = [0; 256];
        for (index, count) in counts.iter_mut().enumerate() {
            *count = [&*first, second, third, fourth]
                .iter()
                .map(|lane| u16::from(lane[index]))
                .sum();
        }
        Self {
            counts,
            bytes: payload.len(),
        }
    }

    /// Pairs of equal bytes, in standard deviations above what ciphertext shows.
    fn collisions(&self) -> f32 {
        above_chance(pairs(&self.counts), self.bytes, 1.0 / 256.0)
    }

    /// Pairs of samples of one level, out of sixteen: noise has a level even where its codes hardly collide. The bits
    /// that both laws invert only rename the levels.
    fn level_collisions(&self) -> f32 {
        let mut levels = [0u16; 16];
        for (index, group) in self.counts.as_chunks::<8>().0.iter().enumerate() {
            levels[index % 16] += group.iter().sum::<u16>();
        }
        above_chance(pairs(&levels), self.bytes, 1.0 / 16.0)
    }
}

fn pairs(counts: &[u16]) -> u32 {
    let squares: u32 = counts.iter().map(|&count| u32::from(count) * u32::from(count)).sum();
    let sum: u32 = counts.iter().copied().map(u32::from).sum();
    (squares - sum) / 2
}

/// Pairs of independent uniform values are equal with `probability`, each pair independently of any other.
fn above_chance(found: u32, values: usize, probability: f32) -> f32 {
    let pairs = (values * (values - 1) / 2) as f32;
    (found as f32 - pairs * probability) / (pairs * probability * (1.0 - probability)).sqrt()
}

/// Correlation of each sample with the next, in the companded domain where ciphertext is uniform; either sign counts.
fn likeness(payload: &[u8], inversion: u8) -> f32 {
    let mut samples = [0i16; LONGEST];
    for (sample, byte) in samples.iter_mut().zip(payload) {
        let code = byte ^ inversion;
        let magnitude = i16::from(code & 0x7f);
        let sign = i16::from(code >> 7);
        *sample = (magnitude ^ -sign) + sign;
    }
    let samples = samples.get(..payload.len()).unwrap_or_default();
    let next = samples.get(1..).unwrap_or_default();
    let times = |(one, other): (&i16, &i16)| i32::from(*one) * i32::from(*other);
    let power: i32 = samples.iter().zip(samples).map(times).sum();
    let product: i32 = samples.iter().zip(next).map(times).sum();
    if power == 0 {
        return 0.0;
    }
    product.unsigned_abs() as f32 / power as f32 * (payload.len() as f32).sqrt()
}

/// The four codes 0000xx of the 6-bit low band are no output of an encoder (G.722 table 11).
fn forbidden_codes(payload: &[u8]) -> f32 {
    let found = payload.iter().filter(|&byte| byte & 0x3f < 4).count() as f32;
    let length = payload.len() as f32;
    (length / 16.0 - found) / (length * 15.0 / 256.0).sqrt()
}

/// Whether the payload is longer than its ticks by the length of an authentication tag.
fn has_tag(codec: Codec, length: usize, ticks: Option<u32>) -> bool {
    ticks.is_some_and(|ticks| {
        TAGS.iter().any(|&tag| {
            length
                .checked_sub(tag)
                .is_some_and(|media| frame_ticks(codec, media) == Some(ticks))
        })
    })
}

/// Ticks that a payload of this length lasts (RFC 3551 section 4.5); `None` where it isn't made of whole frames.
fn frame_ticks(codec: Codec, length: usize) -> Option<u32> {
    let ticks = match (codec, length) {
        (Codec::Pcmu | Codec::Pcma | Codec::G722, _) => length,
        // Frames of 10 ms, the last of them perhaps a silence descriptor of 2 bytes (annex B).
        (Codec::G729, _) if matches!(length % 10, 0 | 2) => length.div_ceil(10) * 80,
        (Codec::Gsm, _) if length.is_multiple_of(33) => length / 33 * 160,
        (Codec::G723, 4 | 20 | 24) => 240,
        _ => return None,
    };
    u32::try_from(ticks).ok().filter(|&ticks| ticks > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generator of SplitMix64: uniform like ciphertext, and the same in every run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn bytes(&mut self, length: usize) -> Vec<u8> {
            (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
        }

        fn unit(&mut self) -> f64 {
            (self.next() >> 11) as f64 / (1u64 << 53) as f64
        }

        /// Sum of twelve uniform numbers: variance 1.
        fn gauss(&mut self) -> f64 {
            (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
        }
    }

    /// Logarithmic code of a sample in -1 to 1 by the continuous law, to 7 bits and sign.
    fn encode(codec: Codec, sample: f64) -> u8 {
        let magnitude = sample.abs().min(1.0);
        let (compressed, inversion) = if codec == Codec::Pcma {
            let a = 87.6f64;
            let scale = 1.0 + a.ln();
            let value = if magnitude < 1.0 / a {
                a * magnitude / scale
            } else {
                (1.0 + (a * magnitude).ln()) / scale
            };
            (value, 0x55)
        } else {
            ((255.0 * magnitude).ln_1p() / 256f64.ln(), 0xff)
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let code = (compressed * 127.0).round() as u8;
        (code | if sample < 0.0 { 0x80 } else { 0 }) ^ inversion
    }

    /// Payloads until the verdict, and the verdict, over a stream of payloads.
    fn judge(codec: Codec, mut payload: impl FnMut() -> Vec<u8>, ticks: Option<u32>) -> (usize, Encryption) {
        let mut detector = EncryptionDetector::default();
        for count in 1..=24 {
            let verdict = detector.handle(codec, &payload(), ticks);
            if verdict != Encryption::Undecided {
                return (count, verdict);
            }
        }
        (24, Encryption::Undecided)
    }

    #[test]
    fn random_bytes_without_a_tag_are_never_plain_and_mostly_encrypted_after_six_payloads() {
        let mut random = Random(1);
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            for (length, ticks) in [(40, 40), (80, 80), (160, 160), (240, 240), (320, 320)] {
                let verdicts: Vec<_> = (0..500)
                    .map(|_| judge(codec, || random.bytes(length), Some(ticks)))
                    .collect();
                let plain = verdicts
                    .iter()
                    .filter(|(_, verdict)| *verdict == Encryption::Plain)
                    .count();
                let quick = verdicts
                    .iter()
                    .filter(|found| **found == (6, Encryption::Encrypted))
                    .count();
                assert_eq!(plain, 0, "{codec} {length}");
                assert!(quick > 480, "{codec} {length}: {quick} of 500");
            }
        }
    }

    #[test]
    fn random_bytes_with_a_tag_are_encrypted_after_three_payloads() {
        let mut random = Random(2);
        for tag in TAGS {
            let (count, verdict) = judge(Codec::Pcmu, || random.bytes(160 + tag), Some(160));
            assert_eq!(verdict, Encryption::Encrypted);
            assert!(count <= 4, "tag {tag}: {count}");
        }
    }

    #[test]
    fn white_noise_at_any_level_is_plain_within_two_payloads() {
        let mut random = Random(3);
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for decibels in [0, -3, -6, -9, -12, -15, -18, -20, -25, -30, -40, -50, -60, -70] {
                let level = 10f64.powf(f64::from(decibels) / 20.0);
                for _ in 0..200 {
                    let noise = || (0..160).map(|_| encode(codec, random.gauss() * level)).collect();
                    let (count, verdict) = judge(codec, noise, Some(160));
                    assert_eq!(verdict, Encryption::Plain, "{codec} {decibels} dB");
                    assert!(count <= 2, "{codec} {decibels} dB: {count}");
                }
            }
        }
    }

    #[test]
    fn silence_and_tones_are_plain_from_the_first_payload() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            assert_eq!(judge(codec, || vec![0xff; 160], None), (1, Encryption::Plain));
        }
        for hertz in [50.0, 440.0, 697.0, 1004.0, 1633.0, 3400.0f64] {
            let tone = |at: i32| (f64::from(at) * hertz * std::f64::consts::TAU / 8000.0).sin() * 0.5;
            let payload: Vec<u8> = (0..160).map(|at| encode(Codec::Pcma, tone(at))).collect();
            assert_eq!(
                judge(Codec::Pcma, || payload.clone(), None),
                (1, Encryption::Plain),
                "{hertz} Hz"
            );
        }
    }

    #[test]
    fn a_call_that_turns_to_srtp_is_doubted_at_once_and_found_encrypted() {
        let mut random = Random(4);
        let mut detector = EncryptionDetector::default();
        assert_eq!(detector.handle(Codec::Pcmu, &[0xff; 160], None), Encryption::Plain);
        assert_eq!(
            detector.handle(Codec::Pcmu, &random.bytes(170), Some(160)),
            Encryption::Undecided
        );
        detector.handle(Codec::Pcmu, &random.bytes(170), Some(160));
        assert_eq!(
            detector.handle(Codec::Pcmu, &random.bytes(170), Some(160)),
            Encryption::Encrypted
        );
        assert_eq!(detector.handle(Codec::Pcmu, &[0xff; 160], None), Encryption::Plain);
    }

    #[test]
    fn a_call_that_turns_to_ciphertext_without_a_tag_is_held_back_within_six_packets() {
        let mut random = Random(6);
        for plain_before in 1..9 {
            let mut detector = EncryptionDetector::default();
            for _ in 0..plain_before {
                assert_eq!(detector.handle(Codec::Pcma, &[0xd5; 160], Some(160)), Encryption::Plain);
            }
            let verdicts: Vec<_> = (0..16)
                .map(|_| detector.handle(Codec::Pcma, &random.bytes(160), Some(160)))
                .collect();
            let let_through = verdicts.iter().filter(|verdict| **verdict == Encryption::Plain).count();
            assert!(let_through < 6, "{plain_before}: {verdicts:?}");
            assert_eq!(
                verdicts.last(),
                Some(&Encryption::Encrypted),
                "{plain_before}: {verdicts:?}"
            );
        }
    }

    #[test]
    fn codecs_of_fixed_frames_are_judged_by_length() {
        for (codec, length, ticks) in [(Codec::G729, 20, 160), (Codec::Gsm, 33, 160), (Codec::G723, 24, 240)] {
            let plain = judge(codec, || vec![0; length], Some(ticks));
            assert_eq!(plain, (2, Encryption::Plain), "{codec}");
            let encrypted = judge(codec, || vec![0; length + 10], Some(ticks));
            assert_eq!(encrypted, (3, Encryption::Encrypted), "{codec}");
        }
    }

    #[test]
    fn nothing_is_told_of_a_codec_nobody_described() {
        let mut random = Random(5);
        assert_eq!(
            judge(Codec::Unknown, || random.bytes(160), None),
            (24, Encryption::Undecided)
        );
    }
}

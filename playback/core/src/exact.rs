//! The bare decode of one stream: every payload at its RTP timestamp, gaps zero, no concealment and no gain.
//!
//! What comes out is defined by the packets alone, so that any other decoder's output can be compared bit by bit. Codecs
//! with a memory are handed the payloads in the order of their sequence numbers, and know nothing of gaps.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{RtpTimestamp, SequenceNumber};
use thiserror::Error;

use crate::codec::{self, Decoder};
use crate::g711::FULL_SCALE;
use crate::player::{SAMPLE_RATE, to_i16};
use crate::resample::Resampler;
use crate::sequence::TimestampUnwrapper;
use crate::units::{count, span};

/// Longest time line by default: 230 MB at 8 kHz.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Parts of a second of which a tick of every clock, and a sample at every rate, has a whole number.
const PARTS: i64 = 705_600_000;

/// Samples converted at a time.
const CHUNK: usize = 480;

/// Why a stream has no time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// The timestamps lie too far apart: most likely the sender jumped.
    #[error(
        "expected timestamps within {limit:?} of each other, found a span of {span:?}: \
         from {} at sequence number {} to {} at sequence number {}",
        earliest.1.0, earliest.0.0, latest.1.0, latest.0.0
    )]
    TooLong {
        /// From the earliest timestamp to the end of the latest payload.
        span: Duration,
        /// What is allowed.
        limit: Duration,
        /// The packet with the earliest timestamp.
        earliest: (SequenceNumber, RtpTimestamp),
        /// The packet with the latest timestamp.
        latest: (SequenceNumber, RtpTimestamp),
    },
    /// More payload arrived than the time line may be long.
    #[error("expected at most {limit:?} of sound, found more at sequence number {}", at.0)]
    TooMuch {
        /// What is allowed.
        limit: Duration,
        /// The packet that was too much.
        at: SequenceNumber,
    },
}

/// Decoded sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Samples per second: the highest rate of the codecs in it.
    pub sample_rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Default for Line {
    /// Nothing.
    fn default() -> Self {
        Self {
            sample_rate: SAMPLE_RATE,
            samples: Vec::new(),
        }
    }
}

impl Line {
    /// The same sound at another rate, or at the same exactly as it is.
    #[must_use]
    pub fn at_rate(self, sample_rate: u32) -> Self {
        if sample_rate == self.sample_rate {
            return self;
        }
        let rates = (u64::from(sample_rate), u64::from(self.sample_rate));
        let length = (self.samples.len() as u64 * rates.0).div_ceil(rates.1);
        let mut resampler = Resampler::new(CHUNK);
        resampler.set_rates(self.sample_rate, sample_rate);
        let mut rest = self.samples.iter().map(|&sample| f32::from(sample) / FULL_SCALE);
        let mut samples = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        while (samples.len() as u64) < length {
            let input: Vec<f32> = rest.by_ref().take(resampler.input_needed(CHUNK)).collect();
            let mut output = [0.0; CHUNK];
            resampler.process(&input, &mut output);
            samples.extend(output.map(to_i16));
        }
        samples.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Self { sample_rate, samples }
    }

    /// Adds sound of the same rate from a place on.
    pub fn add(&mut self, at: usize, samples: &[i16]) {
        if self.samples.len() < at + samples.len() {
            self.samples.resize(at + samples.len(), 0);
        }
        for (place, sample) in self.samples.iter_mut().skip(at).zip(samples) {
            *place = place.saturating_add(*sample);
        }
    }
}

#[derive(Debug, Clone)]
struct Placed {
    sequence: i64,
    timestamp: RtpTimestamp,
    codec: Codec,
    /// Samples.
    length: usize,
    /// In [`PARTS`].
    lasts: i64,
    payload: Range<usize>,
}

/// Collects the packets of one stream and lays them out.
///
/// The time line begins at the earliest timestamp of the decodable packets; timestamps wrap at 2^32. Payloads that
/// overlap overwrite each other in the order of their sequence numbers; of duplicates the first counts. Where the codec
/// changes to one of another clock, time goes on from the end of the packet before.
#[derive(Debug)]
pub struct Timeline {
    limit: Duration,
    highest: Option<i64>,
    placed: Vec<Placed>,
    payloads: Vec<u8>,
    /// How long all of them last, in [`PARTS`].
    collected: i64,
    decoders: BTreeMap<Codec, Box<dyn Decoder>>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl Timeline {
    /// An empty time line of at most [`DEFAULT_LIMIT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty time line that lasts at most as long.
    pub const fn with_limit(limit: Duration) -> Self {
        Self {
            limit,
            highest: None,
            placed: Vec::new(),
            payloads: Vec::new(),
            collected: 0,
            decoders: BTreeMap::new(),
        }
    }

    /// Adds a packet, in any order. What is no payload of a codec that is built in counts as a gap.
    ///
    /// # Errors
    /// Where more payload comes in than the time line may be long.
    pub fn push(
        &mut self,
        sequence: SequenceNumber,
        timestamp: RtpTimestamp,
        codec: Codec,
        payload: &[u8],
    ) -> Result<(), TimelineError> {
        let extended = self.extend(sequence);
        let Some((length, lasts)) = self.measure(codec, payload) else {
            return Ok(());
        };
        self.collected += lasts;
        if self.collected > parts(self.limit).saturating_mul(2) {
            return Err(TimelineError::TooMuch {
                limit: self.limit,
                at: sequence,
            });
        }
        let start = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        self.placed.push(Placed {
            sequence: extended,
            timestamp,
            codec,
            length,
            lasts,
            payload: start..self.payloads.len(),
        });
        Ok(())
    }

    /// Lays the packets out.
    ///
    /// # Errors
    /// Where the timestamps lie further apart than the limit.
    pub fn finish(mut self) -> Result<Line, TimelineError> {
        // Stable: of duplicates the one that came first stays.
        self.placed.sort_by_key(|placed| placed.sequence);
        self.placed.dedup_by_key(|placed| placed.sequence);
        let starts = self.starts();
        let Some((origin, length)) = self.extent(&starts)? else {
            return Ok(Line::default());
        };
        let layers = self.decode(origin, length, &starts);
        Ok(joined(layers))
    }

    /// Samples of a payload, and how long they last; `None` where it can't be decoded.
    fn measure(&mut self, codec: Codec, payload: &[u8]) -> Option<(usize, i64)> {
        let decoder = match self.decoders.entry(codec) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(codec::decoder(codec)?),
        };
        let length = decoder.samples(payload).ok().filter(|&length| length > 0)?;
        Some((length, span(length) * parts_of(decoder.sample_rate())))
    }

    /// When each packet begins, in [`PARTS`].
    fn starts(&self) -> Vec<i64> {
        let mut unwrapper = TimestampUnwrapper::default();
        let mut clock: Option<Clock> = None;
        let mut end = 0;
        let start = |placed: &Placed| {
            let ticks = unwrapper.unwrap(placed.timestamp.0);
            let tick = parts_of(placed.codec.clock_rate());
            let known = clock.filter(|clock| clock.tick == tick);
            let clock = clock.insert(known.unwrap_or(Clock {
                tick,
                first: ticks,
                began: end,
            }));
            let start = clock.began.saturating_add((ticks - clock.first).saturating_mul(tick));
            end = start.saturating_add(placed.lasts);
            start
        };
        self.placed.iter().map(start).collect()
    }

    /// When the line begins, and how long it is.
    fn extent(&self, starts: &[i64]) -> Result<Option<(i64, i64)>, TimelineError> {
        let rows = || self.placed.iter().zip(starts.iter().copied());
        let ends = |(placed, start): (&Placed, i64)| start.saturating_add(placed.lasts);
        let earliest = rows().min_by_key(|(_, start)| *start);
        let latest = rows().max_by_key(|&row| ends(row));
        let (Some((first, origin)), Some(last)) = (earliest, latest) else {
            return Ok(None);
        };
        let length = ends(last).saturating_sub(origin);
        if length <= parts(self.limit) {
            return Ok(Some((origin, length)));
        }
        Err(TimelineError::TooLong {
            span: Duration::from_secs_f64(length as f64 / PARTS as f64),
            limit: self.limit,
            earliest: (wrapped(first.sequence), first.timestamp),
            latest: (wrapped(last.0.sequence), last.0.timestamp),
        })
    }

    /// Decodes in the order of the sequence numbers into one line for each sample rate.
    fn decode(&mut self, origin: i64, length: i64, starts: &[i64]) -> BTreeMap<u32, Vec<i16>> {
        let mut layers: BTreeMap<u32, Vec<i16>> = BTreeMap::new();
        let mut samples = Vec::new();
        for (placed, start) in self.placed.iter().zip(starts) {
            let (Some(decoder), Some(payload)) = (
                self.decoders.get_mut(&placed.codec),
                self.payloads.get(placed.payload.clone()),
            ) else {
                continue;
            };
            samples.resize(placed.length, 0.0);
            if decoder.decode(payload, &mut samples).is_err() {
                continue;
            }
            let part = parts_of(decoder.sample_rate());
            let layer = layers
                .entry(decoder.sample_rate())
                .or_insert_with(|| vec![0; count((length + part - 1) / part)]);
            let at = count((start - origin) / part);
            for (place, &sample) in layer.iter_mut().skip(at).zip(&samples) {
                *place = to_i16(sample);
            }
        }
        layers
    }

    /// The sequence number without its wrap, nearest to the highest before.
    fn extend(&mut self, sequence: SequenceNumber) -> i64 {
        let Some(highest) = self.highest else {
            let first = i64::from(sequence.0);
            self.highest = Some(first);
            return first;
        };
        let extended = highest + i64::from(sequence.0.wrapping_sub(wrapped(highest).0).cast_signed());
        self.highest = Some(highest.max(extended));
        extended
    }
}

/// An RTP clock in use: how long its tick is, and when it began with which.
#[derive(Debug, Clone, Copy)]
struct Clock {
    tick: i64,
    first: i64,
    began: i64,
}

/// All lines at the highest of their rates.
fn joined(mut layers: BTreeMap<u32, Vec<i16>>) -> Line {
    let Some((sample_rate, samples)) = layers.pop_last() else {
        return Line::default();
    };
    let mut line = Line { sample_rate, samples };
    for (sample_rate, samples) in layers {
        let layer = Line { sample_rate, samples }.at_rate(line.sample_rate);
        let length = layer.samples.len().min(line.samples.len());
        line.add(0, layer.samples.get(..length).unwrap_or_default());
    }
    line
}

/// How long a tick, or a sample, at this rate lasts.
const fn parts_of(rate: u32) -> i64 {
    PARTS / rate as i64
}

fn parts(duration: Duration) -> i64 {
    let nanoseconds = duration.as_nanos().saturating_mul(PARTS.unsigned_abs().into());
    i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "modulo 2^16 is meant"
)]
const fn wrapped(extended: i64) -> SequenceNumber {
    SequenceNumber(extended as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 samples at 8 kHz.
    const LIMIT: Duration = Duration::from_micros(12_500);

    fn line(packets: &[(u16, u32, &[u8])]) -> Result<Vec<i16>, TimelineError> {
        let mut timeline = Timeline::with_limit(LIMIT);
        for &(sequence, timestamp, payload) in packets {
            timeline.push(SequenceNumber(sequence), RtpTimestamp(timestamp), Codec::Pcmu, payload)?;
        }
        timeline.finish().map(|line| line.samples)
    }

    const LOUD: i16 = 32124;

    #[test]
    fn gaps_are_zero_and_payloads_lie_at_their_timestamps() {
        assert_eq!(
            line(&[(1, 1000, &[0x80, 0x80]), (3, 1004, &[0x80])]),
            Ok(vec![LOUD, LOUD, 0, 0, LOUD])
        );
    }

    #[test]
    fn order_duplicates_and_both_wraps_change_nothing() {
        let expected = line(&[(0, 0, &[0x80]), (1, 1, &[0x00]), (2, 2, &[0x80])]);
        let shuffled = line(&[
            (0, 0, &[0x00]),
            (1, 1, &[0x80]),
            (u16::MAX, u32::MAX, &[0x80]),
            (0, 0, &[0x80]),
        ]);
        assert_eq!(expected, Ok(vec![LOUD, -LOUD, LOUD]));
        assert_eq!(shuffled, expected);
    }

    #[test]
    fn a_jump_of_hours_is_an_error_that_names_both_packets() {
        let error = line(&[(7, 10, &[0x80]), (8, 1_000_000, &[0x80])]).expect_err("too long");
        assert_eq!(
            error,
            TimelineError::TooLong {
                span: Duration::from_micros(999_991 * 125),
                limit: LIMIT,
                earliest: (SequenceNumber(7), RtpTimestamp(10)),
                latest: (SequenceNumber(8), RtpTimestamp(1_000_000)),
            }
        );
        assert!(error.to_string().contains("sequence number 7"), "{error}");
    }

    #[test]
    fn endless_payload_at_one_timestamp_is_an_error() {
        let mut timeline = Timeline::with_limit(LIMIT);
        let outcome = (0..).find_map(|sequence| {
            timeline
                .push(SequenceNumber(sequence), RtpTimestamp(0), Codec::Pcma, &[0; 50])
                .err()
        });
        assert_eq!(
            outcome,
            Some(TimelineError::TooMuch {
                limit: LIMIT,
                at: SequenceNumber(4)
            })
        );
    }

    #[test]
    fn other_codecs_are_a_gap_and_nothing_is_nothing() {
        let mut timeline = Timeline::new();
        timeline
            .push(SequenceNumber(1), RtpTimestamp(0), Codec::Cn, &[70])
            .expect("is ignored");
        assert_eq!(timeline.finish(), Ok(Line::default()));
    }

    fn push(timeline: &mut Timeline, sequence: u16, timestamp: u32, codec: Codec, payload: &[u8]) {
        timeline
            .push(SequenceNumber(sequence), RtpTimestamp(timestamp), codec, payload)
            .expect("short enough");
    }

    #[test]
    fn g722_has_two_samples_a_tick() {
        let mut timeline = Timeline::new();
        push(&mut timeline, 1, 0, Codec::G722, &[0xfa; 80]);
        push(&mut timeline, 3, 160, Codec::G722, &[0xfa; 80]);
        let line = timeline.finish().expect("short enough");
        assert_eq!((line.sample_rate, line.samples.len()), (16_000, 480));
        assert!(line.samples[160..320].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn after_a_change_of_the_clock_time_goes_on_from_the_packet_before() {
        let mut timeline = Timeline::new();
        push(&mut timeline, 1, 8000, Codec::L16At8000, &[0x40, 0, 0x40, 0]);
        push(&mut timeline, 2, 8002, Codec::L16At16000, &[0x20, 0, 0x20, 0]);
        push(&mut timeline, 3, 8004, Codec::L16At16000, &[0x10, 0]);
        let line = timeline.finish().expect("short enough");
        assert_eq!(line.sample_rate, 16_000);
        assert_eq!(line.samples.len(), 7);
        let middle = f64::from(line.samples[2]) / 16_384.0;
        assert!(
            (0.9..1.2).contains(&middle),
            "{middle}: the lower rate lies under the higher"
        );
    }

    #[test]
    fn a_line_at_its_own_rate_stays_as_it_is_and_at_another_keeps_its_length() {
        let line = Line {
            sample_rate: 8000,
            samples: (0..1000).collect(),
        };
        assert_eq!(line.clone().at_rate(8000), line);
        let higher = line.at_rate(48_000);
        assert_eq!(higher.samples.len(), 6000);
        assert!((higher.samples[3000] - 500).abs() <= 1, "{}", higher.samples[3000]);
    }

    #[test]
    fn sound_at_the_same_time_is_added_and_gaps_are_silent() {
        let mut line = Line::default();
        line.add(2, &[5, 5]);
        line.add(3, &[i16::MAX, 1]);
        assert_eq!(line.samples, [0, 0, 5, i16::MAX, 1]);
    }
}

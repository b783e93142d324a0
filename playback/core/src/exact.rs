//! The bare decode of one stream: every payload at its RTP timestamp, gaps zero, no concealment and no gain.
//!
//! What comes out is defined by the packets alone, so that any other decoder's output can be compared bit by bit.

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{RtpTimestamp, SequenceNumber};
use thiserror::Error;

use crate::decoder::Decoder;
use crate::sequence::TimestampUnwrapper;
use crate::units::{count, span};

/// Longest time line by default: four hours at 8 kHz, 230 MB.
pub const DEFAULT_LIMIT: usize = 4 * 3600 * 8000;

/// Why a stream has no time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// The timestamps lie too far apart: most likely the sender jumped.
    #[error(
        "expected timestamps within {limit} ticks of each other, found a span of {span} ticks: \
         from {} at sequence number {} to {} at sequence number {}",
        earliest.1.0, earliest.0.0, latest.1.0, latest.0.0
    )]
    TooLong {
        /// Ticks between the earliest timestamp and the end of the latest payload.
        span: u64,
        /// Ticks allowed.
        limit: usize,
        /// The packet with the earliest timestamp.
        earliest: (SequenceNumber, RtpTimestamp),
        /// The packet with the latest timestamp.
        latest: (SequenceNumber, RtpTimestamp),
    },
    /// More payload arrived than the time line may be long.
    #[error("expected at most {limit} samples, found more at sequence number {}", at.0)]
    TooMuch {
        /// Samples allowed.
        limit: usize,
        /// The packet that was too much.
        at: SequenceNumber,
    },
}

#[derive(Debug, Clone, Copy)]
struct Placed {
    sequence: i64,
    timestamp: RtpTimestamp,
    start: usize,
    length: usize,
}

/// Collects the packets of one stream and lays them out.
///
/// The time line begins at the earliest timestamp of the decodable packets; timestamps wrap at 2^32. Payloads that
/// overlap overwrite each other in the order of their sequence numbers; of duplicates the first counts.
#[derive(Debug, Clone)]
pub struct Timeline {
    limit: usize,
    highest: Option<i64>,
    placed: Vec<Placed>,
    samples: Vec<i16>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl Timeline {
    /// An empty time line of at most [`DEFAULT_LIMIT`] samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty time line of at most `limit` samples.
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            highest: None,
            placed: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Adds a packet, in any order. Packets of a codec that isn't built in count as a gap.
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
        let Some(decoder) = Decoder::of(codec) else {
            return Ok(());
        };
        let (start, length) = (self.samples.len(), decoder.samples(payload));
        if length == 0 {
            return Ok(());
        }
        if start + length > self.limit.saturating_mul(2) {
            return Err(TimelineError::TooMuch {
                limit: self.limit,
                at: sequence,
            });
        }
        decoder.decode_into(payload, &mut self.samples);
        self.placed.push(Placed {
            sequence: extended,
            timestamp,
            start,
            length,
        });
        Ok(())
    }

    /// Lays the packets out.
    ///
    /// # Errors
    /// Where the timestamps lie further apart than the limit.
    pub fn finish(mut self) -> Result<Vec<i16>, TimelineError> {
        // Stable: of duplicates the one that came first stays.
        self.placed.sort_by_key(|placed| placed.sequence);
        self.placed.dedup_by_key(|placed| placed.sequence);
        let mut unwrapper = TimestampUnwrapper::default();
        let positions: Vec<i64> = self
            .placed
            .iter()
            .map(|placed| unwrapper.unwrap(placed.timestamp.0))
            .collect();
        let Some((origin, length)) = self.extent(&positions)? else {
            return Ok(Vec::new());
        };
        let mut line = vec![0; length];
        for (placed, position) in self.placed.iter().zip(&positions) {
            let at = count(position - origin);
            let source = self.samples.get(placed.start..placed.start + placed.length);
            let target = line.get_mut(at..at + placed.length);
            if let (Some(target), Some(source)) = (target, source) {
                target.copy_from_slice(source);
            }
        }
        Ok(line)
    }

    /// Where the line begins and how long it is.
    fn extent(&self, positions: &[i64]) -> Result<Option<(i64, usize)>, TimelineError> {
        let rows = || self.placed.iter().zip(positions.iter().copied());
        let earliest = rows().min_by_key(|(_, position)| *position);
        let latest = rows().max_by_key(|(placed, position)| position + span(placed.length));
        let (Some((first, origin)), Some((last, position))) = (earliest, latest) else {
            return Ok(None);
        };
        let length = (position + span(last.length) - origin).unsigned_abs();
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => Ok(Some((origin, length))),
            _ => Err(TimelineError::TooLong {
                span: length,
                limit: self.limit,
                earliest: (wrapped(first.sequence), first.timestamp),
                latest: (wrapped(last.sequence), last.timestamp),
            }),
        }
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

    fn line(packets: &[(u16, u32, &[u8])]) -> Result<Vec<i16>, TimelineError> {
        let mut timeline = Timeline::with_limit(100);
        for &(sequence, timestamp, payload) in packets {
            timeline.push(SequenceNumber(sequence), RtpTimestamp(timestamp), Codec::Pcmu, payload)?;
        }
        timeline.finish()
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
                span: 999_991,
                limit: 100,
                earliest: (SequenceNumber(7), RtpTimestamp(10)),
                latest: (SequenceNumber(8), RtpTimestamp(1_000_000)),
            }
        );
        assert!(error.to_string().contains("sequence number 7"), "{error}");
    }

    #[test]
    fn endless_payload_at_one_timestamp_is_an_error() {
        let mut timeline = Timeline::with_limit(100);
        let outcome = (0..).find_map(|sequence| {
            timeline
                .push(SequenceNumber(sequence), RtpTimestamp(0), Codec::Pcma, &[0; 50])
                .err()
        });
        assert_eq!(
            outcome,
            Some(TimelineError::TooMuch {
                limit: 100,
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
        assert_eq!(timeline.finish(), Ok(vec![]));
    }
}

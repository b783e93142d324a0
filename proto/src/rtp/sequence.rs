//! Arithmetic on numbers that wrap: sequence numbers modulo 2^16 and timestamps modulo 2^32 (RFC 3550 section 5.1), and
//! their extensions, which don't (RFC 3550 appendix A.1).

use crate::ids::{RtpTimestamp, SequenceNumber};

impl SequenceNumber {
    /// Steps from `earlier` to this one, the short way round: -32,768 to 32,767, negative where `earlier` is the later.
    pub const fn distance(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The number `steps` further on.
    #[must_use]
    pub const fn advanced(self, steps: u16) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// The number of the packet after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.advanced(1)
    }

    /// Whether this one was sent after `other`, less than half the circle apart.
    pub const fn is_after(self, other: Self) -> bool {
        self.distance(other) > 0
    }
}

impl RtpTimestamp {
    /// Ticks from `earlier` to this one, the short way round, negative where `earlier` is the later.
    pub const fn distance(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The timestamp `ticks` later.
    #[must_use]
    pub const fn advanced(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

/// A sequence number counted on over its wraps. Signed, so that packets from before the first one seen have a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedSequence(pub i64);

impl ExtendedSequence {
    /// That of the first packet seen.
    pub const fn first(sequence: SequenceNumber) -> Self {
        Self(sequence.0 as i64)
    }

    /// The extension of `sequence` that lies nearest to this one.
    #[must_use]
    pub const fn nearest(self, sequence: SequenceNumber) -> Self {
        Self(self.0 + sequence.distance(self.sequence()) as i64)
    }

    /// The number as the packet carries it.
    pub const fn sequence(self) -> SequenceNumber {
        let [.., high, low] = self.0.to_be_bytes();
        SequenceNumber(u16::from_be_bytes([high, low]))
    }
}

/// An RTP timestamp counted on over its wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedTimestamp(pub i64);

impl ExtendedTimestamp {
    /// That of the first packet seen.
    pub const fn first(timestamp: RtpTimestamp) -> Self {
        Self(timestamp.0 as i64)
    }

    /// The extension of `timestamp` that lies nearest to this one.
    #[must_use]
    pub const fn nearest(self, timestamp: RtpTimestamp) -> Self {
        Self(self.0 + timestamp.distance(self.timestamp()) as i64)
    }

    /// The timestamp as the packet carries it.
    pub const fn timestamp(self) -> RtpTimestamp {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        RtpTimestamp(u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_number_after_the_last_is_the_first() {
        let last = SequenceNumber(u16::MAX);
        assert_eq!(last.next(), SequenceNumber(0));
        assert_eq!(SequenceNumber(0).distance(last), 1);
        assert_eq!(last.distance(SequenceNumber(0)), -1);
        assert!(SequenceNumber(3).is_after(SequenceNumber(65_530)));
        assert!(!SequenceNumber(3).is_after(SequenceNumber(3)));
    }

    #[test]
    fn timestamps_measure_across_the_wrap() {
        let before = RtpTimestamp(u32::MAX - 79);
        assert_eq!(before.advanced(160), RtpTimestamp(80));
        assert_eq!(RtpTimestamp(80).distance(before), 160);
    }

    #[test]
    fn an_extension_follows_a_stream_over_the_wrap_and_back() {
        let first = ExtendedSequence::first(SequenceNumber(65_534));
        let wrapped = first.nearest(SequenceNumber(2));
        assert_eq!(wrapped, ExtendedSequence(65_538));
        assert_eq!(wrapped.nearest(SequenceNumber(65_535)), ExtendedSequence(65_535));
        assert_eq!(
            ExtendedSequence::first(SequenceNumber(1)).nearest(SequenceNumber(65_535)),
            ExtendedSequence(-1)
        );
        assert_eq!(ExtendedSequence(-1).sequence(), SequenceNumber(65_535));
    }

    proptest! {
        #[test]
        fn advancing_then_measuring_gives_the_steps(start: u16, steps in 0u16..0x8000) {
            let start = SequenceNumber(start);
            prop_assert_eq!(i32::from(start.advanced(steps).distance(start)), i32::from(steps));
        }

        #[test]
        fn extensions_keep_the_number_and_stay_near(at in -1_000_000i64..1_000_000_000_000, to: u16, ticks: u32) {
            let extended = ExtendedSequence(at).nearest(SequenceNumber(to));
            prop_assert_eq!(extended.sequence(), SequenceNumber(to));
            prop_assert!((extended.0 - at).abs() <= 0x8000);
            let extended = ExtendedTimestamp(at).nearest(RtpTimestamp(ticks));
            prop_assert_eq!(extended.timestamp(), RtpTimestamp(ticks));
            prop_assert!((extended.0 - at).abs() <= 0x8000_0000);
        }
    }
}

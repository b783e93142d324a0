//! Samples of the 8 kHz output and durations, one from the other.

use std::time::Duration;

/// Length of one sample at 8 kHz in nanoseconds.
const SAMPLE_NANOS: u128 = 125_000;

/// Whole samples in a duration.
pub(crate) fn samples(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / SAMPLE_NANOS).unwrap_or(i64::MAX)
}

/// Whole samples in a signed number of nanoseconds, rounded towards the past.
pub(crate) const fn samples_from_nanos(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(125_000)
}

/// How long so many samples last.
pub(crate) const fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(125))
}

/// A count of samples as a position on the time line.
pub(crate) fn span(samples: usize) -> i64 {
    i64::try_from(samples).unwrap_or(i64::MAX)
}

/// A stretch of the time line as a count of samples; zero where it is negative.
pub(crate) fn count(span: i64) -> usize {
    usize::try_from(span).unwrap_or(0)
}

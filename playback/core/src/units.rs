//! Counts of samples, places in a stream and seconds, one from the other.

use std::time::Duration;

/// A count of samples as a distance.
pub(crate) fn span(samples: usize) -> i64 {
    i64::try_from(samples).unwrap_or(i64::MAX)
}

/// A distance as a count of samples; zero where it is negative.
pub(crate) fn count(span: i64) -> usize {
    usize::try_from(span).unwrap_or(0)
}

/// The nearest whole number.
#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
pub(crate) fn rounded(number: f64) -> i64 {
    number.round() as i64
}

/// Seconds that may be negative, huge or no number, as a duration of whole microseconds.
pub(crate) fn duration(seconds: f64) -> Duration {
    let seconds = Duration::try_from_secs_f64(seconds.max(0.0) + 5e-7).unwrap_or(Duration::ZERO);
    Duration::new(seconds.as_secs(), seconds.subsec_micros() * 1000)
}

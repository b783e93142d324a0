//! Time as the state machines see it: a point handed in by whoever owns a clock, never read here.
//!
//! A live capture hands in the kernel's stamps, a replay the stamps of the file, a test whatever it likes.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since 1970-01-01 UTC, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// 1970-01-01 00:00:00 UTC.
    pub const EPOCH: Self = Self(0);

    /// The point `nanoseconds` after 1970-01-01 UTC.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// The point a capture file or the kernel writes as seconds and nanoseconds; saturates beyond the year 2554.
    pub const fn from_parts(seconds: u64, nanoseconds: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds as u64))
    }

    /// Nanoseconds since 1970-01-01 UTC.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since 1970-01-01 UTC.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time since `earlier`; zero where `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed difference in seconds, positive where `self` is the later one.
    pub fn seconds_since(self, other: Self) -> f64 {
        if self >= other {
            self.saturating_since(other).as_secs_f64()
        } else {
            -other.saturating_since(self).as_secs_f64()
        }
    }

    /// The point `duration` before this one; the epoch where that would lie before it.
    #[must_use]
    pub fn saturating_back(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    /// Time since `earlier`; zero where `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_epoch_in_nanoseconds() {
        let then = Instant::from_parts(1_700_000_000, 5);
        assert_eq!(then.as_nanos(), 1_700_000_000_000_000_005);
        assert_eq!(then - Instant::from_parts(1_700_000_000, 0), Duration::from_nanos(5));
    }

    #[test]
    fn never_runs_below_the_epoch_or_past_the_end() {
        assert_eq!(Instant::from_nanos(1) - Instant::from_nanos(2), Duration::ZERO);
        assert_eq!(
            Instant::from_nanos(1).saturating_back(Duration::from_secs(1)),
            Instant::EPOCH
        );
        assert_eq!(
            Instant::from_nanos(u64::MAX) + Duration::MAX,
            Instant::from_nanos(u64::MAX)
        );
    }

    #[test]
    fn signs_a_difference() {
        let (early, late) = (Instant::from_parts(1, 0), Instant::from_parts(3, 500_000_000));
        assert!((late.seconds_since(early) - 2.5).abs() < 1e-9);
        assert!((early.seconds_since(late) + 2.5).abs() < 1e-9);
    }
}

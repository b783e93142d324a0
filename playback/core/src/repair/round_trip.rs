//! How long an answer takes: smoothed as RFC 6298 does, from the connection's own estimate and from answers.

use std::time::Duration;

/// An answer is at least so much later than the round trip before it is asked for anew: timers and schedulers.
const SLACK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
pub(super) struct RoundTrip {
    /// The connection's.
    estimate: Duration,
    smoothed: Duration,
    variation: Duration,
    measured: bool,
}

impl RoundTrip {
    pub(super) const fn new(estimate: Duration) -> Self {
        Self {
            estimate,
            smoothed: estimate,
            variation: Duration::ZERO,
            measured: false,
        }
    }

    /// Takes the connection's estimate, which counts until an answer was measured.
    pub(super) fn handle_estimate(&mut self, estimate: Duration) {
        self.estimate = estimate;
        if !self.measured {
            self.smoothed = estimate;
        }
    }

    /// Lets the connection's estimate count until an answer is measured again.
    pub(super) const fn forget(&mut self) {
        self.measured = false;
        (self.smoothed, self.variation) = (self.estimate, Duration::ZERO);
    }

    pub(super) fn measure(&mut self, sample: Duration) {
        if self.measured {
            self.variation = (self.variation * 3 + sample.abs_diff(self.smoothed)) / 4;
            self.smoothed = (self.smoothed * 7 + sample) / 8;
        } else {
            (self.smoothed, self.variation, self.measured) = (sample, sample / 8, true);
        }
    }

    pub(super) const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// Beyond the round trip before a packet is asked for anew: the answer may only be slow.
    pub(super) fn margin(&self) -> Duration {
        (self.variation * 4).min(self.smoothed / 2).max(SLACK)
    }

    /// After this an answer or its request was lost.
    pub(super) fn answered_within(&self) -> Duration {
        (self.smoothed + self.margin()).max(self.estimate)
    }
}

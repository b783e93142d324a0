//! The service's clock: the day's time at its start, advanced by the steady clock, so that it never jumps.

use std::time::{Duration, SystemTime};

use silentmon_proto::time::Instant;

/// See the module. Capture stamps of the kernel are the day's time too, so both can be compared.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    steady: tokio::time::Instant,
    day: Instant,
}

impl Clock {
    /// A clock that shows the day's time now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            steady: tokio::time::Instant::now(),
            day: Instant::EPOCH + since_epoch,
        }
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        self.day + self.steady.elapsed()
    }

    /// The moment of the steady clock at which this one will show `at`.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        self.steady + (at - self.day)
    }
}

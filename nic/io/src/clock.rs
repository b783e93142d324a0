//! The day's time, by which the kernel stamps frames.

use std::time::{Duration, SystemTime};

use silentmon_proto::time::Instant;

/// The time now.
pub(crate) fn now() -> Instant {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Instant::EPOCH + since_epoch.unwrap_or(Duration::ZERO)
}

//! The clock that packets and sound cards of one process share.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use silentmon_proto::time::Instant;

/// The time now: UTC when the clock was first read, and from then on steady, whatever becomes of the system's time.
pub fn now() -> Instant {
    static START: OnceLock<(std::time::Instant, Instant)> = OnceLock::new();
    let (start, utc) = START.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (std::time::Instant::now(), Instant::EPOCH + since_epoch)
    });
    *utc + start.elapsed()
}

/// The moment of tokio's clock at which this one will show `at`.
pub fn deadline(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::now() + (at - now())
}

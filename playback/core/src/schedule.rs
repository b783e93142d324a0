//! When a packet is due: capture time on the local clock plus the playout delay, the same for both legs, so that
//! question and answer keep their order.

use std::time::Duration;

use silentmon_proto::time::Instant;

/// How long a minimum or maximum is remembered: between one and two of these.
const CLOCK_WINDOW: Duration = Duration::from_secs(10);

/// The smallest of the last values; old ones are forgotten in two steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowedMinimum {
    window: Duration,
    since: Instant,
    current: Option<i64>,
    previous: Option<i64>,
}

impl WindowedMinimum {
    pub(crate) const fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::EPOCH,
            current: None,
            previous: None,
        }
    }

    pub(crate) fn observe(&mut self, now: Instant, value: i64) {
        let age = now.saturating_since(self.since);
        if age >= self.window {
            let fresh = age < 2 * self.window;
            self.previous = self.current.take().filter(|_| fresh);
            self.since = now;
        }
        self.current = Some(self.current.map_or(value, |current| current.min(value)));
    }

    pub(crate) fn minimum(&self) -> Option<i64> {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => Some(current.min(previous)),
            (current, previous) => current.or(previous),
        }
    }

    /// Whether at least one whole window was observed.
    pub(crate) const fn is_settled(&self) -> bool {
        self.previous.is_some()
    }

    /// Moves all values, as where their origin moved.
    pub(crate) fn shift(&mut self, by: i64) {
        self.current = self.current.map(|value| value.saturating_add(by));
        self.previous = self.previous.map(|value| value.saturating_add(by));
    }

    pub(crate) const fn forget(&mut self) {
        self.current = None;
        self.previous = None;
    }
}

/// Maps capture time to local time by the fastest packets of both legs: what is more than theirs is jitter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArrivalClock {
    offset: WindowedMinimum,
}

impl ArrivalClock {
    pub(crate) const fn new() -> Self {
        Self {
            offset: WindowedMinimum::new(CLOCK_WINDOW),
        }
    }

    /// Learns from a packet.
    pub(crate) fn observe(&mut self, now: Instant, captured: Instant) {
        self.offset.observe(now, difference(now, captured));
    }

    /// Begins anew with this packet: the path has become slower for good.
    pub(crate) fn restart(&mut self, now: Instant, captured: Instant) {
        self.offset.forget();
        self.observe(now, captured);
    }

    /// When a packet would have come had it been among the fastest.
    pub(crate) fn local(&self, captured: Instant) -> Instant {
        let offset = self.offset.minimum().unwrap_or(0);
        let magnitude = Duration::from_nanos(offset.unsigned_abs());
        if offset < 0 {
            captured.saturating_back(magnitude)
        } else {
            captured + magnitude
        }
    }
}

/// `later - earlier` in nanoseconds, signed.
pub(crate) fn difference(later: Instant, earlier: Instant) -> i64 {
    let nanos = i128::from(later.as_nanos()) - i128::from(earlier.as_nanos());
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn the_fastest_packet_sets_the_clock() {
        let mut clock = ArrivalClock::new();
        clock.observe(at(130), at(100));
        clock.observe(at(125), at(120));
        clock.observe(at(190), at(140));
        assert_eq!(clock.local(at(200)), at(205));
    }

    #[test]
    fn a_capture_clock_that_runs_ahead_is_no_trouble() {
        let mut clock = ArrivalClock::new();
        clock.observe(at(1_000), at(5_000));
        assert_eq!(clock.local(at(5_020)), at(1_020));
    }

    #[test]
    fn what_is_older_than_two_windows_is_forgotten() {
        let mut clock = ArrivalClock::new();
        clock.observe(at(0), at(0));
        clock.observe(at(15_000), at(14_990));
        assert_eq!(clock.local(at(20_000)), at(20_000));
        clock.observe(at(40_000), at(39_990));
        assert_eq!(clock.local(at(50_000)), at(50_010));
    }
}

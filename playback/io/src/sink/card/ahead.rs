//! How long before it is heard a frame is pulled. The player is told times that advance with the card's clock, free of
//! how punctually this thread woke.

use std::time::Duration;

use silentmon_proto::time::Instant;

use super::lead::Change;

/// A difference beyond this is no lateness: the card began anew.
const JUMP: Duration = Duration::from_millis(20);
/// The mean follows a hundredth of each difference.
const SMOOTHING: u32 = 100;

/// Mean time from pull to ear.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    mean: Option<Duration>,
    last: Instant,
}

impl Ahead {
    /// Takes note of frames that are pulled at `now` and heard at `heard`; the time of the pull on the card's clock,
    /// which never runs backwards.
    pub(super) fn time(&mut self, now: Instant, heard: Instant) -> Instant {
        let ahead = heard.saturating_since(now);
        let mean = match self.mean {
            Some(mean) if mean.abs_diff(ahead) <= JUMP => {
                let step = mean.abs_diff(ahead) / SMOOTHING;
                if ahead > mean {
                    mean + step
                } else {
                    mean.saturating_sub(step)
                }
            }
            _ => ahead,
        };
        self.mean = Some(mean);
        self.last = self.last.max(heard.saturating_back(mean));
        self.last
    }

    /// From now on more is kept ready, or less: what was heard so long after it was pulled is heard later, or earlier.
    pub(super) fn follow(&mut self, change: Change) {
        self.mean = self.mean.map(|mean| match change {
            Change::None => mean,
            Change::Wider(by) => mean + by,
            Change::Narrower(by) => mean.saturating_sub(by),
        });
    }

    /// The mean; nothing before the first frame.
    pub(super) fn mean(&self) -> Duration {
        self.mean.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn times_advance_by_the_card_however_late_the_thread_wakes() {
        let mut ahead = Ahead::default();
        let first = ahead.time(at(1000), at(1012));
        assert_eq!(first, at(1000));
        let late = ahead.time(at(1007), at(1017));
        let step = late.saturating_since(first);
        assert!(
            step.abs_diff(Duration::from_millis(5)) < Duration::from_micros(50),
            "{step:?}"
        );
        assert_eq!(ahead.mean(), Duration::from_micros(11_980));
    }

    #[test]
    fn a_card_that_begins_anew_is_believed_at_once() {
        let mut ahead = Ahead::default();
        ahead.time(at(1000), at(1012));
        assert_eq!(ahead.time(at(1500), at(1600)), at(1500));
        assert_eq!(ahead.mean(), Duration::from_millis(100));
    }

    #[test]
    fn what_a_gap_took_and_is_kept_ready_from_now_on_is_no_lost_time() {
        let mut ahead = Ahead::default();
        let first = ahead.time(at(1000), at(1050));
        ahead.follow(Change::Wider(Duration::from_millis(8)));
        let next = ahead.time(at(1005), at(1063));
        assert_eq!(next.saturating_since(first), Duration::from_millis(5));
        assert_eq!(ahead.mean(), Duration::from_millis(58));
        ahead.follow(Change::Narrower(Duration::from_millis(2)));
        assert_eq!(ahead.mean(), Duration::from_millis(56));
    }

    #[test]
    fn times_never_run_backwards() {
        let mut ahead = Ahead::default();
        let first = ahead.time(at(1000), at(1100));
        assert!(ahead.time(at(1001), at(1010)) >= first);
        assert!(ahead.time(at(1002), at(900)) >= first);
    }
}

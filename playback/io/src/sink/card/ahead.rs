//! How long before it is heard a frame is pulled. The player is told times that advance with the card's clock, free of
//! how punctually this thread woke.

use std::time::Duration;

use silentmon_proto::time::Instant;

use super::lead::Change;

/// Frames that are heard so much later than those before them are of a card that began anew; those heard so much earlier were
/// pulled late, unless it goes on for so many pulls.
const JUMP: Duration = Duration::from_millis(20);
const LASTING: u32 = 200;
/// The mean is of so many pulls: ten seconds. One of fewer would follow how punctually this thread wakes, which the player
/// would take for drift.
const MEMORY: u32 = 4000;

/// Mean time from pull to ear.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    mean: Option<Duration>,
    pulls: u32,
    /// Pulls in a row that were much too late.
    late: u32,
    last: Instant,
}

impl Ahead {
    /// Takes note of frames that are pulled at `now` and heard at `heard`; the time of the pull on the card's clock,
    /// which never runs backwards.
    pub(super) fn time(&mut self, now: Instant, heard: Instant) -> Instant {
        let ahead = heard.saturating_since(now);
        let mean = self.learn(ahead);
        self.mean = Some(mean);
        self.last = self.last.max(heard.saturating_back(mean));
        self.last
    }

    fn learn(&mut self, ahead: Duration) -> Duration {
        let Some(mean) = self.mean else {
            self.pulls = 1;
            return ahead;
        };
        self.late = if ahead + JUMP < mean { self.late + 1 } else { 0 };
        if ahead > mean + JUMP || self.late > LASTING {
            (self.pulls, self.late) = (1, 0);
            return ahead;
        }
        if self.late > 0 {
            return mean;
        }
        self.pulls = (self.pulls + 1).min(MEMORY);
        let step = mean.abs_diff(ahead) / self.pulls;
        if ahead > mean {
            mean + step
        } else {
            mean.saturating_sub(step)
        }
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
        let mut time = first;
        for pull in 1..=1000_u64 {
            time = ahead.time(at(1000 + 5 * pull), at(1012 + 5 * pull));
        }
        // This thread slept for 40 ms, and pulls what it missed at once.
        for pull in 1001..=1008_u64 {
            let next = ahead.time(at(1000 + 5 * 1008), at(1012 + 5 * pull));
            let step = next.saturating_since(time);
            assert!(
                step.abs_diff(Duration::from_millis(5)) < Duration::from_micros(50),
                "{step:?}"
            );
            time = next;
        }
        assert!(ahead.mean().abs_diff(Duration::from_millis(12)) < Duration::from_micros(200));
    }

    #[test]
    fn a_card_that_keeps_less_ready_for_good_is_believed_in_the_end() {
        let mut ahead = Ahead::default();
        for pull in 0..=u64::from(LASTING) {
            assert_eq!(ahead.mean(), Duration::from_millis(if pull == 0 { 0 } else { 100 }));
            let keeps = if pull == 0 { 100 } else { 50 };
            ahead.time(at(5 * pull), at(5 * pull + keeps));
        }
        ahead.time(at(5000), at(5050));
        assert_eq!(ahead.mean(), Duration::from_millis(50));
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

//! When the ring between player and card is filled: just before the card's next callback, so that what comes from the
//! network until then is still heard. How long before is learnt from how late this thread wakes.

use std::time::Duration;

use silentmon_proto::time::Instant;

/// Never further ahead than this, whatever goes wrong.
const MOST: Duration = Duration::from_millis(80);
/// After so long without a close call less is dared; longer after each one that was heard.
const CALM: Duration = Duration::from_secs(3);
const LONGEST_CALM: Duration = Duration::from_secs(96);
/// Lateness of a callback that is taken for the card's clock rather than the system's, per callback.
const CREEP: Duration = Duration::from_micros(20);
/// Callbacks by which a card fills its own buffer when it starts: their times say nothing.
const STARTING: u64 = 3;

/// The rhythm of a card's callbacks, and how long before each the ring is filled.
#[derive(Debug)]
pub(super) struct Lead {
    least: Duration,
    margin: Duration,
    calm_since: Instant,
    calm: Duration,
    callbacks: u64,
    period: Duration,
    /// The earliest time at which the next callback is expected; `None` until the rhythm is known.
    next: Option<Instant>,
}

impl Lead {
    /// Begins with `margin`, and never dares less than `least`.
    pub(super) const fn new(now: Instant, least: Duration, margin: Duration) -> Self {
        Self {
            least,
            margin,
            calm_since: now,
            calm: CALM,
            callbacks: 0,
            period: Duration::ZERO,
            next: None,
        }
    }

    /// How long before a callback the ring is filled.
    pub(super) const fn margin(&self) -> Duration {
        self.margin
    }

    /// Takes note of the callbacks so far: how many, when the newest came, and how long its sound lasts.
    pub(super) fn handle_callbacks(&mut self, callbacks: u64, newest: Instant, period: Duration) {
        self.period = period;
        let new = u32::try_from(callbacks.saturating_sub(self.callbacks)).unwrap_or(u32::MAX);
        self.callbacks = callbacks;
        if new == 0 || callbacks < STARTING {
            return;
        }
        let anchor = match self.next {
            Some(next) => {
                let expected = next + period * (new - 1);
                let late = newest.saturating_since(expected);
                let regular = newest >= expected && late < period;
                if regular {
                    expected + late.min(CREEP * new)
                } else {
                    newest
                }
            }
            None => newest,
        };
        self.next = Some(anchor + period);
    }

    /// Callbacks for which the ring has to hold sound now.
    pub(super) fn due(&self, now: Instant) -> u32 {
        let Some(next) = self.next else { return 0 };
        let ahead = now + self.margin;
        if ahead < next || self.period.is_zero() {
            return 0;
        }
        let later = |duration: Duration| duration.as_nanos() / self.period.as_nanos();
        // A callback that is overdue doesn't make more of them due.
        let count = 1 + later(ahead.saturating_since(next)).min(later(self.margin));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Time until [`due`](Self::due) may change.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let fallback = Duration::from_millis(1);
        let Some(next) = self.next else { return fallback };
        let wake = (next + self.period * self.due(now)).saturating_back(self.margin);
        // Never long: a card that changes its rhythm is to be noticed.
        wake.saturating_since(now).clamp(fallback / 4, fallback * 5)
    }

    /// The ring was filled, which had held enough for so many callbacks. Where that was later than meant it is begun earlier
    /// from now on.
    pub(super) fn handle_filled(&mut self, now: Instant, held: u32) {
        let Some(next) = self.next else { return };
        let left = (next + self.period * held).saturating_since(now);
        if left < self.margin / 3 {
            self.widen(now, self.margin / 4);
        } else if now.saturating_since(self.calm_since) >= self.calm {
            self.margin = (self.margin * 3 / 4).max(self.least);
            self.calm_since = now;
        }
    }

    /// A callback found too little.
    pub(super) fn handle_missing(&mut self, now: Instant) {
        self.calm = (self.calm * 2).min(LONGEST_CALM);
        self.widen(now, self.margin.max(Duration::from_millis(2)));
    }

    fn widen(&mut self, now: Instant, by: Duration) {
        self.margin = (self.margin + by).min(MOST);
        self.calm_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);

    const fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// A lead of 2 ms that knows a card's rhythm: callbacks every 10 ms, the newest at 20 ms.
    fn steady() -> Lead {
        let mut lead = Lead::new(at(0), Duration::from_millis(1), Duration::from_millis(2));
        for n in 0..3 {
            lead.handle_callbacks(n + 1, at(10_000 * n), PERIOD);
        }
        lead
    }

    #[test]
    fn nothing_is_due_before_the_rhythm_is_known() {
        let mut lead = Lead::new(at(0), Duration::from_millis(1), Duration::from_millis(2));
        lead.handle_callbacks(1, at(0), PERIOD);
        lead.handle_callbacks(2, at(10), PERIOD);
        assert_eq!(lead.due(at(9_999)), 0);
    }

    #[test]
    fn the_ring_is_filled_a_margin_before_the_callback() {
        let lead = steady();
        assert_eq!(lead.due(at(27_999)), 0);
        assert_eq!(lead.due(at(28_000)), 1);
        assert_eq!(lead.wait(at(25_000)), Duration::from_millis(3));
    }

    #[test]
    fn a_callback_that_is_overdue_makes_no_more_of_them_due() {
        let lead = steady();
        assert_eq!(lead.due(at(500_000)), 1);
    }

    #[test]
    fn a_late_callback_does_not_make_the_next_one_late() {
        let mut lead = steady();
        lead.handle_callbacks(4, at(36_000), PERIOD);
        assert_eq!(lead.due(at(38_100)), 1);
    }

    #[test]
    fn a_card_that_is_slower_than_the_system_is_followed() {
        let mut lead = steady();
        for n in 1..=1000 {
            lead.handle_callbacks(3 + n, at(20_000 + 10_010 * n), PERIOD);
        }
        assert_eq!(lead.due(at(20_000 + 10_010 * 1001 - 2_050)), 0);
    }

    #[test]
    fn a_card_that_begins_anew_is_followed_at_once() {
        let mut lead = steady();
        lead.handle_callbacks(4, at(720_000), PERIOD);
        assert_eq!(lead.due(at(727_900)), 0);
        assert_eq!(lead.due(at(728_000)), 1);
    }

    #[test]
    fn a_margin_beyond_a_period_keeps_two_callbacks_ready() {
        let mut lead = steady();
        for _ in 0..3 {
            lead.handle_missing(at(20_000));
        }
        assert_eq!(lead.margin(), Duration::from_millis(16));
        assert_eq!(lead.due(at(24_000)), 2);
    }

    #[test]
    fn waking_late_widens_the_margin_and_calm_narrows_it_again() {
        let mut lead = steady();
        lead.handle_filled(at(29_500), 0);
        assert_eq!(lead.margin(), Duration::from_micros(2_500));
        lead.handle_filled(at(11_000_000), 0);
        for second in 0..200 {
            lead.handle_callbacks(10 + second, at(second * 10_000_000), PERIOD);
            lead.handle_filled(at(second * 10_000_000), 0);
        }
        assert_eq!(lead.margin(), Duration::from_millis(1));
    }

    #[test]
    fn a_margin_of_several_periods_is_kept_only_as_long_as_it_is_needed() {
        let mut lead = steady();
        for _ in 0..10 {
            lead.handle_missing(at(20_000));
        }
        assert_eq!(lead.margin(), MOST);
        for n in 1..=100_000 {
            let called = 20_000 + 10_000 * n;
            lead.handle_callbacks(3 + n, at(called), PERIOD);
            // Just after a callback there is one less in the ring than is meant to be.
            let due = lead.due(at(called + 100));
            lead.handle_filled(at(called + 100), due.saturating_sub(1));
        }
        assert!(lead.margin() < PERIOD, "{:?}", lead.margin());
    }

    #[test]
    fn after_a_gap_that_was_heard_it_takes_longer_to_dare_again() {
        let mut lead = steady();
        lead.handle_missing(at(20_000));
        let margin = lead.margin();
        lead.handle_callbacks(4, at(5_000_000), PERIOD);
        lead.handle_filled(at(5_000_000), 0);
        assert_eq!(lead.margin(), margin);
        lead.handle_callbacks(5, at(6_100_000), PERIOD);
        lead.handle_filled(at(6_100_000), 0);
        assert!(lead.margin() < margin);
    }

    #[test]
    fn the_margin_has_a_ceiling() {
        let mut lead = steady();
        for _ in 0..100 {
            lead.handle_missing(at(20_000));
        }
        assert_eq!(lead.margin(), MOST);
    }
}

//! How much sound the ring between player and card holds: what the card's next callback takes, and a margin beyond it. It is
//! filled evenly by the card's clock, whatever the length of a callback, so that the time from pull to ear is always the
//! same and the player sees no jitter of ours. A callback pulls itself what it doesn't find because the feeding thread is late;
//! where it couldn't do that either the margin grows.

use std::time::Duration;

use silentmon_proto::time::Instant;

use super::reserve::Margins;

/// After so long without a gap less is dared; longer after each gap.
const CALM: Duration = Duration::from_secs(10);
const LONGEST_CALM: Duration = Duration::from_secs(60);
/// What is given back at once: so little that the player mends it in a pause.
const STEP: Duration = Duration::from_millis(2);
/// A gap makes it grow by itself and this: the next may be longer. One that stands out isn't prepared for.
const BEYOND: Duration = Duration::from_millis(1);
const MOST_AT_ONCE: Duration = Duration::from_millis(10);
/// Lateness of a callback that is taken for the card's clock rather than the system's, per callback.
const CREEP: Duration = Duration::from_micros(20);

/// The rhythm of a card's callbacks, and how much the ring holds beyond the next.
#[derive(Debug)]
pub(super) struct Lead {
    margins: Margins,
    margin: Duration,
    calm_since: Instant,
    calm: Duration,
    callbacks: u64,
    period: Duration,
    /// Callbacks whose sound the card holds.
    held: u32,
    /// The earliest time at which the next callback is expected; `None` until the rhythm is known.
    next: Option<Instant>,
}

/// By how much the margin changed, so that the time from pull to ear did too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Wider(Duration),
    Narrower(Duration),
}

impl Lead {
    /// Begins with the least of the margins, for a card that holds the sound of so many callbacks.
    pub(super) const fn new(now: Instant, margins: Margins, held: u32) -> Self {
        Self {
            margins,
            margin: margins.least,
            calm_since: now,
            calm: CALM,
            callbacks: 0,
            period: Duration::ZERO,
            held,
            next: None,
        }
    }

    /// What the ring holds beyond the next callback when that comes.
    pub(super) const fn margin(&self) -> Duration {
        self.margin
    }

    /// What the card has left when it asks for more: so late may a callback come.
    fn spare(&self) -> Duration {
        self.period * self.held.saturating_sub(1)
    }

    /// Takes note of the callbacks so far: how many, when the newest came, and how long its sound lasts.
    pub(super) fn handle_callbacks(&mut self, callbacks: u64, newest: Instant, period: Duration) {
        self.period = period;
        let new = u32::try_from(callbacks.saturating_sub(self.callbacks)).unwrap_or(u32::MAX);
        self.callbacks = callbacks;
        // The card fills its own buffer first when it starts: the times of these callbacks say nothing.
        if new == 0 || callbacks <= u64::from(self.held) {
            return;
        }
        let anchor = match self.next {
            Some(next) => {
                let expected = next + period * (new - 1);
                let late = newest.saturating_since(expected);
                let regular = newest >= expected && late < self.spare();
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

    /// How much sound the ring is to hold now.
    pub(super) fn wanted(&self, now: Instant) -> Duration {
        let Some(next) = self.next else { return Duration::ZERO };
        // A callback that is overdue finds as much more as the card's own sound lasts, which it has played meanwhile.
        let overdue = now.saturating_since(next).min(self.spare());
        (self.margin + self.period + overdue).saturating_sub(next.saturating_since(now))
    }

    /// Time until there is so much more to be put into the ring, which holds `held`.
    pub(super) fn wait(&self, now: Instant, held: Duration, step: Duration) -> Duration {
        let fallback = Duration::from_millis(1);
        if self.next.is_none() {
            return fallback;
        }
        // Never long: a card that changes its rhythm is to be noticed.
        let until = (held + step).saturating_sub(self.wanted(now));
        until.clamp(fallback / 4, fallback * 5)
    }

    /// Where nothing was missing for long, less is kept from now on.
    pub(super) fn poll_calm(&mut self, now: Instant) -> Change {
        if now.saturating_since(self.calm_since) < self.calm {
            return Change::None;
        }
        self.calm_since = now;
        let narrower = self.margin.saturating_sub(self.margins.least).min(STEP);
        self.margin -= narrower;
        if narrower.is_zero() {
            Change::None
        } else {
            Change::Narrower(narrower)
        }
    }

    /// A callback found so much too little. That time is lost, and so costs nothing any more: it becomes margin.
    pub(super) fn handle_missing(&mut self, now: Instant, missing: Duration) -> Change {
        self.calm = (self.calm * 2).min(LONGEST_CALM);
        self.calm_since = now;
        let most = self.margins.most(self.period * self.held);
        let wider = (missing + BEYOND)
            .min(MOST_AT_ONCE)
            .min(most.saturating_sub(self.margin));
        self.margin += wider;
        if wider.is_zero() {
            Change::None
        } else {
            Change::Wider(wider)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);
    const MARGINS: Margins = Margins {
        least: Duration::from_millis(8),
        most_in_all: Duration::from_millis(60),
    };

    const fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A lead of 8 ms that knows a card's rhythm: callbacks every 10 ms, the newest at 20 ms.
    fn steady() -> Lead {
        let mut lead = Lead::new(at(0), MARGINS, 2);
        for n in 0..3 {
            lead.handle_callbacks(n + 1, at(10_000 * n), PERIOD);
        }
        lead
    }

    #[test]
    fn nothing_is_wanted_before_the_rhythm_is_known() {
        let mut lead = Lead::new(at(0), MARGINS, 2);
        lead.handle_callbacks(1, at(0), PERIOD);
        lead.handle_callbacks(2, at(10), PERIOD);
        assert_eq!(lead.wanted(at(9_999)), Duration::ZERO);
    }

    #[test]
    fn the_ring_is_filled_evenly_between_two_callbacks() {
        let lead = steady();
        assert_eq!(lead.wanted(at(20_000)), ms(8));
        assert_eq!(lead.wanted(at(25_000)), ms(13));
        assert_eq!(lead.wanted(at(30_000)), ms(18));
        assert_eq!(lead.wait(at(25_000), ms(13), ms(3)), ms(3));
    }

    #[test]
    fn a_callback_that_is_overdue_finds_no_more_than_the_card_played_meanwhile() {
        let lead = steady();
        assert_eq!(lead.wanted(at(34_000)), ms(22));
        assert_eq!(lead.wanted(at(500_000)), ms(28));
    }

    #[test]
    fn a_late_callback_does_not_make_the_next_one_late() {
        let mut lead = steady();
        lead.handle_callbacks(4, at(36_000), PERIOD);
        assert!(lead.wanted(at(40_000)).abs_diff(ms(18)) < Duration::from_micros(50));
    }

    /// The same of a card that holds five callbacks.
    fn deep() -> Lead {
        let mut lead = Lead::new(at(0), MARGINS, 5);
        for n in 0..6 {
            lead.handle_callbacks(n + 1, at(10_000 * n), PERIOD);
        }
        lead
    }

    #[test]
    fn a_card_that_holds_more_is_filled_up_before_its_rhythm_counts() {
        let mut lead = Lead::new(at(0), MARGINS, 5);
        lead.handle_callbacks(5, at(1), PERIOD);
        assert_eq!(lead.wanted(at(9_999)), Duration::ZERO);
        lead.handle_callbacks(6, at(10_000), PERIOD);
        assert_eq!(lead.wanted(at(20_000)), ms(18));
    }

    #[test]
    fn a_card_that_holds_more_may_be_overdue_for_longer() {
        let mut lead = deep();
        assert_eq!(lead.wanted(at(60_000)), ms(18));
        assert_eq!(lead.wanted(at(95_000)), ms(53));
        assert_eq!(lead.wanted(at(500_000)), ms(58));
        // Four at once, then as before.
        lead.handle_callbacks(10, at(95_000), PERIOD);
        assert!(lead.wanted(at(100_000)).abs_diff(ms(18)) < Duration::from_micros(100));
    }

    #[test]
    fn a_card_that_is_slower_than_the_system_is_followed() {
        let mut lead = steady();
        for n in 1..=1000 {
            lead.handle_callbacks(3 + n, at(20_000 + 10_010 * n), PERIOD);
        }
        let wanted = lead.wanted(at(20_000 + 10_010 * 1001));
        assert!(wanted.abs_diff(ms(18)) < Duration::from_micros(50), "{wanted:?}");
    }

    #[test]
    fn a_card_that_begins_anew_is_followed_at_once() {
        let mut lead = steady();
        lead.handle_callbacks(4, at(720_000), PERIOD);
        assert_eq!(lead.wanted(at(720_000)), ms(8));
        assert_eq!(lead.wanted(at(730_000)), ms(18));
    }

    #[test]
    fn a_gap_becomes_margin() {
        let mut lead = steady();
        assert_eq!(lead.handle_missing(at(30_000), ms(5)), Change::Wider(ms(6)));
        assert_eq!(lead.margin(), ms(14));
    }

    #[test]
    fn a_gap_that_stands_out_makes_the_margin_no_larger_than_others_do() {
        let mut lead = steady();
        assert_eq!(lead.handle_missing(at(30_000), ms(130)), Change::Wider(ms(10)));
    }

    #[test]
    fn the_margin_is_given_back_in_small_steps_down_to_the_least() {
        let mut lead = steady();
        lead.handle_missing(at(20_000), ms(8));
        let mut margin = lead.margin();
        assert_eq!(margin, ms(17));
        for second in 1..120 {
            let now = at(second * 1_000_000);
            lead.handle_callbacks(10 + second, now, PERIOD);
            lead.poll_calm(now);
            assert!(lead.margin() + STEP >= margin);
            margin = lead.margin();
        }
        assert_eq!(margin, ms(8));
    }

    #[test]
    fn after_a_gap_that_was_heard_it_takes_longer_to_dare_again() {
        let mut lead = steady();
        lead.handle_missing(at(20_000), ms(3));
        let margin = lead.margin();
        let calm = |lead: &mut Lead, second: u64| {
            let now = at(second * 1_000_000);
            lead.handle_callbacks(10 + second, now, PERIOD);
            lead.poll_calm(now)
        };
        assert_eq!(calm(&mut lead, 20), Change::None);
        assert_eq!(calm(&mut lead, 31), Change::Narrower(STEP));
        assert_eq!(lead.margin() + STEP, margin);
    }

    #[test]
    fn margin_and_card_together_have_a_ceiling() {
        let mut lead = steady();
        for _ in 0..100 {
            lead.handle_missing(at(20_000), ms(50));
        }
        assert_eq!(lead.margin() + PERIOD * 2, MARGINS.most_in_all);
        assert_eq!(lead.handle_missing(at(20_000), ms(5)), Change::None);
    }
}

//! Which length of callback a card is asked for: longer where it misses too many, shorter again after a long calm. It can be
//! changed by opening the card anew only, so that it is changed rarely, and in a pause of the sound if one comes.

use std::time::Duration;

use silentmon_proto::time::Instant;

/// A card that misses so many callbacks in this time, and again in the next, is asked for longer ones: for a machine that
/// hung once or twice a gap isn't worth it.
const STRAIN: u64 = 3;
const WINDOW: Duration = Duration::from_secs(5);
const STRAINED_WINDOWS: u32 = 2;
/// After so long without a miss shorter ones are tried again; longer each time that they were too short.
const CALM: Duration = Duration::from_secs(600);
const LONGEST_CALM: Duration = Duration::from_secs(10_800);
/// So long a pause of the sound is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The lengths there are, and which is asked for.
#[derive(Debug)]
pub(super) struct Periods {
    all: &'static [u32],
    chosen: usize,
    /// Late callbacks of the card so far, when the present window began.
    counted: u64,
    window_began: Instant,
    strained: u32,
    calm_since: Instant,
    calm: Duration,
    /// The change that is to come, and since when.
    wish: Option<(Wish, Instant)>,
}

/// What a card is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Longer,
    Shorter,
}

impl Periods {
    pub(super) const fn new(now: Instant, all: &'static [u32]) -> Self {
        Self {
            all,
            chosen: 0,
            counted: 0,
            window_began: now,
            strained: 0,
            calm_since: now,
            calm: CALM,
            wish: None,
        }
    }

    /// Lengths to ask for, in milliseconds, the best first.
    pub(super) fn to_ask_for(&self) -> &'static [u32] {
        self.all.get(self.chosen..).unwrap_or_default()
    }

    /// A card was opened: its late callbacks count from nothing.
    pub(super) const fn handle_opened(&mut self, now: Instant) {
        self.counted = 0;
        self.window_began = now;
        self.strained = 0;
        self.calm_since = now;
        self.wish = None;
    }

    /// Takes note of how many callbacks came too late since the card was opened. To be told every second or so.
    pub(super) fn handle_late_callbacks(&mut self, now: Instant, late: u64) {
        if now.saturating_since(self.window_began) < WINDOW {
            return;
        }
        let new = late.saturating_sub(self.counted);
        self.counted = late;
        self.window_began = now;
        self.strained = if new >= STRAIN { self.strained + 1 } else { 0 };
        if new > 0 {
            self.calm_since = now;
        }
        if self.strained >= STRAINED_WINDOWS && self.chosen + 1 < self.all.len() {
            self.want(Wish::Longer, now);
        } else if now.saturating_since(self.calm_since) >= self.calm && self.chosen > 0 {
            self.want(Wish::Shorter, now);
        }
    }

    fn want(&mut self, wish: Wish, now: Instant) {
        let since = match self.wish {
            Some((before, since)) if before == wish => since,
            _ => now,
        };
        self.wish = Some((wish, since));
    }

    /// The change that is due: in a pause of the sound; a longer one without it too, when none comes.
    pub(super) fn poll_change(&mut self, now: Instant, is_pause: bool) -> Option<Wish> {
        let (wish, since) = self.wish?;
        let in_vain = wish == Wish::Longer && now.saturating_since(since) >= PATIENCE;
        if !is_pause && !in_vain {
            return None;
        }
        self.wish = None;
        match wish {
            Wish::Longer => {
                self.chosen = (self.chosen + 1).min(self.all.len().saturating_sub(1));
                self.calm = (self.calm * 2).min(LONGEST_CALM);
            }
            Wish::Shorter => self.chosen = self.chosen.saturating_sub(1),
        }
        Some(wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn periods() -> Periods {
        Periods::new(at(0), &[5, 10])
    }

    /// A card that misses so many callbacks every ten seconds.
    fn miss(periods: &mut Periods, from: u64, windows: u64, each: u64) {
        for window in 1..=windows {
            periods.handle_late_callbacks(at(from + 10 * window), window * each);
        }
    }

    #[test]
    fn one_bad_stretch_is_no_reason_to_open_the_card_anew() {
        let mut periods = periods();
        miss(&mut periods, 0, 1, 100);
        periods.handle_late_callbacks(at(20), 100);
        assert_eq!(periods.poll_change(at(20), true), None);
    }

    #[test]
    fn a_strained_card_is_asked_for_longer_callbacks_in_the_next_pause() {
        let mut periods = periods();
        miss(&mut periods, 0, 2, 4);
        assert_eq!(periods.poll_change(at(21), false), None);
        assert_eq!(periods.poll_change(at(22), true), Some(Wish::Longer));
        assert_eq!(periods.to_ask_for(), [10]);
        assert_eq!(periods.poll_change(at(23), true), None);
    }

    #[test]
    fn without_a_pause_it_is_asked_in_the_end() {
        let mut periods = periods();
        miss(&mut periods, 0, 3, 4);
        assert_eq!(periods.poll_change(at(34), false), None);
        assert_eq!(periods.poll_change(at(35), false), Some(Wish::Longer));
    }

    #[test]
    fn the_longest_callbacks_are_kept_however_strained_the_card_is() {
        let mut periods = periods();
        miss(&mut periods, 0, 2, 4);
        periods.poll_change(at(21), true);
        periods.handle_opened(at(21));
        miss(&mut periods, 21, 20, 50);
        assert_eq!(periods.poll_change(at(240), true), None);
        assert_eq!(periods.to_ask_for(), [10]);
    }

    #[test]
    fn after_a_long_calm_shorter_ones_are_tried_but_never_within_speech() {
        let mut periods = periods();
        miss(&mut periods, 0, 2, 4);
        periods.poll_change(at(21), true);
        periods.handle_opened(at(21));
        miss(&mut periods, 21, 119, 0);
        assert_eq!(periods.poll_change(at(1220), true), None);
        miss(&mut periods, 1221, 1, 0);
        assert_eq!(periods.poll_change(at(1300), false), None);
        assert_eq!(periods.poll_change(at(1301), true), Some(Wish::Shorter));
        assert_eq!(periods.to_ask_for(), [5, 10]);
    }
}

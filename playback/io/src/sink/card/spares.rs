//! How much sound a card is to have left when it asks for more: more where too many of its callbacks come too late, less again
//! after a long calm. It can be changed by opening the card anew only, so that it is changed rarely, and in a pause of the sound
//! if one comes.

use std::time::Duration;

use silentmon_proto::time::Instant;

use super::reserve::Spare;

/// A card that misses so many callbacks in this time, and again in the next, is to have more: for a machine that hung once or
/// twice a gap isn't worth it.
const STRAIN: u64 = 3;
const WINDOW: Duration = Duration::from_secs(5);
const STRAINED_WINDOWS: u32 = 2;
/// After so long without a miss less is tried again; longer each time that it was too little.
const CALM: Duration = Duration::from_secs(600);
const LONGEST_CALM: Duration = Duration::from_secs(10_800);
/// So long a pause of the sound is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What there is to choose from, and which of it is asked for.
#[derive(Debug)]
pub(super) struct Spares {
    all: &'static [Spare],
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

/// What a card is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    More,
    Less,
}

impl Spares {
    pub(super) const fn new(now: Instant, all: &'static [Spare]) -> Self {
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

    /// What to ask for, the best first.
    pub(super) fn to_ask_for(&self) -> &'static [Spare] {
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
            self.want(Wish::More, now);
        } else if now.saturating_since(self.calm_since) >= self.calm && self.chosen > 0 {
            self.want(Wish::Less, now);
        }
    }

    fn want(&mut self, wish: Wish, now: Instant) {
        let since = match self.wish {
            Some((before, since)) if before == wish => since,
            _ => now,
        };
        self.wish = Some((wish, since));
    }

    /// The change that is due: in a pause of the sound; to more without it too, when none comes.
    pub(super) fn poll_change(&mut self, now: Instant, is_pause: bool) -> Option<Wish> {
        let (wish, since) = self.wish?;
        let in_vain = wish == Wish::More && now.saturating_since(since) >= PATIENCE;
        if !is_pause && !in_vain {
            return None;
        }
        self.wish = None;
        match wish {
            Wish::More => {
                self.chosen = (self.chosen + 1).min(self.all.len().saturating_sub(1));
                self.calm = (self.calm * 2).min(LONGEST_CALM);
            }
            Wish::Less => self.chosen = self.chosen.saturating_sub(1),
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

    const LITTLE: Spare = Spare { of_many: 5, of_two: 5 };
    const MUCH: Spare = Spare {
        of_many: 10,
        of_two: 10,
    };

    fn spares() -> Spares {
        Spares::new(at(0), &[LITTLE, MUCH])
    }

    /// A card that misses so many callbacks every ten seconds.
    fn miss(spares: &mut Spares, from: u64, windows: u64, each: u64) {
        for window in 1..=windows {
            spares.handle_late_callbacks(at(from + 10 * window), window * each);
        }
    }

    #[test]
    fn one_bad_stretch_is_no_reason_to_open_the_card_anew() {
        let mut spares = spares();
        miss(&mut spares, 0, 1, 100);
        spares.handle_late_callbacks(at(20), 100);
        assert_eq!(spares.poll_change(at(20), true), None);
    }

    #[test]
    fn a_strained_card_is_asked_to_have_more_left_in_the_next_pause() {
        let mut spares = spares();
        miss(&mut spares, 0, 2, 4);
        assert_eq!(spares.poll_change(at(21), false), None);
        assert_eq!(spares.poll_change(at(22), true), Some(Wish::More));
        assert_eq!(spares.to_ask_for(), [MUCH]);
        assert_eq!(spares.poll_change(at(23), true), None);
    }

    #[test]
    fn without_a_pause_it_is_asked_in_the_end() {
        let mut spares = spares();
        miss(&mut spares, 0, 3, 4);
        assert_eq!(spares.poll_change(at(34), false), None);
        assert_eq!(spares.poll_change(at(35), false), Some(Wish::More));
    }

    #[test]
    fn the_most_is_kept_however_strained_the_card_is() {
        let mut spares = spares();
        miss(&mut spares, 0, 2, 4);
        spares.poll_change(at(21), true);
        spares.handle_opened(at(21));
        miss(&mut spares, 21, 20, 50);
        assert_eq!(spares.poll_change(at(240), true), None);
        assert_eq!(spares.to_ask_for(), [MUCH]);
    }

    #[test]
    fn after_a_long_calm_less_is_tried_but_never_within_speech() {
        let mut spares = spares();
        miss(&mut spares, 0, 2, 4);
        spares.poll_change(at(21), true);
        spares.handle_opened(at(21));
        miss(&mut spares, 21, 119, 0);
        assert_eq!(spares.poll_change(at(1220), true), None);
        miss(&mut spares, 1221, 1, 0);
        assert_eq!(spares.poll_change(at(1300), false), None);
        assert_eq!(spares.poll_change(at(1301), true), Some(Wish::Less));
        assert_eq!(spares.to_ask_for(), [LITTLE, MUCH]);
    }
}

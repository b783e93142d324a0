//! How much sound is kept ready, by preset and by how the system schedules us: in the card, which asks for a period when one of
//! its two is played, and in the ring before it. The card's part bears a callback that comes late. The ring's part bears a
//! feeding thread that wakes late as usual; one that is later is stood in for by the callback. Both together are the time
//! from pull to ear.

use std::time::Duration;

use silentmon_playback_core::player::Preset;

use crate::sink::priority::Scheduling;

/// What is kept ready for a preset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserve {
    /// Lengths of a callback that a card is asked for, in milliseconds, the best first: the first that it takes is used. Never
    /// the system's default, which may be a second.
    pub(super) periods: &'static [u32],
    pub(super) margins: Margins,
}

/// What the ring holds beyond the next callback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    pub(super) least: Duration,
    /// The most from pull to ear: two periods of the card and the margin.
    pub(super) most_in_all: Duration,
}

impl Margins {
    const fn new(least: u64, most_in_all: u64) -> Self {
        Self {
            least: Duration::from_millis(least),
            most_in_all: Duration::from_millis(most_in_all),
        }
    }

    /// The most for callbacks of this length.
    pub(super) fn most(&self, period: Duration) -> Duration {
        self.most_in_all.saturating_sub(period * 2).max(self.least)
    }
}

impl Reserve {
    /// `low` is as tight as the system allows; the others bear a machine whose threads wake some tens of milliseconds late now and
    /// then, as ordinary desktops do.
    pub(super) const fn of(preset: Preset, scheduling: Scheduling) -> Self {
        let (periods, margins): (&[u32], _) = match (preset, scheduling) {
            (Preset::Low, Scheduling::RealTime) => (&[10, 20, 40], Margins::new(3, 50)),
            (Preset::Low, Scheduling::Ordinary) => (&[10, 20, 40], Margins::new(6, 50)),
            (Preset::Balanced, Scheduling::RealTime) => (&[22, 40], Margins::new(3, 90)),
            (Preset::Balanced, Scheduling::Ordinary) => (&[22, 40], Margins::new(8, 90)),
            (Preset::Smooth, Scheduling::RealTime) => (&[30, 40], Margins::new(3, 120)),
            (Preset::Smooth, Scheduling::Ordinary) => (&[30, 40], Margins::new(8, 120)),
        };
        Self { periods, margins }
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::time::Instant;

    use super::*;
    use crate::sink::card::lead::Lead;

    const TICK: Duration = Duration::from_micros(2500);

    /// What a punctual card misses in so many seconds where the thread that feeds it sleeps through these moments, given in
    /// microseconds, and has the player meanwhile, so that no callback can stand in for it.
    fn missing(reserve: &Reserve, seconds: u64, asleep: impl Fn(u64) -> bool) -> Duration {
        let period = Duration::from_millis(reserve.periods[0].into());
        let mut lead = Lead::new(Instant::from_nanos(0), reserve.margins);
        let (mut held, mut missing, mut told) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let (mut callbacks, mut newest, mut begun) = (0, Instant::from_nanos(0), false);
        for micros in (0..seconds * 1_000_000).step_by(500) {
            let now = Instant::from_nanos(micros * 1000);
            if u128::from(micros).is_multiple_of(period.as_micros()) {
                (callbacks, newest) = (callbacks + 1, now);
                missing += if begun {
                    period.saturating_sub(held)
                } else {
                    Duration::ZERO
                };
                held = held.saturating_sub(period);
            }
            if asleep(micros) {
                continue;
            }
            lead.handle_callbacks(callbacks, newest, period);
            if missing > told {
                lead.handle_missing(now, missing.saturating_sub(told));
                told = missing;
            }
            lead.poll_calm(now);
            while held + TICK <= lead.wanted(now) {
                held += TICK;
                begun = true;
            }
        }
        missing
    }

    #[test]
    fn a_thread_that_is_late_again_and_again_is_heard_a_few_times_at_first() {
        for preset in Preset::ALL {
            let reserve = Reserve::of(preset, Scheduling::RealTime);
            // 28 ms late every 0.73 s: at another moment between two callbacks each time.
            let missing = missing(&reserve, 20, |micros| micros % 730_500 < 28_000);
            assert!(missing < Duration::from_millis(40), "{preset:?} {missing:?}");
        }
    }

    #[test]
    fn each_preset_bears_more_than_the_one_before() {
        for scheduling in [Scheduling::RealTime, Scheduling::Ordinary] {
            let [low, balanced, smooth] = Preset::ALL.map(|preset| Reserve::of(preset, scheduling));
            for [tighter, wider] in [[low, balanced], [balanced, smooth]] {
                assert!(wider.periods[0] > tighter.periods[0]);
                assert!(wider.margins.least >= tighter.margins.least);
                assert!(wider.margins.most_in_all > tighter.margins.most_in_all);
            }
        }
    }

    #[test]
    fn the_longest_callbacks_leave_a_margin_too() {
        for preset in Preset::ALL {
            let reserve = Reserve::of(preset, Scheduling::RealTime);
            for period in reserve.periods {
                let most = reserve.margins.most(Duration::from_millis((*period).into()));
                assert!(most >= reserve.margins.least, "{preset:?} {period}");
            }
        }
    }
}

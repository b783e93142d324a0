//! How much sound is kept ready, by preset and by how the system schedules us: in the card, which has some left when it asks for
//! more, and in the ring before it. The card's part bears a callback that comes late. The ring's part bears a feeding thread
//! that wakes late as usual; one that is later is stood in for by the callback. Both together are the time from pull to ear.

use std::time::Duration;

use silentmon_playback_core::player::Preset;

use crate::sink::priority::Scheduling;

/// What is kept ready for a preset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserve {
    /// What a card is to have left when it asks for more, the best first: the first that it grants is used. So late may a
    /// callback come. Never the system's default, which may be a second.
    pub(super) spares: &'static [Spare],
    pub(super) margins: Margins,
}

/// What a card is to have left when it asks for more, in milliseconds, by how it is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spare {
    /// Where it asks for a little at a time.
    pub(super) of_many: u32,
    /// Where it holds two callbacks: the length of one, which costs as much again.
    pub(super) of_two: u32,
}

impl Spare {
    const fn new(of_many: u32, of_two: u32) -> Self {
        Self { of_many, of_two }
    }
}

/// What the ring holds beyond the next callback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    pub(super) least: Duration,
    /// The most from pull to ear: what the card holds, and the margin.
    pub(super) most_in_all: Duration,
}

impl Margins {
    const fn new(least: u64, most_in_all: u64) -> Self {
        Self {
            least: Duration::from_millis(least),
            most_in_all: Duration::from_millis(most_in_all),
        }
    }

    /// The most where the card holds so much.
    pub(super) fn most(&self, held: Duration) -> Duration {
        self.most_in_all.saturating_sub(held).max(self.least)
    }
}

impl Reserve {
    /// `low` is as tight as the system allows; the others bear a machine whose threads wake some tens of milliseconds late now and
    /// then, as ordinary desktops do.
    pub(super) const fn of(preset: Preset, scheduling: Scheduling) -> Self {
        const LOW: &[Spare] = &[Spare::new(20, 10), Spare::new(30, 20), Spare::new(40, 40)];
        const BALANCED: &[Spare] = &[Spare::new(25, 22), Spare::new(40, 40)];
        const SMOOTH: &[Spare] = &[Spare::new(30, 30), Spare::new(40, 40)];
        let (spares, margins) = match (preset, scheduling) {
            (Preset::Low, Scheduling::RealTime) => (LOW, Margins::new(3, 50)),
            (Preset::Low, Scheduling::Ordinary) => (LOW, Margins::new(6, 50)),
            (Preset::Balanced, Scheduling::RealTime) => (BALANCED, Margins::new(3, 90)),
            (Preset::Balanced, Scheduling::Ordinary) => (BALANCED, Margins::new(8, 90)),
            (Preset::Smooth, Scheduling::RealTime) => (SMOOTH, Margins::new(3, 120)),
            (Preset::Smooth, Scheduling::Ordinary) => (SMOOTH, Margins::new(8, 120)),
        };
        Self { spares, margins }
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::time::Instant;

    use super::*;
    use crate::sink::card::lead::Lead;

    const TICK: Duration = Duration::from_micros(2500);

    /// What a punctual card that holds two callbacks misses in so many seconds where the thread that feeds it sleeps through these moments, given in
    /// microseconds, and has the player meanwhile, so that no callback can stand in for it.
    fn missing(reserve: &Reserve, seconds: u64, asleep: impl Fn(u64) -> bool) -> Duration {
        let period = Duration::from_millis(reserve.spares[0].of_two.into());
        let mut lead = Lead::new(Instant::from_nanos(0), reserve.margins, 2);
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
                assert!(wider.spares[0].of_many > tighter.spares[0].of_many);
                assert!(wider.spares[0].of_two > tighter.spares[0].of_two);
                assert!(wider.margins.least >= tighter.margins.least);
                assert!(wider.margins.most_in_all > tighter.margins.most_in_all);
            }
        }
    }

    #[test]
    fn a_card_that_holds_the_most_leaves_a_margin_too() {
        for preset in Preset::ALL {
            let reserve = Reserve::of(preset, Scheduling::RealTime);
            for spare in reserve.spares {
                let most = reserve.margins.most(Duration::from_millis(spare.of_two.into()) * 2);
                assert!(most >= reserve.margins.least, "{preset:?} {spare:?}");
            }
        }
    }
}

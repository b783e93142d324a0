//! Counts what came of each check.

use std::time::Duration;

use silentmon_proto::time::Instant;

use crate::check::CheckId;
use crate::model::StampEvidence;
use crate::plan::{BurstPlan, Plan};
use crate::read::Sighting;
use crate::wire::Condition;

/// Which numbers of a check were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Numbers {
    bits: Vec<u64>,
    count: u32,
}

impl Numbers {
    /// Notes a number; `false` where it was there already.
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let Some(word) = self.bits.get_mut(word) else {
            return false;
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += u32::from(is_new);
        is_new
    }
}

/// How many frames had their tags, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TagCounts {
    /// In the frame.
    pub kept: u64,
    /// The outermost beside the frame.
    pub metadata: u64,
    /// Not as they were sent.
    pub lost: u64,
}

impl TagCounts {
    fn count(&mut self, sighting: &Sighting) {
        let Some(shape) = sighting.check.shape(sighting.sequence) else {
            return;
        };
        if !sighting.tags.are(shape.tags) {
            self.lost += 1;
        } else if sighting.tags.in_metadata {
            self.metadata += 1;
        } else {
            self.kept += 1;
        }
    }

    /// Frames counted.
    pub const fn total(self) -> u64 {
        self.kept + self.metadata + self.lost
    }
}

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    seen: Numbers,
    highest: Option<u32>,
    /// Arrived shorter than sent.
    pub cut: u64,
    /// Arrived changed.
    pub damaged: u64,
    /// Arrived again.
    pub duplicates: u64,
    /// Arrived behind a later one.
    pub reordered: u64,
    /// Tags as the raw socket shows them.
    pub raw_tags: TagCounts,
    /// Tags as libpcap shows them.
    pub capture_tags: TagCounts,
}

impl Tally {
    /// Frames that came whole, each counted once.
    pub const fn seen(&self) -> u32 {
        self.seen.count
    }

    /// The highest number seen.
    pub const fn highest(&self) -> Option<u32> {
        self.highest
    }

    fn count(&mut self, sighting: &Sighting) {
        match sighting.condition {
            Condition::Cut => self.cut += 1,
            Condition::Damaged => self.damaged += 1,
            Condition::Whole if !self.seen.insert(sighting.sequence) => self.duplicates += 1,
            Condition::Whole => {
                self.raw_tags.count(sighting);
                if self.highest.is_some_and(|highest| sighting.sequence < highest) {
                    self.reordered += 1;
                }
                self.highest = self.highest.max(Some(sighting.sequence));
            }
        }
    }
}

/// Looks at the stamps of SMNIC-1's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamps {
    last: Option<(Instant, Instant)>,
    frames: u32,
    backwards: u32,
    off_clock: Duration,
    spacing: Duration,
}

impl Stamps {
    fn look(&mut self, sighting: &Sighting, now: Instant) {
        let (sent, arrived) = (sighting.sent, sighting.arrived);
        self.frames += 1;
        self.off_clock = self.off_clock.max(apart(now, arrived));
        if let Some((sent_before, arrived_before)) = self.last.replace((sent, arrived)) {
            self.backwards += u32::from(arrived < arrived_before);
            let (sending, arriving) = (apart(sent, sent_before), apart(arrived, arrived_before));
            self.spacing = self.spacing.max(sending.abs_diff(arriving));
        }
    }

    /// What was measured; `None` below two frames.
    pub fn evidence(&self) -> Option<StampEvidence> {
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        (self.frames >= 2).then(|| StampEvidence {
            backwards: self.backwards,
            off_clock_us: microseconds(self.off_clock),
            spacing_us: microseconds(self.spacing),
        })
    }
}

fn apart(a: Instant, b: Instant) -> Duration {
    if a > b { a - b } else { b - a }
}

/// What came of every check of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallies {
    checks: [Tally; CheckId::ALL.len()],
    /// The stamps of SMNIC-1's frames.
    pub stamps: Stamps,
}

impl Tallies {
    /// What came of a check.
    pub fn of(&self, check: CheckId) -> &Tally {
        let [first, ..] = &self.checks;
        self.checks.get(place(check)).unwrap_or(first)
    }

    /// Counts a frame from the raw socket; one the plan doesn't have is left out.
    pub fn count(&mut self, sighting: &Sighting, plan: Plan, now: Instant) {
        if sighting.check.shape(sighting.sequence).is_none() || !is_planned(sighting, plan.burst) {
            return;
        }
        if sighting.check == CheckId::Tagged && sighting.condition == Condition::Whole {
            self.stamps.look(sighting, now);
        }
        if let Some(tally) = self.checks.get_mut(place(sighting.check)) {
            tally.count(sighting);
        }
    }

    /// Counts the tags of a frame that libpcap showed.
    pub fn count_captured(&mut self, sighting: &Sighting) {
        if sighting.condition == Condition::Whole
            && let Some(tally) = self.checks.get_mut(place(sighting.check))
        {
            tally.capture_tags.count(sighting);
        }
    }

    /// Whether anything came of any check.
    pub fn is_empty(&self) -> bool {
        self.checks
            .iter()
            .all(|tally| tally.seen() == 0 && tally.cut == 0 && tally.damaged == 0)
    }
}

fn is_planned(sighting: &Sighting, burst: BurstPlan) -> bool {
    sighting.check != CheckId::Burst || sighting.sequence < burst.frames
}

fn place(check: CheckId) -> usize {
    usize::from(check.number()).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checks;
    use crate::read::Tags;

    fn burst(sequence: u32, condition: Condition) -> Sighting {
        Sighting {
            check: CheckId::Burst,
            round: 0,
            sequence,
            sent: Instant::EPOCH,
            arrived: Instant::EPOCH,
            condition,
            tags: Tags::default(),
        }
    }

    #[test]
    fn losses_duplicates_and_reordering_are_counted_by_number() {
        let plan = Plan {
            checks: Checks::all(),
            burst: BurstPlan {
                rate: 1000,
                frames: 100,
            },
        };
        let mut tallies = Tallies::default();
        for sequence in [0, 1, 5, 2, 2, 70, 100, u32::MAX] {
            tallies.count(&burst(sequence, Condition::Whole), plan, Instant::EPOCH);
        }
        tallies.count(&burst(3, Condition::Cut), plan, Instant::EPOCH);
        tallies.count(&burst(4, Condition::Damaged), plan, Instant::EPOCH);
        let tally = tallies.of(CheckId::Burst);
        assert_eq!((tally.seen(), tally.duplicates, tally.reordered), (5, 1, 1));
        assert_eq!((tally.cut, tally.damaged, tally.highest()), (1, 1, Some(70)));
        assert_eq!(
            tally.raw_tags,
            TagCounts {
                lost: 5,
                ..TagCounts::default()
            }
        );
    }
}

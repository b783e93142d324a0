//! What to do about losses: the least delay that leaves next to nothing lost, at the least cost.
//!
//! Losses are taken to come by Gilbert's model (Gilbert 1960): a packet that follows a lost one by a time is lost with a
//! probability that falls from that of the burst going on to the mean share. From it follows how likely each answer and
//! each copy gets through.

use std::time::Duration;

use silentmon_proto::relay::MOST_COPY_DISTANCE;

/// Share of packets that may stay lost: with concealment nobody hears it (docs/repair.md).
const UNHEARD: f64 = 0.002;
/// Copies double what is sent: they must leave less than this share of what requests alone would,
const WORTH_COPIES: f64 = 0.3;
/// and less than that one where requests leave more than is covered up.
const WORTH_COPIES_WHERE_HEARD: f64 = 0.9;
/// Share of packets that concealment doesn't cover up where they are lost in bursts (docs/repair.md).
const HEARD: f64 = 0.005;
/// Delay for repairs beyond half a round trip, which the packets themselves take: 150 ms less a player's rounding.
const ALLOWANCE: Duration = Duration::from_millis(145);
/// How often a packet is asked for.
pub(super) const MOST_TRIES: u8 = 3;
/// Requests for one packet are so far apart at least.
const LEAST_APART: Duration = Duration::from_millis(20);
/// Longer times between them are weighed in these steps.
const STEP: Duration = Duration::from_millis(5);
/// For the arrival's jitter and the timers.
const SLACK: Duration = Duration::from_millis(5);

/// A path as it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// Share of packets lost, 0 to 1.
    pub share: f64,
    /// Mean number of packets lost together, at least 1.
    pub burst: f64,
    /// How long an answer takes.
    pub round_trip: Duration,
    /// How long an answer is waited for.
    pub again: Duration,
    /// Between packets.
    pub interval: Duration,
    /// How long a packet that is missing may only have been overtaken.
    pub wait: Duration,
}

/// Packets sent a second time in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copies {
    /// How many packets later; 0 for never.
    distance: u8,
    asks_first: bool,
}

impl Copies {
    const NONE: Self = Self {
        distance: 0,
        asks_first: false,
    };
}

/// What is done about losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// How many packets later copies are sent; 0 for none.
    pub copy_distance: u8,
    /// Whether a packet that is missing is asked for before its copy is due.
    pub asks_first: bool,
    /// How often a packet can be asked for in time.
    pub tries: u8,
    /// How long after one request the next follows.
    pub again: Duration,
    /// How long packets must wait for it.
    pub delay: Duration,
    /// Share of packets that stay lost, by the model.
    pub residual: f64,
}

impl Plan {
    /// Nothing is lost, or nothing can be done about it.
    pub const NOTHING: Self = Self {
        copy_distance: 0,
        asks_first: false,
        tries: 0,
        again: Duration::ZERO,
        delay: Duration::ZERO,
        residual: 0.0,
    };
}

impl Path {
    /// The longest delay that repairs are worth.
    pub fn longest(&self) -> Duration {
        ALLOWANCE + self.round_trip / 2
    }

    /// Probability that a packet sent so long after a lost one is lost too.
    fn lost_after(&self, time: Duration) -> f64 {
        let packets = time.as_secs_f64() / self.interval.as_secs_f64().max(0.001);
        let burst_goes_on = (1.0 - 1.0 / self.burst).powf(packets);
        self.share + (1.0 - self.share) * burst_goes_on
    }

    /// What becomes of packets of which a copy follows and that are asked for.
    fn plan(&self, copies: Copies, tries: u8, again: Duration) -> Plan {
        let copy_due = self.interval * u32::from(copies.distance);
        let awaited = if copies.asks_first { Duration::ZERO } else { copy_due };
        // A loss shows with the next packet, or when that is overdue.
        let shows = self.interval.max(awaited) + self.wait;
        let time_of = |n| shows + again * n;
        let copy = (copies.distance > 0).then_some((copy_due, 1.0));
        let answers = (0..u32::from(tries)).map(|n| (time_of(n) + self.round_trip / 2, 1.0 - self.share));
        let mut sent = [(Duration::ZERO, 0.0); MOST_TRIES as usize + 1];
        let mut times = 0;
        for (place, again) in sent.iter_mut().zip(copy.into_iter().chain(answers)) {
            *place = again;
            times += 1;
        }
        let sent = sent.get_mut(..times).unwrap_or_default();
        sent.sort_unstable_by_key(|again| again.0);
        let mut residual = self.share;
        // Whether what is sent gets through depends on what became of the last that was sent.
        let mut last = Duration::ZERO;
        for &mut (time, got_through) in sent {
            residual *= 1.0 - got_through * (1.0 - self.lost_after(time.saturating_sub(last)));
            last = time;
        }
        let copy_came = copy.map(|(due, _)| due + self.wait);
        let answered = tries
            .checked_sub(1)
            .map(|last| time_of(u32::from(last)) + self.round_trip);
        Plan {
            copy_distance: copies.distance,
            asks_first: copies.asks_first,
            tries,
            again,
            delay: copy_came.max(answered).unwrap_or_default() + SLACK,
            residual,
        }
    }

    /// Times between requests that don't wait for an answer. Where an answer takes too long for another try, and losses come
    /// singly, that costs less than copies of all packets.
    fn hurries(&self) -> impl Iterator<Item = Duration> + Clone {
        let again = self.again;
        let hurries = std::iter::successors(Some(LEAST_APART), |hurry| Some(*hurry + STEP));
        hurries.take_while(move |hurry| *hurry < again)
    }
}

/// The plan for a path, with packets waiting no longer than `longest`, and with copies where the server sends any.
pub fn choose(path: &Path, longest: Duration, copies: bool) -> Plan {
    let in_time = |plan: &Plan| plan.delay <= longest;
    let requests = || {
        let plans = (1..=MOST_TRIES).map(|tries| path.plan(Copies::NONE, tries, path.again));
        plans.filter(in_time)
    };
    if let Some(plan) = requests().find(|plan| plan.residual <= UNHEARD) {
        return plan;
    }
    let hurried = || {
        let plans =
            (2..=MOST_TRIES).flat_map(|tries| path.hurries().map(move |again| path.plan(Copies::NONE, tries, again)));
        plans.filter(in_time)
    };
    if let Some(plan) = hurried().find(|plan| plan.residual <= UNHEARD) {
        return plan;
    }
    let best_request = least_lost(requests().chain(hurried()));
    if !copies {
        return best_request.unwrap_or(Plan::NOTHING);
    }
    let copies = || {
        let soon = |copies: &Copies| path.plan(*copies, 0, path.again).delay <= longest;
        let distances = (1..=MOST_COPY_DISTANCE)
            .flat_map(|distance| [false, true].map(|asks_first| Copies { distance, asks_first }));
        // Between two requests there may be any time.
        let hurried = path.hurries().flat_map(|again| [(2, again), (3, again)]);
        let asked = [0, 1, 2, 3].map(|tries| (tries, path.again)).into_iter().chain(hurried);
        let plans = distances.take_while(soon).flat_map(move |copies| {
            let asked = asked.clone();
            asked.map(move |(tries, again)| path.plan(copies, tries, again))
        });
        plans.filter(in_time)
    };
    let enough = copies()
        .filter(|plan| plan.residual <= UNHEARD)
        .min_by_key(|plan| plan.delay);
    let alone = best_request.map_or(path.share, |plan| plan.residual);
    let worth = if alone > HEARD {
        WORTH_COPIES_WHERE_HEARD
    } else {
        WORTH_COPIES
    };
    let best_copy = enough
        .or_else(|| least_lost(copies()))
        .filter(|plan| plan.residual < alone * worth);
    let best = best_copy.or(best_request).unwrap_or(Plan::NOTHING);
    if best.copy_distance > 0 && best.residual > UNHEARD {
        // What is left of the allowance is waited, too: an answer may be slower than the last were.
        return Plan { delay: longest, ..best };
    }
    best
}

/// Of those that leave next to the least, the one with the least delay.
fn least_lost(plans: impl Iterator<Item = Plan> + Clone) -> Option<Plan> {
    let least = plans.clone().map(|plan| plan.residual).reduce(f64::min)?;
    plans
        .filter(|plan| plan.residual <= least * 1.02)
        .min_by_key(|plan| plan.delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(share: f64, burst: f64, round_trip: u64) -> Path {
        let round_trip = Duration::from_millis(round_trip);
        Path {
            share,
            burst,
            round_trip,
            again: round_trip + Duration::from_millis(5),
            interval: Duration::from_millis(20),
            wait: Duration::from_millis(3),
        }
    }

    fn chosen(share: f64, burst: f64, round_trip: u64) -> Plan {
        let path = path(share, burst, round_trip);
        choose(&path, path.longest(), true)
    }

    #[test]
    fn where_answers_come_soon_packets_are_asked_for_as_often_as_needed() {
        let tries = |share| chosen(share, 1.0, 40).tries;
        assert_eq!([0.01, 0.05, 0.10].map(tries), [1, 2, 3]);
        assert_eq!(chosen(0.10, 1.0, 40).copy_distance, 0);
        assert_eq!(chosen(0.01, 1.0, 40).delay, Duration::from_millis(20 + 3 + 40 + 5));
    }

    #[test]
    fn where_answers_take_too_long_for_another_try_requests_do_not_wait_for_them() {
        for (share, tries) in [(0.05, 2), (0.10, 3)] {
            let plan = chosen(share, 1.0, 100);
            assert_eq!((plan.copy_distance, plan.tries), (0, tries), "{plan:?}");
            assert!(plan.again < Duration::from_millis(100), "{plan:?}");
            assert!(plan.residual <= UNHEARD, "{plan:?}");
        }
    }

    #[test]
    fn where_answers_take_too_long_for_another_try_copies_are_wanted() {
        assert_eq!(chosen(0.01, 1.0, 200).copy_distance, 0, "one try does");
        assert!(chosen(0.20, 1.0, 200).copy_distance > 0);
        let far = path(0.03, 1.0, 100);
        let hurried = choose(&far, Duration::from_millis(60), true);
        assert_eq!((hurried.copy_distance, hurried.tries), (1, 0));
    }

    #[test]
    fn copies_follow_beyond_the_burst() {
        let path = path(0.05, 3.0, 200);
        let plan = choose(&path, Duration::from_millis(150), true);
        assert!((4..=7).contains(&plan.copy_distance), "{plan:?}");
    }

    #[test]
    fn long_bursts_are_met_with_copies_beyond_them_and_requests_before() {
        for round_trip in [40, 100] {
            let plan = chosen(0.10, 3.0, round_trip);
            assert!(plan.asks_first && plan.tries > 0, "{plan:?}");
            let copied = Duration::from_millis(20) * u32::from(plan.copy_distance);
            assert!(copied > Duration::from_millis(100), "{plan:?}");
        }
    }

    #[test]
    fn the_whole_allowance_is_waited_where_copies_leave_losses() {
        let path = path(0.10, 3.0, 40);
        let plan = choose(&path, path.longest(), true);
        assert!(plan.copy_distance > 0 && plan.residual > UNHEARD, "{plan:?}");
        assert_eq!((plan.tries, plan.delay), (MOST_TRIES, path.longest()), "{plan:?}");
        let plan = chosen(0.02, 2.0, 40);
        assert!(plan.residual <= UNHEARD && plan.delay < path.longest(), "{plan:?}");
    }

    #[test]
    fn who_asks_first_has_the_copy_too() {
        let path = path(0.10, 3.0, 100);
        let [alone, waiting, asking] = [(0, false), (4, false), (4, true)].map(|(distance, asks_first)| {
            let copies = Copies { distance, asks_first };
            path.plan(copies, 1, path.again)
        });
        assert!(asking.residual < alone.residual, "{asking:?} {alone:?}");
        // An answer 73 ms after the packet and a copy at 80 ms; or the copy, and an answer at 133 ms.
        assert_eq!(asking.delay, Duration::from_millis(20 + 3 + 100 + 5));
        assert_eq!(waiting.delay, Duration::from_millis(80 + 3 + 100 + 5));
        assert!(
            waiting.residual < asking.residual,
            "further apart: {waiting:?} {asking:?}"
        );
    }

    #[test]
    fn what_can_not_come_in_time_is_not_waited_for() {
        let path = path(0.05, 1.0, 200);
        assert_eq!(choose(&path, Duration::from_millis(15), true), Plan::NOTHING);
    }

    #[test]
    fn no_plan_takes_longer_than_allowed() {
        for share in [0.001, 0.01, 0.1, 0.5, 1.0] {
            for burst in [1.0, 3.0, 20.0] {
                for round_trip in [0, 10, 100, 1000] {
                    let path = path(share, burst, round_trip);
                    let plan = choose(&path, path.longest(), true);
                    assert!(plan.delay <= path.longest(), "{path:?} {plan:?}");
                    assert!((0.0..=1.0).contains(&plan.residual), "{path:?} {plan:?}");
                }
            }
        }
    }
}

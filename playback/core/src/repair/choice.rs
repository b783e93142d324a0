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
const WORTH_COPIES: f64 = 0.5;
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

/// What is done about losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// How many packets later copies are sent; 0 for none.
    pub copy_distance: u8,
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

    fn plan(&self, copy_distance: u8, tries: u8, again: Duration) -> Plan {
        let copied = self.interval * u32::from(copy_distance);
        let mut residual = self.share;
        if copy_distance > 0 {
            residual *= self.lost_after(copied);
        }
        // A loss shows with the next packet, or when that is overdue; a copy is waited for first.
        let mut asked = copied.max(self.interval) + self.wait;
        let mut delay = if copy_distance > 0 {
            copied + self.wait
        } else {
            Duration::ZERO
        };
        // Whether what is sent gets through depends on what became of the last that was sent.
        let mut last = copied;
        for _ in 0..tries {
            let answered = asked + self.round_trip / 2;
            residual *= 1.0 - (1.0 - self.share) * (1.0 - self.lost_after(answered.saturating_sub(last)));
            last = answered;
            delay = asked + self.round_trip;
            asked += again;
        }
        Plan {
            copy_distance,
            tries,
            again,
            delay: delay + SLACK,
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
        let plans = (1..=MOST_TRIES).map(|tries| path.plan(0, tries, path.again));
        plans.filter(in_time)
    };
    if let Some(plan) = requests().find(|plan| plan.residual <= UNHEARD) {
        return plan;
    }
    let hurried = || {
        let plans = (2..=MOST_TRIES).flat_map(|tries| path.hurries().map(move |again| path.plan(0, tries, again)));
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
        let distances =
            (1..=MOST_COPY_DISTANCE).take_while(|&distance| path.plan(distance, 0, path.again).delay <= longest);
        let all = path.hurries().chain([path.again]);
        let plans = distances.flat_map(move |distance| {
            let all = all.clone();
            (0..MOST_TRIES).flat_map(move |tries| all.clone().map(move |again| path.plan(distance, tries, again)))
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
    best_copy.or(best_request).unwrap_or(Plan::NOTHING)
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

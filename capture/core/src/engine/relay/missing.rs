//! What a member's connection lost of one leg, by the numbers of its datagrams: asked for again at once, and a few times.
//!
//! Members are near each other and nobody waits for a packet here, so this needs none of the weighing that
//! a supervisor's program does.

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::ids::Leg;
use silentmon_proto::relay::RepairRequest;
use silentmon_proto::time::Instant;

/// Numbers missing at a time; a larger gap is a path that was down, not one that loses.
const MOST_MISSING: usize = 64;
/// How often a packet is asked for.
const MOST_TRIES: u8 = 3;
/// How long a packet may be missing before it is of no use.
const OF_USE_FOR: Duration = Duration::from_millis(500);
/// Least time between two requests for a packet.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// Follows the numbers of one leg.
#[derive(Debug, Default)]
pub(super) struct Missing {
    next: Option<u32>,
    numbers: VecDeque<Lost>,
}

#[derive(Debug, Clone, Copy)]
struct Lost {
    relay_sequence: u32,
    since: Instant,
    tries: u8,
    tried: Instant,
}

impl Missing {
    /// Takes the number of a datagram that came.
    pub(super) fn handle(&mut self, number: u32, now: Instant) {
        let next = self.next.unwrap_or(number);
        let ahead = number.wrapping_sub(next);
        if ahead > u32::MAX / 2 {
            // It was overtaken, or comes again.
            return self.numbers.retain(|missing| missing.relay_sequence != number);
        }
        self.next = Some(number.wrapping_add(1));
        match usize::try_from(ahead) {
            Ok(ahead) if self.numbers.len() + ahead <= MOST_MISSING => {
                let numbers = (0..ahead).zip(0_u32..).map(|(_, step)| Lost {
                    relay_sequence: next.wrapping_add(step),
                    since: now,
                    tries: 0,
                    tried: now,
                });
                self.numbers.extend(numbers);
            }
            _ => self.numbers.clear(),
        }
    }

    /// What is to be asked for now.
    pub(super) fn request(
        &mut self,
        (channel, leg): (u16, Leg),
        round_trip: Duration,
        now: Instant,
    ) -> Option<RepairRequest> {
        if self.numbers.is_empty() {
            return None;
        }
        let of_use = |missing: &Lost| missing.tries < MOST_TRIES && now.saturating_since(missing.since) < OF_USE_FOR;
        self.numbers.retain(of_use);
        let wait = (round_trip * 3 / 2).max(LEAST_WAIT);
        let mut request = RepairRequest::new(channel, leg, 0);
        let mut asked = false;
        for missing in &mut self.numbers {
            let due = missing.tries == 0 || now.saturating_since(missing.tried) >= wait;
            if due && request.ask(missing.relay_sequence) {
                missing.tries += 1;
                missing.tried = now;
                asked = true;
            }
        }
        asked.then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    /// A leg whose datagrams come every 20 ms, and what it asks for with each.
    fn asks(numbers: impl IntoIterator<Item = u32>) -> Vec<Vec<u32>> {
        let mut missing = Missing::default();
        let mut now = Instant::from_parts(1_000, 0);
        let mut asked = Vec::new();
        for number in numbers {
            missing.handle(number, now);
            let request = missing.request((1, Leg::Agent), ROUND_TRIP, now);
            asked.push(request.map_or_else(Vec::new, |request| request.numbers().collect()));
            now += Duration::from_millis(20);
        }
        asked
    }

    #[test]
    fn asks_at_once_for_what_was_lost_over_the_wrap_and_three_times_at_most() {
        let lost = [u32::MAX, 0];
        let none = Vec::new();
        assert_eq!(
            asks([u32::MAX - 1, 1, 2, 3, 4, 5, 6, 7, 8]),
            [&none, &lost[..], &none, &lost, &none, &lost, &none, &none, &none].map(<[u32]>::to_vec)
        );
    }

    #[test]
    fn what_comes_is_not_asked_for_again() {
        assert_eq!(
            asks([1, 3, 2, 4, 5, 6]),
            [vec![], vec![2], vec![], vec![], vec![], vec![]]
        );
    }

    #[test]
    fn a_path_that_was_down_is_not_asked_for_everything() {
        assert_eq!(asks([1, 1_000, 1_001, 900]), [[0_u32; 0]; 4].map(|none| none.to_vec()));
    }
}

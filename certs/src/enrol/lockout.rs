//! Addresses from which bad tokens come are kept out: after 3 failures, 15 minutes from the last one (requirements
//! section 3).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const MOST_FAILURES: u32 = 3;
const LOCKED_FOR: Duration = Duration::from_secs(15 * 60);
/// Addresses kept; beyond them whoever failed longest ago is forgotten.
const MOST_ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Lockout(HashMap<IpAddr, (u32, Instant)>);

impl Lockout {
    /// How long an address is still kept out, if it is.
    pub(super) fn left(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let (failures, last) = self.0.get(&address)?;
        let left = LOCKED_FOR
            .checked_sub(now.duration_since(*last))
            .filter(|left| !left.is_zero());
        left.filter(|_| *failures >= MOST_FAILURES)
    }

    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) {
        self.0.retain(|_, (_, last)| now.duration_since(*last) < LOCKED_FOR);
        if self.0.len() >= MOST_ADDRESSES
            && let Some(oldest) = self
                .0
                .iter()
                .min_by_key(|(_, (_, last))| *last)
                .map(|(address, _)| *address)
        {
            self.0.remove(&oldest);
        }
        let (failures, last) = self.0.entry(address).or_insert((0, now));
        (*failures, *last) = (*failures + 1, now);
    }

    pub(super) fn succeeded(&mut self, address: IpAddr) {
        self.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_keep_an_address_out_for_fifteen_minutes() {
        let (mut lockout, begin) = (Lockout::default(), Instant::now());
        let (eve, anna) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..3 {
            assert_eq!(lockout.left(eve, begin), None);
            lockout.failed(eve, begin);
        }
        assert_eq!(lockout.left(eve, begin), Some(LOCKED_FOR));
        assert_eq!(lockout.left(anna, begin), None);
        assert_eq!(lockout.left(eve, begin + LOCKED_FOR), None);
        for number in 0..10_000_u32 {
            lockout.failed(IpAddr::from(number.to_be_bytes()), begin);
        }
        assert!(lockout.0.len() <= MOST_ADDRESSES);
    }
}

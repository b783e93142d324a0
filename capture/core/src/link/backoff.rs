//! Pauses between attempts to reach a source: twice as long each time, with jitter, so that the servers of a site don't
//! all come back at the same moment.

use std::time::Duration;

/// The first pause, before jitter.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause, before jitter.
pub const LONGEST: Duration = Duration::from_secs(30);

/// The pauses after failed attempts: 1 s, doubled up to 30 s, each a quarter longer or shorter at random.
#[derive(Debug, Clone)]
pub struct Backoff {
    step: Duration,
    state: u64,
}

impl Backoff {
    /// A back-off whose jitter follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            step: SHORTEST,
            state: seed,
        }
    }

    /// The pause after one more failure.
    pub fn failed(&mut self) -> Duration {
        let pause = self.jittered(self.step);
        self.step = (self.step * 2).min(LONGEST);
        pause
    }

    /// The pause after a session that was open broke: none, unless it broke so soon after the last failure that nothing
    /// was shown to work in between ([`Self::succeeded`]).
    pub fn broke(&mut self) -> Duration {
        let first = self.step == SHORTEST;
        let pause = self.failed();
        if first { Duration::ZERO } else { pause }
    }

    /// An attempt succeeded: the next failure begins again with the shortest pause.
    pub const fn succeeded(&mut self) {
        self.step = SHORTEST;
    }

    /// `pause`, a quarter longer or shorter at random.
    pub fn jittered(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(0.75 + 0.5 * self.random())
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), as a number from 0 to below 1.
    fn random(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_to_thirty() {
        let mut backoff = Backoff::new(7);
        for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let pause = backoff.failed().as_secs_f64();
            assert!(
                (seconds * 0.75..seconds * 1.25).contains(&pause),
                "{pause} for {seconds}"
            );
        }
    }

    #[test]
    fn begins_again_after_a_success() {
        let mut backoff = Backoff::new(7);
        (0..9).for_each(|_| {
            backoff.failed();
        });
        backoff.succeeded();
        assert!(backoff.failed() < SHORTEST * 2);
    }

    #[test]
    fn a_broken_session_is_opened_anew_at_once_but_only_once() {
        let mut backoff = Backoff::new(7);
        assert_eq!(backoff.broke(), Duration::ZERO);
        assert!(backoff.broke() > SHORTEST);
        backoff.succeeded();
        assert_eq!(backoff.broke(), Duration::ZERO);
    }

    #[test]
    fn the_seed_decides_the_jitter() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(seed);
            std::array::from_fn::<_, 6, _>(|_| backoff.failed())
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}

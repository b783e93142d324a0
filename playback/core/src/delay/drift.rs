//! How fast the sender's clock and the output's run apart: a line through the fastest packets of past windows.
//!
//! The windows grow with the call, so that a small drift under strong jitter is found too, only later.

use super::baseline::Fastest;

const SLOTS: usize = 32;
/// Windows of one second that go into a slot at most: a slot of 16 s makes a line over eight minutes.
const LARGEST: u32 = 16;
/// Slots that make a line.
const FEWEST: usize = 4;
/// The slope must be so many times its own standard error to count.
const CERTAIN: f64 = 5.0;
/// Nobody's clock is off by more.
const LARGEST_SKEW: f64 = 2e-3;
/// Below this the pauses of speech are enough to make good for it: 50 ms an hour.
const SMALLEST_SKEW: f64 = 12e-6;

/// Collects the fastest packets and fits a line.
#[derive(Debug)]
pub(crate) struct Drift {
    slots: [Option<Fastest>; SLOTS],
    used: usize,
    /// Windows per slot, and those that went into the last.
    size: u32,
    filled: u32,
    skew: f64,
}

impl Drift {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [None; SLOTS],
            used: 0,
            size: 1,
            filled: 0,
            skew: 0.0,
        }
    }

    /// Growth of the offsets in seconds per second; zero where none is certain.
    pub(crate) const fn skew(&self) -> f64 {
        self.skew
    }

    /// Forgets the line, as where the path became another; the skew stays until the new line says otherwise.
    pub(crate) fn restart(&mut self) {
        *self = Self {
            skew: self.skew,
            ..Self::new()
        };
    }

    /// The clock that arrivals are told by was set forward by so many seconds, or back.
    pub(crate) fn set_clock(&mut self, forward: f64) {
        for fastest in self.slots.iter_mut().flatten() {
            fastest.set_clock(forward);
        }
    }

    /// Takes the fastest packet of a window that is over.
    pub(crate) fn observe(&mut self, fastest: Fastest) {
        if self.filled == self.size || self.used == 0 {
            self.next_slot();
        }
        self.filled += 1;
        let skew = self.skew;
        if let Some(slot) = self.slots.get_mut(self.used - 1) {
            *slot = Some(slot.map_or(fastest, |known| faster(known, fastest, skew)));
        }
        if self.filled == self.size {
            self.fit();
        }
    }

    fn next_slot(&mut self) {
        self.filled = 0;
        if self.used == SLOTS {
            if self.size < LARGEST {
                self.merge();
            } else {
                self.slots.rotate_left(1);
                self.used -= 1;
            }
        }
        if let Some(slot) = self.slots.get_mut(self.used) {
            *slot = None;
        }
        self.used += 1;
    }

    fn merge(&mut self) {
        for slot in 0..SLOTS / 2 {
            let pair = (self.slots[2 * slot], self.slots[2 * slot + 1]);
            self.slots[slot] = match pair {
                (Some(one), Some(other)) => Some(faster(one, other, self.skew)),
                (one, other) => one.or(other),
            };
        }
        self.used = SLOTS / 2;
        self.size *= 2;
    }

    /// Least squares; the slope counts where its error is small beside it.
    fn fit(&mut self) {
        let points = self.slots.iter().take(self.used).flatten();
        let count = points.clone().count();
        if count < FEWEST {
            return;
        }
        let n = count as f64;
        let mean_at = points.clone().map(|point| point.at).sum::<f64>() / n;
        let mean_offset = points.clone().map(|point| point.offset).sum::<f64>() / n;
        let spread: f64 = points.clone().map(|point| (point.at - mean_at).powi(2)).sum();
        let product: f64 = points
            .clone()
            .map(|point| (point.at - mean_at) * (point.offset - mean_offset))
            .sum();
        if spread <= 0.0 {
            return;
        }
        let slope = product / spread;
        let rest: f64 = points
            .map(|point| (point.offset - mean_offset - slope * (point.at - mean_at)).powi(2))
            .sum();
        let error = (rest / (n - 2.0) / spread).sqrt();
        let certain = slope.abs() > CERTAIN * error && (SMALLEST_SKEW..LARGEST_SKEW).contains(&slope.abs());
        if certain {
            self.skew = slope;
        } else if error < SMALLEST_SKEW {
            self.skew = 0.0;
        }
    }
}

fn faster(one: Fastest, other: Fastest, skew: f64) -> Fastest {
    if other.offset < one.offset + skew * (other.at - one.at) {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u32, skew: f64, jitter: f64) -> f64 {
        let mut drift = Drift::new();
        for n in 0..seconds {
            let at = f64::from(n);
            let wobble = f64::from(n.wrapping_mul(2_654_435_761) >> 16) / 65536.0 - 0.5;
            drift.observe(Fastest {
                at,
                offset: skew * at + jitter * wobble,
            });
        }
        drift.skew()
    }

    #[test]
    fn drift_on_a_quiet_path_is_known_after_seconds() {
        for skew in [1e-3, -1e-3, 2e-4, -5e-5] {
            assert!((after(6, skew, 1e-5) - skew).abs() < 1e-5, "{skew}");
        }
    }

    #[test]
    fn drift_under_jitter_is_known_later() {
        assert!((after(600, 2e-4, 0.02) - 2e-4).abs() < 3e-5);
    }

    #[test]
    fn jitter_alone_is_no_drift() {
        for seconds in [4, 10, 31, 33, 64, 100, 500, 2000] {
            assert!(after(seconds, 0.0, 0.05).abs() < 1e-9, "{seconds}");
        }
    }

    #[test]
    fn hours_are_followed_without_end() {
        assert!((after(20_000, 1e-4, 1e-3) - 1e-4).abs() < 1e-6);
    }
}

//! The delay of the fastest packets: what is more than theirs is jitter. A minimum over the last seconds that follows
//! the drift of the clocks.

/// Length of one window in seconds, and how many are looked at.
const WINDOW: f64 = 1.0;
const WINDOWS: usize = 10;

/// The fastest packet of a window: when it came, and its offset (arrival - timestamp), both in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fastest {
    pub(crate) at: f64,
    pub(crate) offset: f64,
}

impl Fastest {
    /// The clock was set forward by so many seconds, or back.
    pub(crate) const fn set_clock(&mut self, forward: f64) {
        self.at += forward;
        self.offset += forward;
    }
}

/// The minimum of the last ten seconds in which anything came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Baseline {
    windows: [Option<Fastest>; WINDOWS],
    begun: f64,
}

impl Baseline {
    pub(crate) const fn new() -> Self {
        Self {
            windows: [None; WINDOWS],
            begun: 0.0,
        }
    }

    /// Forgets all packets before this one.
    pub(crate) fn restart(&mut self, at: f64, offset: f64) {
        self.windows = [None; WINDOWS];
        self.windows[0] = Some(Fastest { at, offset });
        self.begun = at;
    }

    /// The clock that arrivals are told by was set forward by so many seconds, or back.
    pub(crate) fn set_clock(&mut self, forward: f64) {
        for fastest in self.windows.iter_mut().flatten() {
            fastest.set_clock(forward);
        }
        self.begun += forward;
    }

    /// Learns from a packet. `skew` is the growth of the offset in seconds per second. Answers the fastest packet of a
    /// window that is over.
    pub(crate) fn observe(&mut self, at: f64, offset: f64, skew: f64) -> Option<Fastest> {
        let mut finished = None;
        if at - self.begun >= WINDOW {
            finished = self.windows[0];
            self.windows.rotate_right(1);
            self.windows[0] = None;
            self.begun = at;
        }
        let faster = self.windows[0].is_none_or(|fastest| offset <= fastest.offset + skew * (at - fastest.at));
        if faster {
            self.windows[0] = Some(Fastest { at, offset });
        }
        finished
    }

    /// The offset that the fastest packet would have now.
    pub(crate) fn at(&self, now: f64, skew: f64) -> f64 {
        let offsets = self.windows.iter().flatten();
        let least = offsets
            .map(|fastest| fastest.offset + skew * (now - fastest.at))
            .fold(f64::INFINITY, f64::min);
        if least.is_finite() { least } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_packet_sets_the_line_until_it_is_too_long_ago() {
        let mut baseline = Baseline::new();
        baseline.restart(0.0, 0.5);
        for n in 1_u32..700 {
            baseline.observe(f64::from(n) * 0.02, 0.52, 0.0);
        }
        assert!((baseline.at(14.0, 0.0) - 0.52).abs() < 1e-9);
        baseline.observe(14.0, 0.4, 0.0);
        assert!((baseline.at(14.0, 0.0) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn drift_that_is_known_is_followed_at_once() {
        let mut baseline = Baseline::new();
        baseline.restart(0.0, 0.5);
        for n in 1_u32..450 {
            let at = f64::from(n) * 0.02;
            baseline.observe(at, 0.5 + 1e-3 * at, 1e-3);
            assert!((baseline.at(at, 1e-3) - 0.5 - 1e-3 * at).abs() < 1e-9);
        }
    }
}

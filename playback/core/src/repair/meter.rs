//! How much a path loses, and in what bursts: of packets sent for the first time, over about the last 20 seconds.

/// Weight of the newest packet: two legs send a hundred a second.
const WEIGHT: f64 = 1.0 / 2000.0;
/// Packets to be seen before one loss is a large share.
const FEWEST: f64 = 200.0;
/// Bursts of losses of late that make a path one that loses: one on each leg, however long, is an accident.
const LOSSY: f64 = 2.5;
/// Share below which losses go unnoticed.
const UNNOTICED: f64 = 0.001;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LossMeter {
    packets: f64,
    lost: f64,
    bursts: f64,
}

impl LossMeter {
    /// Takes what became of the next packet, and whether its predecessor was lost.
    pub(super) fn record(&mut self, lost: bool, predecessor_lost: bool) {
        self.packets = self.packets * (1.0 - WEIGHT) + 1.0;
        self.lost = self.lost * (1.0 - WEIGHT) + f64::from(u8::from(lost));
        self.bursts = self.bursts * (1.0 - WEIGHT) + f64::from(u8::from(lost && !predecessor_lost));
    }

    /// Share of packets lost, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.lost / self.packets.max(FEWEST)
    }

    /// Mean number of packets lost together, at least 1.
    pub(super) fn burst(&self) -> f64 {
        if self.bursts > 0.0 {
            (self.lost / self.bursts).max(1.0)
        } else {
            1.0
        }
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.bursts > LOSSY && self.share() > UNNOTICED
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::ids::Leg;

    use super::*;

    #[test]
    fn measures_share_and_bursts() {
        let mut meter = LossMeter::default();
        for number in 0..10_000 {
            let lost = |number: i32| number % 100 < 5;
            meter.record(lost(number), lost(number - 1));
        }
        assert!((meter.share() - 0.05).abs() < 0.005, "{}", meter.share());
        assert!((meter.burst() - 5.0).abs() < 0.1, "{}", meter.burst());
    }

    #[test]
    fn one_outage_of_both_legs_is_an_accident_and_more_is_a_path_that_loses() {
        let mut meter = LossMeter::default();
        for _ in Leg::BOTH {
            for number in 0..20 {
                meter.record(true, number > 0);
            }
        }
        assert!(!meter.is_lossy());
        meter.record(false, true);
        meter.record(true, false);
        assert!(meter.is_lossy());
        for _ in 0..10_000 {
            meter.record(false, false);
        }
        assert!(!meter.is_lossy(), "and after a hundred seconds that is forgotten");
    }
}

//! How long packets are to wait: the quantile of their jitter that the preset asks for, and no more than the worst of the
//! last seconds. The long memory keeps the delay steady, the worst of late lets a spike be forgotten within ten seconds.

use crate::settings::{PlayoutSettings, Policy};
use crate::units::rounded;

/// Width of a bin in seconds, and how many: two seconds in all.
const BIN: f64 = 0.0005;
const BINS: usize = 4096;
/// Time constant with which arrivals are forgotten, in seconds.
const MEMORY: f64 = 30.0;
/// All weights are divided once one grows beyond this.
const HEAVIEST: f64 = 1e100;

/// A histogram in which the newest value weighs most.
#[derive(Debug)]
struct Fading {
    bins: Box<[f64]>,
    weight: f64,
    total: f64,
}

impl Fading {
    fn new() -> Self {
        Self {
            bins: vec![0.0; BINS].into_boxed_slice(),
            weight: 1.0,
            total: 0.0,
        }
    }

    /// Takes a value; those before count less by `forgetting` (e to the minus that).
    fn record(&mut self, value: f64, forgetting: f64) {
        self.weight *= forgetting.exp();
        if self.weight > HEAVIEST {
            for bin in &mut *self.bins {
                *bin /= self.weight;
            }
            self.total /= self.weight;
            self.weight = 1.0;
        }
        if let Some(bin) = self.bins.get_mut(bin_of(value)) {
            *bin += self.weight;
            self.total += self.weight;
        }
    }

    /// Makes all values recorded so far larger by so many bins, or smaller.
    fn shift(&mut self, by: i64) {
        let distance = usize::try_from(by.unsigned_abs()).unwrap_or(BINS).min(BINS);
        let bins = &mut *self.bins;
        if by > 0 {
            let beyond: f64 = bins.iter().skip(BINS - distance).sum();
            bins.rotate_right(distance);
            bins.iter_mut().take(distance).for_each(|bin| *bin = 0.0);
            bins[BINS - 1] += beyond;
        } else {
            let below: f64 = bins.iter().take(distance).sum();
            bins.rotate_left(distance);
            bins.iter_mut().skip(BINS - distance).for_each(|bin| *bin = 0.0);
            bins[0] += below;
        }
    }

    /// The least value that at most `1 - share` of the weight exceeds.
    fn quantile(&self, share: f64) -> f64 {
        let most = self.total * (1.0 - share);
        let mut above = 0.0;
        for (index, bin) in self.bins.iter().enumerate().rev() {
            above += bin;
            if above > most {
                return (index + 1) as f64 * BIN;
            }
        }
        0.0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before"
)]
fn bin_of(value: f64) -> usize {
    (value / BIN).clamp(0.0, (BINS - 1) as f64) as usize
}

/// Windows of one second over which the worst packet is remembered.
const WORST_WINDOWS: usize = 9;

/// What may come is a little worse than what came.
const MARGIN: f64 = 0.0075;
/// Lateness comes in spikes where the worst is at least so much, and so many times what the others have, of which this is
/// the share.
const SPIKE: f64 = 0.080;
const SPIKE_SHARE: f64 = 4.0;
const OTHERS: f64 = 0.95;
/// Packets are late in bursts where the worst is as late as in spikes, and so many times what four in five have.
const BURST_SHARE: f64 = 8.0;
const FOUR_IN_FIVE: f64 = 0.8;

/// The worst of the last seconds: whatever was before, not much more than that is waited for.
#[derive(Debug, Default)]
struct Worst {
    windows: [f64; WORST_WINDOWS],
    filled: f64,
}

impl Worst {
    fn record(&mut self, value: f64, length: f64) {
        self.filled += length;
        if self.filled >= 1.0 {
            self.filled = 0.0;
            self.windows.rotate_right(1);
            self.windows[0] = 0.0;
        }
        self.windows[0] = self.windows[0].max(value);
    }

    fn shift(&mut self, by: f64) {
        for window in &mut self.windows {
            *window = (*window + by).max(0.0);
        }
    }

    fn value(&self) -> f64 {
        self.windows.iter().copied().fold(0.0, f64::max)
    }
}

/// Share of the gaps that are to be shorter than what is waited for.
const GAPS_WAITED_FOR: f64 = 0.85;
/// Gaps are expected for so long after the last, in seconds of sound.
const GAPS_EXPECTED: f64 = 9.0;
/// How long a gap is remembered, in gaps.
const GAP_MEMORY: f64 = 40.0;

/// How long the fastest packet is to wait, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) delay: f64,
    /// How much of it is there only because the user wants it.
    pub(crate) spare: f64,
    /// How much of it no packet has needed yet.
    pub(crate) precaution: f64,
}

/// What a leg's packets need. Times in seconds.
#[derive(Debug)]
pub(crate) struct Target {
    policy: Policy,
    lateness: Fading,
    /// What the preset waits for of that, and what it expects: known once for all who ask between two packets.
    usual: f64,
    expected: f64,
    worst: Worst,
    gaps: Fading,
    /// Length of the usual packet.
    packet: f64,
    /// Time of sound since the last gap.
    since_gap: f64,
    /// What the user set, and how long repairs take.
    least: f64,
    most: f64,
    repairs: f64,
}

impl Target {
    pub(crate) fn new(settings: &PlayoutSettings) -> Self {
        Self {
            policy: settings.preset.policy(),
            lateness: Fading::new(),
            usual: 0.0,
            expected: 0.0,
            worst: Worst::default(),
            gaps: Fading::new(),
            packet: 0.02,
            since_gap: f64::INFINITY,
            least: settings.min_delay.as_secs_f64(),
            most: settings.max_delay.as_secs_f64(),
            repairs: 0.0,
        }
    }

    /// Learns how much later than the fastest a packet of so many seconds came.
    pub(crate) fn observe(&mut self, lateness: f64, length: f64) {
        if length > 0.0 {
            self.packet = length.min(0.1);
        }
        self.since_gap += length;
        self.lateness.record(lateness, self.packet / MEMORY);
        self.worst.record(lateness, self.packet);
        self.weigh();
    }

    /// The fastest packets come so much later than before, or earlier: all others are less late than them, or more.
    pub(crate) fn shift(&mut self, seconds: f64) {
        self.lateness.shift(rounded(-seconds / BIN));
        self.worst.shift(-seconds);
        self.weigh();
    }

    fn weigh(&mut self) {
        let usual = self.lateness.quantile(if self.is_late_in_bursts() {
            self.policy.quantile_in_bursts
        } else {
            self.policy.quantile
        });
        let is_spike = usual > SPIKE && self.lateness.quantile(OTHERS) * SPIKE_SHARE < usual;
        self.expected = if is_spike { usual + MARGIN } else { usual };
        self.usual = usual;
    }

    /// Learns how long a gap was that loss left.
    pub(crate) fn observe_gap(&mut self, length: f64) {
        self.since_gap = 0.0;
        self.gaps.record(length, 1.0 / GAP_MEMORY);
    }

    /// Length of the usual packet.
    pub(crate) const fn packet(&self) -> f64 {
        self.packet
    }

    /// How long the fastest packet is to wait.
    pub(crate) fn delay(&self) -> f64 {
        self.wanted().delay
    }

    /// The same, and why.
    pub(crate) fn wanted(&self) -> Wanted {
        let policy = &self.policy;
        let most = policy.longest.min(self.worst.value() * policy.spike_share + MARGIN);
        let floor = policy.floor + policy.floor_in_packets * self.packet;
        let pressing = self.usual.min(most).max(self.repairs);
        let needed = self
            .expected
            .min(most)
            .max(self.gap_delay())
            .max(floor)
            .max(self.repairs);
        let delay = needed.max(self.least).min(self.most);
        Wanted {
            delay,
            spare: (delay - needed).max(0.0),
            precaution: (delay - pressing).max(0.0),
        }
    }

    /// Few packets are very late, and the others hardly: what made them late made their neighbours late, too.
    fn is_late_in_bursts(&self) -> bool {
        let worst = self.lateness.quantile(1.0);
        worst > SPIKE && self.lateness.quantile(FOUR_IN_FIVE) * BURST_SHARE < worst
    }

    /// Waits for packets that are sent again within so many seconds of being missed.
    pub(crate) fn expect_repairs(&mut self, within: Option<f64>) {
        self.repairs = within.map_or(0.0, |within| within + self.packet);
    }

    /// So long that the usual gap is over when it begins to play.
    fn gap_delay(&self) -> f64 {
        let longest = self.policy.longest_gap;
        if longest == 0.0 || self.since_gap > GAPS_EXPECTED {
            return 0.0;
        }
        self.gaps.quantile(GAPS_WAITED_FOR).min(longest) + self.packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Preset;

    fn target(preset: Preset) -> Target {
        Target::new(&PlayoutSettings {
            preset,
            ..PlayoutSettings::default()
        })
    }

    fn seconds(target: &mut Target, count: u32, lateness: f64) {
        for _ in 0..count * 50 {
            target.observe(lateness, 0.02);
        }
    }

    #[test]
    fn a_late_packet_counts_at_once_in_smooth_and_not_at_all_in_low() {
        for (preset, expected) in [(Preset::Smooth, 0.3 + MARGIN), (Preset::Low, 0.006)] {
            let mut target = target(preset);
            seconds(&mut target, 10, 0.005);
            target.observe(0.2995, 0.02);
            assert!(
                (target.delay() - expected).abs() < 0.0011,
                "{preset:?} {}",
                target.delay()
            );
        }
    }

    #[test]
    fn the_next_spike_may_be_worse_than_the_worst_and_jitter_hardly() {
        let spikes = |n: u32| if n.is_multiple_of(40) { 0.1995 } else { 0.001 };
        let jitter = |n: u32| 0.1995 * f64::from(n % 40) / 39.0;
        for preset in [Preset::Balanced, Preset::Smooth] {
            for (lateness, expected) in [(&spikes as &dyn Fn(u32) -> f64, 0.2 + MARGIN), (&jitter, 0.2)] {
                let mut target = target(preset);
                (0..500).for_each(|n| target.observe(lateness(n), 0.02));
                let delay = target.delay();
                assert!((delay - expected).abs() < 0.0011, "{preset:?} {delay}");
            }
        }
    }

    #[test]
    fn one_late_packet_in_twenty_is_not_waited_for_in_low() {
        let mut target = target(Preset::Low);
        (0..4000_u32).for_each(|n| target.observe(if n % 20 == 7 { 0.0495 } else { 0.001 }, 0.02));
        assert!(target.delay() < 0.003, "{}", target.delay());
    }

    #[test]
    fn low_waits_for_bursts_of_one_in_twenty_and_not_for_as_much_jitter() {
        // 20 s of each; the fading memory holds most of them.
        let bursts = |n: u32| if n % 200 < 10 { 0.0995 } else { 0.001 };
        let jitter = |n: u32| if n % 20 == 7 { 0.0995 } else { 0.0195 };
        for (lateness, expected) in [(&bursts as &dyn Fn(u32) -> f64, 0.1 + MARGIN), (&jitter, 0.02)] {
            let mut target = target(Preset::Low);
            (0..1000).for_each(|n| target.observe(lateness(n), 0.02));
            let delay = target.delay();
            assert!((delay - expected).abs() < 0.0011, "{delay}");
        }
    }

    #[test]
    fn low_waits_no_longer_than_a_conversation_bears_and_the_others_do() {
        for (preset, expected) in [(Preset::Low, 0.25), (Preset::Balanced, 0.5), (Preset::Smooth, 0.5)] {
            let mut target = target(preset);
            seconds(&mut target, 10, 0.4995);
            assert!(
                (target.delay() - expected).abs() < 0.0011,
                "{preset:?} {}",
                target.delay()
            );
        }
    }

    #[test]
    fn what_is_known_moves_with_the_zero_line() {
        let mut target = target(Preset::Smooth);
        seconds(&mut target, 5, 0.1005);
        let before = target.delay();
        for (moved, expected) in [(0.02, before - 0.02), (-0.05, before + 0.03), (0.5, 0.066)] {
            target.shift(moved);
            assert!((target.delay() - expected).abs() < 1e-9, "{moved} {}", target.delay());
        }
    }

    #[test]
    fn a_spike_is_forgotten_within_ten_seconds() {
        for preset in Preset::ALL {
            let mut target = target(preset);
            seconds(&mut target, 10, 0.005);
            let before = target.delay();
            for _ in 0..10 {
                target.observe(0.2, 0.02);
            }
            seconds(&mut target, 10, 0.005);
            assert!(
                (target.delay() - before).abs() < 0.0011,
                "{preset:?} {}",
                target.delay()
            );
        }
    }

    #[test]
    fn smooth_waits_for_the_usual_gap_and_only_while_there_are_gaps() {
        let mut target = target(Preset::Smooth);
        seconds(&mut target, 10, 0.001);
        assert!((target.delay() - 0.066).abs() < 1e-9);
        for _ in 0..20 {
            target.observe_gap(0.0999);
            seconds(&mut target, 1, 0.001);
        }
        assert!((target.delay() - 0.12).abs() < 0.0011, "{}", target.delay());
        seconds(&mut target, 30, 0.001);
        assert!((target.delay() - 0.066).abs() < 1e-9);
    }
}

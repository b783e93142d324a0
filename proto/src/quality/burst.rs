//! Bursts and gaps among packets (RFC 3611 section 4.7.2), counted as the packets pass.
//!
//! A burst begins and ends with a packet lost or discarded, and never has [`GMIN`] packets in a row that came; all else
//! is gap, packets lost alone included. Appendix A.2 gets there by counting transitions of a Markov chain; this keeps the
//! stretch that may yet become a burst instead, and so gets the mean lengths without rounding at their ends.

use serde::{Deserialize, Serialize};

use super::e_model::PacketLoss;

/// Gmin, the gap threshold: packets in a row that end a burst (RFC 3611 section 4.7.2 recommends 16).
pub const GMIN: u64 = 16;

/// What became of packets, counted; all that the metrics of RFC 3611 section 4.7 are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossCounts {
    /// Packets expected.
    pub packets: u64,
    /// Of those, packets that never came.
    pub lost: u64,
    /// Of those, packets that came, but too late to be played.
    pub discarded: u64,
    /// Runs of packets missing in a row, of one or more.
    pub runs: u64,
    /// Bursts.
    pub bursts: u64,
    /// Packets within bursts.
    pub burst_packets: u64,
    /// Packets missing within bursts.
    pub burst_missing: u64,
    /// Gaps between bursts, before the first and after the last.
    pub gaps: u64,
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl LossCounts {
    /// Packets lost or discarded.
    pub const fn missing(&self) -> u64 {
        self.lost + self.discarded
    }

    /// Share of the packets that never came, 0 to 1.
    pub fn loss_rate(&self) -> f64 {
        share(self.lost, self.packets)
    }

    /// Share of the packets that came too late, 0 to 1.
    pub fn discard_rate(&self) -> f64 {
        share(self.discarded, self.packets)
    }

    /// Share of the packets within bursts that are missing, 0 to 1.
    pub fn burst_density(&self) -> f64 {
        share(self.burst_missing, self.burst_packets)
    }

    /// Share of the packets outside bursts that are missing, 0 to 1.
    pub fn gap_density(&self) -> f64 {
        let missing = self.missing().saturating_sub(self.burst_missing);
        share(missing, self.packets.saturating_sub(self.burst_packets))
    }

    /// Mean length of a burst in packets; 0 without any.
    pub fn burst_length(&self) -> f64 {
        share(self.burst_packets, self.bursts)
    }

    /// Mean length of a gap in packets.
    pub fn gap_length(&self) -> f64 {
        share(self.packets.saturating_sub(self.burst_packets), self.gaps)
    }

    /// What the E-model takes: Ppl, and BurstR as the mean length of runs over that of random loss (G.107 clause 7.5).
    pub fn packet_loss(&self) -> PacketLoss {
        let missing = share(self.missing(), self.packets).min(1.0);
        let length = share(self.missing(), self.runs);
        PacketLoss {
            percent: missing * 100.0,
            burst_ratio: (length * (1.0 - missing)).max(1.0),
        }
    }

    /// What both together do to the same packets, where each counted what the other didn't miss.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        Self {
            packets: self.packets.max(other.packets),
            lost: self.lost + other.lost,
            discarded: self.discarded + other.discarded,
            runs: self.runs + other.runs,
            bursts: self.bursts + other.bursts,
            burst_packets: self.burst_packets + other.burst_packets,
            burst_missing: self.burst_missing + other.burst_missing,
            gaps: match (self.gaps, other.gaps) {
                (0, gaps) | (gaps, 0) => gaps,
                (own, others) => own + others - 1,
            },
        }
    }
}

/// The state machine: told of each packet in the order of the sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BurstMeter {
    /// All packets, and the bursts that are over.
    done: LossCounts,
    /// Packets that came since the last missing one.
    since: u64,
    /// The stretch from the first of some missing packets to the last that may be a burst: its packets, those missing.
    stretch: u64,
    stretch_missing: u64,
    /// Packets counted when the burst before ended.
    gap_from: u64,
}

impl BurstMeter {
    /// A packet came and could be played.
    pub const fn received(&mut self) {
        self.done.packets += 1;
        self.since += 1;
    }

    /// A packet never came.
    pub const fn lost(&mut self) {
        self.done.lost += 1;
        self.miss();
    }

    /// A packet came too late.
    pub const fn discarded(&mut self) {
        self.done.discarded += 1;
        self.miss();
    }

    /// A packet taken for lost came after all, but too late.
    pub const fn came_late(&mut self) {
        if self.done.lost > 0 {
            self.done.lost -= 1;
            self.done.discarded += 1;
        }
    }

    const fn miss(&mut self) {
        if self.stretch_missing == 0 || self.since > 0 {
            self.done.runs += 1;
        }
        if self.stretch_missing > 0 && self.since < GMIN {
            self.stretch += self.since + 1;
            self.stretch_missing += 1;
        } else {
            self.close();
            self.stretch = 1;
            self.stretch_missing = 1;
        }
        self.done.packets += 1;
        self.since = 0;
    }

    /// The stretch is over: a burst, or a packet lost alone, which belongs to the gap.
    const fn close(&mut self) {
        if self.stretch_missing < 2 {
            return;
        }
        let end = self.done.packets - self.since;
        self.done.gaps += (end - self.stretch > self.gap_from) as u64;
        self.done.bursts += 1;
        self.done.burst_packets += self.stretch;
        self.done.burst_missing += self.stretch_missing;
        self.gap_from = end;
    }

    /// The counts, as if the stream ended here.
    pub const fn counts(&self) -> LossCounts {
        let mut ended = *self;
        ended.close();
        ended.done.gaps += (ended.done.packets > ended.gap_from) as u64;
        ended.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `1` came, `0` was lost, `X` was discarded, as RFC 3611 writes it.
    fn measure(fates: &str) -> LossCounts {
        let mut meter = BurstMeter::default();
        for fate in fates.chars() {
            match fate {
                '1' => meter.received(),
                '0' => meter.lost(),
                _ => meter.discarded(),
            }
        }
        meter.counts()
    }

    /// The example of RFC 3611 section 4.7.2: 64 packets of 10 ms. Loss and discard rate 12 of 256, burst density 0.33,
    /// gap density 0.04, burst duration 120 ms, gaps of 230 and 290 ms.
    #[test]
    fn the_example_of_the_rfc_comes_out_as_it_says() {
        let counts = measure("11110111111111111111111X111X1011110111111111111111111X1111111111");
        assert_eq!((counts.packets, counts.lost, counts.discarded), (64, 3, 3));
        assert_eq!(
            (counts.loss_rate() * 256.0, counts.discard_rate() * 256.0),
            (12.0, 12.0)
        );
        assert_eq!((counts.bursts, counts.gaps), (1, 2));
        assert_eq!((counts.burst_length(), counts.gap_length()), (12.0, 26.0));
        assert_eq!((counts.burst_missing, counts.burst_packets), (4, 12));
        assert!((counts.gap_density() - 2.0 / 52.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_and_a_flawless_stream_have_no_bursts() {
        assert_eq!(measure(""), LossCounts::default());
        let counts = measure(&"1".repeat(100));
        assert_eq!((counts.bursts, counts.gaps, counts.gap_length()), (0, 1, 100.0));
        assert_eq!(counts.packet_loss(), PacketLoss::NONE);
    }

    #[test]
    fn sixteen_packets_end_a_burst_and_fifteen_dont() {
        let apart = |received: usize| measure(&format!("1100{}0011", "1".repeat(received)));
        assert_eq!((apart(15).bursts, apart(15).burst_packets), (1, 19));
        assert_eq!((apart(16).bursts, apart(16).burst_packets), (2, 4));
    }

    #[test]
    fn packets_lost_alone_belong_to_the_gap() {
        let alone = format!("{0}0{0}X{0}", "1".repeat(16));
        let counts = measure(&alone);
        assert_eq!((counts.bursts, counts.gaps, counts.runs), (0, 1, 2));
        assert!((counts.gap_density() - 2.0 / 50.0).abs() < 1e-12);
    }

    #[test]
    fn a_stream_that_begins_or_ends_in_a_burst_has_no_gap_there() {
        assert_eq!(measure(&format!("00{}", "1".repeat(20))).gaps, 1);
        assert_eq!(measure(&format!("{}00", "1".repeat(20))).gaps, 1);
        assert_eq!(measure("00").gaps, 0);
    }

    #[test]
    fn burst_ratio_compares_runs_with_those_of_random_loss() {
        let single = measure(&"1111111110".repeat(100)).packet_loss();
        assert!((single.percent - 10.0).abs() < 1e-9 && (single.burst_ratio - 1.0).abs() < 1e-9);
        let threes = measure(&format!("{}000", "1".repeat(27)).repeat(100)).packet_loss();
        assert!((threes.percent - 10.0).abs() < 1e-9 && (threes.burst_ratio - 2.7).abs() < 1e-9);
    }

    #[test]
    fn a_lost_packet_that_comes_after_all_was_discarded() {
        let mut meter = BurstMeter::default();
        meter.received();
        meter.lost();
        let before = meter.counts();
        meter.came_late();
        let after = meter.counts();
        assert_eq!((after.lost, after.discarded, after.runs), (0, 1, before.runs));
        meter.came_late();
        assert_eq!(meter.counts(), after);
    }

    #[test]
    fn two_places_of_loss_add_up() {
        let relay = measure(&format!("{}00{}", "1".repeat(20), "1".repeat(28)));
        let mirror = measure(&format!("{}0{}", "1".repeat(40), "1".repeat(9)));
        let joined = relay.joined(&mirror);
        assert_eq!((joined.packets, joined.missing(), joined.runs), (50, 3, 2));
        assert_eq!((joined.bursts, joined.gaps), (1, 2));
        assert_eq!(relay.joined(&LossCounts::default()), relay);
        assert_eq!(
            LossCounts::default().joined(&LossCounts::default()),
            LossCounts::default()
        );
    }

    /// Bursts by their definition: looked for in the whole sequence at once.
    fn brute_force(missing: &[bool]) -> (u64, u64, u64, u64, u64) {
        let mut bursts: Vec<(usize, usize, u64)> = Vec::new();
        let places: Vec<usize> = (0..missing.len()).filter(|&at| missing[at]).collect();
        for &at in &places {
            match bursts.last_mut() {
                Some((_, end, count)) if at - *end <= 16 => (*end, *count) = (at, *count + 1),
                _ => bursts.push((at, at, 1)),
            }
        }
        bursts.retain(|&(_, _, count)| count > 1);
        let in_burst = |at: usize| bursts.iter().any(|&(from, to, _)| (from..=to).contains(&at));
        let begins = |is: &dyn Fn(usize) -> bool| {
            (0..missing.len())
                .filter(|&at| is(at) && (at == 0 || !is(at - 1)))
                .count() as u64
        };
        (
            bursts.len() as u64,
            (0..missing.len()).filter(|&at| in_burst(at)).count() as u64,
            places.iter().filter(|&&at| in_burst(at)).count() as u64,
            begins(&|at| !in_burst(at)),
            begins(&|at| missing[at]),
        )
    }

    /// Transitions between the states of RFC 3611 appendix A.2: 1 came in a gap, 2 came in a burst, 3 lost in a burst, 4
    /// lost in a gap.
    #[derive(Default)]
    struct Transitions {
        c13: f64,
        c22: f64,
        c23: f64,
        c33: f64,
    }

    impl Transitions {
        /// `missing` begins with a gap, and its last burst is followed by a lone loss.
        fn of(missing: &[bool]) -> Self {
            let mut counts = Self::default();
            let (mut came, mut lost) = (0_u32, 0);
            for &is_missing in missing {
                if !is_missing {
                    came += 1;
                    continue;
                }
                if came >= 16 {
                    counts.c13 += f64::from(u8::from(lost > 1));
                    lost = 1;
                } else if came == 0 {
                    counts.c33 += 1.0;
                    lost += 1;
                } else {
                    counts.c23 += 1.0;
                    counts.c22 += f64::from(came - 1);
                    lost += 1;
                }
                came = 0;
            }
            counts
        }

        fn burst_density(&self) -> f64 {
            let (c31, c32) = (self.c13, self.c23);
            let p32 = c32 / (c31 + c32 + self.c33);
            let p23 = if self.c22 + self.c23 < 1.0 {
                1.0
            } else {
                1.0 - self.c22 / (self.c22 + self.c23)
            };
            p23 / (p23 + p32)
        }

        /// In packets.
        fn burst_length(&self) -> f64 {
            let (c31, c32) = (self.c13, self.c23);
            (self.c22 + self.c23 + c31 + c32 + self.c33) / self.c13
        }
    }

    proptest! {
        #[test]
        fn counting_as_packets_pass_finds_what_looking_at_all_of_them_finds(
            // Gaps of all lengths about Gmin.
            runs in proptest::collection::vec((0usize..40, 1usize..4), 0..40), tail in 0usize..40,
        ) {
            let mut missing = Vec::new();
            for (received, lost) in runs {
                missing.extend(std::iter::repeat_n(false, received));
                missing.extend(std::iter::repeat_n(true, lost));
            }
            missing.extend(std::iter::repeat_n(false, tail));
            let mut meter = BurstMeter::default();
            for &is_missing in &missing {
                if is_missing { meter.lost() } else { meter.received() }
            }
            let counts = meter.counts();
            let found = (counts.bursts, counts.burst_packets, counts.burst_missing, counts.gaps, counts.runs);
            prop_assert_eq!(found, brute_force(&missing));
            prop_assert_eq!(counts.packets, missing.len() as u64);
        }

        #[test]
        fn density_and_length_of_bursts_are_those_of_the_rfcs_transitions(
            runs in proptest::collection::vec((0usize..40, 1usize..4), 1..40),
        ) {
            let mut missing = vec![false; 16];
            missing.extend([true, true]);
            for (received, lost) in runs {
                missing.extend(std::iter::repeat_n(false, received));
                missing.extend(std::iter::repeat_n(true, lost));
            }
            missing.extend([false; 16]);
            missing.push(true);
            let mut meter = BurstMeter::default();
            for &is_missing in &missing {
                if is_missing { meter.lost() } else { meter.received() }
            }
            let (counts, transitions) = (meter.counts(), Transitions::of(&missing));
            prop_assert!((counts.burst_density() - transitions.burst_density()).abs() < 1e-9);
            prop_assert!((counts.burst_length() - transitions.burst_length()).abs() < 1e-9);
        }
    }
}

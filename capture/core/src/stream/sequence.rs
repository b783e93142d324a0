//! Extended sequence numbers of one stream: fresh, reordered or duplicate, and how many are missing (RFC 3550 A.1, A.3).
//!
//! Unlike A.1 a packet far from the others is never held back: whether it is a straggler or the first of a restarted
//! sender is told from its timestamp, at once, so that no audio is lost.

use silentmon_proto::ids::{RtpTimestamp, SequenceNumber};

/// Largest forward step still taken for loss (RFC 3550 A.1 `MAX_DROPOUT`).
pub const MAX_DROPOUT: u16 = 3000;
/// Largest backward step still taken for reordering (RFC 3550 A.1 `MAX_MISORDER`).
pub const MAX_MISORDER: u16 = 100;
/// Packets in sequence that make a source valid (RFC 3550 A.1 `MIN_SEQUENTIAL`).
pub const MIN_SEQUENTIAL: u8 = 2;

const WINDOW: u64 = 256;
const WORDS: usize = 4;
/// Extended numbers start in the second cycle, so that packets overtaken by the first one have numbers too.
const FIRST_CYCLE: u64 = 1 << 16;

/// What a packet's sequence number says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Not seen before, and newer than all others.
    Fresh,
    /// Not seen before, but newer ones were.
    Reordered,
    /// Seen before: a copy by the mirror, or sent twice.
    Duplicate,
    /// So old that nobody remembers whether it was seen before.
    Late,
}

impl Freshness {
    /// Whether the packet is the first with its number.
    pub const fn is_new(self) -> bool {
        matches!(self, Self::Fresh | Self::Reordered)
    }
}

/// What the tracker made of a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    /// New, copy or straggler.
    pub freshness: Freshness,
    /// Sequence number with its cycles; never runs backwards over a restart.
    pub extended: u64,
    /// Whether the sender began to count anew with this packet.
    pub restarted: bool,
    /// Whether it directly follows the newest packet before it.
    pub follows: bool,
}

/// The sequence numbers of one stream.
#[derive(Debug, Clone)]
pub struct SequenceTracker {
    lowest: u64,
    highest: u64,
    newest_timestamp: u32,
    window: [u64; WORDS],
    expected_before: u64,
    unique: u64,
    duplicates: u64,
    reordered: u64,
    restarts: u32,
    first: SequenceNumber,
}

impl SequenceTracker {
    /// Starts with the first packet of a stream.
    pub fn new(sequence: SequenceNumber, timestamp: RtpTimestamp) -> Self {
        let extended = FIRST_CYCLE + u64::from(sequence.0);
        let mut tracker = Self {
            lowest: extended,
            highest: extended,
            newest_timestamp: timestamp.0,
            window: [0; WORDS],
            expected_before: 0,
            unique: 1,
            duplicates: 0,
            reordered: 0,
            restarts: 0,
            first: sequence,
        };
        tracker.mark(extended);
        tracker
    }

    /// Takes the next packet's numbers.
    pub fn handle(&mut self, sequence: SequenceNumber, timestamp: RtpTimestamp) -> Sequenced {
        let ahead = sequence.0.wrapping_sub(low(self.highest));
        if (1..MAX_DROPOUT).contains(&ahead) {
            return self.advance(u64::from(ahead), timestamp);
        }
        let behind = low(self.highest).wrapping_sub(sequence.0);
        if u64::from(behind) < WINDOW && (behind <= MAX_MISORDER || self.is_straggler(timestamp)) {
            return self.look_back(u64::from(behind));
        }
        if behind < MAX_DROPOUT && self.is_straggler(timestamp) {
            self.reordered += 1;
            return Sequenced {
                freshness: Freshness::Late,
                extended: self.highest.saturating_sub(u64::from(behind)),
                restarted: false,
                follows: false,
            };
        }
        self.restart(sequence, timestamp)
    }

    /// Packets with a number of their own.
    pub const fn unique(&self) -> u64 {
        self.unique
    }

    /// Packets whose number had been seen.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets, copies included, that arrived after newer ones.
    pub const fn reordered(&self) -> u64 {
        self.reordered
    }

    /// How often the sender began to count anew.
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Packets the sender must have sent: highest minus lowest extended number plus one (RFC 3550 A.3).
    pub const fn expected(&self) -> u64 {
        self.expected_before + (self.highest - self.lowest + 1)
    }

    /// Packets that never arrived.
    pub const fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.unique)
    }

    /// Lowest number of the stream.
    pub const fn first(&self) -> SequenceNumber {
        self.first
    }

    /// Highest number of the stream.
    pub const fn last(&self) -> SequenceNumber {
        SequenceNumber(low(self.highest))
    }

    /// Highest number with its cycles.
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    fn advance(&mut self, by: u64, timestamp: RtpTimestamp) -> Sequenced {
        for passed in 1..=by.min(WINDOW) {
            self.clear(self.highest + by + 1 - passed);
        }
        self.highest += by;
        self.newest_timestamp = timestamp.0;
        self.unique += 1;
        self.mark(self.highest);
        Sequenced {
            freshness: Freshness::Fresh,
            extended: self.highest,
            restarted: false,
            follows: by == 1,
        }
    }

    fn look_back(&mut self, behind: u64) -> Sequenced {
        let extended = self.highest.saturating_sub(behind);
        self.reordered += u64::from(behind > 0);
        let freshness = if self.is_marked(extended) {
            self.duplicates += 1;
            Freshness::Duplicate
        } else {
            self.mark(extended);
            self.unique += 1;
            self.note_lowest(extended);
            Freshness::Reordered
        };
        Sequenced {
            freshness,
            extended,
            restarted: false,
            follows: false,
        }
    }

    fn note_lowest(&mut self, extended: u64) {
        if extended < self.lowest {
            self.lowest = extended;
            if self.restarts == 0 {
                self.first = SequenceNumber(low(extended));
            }
        }
    }

    fn restart(&mut self, sequence: SequenceNumber, timestamp: RtpTimestamp) -> Sequenced {
        self.expected_before = self.expected();
        let next_cycle = (self.highest | 0xffff) + 1;
        self.highest = next_cycle + FIRST_CYCLE + u64::from(sequence.0);
        self.lowest = self.highest;
        self.newest_timestamp = timestamp.0;
        self.window = [0; WORDS];
        self.mark(self.highest);
        self.unique += 1;
        self.restarts = self.restarts.saturating_add(1);
        Sequenced {
            freshness: Freshness::Fresh,
            extended: self.highest,
            restarted: true,
            follows: false,
        }
    }

    /// An old packet has an old timestamp; a restarted sender picks a new one at random (RFC 3550 section 5.1).
    fn is_straggler(&self, timestamp: RtpTimestamp) -> bool {
        const ONE_MINUTE_AT_90_KHZ: u32 = 60 * 90_000;
        self.newest_timestamp.wrapping_sub(timestamp.0) < ONE_MINUTE_AT_90_KHZ
    }

    fn mark(&mut self, extended: u64) {
        if let Some(word) = self.window.get_mut(word_of(extended)) {
            *word |= bit_of(extended);
        }
    }

    fn clear(&mut self, extended: u64) {
        if let Some(word) = self.window.get_mut(word_of(extended)) {
            *word &= !bit_of(extended);
        }
    }

    fn is_marked(&self, extended: u64) -> bool {
        self.window
            .get(word_of(extended))
            .is_some_and(|word| word & bit_of(extended) != 0)
    }
}

#[allow(clippy::cast_possible_truncation)]
const fn low(extended: u64) -> u16 {
    extended as u16
}

#[allow(clippy::cast_possible_truncation)]
const fn word_of(extended: u64) -> usize {
    ((extended % WINDOW) / 64) as usize
}

const fn bit_of(extended: u64) -> u64 {
    1 << (extended % 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence(number: u16) -> SequenceNumber {
        SequenceNumber(number)
    }

    fn run(numbers: &[(u16, u32)]) -> (SequenceTracker, Vec<Freshness>) {
        let (first, rest) = numbers.split_first().expect("at least one");
        let mut tracker = SequenceTracker::new(sequence(first.0), RtpTimestamp(first.1));
        let freshness = rest
            .iter()
            .map(|&(number, timestamp)| tracker.handle(sequence(number), RtpTimestamp(timestamp)).freshness)
            .collect();
        (tracker, freshness)
    }

    #[test]
    fn counts_loss_over_the_wrap_of_the_sequence_number() {
        let (tracker, freshness) = run(&[(65533, 0), (65534, 160), (1, 640), (2, 800)]);
        assert_eq!(freshness, [Freshness::Fresh; 3]);
        assert_eq!((tracker.expected(), tracker.unique(), tracker.lost()), (6, 4, 2));
        assert_eq!((tracker.first(), tracker.last()), (sequence(65533), sequence(2)));
    }

    #[test]
    fn tells_duplicates_from_reordered_packets() {
        let (tracker, freshness) = run(&[(10, 0), (12, 320), (11, 160), (11, 160), (12, 320), (13, 480)]);
        let expected = [
            Freshness::Fresh,
            Freshness::Reordered,
            Freshness::Duplicate,
            Freshness::Duplicate,
            Freshness::Fresh,
        ];
        assert_eq!(freshness, expected);
        assert_eq!((tracker.duplicates(), tracker.reordered(), tracker.lost()), (2, 2, 0));
    }

    #[test]
    fn an_old_packet_sent_again_hides_no_loss() {
        let (tracker, freshness) = run(&[(62, 0), (63, 160), (64, 320), (62, 0), (66, 640)]);
        assert_eq!(freshness.get(2), Some(&Freshness::Duplicate));
        assert_eq!((tracker.duplicates(), tracker.lost()), (1, 1));
    }

    #[test]
    fn a_packet_overtaken_by_the_first_one_lowers_the_start() {
        let (tracker, freshness) = run(&[(0, 160), (65535, 0), (1, 320)]);
        assert_eq!(freshness, [Freshness::Reordered, Freshness::Fresh]);
        assert_eq!(tracker.first(), sequence(65535));
        assert_eq!(tracker.lost(), 0);
    }

    #[test]
    fn a_restarted_sender_is_heard_from_its_first_packet_and_nothing_counts_as_lost() {
        let (tracker, freshness) = run(&[(100, 0), (101, 160), (40_000, 9_000_000), (40_001, 9_000_160)]);
        assert_eq!(freshness, [Freshness::Fresh; 3]);
        assert_eq!((tracker.restarts(), tracker.lost(), tracker.unique()), (1, 0, 4));
    }

    #[test]
    fn a_very_late_packet_restarts_nothing() {
        let (tracker, freshness) = run(&[(1000, 160_000), (2000, 320_000), (1500, 240_000), (2001, 320_160)]);
        assert_eq!(freshness, [Freshness::Fresh, Freshness::Late, Freshness::Fresh]);
        assert_eq!(tracker.restarts(), 0);
    }

    #[test]
    fn forgets_numbers_that_left_the_window() {
        let (mut tracker, _) = run(&[(0, 0), (1, 160)]);
        for number in 2..2000u16 {
            let sequenced = tracker.handle(sequence(number), RtpTimestamp(u32::from(number) * 160));
            assert_eq!(sequenced.freshness, Freshness::Fresh);
        }
        assert_eq!((tracker.unique(), tracker.lost()), (2000, 0));
    }

    proptest! {
        #[test]
        fn any_numbers_keep_the_books_balanced(numbers in proptest::collection::vec(any::<(u16, u32)>(), 1..400)) {
            let (tracker, freshness) = run(&numbers);
            let new = freshness.iter().filter(|freshness| freshness.is_new()).count() as u64 + 1;
            prop_assert_eq!(tracker.unique(), new);
            prop_assert!(tracker.expected() >= tracker.unique());
        }

        #[test]
        fn every_packet_sent_again_within_the_window_is_a_duplicate(start: u16, back in 0u16..100) {
            let mut tracker = SequenceTracker::new(sequence(start), RtpTimestamp(0));
            for step in 1..300u16 {
                tracker.handle(sequence(start.wrapping_add(step)), RtpTimestamp(u32::from(step) * 160));
                let again = step.saturating_sub(back);
                let copy = tracker.handle(sequence(start.wrapping_add(again)), RtpTimestamp(u32::from(again) * 160));
                prop_assert_eq!(copy.freshness, Freshness::Duplicate);
            }
            prop_assert_eq!((tracker.unique(), tracker.duplicates(), tracker.lost()), (300, 299, 0));
        }

        #[test]
        fn a_shuffled_neighbourhood_is_neither_lost_nor_duplicate(start: u16, swaps in proptest::collection::vec(0usize..90, 0..20)) {
            let mut order: Vec<u16> = (0..100).collect();
            for at in swaps {
                order.swap(at, at + 7);
            }
            let numbers: Vec<_> = order
                .iter()
                .map(|&step| (start.wrapping_add(step), 1_000_000 + u32::from(step) * 160))
                .collect();
            let (tracker, _) = run(&numbers);
            prop_assert_eq!((tracker.unique(), tracker.lost(), tracker.duplicates()), (100, 0, 0));
        }
    }
}

//! Numbers that wrap, kept in order: which packet is new, a duplicate, reordered or from a restarted sender, and how many
//! are missing (RFC 3550 appendix A.1 and A.3). Used for RTP sequence numbers and for the relay's own.

/// How far back a duplicate or reordered number is recognised; further back means a restarted sender.
const WINDOW: usize = 512;
const WINDOW_SPAN: i64 = 512;

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first, or higher than all before.
    Newest,
    /// Lower than the highest, and not seen before.
    Reordered,
    /// Seen before.
    Duplicate,
    /// The sender began to count anew; nothing before this number matters any longer.
    Restarted,
    /// Out of any order. Were its successor to follow, the sender would have restarted (RFC 3550 A.1).
    Suspect,
}

/// A number and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// The number without its wrap, comparable until the next restart.
    pub extended: i64,
    /// Which run of numbers it belongs to; counts the restarts.
    pub run: u32,
    /// What it means.
    pub order: Order,
}

/// Where one run of numbers stands.
#[derive(Debug, Clone, Copy)]
struct Run {
    lowest: i64,
    highest: i64,
    unique: u64,
}

/// The last numbers of one source.
#[derive(Debug, Clone)]
pub struct SequenceWindow {
    modulus: i64,
    max_dropout: i64,
    run: Option<Run>,
    /// The tag (RTP timestamp) under which each of the last numbers was seen.
    seen: Box<[Option<u32>; WINDOW]>,
    suspect: Option<i64>,
    runs: u32,
    settled: u64,
}

impl SequenceWindow {
    /// For RTP sequence numbers: 16 bits, a jump of more than 3000 is a restart (`MAX_DROPOUT`).
    pub fn rtp() -> Self {
        Self::new(1 << 16, 3000)
    }

    /// For the relay's numbers: 32 bits.
    pub fn relay() -> Self {
        Self::new(1 << 32, 1 << 24)
    }

    fn new(modulus: i64, max_dropout: i64) -> Self {
        Self {
            modulus,
            max_dropout,
            run: None,
            seen: Box::new([None; WINDOW]),
            suspect: None,
            runs: 0,
            settled: 0,
        }
    }

    /// Takes the next number. `tag` tells a duplicate from a new packet of the same number: a duplicate has the same.
    pub fn record(&mut self, number: u32, tag: u32) -> Numbered {
        let number = i64::from(number);
        let Some(run) = self.run else {
            return self.begin(number, tag, Order::Newest);
        };
        let delta = self.signed_distance(run.highest, number);
        let extended = run.highest + delta;
        let order = match delta {
            ..=0 if delta <= -WINDOW_SPAN => return self.suspect(number, tag),
            ..=0 => match self.tag(extended) {
                Some(seen) if seen == tag => Order::Duplicate,
                Some(_) => return self.suspect(number, tag),
                None => Order::Reordered,
            },
            _ if delta > self.max_dropout => return self.begin(number, tag, Order::Restarted),
            _ => Order::Newest,
        };
        self.enter(run, extended, order, tag);
        self.numbered(extended, order)
    }

    fn enter(&mut self, mut run: Run, extended: i64, order: Order, tag: u32) {
        self.suspect = None;
        if order == Order::Duplicate {
            return;
        }
        for skipped in (run.highest + 1..extended).rev().take(WINDOW) {
            self.set(skipped, None);
        }
        self.set(extended, Some(tag));
        run.highest = run.highest.max(extended);
        run.lowest = run.lowest.min(extended);
        run.unique += 1;
        self.run = Some(run);
    }

    fn suspect(&mut self, number: i64, tag: u32) -> Numbered {
        if self.suspect == Some(number) {
            return self.begin(number, tag, Order::Restarted);
        }
        self.suspect = Some((number + 1) % self.modulus);
        self.numbered(number, Order::Suspect)
    }

    fn begin(&mut self, number: i64, tag: u32, order: Order) -> Numbered {
        self.restart();
        self.set(number, Some(tag));
        self.run = Some(Run {
            lowest: number,
            highest: number,
            unique: 1,
        });
        self.numbered(number, order)
    }

    const fn numbered(&self, extended: i64, order: Order) -> Numbered {
        Numbered {
            extended,
            run: self.runs,
            order,
        }
    }

    /// Forgets the run, keeping what it lost: another source follows.
    pub fn restart(&mut self) {
        self.settled = self.lost();
        self.runs = self.runs.wrapping_add(1);
        self.run = None;
        self.suspect = None;
        self.seen.fill(None);
    }

    /// Numbers expected and not seen so far, restarts not counted (RFC 3550 A.3).
    pub fn lost(&self) -> u64 {
        self.settled
            + self.run.map_or(0, |run| {
                (run.highest - run.lowest + 1).unsigned_abs().saturating_sub(run.unique)
            })
    }

    /// Whether any number strictly between the two wasn't seen. Of a run that is over only the gap is known.
    pub fn misses_between(&self, run: u32, earlier: i64, later: i64) -> bool {
        if run != self.runs {
            return later - earlier > 1;
        }
        let highest = self.run.map_or(later, |run| run.highest);
        earlier < highest - WINDOW_SPAN || (earlier + 1..later).any(|number| self.tag(number).is_none())
    }

    fn tag(&self, extended: i64) -> Option<u32> {
        self.seen.get(slot(extended)).copied().flatten()
    }

    fn set(&mut self, extended: i64, tag: Option<u32>) {
        if let Some(slot) = self.seen.get_mut(slot(extended)) {
            *slot = tag;
        }
    }

    /// From `from` to `to` the shorter way round.
    fn signed_distance(&self, from: i64, to: i64) -> i64 {
        let forward = (to - from).rem_euclid(self.modulus);
        if forward < self.modulus / 2 {
            forward
        } else {
            forward - self.modulus
        }
    }
}

fn slot(extended: i64) -> usize {
    usize::try_from(extended.rem_euclid(WINDOW_SPAN)).unwrap_or(0)
}

/// A 32 bit RTP timestamp without its wrap.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimestampUnwrapper {
    last: Option<i64>,
}

impl TimestampUnwrapper {
    /// The timestamp nearest to the one before.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let extended = match self.last {
            None => i64::from(timestamp),
            Some(last) => last + i64::from(signed_difference(timestamp, last)),
        };
        self.last = Some(extended);
        extended
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "modulo 2^32 is meant"
)]
const fn signed_difference(timestamp: u32, last: i64) -> i32 {
    timestamp.wrapping_sub(last as u32).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(window: &mut SequenceWindow, numbers: &[u32]) -> Vec<Order> {
        numbers.iter().map(|&n| window.record(n, n).order).collect()
    }

    #[test]
    fn counts_losses_over_the_wrap() {
        let mut window = SequenceWindow::rtp();
        assert_eq!(window.record(65534, 0).extended, 65534);
        assert_eq!(window.record(1, 1).extended, 65537);
        assert_eq!(window.lost(), 2);
        assert_eq!(window.record(65535, 2).order, Order::Reordered);
        assert_eq!(window.lost(), 1);
    }

    #[test]
    fn reordering_before_the_first_number_is_no_loss() {
        let mut window = SequenceWindow::rtp();
        assert_eq!(
            orders(&mut window, &[5, 4, 6, 4, 3]),
            [
                Order::Newest,
                Order::Reordered,
                Order::Newest,
                Order::Duplicate,
                Order::Reordered
            ]
        );
        assert_eq!(window.lost(), 0);
    }

    #[test]
    fn a_sender_that_counts_anew_is_believed_at_its_second_packet() {
        let mut window = SequenceWindow::rtp();
        window.record(20_000, 0);
        window.record(20_002, 0);
        assert_eq!(
            orders(&mut window, &[7, 8, 9]),
            [Order::Suspect, Order::Restarted, Order::Newest]
        );
        assert_eq!(window.lost(), 1);
    }

    #[test]
    fn a_restart_within_the_window_is_told_from_duplicates_by_its_timestamps() {
        let mut window = SequenceWindow::rtp();
        for number in 0..100 {
            window.record(number, number * 160);
        }
        let orders: Vec<_> = (50..53).map(|n| window.record(n, 1_000_000 + n * 160).order).collect();
        assert_eq!(orders, [Order::Suspect, Order::Restarted, Order::Newest]);
    }

    #[test]
    fn one_stray_packet_changes_nothing() {
        let mut window = SequenceWindow::rtp();
        orders(&mut window, &[30_000, 30_001]);
        assert_eq!(
            orders(&mut window, &[5, 30_002, 6, 30_003]),
            [Order::Suspect, Order::Newest, Order::Suspect, Order::Newest]
        );
        assert_eq!(window.lost(), 0);
    }

    #[test]
    fn a_long_gap_is_a_loss_and_a_longer_one_a_restart() {
        let mut window = SequenceWindow::rtp();
        assert_eq!(
            orders(&mut window, &[0, 3000, 9000]),
            [Order::Newest, Order::Newest, Order::Restarted]
        );
        assert_eq!(window.lost(), 2999);
    }

    #[test]
    fn knows_whether_anything_is_missing_between_two_numbers() {
        let mut window = SequenceWindow::rtp();
        orders(&mut window, &[10, 11, 13]);
        assert!(!window.misses_between(1, 10, 11));
        assert!(!window.misses_between(1, 10, 12));
        assert!(window.misses_between(1, 11, 13));
    }

    #[test]
    fn old_tags_do_not_outlive_the_window() {
        let mut window = SequenceWindow::relay();
        window.record(u32::MAX, 0);
        let far = window.record(2000, 0);
        assert_eq!((far.extended, far.order), (i64::from(u32::MAX) + 2001, Order::Newest));
        assert!(window.misses_between(1, far.extended - 400, far.extended));
        assert_eq!(window.lost(), 2000);
    }

    #[test]
    fn timestamps_unwrap_in_both_directions() {
        let mut unwrapper = TimestampUnwrapper::default();
        let wrap = 1_i64 << 32;
        assert_eq!(unwrapper.unwrap(u32::MAX - 99), wrap - 100);
        assert_eq!(unwrapper.unwrap(60), wrap + 60);
        assert_eq!(unwrapper.unwrap(u32::MAX), wrap - 1);
    }
}

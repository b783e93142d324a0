//! Tells the fate of each packet in the sender's order, once nothing more can come of it.

use super::{CopyMeter, PacketFate};
use crate::sequence::Numbered;

/// A packet's fate is told when so many later ones have begun to come: two seconds at 20 ms each.
const LAG: i64 = 100;
/// Packets remembered until then.
const REMEMBERED: usize = 256;

/// Collects what comes of one leg, and counts what became of each packet.
#[derive(Debug)]
pub struct FateJudge {
    meter: CopyMeter,
    /// Which run of numbers is being told.
    run: u32,
    /// The next number to be told of, and the highest that came; `None` before the first.
    pending: Option<(i64, i64)>,
    /// The numbers that came, and whether too late.
    came: Box<[Option<(i64, bool)>; REMEMBERED]>,
    /// Packets told as lost on the relay.
    lost_on_relay: u64,
}

impl Default for FateJudge {
    fn default() -> Self {
        Self {
            meter: CopyMeter::default(),
            run: 0,
            pending: None,
            came: Box::new([None; REMEMBERED]),
            lost_on_relay: 0,
        }
    }
}

impl FateJudge {
    /// Takes a packet that came for the first time. `relay_lost`: packets that the relay lost so far.
    pub fn came(&mut self, numbered: Numbered, late: bool, relay_lost: u64) {
        let number = numbered.extended;
        if self.pending.is_some() && self.run != numbered.run {
            if let Some((next, highest)) = self.pending.take() {
                self.tell(next, highest + 1, relay_lost);
            }
            self.came.fill(None);
        }
        self.run = numbered.run;
        let (next, highest) = self.pending.unwrap_or((number, number));
        if number < next {
            return self.meter.came_late();
        }
        let highest = highest.max(number);
        let told = next.max(highest - LAG);
        self.tell(next, told, relay_lost);
        if let Some(slot) = self.came.get_mut(slot(number)) {
            *slot = Some((number, late));
        }
        self.pending = Some((told, highest));
    }

    /// The counts as if nothing came any more.
    pub fn meter(&self, relay_lost: u64) -> CopyMeter {
        let mut meter = self.meter;
        let mut lost_on_relay = self.lost_on_relay;
        if let Some((next, highest)) = self.pending {
            for number in next..=highest {
                meter.fate(self.fate(number, &mut lost_on_relay, relay_lost));
            }
        }
        meter
    }

    fn tell(&mut self, from: i64, to: i64, relay_lost: u64) {
        let mut lost_on_relay = self.lost_on_relay;
        for number in from..to {
            let fate = self.fate(number, &mut lost_on_relay, relay_lost);
            self.meter.fate(fate);
        }
        self.lost_on_relay = lost_on_relay;
    }

    /// As many missing packets as the relay lost were lost there; the others the capture server never had.
    fn fate(&self, number: i64, lost_on_relay: &mut u64, relay_lost: u64) -> PacketFate {
        let came = self.came.get(slot(number)).copied().flatten();
        match came.filter(|(of, _)| *of == number) {
            Some((_, false)) => PacketFate::Played,
            Some((_, true)) => PacketFate::Late,
            None if *lost_on_relay < relay_lost => {
                *lost_on_relay += 1;
                PacketFate::LostOnRelay
            }
            None => PacketFate::LostBeforeRelay,
        }
    }
}

fn slot(number: i64) -> usize {
    let length = i64::try_from(REMEMBERED).unwrap_or(1);
    usize::try_from(number.rem_euclid(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::Order;

    fn numbered(extended: i64, run: u32) -> Numbered {
        Numbered {
            extended,
            run,
            order: Order::Newest,
        }
    }

    #[test]
    fn each_packet_is_told_once_whatever_the_order() {
        let mut judge = FateJudge::default();
        for number in (0..500).filter(|number| number % 10 != 3) {
            judge.came(numbered(number ^ 1, 0), number % 10 == 6, 20);
        }
        let counts = judge.meter(20).heard();
        assert_eq!((counts.packets, counts.lost, counts.discarded), (500, 50, 50));
        assert_eq!(judge.meter(20).copy().lost, 20);
    }

    #[test]
    fn a_packet_told_as_lost_that_comes_after_all_was_late() {
        let mut judge = FateJudge::default();
        for number in (0..400).filter(|number| *number != 7) {
            judge.came(numbered(number, 0), false, 1);
        }
        judge.came(numbered(7, 0), true, 0);
        let counts = judge.meter(0).copy();
        assert_eq!((counts.lost, counts.discarded), (0, 1));
    }

    #[test]
    fn another_run_of_numbers_begins_without_a_loss() {
        let mut judge = FateJudge::default();
        judge.came(numbered(5, 0), false, 0);
        judge.came(numbered(60_000, 1), false, 0);
        judge.came(numbered(60_001, 1), false, 0);
        let counts = judge.meter(0).heard();
        assert_eq!((counts.packets, counts.lost), (3, 0));
    }
}

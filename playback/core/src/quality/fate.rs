//! What became of a leg's packets, one by one in the order of the sender.

use silentmon_proto::quality::{BurstMeter, LossCounts};

/// Packets whose fate stays open: those before the newest may still come.
const WINDOW: usize = 256;
const WINDOW_SPAN: i64 = 256;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketFate {
    /// It came in time, at once or sent again. Kept-back events (RFC 4733) and comfort noise count as played.
    Played,
    /// It came, but its time was over, or there was no room for it.
    Late,
    /// The capture server sent it, and it never came.
    LostOnRelay,
    /// The capture server never sent it: lost in the call or in the mirror, which only the server can tell apart.
    LostBeforeRelay,
}

/// A packet that came.
#[derive(Debug, Clone, Copy)]
struct Came {
    /// Its number on the relay.
    relay: u32,
    fate: PacketFate,
}

/// Gives every packet of a leg its fate and counts them, for our copy and for the ear.
///
/// It is told of the packets that came. Of two neighbours that came, the numbers of the relay say how many of those
/// missing in between were lost there. Allocates nothing after construction.
#[derive(Debug)]
pub struct FateMeter {
    window: Box<[Option<Came>; WINDOW]>,
    /// The sender's run of numbers; another one begins anew.
    run: Option<u32>,
    /// Number after the newest.
    end: i64,
    settled: Settled,
}

/// What is settled so far.
#[derive(Debug, Clone, Copy, Default)]
struct Settled {
    /// The number to be settled next.
    next: i64,
    /// The relay's number of the last packet that came.
    relay: Option<u32>,
    /// Of the packets missing just now, how many were lost on the relay and aren't told yet; `None` outside a gap.
    on_relay: Option<u32>,
    copy: BurstMeter,
    heard: BurstMeter,
}

impl Settled {
    const fn tell(&mut self, fate: PacketFate) {
        match fate {
            PacketFate::Played => {
                self.copy.received();
                self.heard.received();
            }
            PacketFate::Late => {
                self.copy.discarded();
                self.heard.discarded();
            }
            PacketFate::LostOnRelay => {
                self.copy.lost();
                self.heard.lost();
            }
            PacketFate::LostBeforeRelay => {
                self.copy.received();
                self.heard.lost();
            }
        }
        self.next += 1;
    }

    fn came(&mut self, came: Came) {
        self.relay = Some(came.relay);
        self.on_relay = None;
        self.tell(came.fate);
    }

    /// `after` is the relay's number of the next packet that came.
    fn missing(&mut self, after: Option<u32>) {
        let between = || match (self.relay, after) {
            (Some(before), Some(after)) => after
                .wrapping_sub(before)
                .wrapping_sub(1)
                .cast_signed()
                .max(0)
                .cast_unsigned(),
            _ => 0,
        };
        let on_relay = self.on_relay.unwrap_or_else(between);
        self.on_relay = Some(on_relay.saturating_sub(1));
        self.tell(if on_relay > 0 {
            PacketFate::LostOnRelay
        } else {
            PacketFate::LostBeforeRelay
        });
    }
}

impl Default for FateMeter {
    fn default() -> Self {
        Self {
            window: Box::new([None; WINDOW]),
            run: None,
            end: 0,
            settled: Settled::default(),
        }
    }
}

impl FateMeter {
    /// Takes a packet that came, each once: the run of its sender's numbers, its number in it without the wrap, its number
    /// on the relay, and whether it is played or too late.
    pub fn handle(&mut self, run: u32, number: i64, relay: u32, fate: PacketFate) {
        if self.run != Some(run) {
            self.settle(self.end, None);
            self.run = Some(run);
            self.end = number;
            self.settled.next = number;
            self.settled.relay = None;
            self.settled.on_relay = None;
        }
        if number < self.settled.next {
            // Taken for lost long ago.
            self.settled.copy.came_late();
            self.settled.heard.came_late();
            return;
        }
        self.settle(number - WINDOW_SPAN + 1, Some(relay));
        if let Some(slot) = self.window.get_mut(slot(number)) {
            *slot = Some(Came { relay, fate });
        }
        self.end = self.end.max(number + 1);
    }

    /// Settles what comes before `until`. `after`: the relay's number of a packet behind the window.
    fn settle(&mut self, until: i64, after: Option<u32>) {
        let before = self.settled.next;
        self.settled = self.walk(until, after);
        for number in before..self.settled.next.min(before + WINDOW_SPAN) {
            if let Some(slot) = self.window.get_mut(slot(number)) {
                *slot = None;
            }
        }
    }

    fn walk(&self, until: i64, after: Option<u32>) -> Settled {
        let mut settled = self.settled;
        while settled.next < until {
            match self.came(settled.next) {
                Some(came) => settled.came(came),
                None if settled.on_relay.is_some() => settled.missing(None),
                None => {
                    let later = (settled.next + 1..self.end).find_map(|number| self.came(number));
                    settled.missing(later.map(|came| came.relay).or(after));
                }
            }
        }
        settled
    }

    fn came(&self, number: i64) -> Option<Came> {
        if number >= self.end {
            return None;
        }
        self.window.get(slot(number)).copied().flatten()
    }

    /// What the way from the capture server to the ear lost, and what came late.
    pub fn copy(&self) -> LossCounts {
        self.walk(self.end, None).copy.counts()
    }

    /// All that is missing at the ear, wherever it was lost.
    pub fn heard(&self) -> LossCounts {
        self.walk(self.end, None).heard.counts()
    }
}

fn slot(number: i64) -> usize {
    usize::try_from(number.rem_euclid(WINDOW_SPAN)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets with the fates given, told in the order of their numbers.
    fn told(fates: &[PacketFate]) -> FateMeter {
        let mut meter = FateMeter::default();
        let mut relay = u32::MAX - 3;
        for (number, &fate) in (0..).zip(fates) {
            match fate {
                PacketFate::Played | PacketFate::Late => meter.handle(1, number, relay, fate),
                PacketFate::LostOnRelay | PacketFate::LostBeforeRelay => {}
            }
            relay = relay.wrapping_add(u32::from(fate != PacketFate::LostBeforeRelay));
        }
        meter
    }

    #[test]
    fn what_the_call_lost_is_missing_at_the_ear_but_not_in_our_copy() {
        use PacketFate::{Late, LostBeforeRelay, LostOnRelay, Played};
        let meter = told(&[Played, LostBeforeRelay, Late, LostOnRelay, LostOnRelay, Played]);
        let (copy, heard) = (meter.copy(), meter.heard());
        assert_eq!(
            (copy.packets, copy.lost, copy.discarded, copy.burst_packets),
            (6, 2, 1, 3)
        );
        assert_eq!(
            (heard.packets, heard.lost, heard.discarded, heard.burst_packets),
            (6, 3, 1, 4)
        );
    }

    #[test]
    fn a_packet_that_comes_after_newer_ones_is_not_lost() {
        let mut meter = FateMeter::default();
        for number in [0, 1, 4, 3, 2, 5_u8] {
            meter.handle(1, number.into(), number.into(), PacketFate::Played);
        }
        assert_eq!((meter.copy().packets, meter.heard().missing()), (6, 0));
    }

    #[test]
    fn a_packet_that_comes_after_seconds_was_discarded() {
        let mut meter = FateMeter::default();
        for number in (0..1000).filter(|number| *number != 5) {
            meter.handle(1, number.into(), number, PacketFate::Played);
        }
        assert_eq!((meter.copy().lost, meter.copy().discarded), (1, 0));
        meter.handle(1, 5, 5, PacketFate::Late);
        assert_eq!((meter.copy().lost, meter.copy().discarded), (0, 1));
    }

    #[test]
    fn another_stream_leaves_no_gap() {
        let mut meter = told(&[PacketFate::Played; 10]);
        for number in 0..10_u8 {
            meter.handle(
                2,
                50_000 + i64::from(number),
                900 + u32::from(number),
                PacketFate::Played,
            );
        }
        assert_eq!((meter.copy().packets, meter.heard().missing()), (20, 0));
    }

    #[test]
    fn a_gap_longer_than_the_window_is_counted_whole() {
        let mut meter = told(&[PacketFate::Played; 10]);
        meter.handle(1, 2000, 1000, PacketFate::Played);
        let (copy, heard) = (meter.copy(), meter.heard());
        assert_eq!((copy.packets, heard.packets, heard.lost), (2001, 2001, 1990));
        assert_eq!(copy.lost, 1000 - (u64::from(u32::MAX - 3) + 9 - (1 << 32)) - 1);
    }

    proptest! {
        #[test]
        fn every_packet_gets_exactly_one_fate(draws in proptest::collection::vec(0u8..12, 1..600)) {
            let of = |draw: u8| match draw {
                0 => PacketFate::Late,
                1 => PacketFate::LostOnRelay,
                2 => PacketFate::LostBeforeRelay,
                _ => PacketFate::Played,
            };
            let mut fates: Vec<_> = draws.into_iter().map(of).collect();
            // What is missing at the ends nobody can know.
            fates.insert(0, PacketFate::Played);
            fates.push(PacketFate::Played);
            let count = |fate| fates.iter().filter(|other| **other == fate).count() as u64;
            let meter = told(&fates);
            let (copy, heard) = (meter.copy(), meter.heard());
            prop_assert_eq!(copy.packets, fates.len() as u64);
            prop_assert_eq!((copy.lost, copy.discarded), (count(PacketFate::LostOnRelay), count(PacketFate::Late)));
            prop_assert_eq!(heard.lost, count(PacketFate::LostOnRelay) + count(PacketFate::LostBeforeRelay));
        }
    }
}

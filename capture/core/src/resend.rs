//! What a session sent lately, and what of it may be sent again: about a second of each leg, a budget for repairs, and
//! copies in advance for paths on which asking takes too long.
//!
//! Two things keep a supervisor's program from causing a storm, whatever it asks: a packet is sent again three times at
//! most, and not within 10 ms, and repairs take no more than a share of what the session sends anyway. Nothing is sent
//! again while the path is too narrow for the packets themselves.

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::relay::{AudioHeader, LegStatus};
use silentmon_proto::time::Instant;

use crate::session::Outgoing;

/// How long packets are kept, and how many, and how many bytes of them, for each leg.
const KEPT_FOR: Duration = Duration::from_secs(1);
const MOST_PACKETS: usize = 256;
const MOST_BYTES: usize = 64 << 10;
/// How often a packet is sent again, asked for or not.
const MOST_TRIES: u8 = 3;
/// Between two times, where a round trip isn't shorter. Programs that can't wait for an answer before they ask again leave
/// 20 ms, some of which their datagrams may lose on the way.
const LEAST_APART: Duration = Duration::from_millis(10);
/// How long a wish for copies holds.
const COPIES_FOR: Duration = Duration::from_secs(3);

/// Packets of one leg that were sent lately.
#[derive(Debug, Default)]
pub struct SentLately {
    /// In order of their numbers, without gaps.
    packets: VecDeque<Packet>,
    bytes: usize,
    /// Room of the packet that was forgotten last.
    spare: Vec<u8>,
    copies: Option<Copies>,
}

#[derive(Debug)]
struct Packet {
    header: AudioHeader,
    rtp: Vec<u8>,
    tries: u8,
    tried: Option<Instant>,
}

/// A wish for copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copies {
    distance: usize,
    until: Instant,
}

/// What a repair may depend on besides the packet.
#[derive(Debug)]
pub struct Allowance<'a> {
    /// When it is asked for.
    pub now: Instant,
    /// Shortest round trip of the path.
    pub round_trip: Duration,
    /// What the session may still spend.
    pub budget: &'a mut Budget,
}

impl SentLately {
    /// Bytes of packets kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a packet that was just sent, and forgets those that are too old or too much.
    pub fn keep(&mut self, header: AudioHeader, rtp: &[u8]) {
        let follows = |last: &Packet| last.header.relay_sequence.wrapping_add(1) == header.relay_sequence;
        if !self.packets.back().is_none_or(follows) {
            self.clear();
        }
        let mut room = std::mem::take(&mut self.spare);
        room.extend_from_slice(rtp);
        self.bytes += rtp.len();
        self.packets.push_back(Packet {
            header,
            rtp: room,
            tries: 0,
            tried: None,
        });
        self.forget_old(header.captured);
        while self.packets.len() > MOST_PACKETS || self.bytes > MOST_BYTES {
            self.forget_first();
        }
    }

    /// Forgets what was captured too long before `now`.
    pub fn forget_old(&mut self, now: Instant) {
        let old = |packet: &Packet| now.saturating_since(packet.header.captured) > KEPT_FOR;
        while self.packets.front().is_some_and(old) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(mut packet) = self.packets.pop_front() {
            self.bytes -= packet.rtp.len();
            packet.rtp.fill(0);
            packet.rtp.clear();
            self.spare = packet.rtp;
        }
    }

    /// Forgets all packets: nothing that was sent may be sent again.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
    }

    /// Takes a wish for copies so many packets later from now on; none with a distance of 0.
    pub fn want_copies(&mut self, distance: u8, now: Instant) {
        self.copies = (distance > 0).then(|| Copies {
            distance: usize::from(distance),
            until: now + COPIES_FOR,
        });
    }

    /// Whether copies are sent at `now`.
    pub fn copies(&self, now: Instant) -> bool {
        self.copies.is_some_and(|copies| now < copies.until)
    }

    /// The copy that is due with the packet kept last, if any. One that was asked for is copied too: the answer may be lost.
    pub fn copy_due(&mut self, now: Instant) -> Option<Outgoing<'_>> {
        let copies = self.copies.filter(|copies| now < copies.until)?;
        let place = self.packets.len().checked_sub(copies.distance + 1)?;
        let packet = self.packets.get_mut(place)?;
        let allowed = packet.tries < MOST_TRIES && !packet.is_under_way(now, LEAST_APART);
        allowed.then(|| packet.again(now))
    }

    /// Sends a packet again where that is allowed, and counts what became of the wish.
    pub fn repair(
        &mut self,
        number: u32,
        allowance: &mut Allowance<'_>,
        status: &mut LegStatus,
        send: &mut impl FnMut(Outgoing<'_>),
    ) {
        status.asked += 1;
        let first = self.packets.front().map_or(0, |packet| packet.header.relay_sequence);
        let place = usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX);
        let Some(packet) = self.packets.get_mut(place) else {
            status.not_kept += 1;
            return;
        };
        let apart = allowance.round_trip.min(LEAST_APART);
        let length = AudioHeader::LEN + packet.rtp.len();
        if packet.tries == MOST_TRIES || packet.is_under_way(allowance.now, apart) || !allowance.budget.spend(length) {
            status.refused += 1;
            return;
        }
        status.resent += 1;
        send(packet.again(allowance.now));
    }
}

impl Packet {
    /// Whether it was sent again within this time.
    fn is_under_way(&self, now: Instant, apart: Duration) -> bool {
        self.tried.is_some_and(|tried| now.saturating_since(tried) < apart)
    }

    fn again(&mut self, now: Instant) -> Outgoing<'_> {
        self.tries += 1;
        self.tried = Some(now);
        let header = AudioHeader {
            again: true,
            ..self.header
        };
        (header, &self.rtp)
    }
}

/// Bytes that a session may spend on repairs: [`SHARE`](Self::SHARE) tenths of what it sends anyway, and a small burst.
#[derive(Debug)]
pub struct Budget {
    /// In tenths of a byte.
    tenths: usize,
}

impl Default for Budget {
    /// A budget of which nothing is spent.
    fn default() -> Self {
        Self {
            tenths: 10 * Self::BURST,
        }
    }
}

impl Budget {
    /// Tenths of the session's own bytes.
    pub const SHARE: usize = 3;
    /// Bytes that may be sent at once after a quiet second: half a second of both legs in G.711.
    pub const BURST: usize = 10 << 10;

    /// Takes note of bytes that the session sent for the first time; `kept` are those of the last second.
    pub fn earn(&mut self, bytes: usize, kept: usize) {
        let most = 10 * Self::BURST + Self::SHARE * kept;
        self.tenths = (self.tenths + Self::SHARE * bytes).min(most);
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.tenths.checked_sub(10 * bytes);
        self.tenths = left.unwrap_or(self.tenths);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use silentmon_proto::codec::Codec;
    use silentmon_proto::ids::Leg;
    use silentmon_proto::relay::AudioKind;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(40);
    const G711: usize = 172;

    /// One leg that sends a packet every 20 ms, with all that was sent again.
    struct House {
        sent: SentLately,
        budget: Budget,
        status: LegStatus,
        next: u32,
        now: Instant,
        again: Vec<(u32, Instant)>,
    }

    impl House {
        fn new(first: u32) -> Self {
            Self {
                sent: SentLately::default(),
                budget: Budget::default(),
                status: LegStatus::default(),
                next: first,
                now: Instant::from_parts(1_000, 0),
                again: Vec::new(),
            }
        }

        fn send(&mut self, length: usize) {
            let header = AudioHeader {
                kind: AudioKind::Rtp,
                leg: Leg::Agent,
                again: false,
                codec: Codec::Pcmu,
                channel: 1,
                relay_sequence: self.next,
                captured: self.now,
            };
            let mut rtp = vec![0; length];
            rtp[..4].copy_from_slice(&self.next.to_be_bytes());
            self.sent.keep(header, &rtp);
            self.budget.earn(AudioHeader::LEN + length, self.sent.bytes());
            if let Some((header, rtp)) = self.sent.copy_due(self.now) {
                assert_eq!(rtp[..4], header.relay_sequence.to_be_bytes());
                self.again.push((header.relay_sequence, self.now));
            }
            self.next = self.next.wrapping_add(1);
        }

        fn send_for(&mut self, packets: u32) {
            for _ in 0..packets {
                self.pass(20);
                self.send(G711);
            }
        }

        fn pass(&mut self, milliseconds: u64) {
            self.now += Duration::from_millis(milliseconds);
        }

        fn ask(&mut self, number: u32) {
            let mut allowance = Allowance {
                now: self.now,
                round_trip: ROUND_TRIP,
                budget: &mut self.budget,
            };
            let (again, now) = (&mut self.again, self.now);
            self.sent
                .repair(number, &mut allowance, &mut self.status, &mut |(header, rtp)| {
                    assert!(header.again);
                    assert_eq!(rtp[..4], header.relay_sequence.to_be_bytes());
                    again.push((header.relay_sequence, now));
                });
        }

        fn counts(&self) -> [u64; 4] {
            let LegStatus {
                asked,
                resent,
                refused,
                not_kept,
                ..
            } = self.status;
            [asked, resent, refused, not_kept]
        }
    }

    #[test]
    fn sends_again_what_is_asked_for_over_the_wrap() {
        let mut house = House::new(u32::MAX - 4);
        house.send_for(10);
        for number in [u32::MAX, 0, 3] {
            house.ask(number);
        }
        assert_eq!(
            house.again.iter().map(|sent| sent.0).collect::<Vec<_>>(),
            [u32::MAX, 0, 3]
        );
        assert_eq!(house.counts(), [3, 3, 0, 0]);
    }

    #[test]
    fn a_packet_goes_out_again_once_in_ten_milliseconds_and_three_times_in_all() {
        let mut house = House::new(0);
        house.send_for(5);
        for _ in 0..100 {
            house.ask(3);
            house.pass(5);
        }
        let at: Vec<_> = house.again.iter().map(|(_, at)| *at - house.again[0].1).collect();
        assert_eq!(at, [Duration::ZERO, LEAST_APART, 2 * LEAST_APART]);
        assert_eq!(house.counts(), [100, 3, 97, 0]);
    }

    #[test]
    fn what_is_too_old_or_not_sent_yet_is_not_kept() {
        let mut house = House::new(0);
        house.send_for(100);
        for number in [10, 48, 49, 99, 100, 1_000_000] {
            house.ask(number);
        }
        assert_eq!(house.again.iter().map(|sent| sent.0).collect::<Vec<_>>(), [49, 99]);
        assert_eq!(house.counts(), [6, 2, 0, 4]);
        house.sent.forget_old(house.now + Duration::from_secs(2));
        assert_eq!(house.sent.bytes(), 0);
    }

    #[test]
    fn repairs_take_a_share_of_the_rate_and_a_small_burst() {
        let mut house = House::new(0);
        for _ in 0..1000 {
            house.send_for(1);
            for back in 2..20 {
                house.ask(house.next.saturating_sub(back));
            }
        }
        let bytes = house.again.len() * (G711 + AudioHeader::LEN);
        let own = 1000 * (G711 + AudioHeader::LEN);
        assert!(bytes > own * 29 / 100, "{bytes} of {own}");
        assert!(
            bytes <= own * Budget::SHARE / 10 + Budget::BURST + 50 * G711,
            "{bytes} of {own}"
        );
    }

    #[test]
    fn copies_follow_at_their_distance_until_the_wish_lapses() {
        let mut house = House::new(0);
        house.send_for(3);
        house.sent.want_copies(2, house.now);
        house.ask(2);
        house.send_for(500);
        let numbers: Vec<_> = house.again.iter().map(|sent| sent.0).collect();
        let expected: Vec<_> = [2].into_iter().chain(1..150).collect();
        assert_eq!(numbers, expected, "2 was asked for; after 3 s nobody wants more");
        house.sent.want_copies(0, house.now);
        assert!(!house.sent.copies(house.now));
    }

    #[test]
    fn a_packet_that_was_asked_for_is_copied_unless_it_is_under_way_or_went_often_enough() {
        for (asked_after, copied) in [(&[0_u64, 20][..], true), (&[35], false), (&[0, 12, 24], false)] {
            let mut house = House::new(0);
            house.sent.want_copies(2, house.now);
            house.send(G711);
            for after in 0..40 {
                if asked_after.contains(&after) {
                    house.ask(0);
                }
                house.pass(1);
            }
            house.send(G711);
            house.send(G711);
            let times = house.again.iter().filter(|sent| sent.0 == 0).count();
            assert_eq!(times, asked_after.len() + usize::from(copied), "{asked_after:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_memory_and_budget_are_kept(
            steps in proptest::collection::vec((0_u8..4, 0_u32..600, 12_usize..1500), 1..600)
        ) {
            let mut house = House::new(u32::MAX - 100);
            let mut own = 0;
            for (step, number, length) in steps {
                match step {
                    0 => {
                        house.send(length);
                        own += AudioHeader::LEN + length;
                    }
                    1 => house.ask(house.next.wrapping_sub(number)),
                    2 => house.ask(number.wrapping_mul(7_919_777)),
                    _ => house.pass(u64::from(number % 40)),
                }
                prop_assert!(house.sent.bytes() <= MOST_BYTES && house.sent.packets.len() <= MOST_PACKETS);
                let kept: usize = house.sent.packets.iter().map(|packet| packet.rtp.len()).sum();
                prop_assert_eq!(kept, house.sent.bytes());
            }
            let [asked, resent, refused, not_kept] = house.counts();
            prop_assert_eq!(asked, resent + refused + not_kept);
            prop_assert!(house.again.len() * (AudioHeader::LEN + 12) <= own * Budget::SHARE / 10 + Budget::BURST);
            for (at, (number, when)) in house.again.iter().enumerate() {
                let same = house.again[..at].iter().filter(|sent| sent.0 == *number);
                prop_assert!(same.clone().count() < usize::from(MOST_TRIES));
                prop_assert!(same.into_iter().all(|sent| *when - sent.1 >= LEAST_APART));
            }
        }
    }
}

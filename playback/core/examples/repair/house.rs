//! A capture server, a path that loses, and a listener, in virtual time: what is sent again, and what stays missing.
//!
//! What leaves the server at once shares a UDP packet and its fate, as it does over QUIC. The player is one that waits as
//! long as it is asked to, and at least 60 ms.

#![allow(dead_code, reason = "shared by an example and a test, each of which uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_capture_core::resend::{Allowance, Budget, SentLately};
use silentmon_playback_core::repair::Repair;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, AudioKind, LegStatus, RepairRequest};
use silentmon_proto::time::Instant;

const INTERVAL: Duration = Duration::from_millis(20);
/// RTP packet of 20 ms of G.711.
const RTP: [u8; 172] = [0; 172];
/// IPv4, UDP and QUIC around the datagrams of one UDP packet, and the frame header of each.
const PACKET_OVERHEAD: usize = 28 + 26;
const FRAME_OVERHEAD: usize = 3;
/// How long a player waits as a rule.
const USUAL_PATIENCE: Duration = Duration::from_millis(60);

/// What becomes of UDP packets in either direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Losses {
    /// Each is lost with this probability.
    Random(f64),
    /// This share is lost, in bursts of so many UDP packets in the mean (Gilbert-Elliott).
    Bursts(f64, f64),
    /// This share of the time the path is closed, for so many packet intervals in the mean.
    Closed(f64, f64),
    /// None, but this share is 30 ms late.
    Reordered(f64),
}

/// The losses that are measured, by the names of the conditions.
pub const CONDITIONS: [(&str, Losses); 8] = [
    ("loss1", Losses::Random(0.01)),
    ("loss3", Losses::Random(0.03)),
    ("loss5", Losses::Random(0.05)),
    ("loss10", Losses::Random(0.10)),
    ("ge5_b3", Losses::Bursts(0.05, 3.0)),
    ("ge10_b5", Losses::Bursts(0.10, 5.0)),
    ("closed5_b3", Losses::Closed(0.05, 3.0)),
    ("closed10_b5", Losses::Closed(0.10, 5.0)),
];

/// A path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathModel {
    /// What it loses.
    pub losses: Losses,
    /// Both ways together, without jitter.
    pub round_trip: Duration,
    /// Each way, at most; packets keep their order.
    pub jitter: Duration,
    /// Decides all that is random.
    pub seed: u64,
}

/// What is done about losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Nothing.
    Nothing,
    /// Packets are asked for; the server refuses copies.
    Requests,
    /// Each packet is sent a second time so many packets later; nothing is asked for.
    Copies(u8),
    /// What [`Repair`] chooses.
    Chosen,
}

#[derive(Debug)]
enum Event {
    Capture(Leg),
    Arrive(Vec<AudioHeader>),
    Request(RepairRequest),
    Timer,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    captured: Instant,
    in_time: bool,
    /// How much later than the fastest it first came.
    delay: Option<Duration>,
    by_repair: bool,
}

/// One direction of the path.
#[derive(Debug)]
struct Direction {
    random: u64,
    closed: bool,
    looked: Instant,
    last: Instant,
}

impl Direction {
    fn chance(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// When a packet that is sent now arrives, if it does.
    fn pass(&mut self, now: Instant, model: &PathModel) -> Option<Instant> {
        let one_way = now + model.round_trip / 2 + model.jitter.mul_f64(self.chance());
        let in_order = self.last.max(one_way);
        match model.losses {
            Losses::Random(share) if self.chance() < share => return None,
            Losses::Random(_) => {}
            Losses::Bursts(share, burst) => {
                self.step(share, 1.0 / burst);
                if self.closed {
                    return None;
                }
            }
            Losses::Closed(share, burst) => {
                while self.looked < now {
                    self.looked += Duration::from_millis(1);
                    self.step(share, 1.0 / (burst * 20.0));
                }
                if self.closed {
                    return None;
                }
            }
            Losses::Reordered(share) if self.chance() < share => {
                return Some(one_way + Duration::from_millis(30));
            }
            Losses::Reordered(_) => return Some(one_way),
        }
        self.last = in_order;
        Some(in_order)
    }

    fn step(&mut self, share: f64, end: f64) {
        let begin = share * end / (1.0 - share);
        let chance = self.chance();
        self.closed = if self.closed { chance >= end } else { chance < begin };
    }
}

/// See the module.
pub struct House {
    /// The path from now on.
    pub path: PathModel,
    /// What the listener decides.
    pub repair: Repair,
    /// How long the player waits whatever is asked of it, and the longest it waits.
    pub usual_patience: Duration,
    pub longest_patience: Duration,
    /// Repair requests sent.
    pub requests: u64,
    /// Datagrams sent again.
    pub again: u64,
    strategy: Strategy,
    now: Instant,
    begin: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    numbered: u64,
    down: Direction,
    up: Direction,
    sent: [SentLately; 2],
    next: [u32; 2],
    budget: Budget,
    status: LegStatus,
    heard: [Vec<Heard>; 2],
    stalled: Option<(Instant, Instant)>,
    bytes: usize,
    first_bytes: usize,
}

impl House {
    /// A house whose listener chooses.
    pub fn new(path: PathModel) -> Self {
        Self::with(path, Strategy::Chosen)
    }

    /// A house with a strategy.
    pub fn with(path: PathModel, strategy: Strategy) -> Self {
        let begin = Instant::from_parts(1_000, 0);
        let direction = |seed: u64| Direction {
            random: (path.seed + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            closed: false,
            looked: begin,
            last: begin,
        };
        let mut house = Self {
            path,
            repair: Repair::new(1, path.round_trip),
            usual_patience: USUAL_PATIENCE,
            longest_patience: Duration::MAX,
            requests: 0,
            again: 0,
            strategy,
            now: begin,
            begin,
            events: BTreeMap::new(),
            numbered: 0,
            down: direction(1),
            up: direction(2),
            sent: Default::default(),
            next: [u32::MAX - 100; 2],
            budget: Budget::default(),
            status: LegStatus::default(),
            heard: Default::default(),
            stalled: None,
            bytes: 0,
            first_bytes: 0,
        };
        house.at(begin, Event::Capture(Leg::Agent));
        house.at(begin + INTERVAL / 2, Event::Capture(Leg::Customer));
        house
    }

    /// Lets the listener stand still for a time, this long from now.
    pub fn stall(&mut self, after: Duration, span: Duration) {
        self.stalled = Some((self.now + after, self.now + after + span));
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    /// Share of the packets captured so long after the start and not in the last second that weren't there in time.
    pub fn missing_after(&self, start: Duration) -> f64 {
        let judged: Vec<_> = self.judged(start).collect();
        let missing = judged.iter().filter(|heard| !heard.in_time).count();
        missing as f64 / judged.len().max(1) as f64
    }

    /// Packets that never came, and packets that came because they were sent again.
    pub fn totals(&self) -> (u64, u64) {
        let all = || self.judged(Duration::ZERO);
        let never = all().filter(|heard| heard.delay.is_none()).count() as u64;
        (never, all().filter(|heard| heard.by_repair).count() as u64)
    }

    /// The delay that all but this share of the packets kept, if they did.
    pub fn delay_for(&self, missing: f64, start: Duration) -> Option<Duration> {
        let mut delays: Vec<_> = self
            .judged(start)
            .map(|heard| heard.delay.unwrap_or(Duration::MAX))
            .collect();
        delays.sort_unstable();
        let place = (delays.len() as f64 * (1.0 - missing)).ceil();
        let found = delays.iter().enumerate().find(|(at, _)| *at as f64 + 1.0 >= place);
        found.map(|(_, delay)| *delay).filter(|delay| *delay < Duration::MAX)
    }

    /// Bytes on the wire to the listener, beyond those of the packets themselves, as a share of these.
    pub fn extra(&self) -> f64 {
        self.bytes as f64 / self.first_bytes.max(1) as f64 - 1.0
    }

    /// How much later than the fastest each packet of a leg came, where it came.
    pub fn arrivals(&self, leg: Leg) -> impl Iterator<Item = Option<Duration>> {
        self.heard[leg.index()].iter().map(|heard| heard.delay)
    }

    /// Times a packet was asked for.
    pub fn asked(&self) -> u64 {
        Leg::BOTH.iter().map(|&leg| self.repair.report(leg).asked).sum()
    }

    /// How long the player waits now.
    pub fn patience(&self) -> Duration {
        let wanted = self
            .repair
            .delay_wanted()
            .map_or(Duration::ZERO, |wanted| wanted + INTERVAL);
        wanted.max(self.usual_patience).min(self.longest_patience)
    }

    fn judged(&self, start: Duration) -> impl Iterator<Item = &Heard> {
        let (start, end) = (self.begin + start, self.now.saturating_back(Duration::from_secs(1)));
        let both = self.heard.iter().flatten();
        both.filter(move |heard| (start..end).contains(&heard.captured))
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.numbered += 1;
        self.events.insert((when, self.numbered), event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Capture(leg) => self.capture(leg),
            Event::Request(request) => self.answer(&request),
            Event::Arrive(_) | Event::Timer if self.stands_still() => {
                let (_, end) = self.stalled.unwrap_or((self.now, self.now));
                self.at(end, event);
            }
            Event::Arrive(headers) => {
                for header in headers {
                    self.arrive(&header);
                }
            }
            Event::Timer => self.timer(),
        }
    }

    fn stands_still(&self) -> bool {
        self.stalled
            .is_some_and(|(begin, end)| (begin..end).contains(&self.now))
    }

    fn capture(&mut self, leg: Leg) {
        self.at(self.now + INTERVAL, Event::Capture(leg));
        let header = AudioHeader {
            kind: AudioKind::Rtp,
            leg,
            again: false,
            codec: Codec::Pcmu,
            channel: 1,
            relay_sequence: self.next[leg.index()],
            captured: self.now,
        };
        self.next[leg.index()] = header.relay_sequence.wrapping_add(1);
        self.heard[leg.index()].push(Heard {
            captured: self.now,
            in_time: false,
            delay: None,
            by_repair: false,
        });
        let sent = &mut self.sent[leg.index()];
        if let Strategy::Copies(distance) = self.strategy {
            sent.want_copies(distance, self.now);
        }
        sent.keep(header, &RTP);
        self.budget.earn(AudioHeader::LEN + RTP.len(), sent.bytes());
        let copy = sent.copy_due(self.now).map(|(header, _)| header);
        self.first_bytes += PACKET_OVERHEAD + FRAME_OVERHEAD + AudioHeader::LEN + RTP.len();
        self.send([header].into_iter().chain(copy).collect());
    }

    /// Sends datagrams in one UDP packet.
    fn send(&mut self, headers: Vec<AudioHeader>) {
        if headers.is_empty() {
            return;
        }
        self.again += headers.iter().filter(|header| header.again).count() as u64;
        self.bytes += PACKET_OVERHEAD + headers.len() * (FRAME_OVERHEAD + AudioHeader::LEN + RTP.len());
        if let Some(at) = self.down.pass(self.now, &self.path) {
            self.at(at, Event::Arrive(headers));
        }
    }

    fn answer(&mut self, request: &RepairRequest) {
        let sent = &mut self.sent[request.leg.index()];
        if self.strategy == Strategy::Chosen {
            sent.want_copies(request.copy_distance, self.now);
        }
        let mut allowance = Allowance {
            now: self.now,
            round_trip: self.path.round_trip,
            budget: &mut self.budget,
        };
        let mut headers = Vec::new();
        for number in request.numbers() {
            sent.repair(number, &mut allowance, &mut self.status, &mut |(header, _)| {
                headers.push(header);
            });
        }
        for some in headers.chunks(6) {
            self.send(some.to_vec());
        }
    }

    fn arrive(&mut self, header: &AudioHeader) {
        let number = header.relay_sequence.wrapping_sub(u32::MAX - 100);
        let fastest = header.captured + self.path.round_trip / 2;
        let (delay, patience) = (self.now.saturating_since(fastest), self.patience());
        let heard = usize::try_from(number)
            .ok()
            .and_then(|number| self.heard[header.leg.index()].get_mut(number));
        if let Some(heard) = heard.filter(|heard| heard.delay.is_none()) {
            heard.delay = Some(delay);
            heard.in_time = delay <= patience;
            heard.by_repair = header.again;
        }
        match self.strategy {
            Strategy::Nothing | Strategy::Copies(_) => {}
            Strategy::Requests | Strategy::Chosen => {
                self.repair.handle_packet(self.now, header);
                self.wake();
            }
        }
    }

    fn timer(&mut self) {
        if self.repair.poll_timeout().is_none_or(|due| self.now < due) {
            return;
        }
        for leg in Leg::BOTH {
            self.repair
                .handle_patience(leg, self.patience().saturating_sub(INTERVAL));
        }
        self.repair.handle_timeout(self.now);
        while let Some(request) = self.repair.poll_transmit() {
            self.requests += 1;
            if let Some(at) = self.up.pass(self.now, &self.path) {
                self.at(at, Event::Request(request));
            }
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(due) = self.repair.poll_timeout() {
            self.at(due.max(self.now), Event::Timer);
        }
    }
}

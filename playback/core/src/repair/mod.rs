//! Repair of what the relay loses: notices missing datagrams by the relay's own numbers, asks for them while they can
//! still be played, and chooses by what it measures whether asking is enough or copies are wanted in advance.
//!
//! Sans-IO, one [`Repair`] for each session and connection; `watch` follows one leg's numbers, `choice` weighs delay
//! against what would stay lost. docs/repair.md has the rule and the figures it follows from.

mod choice;
mod meter;
mod round_trip;
mod watch;

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, RepairRequest};
use silentmon_proto::time::Instant;

pub use choice::{Path, Plan, choose};
use meter::LossMeter;
use round_trip::RoundTrip;
use watch::{Taken, Timing, Watch};

/// How often the plan is looked over.
const CHOICE: Duration = Duration::from_millis(250);
/// How often a wish for copies is said: three times before the server forgets it.
const SAY_COPIES: Duration = Duration::from_secs(1);
/// A wish for copies is said while packets come.
const FLOWING: Duration = Duration::from_secs(2);
/// A call that comes so much later than asked for means that this program stood still, and what it missed may wait
/// unread.
const STANDSTILL: Duration = Duration::from_millis(20);
/// How long after a standstill nothing is taken as lost.
const RECOVERY: Duration = Duration::from_millis(10);
/// A delay that is wanted falls only after it was more than enough for so long.
const HOLD: Duration = Duration::from_secs(20);
/// A player that doesn't wait as long as was wanted after this time won't.
const SETTLED: Duration = Duration::from_secs(5);
/// A server that sends no copies within this time after they were wished for won't.
const REFUSED: Duration = Duration::from_secs(3);
/// How long either is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// Requests that wait to be sent before the oldest is forgotten.
const MOST_REQUESTS: usize = 16;

/// What became of the relay's losses on one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Times a packet was asked for.
    pub asked: u64,
    /// Packets that came again in time, asked for or not.
    pub repaired: u64,
    /// Packets that were missing when they were due.
    pub lost: u64,
    /// Of those, packets that came again too late.
    pub late: u64,
}

/// The repair of one session over one connection.
///
/// The time handed in must come from one clock and not run backwards. After construction nothing is allocated.
#[derive(Debug)]
pub struct Repair {
    channel: u16,
    legs: [Watch; 2],
    meter: LossMeter,
    round_trip: RoundTrip,
    plan: Plan,
    /// When copies were part of the best plan for the last time.
    copies_needed: Option<Instant>,
    /// Since when copies are wished for without one that came, and until when the server is taken to refuse them.
    copies_awaited: Option<Instant>,
    copies_refused: Option<Instant>,
    /// How long packets ought to wait, when that was needed last, and when it changed last.
    delay: Duration,
    delay_needed: Option<Instant>,
    delay_since: Option<Instant>,
    /// How long the player waits at most, where it is less than was wanted, and until when that is believed.
    reach: Option<(Duration, Instant)>,
    next_choice: Instant,
    said_copies: Option<Instant>,
    last_packet: Option<Instant>,
    quiet_until: Option<Instant>,
    requests: VecDeque<RepairRequest>,
}

impl Repair {
    /// The repair of a session by the number its datagrams carry. `round_trip` is that of the path.
    pub fn new(channel: u16, round_trip: Duration) -> Self {
        Self {
            channel,
            legs: [Watch::new(), Watch::new()],
            meter: LossMeter::default(),
            round_trip: RoundTrip::new(round_trip),
            plan: Plan::NOTHING,
            copies_needed: None,
            copies_awaited: None,
            copies_refused: None,
            delay: Duration::ZERO,
            delay_needed: None,
            delay_since: None,
            reach: None,
            next_choice: Instant::EPOCH,
            said_copies: None,
            last_packet: None,
            quiet_until: None,
            requests: VecDeque::with_capacity(MOST_REQUESTS),
        }
    }

    /// Takes note of an audio datagram of this session that came at `now`. Answers whether it is of use: what was sent
    /// again and had come before isn't.
    pub fn handle_packet(&mut self, now: Instant, header: &AudioHeader) -> bool {
        self.last_packet = Some(now);
        let copies = self.plan.copy_distance > 0;
        let watch = &mut self.legs[header.leg.index()];
        if header.again && !watch.is_asked(header.relay_sequence) {
            self.copies_awaited = None;
        }
        match watch.handle_packet(now, header, &mut self.meter) {
            Taken::Known => !header.again,
            Taken::New(Some(asked)) if !copies => {
                self.round_trip.measure(now.saturating_since(asked));
                true
            }
            // A copy may come instead of the answer, and tells nothing of the round trip.
            Taken::New(_) => true,
        }
    }

    /// Takes the round trip that the connection measures.
    pub fn handle_round_trip(&mut self, round_trip: Duration) {
        self.round_trip.handle_estimate(round_trip);
    }

    /// Takes how long a packet of this leg may still take to be played when its successor comes without it. With none at
    /// all nothing is asked for.
    pub fn handle_patience(&mut self, leg: Leg, patience: Duration) {
        self.legs[leg.index()].handle_patience(patience);
    }

    /// Asks for what is missing, and looks the plan over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stood_still(now) {
            return;
        }
        if now >= self.next_choice {
            self.next_choice = now + CHOICE;
            self.choose(now);
            self.say_copies(now);
        }
        let timing = self.timing();
        let lossy = self.meter.is_lossy();
        for leg in Leg::BOTH {
            let (channel, distance) = (self.channel, self.plan.copy_distance);
            let watch = &mut self.legs[leg.index()];
            if lossy {
                watch.guess(now);
            }
            let requests = &mut self.requests;
            watch.ask(now, &timing, |number| {
                let asked = requests.back_mut().filter(|request| request.leg == leg);
                if !asked.is_some_and(|request| request.ask(number)) {
                    let mut request = RepairRequest::new(channel, leg, distance);
                    request.ask(number);
                    push(requests, request);
                }
            });
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.last_packet?;
        let (timing, lossy) = (self.timing(), self.meter.is_lossy());
        let watches = self.legs.iter().filter_map(|watch| watch.next(&timing, lossy)).min();
        let choice = self.is_flowing(self.next_choice).then_some(self.next_choice);
        let next = [watches, choice].into_iter().flatten().min()?;
        Some(self.quiet_until.map_or(next, |quiet| next.max(quiet)))
    }

    /// The next request to be sent.
    pub fn poll_transmit(&mut self) -> Option<RepairRequest> {
        self.requests.pop_front()
    }

    /// How long a packet ought to be waited for when its successor came without it, so that it can come again; `None`
    /// while nothing is lost.
    pub fn delay_wanted(&self) -> Option<Duration> {
        let shows = self.legs.iter().map(Watch::interval).max().unwrap_or_default();
        Some(self.delay.saturating_sub(shows)).filter(|_| !self.delay.is_zero())
    }

    /// What is done about losses.
    pub const fn plan(&self) -> Plan {
        self.plan
    }

    /// Whether anything is missing just now: then patience is worth asking for.
    pub fn is_missing(&self) -> bool {
        self.legs.iter().any(Watch::is_missing)
    }

    /// What became of a leg's losses so far.
    pub fn report(&self, leg: Leg) -> RepairReport {
        self.legs[leg.index()].report()
    }

    fn timing(&self) -> Timing {
        Timing {
            round_trip: self.round_trip.smoothed(),
            again: match self.plan.tries {
                0 => self.round_trip.answered_within(),
                _ => self.plan.again,
            },
            awaited_copy: if self.plan.asks_first {
                0
            } else {
                self.plan.copy_distance
            },
        }
    }

    /// Whether this program just stood still. What came meanwhile is read before anything is taken as lost.
    fn stood_still(&mut self, now: Instant) -> bool {
        if let Some(quiet) = self.quiet_until {
            if now < quiet {
                return true;
            }
            self.quiet_until = None;
            return false;
        }
        let late = self
            .poll_timeout()
            .map_or(Duration::ZERO, |due| now.saturating_since(due));
        if self.next_choice > Instant::EPOCH && late > STANDSTILL {
            self.quiet_until = Some(now + RECOVERY);
        }
        self.quiet_until.is_some()
    }

    fn is_flowing(&self, now: Instant) -> bool {
        self.last_packet
            .is_some_and(|last| now.saturating_since(last) < FLOWING)
    }

    fn choose(&mut self, now: Instant) {
        let [agent, customer] = &self.legs;
        let path = Path {
            share: self.meter.share(),
            burst: self.meter.burst(),
            round_trip: self.round_trip.smoothed(),
            again: self.round_trip.answered_within(),
            interval: agent.interval().max(customer.interval()),
            wait: agent.wait().max(customer.wait()),
        };
        self.learn_reach(now);
        let reach = self.reach.map_or(Duration::MAX, |(reach, _)| reach);
        let plan = if self.meter.is_lossy() {
            let copies = self.copies_refused.is_none_or(|until| now >= until);
            choose(&path, path.longest().min(reach), copies)
        } else {
            Plan::NOTHING
        };
        if plan.tries > 1 && plan.again < path.again {
            // An answer may belong to any of several requests: it tells nothing of the round trip.
            self.round_trip.forget();
        }
        self.hold_copies(plan, now);
        self.await_copies(now);
        self.hold_delay(plan.delay, reach, now);
    }

    /// Copies that were needed a while ago may be needed again.
    fn hold_copies(&mut self, plan: Plan, now: Instant) {
        if plan.copy_distance > 0 {
            self.copies_needed = Some(now);
        }
        let held = self.copies_needed.filter(|needed| now.saturating_since(*needed) < HOLD);
        let copies = if held.is_some() && plan.copy_distance == 0 {
            self.plan
        } else {
            plan
        };
        self.plan = Plan {
            copy_distance: copies.copy_distance,
            asks_first: copies.asks_first,
            ..plan
        };
    }

    /// A server may refuse copies by its policy or for a path that is too narrow; then packets are asked for instead.
    fn await_copies(&mut self, now: Instant) {
        if self.plan.copy_distance == 0 {
            self.copies_awaited = None;
            return;
        }
        let flowing = self.is_flowing(now);
        let since = *self.copies_awaited.get_or_insert(now);
        if flowing && now.saturating_since(since) >= REFUSED {
            self.copies_refused = Some(now + BELIEVED);
            (self.copies_needed, self.copies_awaited) = (None, None);
            self.plan.copy_distance = 0;
        }
    }

    /// A delay that goes up and down is worse than a long one: it rises at once and falls late.
    fn hold_delay(&mut self, needed: Duration, reach: Duration, now: Instant) {
        if needed >= self.delay.mul_f64(0.8) {
            self.delay_needed = Some(now);
        }
        let held = self
            .delay_needed
            .is_some_and(|needed| now.saturating_since(needed) < HOLD);
        if (needed > self.delay || !held || self.delay > reach) && needed != self.delay {
            self.delay = needed;
            self.delay_since = Some(now);
        }
    }

    /// Where the player doesn't wait as long as it was asked to, it has a reason.
    fn learn_reach(&mut self, now: Instant) {
        self.reach = self.reach.filter(|(_, until)| now < *until);
        let patience = self.legs.iter().map(Watch::patience).max().unwrap_or_default();
        let settled = self
            .delay_since
            .is_some_and(|since| now.saturating_since(since) >= SETTLED);
        if settled && patience + self.round_trip.margin() < self.delay {
            self.reach = Some((patience, now + BELIEVED));
        }
    }

    /// A wish for copies holds for some seconds at the server, and is said anew while sound flows.
    fn say_copies(&mut self, now: Instant) {
        let due = match self.said_copies {
            None => self.plan.copy_distance > 0,
            Some(_) if self.plan.copy_distance == 0 => true,
            Some(said) => now.saturating_since(said) >= SAY_COPIES,
        };
        if !due || !self.is_flowing(now) {
            return;
        }
        self.said_copies = (self.plan.copy_distance > 0).then_some(now);
        for leg in Leg::BOTH {
            let wish = RepairRequest::new(self.channel, leg, self.plan.copy_distance);
            push(&mut self.requests, wish);
        }
    }
}

fn push(requests: &mut VecDeque<RepairRequest>, request: RepairRequest) {
    if requests.len() == MOST_REQUESTS {
        requests.pop_front();
    }
    requests.push_back(request);
}

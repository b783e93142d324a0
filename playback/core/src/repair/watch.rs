//! One leg's numbers: which are missing, whether they may only have been overtaken, when to ask for them, and when it is
//! too late.

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::relay::AudioHeader;
use silentmon_proto::time::Instant;

use super::RepairReport;
use super::choice::MOST_TRIES;
use super::meter::LossMeter;
use crate::sequence::{Order, SequenceWindow};

/// Missing packets known at a time: five seconds of one leg.
const MOST_MISSING: usize = 256;
/// Interval between packets until two have come.
const USUAL_INTERVAL: Duration = Duration::from_millis(20);
/// Packets further apart have a pause between them.
const LONGEST_INTERVAL: Duration = Duration::from_millis(120);
/// How long a packet may have been overtaken where none was so far: packets read together are handed over in turn.
const LEAST_WAIT: Duration = Duration::from_millis(2);
/// Beyond this a packet that was overtaken is as good as lost.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Each packet takes so much off the wait that reordering left: half of it in seven seconds.
const FORGET: u32 = 512;
/// Packets asked for after the last one that came, before its successor shows that they exist.
const MOST_GUESSES: i64 = 3;
/// A packet so many numbers back has come or is lost.
const JUDGED: i64 = 16;
/// How long the fastest arrival is remembered, twice over.
const FASTEST: Duration = Duration::from_secs(5);

/// What asking depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) round_trip: Duration,
    /// How long after one request the next follows.
    pub(super) again: Duration,
    /// How many packets later a copy is waited for before anything is asked for; 0 for none.
    pub(super) awaited_copy: u8,
}

/// What a packet that came is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It hadn't come before; when it was asked for, where it is the answer to the only request.
    New(Option<Instant>),
    /// It came before.
    Known,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    number: i64,
    /// When it would have come had it been as fast as any.
    expected: Instant,
    noticed: Instant,
    tries: u8,
    tried: Option<Instant>,
    /// Whether it may not exist.
    guessed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    number: i64,
    captured: Instant,
    arrived: Instant,
}

/// One leg.
#[derive(Debug)]
pub(super) struct Watch {
    /// How long after its fastest possible arrival a packet can still be played.
    patience: Duration,
    numbers: SequenceWindow,
    newest: Option<Newest>,
    missing: VecDeque<Missing>,
    /// The highest number that was guessed, or won't be; how many after the newest packet were given up since.
    guessed_to: i64,
    given_up: i64,
    /// Bit n: the packet n numbers before the newest came without having been sent again.
    came: u64,
    judged_lost: bool,
    transit: FastestTransit,
    interval: Duration,
    /// How long a packet that is missing may only have been overtaken.
    wait: Duration,
    /// By how much the next packet came later than the interval.
    overdue: Duration,
    report: RepairReport,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            patience: Duration::ZERO,
            numbers: SequenceWindow::relay(),
            newest: None,
            missing: VecDeque::with_capacity(MOST_MISSING),
            guessed_to: 0,
            given_up: 0,
            came: 0,
            judged_lost: false,
            transit: FastestTransit::default(),
            interval: USUAL_INTERVAL,
            wait: LEAST_WAIT,
            overdue: LEAST_WAIT,
            report: RepairReport::default(),
        }
    }

    /// Takes how long a packet may still take when its successor comes without it.
    pub(super) fn handle_patience(&mut self, patience: Duration) {
        self.patience = if patience.is_zero() {
            patience
        } else {
            self.interval + patience
        };
    }

    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) const fn wait(&self) -> Duration {
        self.wait
    }

    pub(super) const fn report(&self) -> RepairReport {
        self.report
    }

    pub(super) fn is_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Whether a packet is missing and was asked for.
    pub(super) fn is_asked(&self, number: u32) -> bool {
        let asked = |missing: &Missing| missing.tries > 0 && number_on_the_wire(missing.number) == number;
        self.missing.iter().any(asked)
    }

    /// Takes a packet. Answers what it is.
    pub(super) fn handle_packet(&mut self, now: Instant, header: &AudioHeader, meter: &mut LossMeter) -> Taken {
        if !header.again {
            self.transit.observe(now, header.captured);
        }
        let numbered = self.numbers.record(header.relay_sequence, 0);
        match numbered.order {
            Order::Newest => {}
            Order::Restarted => {
                self.missing.clear();
                (self.newest, self.guessed_to, self.given_up) = (None, 0, 0);
            }
            Order::Reordered => return Taken::New(self.fill(now, numbered.extended, header.again)),
            Order::Suspect => return Taken::New(None),
            Order::Duplicate => return Taken::Known,
        }
        let answered = self.fill(now, numbered.extended, header.again);
        self.advance(now, numbered.extended, header, meter);
        Taken::New(answered)
    }

    /// A number that hadn't come yet. Answers when it was asked for, where it is the answer to the only request.
    fn fill(&mut self, now: Instant, number: i64, again: bool) -> Option<Instant> {
        self.note_arrival(number, again);
        let place = self
            .missing
            .binary_search_by_key(&number, |missing| missing.number)
            .ok();
        let Some(missing) = place.and_then(|place| self.missing.remove(place)) else {
            let new = self.newest.is_none_or(|newest| number > newest.number);
            self.report.late += u64::from(again && !new);
            self.report.repaired += u64::from(again && new);
            return None;
        };
        if again {
            self.report.repaired += 1;
            return missing.tried.filter(|_| missing.tries == 1);
        }
        let overtaken = now.saturating_since(missing.noticed);
        let wait = (overtaken + overtaken / 4).min(LONGEST_WAIT);
        if missing.guessed {
            self.overdue = self.overdue.max(wait);
        } else {
            self.wait = self.wait.max(wait);
        }
        None
    }

    fn note_arrival(&mut self, number: i64, again: bool) {
        let back = self.newest.map_or(-1, |newest| newest.number - number);
        if let (false, Ok(place @ 0..64)) = (again, u32::try_from(back)) {
            self.came |= 1 << place;
        }
    }

    /// A number higher than all before came: those between are missing.
    fn advance(&mut self, now: Instant, number: i64, header: &AudioHeader, meter: &mut LossMeter) {
        let newest = Newest {
            number,
            captured: header.captured,
            arrived: now,
        };
        let Some(former) = self.newest.replace(newest) else {
            // What was sent before is none of ours.
            self.came = u64::MAX;
            return;
        };
        let steps = number - former.number;
        for _ in 0..steps.min(64) {
            let lost = self.came >> (JUDGED - 1) & 1 == 0;
            meter.record(lost, self.judged_lost);
            self.judged_lost = lost;
            self.came <<= 1;
        }
        self.came |= u64::from(!header.again);
        self.measure_interval(&former, &newest);
        self.confirm_guesses(&former, number);
        let step =
            header.captured.saturating_since(former.captured).as_nanos() / u128::from(steps.unsigned_abs().max(1));
        let step = Duration::from_nanos(u64::try_from(step).unwrap_or(u64::MAX));
        let first = former.number.max(self.guessed_to) + 1;
        let most = i64::try_from(MOST_MISSING).unwrap_or(i64::MAX);
        let nearest = first.max(number - most);
        self.report.lost += (nearest - first).unsigned_abs();
        for lost in nearest..number {
            let back = u32::try_from(number - lost).unwrap_or(u32::MAX);
            let captured = header.captured.saturating_back(step.saturating_mul(back));
            self.miss(now, lost, self.transit.arrival(captured, now), false);
        }
    }

    /// What was guessed before a number that came does exist.
    fn confirm_guesses(&mut self, former: &Newest, number: i64) {
        for missing in self.missing.iter_mut().filter(|missing| missing.number < number) {
            missing.guessed = false;
        }
        let between = number - former.number - 1;
        self.report.lost += self.given_up.min(between).unsigned_abs();
        self.given_up = (self.given_up - between - 1).max(0);
    }

    fn measure_interval(&mut self, former: &Newest, newest: &Newest) {
        self.wait = self.wait.saturating_sub(self.wait / FORGET).max(LEAST_WAIT);
        self.overdue = self.overdue.saturating_sub(self.overdue / FORGET).max(LEAST_WAIT);
        let step = newest.captured.saturating_since(former.captured);
        if newest.number != former.number + 1 || step > LONGEST_INTERVAL {
            return;
        }
        self.interval = (self.interval * 7 + step) / 8;
        let overdue = newest
            .arrived
            .saturating_since(former.arrived)
            .saturating_sub(self.interval);
        self.overdue = self.overdue.max((overdue + overdue / 4).min(LONGEST_WAIT));
    }

    fn miss(&mut self, noticed: Instant, number: i64, expected: Instant, guessed: bool) {
        if self.missing.len() == MOST_MISSING {
            self.give_up_first();
        }
        self.missing.push_back(Missing {
            number,
            expected,
            noticed,
            tries: 0,
            tried: None,
            guessed,
        });
    }

    fn give_up_first(&mut self) {
        match self.missing.pop_front() {
            Some(missing) if missing.guessed => self.given_up += 1,
            Some(_) => self.report.lost += 1,
            None => {}
        }
    }

    /// The number to be guessed next, and when it is overdue; `None` where enough are guessed.
    fn next_guess(&self) -> Option<(i64, Instant)> {
        let newest = self.newest?;
        let number = newest.number.max(self.guessed_to) + 1;
        let ahead = number - newest.number;
        let steps = u32::try_from(ahead).ok().filter(|_| ahead <= MOST_GUESSES)?;
        Some((number, newest.arrived + self.interval * steps + self.overdue))
    }

    /// Takes as missing what is overdue after the last packet.
    pub(super) fn guess(&mut self, now: Instant) {
        while let (Some((number, due)), Some(newest)) = (self.next_guess(), self.newest) {
            if now < due {
                return;
            }
            self.guessed_to = number;
            // Long ago: a pause rather than a loss.
            if now.saturating_since(due) > LONGEST_WAIT {
                self.guessed_to = newest.number + MOST_GUESSES;
                return;
            }
            let ahead = u32::try_from(number - newest.number).unwrap_or(0);
            let captured = newest.captured + self.interval * ahead;
            self.miss(now, number, self.transit.arrival(captured, now), true);
        }
    }

    /// Gives up what can't be played any longer, and asks for what still can. Numbers are asked for in ascending order.
    pub(super) fn ask(&mut self, now: Instant, timing: &Timing, mut ask: impl FnMut(u32)) {
        let patience = self.patience;
        while self
            .missing
            .front()
            .is_some_and(|missing| now >= missing.expected + patience)
        {
            self.give_up_first();
        }
        let (wait, interval) = (self.wait, self.interval);
        for missing in &mut self.missing {
            let due = missing.next(timing, patience, wait, interval);
            if due.is_none_or(|due| now < due) {
                continue;
            }
            if now + timing.round_trip > missing.expected + patience {
                // It would come too late now and later.
                missing.tries = MOST_TRIES;
                continue;
            }
            missing.tries += 1;
            missing.tried = Some(now);
            self.report.asked += 1;
            ask(number_on_the_wire(missing.number));
        }
    }

    /// When something is to be done next.
    pub(super) fn next(&self, timing: &Timing, guesses: bool) -> Option<Instant> {
        let due = self.missing.front().map(|missing| missing.expected + self.patience);
        let asks = self
            .missing
            .iter()
            .filter_map(|missing| missing.next(timing, self.patience, self.wait, self.interval));
        let guess = self.next_guess().filter(|_| guesses).map(|(_, at)| at);
        asks.chain(due).chain(guess).min()
    }
}

impl Missing {
    /// When it is to be asked for next, if at all.
    fn next(&self, timing: &Timing, patience: Duration, wait: Duration, interval: Duration) -> Option<Instant> {
        let tries = if self.guessed { 1 } else { MOST_TRIES };
        if self.tries >= tries {
            return None;
        }
        if let Some(tried) = self.tried {
            return Some(tried + timing.again);
        }
        let copied = self.expected + interval * u32::from(timing.awaited_copy);
        let patient = (self.noticed + wait).max(if timing.awaited_copy > 0 {
            copied + wait
        } else {
            self.noticed
        });
        // The last moment is better than never.
        let last = (self.expected + patience).saturating_back(timing.round_trip);
        Some(patient.min(last.max(self.noticed)))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "modulo 2^32 is meant"
)]
const fn number_on_the_wire(extended: i64) -> u32 {
    extended as u32
}

/// The fastest way from the capture NIC to here over the last five to ten seconds, clocks that differ included.
#[derive(Debug, Clone, Copy, Default)]
struct FastestTransit {
    /// Of the span before, and of the one that runs since a time; in nanoseconds.
    former: Option<i64>,
    running: Option<(i64, Instant)>,
}

impl FastestTransit {
    fn observe(&mut self, now: Instant, captured: Instant) {
        let transit = signed(now).wrapping_sub(signed(captured));
        self.running = match self.running {
            Some((fastest, since)) if now.saturating_since(since) < FASTEST => Some((fastest.min(transit), since)),
            Some((fastest, _)) => {
                self.former = Some(fastest);
                Some((transit, now))
            }
            None => Some((transit, now)),
        };
    }

    /// When a packet captured then comes if it is as fast as any; not later than `now`, where it is missing already.
    fn arrival(&self, captured: Instant, now: Instant) -> Instant {
        let running = self.running.map(|(fastest, _)| fastest);
        let Some(fastest) = running.into_iter().chain(self.former).min() else {
            return now;
        };
        let nanos = signed(captured).saturating_add(fastest);
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(0)).min(now)
    }
}

fn signed(instant: Instant) -> i64 {
    i64::try_from(instant.as_nanos()).unwrap_or(i64::MAX)
}

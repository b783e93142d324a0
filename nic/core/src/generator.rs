//! The generator: announces its session until a target answers, sends the frames of every check, says how many it sent, and
//! waits for the verdict. Towards a target that can't answer it goes through the same without waiting.

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::time::Instant;

use crate::burst::BurstFrames;
use crate::check::{CheckId, Checks};
use crate::control::{Control, Sent, Told};
use crate::frame::{self, Ends};
use crate::mac::MacAddress;
use crate::plan::Plan;
use crate::read::{Content, Read};
use crate::wire::SessionId;

const HELLO_GAP: Duration = Duration::from_millis(200);
/// Announcements where nobody can answer.
const HELLOS_ONE_WAY: u32 = 3;
/// Rest before and after the burst, in which slower readers catch up.
const REST: Duration = Duration::from_millis(60);
const DONE_GAP: Duration = Duration::from_millis(300);
const DONES_ONE_WAY: u32 = 5;
/// How long a target that has answered may think. Changing a setting can take the link down for seconds.
const THINKING: Duration = Duration::from_secs(15);

/// What to send, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The session, drawn at random.
    pub session: SessionId,
    /// From where to where.
    pub ends: Ends,
    /// The checks.
    pub plan: Plan,
    /// How long to call for a target; `None` where it can't answer.
    pub calling: Option<Duration>,
}

/// What is to go out.
#[derive(Debug, Clone)]
pub enum Transmit {
    /// A frame, of a check or a message. Its fate goes to [`Generator::handle_sent`].
    Frame(Vec<u8>, Option<CheckId>),
    /// The burst. How it went goes to [`Generator::handle_burst_sent`].
    Burst(BurstFrames),
}

/// What happened to a frame given to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It went out.
    Sent,
    /// The system refused it: longer than the interface's MTU lets out.
    Refused,
}

/// What a generator has to tell whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A target answered.
    TargetFound(MacAddress),
    /// Nobody answered; the frames go out all the same.
    NobodyAnswers,
    /// Some checks are sent again.
    AskedAgain(Checks),
    /// The target's verdict.
    Verdict(Told),
    /// It ended without a verdict.
    NoVerdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Calling {
        next: Instant,
        left: u32,
    },
    Sending {
        check: CheckId,
        sequence: u32,
        next: Instant,
    },
    Resting {
        until: Instant,
    },
    Bursting,
    Reporting {
        next: Instant,
        left: u32,
    },
    Over,
}

/// The generator's end of a test.
#[derive(Debug, Clone)]
pub struct Generator {
    assignment: Assignment,
    phase: Phase,
    round: u8,
    checks: Checks,
    sent: Sent,
    target_answered: bool,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Generator {
    /// A generator that begins now.
    pub fn new(assignment: Assignment, now: Instant) -> Self {
        let checks = assignment.plan.checks;
        let left = assignment.calling.map_or(HELLOS_ONE_WAY, |time| times(time, HELLO_GAP));
        Self {
            assignment,
            phase: Phase::Calling { next: now, left },
            round: 0,
            checks,
            sent: Sent::none(checks, assignment.plan.burst.rate),
            target_answered: false,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// What was sent so far in this round.
    pub const fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Whether there is nothing more to do.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::poll_transmit`] is to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Calling { next, .. } | Phase::Sending { next, .. } | Phase::Reporting { next, .. } => Some(next),
            Phase::Resting { until } => Some(until),
            Phase::Bursting | Phase::Over => None,
        }
    }

    /// Takes a frame that came in; only answers of this session count.
    pub fn handle_frame(&mut self, read: &Read, now: Instant) {
        let Content::Control(session, heard) = read.content else {
            return;
        };
        if session != self.assignment.session {
            return;
        }
        match heard.control {
            Control::Ready => {
                if !self.target_answered && self.assignment.calling.is_some() {
                    self.target_answered = true;
                    self.events.push_back(Event::TargetFound(read.source));
                }
                if matches!(self.phase, Phase::Calling { .. }) {
                    self.begin(now);
                }
            }
            Control::Again(checks) => {
                if matches!(self.phase, Phase::Reporting { .. }) && heard.round == self.round.wrapping_add(1) {
                    self.round = heard.round;
                    self.checks = checks;
                    self.sent = Sent::none(checks, self.assignment.plan.burst.rate);
                    self.events.push_back(Event::AskedAgain(checks));
                    self.begin(now);
                }
            }
            Control::Verdict(told) => {
                if self.phase != Phase::Over {
                    self.phase = Phase::Over;
                    self.events.push_back(Event::Verdict(told));
                }
            }
            Control::Hello(_) | Control::Done(_) => {}
        }
    }

    /// The next thing to send, once its time has come.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(frame) = self.outbox.pop_front() {
            return Some(Transmit::Frame(frame, None));
        }
        match self.phase {
            Phase::Calling { next, left } if now >= next => self.call(now, left),
            Phase::Sending { check, sequence, next } if now >= next => self.send(check, sequence, now),
            Phase::Resting { until } if now >= until => self.after_rest(now),
            Phase::Reporting { next, left } if now >= next => self.report(now, left),
            _ => None,
        }
    }

    /// Learns what became of a frame of a check.
    pub fn handle_sent(&mut self, check: CheckId, fate: Fate) {
        if fate == Fate::Sent {
            self.sent.add(check, 1);
        }
    }

    /// Learns how the burst went.
    pub fn handle_burst_sent(&mut self, frames: u32, took: Duration, now: Instant) {
        self.sent.add(CheckId::Burst, frames);
        self.sent.burst_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.checks = self.checks.without(CheckId::Burst);
        self.phase = Phase::Resting { until: now + REST };
    }

    fn call(&mut self, now: Instant, left: u32) -> Option<Transmit> {
        let Some(left) = left.checked_sub(1) else {
            if self.assignment.calling.is_some() {
                self.events.push_back(Event::NobodyAnswers);
            }
            self.begin(now);
            return self.poll_transmit(now);
        };
        self.phase = Phase::Calling {
            next: now + HELLO_GAP,
            left,
        };
        self.say(&Control::Hello(self.assignment.plan), now)
    }

    /// A message goes to everyone, and to the target itself where a switch keeps broadcasts away.
    fn say(&mut self, message: &Control, now: Instant) -> Option<Transmit> {
        let Ends { generator, target } = self.assignment.ends;
        let to = |to| frame::control(generator, to, self.assignment.session, self.round, now, message);
        self.outbox.extend([to(target), to(MacAddress::BROADCAST)]);
        self.outbox.pop_front().map(|frame| Transmit::Frame(frame, None))
    }

    fn begin(&mut self, now: Instant) {
        self.next_check(None, now);
    }

    /// The check after this one, or the burst.
    fn next_check(&mut self, after: Option<CheckId>, now: Instant) {
        let short = |check: &CheckId| check.frames() > 0 && after.is_none_or(|after| *check > after);
        self.phase = match self.checks.iter().find(short) {
            Some(check) => Phase::Sending {
                check,
                sequence: 0,
                next: now + check.gap(),
            },
            None => Phase::Resting { until: now + REST },
        };
    }

    fn send(&mut self, check: CheckId, sequence: u32, now: Instant) -> Option<Transmit> {
        let Some(shape) = check.shape(sequence) else {
            self.next_check(Some(check), now);
            return self.poll_transmit(now);
        };
        self.phase = Phase::Sending {
            check,
            sequence: sequence + 1,
            next: now + check.gap(),
        };
        let header = frame::header(self.assignment.session, check, self.round, sequence, now);
        let probe = frame::probe(self.assignment.ends, &shape, &header);
        Some(Transmit::Frame(probe, Some(check)))
    }

    fn after_rest(&mut self, now: Instant) -> Option<Transmit> {
        let Assignment {
            session, ends, plan, ..
        } = self.assignment;
        if self.checks.contains(CheckId::Burst) && plan.burst.frames > 0 {
            self.phase = Phase::Bursting;
            return Some(Transmit::Burst(BurstFrames::new(ends, session, self.round, plan.burst)));
        }
        let left = if self.target_answered {
            times(THINKING, DONE_GAP)
        } else {
            DONES_ONE_WAY
        };
        self.phase = Phase::Reporting { next: now, left };
        self.poll_transmit(now)
    }

    fn report(&mut self, now: Instant, left: u32) -> Option<Transmit> {
        let Some(left) = left.checked_sub(1) else {
            self.phase = Phase::Over;
            self.events.push_back(Event::NoVerdict);
            return None;
        };
        let gap = if self.target_answered { DONE_GAP } else { DONE_GAP / 6 };
        self.phase = Phase::Reporting { next: now + gap, left };
        self.say(&Control::Done(self.sent), now)
    }
}

fn times(whole: Duration, part: Duration) -> u32 {
    u32::try_from(whole.as_millis() / part.as_millis().max(1)).unwrap_or(u32::MAX)
}

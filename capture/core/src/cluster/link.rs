//! One connection between two members.

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::Fact;
use silentmon_proto::time::Instant;

use super::{Dialled, GREETED_WITHIN};

/// Measurements of the clock that are kept; the one with the shortest round trip counts.
const MEASUREMENTS: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub peer: ServerName,
    pub dialled: Dialled,
    /// The run of the other program, once it has greeted.
    pub run: u64,
    /// The run of it that was talked to over another connection, where this one took that one's place before the greeting.
    pub followed_run: Option<u64>,
    /// Its program, version and newest version of the messages, likewise.
    pub software: String,
    pub version: u16,
    /// Since when the connection is there.
    pub since: Instant,
    /// Heartbeats sent since anything was heard.
    pub unanswered: u32,
    /// When the next heartbeat is due or, before the greeting, the end.
    pub due: Instant,
    pub news: Numbering,
    /// Pages of a snapshot that isn't complete yet.
    pub snapshot: Vec<Fact>,
    heartbeat: Duration,
    clock: VecDeque<ClockDifference>,
}

/// How another member's clock differs from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDifference {
    /// Its clock less ours, in nanoseconds.
    pub ahead: i64,
    /// Round trip at which that was measured: it may be wrong by half of it.
    pub round_trip: Duration,
}

impl ClockDifference {
    /// As in RFC 5905 section 8, with one stamp of the other side's; nothing where our clock went back meanwhile.
    pub fn measured(sent: Instant, answered: Instant, now: Instant) -> Option<Self> {
        if now < sent {
            return None;
        }
        let round_trip = now - sent;
        let middle = i128::from(sent.as_nanos()) + i128::try_from((round_trip / 2).as_nanos()).unwrap_or(0);
        let ahead = i128::from(answered.as_nanos()) - middle;
        let ahead = i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
        Some(Self { ahead, round_trip })
    }

    /// A time of its clock by ours.
    pub fn ours(self, theirs: Instant) -> Instant {
        let ours = i128::from(theirs.as_nanos()) - i128::from(self.ahead);
        Instant::from_nanos(u64::try_from(ours.max(0)).unwrap_or(u64::MAX))
    }
}

/// Which number the next of a member's facts must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbering {
    /// A snapshot will tell.
    Unknown,
    /// One more than this.
    After(u64),
}

impl Numbering {
    /// Whether no fact up to this number is missing.
    pub fn has(&mut self, number: u64) -> bool {
        let complete = !matches!(*self, Self::After(last) if last != number);
        if !complete {
            *self = Self::Unknown;
        }
        complete
    }

    /// Takes the number of a fact; whether none is missing before it.
    pub fn takes(&mut self, number: u64) -> bool {
        match *self {
            Self::Unknown => true,
            Self::After(last) if number == last + 1 => {
                *self = Self::After(number);
                true
            }
            Self::After(_) => {
                *self = Self::Unknown;
                false
            }
        }
    }
}

impl Link {
    pub fn new(peer: ServerName, dialled: Dialled, now: Instant, heartbeat: Duration) -> Self {
        Self {
            peer,
            dialled,
            run: 0,
            followed_run: None,
            software: String::new(),
            version: 0,
            since: now,
            unanswered: 0,
            due: now + GREETED_WITHIN.min(heartbeat),
            news: Numbering::Unknown,
            snapshot: Vec::new(),
            heartbeat,
            clock: VecDeque::new(),
        }
    }

    /// The other side lives.
    pub const fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Roughly when something was heard last.
    pub fn last_heard(&self, now: Instant) -> Instant {
        now.saturating_back(self.heartbeat * (self.unanswered + 1))
    }

    pub fn measure_clock(&mut self, sent: Instant, answered: Instant, now: Instant) {
        let Some(measured) = ClockDifference::measured(sent, answered, now) else {
            return;
        };
        if self.clock.len() == MEASUREMENTS {
            self.clock.pop_front();
        }
        self.clock.push_back(measured);
    }

    pub fn clock(&self) -> Option<ClockDifference> {
        self.clock.iter().min_by_key(|measured| measured.round_trip).copied()
    }
}

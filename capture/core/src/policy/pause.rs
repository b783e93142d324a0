//! Pauses: for a while nothing of an agent's call leaves the server, because a customer tells how he pays, or because the
//! agent marked the call as private.
//!
//! A pause always ends: with its call, when it is asked to, when what began it is over, and at the latest by its limit.
//! Who is hit by one is the engine's to know; this is the table of those that run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use silentmon_proto::ids::CallId;
pub use silentmon_proto::pause::{PauseKind, PauseOf, PauseSource};
use silentmon_proto::time::Instant;
use thiserror::Error;

use super::mute::VariableRule;

/// Most pauses at a time that were asked for. Those that a call brings with it are bounded by the calls.
const MOST_REQUESTED: usize = 4096;
/// How much later a pause must end to be written down again: whoever asks every second wouldn't fill the journal.
pub(crate) const WORTH_WRITING: Duration = Duration::from_secs(10);
/// Most calls whose pause reached its limit that are remembered.
const MOST_SPENT: usize = 4096;

/// When payment pauses begin and end by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentPauses {
    /// How long one lasts at most.
    pub longest: Duration,
    /// A call variable that begins one, and ends it when it changes.
    pub variable: Option<VariableRule>,
    /// Digits keyed by the customer that begin one.
    pub digits: Option<DigitBurst>,
}

impl Default for PaymentPauses {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(300),
            variable: None,
            digits: None,
        }
    }
}

/// So many digits within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitBurst {
    /// How many.
    pub digits: NonZeroUsize,
    /// Within how long.
    pub within: Duration,
}

/// Why a pause ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseEnd {
    /// Somebody asked for it.
    Requested {
        /// Who, in his own words.
        by: String,
    },
    /// The call is over.
    CallOver,
    /// It lasted as long as it may.
    Limit,
    /// The call variable has another value, or means nothing any more.
    VariableChanged,
    /// The server stops.
    ServerStops,
}

impl PauseEnd {
    /// The end in words that name nobody.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "asked for",
            Self::CallOver => "the call is over",
            Self::Limit => "limit reached",
            Self::VariableChanged => "call variable changed",
            Self::ServerStops => "the server stops",
        }
    }

    /// The end in words.
    pub fn words(&self) -> String {
        match self {
            Self::Requested { by } => format!("{} by {by}", self.reason()),
            Self::CallOver | Self::Limit | Self::VariableChanged | Self::ServerStops => self.reason().to_owned(),
        }
    }
}

/// A pause that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What for.
    pub kind: PauseKind,
    /// Whose.
    pub of: PauseOf,
    /// What began it.
    pub source: PauseSource,
    /// Who or what that was, in his own words.
    pub by: String,
    /// Since when.
    pub since: Instant,
    /// Until when at the latest.
    pub until: Instant,
    /// When it was asked for last.
    pub asked: Instant,
    /// Calls it holds for: it ends with the last of them. None yet: it waits for one.
    pub calls: Vec<CallId>,
}

type Key = (PauseKind, PauseOf, PauseSource);

impl Pause {
    fn key(&self) -> Key {
        (self.kind, self.of.clone(), self.source)
    }
}

/// Nothing more can be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected at most {MOST_REQUESTED} pauses at a time")]
pub struct TooManyPauses;

/// Whether a pause began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It did.
    New,
    /// It ran already, and lasts so much longer now that it is worth being written down.
    Prolonged,
    /// It ran already; it may last a little longer now.
    Renewed,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    running: BTreeMap<Key, Pause>,
    /// Until when each was last written down to run.
    written: BTreeMap<Key, Instant>,
    /// Calls whose variable still says what began a pause that has ended.
    spent: BTreeSet<CallId>,
}

impl Pauses {
    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Those that run.
    pub fn iter(&self) -> impl Iterator<Item = &Pause> {
        self.running.values()
    }

    /// Those that run, to give them calls.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pause> {
        self.running.values_mut()
    }

    /// Begins a pause, or lets the one that runs last longer.
    ///
    /// # Errors
    /// There are too many.
    pub fn begin(&mut self, pause: Pause) -> Result<Begun, TooManyPauses> {
        let key = pause.key();
        if let Some(running) = self.running.get_mut(&key) {
            running.until = running.until.max(pause.until);
            running.asked = running.asked.max(pause.asked);
            if running.calls.is_empty() {
                running.calls = pause.calls;
            }
            let written = self.written.entry(key).or_insert(running.since);
            if running.until < *written + WORTH_WRITING {
                return Ok(Begun::Renewed);
            }
            *written = running.until;
            return Ok(Begun::Prolonged);
        }
        let requested = |key: &Key| key.2 == PauseSource::Request;
        if requested(&key) && self.running.keys().filter(|key| requested(key)).count() >= MOST_REQUESTED {
            return Err(TooManyPauses);
        }
        self.written.insert(key.clone(), pause.until);
        self.running.insert(key, pause);
        Ok(Begun::New)
    }

    /// Ends those that fit.
    pub fn end(&mut self, fits: impl Fn(&Pause) -> bool) -> Vec<Pause> {
        let keys = self
            .running
            .iter()
            .filter(|(_, pause)| fits(pause))
            .map(|(key, _)| key.clone());
        let keys: Vec<Key> = keys.collect();
        for key in &keys {
            self.written.remove(key);
        }
        keys.iter().filter_map(|key| self.running.remove(key)).collect()
    }

    /// When the next one ends by its limit.
    pub fn next_end(&self) -> Option<Instant> {
        self.running.values().map(|pause| pause.until).min()
    }

    /// A call's variable begins no pause again until it changed.
    pub fn spend(&mut self, call: CallId) {
        if self.spent.len() < MOST_SPENT {
            self.spent.insert(call);
        }
    }

    /// Whether a call's variable has had its pause.
    pub fn is_spent(&self, fits: impl Fn(&CallId) -> bool) -> bool {
        self.spent.iter().any(fits)
    }

    /// Forgets those of the calls that had their pause which don't fit.
    pub fn keep_spent(&mut self, fits: impl Fn(&CallId) -> bool) {
        self.spent.retain(fits);
    }
}

/// Digits that a customer keyed lately, each counted once though it comes in many packets, or as tone and as event.
#[derive(Debug, Clone, Default)]
pub struct KeyedDigits {
    keyed: VecDeque<Instant>,
    /// RTP timestamp of the last event.
    last_event: Option<u32>,
    /// How and when the last digit came.
    last: Option<(Carried, Instant)>,
}

/// How a digit comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    Event,
    Tone,
}

/// A gateway that turns tones into events lets the begin of each tone through; Q.24 has no digits that follow each other
/// faster than in 80 ms.
const TWIN: Duration = Duration::from_millis(60);

impl KeyedDigits {
    /// Takes a packet of an RFC 4733 event that is a digit. Answers whether it completes a burst.
    pub fn handle_event(&mut self, timestamp: u32, at: Instant, burst: DigitBurst) -> bool {
        // All packets of one event carry the timestamp of its begin (RFC 4733 section 2.5.1.2).
        if self.last_event == Some(timestamp) {
            return false;
        }
        self.last_event = Some(timestamp);
        self.count(Carried::Event, at, burst)
    }

    /// Takes a digit that begins in the sound. Answers whether it completes a burst.
    pub fn handle_tone(&mut self, at: Instant, burst: DigitBurst) -> bool {
        self.count(Carried::Tone, at, burst)
    }

    fn count(&mut self, carried: Carried, at: Instant, burst: DigitBurst) -> bool {
        let is_twin = |(other, then): (Carried, Instant)| other != carried && at.saturating_since(then) < TWIN;
        if self.last.is_some_and(is_twin) {
            return false;
        }
        self.last = Some((carried, at));
        self.keyed.push_back(at);
        while self.keyed.len() > burst.digits.get() {
            self.keyed.pop_front();
        }
        let first = self.keyed.front().copied().unwrap_or(at);
        self.keyed.len() == burst.digits.get() && at.saturating_since(first) <= burst.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(agent: &str, until: u64) -> Pause {
        Pause {
            kind: PauseKind::Payment,
            of: PauseOf::Agent(agent.into()),
            source: PauseSource::Request,
            by: "desktop".to_owned(),
            since: Instant::EPOCH,
            until: Instant::from_parts(until, 0),
            asked: Instant::EPOCH,
            calls: Vec::new(),
        }
    }

    #[test]
    fn a_pause_asked_for_twice_is_one_that_lasts_as_long_as_the_longer() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.begin(pause("4711", 20)), Ok(Begun::New));
        assert_eq!(pauses.begin(pause("4711", 10)), Ok(Begun::Renewed));
        assert_eq!(pauses.next_end(), Some(Instant::from_parts(20, 0)));
        for (until, begun) in [(29, Begun::Renewed), (30, Begun::Prolonged), (31, Begun::Renewed)] {
            assert_eq!(pauses.begin(pause("4711", until)), Ok(begun));
            assert_eq!(pauses.next_end(), Some(Instant::from_parts(until, 0)));
        }
        assert_eq!(pauses.end(|_| true).len(), 1);
        assert!(pauses.is_empty());
    }

    #[test]
    fn only_so_many_pauses_can_be_asked_for_and_calls_still_bring_theirs() {
        let mut pauses = Pauses::default();
        for agent in 0..MOST_REQUESTED {
            assert_eq!(pauses.begin(pause(&agent.to_string(), 10)), Ok(Begun::New));
        }
        assert_eq!(pauses.begin(pause("one more", 10)), Err(TooManyPauses));
        assert_eq!(pauses.begin(pause("1", 10)), Ok(Begun::Renewed));
        let digits = Pause {
            source: PauseSource::Digits,
            ..pause("one more", 10)
        };
        assert_eq!(pauses.begin(digits), Ok(Begun::New));
    }

    #[test]
    fn what_began_a_pause_reads_back_from_its_words() {
        for (source, by) in [
            (PauseSource::Request, "till 3"),
            (PauseSource::Variable, "CallVariable7"),
            (PauseSource::Digits, ""),
        ] {
            assert_eq!(
                PauseSource::from_words(&source.words(by)),
                Some((source, by.to_owned()))
            );
        }
        assert_eq!(PauseSource::from_words("a whim"), None);
    }

    #[test]
    fn a_burst_is_so_many_digits_within_so_long_however_many_packets_each_takes() {
        let burst = DigitBurst {
            digits: const { NonZeroUsize::new(3).expect("3 is not 0") },
            within: Duration::from_secs(4),
        };
        let mut keyed = KeyedDigits::default();
        let mut key = |timestamp: u32, at: u64| {
            let first = keyed.handle_event(timestamp, Instant::from_parts(at, 0), burst);
            let again = keyed.handle_event(timestamp, Instant::from_parts(at, 60_000_000), burst);
            assert!(!again, "a digit's other packets are no digits");
            first
        };
        assert!(!key(100, 10));
        assert!(!key(200, 13));
        assert!(!key(300, 15), "three within five seconds");
        assert!(key(400, 17), "three within four");
    }

    #[test]
    fn a_digit_that_comes_as_tone_and_as_event_is_one() {
        let burst = DigitBurst {
            digits: const { NonZeroUsize::new(4).expect("4 is not 0") },
            within: Duration::from_secs(4),
        };
        let at = |milliseconds: u32| Instant::from_parts(10, milliseconds * 1_000_000);
        let mut keyed = KeyedDigits::default();
        assert!(!keyed.handle_tone(at(0), burst));
        assert!(!keyed.handle_event(100, at(40), burst), "its event");
        assert!(!keyed.handle_event(200, at(150), burst));
        assert!(!keyed.handle_tone(at(170), burst), "its tone");
        assert!(!keyed.handle_tone(at(300), burst));
        assert!(keyed.handle_tone(at(400), burst), "the fourth");
    }
}

//! The target: waits for a generator, answers it, and counts what comes of each check. What it counted is judged by
//! [`crate::evaluate`].

use std::collections::VecDeque;
use std::time::Duration;

use silentmon_proto::time::Instant;

use crate::check::Checks;
use crate::control::{Control, Heard, Sent, Told};
use crate::frame;
use crate::mac::MacAddress;
use crate::model::{Others, Parties};
use crate::plan::{BurstPlan, Plan};
use crate::read::{Content, Read, Sighting};
use crate::tally::Tallies;
use crate::wire::SessionId;

/// Time for the last frames to come, after the generator said that it has sent all.
const SETTLING: Duration = Duration::from_millis(150);
/// How long a generator may be silent beyond its plan until it is taken to have ended.
const PATIENCE: Duration = Duration::from_secs(4);
/// Time between two requests to send checks again, and how often it is asked.
const ASKING: (Duration, u32) = (Duration::from_millis(500), 20);
/// How often the verdict is told: a frame may be lost.
const TELLINGS: u32 = 4;

/// Whether the target says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// It answers the generator over the wire.
    OverTheWire,
    /// It sends nothing: the interface is a mirror port.
    None,
}

/// What a target has to tell whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A generator was found.
    GeneratorFound,
    /// All of a round has come, or nothing more will.
    RoundOver,
}

/// The frames of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// What the generator says it has sent; `None` where that didn't come.
    pub sent: Option<Sent>,
    /// What was announced.
    pub plan: Plan,
    /// What came.
    pub tallies: Tallies,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    parties: Parties,
    round: u8,
    current: Round,
    /// When nothing more is waited for.
    over_at: Instant,
    is_over: bool,
    /// When checks are asked for again, and how often still.
    asking: Option<(Instant, u32, Checks)>,
}

/// The target's end of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    own: MacAddress,
    wanted: Option<SessionId>,
    answers: Answers,
    session: Option<Session>,
    others: Others,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Target {
    /// A target that takes the first generator it hears, or only that of the wanted session.
    pub fn new(own: MacAddress, wanted: Option<SessionId>, answers: Answers) -> Self {
        Self {
            own,
            wanted,
            answers,
            session: None,
            others: Others::default(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Who tests, once a generator was heard.
    pub fn parties(&self) -> Option<&Parties> {
        self.session.as_ref().map(|session| &session.parties)
    }

    /// The round in progress, or the last one.
    pub fn round(&self) -> Option<&Round> {
        self.session.as_ref().map(|session| &session.current)
    }

    /// Frames that belonged to no check of the session.
    pub const fn others(&self) -> Others {
        self.others
    }

    /// Takes a frame from the raw socket.
    pub fn handle_frame(&mut self, read: &Read, now: Instant) {
        match read.content {
            Content::Foreign => self.others.foreign += 1,
            Content::Classic => self.others.classic += 1,
            Content::Damaged => self.others.damaged += 1,
            Content::Control(id, heard) => {
                if self.belongs(id, read.source, now) {
                    self.handle_control(&heard, now);
                }
            }
            Content::Probe(id, sighting) => {
                if self.belongs(id, read.source, now) {
                    self.handle_probe(&sighting, now);
                }
            }
        }
    }

    /// Takes a frame of a check as libpcap showed it.
    pub fn handle_captured(&mut self, id: SessionId, sighting: &Sighting) {
        if let Some(session) = &mut self.session
            && session.parties.session == id
            && session.round == sighting.round
        {
            session.current.tallies.count_captured(sighting);
        }
    }

    /// Ends the round where nothing more is to be expected, and asks again where no answer came.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(session) = &mut self.session else { return };
        if let Some((at, left, checks)) = session.asking
            && now >= at
        {
            session.asking = left.checked_sub(1).map(|left| (now + ASKING.0, left, checks));
            self.say(&Control::Again(checks), now);
        }
        let Some(session) = &mut self.session else { return };
        if now >= session.over_at && !session.is_over {
            session.is_over = true;
            session.asking = None;
            self.events.push_back(Event::RoundOver);
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        let over = (!session.is_over).then_some(session.over_at);
        let asking = session.asking.map(|(at, _, _)| at);
        over.into_iter().chain(asking).min()
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Has the generator send some checks once more, as a new round.
    pub fn ask_again(&mut self, checks: Checks, now: Instant) {
        let Some(session) = &mut self.session else { return };
        let plan = Plan {
            checks,
            ..session.current.plan
        };
        session.round = session.round.wrapping_add(1);
        session.current = Round {
            sent: None,
            plan,
            tallies: Tallies::default(),
        };
        session.is_over = false;
        let (gap, times) = ASKING;
        session.over_at = now + gap * times + plan.duration() * 2 + PATIENCE;
        session.asking = Some((now + gap, times, checks));
        self.say(&Control::Again(checks), now);
    }

    /// Tells the generator the verdict.
    pub fn tell(&mut self, told: Told, now: Instant) {
        for _ in 0..TELLINGS {
            self.say(&Control::Verdict(told), now);
        }
    }

    /// Whether a frame of this session is for us: the first session heard is taken, unless another is wanted.
    fn belongs(&mut self, id: SessionId, source: MacAddress, now: Instant) -> bool {
        let ours = match (&self.session, self.wanted) {
            (Some(session), _) => session.parties.session == id,
            (None, Some(wanted)) => wanted == id,
            (None, None) => true,
        };
        if !ours {
            self.others.other_sessions += 1;
        } else if self.session.is_none() {
            self.session = Some(Session::begun(id, source, now));
            self.events.push_back(Event::GeneratorFound);
        }
        ours
    }

    fn handle_control(&mut self, heard: &Heard, now: Instant) {
        let Some(session) = &mut self.session else { return };
        match heard.control {
            Control::Hello(plan) => {
                if session.round == 0 {
                    session.current.plan = plan;
                    session.over_at = now + plan.duration() * 2 + PATIENCE;
                    self.say(&Control::Ready, now);
                }
            }
            Control::Done(sent) => {
                if session.round == heard.round && session.current.sent.is_none() {
                    session.current.sent = Some(sent);
                    session.over_at = now + SETTLING;
                    session.asking = None;
                }
            }
            // What targets say, this one or another on the same wire.
            Control::Ready | Control::Again(_) | Control::Verdict(_) => {}
        }
    }

    fn handle_probe(&mut self, sighting: &Sighting, now: Instant) {
        let Some(session) = &mut self.session else { return };
        if session.round == sighting.round {
            session.asking = None;
            session.current.tallies.count(sighting, session.current.plan, now);
        }
    }

    fn say(&mut self, message: &Control, now: Instant) {
        let Some(session) = self.session.as_ref().filter(|_| self.answers == Answers::OverTheWire) else {
            return;
        };
        let Parties { session: id, generator } = session.parties;
        let message = frame::control(self.own, generator, id, session.round, now, message);
        self.outbox.push_back(message);
    }
}

impl Session {
    /// Of a generator whose plan isn't known yet: it may have been lost.
    fn begun(id: SessionId, generator: MacAddress, now: Instant) -> Self {
        let plan = Plan {
            checks: Checks::all(),
            burst: BurstPlan {
                rate: 0,
                frames: BurstPlan::MAX_FRAMES,
            },
        };
        Self {
            parties: Parties { session: id, generator },
            round: 0,
            current: Round {
                sent: None,
                plan,
                tallies: Tallies::default(),
            },
            over_at: now + Duration::from_secs(20) + PATIENCE,
            is_over: false,
            asking: None,
        }
    }
}

//! The life of the connection and of the session in it: opened, renewed, lost, taken up again, ended.

use std::time::Duration;

use silentmon_proto::cti::csta::{Framer, Request, Response, SessionGranted};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::super::{Endpoint, StreamOutput};
use super::CstaLink;
use super::pending::Asked;

/// How long the answer to a goodbye is waited for.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);

/// A session is renewed no more often than this, whatever the switch grants.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

/// Shortest time between heartbeats.
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between attempts.
    Waiting {
        until: Instant,
    },
    Connecting,
    /// Connected, and waiting for the session.
    Opening,
    Up,
    /// Said goodbye.
    Closing {
        deadline: Instant,
        then: Then,
    },
    Ended,
}

/// What comes after the goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    End,
    Reconnect,
}

/// A session that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) renew_at: Instant,
    duration: Duration,
}

impl Session {
    fn granted(id: String, duration: Duration, now: Instant) -> Self {
        let mut session = Self {
            id,
            renew_at: now,
            duration,
        };
        session.renewed(None, now);
        session
    }

    /// It lives on for this long (seconds), or as long as before.
    fn renewed(&mut self, duration: Option<u64>, now: Instant) {
        if let Some(duration) = duration.filter(|&duration| duration > 0) {
            self.duration = Duration::from_secs(duration.min(86_400));
        }
        self.renew_at = now + (self.duration / 2).max(SHORTEST_RENEWAL);
    }
}

impl CstaLink {
    pub(super) fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.outputs.push_back(StreamOutput::Connect(self.endpoint));
    }

    /// Connected: opens a session, takes up the old one, or asks whether there is a switch at all.
    pub(super) fn open(&mut self, now: Instant) {
        self.phase = Phase::Opening;
        self.framer = Framer::default();
        self.unanswered = 0;
        let Some(session) = &self.settings.session else {
            self.ask(Asked::Probe, &Request::RequestSystemStatus, now);
            return;
        };
        match self.old_session.clone() {
            Some(session_id) if !session.login_names_the_session() => {
                let duration = session.duration.as_secs();
                let request = Request::ResetApplicationSessionTimer {
                    session_id: session_id.clone(),
                    duration,
                };
                self.ask(Asked::Resume(session_id), &request, now);
            }
            old => self.start_session(old, now),
        }
    }

    fn start_session(&mut self, old: Option<String>, now: Instant) {
        let Some(session) = &self.settings.session else { return };
        let request = session.request(&self.settings.protocol_version, old.as_deref());
        self.ask(
            Asked::StartSession(old),
            &Request::StartApplicationSession(request),
            now,
        );
    }

    /// The answer to one of the requests above.
    pub(super) fn opened(&mut self, asked: Asked, response: Response, now: Instant) {
        match (asked, response) {
            (Asked::StartSession(old), Response::SessionStarted(granted)) => {
                self.session_started(old.as_ref(), granted, now);
            }
            (Asked::Resume(id), Response::SessionRenewed(duration)) => {
                let wanted = duration.map_or_else(|| self.wanted_duration(), Duration::from_secs);
                self.session = Some(Session::granted(id, wanted, now));
                self.monitors.begin_again();
                self.up(now);
            }
            (Asked::Resume(_) | Asked::StartSession(Some(_)), Response::Refused(_)) => {
                self.old_session = None;
                self.start_session(None, now);
            }
            (Asked::Probe, _) => {
                self.monitors.begin();
                self.up(now);
            }
            (_, Response::Refused(error)) => self.fail(Code::CtiRefused, &error.to_string(), now),
            (_, _) => self.fail(
                Code::CtiRefused,
                "the switch answers with something else than a session",
                now,
            ),
        }
    }

    fn session_started(&mut self, old: Option<&String>, granted: SessionGranted, now: Instant) {
        let duration = granted.duration.filter(|&seconds| seconds > 0);
        let duration = duration.map_or_else(|| self.wanted_duration(), Duration::from_secs);
        let goes_on = old.is_some() && old == granted.session_id.as_ref();
        let id = granted.session_id.unwrap_or_default();
        self.session = Some(Session::granted(id, duration.min(Duration::from_secs(86_400)), now));
        if goes_on {
            self.monitors.go_on(self.settings.agent_states);
        } else {
            self.monitors.begin();
        }
        self.up(now);
    }

    fn up(&mut self, now: Instant) {
        self.phase = Phase::Up;
        self.old_session = None;
        self.backoff.succeeded();
        self.heartbeat_at = self.next_heartbeat(now);
        self.setup_at = now;
        self.tell_link(None);
        if self.settings.system_register {
            self.ask(Asked::Register, &Request::SystemRegister, now);
        }
        self.set_up(now);
    }

    fn wanted_duration(&self) -> Duration {
        let session = self.settings.session.as_ref();
        session.map_or(Duration::from_secs(600), |session| session.duration)
    }

    pub(super) fn next_heartbeat(&self, now: Instant) -> Option<Instant> {
        let interval = self.settings.heartbeat;
        (!interval.is_zero()).then(|| now + interval.max(SHORTEST_HEARTBEAT))
    }

    pub(super) fn handle_timeout_connected(&mut self, now: Instant) {
        while let Some(asked) = self.pending.expired(now) {
            self.counters.unanswered += 1;
            self.unanswered(&asked, now);
        }
        if self.phase != Phase::Up {
            return;
        }
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat(now);
        }
        self.renew(now);
        self.monitors.retry(now);
        self.set_up(now);
    }

    fn unanswered(&mut self, asked: &Asked, now: Instant) {
        match asked {
            Asked::Probe | Asked::Resume(_) | Asked::StartSession(_) => {
                self.fail(Code::CtiLinkDown, "the switch doesn't answer", now);
            }
            Asked::MonitorStart(place) => self.monitors.refuse(*place, "the switch doesn't answer".into(), now),
            Asked::Supervise(number) => self.done(*number, Err("the switch doesn't answer".into())),
            Asked::Renew => {
                if let Some(session) = &mut self.session {
                    session.renew_at = now;
                }
            }
            Asked::StopSession
            | Asked::Heartbeat
            | Asked::MonitorStop
            | Asked::SnapshotDevice(_)
            | Asked::SnapshotCall(..)
            | Asked::AgentState(_)
            | Asked::Register => {}
        }
    }

    fn renew(&mut self, now: Instant) {
        let wanted = self.wanted_duration();
        let Some(session) = &mut self.session else { return };
        if session.renew_at > now || self.phase != Phase::Up {
            return;
        }
        session.renewed(None, now);
        let request = Request::ResetApplicationSessionTimer {
            session_id: session.id.clone(),
            duration: wanted.as_secs(),
        };
        self.ask(Asked::Renew, &request, now);
    }

    pub(super) fn renewed(&mut self, response: Response, now: Instant) {
        match response {
            Response::Refused(error) => {
                self.session = None;
                self.fail(Code::CtiLinkDown, &format!("the session ended: {error}"), now);
            }
            Response::SessionRenewed(duration) => {
                if let Some(session) = &mut self.session {
                    session.renewed(duration, now);
                }
            }
            _ => {}
        }
    }

    /// Gives the connection up.
    pub(super) fn fail(&mut self, code: Code, why: &str, now: Instant) {
        self.outputs.push_back(StreamOutput::Disconnect(self.endpoint));
        self.lose(code, why, now);
    }

    /// The connection is gone: tries the next place after a pause. What is known of calls and agents stays, and so does
    /// the session's id, to take it up again.
    pub(super) fn lose(&mut self, code: Code, why: &str, now: Instant) {
        let session = self.session.take().map(|session| session.id);
        self.old_session = session.filter(|id| !id.is_empty()).or_else(|| self.old_session.take());
        self.drop_questions("the CTI link broke");
        self.tell_link(Some(Reason::new(code, format!("{} ({why})", code.sentence()))));
        self.endpoint = Endpoint((self.endpoint.0 + 1) % self.settings.endpoints.max(1));
        self.phase = Phase::Waiting {
            until: now + self.backoff.failed(),
        };
    }

    fn drop_questions(&mut self, why: &str) {
        self.monitors.forget_questions();
        self.parts.clear();
        for asked in self.pending.drain() {
            if let Asked::Supervise(number) = asked {
                self.done(number, Err(why.to_owned()));
            }
        }
    }

    /// Ends the session and opens it anew, at once where there is none.
    pub(super) fn reconnect(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { .. } => self.connect(),
            Phase::Opening | Phase::Up => self.goodbye(Then::Reconnect, now),
            Phase::Connecting | Phase::Closing { .. } | Phase::Ended => {}
        }
    }

    /// Ends monitors and session; the connection is reset when that is answered, or after five seconds.
    pub(super) fn goodbye(&mut self, then: Then, now: Instant) {
        match self.phase {
            Phase::Opening | Phase::Up => {}
            Phase::Connecting => return self.disconnect(then),
            Phase::Waiting { .. } | Phase::Ended => return self.closed(then),
            Phase::Closing { deadline, .. } => {
                self.phase = Phase::Closing { deadline, then };
                return;
            }
        }
        self.drop_questions("the CTI link is being closed");
        for cross_ref in self.monitors.take_all() {
            self.ask(Asked::MonitorStop, &Request::MonitorStop { cross_ref }, now);
        }
        self.old_session = None;
        if let Some(session) = self.session.take() {
            let request = Request::StopApplicationSession { session_id: session.id };
            self.ask(Asked::StopSession, &request, now);
        }
        self.phase = Phase::Closing {
            deadline: now + GOODBYE_LIMIT,
            then,
        };
        self.close_when_answered(false);
    }

    /// Resets the connection once the session's end, or that of every monitor, is answered.
    pub(super) fn close_when_answered(&mut self, session_stopped: bool) {
        if let Phase::Closing { then, .. } = self.phase
            && (session_stopped || self.pending.is_empty())
        {
            self.disconnect(then);
        }
    }

    pub(super) fn disconnect(&mut self, then: Then) {
        self.outputs.push_back(StreamOutput::Disconnect(self.endpoint));
        self.closed(then);
    }

    pub(super) fn closed(&mut self, then: Then) {
        self.pending.drain();
        match then {
            Then::End => self.phase = Phase::Ended,
            Then::Reconnect => self.connect(),
        }
    }
}

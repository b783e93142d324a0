//! One side's session: opened at a protocol version, kept alive by heartbeats, ended in good order (protocol sheet 1.2).
//!
//! A side doesn't know the other one: when it is tried is for [`CiscoLink`](super::CiscoLink) to decide.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use silentmon_proto::cti::ged188::{
    CloseReq, Decoded, FixedSizeDeviation, Framer, HeartbeatReq, InvokeId, Message, MessageType, OpenConf, OpenReq,
    ProtocolVersion, Reaction, ServiceMask, SessionType, Status, Tag,
};
use silentmon_proto::time::Instant;
use tracing::{debug, info, warn};

use super::failure::{Failure, after};
use super::settings::Settings;
use crate::link::backoff::Backoff;
use crate::link::{Closed, Endpoint, StreamOutput};

/// Heartbeats without an answer after which a session is dead.
const UNANSWERED_HEARTBEATS: usize = 3;
/// How long CLOSE_CONF is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    pub(super) version: ProtocolVersion,
    pub(super) backoff: Backoff,
    /// Not to be tried before.
    pub(super) not_before: Instant,
    /// Why it was lost last; gone when a session is open.
    pub(super) failure: Option<Failure>,
    state: State,
    /// Whether the connection is gone without having been reset.
    is_gone: bool,
    framer: Framer,
    /// Message types whose fixed part has another size than documented.
    deviating: BTreeSet<MessageType>,
    outputs: VecDeque<StreamOutput>,
}

#[derive(Debug)]
enum State {
    Idle,
    Waiting { until: Instant },
    Opening { until: Instant, connected: bool },
    Open(Session),
    Closing { until: Instant },
}

#[derive(Debug)]
struct Session {
    role: Role,
    granted: ServiceMask,
    next_heartbeat: Option<Instant>,
    unanswered: Vec<InvokeId>,
}

/// What a side with an open session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Events come from it.
    Active,
    /// It is active no longer and is told so when it has answered what it was asked.
    Leaving,
    /// It takes over when the active one can't go on.
    Standby,
}

/// What a message meant to the session.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing to anyone else.
    Done,
    /// The session is open.
    Opened(Box<OpenConf>),
    /// The session has been shown to work.
    Proven,
    /// The session was ended as asked.
    Closed,
    /// The session failed.
    Failed(Failure),
    /// It isn't about the session.
    Passed(Box<Message>),
}

impl Side {
    pub(super) fn new(index: usize, settings: &Settings, now: Instant) -> Self {
        Self {
            endpoint: Endpoint(index),
            version: settings.protocol_version,
            backoff: Backoff::new(settings.jitter_seed.wrapping_add(index as u64)),
            not_before: now,
            failure: None,
            state: State::Idle,
            is_gone: false,
            framer: Framer::default(),
            deviating: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Its name for people.
    pub(super) const fn name(&self) -> &'static str {
        if self.endpoint.0 == 0 { "A" } else { "B" }
    }

    /// Its role where a session is open.
    pub(super) const fn role(&self) -> Option<Role> {
        match &self.state {
            State::Open(session) => Some(session.role),
            State::Idle | State::Waiting { .. } | State::Opening { .. } | State::Closing { .. } => None,
        }
    }

    pub(super) const fn set_role(&mut self, role: Role) {
        if let State::Open(session) = &mut self.state {
            session.role = role;
        }
    }

    /// The services granted; none without a session.
    pub(super) fn granted(&self) -> ServiceMask {
        match &self.state {
            State::Open(session) => session.granted,
            State::Idle | State::Waiting { .. } | State::Opening { .. } | State::Closing { .. } => {
                ServiceMask::default()
            }
        }
    }

    /// How far it has come: the further of two is kept where only one may stay.
    pub(super) const fn progress(&self) -> u8 {
        match &self.state {
            State::Open(Session {
                role: Role::Active | Role::Leaving,
                ..
            }) => 4,
            State::Open(_) => 3,
            State::Opening { .. } => 2,
            State::Waiting { .. } => 1,
            State::Idle | State::Closing { .. } => 0,
        }
    }

    /// Connects at `until`, or at once.
    pub(super) fn wait(&mut self, until: Instant, settings: &Settings, now: Instant) {
        self.state = State::Waiting { until };
        if until <= now {
            self.connect(settings, now);
        }
    }

    fn connect(&mut self, settings: &Settings, now: Instant) {
        self.framer.reset();
        let until = now + settings.open_timeout;
        self.state = State::Opening {
            until,
            connected: false,
        };
        self.outputs.push_back(StreamOutput::Connect(self.endpoint));
    }

    /// The connection is there: asks for the session.
    pub(super) fn handle_connected(&mut self, invoke_id: InvokeId, settings: &Settings) -> Option<Failure> {
        let State::Opening { connected, .. } = &mut self.state else {
            return None;
        };
        *connected = true;
        let opening = self.open_request(invoke_id, settings);
        let sent = self.send(&Message::OpenReq(opening));
        (!sent).then(|| Failure::misconfigured("the client id, password or signature is too long"))
    }

    fn open_request(&self, invoke_id: InvokeId, settings: &Settings) -> OpenReq {
        let mut request = OpenReq {
            invoke_id,
            version_number: self.version,
            idle_timeout: settings.idle_timeout(),
            peripheral_id: None,
            services_requested: settings.services_at(self.version),
            call_message_mask: settings.call_messages_at(self.version),
            agent_state_mask: settings.agent_states,
            ..OpenReq::default()
        };
        request.floating.push_text(Tag::CLIENT_ID, &settings.client_id);
        request
            .floating
            .push_bytes(Tag::CLIENT_PASSWORD, settings.password.0.as_bytes());
        if !settings.signature.is_empty() {
            request.floating.push_text(Tag::CLIENT_SIGNATURE, &settings.signature);
        }
        request
    }

    /// Takes bytes; [`Self::poll_message`] has what they made up.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) {
        if matches!(
            self.state,
            State::Opening { .. } | State::Open(_) | State::Closing { .. }
        ) {
            self.framer.handle_bytes(bytes);
        }
    }

    /// The next message that could be read.
    pub(super) fn poll_message(&mut self) -> Option<Result<Message, Failure>> {
        loop {
            match self.framer.poll_frame() {
                Ok(None) => return None,
                Ok(Some(frame)) => match Message::decode(frame.message_type, &frame.body, self.version) {
                    Ok(decoded) => {
                        self.log_deviation(&decoded);
                        return Some(Ok(decoded.message));
                    }
                    Err(error) => debug!(%error, "skipped a message that can't be read"),
                },
                Err(error) => return Some(Err(Failure::broken(format!("the stream was damaged ({error})")))),
            }
        }
    }

    fn log_deviation(&mut self, decoded: &Decoded) {
        let Some(deviation) = decoded.deviation else { return };
        let message_type = decoded.message.message_type();
        if self.deviating.insert(message_type) {
            let FixedSizeDeviation { expected, found } = deviation;
            info!(%message_type, expected, found, version = %self.version, "the CTI Server's fixed part has another size");
        }
    }

    /// Takes a message as far as it is about the session.
    pub(super) fn handle_message(&mut self, message: Message, settings: &Settings, now: Instant) -> Step {
        match (&mut self.state, message) {
            (State::Opening { .. }, Message::OpenConf(confirmed)) => self.opened(confirmed, settings, now),
            (State::Opening { .. }, Message::FailureConf(refused)) => Step::Failed(Failure::of_status(refused.status)),
            (State::Open(session), Message::HeartbeatConf(_)) => {
                session.unanswered.clear();
                Step::Proven
            }
            (State::Open(session), Message::FailureConf(refused))
                if session.unanswered.contains(&refused.invoke_id) =>
            {
                Step::Failed(Failure::of_status(refused.status))
            }
            (State::Open(_), Message::FailureConf(refused)) if refused.status == Status::SESSION_NOT_OPEN => {
                Step::Failed(Failure::of_status(refused.status))
            }
            (State::Open(_), Message::FailureEvent(event)) if !ends_session(event.status) => {
                warn!(side = self.name(), status = %event.status, "{}", event.status.words());
                Step::Done
            }
            (State::Opening { .. } | State::Open(_), Message::FailureEvent(ended)) => {
                Step::Failed(Failure::of_status(ended.status))
            }
            (State::Opening { .. } | State::Open(_), Message::CloseReq(ended)) => {
                Step::Failed(Failure::of_status(ended.status))
            }
            (State::Closing { .. }, Message::CloseConf(_) | Message::FailureConf(_)) => Step::Closed,
            (State::Open(_), message) => Step::Passed(Box::new(message)),
            (State::Idle | State::Waiting { .. } | State::Opening { .. } | State::Closing { .. }, _) => Step::Done,
        }
    }

    fn opened(&mut self, confirmed: OpenConf, settings: &Settings, now: Instant) -> Step {
        let granted = confirmed.services_granted;
        if !granted.contains(ServiceMask::ALL_EVENTS) && settings.services.contains(ServiceMask::ALL_EVENTS) {
            return Step::Failed(Failure::misconfigured(
                "the CTI Server doesn't grant the All Events service",
            ));
        }
        let standby = confirmed.session_type == SessionType::STANDBY;
        if standby && !settings.keeps_standby_at(self.version) {
            return Step::Failed(Failure::broken("the CTI Server is the standby one".to_owned()));
        }
        self.failure = None;
        self.state = State::Open(Session {
            role: if standby { Role::Standby } else { Role::Active },
            granted,
            next_heartbeat: (!settings.heartbeat.is_zero()).then(|| now + settings.heartbeat),
            unanswered: Vec::new(),
        });
        Step::Opened(Box::new(confirmed))
    }

    /// Whether time has come to connect, to send a heartbeat or to give up.
    pub(super) fn handle_timeout(&mut self, invoke_id: InvokeId, settings: &Settings, now: Instant) -> Option<Step> {
        match &mut self.state {
            State::Waiting { until } if *until <= now => {
                self.connect(settings, now);
                Some(Step::Done)
            }
            State::Opening { until, connected } if *until <= now => {
                let missing = if *connected { "answer to OPEN_REQ" } else { "connection" };
                Some(Step::Failed(Failure::unreachable(format!(
                    "no {missing} within {}",
                    after(settings.open_timeout)
                ))))
            }
            State::Open(session) if session.next_heartbeat.is_some_and(|due| due <= now) => {
                if session.unanswered.len() >= UNANSWERED_HEARTBEATS {
                    let text = format!("{UNANSWERED_HEARTBEATS} heartbeats unanswered");
                    return Some(Step::Failed(Failure::broken(text)));
                }
                session.next_heartbeat = Some(now + settings.heartbeat);
                session.unanswered.push(invoke_id);
                self.send(&Message::HeartbeatReq(HeartbeatReq {
                    invoke_id,
                    ..HeartbeatReq::default()
                }));
                Some(Step::Done)
            }
            State::Closing { until } if *until <= now => Some(Step::Closed),
            State::Idle | State::Waiting { .. } | State::Opening { .. } | State::Open(_) | State::Closing { .. } => {
                None
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Waiting { until } | State::Opening { until, .. } | State::Closing { until } => Some(*until),
            State::Open(session) => session.next_heartbeat,
        }
    }

    /// The connection is gone.
    pub(super) fn handle_closed(&mut self, why: &Closed) -> Option<Step> {
        let step = match self.state {
            State::Idle | State::Waiting { .. } => return None,
            State::Closing { .. } => Step::Closed,
            State::Opening { connected: true, .. } => {
                Step::Failed(Failure::of_closed(why, " before the session was open"))
            }
            State::Opening { .. } | State::Open(_) => Step::Failed(Failure::of_closed(why, "")),
        };
        self.is_gone = true;
        Some(step)
    }

    /// Says goodbye where a session is open; drops the connection at once where none is.
    pub(super) fn close(&mut self, invoke_id: InvokeId, now: Instant) {
        match self.state {
            State::Open(_) => {
                let status = Status::NO_ERROR;
                self.send(&Message::CloseReq(CloseReq {
                    invoke_id,
                    status,
                    ..CloseReq::default()
                }));
                self.state = State::Closing {
                    until: now + CLOSE_TIMEOUT,
                };
            }
            State::Closing { .. } => {}
            State::Idle | State::Waiting { .. } | State::Opening { .. } => self.reset(),
        }
    }

    /// Drops the connection, if there is one.
    pub(super) fn reset(&mut self) {
        if matches!(
            self.state,
            State::Opening { .. } | State::Open(_) | State::Closing { .. }
        ) && !self.is_gone
        {
            self.outputs.push_back(StreamOutput::Disconnect(self.endpoint));
        }
        self.state = State::Idle;
        self.framer.reset();
        self.is_gone = false;
    }

    /// Sends a message; false where the version has no way to say it.
    pub(super) fn send(&mut self, message: &Message) -> bool {
        match message.encode(self.version) {
            Ok(bytes) => {
                self.outputs.push_back(StreamOutput::Send(self.endpoint, bytes));
                true
            }
            Err(error) => {
                debug!(%error, "can't send a message");
                false
            }
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<StreamOutput> {
        self.outputs.pop_front()
    }
}

/// Some failures are told for people to know; the session goes on.
fn ends_session(status: Status) -> bool {
    let gone = [Status::SESSION_NOT_OPEN, Status::CLIENT_DISCONNECTED];
    gone.contains(&status) || status.reaction() != Reaction::Retry
}

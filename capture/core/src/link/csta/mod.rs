//! A link to a switch that speaks CSTA III in XML over TCP or TLS (ECMA-269, ECMA-323, ECMA-354; protocol sheet 2).
//!
//! One session, one monitor for each configured device. CSTA tells no media addresses: those come from a resolver.

mod agents;
mod calls;
mod merge;
mod messages;
mod monitors;
mod pending;
mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use silentmon_proto::cti::csta::{ConnectionId, Frame, FrameError, Framer, InvokeId, Request, SnapshotEntry};
use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::ids::{CallId, Extension};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use self::agents::Agents;
use self::calls::Calls;
use self::monitors::{Monitors, Task, WINDOW, number_of};
use self::pending::{Asked, Pending};
use self::session::{Phase, Session, Then};
pub use self::settings::{CstaSettings, SessionSettings};
use super::backoff::Backoff;
use super::{Closed, Endpoint, Link, LinkCommand, LinkEvent, StreamLink, StreamOutput, Supervise, SuperviseAction};

/// Heartbeats without a sign of life after which the connection counts as dead (requirements 3).
const MOST_UNANSWERED: u32 = 3;

/// What a link met that isn't an event, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CstaCounters {
    /// Documents that came.
    pub documents: u64,
    /// Documents that couldn't be understood.
    pub malformed: u64,
    /// Documents with a name that isn't known.
    pub unknown_messages: u64,
    /// Events of a monitor that isn't ours.
    pub unknown_monitors: u64,
    /// Events of features that say nothing about calls (do not disturb, forwarding).
    pub features: u64,
    /// Answers to nothing that was asked.
    pub stray_answers: u64,
    /// Requests that weren't answered in time.
    pub unanswered: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// The last document or refusal that was complained about, in words.
    pub last_complaint: Option<String>,
}

/// A link to a switch.
#[derive(Debug)]
pub struct CstaLink {
    settings: CstaSettings,
    phase: Phase,
    endpoint: Endpoint,
    backoff: Backoff,
    framer: Framer,
    pending: Pending,
    session: Option<Session>,
    /// The session of a connection that broke.
    old_session: Option<String>,
    monitors: Monitors,
    calls: Calls,
    agents: Agents,
    /// Snapshots that come in parts, by their `serviceCrossRefID`.
    parts: BTreeMap<String, (Extension, Vec<SnapshotEntry>)>,
    /// Absent: there are none.
    heartbeat_at: Option<Instant>,
    unanswered: u32,
    /// When the next request of setting up may go out.
    setup_at: Instant,
    /// What was last told of the link.
    told: Option<LinkUpdate>,
    counters: CstaCounters,
    outputs: VecDeque<StreamOutput>,
    events: VecDeque<LinkEvent>,
}

impl CstaLink {
    /// A link that wants to connect at once.
    pub fn new(settings: CstaSettings, now: Instant) -> Self {
        let mut link = Self {
            phase: Phase::Connecting,
            endpoint: Endpoint(0),
            backoff: Backoff::new(settings.seed),
            framer: Framer::default(),
            pending: Pending::default(),
            session: None,
            old_session: None,
            monitors: Monitors::new(&settings.devices, settings.seed),
            calls: Calls::default(),
            agents: Agents::default(),
            parts: BTreeMap::new(),
            heartbeat_at: None,
            unanswered: 0,
            setup_at: now,
            told: None,
            counters: CstaCounters::default(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            settings,
        };
        link.connect();
        link
    }

    /// What the link met that isn't an event.
    pub const fn counters(&self) -> &CstaCounters {
        &self.counters
    }

    /// The devices that the switch refuses to monitor, and why, in words.
    pub fn refused(&self) -> impl Iterator<Item = (&Extension, &str)> {
        self.monitors.refused()
    }

    /// How many devices are monitored.
    pub fn monitored(&self) -> usize {
        self.monitors.monitored()
    }

    /// Whether what comes from there is of any interest.
    fn hears(&self, endpoint: Endpoint) -> bool {
        endpoint == self.endpoint && matches!(self.phase, Phase::Opening | Phase::Up | Phase::Closing { .. })
    }

    /// The stream can't be followed any further.
    fn handle_damage(&mut self, error: &FrameError, now: Instant) {
        match self.phase {
            Phase::Closing { then, .. } => self.disconnect(then),
            Phase::Waiting { .. } | Phase::Connecting | Phase::Opening | Phase::Up | Phase::Ended => {
                self.fail(Code::CtiLinkDown, &format!("the stream is no CSTA: {error}"), now);
            }
        }
    }

    fn send(&mut self, invoke_id: InvokeId, request: &Request) {
        let document = request.to_document(&self.settings.protocol_version);
        match (Frame { invoke_id, document }).to_bytes() {
            Ok(bytes) => self.outputs.push_back(StreamOutput::Send(self.endpoint, bytes)),
            Err(error) => self.counters.last_complaint = Some(error.to_string()),
        }
    }

    /// Sends a request; not while too many are unanswered.
    fn ask(&mut self, asked: Asked, request: &Request, now: Instant) -> bool {
        let id = self.pending.ask(asked, now);
        if let Some(id) = id {
            self.send(id, request);
        }
        id.is_some()
    }

    fn tell(&mut self, event: impl Into<CtiEvent>) {
        self.events.push_back(LinkEvent::Cti(event.into()));
    }

    /// Tells that events flow, or why not; once until it changes.
    fn tell_link(&mut self, down: Option<Reason>) {
        let update = LinkUpdate {
            link: self.settings.name.clone(),
            down,
        };
        if self.told.as_ref() != Some(&update) {
            self.told = Some(update.clone());
            self.tell(update);
        }
    }

    /// Asks what is to be asked about devices, as far as the switch may be asked now.
    fn set_up(&mut self, now: Instant) {
        while self.may_set_up() && self.setup_at <= now {
            let Some(task) = self.monitors.next_task() else { return };
            self.setup_at = now + self.settings.request_pause;
            self.begin(task, now);
        }
    }

    fn may_set_up(&self) -> bool {
        self.phase == Phase::Up && self.monitors.has_task() && self.pending.setup() < WINDOW
    }

    fn begin(&mut self, task: Task, now: Instant) {
        let (asked, request) = match task {
            Task::Monitor(place) => {
                if let Some(cross_ref) = self.monitors.take_stale(place) {
                    self.ask(Asked::MonitorStop, &Request::MonitorStop { cross_ref }, now);
                }
                let Some(device) = self.monitors.name(place).map(Extension::to_string) else {
                    return;
                };
                (Asked::MonitorStart(place), Request::MonitorStart { device })
            }
            Task::SnapshotDevice(device) => {
                let request = Request::SnapshotDevice {
                    device: device.to_string(),
                };
                (Asked::SnapshotDevice(device), request)
            }
            Task::SnapshotCall(device, call) => {
                let connection = ConnectionId {
                    call: call.to_string(),
                    device: Some(self.handle_of(&device, &call)),
                };
                (Asked::SnapshotCall(device, call), Request::SnapshotCall { connection })
            }
            Task::AgentState(device) => {
                let request = Request::GetAgentState {
                    device: device.to_string(),
                };
                (Asked::AgentState(device), request)
            }
        };
        self.ask(asked, &request, now);
    }

    /// A device as the switch itself writes it in its connection to this call.
    fn handle_of(&self, device: &Extension, call: &CallId) -> String {
        let own = self.calls.own(&number_of(device), call);
        let handle = own.and_then(|own| own.device.clone());
        handle.unwrap_or_else(|| self.monitors.name_of(device).to_string())
    }

    fn supervise(&mut self, command: &Supervise, now: Instant) {
        let refusal = match command.action {
            SuperviseAction::Intercept => Some("CSTA has no service to take over another's call"),
            SuperviseAction::BargeIn if self.phase != Phase::Up => Some("the CTI link is down"),
            SuperviseAction::BargeIn => None,
        };
        if let Some(refusal) = refusal {
            return self.done(command.number, Err(refusal.to_owned()));
        }
        let request = Request::SingleStepConferenceCall {
            active_call: ConnectionId {
                call: command.call.to_string(),
                device: Some(self.handle_of(&command.device, &command.call)),
            },
            device_to_join: command.supervisor_device.to_string(),
        };
        if !self.ask(Asked::Supervise(command.number), &request, now) {
            self.done(command.number, Err("too many requests wait for the switch".to_owned()));
        }
    }

    fn done(&mut self, number: u64, result: Result<(), String>) {
        self.events.push_back(LinkEvent::Done { number, result });
    }

    fn heartbeat(&mut self, now: Instant) {
        if self.unanswered >= MOST_UNANSWERED {
            let why = format!("the switch left {MOST_UNANSWERED} heartbeats unanswered");
            return self.fail(Code::CtiLinkDown, &why, now);
        }
        self.unanswered += 1;
        self.heartbeat_at = self.next_heartbeat(now);
        self.ask(Asked::Heartbeat, &Request::RequestSystemStatus, now);
    }
}

impl Link for CstaLink {
    fn controls(&self) -> &'static [SuperviseAction] {
        &[SuperviseAction::BargeIn]
    }

    fn handle_command(&mut self, command: LinkCommand, now: Instant) {
        match command {
            LinkCommand::Supervise(supervise) => self.supervise(&supervise, now),
            LinkCommand::SnapshotDevice(device) => {
                if self.phase == Phase::Up {
                    self.monitors.snapshot(self.monitors.name_of(&device));
                    self.set_up(now);
                }
            }
            LinkCommand::Hoteling(request) => {
                let why = "hoteling is signed in at the phone itself with CSTA".to_owned();
                self.done(request.number, Err(why));
            }
            LinkCommand::Reconnect => self.reconnect(now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { until } if until <= now => self.connect(),
            Phase::Closing { deadline, then } if deadline <= now => self.disconnect(then),
            Phase::Opening | Phase::Up => self.handle_timeout_connected(now),
            Phase::Waiting { .. } | Phase::Connecting | Phase::Closing { .. } | Phase::Ended => {}
        }
    }

    fn close(&mut self, now: Instant) {
        self.goodbye(Then::End, now);
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting | Phase::Ended => None,
            Phase::Waiting { until } => Some(until),
            Phase::Closing { deadline, .. } => Some(deadline),
            Phase::Opening => self.pending.next_deadline(),
            Phase::Up => {
                let renewal = self.session.as_ref().map(|session| session.renew_at);
                let setup = self.may_set_up().then_some(self.setup_at);
                let retry = self.monitors.next_retry();
                let due = [self.pending.next_deadline(), self.heartbeat_at, renewal, setup, retry];
                due.into_iter().flatten().min()
            }
        }
    }
}

impl StreamLink for CstaLink {
    fn handle_connected(&mut self, endpoint: Endpoint, now: Instant) {
        if endpoint == self.endpoint && self.phase == Phase::Connecting {
            self.open(now);
        }
    }

    fn handle_bytes(&mut self, endpoint: Endpoint, bytes: &[u8], now: Instant) {
        if !self.hears(endpoint) {
            return;
        }
        self.framer.push(bytes);
        while self.hears(endpoint) {
            match self.framer.next_frame() {
                Ok(Some(frame)) => self.handle_frame(&frame, now),
                Ok(None) => break,
                Err(error) => self.handle_damage(&error, now),
            }
        }
        self.set_up(now);
    }

    fn handle_closed(&mut self, endpoint: Endpoint, why: Closed, now: Instant) {
        if endpoint != self.endpoint {
            return;
        }
        match self.phase {
            Phase::Connecting | Phase::Opening | Phase::Up => {
                let code = match why {
                    Closed::PlainPort(_) => Code::CtiPortIsPlain,
                    Closed::Unreachable(_) | Closed::Tls(_) | Closed::ByPeer | Closed::Broken(_) => Code::CtiLinkDown,
                };
                self.lose(code, &why.to_string(), now);
            }
            Phase::Closing { then, .. } => self.closed(then),
            Phase::Waiting { .. } | Phase::Ended => {}
        }
    }

    fn poll_output(&mut self) -> Option<StreamOutput> {
        self.outputs.pop_front()
    }
}

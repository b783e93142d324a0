//! The receiver's decisions, without IO: welcome, heartbeats, silence, and a clean end. Which server is dialled and when is in
//! `dialling`, what becomes of the sessions in `sessions`.
//!
//! Times are requirements section 3: heartbeat 5 s, 15 s without anything is a lost connection.

mod dialling;
mod sessions;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AgentRow, ClientMessage, ServerMessage, VERSION};
use silentmon_proto::time::Instant;
use silentmon_transport::{CloseCode, ServerAddress};

use super::{Persistence, ReceiverEvent, ReceiverSettings, RequestId, ServerOrder};
use dialling::{Beside, LONGEST_WAIT};
use sessions::{Monitor, Stage};

/// How often something is said.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long nothing may be heard.
const SILENCE: Duration = Duration::from_secs(15);
/// How long after the last audio a server is asked whether it is still there: whoever only listens would notice late that
/// nobody answers any more.
const QUIET: Duration = Duration::from_millis(200);
/// Audio that came within this time of the last thing heard was flowing.
const FLOWING: Duration = Duration::from_millis(100);
/// How long a server may take for its welcome.
const WELCOME_LIMIT: Duration = Duration::from_secs(5);
/// How long sessions may take to stop when the receiver is closed.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Rows of a listing kept; a server that goes on beyond it isn't one of ours.
const MOST_AGENTS: usize = 100_000;

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Dial this server.
    Dial(ServerAddress),
    /// The server that is dialled isn't needed.
    StopDialling,
    /// Let what was sent be delivered, then close the connection.
    HangUp(CloseCode, String),
    /// Nothing more is to be done.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { until: Instant },
    Dialling,
    Greeting { since: Instant },
    Open { since: Instant },
    Closing { until: Instant },
    Over,
}

/// A receiver's state.
#[derive(Debug)]
pub(super) struct Machine {
    settings: ReceiverSettings,
    phase: Phase,
    random: u64,
    /// Index of the server that is talked to, or dialled next.
    current: usize,
    failed_in_round: usize,
    rounds: u32,
    ever_connected: bool,
    problem: Option<Reason>,
    monitors: BTreeMap<RequestId, Monitor>,
    watching: bool,
    /// Pages of a listing whose last page is yet to come.
    listing: Vec<AgentRow>,
    last_sent: Instant,
    last_heard: Instant,
    last_audio: Option<Instant>,
    /// When the first of the heartbeats that wait for an answer was sent.
    asked: Option<Instant>,
    /// Servers that are dialled, or were, beside the one that is talked to, since that was heard last.
    beside: Option<Beside>,
    /// When the server that was lost was last heard, until sessions go on.
    missed_since: Option<Instant>,
    transmits: VecDeque<ClientMessage>,
    events: VecDeque<ReceiverEvent>,
    actions: VecDeque<Action>,
}

impl Machine {
    /// A machine that starts dialling at once. `seed` decides all that is random.
    pub(super) fn new(settings: ReceiverSettings, seed: u64, now: Instant) -> Self {
        let mut machine = Self {
            settings,
            phase: Phase::Waiting { until: now },
            random: seed | 1,
            current: 0,
            failed_in_round: 0,
            rounds: 0,
            ever_connected: false,
            problem: None,
            monitors: BTreeMap::new(),
            watching: false,
            listing: Vec::new(),
            last_sent: now,
            last_heard: now,
            last_audio: None,
            asked: None,
            beside: None,
            missed_since: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            actions: VecDeque::new(),
        };
        if machine.settings.order == ServerOrder::Random {
            let count = machine.settings.servers.len().max(1);
            machine.current = usize::try_from(machine.next_random() >> 32).unwrap_or(0) % count;
        }
        machine
    }

    pub(super) fn poll_transmit(&mut self) -> Option<ClientMessage> {
        self.transmits.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.events.pop_front()
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let (heartbeat, silence) = (self.last_sent + HEARTBEAT, self.last_heard + SILENCE);
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Dialling | Phase::Over => None,
            Phase::Greeting { since } => Some(since + WELCOME_LIMIT),
            Phase::Open { since } => {
                let sooner = self.quiet().into_iter().chain(self.doubtful(since));
                Some(sooner.fold(heartbeat.min(silence), Instant::min))
            }
            Phase::Closing { until } => Some(until.min(silence)),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.dial(),
            Phase::Greeting { since } if now >= since + WELCOME_LIMIT => {
                let text = format!("{} doesn't answer.", self.server());
                self.hang_up(CloseCode::Protocol, "no welcome");
                self.dial_failed(Reason::new(Code::NoCaptureServer, text), now);
            }
            Phase::Closing { until } if now >= until => self.end(),
            Phase::Open { .. } if now >= self.last_heard + SILENCE => self.silent(now),
            Phase::Open { since } if self.doubtful(since).is_some_and(|at| now >= at) => self.dial_beside(self.current),
            Phase::Open { .. }
                if now >= self.last_sent + HEARTBEAT || self.quiet().is_some_and(|quiet| now >= quiet) =>
            {
                self.asked.get_or_insert(now);
                self.transmit(ClientMessage::Heartbeat { sent: now }, now);
            }
            Phase::Waiting { .. }
            | Phase::Dialling
            | Phase::Greeting { .. }
            | Phase::Open { .. }
            | Phase::Closing { .. }
            | Phase::Over => {}
        }
    }

    /// The server that was dialled last answered.
    pub(super) fn handle_connected(&mut self, now: Instant) {
        match (self.phase, self.beside.take()) {
            (Phase::Dialling, _) => {}
            (Phase::Open { since }, Some(Beside::Dialling(other))) => self.change_to(other, since, now),
            _ => {
                self.hang_up(CloseCode::Done, "no longer wanted");
                return;
            }
        }
        self.phase = Phase::Greeting { since: now };
        self.heard(now);
        let hello = ClientMessage::Hello {
            version: VERSION,
            software: self.settings.software.clone(),
        };
        self.transmit(hello, now);
    }

    /// The server that was dialled last can't be talked to.
    pub(super) fn handle_dial_failed(&mut self, reason: Reason, now: Instant) {
        match (self.phase, self.beside) {
            (Phase::Dialling, _) => self.dial_failed(reason, now),
            (Phase::Open { .. }, Some(Beside::Dialling(other))) => self.dial_beside(other),
            _ => {}
        }
    }

    /// The connection is over.
    pub(super) fn handle_lost(&mut self, reason: Reason, now: Instant) {
        match self.phase {
            Phase::Greeting { .. } => self.dial_failed(reason, now),
            Phase::Open { since } => self.lost(reason, since, now),
            Phase::Closing { .. } => self.end(),
            Phase::Waiting { .. } | Phase::Dialling | Phase::Over => {}
        }
    }

    /// An audio datagram arrived; whose it is.
    pub(super) fn handle_datagram(&mut self, channel: u16, now: Instant) -> Option<RequestId> {
        self.heard(now);
        self.last_audio = Some(now);
        let mut monitors = self.monitors.iter();
        let found = monitors.find(|(_, monitor)| monitor.channel == Some(channel));
        found.map(|(&request, _)| request)
    }

    pub(super) fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        self.heard(now);
        match message {
            ServerMessage::Welcome {
                version,
                server,
                software,
            } => self.welcomed(version, server, software, now),
            ServerMessage::MonitorStarted {
                request,
                session,
                channel,
            } => self.started(RequestId(request), session, channel, now),
            ServerMessage::MonitorRefused { request, reason } => self.refused(RequestId(request), reason, now),
            ServerMessage::SessionStatus(status) => self.status(status),
            ServerMessage::MonitorStopped {
                session,
                reason,
                status,
            } => self.stopped(session, reason, status),
            ServerMessage::Agents { agents, more, notice } => {
                self.events.extend(notice.map(ReceiverEvent::Notice));
                self.listed(agents, more);
            }
            ServerMessage::ConfirmListening { session, within_s } => self.asked_to_confirm(session, within_s),
            ServerMessage::AgentChanged { agent } => self.events.push_back(ReceiverEvent::AgentChanged(agent)),
            ServerMessage::Supervised { request, result } => {
                self.events.push_back(ReceiverEvent::Supervised {
                    number: request,
                    result,
                });
            }
            // All but the first answer questions that this program never asks over this connection.
            ServerMessage::Heartbeat { .. }
            | ServerMessage::Diagnosis { .. }
            | ServerMessage::Cluster { .. }
            | ServerMessage::Locks { .. } => {}
            ServerMessage::Goodbye { reason } => self.handle_dismissed(reason, now),
        }
    }

    /// Asks for the agents, and for their changes over every connection there will be.
    pub(super) fn watch_agents(&mut self, now: Instant) {
        self.watching = true;
        if matches!(self.phase, Phase::Open { .. }) {
            self.transmit(ClientMessage::ListAgents { watch: true }, now);
        }
    }

    /// Stops all sessions and ends.
    pub(super) fn close(&mut self, now: Instant) {
        match self.phase {
            Phase::Open { .. } => {
                self.phase = Phase::Closing {
                    until: now + STOP_LIMIT,
                };
                self.stop_dialling_beside();
                let requests: Vec<_> = self.monitors.keys().copied().collect();
                for request in requests {
                    self.stop_monitor(request, now);
                }
                self.end_if_all_stopped();
            }
            Phase::Greeting { .. } => self.end(),
            Phase::Waiting { .. } | Phase::Dialling => {
                self.phase = Phase::Over;
                self.finish(&closed_here(), ReceiverEvent::Closed);
            }
            Phase::Closing { .. } | Phase::Over => {}
        }
    }

    /// When audio that was flowing will have been away for too long, and nothing was said since.
    fn quiet(&self) -> Option<Instant> {
        let flowing = self.last_heard.saturating_since(self.last_audio?) <= FLOWING;
        (flowing && self.last_sent <= self.last_heard).then(|| self.last_heard + QUIET)
    }

    /// The server that is talked to is there.
    fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.asked = None;
        self.stop_dialling_beside();
    }

    fn give_up(&mut self, reason: Reason) {
        self.phase = Phase::Over;
        self.finish(&reason.clone(), ReceiverEvent::GaveUp { reason });
    }

    fn transmit(&mut self, message: ClientMessage, now: Instant) {
        self.last_sent = now;
        self.transmits.push_back(message);
    }

    fn hang_up(&mut self, code: CloseCode, reason: &str) {
        self.transmits.clear();
        self.actions.push_back(Action::HangUp(code, reason.to_owned()));
    }

    fn silent(&mut self, now: Instant) {
        let Phase::Open { since } = self.phase else { return };
        let text = format!("Nothing came from {} for {} s.", self.server(), SILENCE.as_secs());
        self.hang_up(CloseCode::Silence, "silence");
        self.lost(Reason::new(Code::NoCaptureServer, text), since, now);
    }

    fn lost(&mut self, reason: Reason, since: Instant, now: Instant) {
        self.transmits.clear();
        let lasted = now.saturating_since(since) >= LONGEST_WAIT;
        if lasted {
            self.rounds = 0;
        }
        self.failed_in_round = 0;
        self.problem = None;
        if self.monitors.values().any(|monitor| monitor.stage == Stage::Running) {
            self.missed_since = Some(self.last_heard);
        }
        let server = self.server();
        self.asked = None;
        let retry_in = match self.beside.take() {
            Some(Beside::Dialling(other)) => {
                self.phase = Phase::Dialling;
                self.current = other;
                Duration::ZERO
            }
            Some(Beside::Tried) | None => {
                let retry_in = if self.rounds == 0 { self.stagger() } else { self.wait() };
                self.phase = Phase::Waiting { until: now + retry_in };
                // Whatever became of this one, its cluster knows the sessions.
                self.next_server();
                retry_in
            }
        };
        self.events.push_back(ReceiverEvent::Lost {
            server,
            reason,
            retry_in,
        });
        // A connection that didn't last counts as a failed attempt, or two programs would dial in circles. After the first of
        // them the next server is dialled as soon as after one that did: it may only be a new one that met its server's end.
        if !lasted {
            self.rounds += 1;
        }
        self.keep_sessions();
    }

    /// A server that says goodbye stops, or doesn't want this supervisor; so does one that closes with Denied.
    pub(super) fn handle_dismissed(&mut self, reason: Reason, now: Instant) {
        self.hang_up(CloseCode::Done, "goodbye");
        match self.phase {
            Phase::Closing { .. } => self.end(),
            Phase::Greeting { since } | Phase::Open { since } => {
                if self.is_final(reason.code) {
                    self.give_up(reason);
                    return;
                }
                self.lost(reason, since, now);
            }
            Phase::Waiting { .. } | Phase::Dialling | Phase::Over => {}
        }
    }

    /// Whether dialling again is in vain. A certificate may be replaced while a service runs, not while a command does.
    const fn is_final(&self, code: Code) -> bool {
        match code {
            Code::NotAuthorised | Code::LockedOut => true,
            Code::CertificateRefused => matches!(self.settings.persistence, Persistence::Rounds(_)),
            _ => false,
        }
    }

    /// A page of the agents: they are handed over when the last has come.
    fn listed(&mut self, agents: Vec<AgentRow>, more: bool) {
        let room = MOST_AGENTS.saturating_sub(self.listing.len());
        self.listing.extend(agents.into_iter().take(room));
        if !more {
            let agents = std::mem::take(&mut self.listing);
            self.events.push_back(ReceiverEvent::Agents(agents));
        }
    }

    fn welcomed(&mut self, version: u16, name: silentmon_proto::ids::ServerName, software: String, now: Instant) {
        let Phase::Greeting { since } = self.phase else { return };
        if version == 0 || version > VERSION {
            let text = format!("{} speaks version {version}, this program {VERSION}.", self.server());
            self.hang_up(CloseCode::Protocol, "unknown version");
            self.dial_failed(Reason::new(Code::NoCaptureServer, text), now);
            return;
        }
        self.phase = Phase::Open { since };
        self.ever_connected = true;
        self.listing.clear();
        self.failed_in_round = 0;
        self.problem = None;
        let server = self.server();
        self.events
            .push_back(ReceiverEvent::Connected { server, name, software });
        if self.watching {
            self.transmit(ClientMessage::ListAgents { watch: true }, now);
        }
        let requests: Vec<_> = self.monitors.keys().copied().collect();
        for request in requests {
            self.ask(request, now);
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.transmits.push_back(ClientMessage::Goodbye);
        let bye = Action::HangUp(CloseCode::Done, "goodbye".to_owned());
        self.actions.push_back(bye);
        self.finish(&closed_here(), ReceiverEvent::Closed);
    }

    fn finish(&mut self, reason: &Reason, last: ReceiverEvent) {
        for (request, monitor) in std::mem::take(&mut self.monitors) {
            self.events.push_back(ReceiverEvent::MonitorStopped {
                request,
                reason: reason.clone(),
                status: monitor.status,
            });
        }
        self.events.push_back(last);
        self.actions.push_back(Action::End);
    }
}

fn closed_here() -> Reason {
    Reason::new(Code::AudioFlowing, "Stopped here.")
}

#[cfg(test)]
mod tests;

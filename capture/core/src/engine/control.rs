//! Supervisors: connections that come and go, and what they ask for.

use silentmon_proto::cti::AgentState;
use silentmon_proto::ids::{AgentId, ServerName, SessionId};
use silentmon_proto::reason::{Code, Hop, Reason};
use silentmon_proto::relay::{ClientMessage, ServerMessage, SessionStatus, VERSION};
use silentmon_proto::time::Instant;

use super::authority::Standing;
use super::relay::News;
use super::{ConnectionId, Engine, EngineEvent, ForeignRequest, SessionRecord, Supervisor, TICK, Transmit};
use crate::diagnosis::Diagnosis;
use crate::directory::MediaLeg;
use crate::policy::{Principal, Refusal};
use crate::session::{Admission, Attachment, MonitorSession, SessionRequest};

impl Engine {
    /// A supervisor, who proved who he is, connected.
    pub fn handle_connected(&mut self, connection: ConnectionId, principal: Principal) {
        self.connections
            .insert(connection, Supervisor { principal, shown: None });
    }

    /// A connection is gone. Its sessions wait for the supervisor to come back.
    pub fn handle_disconnected(&mut self, connection: ConnectionId, now: Instant) {
        self.connections.remove(&connection);
        for session in self.sessions.values_mut() {
            if session.attachment == Attachment::Attached(connection) {
                session.attachment = Attachment::Detached(now);
            }
        }
    }

    /// A supervisor said something. `fresh_id` is a random number for the session that this may start.
    pub fn handle_message(&mut self, from: ConnectionId, message: ClientMessage, fresh_id: SessionId, now: Instant) {
        if !self.connections.contains_key(&from) {
            return;
        }
        match message {
            ClientMessage::Hello { version, .. } => self.welcome(from, version),
            ClientMessage::StartMonitor {
                request,
                agent,
                resume,
                purpose,
                output,
            } => {
                let wanted = SessionRequest {
                    number: request,
                    agent,
                    purpose,
                    output,
                };
                self.start_monitor(from, wanted, resume, fresh_id, now);
            }
            ClientMessage::Supervise {
                request,
                session,
                action,
                device,
            } => self.supervise(from, request, session, (action, device), now),
            ClientMessage::StopMonitor { session } => self.stop_monitor(from, session, now),
            ClientMessage::StillThere { session } => self.confirm(from, session, now),
            ClientMessage::ListLocks { request } => self.list_locks(from, request, now),
            ClientMessage::Unlock { request, name, source } => self.unlock(from, request, (name, source), now),
            ClientMessage::ClusterStatus { request } => self.answer_cluster_status(from, request),
            ClientMessage::HandOver { request, to } => self.answer_hand_over(from, request, &to, now),
            ClientMessage::Diagnose {
                request,
                agent,
                session,
            } => self.answer_diagnose(from, request, agent, session, now),
            ClientMessage::ListAgents { watch } => self.list_agents(from, watch, now),
            ClientMessage::Heartbeat { sent } => self.send(from, ServerMessage::Heartbeat { sent }),
            ClientMessage::Goodbye => self.end_connection(from, now),
        }
    }

    /// Audio of a session had to be kept back because the path to the supervisor is too narrow.
    pub fn handle_shed(&mut self, session: SessionId, leg: silentmon_proto::ids::Leg, datagrams: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.count_shed(leg, datagrams);
        }
    }

    /// The journal has the start of a session on disk: it may be heard.
    pub fn handle_recorded(&mut self, id: SessionId, now: Instant) {
        self.journal_failure = None;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Admission::Unrecorded { request } = session.admission else {
            return;
        };
        session.admission = Admission::Admitted;
        let agent = session.agent.clone();
        // Whoever must be told is, before the first packet.
        self.disclose(&agent, now);
        self.mute_sessions(&agent, now);
        self.reroute(&agent);
        self.answer_start(id, request, now);
    }

    /// The journal can't have the start of a session: it doesn't happen.
    pub fn handle_unrecorded(&mut self, id: SessionId, reason: Reason, now: Instant) {
        if reason.code == Code::AuditUnwritable {
            self.journal_failure = Some(reason.clone());
        }
        let Some(session) = self.sessions.get(&id) else { return };
        let Admission::Unrecorded { request } = session.admission else {
            return self.stop_session(id, &reason, now);
        };
        let listener = session.listener();
        self.forget_session(id);
        self.tell_listener(listener, id, News::Refused { request, reason });
    }

    /// Every hop as it stands for this supervisor: of an agent, of the one that a session of his is on, or of the house.
    fn answer_diagnose(
        &mut self,
        from: ConnectionId,
        request: u32,
        agent: Option<AgentId>,
        session: Option<SessionId>,
        now: Instant,
    ) {
        let asks = self
            .connections
            .get(&from)
            .map(|connection| connection.principal.clone());
        let own = session
            .and_then(|id| self.sessions.get(&id))
            .filter(|session| asks.as_ref().is_some_and(|asks| asks.is_same(&session.principal)));
        let agent = own.map(|session| session.agent.clone()).or(agent);
        let mut hops = self.examine(agent.as_ref(), asks.as_ref(), now);
        if session.is_some() && own.is_none() {
            self.count_foreign(ForeignRequest::Diagnose);
            hops.insert(
                0,
                Hop::not_checked("session", "No such session of yours runs on this server."),
            );
        }
        self.send(from, ServerMessage::Diagnosis { request, agent, hops });
    }

    fn welcome(&mut self, to: ConnectionId, offered: u16) {
        let message = ServerMessage::Welcome {
            version: offered.min(VERSION),
            server: self.settings.server.clone(),
            software: self.settings.software.clone(),
        };
        self.send(to, message);
    }

    fn start_monitor(
        &mut self,
        from: ConnectionId,
        wanted: SessionRequest,
        resume: Option<SessionId>,
        fresh_id: SessionId,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get(&from) else {
            return;
        };
        let (principal, request) = (connection.principal.clone(), wanted.number);
        let taken_up = self.session_to_take_up(from, &principal, &wanted, resume);
        let moving = match taken_up {
            Some(_) => None,
            None => self.session_to_move(&principal, &wanted, resume),
        };
        if resume.is_some_and(|id| taken_up != Some(id) && self.sessions.contains_key(&id)) {
            self.count_foreign(ForeignRequest::Resume);
        }
        let standing = if taken_up.is_some() || moving.is_some() {
            Standing::Runs
        } else {
            Standing::New
        };
        if let Err(Refusal { reason, .. }) = self.admit_request(&principal, &wanted, standing, now) {
            let agent = wanted.agent;
            self.past.refused += 1;
            self.events.push_back(EngineEvent::SessionRefused {
                principal,
                agent,
                reason: reason.clone(),
            });
            self.send(from, ServerMessage::MonitorRefused { request, reason });
            return;
        }
        let id = match (taken_up, moving) {
            (Some(id), _) => self.attach(id, from, now),
            (None, Some(moving)) => self.take_over(from, principal, wanted, moving, now),
            (None, None) => {
                let channel = self.free_channel();
                let attachment = Attachment::Attached(from);
                let session = MonitorSession::new(fresh_id, channel, principal, attachment, wanted, now);
                self.open_session(session, None)
            }
        };
        self.answer_start(id, request, now);
    }

    /// Answers a request once its session is written down.
    pub(super) fn answer_start(&mut self, id: SessionId, request: u32, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.admission != Admission::Admitted {
            session.admission = Admission::Unrecorded { request };
            return;
        }
        let (listener, channel) = (session.listener(), session.channel);
        self.tell_listener(listener, id, News::Started { request, channel });
        self.send_status(id, now);
        self.tell_of_session(id);
        self.follow_elsewhere(id, now);
    }

    /// The session that a request means: the one it names, the one this connection has already, or one that the same
    /// supervisor's broken connection left.
    fn session_to_take_up(
        &self,
        from: ConnectionId,
        principal: &Principal,
        wanted: &SessionRequest,
        resume: Option<SessionId>,
    ) -> Option<SessionId> {
        let same = |session: &&MonitorSession| {
            session.principal.is_same(principal) && session.agent == wanted.agent && session.output == wanted.output
        };
        if let Some(session) = resume.and_then(|id| self.sessions.get(&id)).filter(same) {
            return Some(session.id);
        }
        let here = |session: &&MonitorSession| match session.attachment {
            Attachment::Attached(connection) => connection == from,
            Attachment::Detached(_) => true,
            Attachment::Relayed(_) => false,
        };
        self.sessions.values().filter(same).find(here).map(|session| session.id)
    }

    fn attach(&mut self, id: SessionId, connection: ConnectionId, now: Instant) -> SessionId {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.attachment = Attachment::Attached(connection);
            session.attached = now;
            // Whoever comes back may have missed the question.
            session.asked = false;
            if let Some(former) = session.home.take() {
                let session = record(session);
                self.events.push_back(EngineEvent::SessionMoved { session, former });
            }
        }
        // What a connection must carry is told with the filter.
        self.events.push_back(EngineEvent::FilterChanged);
        id
    }

    /// A session that may be heard once it is written down: as one that starts or, where another member held it, goes on.
    pub(super) fn open_session(&mut self, mut session: MonitorSession, former: Option<ServerName>) -> SessionId {
        let id = session.id;
        if self.cluster().is_some() {
            session.expect_copies();
        }
        self.channels.insert(session.channel, id);
        self.past.started += 1;
        let record = record(&session);
        self.events.push_back(match former {
            Some(former) => EngineEvent::SessionMoved {
                session: record,
                former,
            },
            None => EngineEvent::SessionStarted(record),
        });
        self.sessions_on.entry(session.agent.clone()).or_default().push(id);
        self.sessions.insert(id, session);
        self.events.push_back(EngineEvent::FilterChanged);
        id
    }

    fn stop_monitor(&mut self, from: ConnectionId, id: SessionId, now: Instant) {
        let own = self
            .sessions
            .get(&id)
            .is_some_and(|session| session.connection() == Some(from));
        if own {
            self.stop_session(id, &Reason::new(Code::AudioFlowing, "Stopped by the supervisor."), now);
        } else if self.sessions.contains_key(&id) {
            self.count_foreign(ForeignRequest::Stop);
        }
    }

    fn end_connection(&mut self, from: ConnectionId, now: Instant) {
        let own = self
            .sessions
            .values()
            .filter(|session| session.connection() == Some(from));
        for id in own.map(|session| session.id).collect::<Vec<_>>() {
            self.stop_monitor(from, id, now);
        }
        self.transmits.push_back(Transmit::Close { connection: from });
    }

    pub(super) fn stop_session(&mut self, id: SessionId, reason: &Reason, now: Instant) {
        let dropped = self.span.health().dropped > self.drops_counted;
        let evidence = self.evidence(dropped, now);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.judge_losses(&evidence, &self.streams, true, now);
        }
        let status = self.status(id, now);
        self.unmute_at_last(id, now);
        self.unsubscribe_all(id, reason);
        let Some(session) = self.forget_session(id) else {
            return;
        };
        self.past.take(&session);
        let stopped = News::Stopped {
            reason: reason.clone(),
            status,
        };
        self.tell_listener(session.listener(), id, stopped);
        self.events
            .push_back(EngineEvent::SessionStopped(record(&session), reason.clone()));
    }

    fn forget_session(&mut self, id: SessionId) -> Option<MonitorSession> {
        let session = self.sessions.remove(&id)?;
        if let Some(cluster) = self.membership.directory_mut() {
            cluster.handle_session_over(id);
        }
        self.channels.remove(&session.channel);
        if let Some(sessions) = self.sessions_on.get_mut(&session.agent) {
            sessions.retain(|other| *other != id);
            if sessions.is_empty() {
                self.sessions_on.remove(&session.agent);
            }
        }
        self.events.push_back(EngineEvent::ListeningChanged {
            agent: session.agent.clone(),
        });
        self.unauthorised.remove(&id);
        self.routes.set(id, &[]);
        self.events.push_back(EngineEvent::FilterChanged);
        Some(session)
    }

    /// Works out anew how a session stands, and tells the supervisor when that changed or a status is due.
    pub(super) fn refresh_session(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self
            .sessions
            .get(&id)
            .filter(|session| session.admission == Admission::Admitted)
        else {
            return;
        };
        let audible = session.health(now).iter().any(|leg| leg.audible);
        let due = now >= session.next_status;
        let Some(status) = self.status(id, now) else { return };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if due {
            session.next_status = now + TICK;
            session.audible += if audible { TICK } else { std::time::Duration::ZERO };
        }
        session.forget_old(now);
        let changed = session.tell(&status);
        if changed || (due && audible) {
            let listener = session.listener();
            self.tell_listener(listener, id, News::Status(status));
        }
    }

    fn send_status(&mut self, id: SessionId, now: Instant) {
        let status = self.status(id, now);
        if let (Some(status), Some(session)) = (status, self.sessions.get_mut(&id)) {
            session.tell(&status);
            let listener = session.listener();
            self.tell_listener(listener, id, News::Status(status));
        }
    }

    fn status(&self, id: SessionId, now: Instant) -> Option<SessionStatus> {
        let session = self.sessions.get(&id)?;
        let agent = self.directory.agent(&session.agent);
        let heard = self.audible_media(&session.agent);
        let call = |leg: &MediaLeg| {
            let carried = agent.and_then(|agent| agent.call_on(leg)).map(|call| call.id.clone());
            carried.or_else(|| leg.call.clone())
        };
        let mut calls: Vec<_> = heard.iter().filter_map(call).collect();
        calls.dedup();
        let Diagnosis { reason, warnings } = self.diagnose_session(session, now);
        Some(SessionStatus {
            session: id,
            agent: session.agent.clone(),
            agent_state: agent.map_or(AgentState::Unknown, |agent| agent.state),
            calls,
            reason,
            warnings,
            legs: self.leg_status(session),
            controls: self.controls(&session.agent),
        })
    }
}

pub(super) fn record(session: &MonitorSession) -> SessionRecord {
    SessionRecord {
        session: session.id,
        principal: session.principal.clone(),
        agent: session.agent.clone(),
        purpose: session.purpose.clone(),
        started: session.started,
        audible: session.audible,
        disclosed: session.disclosed,
        home: session.home.clone(),
    }
}

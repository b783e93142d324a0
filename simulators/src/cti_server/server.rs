//! The server: sessions of both sides, faults, and events as each session wants them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use silentmon_proto::cti::CtiEvent;
use tokio::time::Instant;

use super::CtiServerOptions;
use super::numbers::Numbers;
use super::session::{Admission, Client, OpenRequest, Session, service, status};
use super::wire::{Body, Message};
use super::words::{ENTERPRISE_AGENT, NONE_16, tag};
use crate::runtime::{ConnectionId, Machine, Note, Outbox};
use crate::world::World;
use crate::{CloseHow, Fault, Side};

/// See [`super::CtiServer`].
#[derive(Debug)]
pub(super) struct Server {
    pub options: CtiServerOptions,
    pub world: World,
    pub calls: Numbers,
    pub agents: Numbers,
    pub teams: Numbers,
    pub clients: BTreeMap<ConnectionId, Client>,
    refuse: Option<(u32, u32)>,
    offline: Vec<usize>,
    active: usize,
    peripheral_online: bool,
    pg_status: u32,
}

impl Server {
    pub fn new(options: CtiServerOptions) -> Self {
        Self {
            options,
            world: World::default(),
            calls: Numbers::from(0x0100_0081),
            agents: Numbers::from(5004),
            teams: Numbers::from(5010),
            clients: BTreeMap::new(),
            refuse: None,
            offline: Vec::new(),
            active: 0,
            peripheral_online: true,
            pg_status: 0,
        }
    }

    fn handle_message(&mut self, from: ConnectionId, message_type: u32, body: &[u8], out: &mut Outbox) {
        let body = Body(body);
        let session = self.clients.get(&from).and_then(|client| client.session.clone());
        match (message_type, session) {
            (3, None) => self.open(from, body, out),
            (3, Some(_)) => fail(from, body, status::ALREADY_OPEN, out),
            (7, _) => close(from, body, out),
            (_, None) => fail(from, body, status::SESSION_NOT_OPEN, out),
            (5, Some(session)) => self.heartbeat(from, &session, body, out),
            (279, Some(_)) => out.note(Note::Ack),
            (281, Some(_)) => out.request(from.side, "STOPPING_REQUESTS_TO_THIS_SIDE_IND", []),
            (_, Some(session)) if session.standby => fail(from, body, status::SERVER_OFFLINE, out),
            (message_type, Some(session)) => self.handle_request(from, &session, message_type, body, out),
        }
    }

    fn open(&mut self, from: ConnectionId, body: Body<'_>, out: &mut Outbox) {
        let request = OpenRequest::parse(body);
        if let Ok(request) = &request {
            out.request(
                from.side,
                "OPEN_REQ",
                [("VersionNumber", request.version.0.to_string())],
            );
        }
        let admitted = request.and_then(|request| self.admit(from, &request).map(|session| (request, session)));
        match admitted {
            Ok((request, session)) => self.opened(from, request.invoke, &session, out),
            Err(status) => {
                out.note(Note::SessionRefused);
                fail(from, body, status, out);
            }
        }
    }

    fn admit(&mut self, from: ConnectionId, request: &OpenRequest) -> Result<Session, u32> {
        if let Some((status, count)) = self.refuse.take() {
            self.refuse = Some((status, count - 1)).filter(|(_, left)| *left > 0);
            return Err(status);
        }
        if self.offline.contains(&from.side) {
            return Err(status::SERVER_OFFLINE);
        }
        let session = request.admit(Admission {
            minimum: self.options.minimum_version,
            maximum: self.options.maximum_version,
            client_id: self.options.client_id.as_deref(),
            password: self.options.client_password.as_deref(),
        })?;
        let standby = self.options.active_standby && from.side != self.active;
        if standby && !request.asks_for(service::ACTIVE_STANDBY) {
            return Err(status::SERVER_OFFLINE);
        }
        Ok(Session { standby, ..session })
    }

    fn opened(&mut self, from: ConnectionId, invoke: u32, session: &Session, out: &mut Outbox) {
        out.send(from, self.open_conf(invoke, session));
        let told_at_once = session.all_events() && !session.standby;
        if let Some(client) = self.clients.get_mut(&from) {
            client.session = Some(session.clone());
        }
        if told_at_once {
            let id = if self.peripheral_online { 3 } else { 4 };
            out.send(from, self.system_event(session, id, self.options.peripheral_id));
            self.tell_teams(from, session, out);
        }
        out.note(Note::SessionOpened(from.side));
    }

    fn open_conf(&self, invoke: u32, session: &Session) -> Vec<u8> {
        let message = Message::new(session.version, 4)
            .u32(invoke)
            .u32(session.services)
            .u32(0)
            .u32(self.pg_status)
            .u32(seconds_since_1970())
            .u16(u16::from(self.peripheral_online))
            .u16(ENTERPRISE_AGENT)
            .u16(0)
            .department();
        let message = match (session.version.0, session.standby) {
            (..24, _) => message,
            (24.., false) => message.u16(1),
            (24.., true) => message.u16(2),
        };
        message
            .float_u16(tag::NUM_PERIPHERALS, 1)
            .float_u32(tag::PERIPHERAL_ID, self.options.peripheral_id)
            .float_u16(tag::MULTILINE_AGENT_CONTROL, 0)
            .finish()
    }

    fn system_event(&self, session: &Session, id: u32, argument: u32) -> Vec<u8> {
        Message::new(session.version, 31)
            .u32(self.pg_status)
            .u32(seconds_since_1970())
            .u32(id)
            .u32(argument)
            .u32(0)
            .u32(0)
            .u16(NONE_16)
            .finish()
    }

    fn heartbeat(&mut self, from: ConnectionId, session: &Session, body: Body<'_>, out: &mut Outbox) {
        out.note(Note::Heartbeat);
        if self.offline.contains(&from.side) {
            return fail(from, body, status::SERVER_OFFLINE, out);
        }
        out.send(from, Message::new(session.version, 6).u32(invoke(body)).finish());
    }

    fn go_offline(&mut self, side: Option<Side>, out: &mut Outbox) {
        for side in (0..self.options.sides.len()).filter(|place| side.is_none_or(|side| side.0 == *place)) {
            self.offline.push(side);
        }
        for (id, client) in self.clients.iter().filter(|(id, _)| self.offline.contains(&id.side)) {
            if let Some(session) = &client.session {
                out.send(
                    *id,
                    Message::new(session.version, 2).u32(status::SERVER_OFFLINE).finish(),
                );
            }
        }
    }

    fn tell_system(&mut self, id: u32, argument: Option<u32>, pg_status: Option<u32>, out: &mut Outbox) {
        let (usual, online) = system_state(id, self.pg_status, self.peripheral_online);
        self.pg_status = pg_status.unwrap_or(usual);
        self.peripheral_online = online;
        let about_peripheral = matches!(id, 3 | 4).then_some(self.options.peripheral_id);
        let argument = argument.or(about_peripheral).unwrap_or_default();
        for (to, client) in &self.clients {
            if let Some(session) = client.session.as_ref().filter(|session| session.all_events()) {
                out.send(*to, self.system_event(session, id, argument));
            }
        }
    }

    /// The other side becomes active: the old one asks its clients, tells them to go on there, and falls back.
    fn switch_over(&mut self, out: &mut Outbox) {
        let old = self.active;
        self.active = (old + 1) % self.options.sides.len().max(1);
        for (id, client) in &mut self.clients {
            let Some(session) = &mut client.session else { continue };
            if id.side == self.active && session.standby {
                session.standby = false;
                out.send(*id, Message::new(session.version, 277).finish());
            } else if id.side == old && session.services & service::ACTIVE_STANDBY != 0 {
                session.standby = true;
                out.send(*id, Message::new(session.version, 278).u32(1).finish());
                out.send(*id, Message::new(session.version, 280).u16(0).finish());
            } else if id.side == old {
                out.send(
                    *id,
                    Message::new(session.version, 2).u32(status::SERVER_OFFLINE).finish(),
                );
            }
        }
    }
}

impl Machine for Server {
    fn handle_connected(&mut self, connection: ConnectionId, now: Instant) {
        self.clients.insert(connection, Client::new(now));
    }

    fn handle_bytes(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(&connection) else {
            return;
        };
        client.last_heard = now;
        client.framer.push(bytes);
        while let Some(client) = self.clients.get_mut(&connection) {
            match client.framer.next() {
                Ok(Some((message_type, body))) => self.handle_message(connection, message_type, &body, out),
                Ok(None) => return,
                Err(_) => {
                    out.note(Note::Bad);
                    out.close(connection, CloseHow::Rst);
                    self.clients.remove(&connection);
                }
            }
        }
    }

    fn handle_closed(&mut self, connection: ConnectionId) {
        self.clients.remove(&connection);
    }

    fn handle_event(&mut self, event: CtiEvent, _now: Instant, out: &mut Outbox) {
        self.play(event, out);
    }

    fn handle_fault(&mut self, fault: &Fault, _now: Instant, out: &mut Outbox) {
        match fault {
            Fault::RefuseVersion { maximum } => self.options.maximum_version = *maximum,
            Fault::RefuseOpen { status, count } => {
                self.refuse = Some((*status, *count)).filter(|(_, count)| *count > 0);
            }
            Fault::ServerOffline { side } => self.go_offline(*side, out),
            Fault::ServerOnline { side } => {
                self.offline.retain(|place| side.is_some_and(|side| side.0 != *place));
            }
            Fault::SystemEvent {
                id,
                argument,
                pg_status,
            } => self.tell_system(*id, *argument, *pg_status, out),
            Fault::SwitchOver => self.switch_over(out),
            other => tracing::warn!(?other, "a CTI server knows no such fault"),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        let idle = |client: &Client| client.idle_until().is_some_and(|until| until <= now);
        let gone: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| idle(client))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            tracing::info!(side = id.side, "the client was silent for longer than its IdleTimeout");
            out.close(id, CloseHow::Rst);
            self.clients.remove(&id);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.clients.values().filter_map(Client::idle_until).min()
    }
}

/// PGStatus and whether the peripheral is on line after a SystemEventID.
const fn system_state(id: u32, pg_status: u32, online: bool) -> (u32, bool) {
    match id {
        1 => (pg_status & !2, online),
        2 => (pg_status | 2, online),
        3 => (pg_status & !4, true),
        4 => (pg_status | 4, false),
        6 => (pg_status | 1, online),
        7 => (pg_status | 8, online),
        8 => (pg_status & !9, online),
        _ => (pg_status, online),
    }
}

pub(super) fn invoke(body: Body<'_>) -> u32 {
    body.u32(0).unwrap_or_default()
}

/// FAILURE_CONF, the same in all versions.
pub(super) fn fail(to: ConnectionId, body: Body<'_>, status: u32, out: &mut Outbox) {
    let message = Message::new(super::wire::Version(0), 1).u32(invoke(body)).u32(status);
    out.send(to, message.finish());
}

fn close(from: ConnectionId, body: Body<'_>, out: &mut Outbox) {
    out.request(from.side, "CLOSE_REQ", []);
    out.send(
        from,
        Message::new(super::wire::Version(0), 8).u32(invoke(body)).finish(),
    );
    out.close(from, CloseHow::Fin);
}

fn seconds_since_1970() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

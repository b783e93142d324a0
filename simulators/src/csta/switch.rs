//! The switch: sessions, monitors, and events as each monitor sees them.

use std::collections::BTreeMap;

use silentmon_proto::cti::{AgentState, CallEventKind, CtiEvent, ReleasingParty};
use silentmon_proto::ids::{AgentId, CallId, Extension};
use tokio::time::Instant;

use super::events::{Devices, Merge, View, agent, agent_event};
use super::frame::{EVENT, Framer, frame};
use super::{CstaOptions, Dialect};
use crate::runtime::{ConnectionId, Machine, Note, Outbox};
use crate::world::{Happening, Party, Told, World};
use crate::xml::Element;
use crate::{CloseHow, Fault};

const CSTA_NAMESPACE: &str = "http://www.ecma-international.org/standards/ecma-323/csta/ed4";
const SESSION_NAMESPACE: &str = "http://www.ecma-international.org/standards/ecma-354/appl_session";

/// See [`super::Csta`].
#[derive(Debug)]
pub(super) struct Switch {
    pub options: CstaOptions,
    pub world: World,
    pub clients: BTreeMap<ConnectionId, Client>,
    pub next_id: u32,
    pub refuse_logins: u32,
    pub refuse_monitor: Option<RefuseMonitor>,
    unknown_elements: u32,
}

/// See [`Fault::RefuseMonitor`].
#[derive(Debug, Clone)]
pub(super) struct RefuseMonitor {
    pub device: Option<String>,
    pub left: u32,
    pub error: String,
}

/// A connection and its session.
#[derive(Debug)]
pub(super) struct Client {
    framer: Framer,
    pub session: Option<Session>,
    /// Devices by monitorCrossRefID.
    pub monitors: BTreeMap<u32, Extension>,
    /// When to ask for its status, and until when it has to answer the question asked.
    ask_at: Option<Instant>,
    answer_until: Option<Instant>,
    invoke: u16,
}

/// An application session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub id: String,
    pub expires: Instant,
}

impl Switch {
    pub fn new(options: CstaOptions) -> Self {
        Self {
            options,
            world: World::default(),
            clients: BTreeMap::new(),
            next_id: 1_136_370_025,
            refuse_logins: 0,
            refuse_monitor: None,
            unknown_elements: 0,
        }
    }

    pub fn devices(&self) -> Devices {
        Devices {
            decorated: self.options.decorated,
        }
    }

    /// Sends a document in the switch's dialect.
    pub fn send(&self, to: ConnectionId, invoke: u16, document: &Element, out: &mut Outbox) {
        let session = document.name.contains("ApplicationSession");
        let namespace = if session { SESSION_NAMESPACE } else { CSTA_NAMESPACE };
        let text = match self.options.dialect {
            Dialect::Bare => document.write(""),
            Dialect::Default => document.clone().attribute("xmlns", namespace).write(""),
            Dialect::Prefix => document.clone().attribute("xmlns:ns3", namespace).write("ns3:"),
        };
        let Some(bytes) = frame(invoke, &format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}")) else {
            return tracing::warn!(document = document.name, "longer than a frame can be: not sent");
        };
        out.send(to, bytes);
    }

    pub fn play(&mut self, event: CtiEvent, out: &mut Outbox) {
        for happening in self.world.apply(event) {
            self.tell(happening, out);
        }
    }

    fn tell(&mut self, happening: Happening, out: &mut Outbox) {
        match happening {
            Happening::Agent {
                party,
                agent,
                from,
                state,
            } => self.tell_agent(&party, &agent, from, state, out),
            Happening::Call {
                told,
                kind,
                released_by,
                merged,
                parties,
            } => {
                let merge = Merge {
                    gone: merged.as_ref(),
                    parties: &parties,
                };
                self.tell_call(&told, kind, released_by, merge, out);
            }
            Happening::CallRenamed { told, from } => {
                for (to, monitor, device) in self.watchers(&told.call, Some(&told.party.extension)) {
                    let event = self.view(monitor, &device, &told).renamed(&from);
                    self.send_event(to, event, out);
                }
            }
            Happening::Hoteling {
                guest,
                agent,
                before,
                host,
            } => {
                let agent = agent.unwrap_or_else(|| AgentId::new(guest.as_str()));
                if let Some(before) = before {
                    self.agent_event("AgentLoggedOffEvent", &before, &agent, out);
                }
                if let Some(host) = host {
                    self.agent_event("AgentLoggedOnEvent", &host, &agent, out);
                }
            }
            // CSTA has no media; a call's beginning and end are for monitors of calls; teams are unknown to it; a
            // snapshot only answers a request.
            Happening::MediaStarted(_)
            | Happening::MediaStopped(_)
            | Happening::CallBegan(_)
            | Happening::CallEnded { .. }
            | Happening::Team { .. }
            | Happening::Replaced(_) => {}
        }
    }

    fn tell_agent(
        &mut self,
        party: &Party,
        id: &AgentId,
        from: Option<AgentState>,
        state: AgentState,
        out: &mut Outbox,
    ) {
        let signs_in = from.is_none_or(|from| !from.is_signed_in()) && state.is_signed_in();
        if signs_in && state != AgentState::Login {
            self.agent_event("AgentLoggedOnEvent", &party.extension, id, out);
        }
        if let Some(name) = agent_event(state) {
            self.agent_event(name, &party.extension, id, out);
        }
    }

    fn agent_event(&mut self, name: &str, device: &Extension, id: &AgentId, out: &mut Outbox) {
        for (to, monitor) in self.monitors_of(device) {
            let event = agent(name, monitor, self.devices(), device.as_str(), id);
            self.send_event(to, event, out);
        }
    }

    fn tell_call(
        &mut self,
        told: &Told,
        kind: CallEventKind,
        released_by: Option<ReleasingParty>,
        merge: Merge<'_>,
        out: &mut Outbox,
    ) {
        for (to, monitor, device) in self.watchers(&told.call, Some(&told.party.extension)) {
            let event = self.view(monitor, &device, told).call_event(kind, released_by, merge);
            self.send_event(to, event, out);
        }
    }

    fn view<'a>(&self, monitor: u32, device: &Extension, told: &'a Told) -> View<'a> {
        let connections = self.world.connections(&told.call).collect::<BTreeMap<_, _>>();
        let own = (*device == told.party.extension).then_some(told.connection.state);
        View {
            monitor,
            local: connections.get(device).map(|connection| connection.state).or(own),
            devices: self.devices(),
            told,
        }
    }

    /// Monitors of all devices in a call, that of the event first.
    fn watchers(&self, call: &CallId, first: Option<&Extension>) -> Vec<(ConnectionId, u32, Extension)> {
        let others = self.world.connections(call).map(|(device, _)| device);
        let devices = first.into_iter().chain(others.filter(|device| Some(*device) != first));
        devices
            .flat_map(|device| {
                self.monitors_of(device)
                    .into_iter()
                    .map(|(to, monitor)| (to, monitor, device.clone()))
            })
            .collect()
    }

    fn monitors_of(&self, device: &Extension) -> Vec<(ConnectionId, u32)> {
        let of_client = |(id, client): (&ConnectionId, &Client)| {
            let mine = client.monitors.iter().filter(|(_, watched)| *watched == device);
            mine.map(|(monitor, _)| (*id, *monitor)).collect::<Vec<_>>()
        };
        self.clients.iter().flat_map(of_client).collect()
    }

    fn send_event(&mut self, to: ConnectionId, event: Element, out: &mut Outbox) {
        let event = match self.unknown_elements {
            0 => event,
            _ => with_unknown(event),
        };
        self.unknown_elements = self.unknown_elements.saturating_sub(1);
        self.send(to, EVENT, &event, out);
    }

    /// Asks a client by SystemStatus whether it is alive.
    fn ask(&mut self, to: ConnectionId, status: &str, now: Instant, out: &mut Outbox) {
        let answer_until = now + self.options.answer_limit;
        let Some(client) = self.clients.get_mut(&to) else {
            return;
        };
        client.invoke = (client.invoke + 1) % EVENT;
        client.answer_until = Some(answer_until);
        client.ask_at = None;
        let invoke = client.invoke;
        let question = Element::new("SystemStatus").with_text("systemStatus", status);
        self.send(to, invoke, &question, out);
    }

    pub fn answered(&mut self, from: ConnectionId, invoke: u16, now: Instant, out: &mut Outbox) {
        let interval = self.options.system_status;
        let Some(client) = self.clients.get_mut(&from).filter(|client| client.invoke == invoke) else {
            return out.note(Note::Bad);
        };
        client.answer_until = None;
        client.ask_at = interval.map(|interval| now + interval);
        out.note(Note::Ack);
    }

    /// Begins to look after a client whose session is open.
    pub fn session_opened(&mut self, from: ConnectionId, session: Session, now: Instant, out: &mut Outbox) {
        let interval = self.options.system_status;
        if let Some(client) = self.clients.get_mut(&from) {
            client.session = Some(session);
            client.ask_at = interval.map(|interval| now + interval);
        }
        out.note(Note::SessionOpened(from.side));
    }

    /// A session's time is over: its monitors end with it.
    fn expire(&mut self, id: ConnectionId, out: &mut Outbox) {
        let Some(session) = self.clients.get_mut(&id).and_then(|client| {
            client.monitors.clear();
            client.session.take()
        }) else {
            return;
        };
        tracing::info!(side = id.side, "the application session expired");
        let reason = Element::new("sessionTermReason").with_text("definedTermReason", "sessionTimerExpired");
        let terminated = Element::new("ApplicationSessionTerminated")
            .with_text("sessionID", session.id)
            .with(reason);
        self.send(id, EVENT, &terminated, out);
    }

    fn drop_silent(&mut self, id: ConnectionId, out: &mut Outbox) {
        tracing::info!(side = id.side, "SystemStatus was not answered: connection dropped");
        self.clients.remove(&id);
        out.close(id, CloseHow::Rst);
    }
}

impl Client {
    fn deadline(&self) -> Option<Instant> {
        let expires = self.session.as_ref().map(|session| session.expires);
        [expires, self.ask_at, self.answer_until].into_iter().flatten().min()
    }
}

impl Machine for Switch {
    fn handle_connected(&mut self, connection: ConnectionId, _now: Instant) {
        let client = Client {
            framer: Framer::default(),
            session: None,
            monitors: BTreeMap::new(),
            ask_at: None,
            answer_until: None,
            invoke: 0,
        };
        self.clients.insert(connection, client);
    }

    fn handle_bytes(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        if let Some(client) = self.clients.get_mut(&connection) {
            client.framer.push(bytes);
        }
        while let Some(client) = self.clients.get_mut(&connection) {
            match client.framer.next() {
                Ok(Some((invoke, document))) => match Element::parse(&document) {
                    Some(request) => self.handle_request(connection, invoke, &request, now, out),
                    None => out.note(Note::Bad),
                },
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

    fn handle_fault(&mut self, fault: &Fault, now: Instant, out: &mut Outbox) {
        let all: Vec<_> = self.clients.keys().copied().collect();
        match fault {
            Fault::RefuseOpen { count, .. } => self.refuse_logins = *count,
            Fault::RefuseMonitor { device, count, error } => {
                let error = error.clone().unwrap_or_else(|| "operation/invalidDeviceID".to_owned());
                self.refuse_monitor = Some(RefuseMonitor {
                    device: device.clone(),
                    left: *count,
                    error,
                });
            }
            Fault::SessionExpired => all.into_iter().for_each(|id| self.expire(id, out)),
            Fault::SystemStatus { status } => all.into_iter().for_each(|id| self.ask(id, status, now, out)),
            Fault::UnknownElements { count } => self.unknown_elements = *count,
            other => tracing::warn!(?other, "a CSTA switch knows no such fault"),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let all: Vec<_> = self.clients.keys().copied().collect();
        for id in all {
            let Some(client) = self.clients.get(&id) else { continue };
            if due(client.answer_until) {
                self.drop_silent(id, out);
            } else if due(client.session.as_ref().map(|session| session.expires)) {
                self.expire(id, out);
            } else if due(client.ask_at) {
                self.ask(id, "normal", now, out);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.clients.values().filter_map(Client::deadline).min()
    }
}

/// Elements that no standard knows, among those it knows.
fn with_unknown(mut event: Element) -> Element {
    let strange = Element::new("futureElement")
        .attribute("xmlns:x", "urn:example:unknown")
        .with(Element::text("x:callID", "not a call"))
        .with(Element::new("x:empty"));
    event.children.insert(1.min(event.children.len()), strange);
    let private = Element::new("private").with_text("deeper", "& <here>");
    event.with(Element::new("extensions").with(Element::new("privateData").with(private)))
}

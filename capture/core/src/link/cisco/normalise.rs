//! GED-188 events to [`CtiEvent`]s.
//!
//! A connection's device is the one that the event is about (Answering, Alerting, Holding, …), else that of the
//! connection's own id where this is static.

use silentmon_proto::cti::ged188::{
    AgentTeamConfigEvent, CallConferencedEvent, CallConnectionClearedEvent, CallDataUpdateEvent, CallEstablishedEvent,
    CallTransferredEvent, CallType, ConnectedParty, ConnectionCallId, ConnectionDeviceIdType, DeviceIdType, EventCause,
    Floating, LineType, LocalConnectionState, Message, PeripheralId, ProtocolVersion, SnapshotCallConf,
    SnapshotDeviceConf, Tag, is_acd,
};
use silentmon_proto::cti::{
    AgentState, CallEnded, CallEvent, CallEventKind, CallRenamed, CtiEvent, DeviceSnapshot, ReleasingParty,
    SnapshotCall,
};
use silentmon_proto::ids::{AgentId, Extension};

use super::agents::{AgentKey, Agents, extension};
use super::calls::{CallKey, Calls, Connection};
use super::media;
use super::requests::Request;
use super::teams::Teams;

/// See the module.
#[derive(Debug)]
pub(super) struct Normaliser {
    pub(super) agents: Agents,
    pub(super) calls: Calls,
    pub(super) teams: Teams,
    peripherals: Vec<PeripheralId>,
    version: ProtocolVersion,
}

/// What came of a message.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) events: Vec<CtiEvent>,
    /// What should be asked because of it.
    pub(super) requests: Vec<Request>,
}

/// What all call events say.
struct Told<'a> {
    key: CallKey,
    /// The connection's own device.
    connection: Option<Extension>,
    cause: Option<EventCause>,
    state: Option<LocalConnectionState>,
    floating: &'a Floating,
}

macro_rules! told {
    ($self:ident, $event:ident) => {
        $self.told(
            ($event.peripheral_id, $event.connection_call_id),
            $event.connection_device_id_type,
            ($event.event_cause, $event.local_connection_state),
            &$event.floating,
        )
    };
}

/// The device of an event, and what tells whether the call came through the queue.
#[derive(Clone, Copy)]
struct At {
    device: Tag,
    device_type: Option<DeviceIdType>,
    line_type: Option<LineType>,
}

impl At {
    const fn device(device: Tag, device_type: Option<DeviceIdType>) -> Self {
        Self {
            device,
            device_type,
            line_type: None,
        }
    }

    const fn line(self, line_type: Option<LineType>) -> Self {
        Self { line_type, ..self }
    }
}

impl Normaliser {
    /// A normaliser of what these peripherals say; none: all.
    pub(super) fn new(peripherals: Vec<PeripheralId>, version: ProtocolVersion) -> Self {
        Self {
            agents: Agents::default(),
            calls: Calls::default(),
            teams: Teams::default(),
            peripherals,
            version,
        }
    }

    /// The version of the session that events come from.
    pub(super) const fn set_version(&mut self, version: ProtocolVersion) {
        self.version = version;
    }

    /// Takes an event.
    pub(super) fn handle(&mut self, message: &Message) -> Outcome {
        let mut out = Outcome::default();
        match message {
            Message::AgentStateEvent(_) | Message::AgentTeamConfigEvent(_) => self.agent_event(message, &mut out),
            Message::RtpStartedEvent(event) => {
                if let Some(key) = self.media_key(event.peripheral_id, event.connection_call_id) {
                    out.events = media::started(&mut self.calls, key, event);
                }
            }
            Message::RtpStoppedEvent(event) => {
                if let Some(key) = self.media_key(event.peripheral_id, event.connection_call_id) {
                    out.events.extend(media::stopped(&mut self.calls, key, event));
                }
            }
            Message::BeginCallEvent(_) | Message::CallDataUpdateEvent(_) | Message::EndCallEvent(_) => {
                self.life_event(message, &mut out);
            }
            _ => {
                self.connection_event(message, &mut out);
            }
        }
        out
    }

    fn agent_event(&mut self, message: &Message, out: &mut Outcome) {
        match message {
            Message::AgentStateEvent(event) if self.listens_to(event.peripheral_id) => {
                let Some(change) = self.agents.handle_state(event) else {
                    return;
                };
                let has_calls = matches!(change.update.state, AgentState::Talking | AgentState::Hold);
                if change.is_first && has_calls {
                    out.requests.extend(self.snapshot_of(&change.key));
                }
                out.events.push(change.update.into());
            }
            Message::AgentTeamConfigEvent(event) if self.listens_to(event.peripheral_id) => {
                out.requests.extend(self.ask_for_members(event));
                out.events.push(self.teams.handle(event).into());
            }
            _ => {}
        }
    }

    fn ask_for_members(&mut self, event: &AgentTeamConfigEvent) -> Vec<Request> {
        let Some(peripheral) = event.peripheral_id else {
            return Vec::new();
        };
        let keys = event.agents().into_iter().map(|agent| AgentKey {
            peripheral,
            agent: AgentId::new(agent.agent_id),
        });
        keys.filter(|key| self.agents.expect(key.clone()))
            .map(Request::QueryAgent)
            .collect()
    }

    /// The question for the calls of an agent's phone.
    pub(super) fn snapshot_of(&self, key: &AgentKey) -> Option<Request> {
        let agent = self.agents.agent(key)?;
        Some(Request::SnapshotDevice {
            peripheral: key.peripheral,
            device: agent.device()?.clone(),
            reported: agent.reported_device()?.clone(),
        })
    }

    fn life_event(&mut self, message: &Message, out: &mut Outcome) {
        match message {
            Message::BeginCallEvent(event) => {
                if let Some(key) = self.key(event.peripheral_id, event.connection_call_id) {
                    self.calls.begin(key);
                    self.learn(key, event.call_type, &event.floating);
                }
            }
            Message::CallDataUpdateEvent(event) => self.data_update(event, out),
            Message::EndCallEvent(event) => {
                if let Some(key) = self.key(event.peripheral_id, event.connection_call_id) {
                    self.end(key, out);
                }
            }
            _ => {}
        }
    }

    fn data_update(&mut self, event: &CallDataUpdateEvent, out: &mut Outcome) {
        let Some(key) = self.key(event.peripheral_id, event.connection_call_id) else {
            return;
        };
        self.learn(key, event.call_type, &event.floating);
        let (Some(_), Some(call)) = (event.new_connection_device_id_type, event.new_connection_call_id) else {
            return;
        };
        let new = CallKey { call, ..key };
        if let Some(renamed) = self.calls.rename(key, new) {
            out.events.push(call_renamed(renamed));
        }
    }

    fn learn(&mut self, key: CallKey, call_type: Option<CallType>, floating: &Floating) {
        let version = self.version;
        let call = self.calls.call(key);
        call.call_type = call_type.or(call.call_type);
        call.acd = is_acd(None, call.call_type, None, version).or(call.acd);
        call.calling = number(floating, &[Tag::ANI]).or(call.calling.take());
        call.called = number(floating, &[Tag::DNIS, Tag::DIALED_NUMBER]).or(call.called.take());
    }

    fn end(&mut self, key: CallKey, out: &mut Outcome) {
        if let Some((key, call)) = self.calls.end(key) {
            let ended = CallEnded {
                call: key.id(),
                controlling_party: call.released_by,
            };
            out.events.push(ended.into());
        }
    }

    fn connection_event(&mut self, message: &Message, out: &mut Outcome) -> Option<()> {
        use CallEventKind as Kind;
        match message {
            Message::CallDeliveredEvent(event) => {
                let at = At::device(Tag::ALERTING_DEVICE_ID, event.alerting_device_type).line(event.line_type);
                self.connection(&told!(self, event)?, at, Kind::Delivered, out);
            }
            Message::CallEstablishedEvent(event) => self.established(&told!(self, event)?, event, out),
            Message::CallHeldEvent(event) => {
                let at = At::device(Tag::HOLDING_DEVICE_ID, event.holding_device_type);
                self.connection(&told!(self, event)?, at, Kind::Held, out);
            }
            Message::CallRetrievedEvent(event) => {
                let at = At::device(Tag::RETRIEVING_DEVICE_ID, event.retrieving_device_type);
                self.connection(&told!(self, event)?, at, Kind::Retrieved, out);
            }
            Message::CallOriginatedEvent(event) => {
                let at = At::device(Tag::CALLING_DEVICE_ID, event.calling_device_type).line(event.line_type);
                self.connection(&told!(self, event)?, at, Kind::Originated, out);
            }
            Message::CallServiceInitiatedEvent(event) => {
                let at = At::device(Tag::CALLING_DEVICE_ID, event.calling_device_type).line(event.line_type);
                self.connection(&told!(self, event)?, at, Kind::ServiceInitiated, out);
            }
            Message::CallReachedNetworkEvent(event) => {
                let at = At::device(Tag::CALLING_DEVICE_ID, None).line(event.line_type);
                self.connection(&told!(self, event)?, at, Kind::NetworkReached, out);
            }
            Message::CallQueuedEvent(event) => {
                let at = At::device(Tag::QUEUE_DEVICE_ID, event.queue_device_type);
                self.connection(&told!(self, event)?, at, Kind::Queued, out);
            }
            Message::CallFailedEvent(event) => {
                let at = At::device(Tag::FAILING_DEVICE_ID, event.failing_device_type);
                self.connection(&told!(self, event)?, at, Kind::Failed, out);
            }
            Message::CallDivertedEvent(event) => {
                let at = At::device(Tag::DIVERTING_DEVICE_ID, event.diverting_device_type);
                self.connection(&told!(self, event)?, at, Kind::Diverted, out);
            }
            Message::CallConnectionClearedEvent(event) => self.cleared(&told!(self, event)?, event, out),
            Message::CallClearedEvent(event) => self.end(told!(self, event)?.key, out),
            Message::CallConferencedEvent(event) => self.conferenced(event, out)?,
            Message::CallTransferredEvent(event) => self.transferred(event, out)?,
            _ => {}
        }
        Some(())
    }

    fn told<'a>(
        &self,
        (peripheral, call): (Option<PeripheralId>, Option<ConnectionCallId>),
        device_id_type: Option<ConnectionDeviceIdType>,
        (cause, state): (Option<EventCause>, Option<LocalConnectionState>),
        floating: &'a Floating,
    ) -> Option<Told<'a>> {
        let is_static = device_id_type != Some(ConnectionDeviceIdType::DYNAMIC);
        Some(Told {
            key: self.key(peripheral, call)?,
            connection: extension(floating, Tag::CONNECTION_DEVICE_ID).filter(|_| is_static),
            cause,
            state,
            floating,
        })
    }

    /// An event of one device's connection.
    fn connection(&mut self, told: &Told<'_>, at: At, kind: CallEventKind, out: &mut Outcome) {
        let Some(device) = extension(told.floating, at.device).or_else(|| told.connection.clone()) else {
            return;
        };
        let kind = match told.cause {
            Some(EventCause::CALL_PARTY_UPDATE) => match self.party_update(told, &device, kind) {
                Some(kind) => kind,
                None => return,
            },
            _ => kind,
        };
        let acd = self.acd(told.key, &device, at);
        self.push(told, device, kind, acd, out);
    }

    fn push(&mut self, told: &Told<'_>, device: Extension, kind: CallEventKind, acd: Option<bool>, out: &mut Outcome) {
        let id = self.calls.resolve(told.key).id();
        let call = self.calls.call(told.key);
        match connection_after(kind) {
            Some(connection) => call.connect(&device, connection),
            None if ends(kind) => {
                call.connections.remove(&device);
            }
            None => {}
        }
        call.calling = number(told.floating, &[Tag::CALLING_DEVICE_ID, Tag::ANI]).or(call.calling.take());
        call.called = number(told.floating, &[Tag::CALLED_DEVICE_ID, Tag::DNIS]).or(call.called.take());
        let event = CallEvent {
            acd,
            calling: call.calling.clone(),
            called: call.called.clone(),
            released_by: (kind == CallEventKind::Failed).then_some(ReleasingParty::Unknown),
            ..CallEvent::of_device("", id, kind)
        };
        let event = CallEvent {
            device: Some(device),
            ..event
        };
        out.events.push(event.into());
    }

    /// After a switch to the standby side, calls in progress are told anew: nothing that is known happens again, and
    /// nothing goes back to an earlier state.
    fn party_update(&self, told: &Told<'_>, device: &Extension, kind: CallEventKind) -> Option<CallEventKind> {
        let call = self.calls.known(told.key);
        let known = call.and_then(|call| call.connections.get(device)).copied();
        let kind = match told.state {
            Some(LocalConnectionState::ALERTING) => CallEventKind::Delivered,
            Some(LocalConnectionState::CONNECT) => CallEventKind::Established,
            Some(LocalConnectionState::HOLD) => CallEventKind::Held,
            _ => kind,
        };
        match (known, connection_after(kind)) {
            (Some(known), Some(told)) if known == told => None,
            (Some(Connection::Connected | Connection::Held), Some(Connection::Alerting)) => None,
            (Some(Connection::Held), Some(Connection::Connected)) if told.state.is_none() => None,
            _ => Some(kind),
        }
    }

    /// Whether the call came through the queue. A consultation is as the call that it is about.
    fn acd(&mut self, key: CallKey, device: &Extension, at: At) -> Option<bool> {
        let version = self.version;
        let call = self.calls.call(key);
        let told = is_acd(at.line_type, call.call_type, at.device_type, version);
        let is_consultation = matches!(
            call.call_type,
            Some(CallType::CONSULT | CallType::CONSULT_OFFERED | CallType::CONSULT_CONFERENCE)
        );
        let known = if is_consultation { call.acd } else { told.or(call.acd) };
        let acd = known.or_else(|| {
            let kept_as = self.calls.resolve(key);
            let others = self.calls.others_of(device, kept_as);
            let consulted = others.filter_map(|other| other.acd).max();
            consulted.filter(|_| is_consultation).or(told)
        });
        self.calls.call(key).acd = acd;
        acd
    }

    /// The caller's phone is connected too: of a call that an agent makes, nothing else says so.
    fn established(&mut self, told: &Told<'_>, event: &CallEstablishedEvent, out: &mut Outcome) {
        let at = At::device(Tag::ANSWERING_DEVICE_ID, event.answering_device_type).line(event.line_type);
        self.connection(told, at, CallEventKind::Established, out);
        let Some(caller) = extension(&event.floating, Tag::CALLING_DEVICE_ID) else {
            return;
        };
        let call = self.calls.known(told.key);
        let connection = call.and_then(|call| call.connections.get(&caller)).copied();
        let is_phone = connection == Some(Connection::Initiated)
            || (connection.is_none() && self.agents.at_device(&caller).is_some());
        if is_phone {
            let at = At::device(Tag::CALLING_DEVICE_ID, event.calling_device_type).line(event.line_type);
            self.connection(told, at, CallEventKind::Established, out);
        }
    }

    /// Cause 28 says that the call only went elsewhere: nobody hung up.
    fn cleared(&mut self, told: &Told<'_>, event: &CallConnectionClearedEvent, out: &mut Outcome) {
        let releasing = extension(&event.floating, Tag::RELEASING_DEVICE_ID);
        let Some(device) = told.connection.clone().or_else(|| releasing.clone()) else {
            return;
        };
        let acd = self.calls.known(told.key).and_then(|call| call.acd);
        if told.cause == Some(EventCause::REDIRECTED) {
            return self.push(told, device, CallEventKind::Diverted, acd, out);
        }
        let released_by = match &releasing {
            None => ReleasingParty::Unknown,
            Some(releasing) if self.agents.is_same_device(releasing, &device) => ReleasingParty::Local,
            Some(_) => ReleasingParty::Remote,
        };
        self.push(told, device, CallEventKind::ConnectionCleared, acd, out);
        if let Some(CtiEvent::Call(event)) = out.events.last_mut() {
            event.released_by = Some(released_by);
        }
        let call = self.calls.call(told.key);
        call.released_by = call.released_by.take().or(releasing);
    }

    fn conferenced(&mut self, event: &CallConferencedEvent, out: &mut Outcome) -> Option<()> {
        let parties = event.parties();
        let old = [event.primary_call_id, event.secondary_call_id];
        let told = self.merged(event.peripheral_id, old, &parties, &event.floating, out)?;
        let named = [Tag::CONTROLLER_DEVICE_ID, Tag::ADDED_PARTY_DEVICE_ID];
        let named = named.into_iter().filter_map(|tag| extension(&event.floating, tag));
        let mut devices: Vec<Extension> = Vec::new();
        for device in named.chain(parties.iter().filter_map(device)) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        let acd = self.calls.known(told.key).and_then(|call| call.acd);
        for device in devices {
            self.push(&told, device, CallEventKind::Conferenced, acd, out);
        }
        Some(())
    }

    fn transferred(&mut self, event: &CallTransferredEvent, out: &mut Outcome) -> Option<()> {
        let parties = event.parties();
        let old = [event.primary_call_id, event.secondary_call_id];
        let told = self.merged(event.peripheral_id, old, &parties, &event.floating, out)?;
        let acd = self.calls.known(told.key).and_then(|call| call.acd);
        let transferring = extension(&event.floating, Tag::TRANSFERRING_DEVICE_ID);
        if let Some(device) = transferring.clone() {
            self.push(&told, device, CallEventKind::Transferred, acd, out);
        }
        let transferred = extension(&event.floating, Tag::TRANSFERRED_DEVICE_ID);
        for device in transferred.into_iter().chain(parties.iter().filter_map(device)) {
            let call = self.calls.known(told.key);
            let is_known = call.is_some_and(|call| call.connections.contains_key(&device));
            if !is_known && Some(&device) != transferring.as_ref() {
                self.push(&told, device, CallEventKind::Established, acd, out);
            }
        }
        Some(())
    }

    /// Two calls became one: under the id that the parties have now, else under that of the first.
    fn merged<'a>(
        &mut self,
        peripheral: Option<PeripheralId>,
        old: [Option<ConnectionCallId>; 2],
        parties: &[ConnectedParty],
        floating: &'a Floating,
        out: &mut Outcome,
    ) -> Option<Told<'a>> {
        let surviving = parties.iter().find_map(|party| party.call_id);
        let surviving = self.key(peripheral, surviving.or(old[0]).or(old[1]))?;
        for call in old.into_iter().flatten() {
            if let Some(renamed) = self.calls.merge(CallKey { call, ..surviving }, surviving) {
                out.events.push(call_renamed(renamed));
            }
        }
        Some(Told {
            key: surviving,
            connection: None,
            cause: None,
            state: None,
            floating,
        })
    }

    /// Takes a device's calls; asks for each of them.
    pub(super) fn device_snapshot(
        &mut self,
        (peripheral, reported): (PeripheralId, &Extension),
        answer: &SnapshotDeviceConf,
    ) -> Outcome {
        let mut out = Outcome::default();
        let mut calls = Vec::new();
        for found in answer.calls() {
            let key = CallKey {
                peripheral,
                call: found.call_id,
            };
            let Some(kind) = found.state.and_then(kind_of_state) else {
                continue;
            };
            let call = self.calls.call(key);
            if let Some(connection) = connection_after(kind) {
                call.connect(reported, connection);
            }
            calls.push(SnapshotCall {
                call: self.calls.resolve(key).id(),
                kind,
                acd: self.calls.call(key).acd,
            });
            let connection = found.device_id.unwrap_or_else(|| reported.as_str().to_owned());
            out.requests.push(Request::SnapshotCall {
                call: key,
                connection,
                device_id_type: found.device_id_type,
            });
        }
        let device = reported.clone();
        out.events.push(DeviceSnapshot { device, calls }.into());
        out
    }

    /// Takes what kind of call it is and who takes part: told of the devices where an agent is known to work.
    pub(super) fn call_snapshot(&mut self, key: CallKey, answer: &SnapshotCallConf) -> Outcome {
        let mut out = Outcome::default();
        self.learn(key, answer.call_type, &answer.floating);
        for party in answer.devices() {
            let names = [party.device_id, party.connection_device_id].into_iter().flatten();
            let mut devices = names.filter(|name| !name.is_empty()).map(Extension::new);
            let (Some(kind), Some(device)) = (
                party.state.and_then(kind_of_state),
                devices.find(|device| self.agents.at_device(device).is_some()),
            ) else {
                continue;
            };
            let told = Told {
                key,
                connection: None,
                cause: None,
                state: party.state,
                floating: &answer.floating,
            };
            let acd = self.acd(key, &device, At::device(Tag::CONNECTION_DEVICE_ID, party.device_type));
            self.push(&told, device, kind, acd, &mut out);
        }
        out
    }

    fn listens_to(&self, peripheral: Option<PeripheralId>) -> bool {
        self.peripherals.is_empty() || peripheral.is_some_and(|peripheral| self.peripherals.contains(&peripheral))
    }

    fn key(&self, peripheral: Option<PeripheralId>, call: Option<ConnectionCallId>) -> Option<CallKey> {
        let (peripheral, call) = (peripheral.filter(|_| self.listens_to(peripheral))?, call?);
        Some(CallKey { peripheral, call })
    }

    /// Media may belong to no call that is told of.
    fn media_key(&self, peripheral: Option<PeripheralId>, call: Option<ConnectionCallId>) -> Option<CallKey> {
        use silentmon_proto::cti::ged188::Wire;
        self.key(peripheral, Some(call.unwrap_or(ConnectionCallId::NONE)))
    }
}

fn call_renamed((from, call): (CallKey, CallKey)) -> CtiEvent {
    let (from, call) = (from.id(), call.id());
    CallRenamed { from, call }.into()
}

fn device(party: &ConnectedParty) -> Option<Extension> {
    let is_static = party.device_id_type != Some(ConnectionDeviceIdType::DYNAMIC);
    let device = party
        .device_id
        .as_ref()
        .filter(|device| is_static && !device.is_empty())?;
    Some(Extension::new(device.clone()))
}

fn number(floating: &Floating, tags: &[Tag]) -> Option<String> {
    let texts = tags.iter().filter_map(|tag| floating.text(*tag));
    texts.into_iter().find(|text| !text.is_empty())
}

const fn connection_after(kind: CallEventKind) -> Option<Connection> {
    match kind {
        CallEventKind::ServiceInitiated | CallEventKind::Originated | CallEventKind::NetworkReached => {
            Some(Connection::Initiated)
        }
        CallEventKind::Delivered => Some(Connection::Alerting),
        CallEventKind::Established | CallEventKind::Retrieved | CallEventKind::Conferenced => {
            Some(Connection::Connected)
        }
        CallEventKind::Held => Some(Connection::Held),
        CallEventKind::Queued
        | CallEventKind::Transferred
        | CallEventKind::Diverted
        | CallEventKind::Failed
        | CallEventKind::ConnectionCleared => None,
    }
}

const fn ends(kind: CallEventKind) -> bool {
    matches!(
        kind,
        CallEventKind::Transferred | CallEventKind::Diverted | CallEventKind::Failed | CallEventKind::ConnectionCleared
    )
}

/// The event after which a connection is in this state.
const fn kind_of_state(state: LocalConnectionState) -> Option<CallEventKind> {
    Some(match state {
        LocalConnectionState::INITIATE => CallEventKind::ServiceInitiated,
        LocalConnectionState::ALERTING => CallEventKind::Delivered,
        LocalConnectionState::CONNECT => CallEventKind::Established,
        LocalConnectionState::HOLD => CallEventKind::Held,
        LocalConnectionState::QUEUED => CallEventKind::Queued,
        LocalConnectionState::FAIL => CallEventKind::Failed,
        _ => return None,
    })
}

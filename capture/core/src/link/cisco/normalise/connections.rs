//! Events of one device's connection to a call.
//!
//! The device is the one that the event is about (Answering, Alerting, Holding, …), else that of the connection's own id
//! where this is static.

use silentmon_proto::cti::ged188::{
    CallConnectionClearedEvent, CallEstablishedEvent, CallType, ConnectionCallId, ConnectionDeviceIdType, DeviceIdType,
    EventCause, Floating, LineType, LocalConnectionState, Message, PeripheralId, Tag, is_acd,
};
use silentmon_proto::cti::{CallEvent, CallEventKind, CtiEvent, ReleasingParty};
use silentmon_proto::ids::Extension;

use super::super::agents::extension;
use super::super::calls::{CallKey, Connection};
use super::{Normaliser, Outcome, number};

/// What all call events say.
pub(super) struct Told<'a> {
    pub(super) key: CallKey,
    /// The connection's own device.
    pub(super) connection: Option<Extension>,
    pub(super) cause: Option<EventCause>,
    pub(super) state: Option<LocalConnectionState>,
    pub(super) floating: &'a Floating,
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
pub(super) struct At {
    device: Tag,
    device_type: Option<DeviceIdType>,
    line_type: Option<LineType>,
}

impl At {
    pub(super) const fn device(device: Tag, device_type: Option<DeviceIdType>) -> Self {
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
    pub(super) fn connection_event(&mut self, message: &Message, out: &mut Outcome) -> Option<()> {
        use CallEventKind as Kind;
        match message {
            Message::CallDeliveredEvent(event) => {
                let told = told!(self, event)?;
                self.variables(told.key, told.floating, out);
                let at = At::device(Tag::ALERTING_DEVICE_ID, event.alerting_device_type).line(event.line_type);
                self.connection(&told, at, Kind::Delivered, out);
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

    pub(super) fn push(
        &mut self,
        told: &Told<'_>,
        device: Extension,
        kind: CallEventKind,
        acd: Option<bool>,
        out: &mut Outcome,
    ) {
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
        let call = self.calls.find(told.key);
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
    pub(super) fn acd(&mut self, key: CallKey, device: &Extension, at: At) -> Option<bool> {
        let version = self.version;
        let call = self.calls.call(key);
        let told = is_acd(at.line_type, call.kind, at.device_type, version);
        let is_consultation = matches!(
            call.kind,
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
        let call = self.calls.find(told.key);
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
        let acd = self.calls.find(told.key).and_then(|call| call.acd);
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
}

pub(super) const fn connection_after(kind: CallEventKind) -> Option<Connection> {
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

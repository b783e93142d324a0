//! Events of a monitored device (ECMA-269 clauses 17 and 21; protocol sheet 2.3), each with its own element names.

use std::fmt;

use super::device::normalize;
use super::error::MessageError;
use crate::cti::CallEventKind;
use crate::cti::xml::Element;

/// Names a monitor: what `MonitorStart` was answered with, and what every event of it carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorCrossRefId(pub String);

impl fmt::Display for MonitorCrossRefId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device's connection to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    /// The call.
    pub call: String,
    /// The device as the peer writes it.
    pub device: Option<String>,
}

impl ConnectionId {
    /// The device's bare number.
    pub fn number(&self) -> Option<String> {
        normalize(self.device.as_deref()?)
    }
}

/// How the monitored device stands to the call after an event (`localConnectionInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalConnectionState {
    /// No connection, or no longer.
    Null,
    /// Off hook.
    Initiated,
    /// Rings.
    Alerting,
    /// Takes part.
    Connected,
    /// Has put it on hold.
    Hold,
    /// Waits in a queue.
    Queued,
    /// Couldn't be completed.
    Fail,
}

impl LocalConnectionState {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "null" => Self::Null,
            "initiated" => Self::Initiated,
            "alerting" => Self::Alerting,
            "connected" => Self::Connected,
            "hold" | "held" => Self::Hold,
            "queued" => Self::Queued,
            "fail" | "failed" => Self::Fail,
            _ => return None,
        })
    }
}

/// One event of a monitor. Devices are bare numbers ([`normalize`]); an unknown one is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something happened to one connection of a call.
    Connection(ConnectionEvent),
    /// Two calls became one, or a call changed its id.
    Merge(MergeEvent),
    /// A call ended for everyone.
    CallCleared(CallCleared),
    /// More became known about a call.
    CallInformation(CallInformation),
    /// An agent signed in or out, or changed state.
    Agent(AgentEvent),
    /// A feature that says nothing about calls changed: do not disturb, forwarding.
    Feature,
}

/// See [`Event::Connection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// What happened.
    pub kind: CallEventKind,
    /// To which connection.
    pub connection: ConnectionId,
    /// The device that did it, or to which it happened (`alertingDevice`, `answeringDevice`, `holdingDevice`, …).
    pub subject: Option<String>,
    /// The calling device.
    pub calling: Option<String>,
    /// The called device.
    pub called: Option<String>,
    /// With `ConnectionCleared`: the device that released it.
    pub releasing: Option<String>,
    /// How the monitored device stands to the call now.
    pub local: Option<LocalConnectionState>,
    /// Whether the call came through the queue.
    pub acd: Option<bool>,
}

/// See [`Event::Merge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeEvent {
    /// By which service.
    pub kind: MergeKind,
    /// The call that was active.
    pub primary_old_call: ConnectionId,
    /// The call that was held.
    pub secondary_old_call: Option<ConnectionId>,
    /// The device that asked for it.
    pub by: Option<String>,
    /// Who is in the resulting call.
    pub connections: Vec<ConnectionListItem>,
    /// How the monitored device stands to the call now.
    pub local: Option<LocalConnectionState>,
    /// Whether the call came through the queue.
    pub acd: Option<bool>,
}

/// See [`MergeEvent::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeKind {
    /// `ConferencedEvent`.
    Conferenced,
    /// `TransferedEvent`, as the schema spells it, or `TransferredEvent`.
    Transferred,
}

/// One party of the resulting call (`connectionListItem`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionListItem {
    /// Its connection from now on.
    pub new: Option<ConnectionId>,
    /// Its connection until now.
    pub old: Option<ConnectionId>,
}

/// See [`Event::CallCleared`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCleared {
    /// The call.
    pub call: String,
    /// The device that ended it, where the switch says.
    pub releasing: Option<String>,
}

/// See [`Event::CallInformation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallInformation {
    /// The connection.
    pub connection: ConnectionId,
    /// Whether the call came through the queue.
    pub acd: Option<bool>,
}

/// See [`Event::Agent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEvent {
    /// What happened.
    pub kind: AgentEventKind,
    /// The device he works at.
    pub device: Option<String>,
    /// The agent. Many switches leave it out.
    pub agent: Option<String>,
}

/// See [`AgentEvent::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEventKind {
    /// Signed in.
    LoggedOn,
    /// Signed out.
    LoggedOff,
    /// Waits for a call.
    Ready,
    /// Takes no calls.
    NotReady,
    /// On an ACD call.
    Busy,
    /// After-call work.
    WorkingAfterCall,
}

/// Element names of one kind of connection event.
struct ConnectionShape {
    kind: CallEventKind,
    connection: &'static str,
    subject: &'static str,
}

fn connection_shape(event: &str) -> Option<ConnectionShape> {
    use CallEventKind as Kind;
    let (kind, connection, subject) = match event {
        "ServiceInitiatedEvent" => (Kind::ServiceInitiated, "initiatedConnection", "initiatingDevice"),
        "OriginatedEvent" => (Kind::Originated, "originatedConnection", "callingDevice"),
        "DeliveredEvent" => (Kind::Delivered, "connection", "alertingDevice"),
        "EstablishedEvent" => (Kind::Established, "establishedConnection", "answeringDevice"),
        "HeldEvent" => (Kind::Held, "heldConnection", "holdingDevice"),
        "RetrievedEvent" => (Kind::Retrieved, "retrievedConnection", "retrievingDevice"),
        "ConnectionClearedEvent" => (Kind::ConnectionCleared, "droppedConnection", "releasingDevice"),
        "DivertedEvent" => (Kind::Diverted, "connection", "divertingDevice"),
        "QueuedEvent" => (Kind::Queued, "queuedConnection", "queue"),
        "FailedEvent" => (Kind::Failed, "failedConnection", "failingDevice"),
        "NetworkReachedEvent" => (Kind::NetworkReached, "outboundConnection", "networkInterfaceUsed"),
        _ => return None,
    };
    Some(ConnectionShape {
        kind,
        connection,
        subject,
    })
}

fn agent_kind(event: &str) -> Option<AgentEventKind> {
    Some(match event {
        "AgentLoggedOnEvent" => AgentEventKind::LoggedOn,
        "AgentLoggedOffEvent" => AgentEventKind::LoggedOff,
        "AgentReadyEvent" => AgentEventKind::Ready,
        "AgentNotReadyEvent" => AgentEventKind::NotReady,
        "AgentBusyEvent" => AgentEventKind::Busy,
        "AgentWorkingAfterCallEvent" => AgentEventKind::WorkingAfterCall,
        _ => return None,
    })
}

impl Event {
    /// Reads an event; absent where the element is none that is known.
    pub(super) fn of(element: &Element) -> Result<Option<Self>, MessageError> {
        if let Some(shape) = connection_shape(&element.name) {
            return connection_event(element, &shape).map(Self::Connection).map(Some);
        }
        if let Some(kind) = agent_kind(&element.name) {
            return Ok(Some(Self::Agent(AgentEvent {
                kind,
                device: device_in(element, "agentDevice"),
                agent: agent_in(element),
            })));
        }
        let event = match element.name.as_str() {
            "ConferencedEvent" => Self::Merge(merge_event(element, MergeKind::Conferenced)?),
            "TransferedEvent" | "TransferredEvent" => Self::Merge(merge_event(element, MergeKind::Transferred)?),
            "CallClearedEvent" => Self::CallCleared(CallCleared {
                call: connection_in(element, "clearedCall")?.call,
                releasing: device_in(element, "releasingDevice"),
            }),
            "CallInformationEvent" => Self::CallInformation(CallInformation {
                connection: connection_in(element, "connection")?,
                acd: acd_in(element),
            }),
            "DoNotDisturbEvent" | "ForwardingEvent" => Self::Feature,
            _ => return Ok(None),
        };
        Ok(Some(event))
    }
}

fn connection_event(element: &Element, shape: &ConnectionShape) -> Result<ConnectionEvent, MessageError> {
    Ok(ConnectionEvent {
        kind: shape.kind,
        connection: connection_in(element, shape.connection)?,
        subject: device_in(element, shape.subject),
        calling: device_in(element, "callingDevice"),
        called: device_in(element, "calledDevice"),
        releasing: device_in(element, "releasingDevice"),
        local: local_state_in(element),
        acd: acd_in(element),
    })
}

fn merge_event(element: &Element, kind: MergeKind) -> Result<MergeEvent, MessageError> {
    let (list, by) = match kind {
        MergeKind::Conferenced => ("conferenceConnections", "conferencingDevice"),
        MergeKind::Transferred => ("transferredConnections", "transferringDevice"),
    };
    let primary = element.child("primaryOldCall").and_then(connection_id);
    let items = element
        .child(list)
        .map(|list| list.children.as_slice())
        .unwrap_or_default();
    Ok(MergeEvent {
        kind,
        primary_old_call: primary.ok_or_else(|| MessageError::missing(element, "primaryOldCall"))?,
        secondary_old_call: element.child("secondaryOldCall").and_then(connection_id),
        by: device_in(element, by),
        connections: items.iter().map(list_item).collect(),
        local: local_state_in(element),
        acd: acd_in(element),
    })
}

fn list_item(item: &Element) -> ConnectionListItem {
    ConnectionListItem {
        new: item.child("newConnection").and_then(connection_id),
        old: item.child("oldConnection").and_then(connection_id),
    }
}

/// The connection of this name; where there is none, the first one of whatever name: the schema's editions differ.
fn connection_in(element: &Element, name: &'static str) -> Result<ConnectionId, MessageError> {
    element
        .child(name)
        .and_then(connection_id)
        .or_else(|| element.children.iter().find_map(connection_id))
        .ok_or_else(|| MessageError::missing(element, name))
}

/// `callID` and `deviceID`, in whatever case.
pub(super) fn connection_id(element: &Element) -> Option<ConnectionId> {
    let text = |name| Some(element.child_any_case(name)?.own_text()?.to_owned());
    Some(ConnectionId {
        call: text("callID")?,
        device: text("deviceID"),
    })
}

/// A device's bare number, in `deviceIdentifier` or without it.
pub(super) fn device_in(element: &Element, name: &str) -> Option<String> {
    let device = element.child(name)?;
    let identifier = device.child_any_case("deviceIdentifier").unwrap_or(device);
    normalize(identifier.own_text()?)
}

pub(super) fn agent_in(element: &Element) -> Option<String> {
    Some(element.child_any_case("agentID")?.own_text()?.to_owned())
}

fn local_state_in(element: &Element) -> Option<LocalConnectionState> {
    LocalConnectionState::of(element.child_text("localConnectionInfo")?)
}

pub(super) fn acd_in(element: &Element) -> Option<bool> {
    match element.child("callCharacteristics")?.child_text("acdCall")? {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

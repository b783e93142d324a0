//! What a switch answers, and what it asks of its clients.

use super::error::{CstaError, MessageError};
use super::event::{
    AgentEventKind, LocalConnectionState, MonitorCrossRefId, acd_in, agent_in, connection_id, device_in,
};
use crate::cti::CallEventKind;
use crate::cti::xml::Element;

/// The answer to a request; which request, its invoke id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// `StartApplicationSessionPosResponse`.
    SessionStarted(SessionGranted),
    /// `ResetApplicationSessionTimerPosResponse`, with the duration granted in seconds, where told.
    SessionRenewed(Option<u64>),
    /// `MonitorStartResponse`.
    MonitorStarted(MonitorCrossRefId),
    /// `SnapshotDeviceResponse`.
    DeviceSnapshot(SnapshotContent),
    /// `SnapshotCallResponse`: the connections of one call.
    CallSnapshot(Vec<SnapshotEntry>),
    /// `GetAgentStateResponse`.
    AgentState(Vec<AgentEntry>),
    /// `RequestSystemStatusResponse`.
    SystemStatus(SystemStatus),
    /// Any other answer that isn't a refusal.
    Done,
    /// `CSTAErrorCode`, or the negative response of a session service.
    Refused(CstaError),
}

/// A session that was granted (ECMA-354).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionGranted {
    /// Its id; the switch may leave it out where a connection has only one.
    pub session_id: Option<String>,
    /// How long it lives without renewal, in seconds.
    pub duration: Option<u64>,
}

/// What `SnapshotDevice` is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotContent {
    /// The device's calls.
    Entries(Vec<SnapshotEntry>),
    /// They follow in [`super::Message::SnapshotSegment`]s under this `serviceCrossRefID`.
    Follows(String),
}

/// One connection of a snapshot. Connections in state `null` are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The call.
    pub call: String,
    /// The device, by its bare number.
    pub device: Option<String>,
    /// The event after which a connection stands as this one does; absent where the switch doesn't say.
    pub kind: Option<CallEventKind>,
    /// Whether the call came through the queue.
    pub acd: Option<bool>,
}

/// One agent of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEntry {
    /// The agent, where told.
    pub agent: Option<String>,
    /// His state, as the event that leads to it; absent where the switch names none that is known.
    pub kind: Option<AgentEventKind>,
}

/// The state of the switch's CTI service (ECMA-269 clause 12.2.30).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemStatus {
    /// `normal` or `enabled`; also where nothing is told.
    Normal,
    /// `messagesLost`: events may be missing.
    MessagesLost,
    /// `disabled`: no events come.
    Disabled,
    /// Anything else: initialising, overload in its degrees.
    Other,
}

impl SystemStatus {
    pub(super) fn of(element: &Element) -> Self {
        match element.child_text("systemStatus") {
            None | Some("normal" | "enabled") => Self::Normal,
            Some("messagesLost") => Self::MessagesLost,
            Some("disabled") => Self::Disabled,
            Some(_) => Self::Other,
        }
    }
}

impl Response {
    /// Reads an answer; absent where the element is none.
    pub(super) fn of(element: &Element) -> Result<Option<Self>, MessageError> {
        let response = match element.name.as_str() {
            "StartApplicationSessionPosResponse" => Self::SessionStarted(SessionGranted {
                session_id: session_id_in(element),
                duration: duration_in(element),
            }),
            "ResetApplicationSessionTimerPosResponse" => Self::SessionRenewed(duration_in(element)),
            "MonitorStartResponse" => {
                let cross_ref = cross_ref_in(element);
                Self::MonitorStarted(cross_ref.ok_or_else(|| MessageError::missing(element, "monitorCrossRefID"))?)
            }
            "SnapshotDeviceResponse" => Self::DeviceSnapshot(device_snapshot(element)),
            "SnapshotCallResponse" => Self::CallSnapshot(entries_in(element)),
            "GetAgentStateResponse" => Self::AgentState(agents_in(element)),
            "RequestSystemStatusResponse" => Self::SystemStatus(SystemStatus::of(element)),
            "CSTAErrorCode" | "CSTAException" => Self::Refused(CstaError::of(element)),
            name if name.ends_with("NegResponse") => Self::Refused(CstaError::of(element)),
            name if name.ends_with("Response") => match element.child("CSTAErrorCode") {
                Some(error) => Self::Refused(CstaError::of(error)),
                None => Self::Done,
            },
            _ => return Ok(None),
        };
        Ok(Some(response))
    }
}

pub(super) fn cross_ref_in(element: &Element) -> Option<MonitorCrossRefId> {
    let text = element.child_any_case("monitorCrossRefID")?.own_text()?;
    Some(MonitorCrossRefId(text.to_owned()))
}

pub(super) fn session_id_in(element: &Element) -> Option<String> {
    Some(element.child_any_case("sessionID")?.own_text()?.to_owned())
}

fn duration_in(element: &Element) -> Option<u64> {
    element.child_text("actualSessionDuration")?.parse().ok()
}

fn device_snapshot(element: &Element) -> SnapshotContent {
    match element.descendant("serviceCrossRefID").and_then(Element::own_text) {
        Some(cross_ref) => SnapshotContent::Follows(cross_ref.to_owned()),
        None => SnapshotContent::Entries(entries_in(element)),
    }
}

/// The entries of a snapshot, in whatever list they stand: what has a connection is one.
pub(super) fn entries_in(element: &Element) -> Vec<SnapshotEntry> {
    let mut entries = Vec::new();
    collect_entries(element, &mut entries);
    entries
}

fn collect_entries(element: &Element, entries: &mut Vec<SnapshotEntry>) {
    for child in &element.children {
        let connection = child
            .child("connectionIdentifier")
            .or_else(|| child.child("connectionID"));
        match connection.and_then(connection_id) {
            None => collect_entries(child, entries),
            Some(connection) => {
                let state = state_of(child);
                if state == EntryState::Null {
                    continue;
                }
                entries.push(SnapshotEntry {
                    device: connection.number().or_else(|| device_in(child, "deviceOnCall")),
                    call: connection.call,
                    kind: state.kind(),
                    acd: acd_in(child),
                });
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum EntryState {
    Untold,
    Null,
    Is(CallEventKind),
}

impl EntryState {
    const fn kind(&self) -> Option<CallEventKind> {
        match self {
            Self::Is(kind) => Some(*kind),
            Self::Untold | Self::Null => None,
        }
    }
}

/// `localCallState` (`simpleCallState`, or `compoundCallState` with the own state first) or `localConnectionState`.
fn state_of(entry: &Element) -> EntryState {
    let simple = entry.descendant("simpleCallState").and_then(Element::own_text);
    if let Some(kind) = simple.map(simple_state) {
        return kind;
    }
    let Some(states) = entry.at(&["localCallState", "compoundCallState"]) else {
        let own = entry.descendant("localConnectionState").and_then(Element::own_text);
        let own = own.or_else(|| entry.child_text("localConnectionInfo"));
        return own.map_or(EntryState::Untold, |own| connection_state(own, false));
    };
    let mut states = states.children.iter().filter_map(Element::own_text);
    let own = states.next();
    let rings_there = states.any(|state| state == "alerting");
    own.map_or(EntryState::Untold, |own| connection_state(own, rings_there))
}

fn connection_state(word: &str, rings_there: bool) -> EntryState {
    use CallEventKind as Kind;
    EntryState::Is(match LocalConnectionState::of(word) {
        None => return EntryState::Untold,
        Some(LocalConnectionState::Null) => return EntryState::Null,
        Some(LocalConnectionState::Initiated) => Kind::ServiceInitiated,
        Some(LocalConnectionState::Alerting) => Kind::Delivered,
        Some(LocalConnectionState::Connected) if rings_there => Kind::Originated,
        Some(LocalConnectionState::Connected) => Kind::Established,
        Some(LocalConnectionState::Hold) => Kind::Held,
        Some(LocalConnectionState::Queued) => Kind::Queued,
        Some(LocalConnectionState::Fail) => Kind::Failed,
    })
}

/// ECMA-269 clause 6.1.5: the simple call states, seen from the device. `…Held`: it holds; `…OnHold`: it is held.
fn simple_state(word: &str) -> EntryState {
    use CallEventKind as Kind;
    EntryState::Is(match word {
        "callNull" | "null" => return EntryState::Null,
        "callPending" => Kind::ServiceInitiated,
        "callOriginated" | "callDelivered" | "callQueued" => Kind::Originated,
        "callReceived" | "callReceivedOnHold" => Kind::Delivered,
        "callEstablished" | "callEstablishedOnHold" => Kind::Established,
        "callDeliveredHeld" | "callEstablishedHeld" | "callQueuedHeld" | "callFailedHeld" => Kind::Held,
        "callFailed" | "callBlocked" => Kind::Failed,
        _ => return EntryState::Untold,
    })
}

fn agents_in(element: &Element) -> Vec<AgentEntry> {
    let Some(list) = element.child("agentStateList") else {
        return Vec::new();
    };
    list.children_named("agentStateEntry").map(agent_entry).collect()
}

fn agent_entry(entry: &Element) -> AgentEntry {
    let logged_on = entry
        .child_text("loggedOnState")
        .is_none_or(|told| told == "true" || told == "1");
    let state = entry.descendant("agentState").and_then(Element::own_text);
    AgentEntry {
        agent: agent_in(entry),
        kind: if logged_on {
            state.and_then(agent_state)
        } else {
            Some(AgentEventKind::LoggedOff)
        },
    }
}

fn agent_state(word: &str) -> Option<AgentEventKind> {
    Some(match word {
        "agentNull" => AgentEventKind::LoggedOff,
        "agentReady" => AgentEventKind::Ready,
        "agentNotReady" => AgentEventKind::NotReady,
        "agentBusy" => AgentEventKind::Busy,
        "agentWorkingAfterCall" => AgentEventKind::WorkingAfterCall,
        _ => return None,
    })
}

//! Documents of the event stream and answers to requests.

use thiserror::Error;

use super::call::{Call, Conference, RemoteParty, number, telephone};
use crate::cti::xml::{self, Element, XmlError};

/// One document of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamItem {
    /// The channel is open.
    Channel(Channel),
    /// The channel lives.
    HeartBeat,
    /// Something happened.
    Event(Box<Event>),
    /// A document of another kind, by its root's name.
    Other(String),
}

/// An answer that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum XsiError {
    /// It is no XML that is read here.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// It lacks something.
    #[error("expected {expected} in <{root}>")]
    Missing {
        /// What was expected.
        expected: &'static str,
        /// The root element found.
        root: String,
    },
}

/// A channel as the server grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub channel_id: String,
    /// Seconds for which it is granted.
    pub expires: Option<u64>,
}

/// A subscription as the server grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub subscription_id: String,
    /// Seconds for which it is granted.
    pub expires: Option<u64>,
}

/// An `Event` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, by which it is acknowledged.
    pub event_id: Option<String>,
    /// Counts the events of its subscription, from 1.
    pub sequence_number: Option<u64>,
    /// The subscriber.
    pub user_id: Option<String>,
    /// The application that subscribed.
    pub external_application_id: Option<String>,
    /// The subscription.
    pub subscription_id: Option<String>,
    /// The channel.
    pub channel_id: Option<String>,
    /// Whom it is about, where that isn't the subscriber.
    pub target_id: Option<String>,
    /// What it is.
    pub kind: EventKind,
}

/// Type of an [`Event`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// Something happened to the subscription's target.
    Subscription(EventData),
    /// The server ended the subscription.
    SubscriptionTerminated {
        /// Why, in its words.
        reason: Option<String>,
    },
    /// The server ended the channel.
    ChannelTerminated {
        /// Why, in its words.
        reason: Option<String>,
    },
    /// Another type, by its name.
    Other(String),
}

/// What happened, by the type of `eventData`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventData {
    /// All calls of the user.
    CallSubscription(CallSubscription),
    /// The handset.
    Hook(HookStatus),
    /// Something happened to a call.
    Call(CallEventType, Box<Call>),
    /// Something happened to a conference.
    Conference(ConferenceEventType, Conference),
    /// The state of an agent when the subscription began; absent where he isn't one.
    AgentSubscription(Option<AgentStateInfo>),
    /// An agent's state changed.
    AgentState(AgentStateInfo),
    /// An agent joined or left call centres.
    AgentJoinUpdate,
    /// Something happened in a queue.
    Queue(QueueEventType, QueueEntry),
    /// Figures about a call centre.
    CallCenterMonitoring,
    /// The hoteling guest service.
    Hoteling(Hoteling),
    /// Another service was switched on or off.
    Service {
        /// Type of the event, `DoNotDisturbEvent`.
        name: String,
        /// Whether it is on, where told.
        active: Option<bool>,
    },
    /// Another type, by its name.
    Other(String),
}

/// All calls of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSubscription {
    /// Whether the server says that updates were lost (`CallSubscriptionResyncEvent`).
    pub resync: bool,
    /// The calls.
    pub calls: Vec<Call>,
    /// The conference he holds.
    pub conference: Option<Conference>,
    /// The handset.
    pub hook_status: Option<HookStatus>,
}

/// Position of the handset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookStatus {
    /// Put down.
    OnHook,
    /// Taken up.
    OffHook,
}

/// Type of an event about a call: `Call…Event` without its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sheet's names")]
pub enum CallEventType {
    Originating,
    Originated,
    Collecting,
    Received,
    Answered,
    Updated,
    Held,
    Retrieved,
    Detached,
    Forwarded,
    Redirected,
    Transferred,
    PickedUp,
    BargedIn,
    Releasing,
    Released,
    RecordingStarted,
    RecordingStopped,
}

/// Type of an event about a conference: `Conference…Event` without its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sheet's names")]
pub enum ConferenceEventType {
    Started,
    Updated,
    Held,
    Retrieved,
    Released,
}

/// Type of an event about a queue: `ACDCall…Event` without its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sheet's names")]
pub enum QueueEventType {
    Added,
    Abandoned,
    AnsweredByAgent,
    OfferedToAgent,
    Bounced,
    Overflowed,
    Transferred,
    Stranded,
}

/// A call in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueEntry {
    /// Id of the call.
    pub call_id: Option<String>,
    /// The caller.
    pub remote_party: RemoteParty,
    /// The call centre's number, without `tel:`.
    pub acd_number: Option<String>,
}

/// State of an agent in his call centres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentAcdState {
    /// `Sign-In`.
    SignIn,
    /// `Sign-Out`.
    SignOut,
    /// `Available`.
    Available,
    /// `Unavailable`.
    Unavailable,
    /// `Wrap-Up`.
    WrapUp,
}

/// The `agentStateInfo` or `stateInfo` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStateInfo {
    /// The state; absent where it is none that is known.
    pub state: Option<AgentAcdState>,
    /// Since when, in milliseconds since 1970.
    pub state_timestamp: Option<u64>,
    /// Why he takes no calls, by the call centre's code.
    pub unavailable_code: Option<String>,
    /// When he signed in, in milliseconds since 1970.
    pub sign_in_timestamp: Option<u64>,
}

/// The hoteling guest service of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hoteling {
    /// Whether the service is on.
    pub active: bool,
    /// At whose phone he works.
    pub host_user_id: Option<String>,
}

impl StreamItem {
    /// Reads one document.
    ///
    /// # Errors
    /// Where it is no XML, or lacks what its kind needs.
    pub fn parse(document: &[u8]) -> Result<Self, XsiError> {
        let root = xml::parse(document)?;
        Ok(match root.name.as_str() {
            "Channel" => Self::Channel(Channel::read(&root)?),
            "ChannelHeartBeat" => Self::HeartBeat,
            "Event" => Self::Event(Box::new(Event::read(&root)?)),
            other => Self::Other(other.to_owned()),
        })
    }
}

impl Channel {
    fn read(root: &Element) -> Result<Self, XsiError> {
        Ok(Self {
            channel_id: required(root, "channelId")?,
            expires: number(root, "expires"),
        })
    }
}

impl Subscription {
    /// Reads the answer to a request for a subscription.
    ///
    /// # Errors
    /// Where it is no XML or holds no subscription id.
    pub fn parse(document: &[u8]) -> Result<Self, XsiError> {
        let root = xml::parse(document)?;
        Ok(Self {
            subscription_id: required(&root, "subscriptionId")?,
            expires: number(&root, "expires"),
        })
    }
}

/// Seconds granted by the answer to a refresh, where it says.
pub fn granted(document: &[u8]) -> Option<u64> {
    number(&xml::parse(document).ok()?, "expires")
}

impl Event {
    fn read(root: &Element) -> Result<Self, XsiError> {
        let text = |name| root.child_text(name).map(str::to_owned);
        let reason = || text("reason");
        let kind = match root.type_name() {
            Some("SubscriptionEvent") => {
                let data = root.child("eventData").ok_or_else(|| missing(root, "eventData"))?;
                EventKind::Subscription(EventData::read(data)?)
            }
            Some("SubscriptionTerminatedEvent") => EventKind::SubscriptionTerminated { reason: reason() },
            Some("ChannelTerminatedEvent") => EventKind::ChannelTerminated { reason: reason() },
            Some(other) => EventKind::Other(other.to_owned()),
            None => return Err(missing(root, "a type")),
        };
        Ok(Self {
            event_id: text("eventID"),
            sequence_number: number(root, "sequenceNumber"),
            user_id: text("userId"),
            external_application_id: text("externalApplicationId"),
            subscription_id: text("subscriptionId"),
            channel_id: text("channelId"),
            target_id: text("targetId"),
            kind,
        })
    }
}

impl EventData {
    fn read(data: &Element) -> Result<Self, XsiError> {
        let name = data.type_name().ok_or_else(|| missing(data, "a type"))?;
        if let Some(kind) = CallEventType::read(name) {
            let call = data.child("call").and_then(Call::read);
            return Ok(Self::Call(kind, Box::new(call.ok_or_else(|| missing(data, "a call"))?)));
        }
        if let Some(kind) = ConferenceEventType::read(name) {
            let conference = data.child("conference").map(Conference::read);
            return Ok(Self::Conference(kind, conference.unwrap_or_default()));
        }
        if let Some(kind) = QueueEventType::read(name) {
            return Ok(Self::Queue(
                kind,
                data.child("queueEntry").map(QueueEntry::read).unwrap_or_default(),
            ));
        }
        Ok(match name {
            "CallSubscriptionEvent" => Self::CallSubscription(CallSubscription::read(data, false)),
            "CallSubscriptionResyncEvent" => Self::CallSubscription(CallSubscription::read(data, true)),
            "HookStatusEvent" => Self::Hook(hook_status(data).ok_or_else(|| missing(data, "hookStatus"))?),
            "AgentSubscriptionEvent" => Self::AgentSubscription(state_info(data).map(AgentStateInfo::read)),
            "AgentStateEvent" => {
                let info = state_info(data).ok_or_else(|| missing(data, "agentStateInfo"))?;
                Self::AgentState(AgentStateInfo::read(info))
            }
            "ACDAgentJoinUpdateEvent" => Self::AgentJoinUpdate,
            "CallCenterMonitoringEvent" => Self::CallCenterMonitoring,
            "HotelingGuestEvent" => Self::Hoteling(Hoteling::read(data)),
            "DoNotDisturbEvent" | "RemoteOfficeEvent" | "CallForwardingAlwaysEvent" => Self::Service {
                name: name.to_owned(),
                active: is_active(data),
            },
            other => Self::Other(other.to_owned()),
        })
    }
}

impl CallSubscription {
    fn read(data: &Element, resync: bool) -> Self {
        let calls = data.child("calls").map_or(&[][..], |list| &list.children);
        Self {
            resync,
            calls: calls.iter().filter_map(Call::read).collect(),
            conference: data.child("conference").map(Conference::read),
            hook_status: hook_status(data),
        }
    }
}

impl AgentStateInfo {
    fn read(element: &Element) -> Self {
        Self {
            state: element.child_text("state").and_then(AgentAcdState::read),
            state_timestamp: figure(element, "stateTimestamp"),
            unavailable_code: element.child_text("unavailableCode").map(str::to_owned),
            sign_in_timestamp: figure(element, "signInTimestamp"),
        }
    }
}

impl AgentAcdState {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "Sign-In" => Self::SignIn,
            "Sign-Out" => Self::SignOut,
            "Available" => Self::Available,
            "Unavailable" => Self::Unavailable,
            "Wrap-Up" => Self::WrapUp,
            _ => return None,
        })
    }

    /// The state as it stands in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SignIn => "Sign-In",
            Self::SignOut => "Sign-Out",
            Self::Available => "Available",
            Self::Unavailable => "Unavailable",
            Self::WrapUp => "Wrap-Up",
        }
    }
}

impl QueueEntry {
    fn read(element: &Element) -> Self {
        Self {
            call_id: element.child_text("callId").map(str::to_owned),
            remote_party: element.child("remoteParty").map(RemoteParty::read).unwrap_or_default(),
            acd_number: telephone(element, "acdNumber"),
        }
    }
}

impl Hoteling {
    /// The service stands in `info` (schema of ServiceEvent); `unassigned` means that the user has it no longer.
    fn read(data: &Element) -> Self {
        let info = data.child("info").unwrap_or(data);
        let host = info
            .child_text("hostUserId")
            .or_else(|| info.child_text("hostSubscriberId"));
        Self {
            active: data.child("unassigned").is_none() && is_active(data).unwrap_or(host.is_some()),
            host_user_id: host.map(str::to_owned),
        }
    }
}

impl CallEventType {
    fn read(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("Call")?.strip_suffix("Event")? {
            "Originating" => Self::Originating,
            "Originated" => Self::Originated,
            "Collecting" => Self::Collecting,
            "Received" => Self::Received,
            "Answered" => Self::Answered,
            "Updated" => Self::Updated,
            "Held" => Self::Held,
            "Retrieved" => Self::Retrieved,
            "Detached" => Self::Detached,
            "Forwarded" => Self::Forwarded,
            "Redirected" => Self::Redirected,
            "Transferred" => Self::Transferred,
            "PickedUp" => Self::PickedUp,
            "BargedIn" => Self::BargedIn,
            "Releasing" => Self::Releasing,
            "Released" => Self::Released,
            "RecordingStarted" => Self::RecordingStarted,
            "RecordingStopped" => Self::RecordingStopped,
            _ => return None,
        })
    }
}

impl ConferenceEventType {
    fn read(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("Conference")?.strip_suffix("Event")? {
            "Started" => Self::Started,
            "Updated" => Self::Updated,
            "Held" => Self::Held,
            "Retrieved" => Self::Retrieved,
            "Released" => Self::Released,
            _ => return None,
        })
    }
}

impl QueueEventType {
    fn read(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("ACDCall")?.strip_suffix("Event")? {
            "Added" => Self::Added,
            "Abandoned" => Self::Abandoned,
            "AnsweredByAgent" => Self::AnsweredByAgent,
            "OfferedToAgent" => Self::OfferedToAgent,
            "Bounced" => Self::Bounced,
            "Overflowed" => Self::Overflowed,
            "Transferred" => Self::Transferred,
            "Stranded" => Self::Stranded,
            _ => return None,
        })
    }
}

fn hook_status(data: &Element) -> Option<HookStatus> {
    match data.child_text("hookStatus")? {
        "On-Hook" => Some(HookStatus::OnHook),
        "Off-Hook" => Some(HookStatus::OffHook),
        _ => None,
    }
}

/// The state stands in `agentStateInfo` of a state event, in `stateInfo` (or `stateInfo/agentStateInfo`) of a first one.
fn state_info(data: &Element) -> Option<&Element> {
    let outer = data.child("agentStateInfo").or_else(|| data.child("stateInfo"))?;
    Some(outer.child("agentStateInfo").unwrap_or(outer))
}

fn is_active(data: &Element) -> Option<bool> {
    let info = data.child("info").unwrap_or(data);
    match info.child_text("active")? {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A figure that stands plain or, with a threshold beside it, in a `value` element.
fn figure(element: &Element, name: &str) -> Option<u64> {
    number(element, name).or_else(|| number(element.child(name)?, "value"))
}

fn required(root: &Element, name: &'static str) -> Result<String, XsiError> {
    root.child_text(name)
        .map(str::to_owned)
        .ok_or_else(|| missing(root, name))
}

fn missing(root: &Element, expected: &'static str) -> XsiError {
    XsiError::Missing {
        expected,
        root: root.name.clone(),
    }
}

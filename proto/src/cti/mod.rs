//! What a telephony source tells about agents, calls and media addresses, in one vocabulary.
//!
//! Each source's own words stay in its own module; call events use CSTA's (ECMA-269), agent states those of GED-188.

pub mod csta;
pub mod ged188;
pub mod risport;
pub mod script;
pub mod xml;
pub mod xsi;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, CallId, Extension, LinkName, MediaAddress, TeamName};
use crate::reason::Reason;

/// One thing a CTI source said, about an agent, one of his devices, or both: where it names only the device, the
/// directory knows (or learns later) who sits there. Shapes and field names are those of the `script` source
/// (command-line contract); fields that are absent keep what was known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CtiEvent {
    /// An agent signed in or out, or changed state.
    AgentState(AgentUpdate),
    /// Something happened to a device's connection to a call.
    Call(CallEvent),
    /// A call goes on under another id: renamed, or merged into another by transfer or conference.
    CallRenamed(CallRenamed),
    /// A call ended for everyone.
    CallEnded(CallEnded),
    /// What routing or the agent's desktop attached to a call.
    CallVariables(CallVariables),
    /// A phone sends or receives media at this address from now on.
    MediaStarted(MediaStarted),
    /// A phone stopped sending or receiving media.
    MediaStopped(MediaStopped),
    /// All calls of a device as they are now. Replaces what was known, never merges.
    DeviceSnapshot(DeviceSnapshot),
    /// Who belongs to a team.
    Team(TeamUpdate),
    /// An agent works at another subscriber's phone, or no longer.
    Hoteling(Hoteling),
    /// The connection to a CTI source came up or broke.
    Link(LinkUpdate),
}

/// See [`CtiEvent::AgentState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentUpdate {
    /// The agent.
    pub agent: AgentId,
    /// His name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The extension he uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
    /// The phone he uses, where it has a name besides the extension (GED-188 AgentInstrument, `SEP001122334455`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Extension>,
    /// The team he belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// His state.
    pub state: AgentState,
}

/// See [`CtiEvent::Call`]. Names the agent, the device, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallEvent {
    /// The agent whose connection it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The device whose connection it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Extension>,
    /// The call.
    pub call: CallId,
    /// What happened.
    pub kind: CallEventKind,
    /// Whether the call came through the queue; absent where the source doesn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acd: Option<bool>,
    /// The calling number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calling: Option<String>,
    /// The called number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// With `connection_cleared` and `failed`: who released it, seen from the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<ReleasingParty>,
}

/// Who released a connection, seen from the device it belonged to (requirements C8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasingParty {
    /// This device asked for it.
    Local,
    /// The other side.
    Remote,
    /// The source doesn't say.
    Unknown,
}

/// See [`CtiEvent::CallRenamed`]. Both ids mean the same call until it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRenamed {
    /// The id it had.
    pub from: CallId,
    /// The id under which it goes on.
    pub call: CallId,
}

/// See [`CtiEvent::CallEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallEnded {
    /// The call.
    pub call: CallId,
    /// The device that ended it; absent where unknown (requirements C8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controlling_party: Option<Extension>,
}

/// See [`CtiEvent::CallVariables`]. Variables that aren't named keep their values.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallVariables {
    /// The call.
    pub call: CallId,
    /// Name of a variable, as its source writes it → its value; an empty one takes it away.
    pub variables: BTreeMap<String, String>,
}

/// Shows names only: a value may be what a customer entered.
impl fmt::Debug for CallVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("CallVariables")
            .field("call", &self.call)
            .field("variables", &names)
            .finish()
    }
}

/// See [`CtiEvent::MediaStarted`]. Names the agent, the device, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaStarted {
    /// The agent at the phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Extension>,
    /// The call it belongs to, where the source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The phone's media address: where it receives and, as a rule, sends from.
    pub address: MediaAddress,
    /// Where the phone sends its media to, where the source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<MediaAddress>,
    /// Which direction started; absent: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<MediaDirection>,
    /// The codec's encoding name (RFC 3551), with its clock rate where the name leaves that open: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Whether the source says that the media are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
}

/// See [`CtiEvent::MediaStopped`]. Names the agent, the device, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaStopped {
    /// The agent at the phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Extension>,
    /// The call whose media stopped; absent: all of the phone's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The address that stopped; absent: all of the call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<MediaAddress>,
    /// Which direction stopped; absent: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<MediaDirection>,
}

/// A direction of media, seen from the phone (GED-188 RTP events, SDP `a=sendonly`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaDirection {
    /// The phone receives: what the customer says.
    Receive,
    /// The phone sends: what the agent says.
    Send,
}

/// See [`CtiEvent::DeviceSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSnapshot {
    /// The device.
    pub device: Extension,
    /// Its calls.
    pub calls: Vec<SnapshotCall>,
}

/// One call of a [`DeviceSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCall {
    /// The call.
    pub call: CallId,
    /// The event after which a call stands as this one does.
    pub kind: CallEventKind,
    /// Whether the call came through the queue; absent where the source doesn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acd: Option<bool>,
}

/// See [`CtiEvent::Team`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamUpdate {
    /// The team.
    pub team: TeamName,
    /// What becomes of the members named.
    pub operation: TeamOperation,
    /// The members.
    pub members: Vec<TeamMember>,
}

/// What a [`TeamUpdate`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamOperation {
    /// These and no others belong to the team.
    Replace,
    /// These belong to it too.
    Add,
    /// These no longer belong to it.
    Remove,
}

/// One member of a [`TeamUpdate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamMember {
    /// The agent.
    pub agent: AgentId,
    /// Whether he supervises the team.
    #[serde(default)]
    pub supervisor: bool,
}

/// See [`CtiEvent::Hoteling`]. While it lasts the guest's media leave the host's phone (requirements C10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hoteling {
    /// The guest: the device under whose id his calls are told.
    pub guest: Extension,
    /// The phone he works at; absent: the association ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Extension>,
}

/// See [`CtiEvent::Link`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkUpdate {
    /// The source.
    pub link: LinkName,
    /// Absent: events flow. Otherwise why they don't (`SM-1201` to `SM-1203`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Reason>,
}

macro_rules! event_from {
    ($($payload:ident => $variant:ident),* $(,)?) => {
        $(impl From<$payload> for CtiEvent {
            fn from(payload: $payload) -> Self {
                Self::$variant(payload)
            }
        })*
    };
}

event_from! {
    AgentUpdate => AgentState,
    CallEvent => Call,
    CallRenamed => CallRenamed,
    CallEnded => CallEnded,
    CallVariables => CallVariables,
    MediaStarted => MediaStarted,
    MediaStopped => MediaStopped,
    DeviceSnapshot => DeviceSnapshot,
    TeamUpdate => Team,
    Hoteling => Hoteling,
    LinkUpdate => Link,
}

impl AgentUpdate {
    /// An agent in a state; nothing else told.
    pub fn new(agent: impl Into<AgentId>, state: AgentState) -> Self {
        Self {
            agent: agent.into(),
            name: None,
            extension: None,
            device: None,
            team: None,
            state,
        }
    }
}

impl CallEvent {
    /// Something that happened to a device's connection; nothing else told.
    pub fn of_device(device: impl Into<Extension>, call: impl Into<CallId>, kind: CallEventKind) -> Self {
        Self {
            agent: None,
            device: Some(device.into()),
            call: call.into(),
            kind,
            acd: None,
            calling: None,
            called: None,
            released_by: None,
        }
    }

    /// Something that happened to an agent's connection; nothing else told.
    pub fn of_agent(agent: impl Into<AgentId>, call: impl Into<CallId>, kind: CallEventKind) -> Self {
        Self {
            agent: Some(agent.into()),
            device: None,
            ..Self::of_device("", call, kind)
        }
    }
}

impl MediaStarted {
    /// Media at an address; nobody and nothing else told yet.
    pub const fn at(address: MediaAddress) -> Self {
        Self {
            agent: None,
            device: None,
            call: None,
            address,
            remote: None,
            direction: None,
            codec: None,
            encrypted: None,
        }
    }
}

impl CtiEvent {
    /// The agent it names.
    pub const fn agent(&self) -> Option<&AgentId> {
        match self {
            Self::AgentState(update) => Some(&update.agent),
            Self::Call(call) => call.agent.as_ref(),
            Self::MediaStarted(media) => media.agent.as_ref(),
            Self::MediaStopped(media) => media.agent.as_ref(),
            Self::CallRenamed(_)
            | Self::CallEnded(_)
            | Self::CallVariables(_)
            | Self::DeviceSnapshot(_)
            | Self::Team(_)
            | Self::Hoteling(_)
            | Self::Link(_) => None,
        }
    }

    /// Looks after what the shape alone doesn't say.
    ///
    /// # Errors
    /// What was expected: an event that names neither agent nor device.
    pub fn check(&self) -> Result<(), String> {
        let (name, agent, device) = match self {
            Self::Call(call) => ("call", &call.agent, &call.device),
            Self::MediaStarted(media) => ("media_started", &media.agent, &media.device),
            Self::MediaStopped(media) => ("media_stopped", &media.agent, &media.device),
            _ => return Ok(()),
        };
        if agent.is_none() && device.is_none() {
            return Err(format!("expected \"agent\" or \"device\" in a {name} event"));
        }
        Ok(())
    }
}

/// State of an agent (GED-188 AgentState).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Signed in, nothing more known.
    Login,
    /// Signed out.
    Logout,
    /// Takes no calls.
    NotReady,
    /// Waits for a call.
    Available,
    /// On a call.
    Talking,
    /// After-call work, not ready afterwards.
    WorkNotReady,
    /// After-call work, ready afterwards.
    WorkReady,
    /// Busy with another task.
    BusyOther,
    /// A call is about to be delivered.
    Reserved,
    /// The source doesn't know.
    Unknown,
    /// Has a call on hold.
    Hold,
}

impl AgentState {
    /// Whether an agent in this state is signed in. `Unknown` counts as signed in: the source did speak of him.
    pub const fn is_signed_in(self) -> bool {
        !matches!(self, Self::Logout)
    }

    /// The state in words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Login => "signed in",
            Self::Logout => "signed out",
            Self::NotReady => "Not Ready",
            Self::Available => "Available",
            Self::Talking => "Talking",
            Self::WorkNotReady => "in after-call work (Not Ready)",
            Self::WorkReady => "in after-call work (Ready)",
            Self::BusyOther => "busy with another task",
            Self::Reserved => "Reserved",
            Self::Unknown => "in an unknown state",
            Self::Hold => "holding a call",
        }
    }
}

/// What happened to a call (ECMA-269 call control events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEventKind {
    /// The device went off hook to make it.
    ServiceInitiated,
    /// The device makes it.
    Originated,
    /// It left the switch for another network.
    NetworkReached,
    /// It waits in a queue.
    Queued,
    /// It rings.
    Delivered,
    /// It was answered.
    Established,
    /// The device put it on hold.
    Held,
    /// The device took it back from hold.
    Retrieved,
    /// It became a conference.
    Conferenced,
    /// The device passed it on.
    Transferred,
    /// It was sent elsewhere before it was answered here.
    Diverted,
    /// It couldn't be completed.
    Failed,
    /// The device's connection ended.
    ConnectionCleared,
}

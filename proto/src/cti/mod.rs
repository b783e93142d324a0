//! What a telephony source tells about agents, calls and media addresses, in one vocabulary.
//!
//! Each source's own words stay in its own module; call events use CSTA's (ECMA-269), agent states those of GED-188.

pub mod script;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, CallId, Extension, MediaAddress, TeamName};

/// One thing a CTI source said. Shapes and field names are those of the `script` source (command-line contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum CtiEvent {
    /// An agent signed in or out, or changed state. Fields that are absent keep what was known.
    AgentState {
        /// The agent.
        agent: AgentId,
        /// His name, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The extension he uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extension: Option<Extension>,
        /// The team he belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        team: Option<TeamName>,
        /// His state.
        state: AgentState,
    },
    /// Something happened to one of the agent's calls.
    Call {
        /// The agent.
        agent: AgentId,
        /// The call.
        call: CallId,
        /// What happened.
        kind: CallEventKind,
        /// Whether the call came through the queue; absent where the source doesn't say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acd: Option<bool>,
        /// The calling number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        calling: Option<String>,
        /// The called number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
    },
    /// The agent's phone sends and receives media at this address from now on.
    MediaStarted {
        /// The agent.
        agent: AgentId,
        /// The call it belongs to, where the source says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// The phone's media address.
        address: MediaAddress,
        /// The codec's encoding name (RFC 3551), a hint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        codec: Option<String>,
    },
    /// The agent's phone stopped sending and receiving media.
    MediaStopped {
        /// The agent.
        agent: AgentId,
        /// The call whose media stopped; absent: all of the agent's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// The address that stopped; absent: all of the call's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<MediaAddress>,
    },
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
    /// It rings.
    Delivered,
    /// It was answered.
    Established,
    /// The agent put it on hold.
    Held,
    /// The agent took it back from hold.
    Retrieved,
    /// It became a conference.
    Conferenced,
    /// The agent passed it on.
    Transferred,
    /// The agent's connection ended.
    ConnectionCleared,
}

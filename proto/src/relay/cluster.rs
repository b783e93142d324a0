//! How a cluster stands, for its administrators.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterName, ServerName};
use crate::peer::Role;
use crate::reason::Reason;
use crate::time::Instant;

/// How a cluster stands, as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterName,
    /// The member that says so.
    pub server: ServerName,
    /// Port of the supervisors' door, the same in all members.
    pub service_port: u16,
    /// Program and version.
    pub software: String,
    /// Who holds the sessions with the CTI sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<ServerName>,
    /// Agents known.
    pub agents: usize,
    /// Agents whose streams this member sees.
    pub sees: usize,
    /// What this server is to the others.
    #[serde(default)]
    pub role: Role,
    /// The store by which members learn of each other, where they don't tell each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// The other members; of a leaf, the hubs.
    pub members: Vec<MemberStatus>,
    /// Leaves, as a hub knows them; absent of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<LeavesStatus>,
}

/// Leaves that are listed in one status, so that it stays well below [`super::MAX_MESSAGE`].
pub const LEAVES_LISTED: usize = 4_000;

/// The leaves of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavesStatus {
    /// How many dialled this hub.
    pub here: usize,
    /// How many are reached by other hubs alone.
    pub elsewhere: usize,
    /// How many no hub reaches any longer, that may come back.
    pub lost: usize,
    /// Those that are reached, by name, the first [`LEAVES_LISTED`].
    pub each: Vec<LeafStatus>,
}

/// A leaf that some hub reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafStatus {
    /// Its name.
    pub server: ServerName,
    /// Hubs that it dialled.
    pub hubs: Vec<ServerName>,
    /// Since when it is connected with this hub; absent where it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// Program and version, where it is connected with this hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Agents that it told of.
    pub agents: usize,
    /// Agents whose streams it sees.
    pub sees: usize,
}

/// How it stands with the cluster's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Why it can't be reached; absent where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// One of the other members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub server: ServerName,
    /// Since when it is connected; absent where it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    /// Program and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Newest version of the peers' messages that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u16>,
    /// Agents whose streams it sees.
    pub sees: usize,
    /// Its clock less the other's, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_us: Option<i64>,
    /// Shortest round trip to it, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// What kept it from being connected last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Reason>,
}

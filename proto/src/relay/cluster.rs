//! How a cluster stands, for its administrators.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterName, ServerName};
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
    /// The store by which members learn of each other, where they don't tell each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// The other members.
    pub members: Vec<MemberStatus>,
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

//! What the members of a cluster say to each other (port 42029, ALPN `silentmon-peer/1`; requirements section 4).
//!
//! JSON messages in one bidirectional QUIC stream, framed as those of supervisors. Each member tells what it knows itself
//! as numbered [`Fact`]s: a snapshot first, then what changes. Who misses a number asks for a snapshot again.
//!
//! Audio of agents whom another member sees comes as QUIC datagrams of the same connection, exactly as supervisors get it
//! ([`crate::relay::AudioHeader`], [`crate::relay::RepairRequest`]); `relay` has the messages about it.

mod relay;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cti::CtiEvent;
use crate::extensible::extensible;
use crate::ids::{AgentId, ClusterName, LinkName, ServerName, SessionId};
use crate::pause::{PauseKind, PauseOf, ToldPause};
use crate::reason::Reason;
use crate::relay::{MediaOrigin, SuperviseAction};
use crate::time::Instant;

pub use self::relay::{HomeSession, RelayMessage, SuperviseWanted};

/// Port on which a member answers the others (requirements section 3).
pub const PEER_PORT: u16 = 42029;
/// TLS application protocol of this conversation (RFC 7301).
pub const ALPN: &[u8] = b"silentmon-peer/1";
/// Version of the messages.
pub const VERSION: u16 = 1;
/// Oldest version that is still spoken: a cluster is upgraded member by member.
pub const OLDEST_VERSION: u16 = 1;
/// Between two heartbeats (requirements section 3).
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Heartbeats that may stay unanswered (requirements section 3).
pub const RETRIES: u32 = 3;
/// Facts in one message of a snapshot, so that it stays well below [`crate::relay::MAX_MESSAGE`].
pub const FACTS_IN_A_PAGE: usize = 500;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum PeerMessage {
    /// First message each way.
    Hello(Hello),
    /// Asks for everything the other member knows.
    WantSnapshot,
    /// Some of what the member knows.
    Snapshot {
        /// Number of the newest fact that it holds.
        number: u64,
        /// What the member knows.
        facts: Vec<Fact>,
        /// Whether another page of the same snapshot follows.
        more: bool,
    },
    /// Something changed.
    News {
        /// Its number: one more than that of the news before it, or of the snapshot.
        number: u64,
        /// What.
        fact: Fact,
    },
    /// Sent every heartbeat interval.
    Heartbeat {
        /// Sender's time, echoed in the answer.
        sent: Instant,
        /// Number of the newest of its facts: who hasn't got that one missed some.
        number: u64,
        /// How the sender stands to the CTI sources.
        cti: CtiDuty,
    },
    /// Answer to a heartbeat.
    HeartbeatAnswer {
        /// When the heartbeat was sent, by its sender's clock.
        sent: Instant,
        /// When it was answered, by the answering member's clock.
        answered: Instant,
    },
    /// An administrator wants a member to hold the CTI session.
    HandOver {
        /// Which.
        to: ServerName,
        /// The term in which it shall hold it.
        term: u64,
    },
    /// About sessions on agents whom the one member sees and the other doesn't.
    Relay(Box<RelayMessage>),
    /// A program that uses a member's certificate, and won't be a member itself, asks how it is reached: first answered by
    /// `HeartbeatAnswer`, then by `Probed`.
    Probe {
        /// Sender's time, echoed in the answer.
        sent: Instant,
    },
    /// Whether the member reaches the one whose certificate the asking program has, where it is configured to answer.
    Probed {
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unreached: Option<Reason>,
    },
    /// A hub tells another one of a leaf that dialled it, or asks about one.
    OfLeaf {
        /// The leaf.
        leaf: ServerName,
        /// The run of its program.
        run: u64,
        /// What.
        says: LeafSays,
    },
    /// The member stops, or can't be in a cluster with the other.
    Goodbye {
        /// Why.
        reason: Reason,
    },
    /// Something that a newer version says; to be ignored.
    #[serde(other)]
    Unknown,
}

/// Who a member is; see [`PeerMessage::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Highest version of the messages that it speaks.
    pub version: u16,
    /// Lowest.
    pub oldest: u16,
    /// The cluster.
    pub cluster: ClusterName,
    /// Its name, which is that of its certificate.
    pub server: ServerName,
    /// A random number of this run of the program: facts of a former run don't count on.
    pub run: u64,
    /// The port of its supervisors' door: the same in the whole cluster. 0 of a leaf without one.
    pub service_port: u16,
    /// Program and version, for the log.
    pub software: String,
    /// What it is to the others.
    #[serde(default)]
    pub role: Role,
}

/// What a server is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// One among equals, who know everything of each other.
    #[default]
    Member,
    /// A member that leaves dial.
    Hub,
    /// It dials hubs, tells what it knows itself, and isn't told what others know.
    Leaf,
}

/// What a hub tells another one of a leaf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum LeafSays {
    /// The leaf has dialled the hub.
    Here,
    /// It is gone from there.
    Gone,
    /// Asks the hub to ask the leaf for everything it knows.
    WantSnapshot,
    /// See [`PeerMessage::Snapshot`], with the leaf's numbers.
    Snapshot {
        /// Number of the newest fact that it holds.
        number: u64,
        /// What the leaf knows.
        facts: Vec<Fact>,
        /// Whether another page of the same snapshot follows.
        more: bool,
    },
    /// See [`PeerMessage::News`], with the leaf's number.
    News {
        /// Its number.
        number: u64,
        /// What.
        fact: Fact,
    },
    /// Something that a newer version says; to be ignored.
    #[serde(other)]
    Unknown,
}

/// How a member stands to the CTI sources: one member of a cluster holds the sessions with them (requirements T10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "duty", rename_all = "snake_case")]
pub enum CtiDuty {
    /// It has none configured.
    None,
    /// It could hold them.
    Ready,
    /// It had to give them up and won't take them for a while.
    Unfit,
    /// It holds them.
    Holds {
        /// Since the so-manieth change of the holder: the highest term holds.
        term: u64,
    },
}

/// Something a member knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum Fact {
    /// What a CTI source told, or what is known from what it told.
    Cti {
        /// The source; none in a snapshot, which comes from all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<LinkName>,
        /// What.
        event: CtiEvent,
    },
    /// Whether the member sees an agent's streams: his own side's, the customer's.
    Sees {
        /// The agent.
        agent: AgentId,
        /// Agent, customer.
        legs: [bool; 2],
    },
    /// A supervisor listens at the member. Told again when something of it changes.
    Session(HomeSession),
    /// He listens there no more.
    SessionOver {
        /// The session.
        session: SessionId,
    },
    /// Nothing of somebody's calls may be heard, wherever they are seen.
    Pause(ToldPause),
    /// Every pause of a kind that hits somebody is over.
    PauseOver {
        /// Which.
        kind: PauseKind,
        /// Whose.
        of: PauseOf,
        /// Who asked for that, in his own words.
        by: String,
        /// When: what was asked for later goes on. Now, where an older version tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Instant>,
    },
    /// What is known, in a snapshot, of agents of whom a source of the member's own tells that nobody else has.
    Fed {
        /// What.
        event: CtiEvent,
    },
    /// What a CTI source can do for a supervisor at the member that holds the session with it.
    Controls {
        /// The source.
        link: LinkName,
        /// What.
        controls: Vec<SuperviseAction>,
    },
    /// Media that start or stop at a device, as signalling in the member's mirror shows them.
    Sighted {
        /// Which signalling.
        origin: MediaOrigin,
        /// What.
        event: CtiEvent,
    },
    /// Whether a program at an agent's desk takes notices from the member.
    Desk {
        /// The agent.
        agent: AgentId,
        /// Whether it does.
        open: bool,
    },
    /// Something that a newer version knows; to be ignored.
    #[serde(other)]
    Unknown,
}

extensible!(PeerMessage, LeafSays, Fact);

//! The supervisor's end of the relay: keeps a connection to one of several capture servers, keeps monitoring sessions
//! over lost connections, and hands events and audio packets to a [`ReceiverSink`].
//!
//! What is decided (whom to dial, when to give up, what to say) is in `machine`, without IO; `repairs` asks for what the
//! relay lost; `task` owns connection and clock. Decoding and playing are not done here.

mod machine;
mod repairs;
mod task;

use std::time::Duration;

use silentmon_proto::ids::{AgentId, Extension, Leg, ServerName, SessionId};
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::{AgentRow, AudioHeader, OutputKind, SessionStatus, SuperviseAction};
use silentmon_proto::time::Instant;
use silentmon_transport::{PathStatistics, ServerAddress};

pub use task::{Receiver, ReceiverStatistics};

/// A monitoring request, numbered by this program: one stays the same over reconnects, whatever the server calls its
/// session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// Where events and audio go. Called from the receiver's task, in order, so it must not block.
pub trait ReceiverSink: Send {
    /// Something happened.
    fn event(&mut self, now: Instant, event: ReceiverEvent);

    /// An audio packet arrived at `now`. `rtp` is the packet as captured, or its header alone where
    /// [`AudioHeader::kind`] says that the payload was kept back.
    fn packet(&mut self, now: Instant, request: RequestId, header: &AudioHeader, rtp: &[u8]);

    /// How long a packet of this leg that is missing now, because its successor came, may still take to be played. What
    /// would take longer isn't asked for again; by default nothing is.
    fn patience(&mut self, _request: RequestId, _leg: Leg) -> Duration {
        Duration::ZERO
    }

    /// The relay loses packets, and what is lost comes again within this time after its successor: it is worth waiting
    /// for. `None` when it no longer loses any. By default nothing comes of it.
    fn expect_repairs(&mut self, _request: RequestId, _within: Option<Duration>) {}
}

/// In which order servers are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerOrder {
    /// A random one first, the others in turn (requirements T6).
    Random,
    /// As they are listed.
    Given,
}

/// How long a server is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// For ever.
    Forever,
    /// Until each server was tried so many times in vain, before the first connection; for ever after it.
    Rounds(u32),
}

/// How a receiver behaves.
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    /// The capture servers, members of one cluster; at least one.
    pub servers: Vec<ServerAddress>,
    /// In which order they are tried.
    pub order: ServerOrder,
    /// When to give up.
    pub persistence: Persistence,
    /// Program and version, for the server's log.
    pub software: String,
    /// How the connection behaves.
    pub transport: silentmon_transport::Settings,
}

/// What to monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorRequest {
    /// The agent.
    pub agent: AgentId,
    /// Why, for the audit.
    pub purpose: Option<String>,
    /// What becomes of the sound.
    pub output: OutputKind,
}

/// A wish to be brought into the call that is listened to (requirements S5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperviseWish {
    /// Stands in [`ReceiverEvent::Supervised`].
    pub number: u32,
    /// What is wished for.
    pub action: SuperviseAction,
    /// The supervisor's own phone.
    pub device: Extension,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ReceiverEvent {
    /// A server is dialled.
    Dialling {
        /// The server.
        server: ServerAddress,
    },
    /// A server couldn't be reached or refused us; another one follows.
    DialFailed {
        /// The server.
        server: ServerAddress,
        /// Why.
        reason: Reason,
    },
    /// A server bade us welcome.
    Connected {
        /// The server.
        server: ServerAddress,
        /// Its name in its cluster.
        name: ServerName,
        /// Its program and version.
        software: String,
    },
    /// The connection was lost; sessions are kept and taken up again.
    Lost {
        /// The server.
        server: ServerAddress,
        /// Why.
        reason: Reason,
        /// When a server is dialled again.
        retry_in: Duration,
    },
    /// A session runs: audio packets of it may follow.
    MonitorStarted {
        /// The request.
        request: RequestId,
        /// The session at the server.
        session: SessionId,
        /// Whether it is the one that ran before the connection was lost.
        resumed: bool,
        /// For how long nothing was heard then.
        missed: Option<Duration>,
    },
    /// A session was refused; the request is over.
    MonitorRefused {
        /// The request.
        request: RequestId,
        /// Why.
        reason: Reason,
    },
    /// How a session stands.
    Status {
        /// The request.
        request: RequestId,
        /// How it stands.
        status: SessionStatus,
    },
    /// A session ended; the request is over.
    MonitorStopped {
        /// The request.
        request: RequestId,
        /// Why.
        reason: Reason,
        /// How it stood last, if it ever ran.
        status: Option<SessionStatus>,
    },
    /// A session has gone on for as long as the server's policy lets it: it ends unless the supervisor says that he still
    /// listens ([`Receiver::confirm`]).
    ConfirmListening {
        /// The request.
        request: RequestId,
        /// How much time remains.
        within: Duration,
    },
    /// Why the supervisor may listen to nobody now; told with the agents.
    Notice(Reason),
    /// What became of a wish to be brought into a call.
    Supervised {
        /// The number it was given.
        number: u32,
        /// Why it failed, in words.
        result: Result<(), String>,
    },
    /// All agents.
    Agents(Vec<AgentRow>),
    /// One agent's row changed.
    AgentChanged(AgentRow),
    /// The path as it was measured, every heartbeat.
    Path(PathStatistics),
    /// No server could be reached, or none wants this supervisor; the receiver is over. Each request was
    /// stopped for the same reason just before.
    GaveUp {
        /// Why.
        reason: Reason,
    },
    /// The receiver was closed; it is over.
    Closed,
}

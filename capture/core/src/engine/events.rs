//! What comes out of the engine: what is to be sent, and what the shell should know.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use silentmon_proto::ids::{AgentId, CallId, Extension, LinkName, ServerName, SessionId, SupervisorName};
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::ServerMessage;
use silentmon_proto::time::Instant;

use super::{ConnectionId, PauseRecord, SuperviseRecord};
use crate::cluster::{HoldsCti, PeerLink};
use crate::directory::{Release, Resynchronised};
use crate::link::LinkCommand;
use crate::policy::{Locked, Mute, PauseEnd, Principal};
use crate::session::Disclosed;

/// Something to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Transmit {
    /// A control message.
    Message {
        /// To whom.
        connection: ConnectionId,
        /// What.
        message: Box<ServerMessage>,
    },
    /// An audio datagram: header and RTP packet.
    Audio {
        /// To whom.
        connection: ConnectionId,
        /// The session it belongs to.
        session: SessionId,
        /// The bytes.
        datagram: Vec<u8>,
    },
    /// A datagram to another member: audio of a session that it hears, or a request for audio that was lost.
    PeerDatagram {
        /// To whom.
        link: PeerLink,
        /// The session it belongs to.
        session: SessionId,
        /// The bytes.
        datagram: Vec<u8>,
    },
    /// An RTP packet as captured for a standard receiver.
    PlainRtp {
        /// To where.
        receiver: SocketAddr,
        /// The bytes.
        packet: Vec<u8>,
    },
    /// The connection is to be closed once what was sent has gone.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// Something the shell should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// The set of monitored or watched addresses changed: make a new filter.
    FilterChanged,
    /// Media are at phones where none were: their packets are to be counted.
    PhonesCame(BTreeSet<IpAddr>),
    /// A connection must carry more or less audio than before ([`Engine::streams_over`](super::Engine::streams_over)).
    DemandChanged {
        /// Which.
        connection: ConnectionId,
    },
    /// A session started.
    SessionStarted(SessionRecord),
    /// A session goes on here, or is heard by another member for its supervisor than before.
    SessionMoved {
        /// The session; it started when it first did.
        session: SessionRecord,
        /// The member that the supervisor talked to before.
        former: ServerName,
    },
    /// A session ended, and why.
    SessionStopped(SessionRecord, Reason),
    /// A session was refused, and why.
    SessionRefused {
        /// Who asked.
        principal: Principal,
        /// For whom.
        agent: AgentId,
        /// Why not.
        reason: Reason,
    },
    /// Nothing of a session's agent is heard from now on, by rule.
    SessionMuted {
        /// The session.
        session: SessionRecord,
        /// The rule.
        rule: Mute,
    },
    /// That is over.
    SessionUnmuted {
        /// The session.
        session: SessionRecord,
        /// The rule that held.
        rule: Mute,
        /// For how long.
        lasted: Duration,
    },
    /// A pause began.
    PauseStarted(PauseRecord),
    /// A pause that runs lasts longer, because it was asked for again.
    PauseProlonged(PauseRecord),
    /// A pause ended.
    PauseEnded {
        /// The pause.
        record: PauseRecord,
        /// Why it ended.
        end: PauseEnd,
        /// How long it lasted.
        lasted: Duration,
    },
    /// The agent of a session was told that somebody listens.
    Disclosed(SessionRecord),
    /// Somebody listens to an agent, or nobody any longer ([`Engine::is_listened_to`](super::Engine::is_listened_to)).
    ListeningChanged {
        /// Whom.
        agent: AgentId,
    },
    /// A supervisor said that he still listens, when he was asked.
    SessionConfirmed(SessionRecord),
    /// Somebody signed in by password.
    SignedIn(Principal),
    /// A sign-in by password failed.
    SignInFailed {
        /// Under which name.
        name: SupervisorName,
        /// From where.
        from: IpAddr,
        /// What is locked by it.
        locked: Option<Locked>,
    },
    /// An administrator unlocked a name.
    Unlocked {
        /// Who.
        principal: Principal,
        /// What.
        locked: Locked,
    },
    /// A supervisor's certificate is good no longer; he was told why, and his connection ends.
    ConnectionWithdrawn {
        /// Whose.
        principal: Principal,
        /// Why.
        reason: Reason,
    },
    /// There is a connection with a member of the cluster now.
    MemberLinked(ServerName),
    /// There is none any longer.
    MemberUnlinked(ServerName),
    /// A member is needed that there is no connection with.
    DialWanted {
        /// Which.
        server: ServerName,
        /// Where it answers, `HOST:PORT`.
        address: String,
    },
    /// A member of the cluster is there.
    MemberJoined(ServerName),
    /// A member of the cluster is gone.
    MemberLeft {
        /// Which.
        server: ServerName,
        /// Why.
        reason: Reason,
    },
    /// A server was not taken for a member of the cluster.
    MemberRefused {
        /// Which.
        server: ServerName,
        /// Why.
        reason: Reason,
    },
    /// Somebody asks whether another member is reached: [`Engine::handle_probed`](super::Engine::handle_probed) is to tell.
    ProbeWanted {
        /// Who asks.
        link: PeerLink,
        /// The member.
        peer: ServerName,
        /// Where it answers, `HOST:PORT`, as far as a store tells.
        address: Option<String>,
    },
    /// This server holds the CTI sessions from now on, or no longer does: links are to be started or stopped.
    Cti(HoldsCti),
    /// A supervisor asked to be brought into a call.
    SuperviseRequested(SuperviseRecord),
    /// A link is to do something.
    Command {
        /// Which link.
        link: LinkName,
        /// What.
        command: LinkCommand,
    },
    /// A device's snapshot differed from what was known: worth a line in the log (requirements C9).
    Resynchronised(Resynchronised),
    /// A device's connection was released (requirements C8).
    Released(Release),
    /// A call ended; by which device, as far as known (requirements C8).
    CallEnded {
        /// The call.
        call: CallId,
        /// The device that ended it.
        controlling_party: Option<Extension>,
    },
}

impl EngineEvent {
    /// Whether it belongs into the audit journal.
    pub const fn is_audited(&self) -> bool {
        match self {
            Self::SessionStarted(_)
            | Self::SessionMoved { .. }
            | Self::SessionStopped(..)
            | Self::SessionRefused { .. }
            | Self::SessionMuted { .. }
            | Self::SessionUnmuted { .. }
            | Self::PauseStarted(_)
            | Self::PauseProlonged(_)
            | Self::PauseEnded { .. }
            | Self::Disclosed(_)
            | Self::SessionConfirmed(_)
            | Self::SignedIn(_)
            | Self::SignInFailed { .. }
            | Self::Unlocked { .. }
            | Self::ConnectionWithdrawn { .. }
            | Self::SuperviseRequested(_) => true,
            Self::FilterChanged
            | Self::PhonesCame(_)
            | Self::ListeningChanged { .. }
            | Self::DemandChanged { .. }
            | Self::MemberLinked(_)
            | Self::MemberUnlinked(_)
            | Self::DialWanted { .. }
            | Self::MemberJoined(_)
            | Self::MemberLeft { .. }
            | Self::MemberRefused { .. }
            | Self::ProbeWanted { .. }
            | Self::Cti(_)
            | Self::Command { .. }
            | Self::Resynchronised(_)
            | Self::Released(_)
            | Self::CallEnded { .. } => false,
        }
    }
}

/// What the audit wants to know of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session.
    pub session: SessionId,
    /// Who listened.
    pub principal: Principal,
    /// To whom.
    pub agent: AgentId,
    /// Why, in his own words.
    pub purpose: Option<String>,
    /// When it started.
    pub started: Instant,
    /// How long at least one leg was audible.
    pub audible: Duration,
    /// Whether the agent was told that somebody listens.
    pub disclosed: Disclosed,
    /// The member that the supervisor talks to, where it isn't this server.
    pub home: Option<ServerName>,
}

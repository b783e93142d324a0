//! Agents whom another member of the cluster sees. The home, to which the supervisor talks, hears them from sources, which
//! run the same session; what policy keeps back never leaves the source.
//!
//! `home` asks for what this server doesn't see and joins what comes, `source` lets others hear, `moving` lets a session go
//! on at another home, `missing` asks again for what a member's connection lost.

mod home;
mod missing;
mod moving;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::ids::{ServerName, SessionId};
use silentmon_proto::peer::RelayMessage;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AudioHeader, OutputKind, RepairRequest, ServerMessage, SessionStatus};
use silentmon_proto::time::Instant;

use self::home::Elsewhere;
use super::{ConnectionId, Engine, EngineEvent, ForeignRequest};
use crate::cluster::{Cluster, PeerLink};
use crate::session::{Attachment, Listener, MonitorSession};

/// What this server hears from others.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Of each session that is at home here.
    elsewhere: BTreeMap<SessionId, Elsewhere>,
    /// The session of each channel of a member's datagrams.
    channels: BTreeMap<ServerName, HashMap<u16, SessionId>>,
    /// Sessions of other members' that were refused, and why.
    refused: BTreeMap<SessionId, Code>,
    /// Datagrams of members that belong to no session here, or came too late to be of use.
    turned_away: u64,
}

/// Refusals that are remembered.
const MOST_REFUSED: usize = 1024;

impl Relay {
    /// Notes that a session of another member's is refused. Answers whether that is new.
    fn refuse(&mut self, session: SessionId, code: Code) -> bool {
        if self.refused.len() >= MOST_REFUSED {
            self.refused.clear();
        }
        self.refused.insert(session, code) != Some(code)
    }
}

/// What whoever listens to a session is told.
#[derive(Debug)]
pub(super) enum News {
    /// It runs.
    Started {
        /// The request that asked for it.
        request: u32,
        /// The number of its datagrams.
        channel: u16,
    },
    /// It doesn't.
    Refused {
        /// The request that asked for it.
        request: u32,
        /// Why.
        reason: Reason,
    },
    /// How it stands.
    Status(SessionStatus),
    /// It is over.
    Stopped {
        /// Why.
        reason: Reason,
        /// How it stood.
        status: Option<SessionStatus>,
    },
}

impl News {
    /// For a supervisor.
    fn into_server_message(self, session: SessionId) -> Option<ServerMessage> {
        Some(match self {
            Self::Started { request, channel } => ServerMessage::MonitorStarted {
                request,
                session,
                channel,
            },
            Self::Refused { request, reason } => ServerMessage::MonitorRefused { request, reason },
            Self::Status(status) => ServerMessage::SessionStatus(status),
            Self::Stopped { reason, status } => ServerMessage::MonitorStopped {
                session,
                reason,
                status: status?,
            },
        })
    }

    /// For the member that he talks to.
    fn into_relay_message(self, session: SessionId) -> RelayMessage {
        match self {
            Self::Started { channel, .. } => RelayMessage::Subscribed { session, channel },
            Self::Refused { reason, .. } => RelayMessage::Refused { session, reason },
            Self::Status(status) => RelayMessage::Status(Box::new(status)),
            Self::Stopped { reason, .. } => RelayMessage::Ended { session, reason },
        }
    }
}

/// Where a session's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To its supervisor.
    Supervisor(ConnectionId),
    /// To the member that he talks to.
    Member(PeerLink),
    /// As plain RTP to a standard receiver.
    Plain(SocketAddr),
}

impl Way {
    /// Where a session's packets go now; nowhere, while nobody is there.
    pub(super) fn of(session: &MonitorSession, cluster: Option<&Cluster>) -> Option<Self> {
        match (session.attachment, &session.home, session.output) {
            (Attachment::Relayed(_), Some(home), _) => cluster?.link_to(home).map(Self::Member),
            (_, None, OutputKind::PlainRtp { receiver }) => Some(Self::Plain(receiver)),
            (Attachment::Attached(connection), ..) => Some(Self::Supervisor(connection)),
            (Attachment::Relayed(_) | Attachment::Detached(_), ..) => None,
        }
    }
}

impl Engine {
    /// A datagram of another member's: audio of a session that is at home here, or a request for audio that was lost on
    /// the way to it.
    pub fn handle_peer_datagram(&mut self, from: PeerLink, datagram: &[u8], now: Instant) {
        if let Ok((header, rtp)) = AudioHeader::parse(datagram) {
            self.hear_member(from, &header, rtp, now);
        } else if let Ok(request) = RepairRequest::parse(datagram) {
            self.repair_for_member(from, &request, now);
        } else {
            self.relay.turned_away += 1;
        }
    }

    /// Sessions that other members hear for their supervisors.
    pub(super) fn relayed_sessions(&self) -> usize {
        let relayed = |session: &&MonitorSession| matches!(session.attachment, Attachment::Relayed(_));
        self.sessions.values().filter(relayed).count()
    }

    /// Datagrams of members that were of no use.
    pub(super) const fn turned_away_datagrams(&self) -> u64 {
        self.relay.turned_away
    }

    /// How many audio streams' worth a member's connection must carry.
    pub fn streams_to(&self, link: PeerLink) -> usize {
        let Some(member) = self.cluster().and_then(|cluster| cluster.member_at(link)) else {
            return 0;
        };
        let heard = self.sessions.values().filter(|session| is_relayed_to(session, member));
        heard.map(|session| session.streams).sum()
    }

    /// A member says something about a session.
    pub(super) fn handle_relay_message(&mut self, from: &ServerName, message: RelayMessage, now: Instant) {
        match message {
            RelayMessage::Subscribe(wanted) => self.handle_subscribe(from, wanted, now),
            RelayMessage::Unsubscribe { session, reason } => self.handle_unsubscribe(from, session, &reason, now),
            RelayMessage::Subscribed { session, channel } => self.handle_subscribed(from, session, channel, now),
            RelayMessage::Refused { session, reason } | RelayMessage::Ended { session, reason } => {
                self.handle_not_relayed(from, session, reason, now);
            }
            RelayMessage::Status(status) => self.handle_source_status(from, *status, now),
            RelayMessage::Supervise(wanted) => self.supervise_for_member(from, *wanted, now),
            RelayMessage::Supervised { number, result } => self.handle_supervised(from, number, result),
            RelayMessage::Unknown => {}
        }
    }

    /// A member is gone: its supervisors may come here, and what it saw may be seen by another one.
    pub(super) fn handle_member_left(&mut self, member: &ServerName, reason: &Reason, now: Instant) {
        for session in self
            .sessions
            .values_mut()
            .filter(|session| is_relayed_to(session, member))
        {
            session.attachment = Attachment::Detached(now);
        }
        self.hear_no_more(member, reason, now);
    }

    /// Tells whoever listens to a session.
    pub(super) fn tell_listener(&mut self, listener: Option<Listener>, session: SessionId, news: News) {
        match listener {
            Some(Listener::Supervisor(connection)) => {
                if let Some(message) = news.into_server_message(session) {
                    self.send(connection, message);
                }
            }
            Some(Listener::Member(member)) => self.say(&member, news.into_relay_message(session)),
            None => {}
        }
    }

    pub(super) fn say(&mut self, to: &ServerName, message: RelayMessage) {
        let asks = matches!(message, RelayMessage::Subscribe(_));
        let Some(cluster) = self.membership.cluster_mut() else {
            return;
        };
        if !cluster.say(to, message) && asks {
            self.dial(to);
        }
    }

    /// Members of a store are dialled when they are needed.
    pub(super) fn dial(&mut self, to: &ServerName) {
        if let Some(address) = self.membership.store().and_then(|store| store.address_of(to)) {
            self.events.push_back(EngineEvent::DialWanted {
                server: to.clone(),
                address: address.to_owned(),
            });
        }
    }

    /// A member asks for packets again.
    fn repair_for_member(&mut self, from: PeerLink, request: &RepairRequest, now: Instant) {
        let cluster = self.cluster();
        let member = cluster.and_then(|cluster| cluster.member_at(from)).cloned();
        let round_trip = cluster.map_or(Duration::ZERO, |cluster| cluster.round_trip(from));
        let session = self.channels.get(&request.channel).and_then(|id| self.sessions.get(id));
        match session.filter(|session| member.is_some_and(|member| is_relayed_to(session, &member))) {
            Some(session) => self.repair(session.id, request, round_trip, now),
            None => self.count_foreign(ForeignRequest::Repair),
        }
    }
}

/// Whether a member hears a session for its supervisor.
fn is_relayed_to(session: &MonitorSession, member: &ServerName) -> bool {
    matches!(session.attachment, Attachment::Relayed(_)) && session.home.as_ref() == Some(member)
}

//! What members say about hearing an agent at another one, and about who listens where.

use std::time::Duration;

use silentmon_proto::ids::{AgentId, ServerName, SessionId};
use silentmon_proto::peer::{Fact, HomeSession, PeerMessage, RelayMessage};
use silentmon_proto::time::Instant;

use super::{Cluster, ClusterEvent, Directory, PeerLink};

impl Cluster {
    /// Says something about a session to a member; to nobody where it isn't there.
    pub fn say(&mut self, to: &ServerName, message: RelayMessage) {
        if let Some(link) = self.link_to(to) {
            self.send(link, PeerMessage::Relay(Box::new(message)));
        }
    }

    /// The connection over which a member is talked to.
    pub fn link_to(&self, member: &ServerName) -> Option<PeerLink> {
        self.members.get(member).copied()
    }

    /// The member at a connection.
    pub fn member_at(&self, link: PeerLink) -> Option<&ServerName> {
        let peer = &self.links.get(&link)?.peer;
        (self.members.get(peer) == Some(&link)).then_some(peer)
    }

    /// A session begins here, or something of it changed.
    pub fn handle_session(&mut self, session: HomeSession) {
        if self.sessions.tell(session.clone()) {
            self.tell(&Fact::Session(session));
        }
    }

    /// A session ended here, or goes on elsewhere.
    pub fn handle_session_over(&mut self, session: SessionId) {
        if self.sessions.tell_over(session) {
            self.tell(&Fact::SessionOver { session });
        }
    }

    /// A program at an agent's desk takes notices from here, or no longer.
    pub fn handle_desk(&mut self, agent: &AgentId, open: bool) {
        if self.desks.tell(agent, open) {
            let agent = agent.clone();
            self.tell(&Fact::Desk { agent, open });
        }
    }

    /// Whether a program at an agent's desk takes notices from another member.
    pub fn has_desk_elsewhere(&self, agent: &AgentId) -> bool {
        self.desks.is_elsewhere(agent)
    }

    /// Where else a session is held or was, and what is known of it; times are by our clock. A member that is gone is
    /// remembered for as long as a session outlives a broken connection.
    pub fn session_elsewhere(&self, session: SessionId) -> Option<(&ServerName, &HomeSession)> {
        self.sessions.get(session)
    }

    /// Sessions of other members.
    pub fn sessions_elsewhere(&self) -> impl Iterator<Item = (&ServerName, &HomeSession)> {
        self.sessions.elsewhere()
    }

    /// Shortest round trip over a connection that was measured lately; none where none was yet.
    pub fn round_trip(&self, link: PeerLink) -> Duration {
        let clock = self.links.get(&link).and_then(super::Link::clock);
        clock.map_or(Duration::ZERO, |clock| clock.round_trip)
    }

    /// A time of another member's clock by ours; `now` where the difference isn't known yet.
    pub fn by_our_clock(&self, link: PeerLink, at: Instant, now: Instant) -> Instant {
        let clock = self.links.get(&link).and_then(super::Link::clock);
        clock.map_or(now, |clock| clock.ours(at))
    }

    pub(super) fn take_relay(&mut self, from: ServerName, message: RelayMessage) {
        let message = match message {
            RelayMessage::Subscribe(session) => RelayMessage::Subscribe(self.with_our_times(&from, session)),
            other => other,
        };
        self.events.push_back(ClusterEvent::Relay(from, message));
    }

    pub(super) fn note_session(&mut self, home: ServerName, session: HomeSession) {
        let session = self.with_our_times(&home, session);
        if self.sessions.note(home.clone(), session.clone()) {
            self.events.push_back(ClusterEvent::SessionElsewhere(home, session));
        }
    }

    pub(super) fn note_session_over(&mut self, home: &ServerName, session: SessionId) {
        let agent = self.sessions.note_over(home, session);
        self.events.extend(agent.map(ClusterEvent::ListenedElsewhere));
    }

    pub(super) fn note_desk(&mut self, at: ServerName, agent: AgentId, open: bool) {
        self.desks.note(at, agent.clone(), open);
        self.events.push_back(ClusterEvent::DeskElsewhere(agent));
    }

    pub(super) fn forget_desks(&mut self, at: &ServerName) {
        let gone = self.desks.forget(at);
        self.events.extend(gone.into_iter().map(ClusterEvent::DeskElsewhere));
    }

    fn with_our_times(&self, of: &ServerName, session: HomeSession) -> HomeSession {
        let Some(clock) = self.link_to(of).and_then(|link| self.links.get(&link)?.clock()) else {
            return session;
        };
        HomeSession {
            started: clock.ours(session.started),
            confirmed: clock.ours(session.confirmed),
            attached: clock.ours(session.attached),
            ..session
        }
    }
}

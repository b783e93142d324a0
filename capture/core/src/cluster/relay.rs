//! What members say about hearing an agent at another one, and by whose clock.

use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::pause::ToldPause;
use silentmon_proto::peer::{Fact, HomeSession, PeerMessage, RelayMessage};
use silentmon_proto::time::Instant;

use super::{ClockDifference, Cluster, ClusterEvent, PeerLink};

impl Cluster {
    /// Says something about a session to a member. Answers whether there is a connection with it: without one it is said
    /// to nobody.
    pub fn say(&mut self, to: &ServerName, message: RelayMessage) -> bool {
        let link = self.link_to(to);
        if let Some(link) = link {
            self.send(link, PeerMessage::Relay(Box::new(message)));
        }
        link.is_some()
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

    /// A member said something over a connection that is for sound alone.
    pub(super) fn handle_sound(&mut self, from: PeerLink, peer: ServerName, message: PeerMessage, now: Instant) {
        match message {
            PeerMessage::Heartbeat { sent, .. } => {
                self.send(from, PeerMessage::HeartbeatAnswer { sent, answered: now });
            }
            PeerMessage::HeartbeatAnswer { sent, answered } => self.measure_clock(from, sent, answered, now),
            PeerMessage::Relay(message) => self.take_relay(peer, *message),
            // The store says what else there is to say.
            _ => {}
        }
    }

    pub(super) fn take_relay(&mut self, from: ServerName, message: RelayMessage) {
        let message = match message {
            RelayMessage::Subscribe(session) => RelayMessage::Subscribe(self.with_our_times(&from, session)),
            other => other,
        };
        self.events.push_back(ClusterEvent::Relay(from, message));
    }

    /// A fact with its times by our clock.
    pub(super) fn by_our_times(&self, from: &ServerName, fact: Fact) -> Fact {
        let Some(clock) = self.clock_of(from) else {
            return fact;
        };
        match fact {
            Fact::Session(session) => Fact::Session(self.with_our_times(from, session)),
            Fact::Pause(told) => Fact::Pause(ToldPause {
                since: clock.ours(told.since),
                until: clock.ours(told.until),
                asked: told.asked.map(|asked| clock.ours(asked)),
                ..told
            }),
            Fact::PauseOver { kind, of, by, at } => Fact::PauseOver {
                kind,
                of,
                by,
                at: at.map(|at| clock.ours(at)),
            },
            other => other,
        }
    }

    fn clock_of(&self, member: &ServerName) -> Option<ClockDifference> {
        self.links.get(&self.link_to(member)?)?.clock()
    }

    fn with_our_times(&self, of: &ServerName, session: HomeSession) -> HomeSession {
        let Some(clock) = self.clock_of(of) else {
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

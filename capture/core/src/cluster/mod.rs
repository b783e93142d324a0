//! A capture server among others (requirements section 4): who is there, what they know, who of them sees an agent's
//! streams, and who holds the sessions with the CTI sources.
//!
//! Each member tells the others what it learns itself: [`Fact`]s in order, after a snapshot of what it knew when they
//! met. `mod` holds the state and the verbs, `settings` says who may be a member, `greeting` makes one, `link` is one
//! connection, `news` takes what comes over it, `parts` a snapshot, `duty` decides who holds the CTI sessions, `relay`
//! carries what members say about hearing an agent at another one, `leaves` are servers that tell and aren't told.
//!
//! `directory` is what the engine asks, whether members tell each other or by a key-value store (`store`). In both,
//! `known` is what they tell of themselves: `seen` who sees whom, `sessions` who listens where, `desks` where agents are
//! told of it.
//!
//! Two members may dial each other at the same time. They keep the connection that the one with the smaller name dialled.

mod desks;
mod directory;
mod duty;
mod greeting;
mod known;
mod leaves;
mod link;
mod news;
mod parts;
mod relay;
mod seen;
mod sessions;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::{FACTS_IN_A_PAGE, Fact, HomeSession, PeerMessage, RelayMessage, Role};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

pub use self::directory::Directory;
use self::duty::Duty;
use self::known::Known;
use self::leaves::Leaves;
pub use self::leaves::{KnownLeaf, LeafCounts};
pub use self::link::ClockDifference;
use self::link::{Link, Numbering};
pub use self::settings::ClusterSettings;
pub use self::store::{Expected, PutOutcome, StoreDirectory, StoreInput, StorePut, StoreTransmit};

/// How long a connection may be open without a greeting.
const GREETED_WITHIN: Duration = Duration::from_secs(5);

/// A connection to another member, numbered by the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerLink(pub u64);

/// Who dialled a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// This member.
    ByUs,
    /// The other one.
    ByThem,
}

/// Something to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerTransmit {
    /// A message.
    Message {
        /// Over which connection.
        link: PeerLink,
        /// What; it may go to others, too.
        message: Arc<PeerMessage>,
    },
    /// The connection is to be closed once what was sent has gone.
    Close {
        /// Which.
        link: PeerLink,
    },
}

/// Something the engine or the shell should know.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterEvent {
    /// There is a connection with a member now.
    Linked(ServerName),
    /// There is none any longer, and why.
    Unlinked(ServerName, Reason),
    /// A member is there.
    Joined(ServerName),
    /// A member is gone, and why.
    Left(ServerName, Reason),
    /// A server was not taken for a member, and why.
    Refused(ServerName, Reason),
    /// Members want to know everything: to be answered by [`Directory::give_snapshot`].
    SnapshotWanted,
    /// A member told something about agents or calls.
    Told(ServerName, Fact),
    /// A member told everything it knows of agents and calls. With `instead`, what it doesn't tell is over.
    ToldAll {
        /// Who.
        from: ServerName,
        /// What.
        facts: Vec<Fact>,
        /// Whether it holds the CTI sessions, so that nobody knows better.
        instead: bool,
    },
    /// A member told all that its own sources told of agents of whom no other member's do: of these, what it doesn't tell is
    /// over.
    Fed {
        /// Who.
        from: ServerName,
        /// Of whom.
        agents: BTreeSet<AgentId>,
        /// What.
        events: Vec<CtiEvent>,
    },
    /// A member told all that signalling in its mirror shows of phones' media. What it doesn't tell is over.
    SightedAll {
        /// Who.
        from: ServerName,
        /// What, and by which signalling.
        sightings: Vec<(MediaOrigin, CtiEvent)>,
    },
    /// A leaf told everything it knows: of these agents, what it doesn't tell is over.
    ToldAllOf {
        /// Which.
        from: ServerName,
        /// Whose agents are meant.
        agents: BTreeSet<AgentId>,
        /// What.
        facts: Vec<Fact>,
    },
    /// Somebody who has a server's certificate asks whether that server is reached: to be answered by
    /// [`Cluster::answer_probe`].
    ProbeWanted(PeerLink, ServerName),
    /// Other members see an agent's streams than before.
    SeenElsewhere(AgentId),
    /// A supervisor listens at another member; times are by our clock.
    SessionElsewhere(ServerName, HomeSession),
    /// Somebody listens to an agent at another member, or no longer.
    ListenedElsewhere(AgentId),
    /// A program at an agent's desk takes notices from another member, or no longer.
    DeskElsewhere(AgentId),
    /// A member says something about a session that one hears from the other; times are by our clock.
    Relay(ServerName, RelayMessage),
    /// This member holds the CTI sessions from now on, or no longer does.
    Cti(HoldsCti),
}

/// What is known of a member that is there.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Since when.
    pub since: Instant,
    /// Its program and version.
    pub software: &'a str,
    /// The newest version of the messages that it speaks.
    pub version: u16,
    /// How its clock differs from ours, once that was measured.
    pub clock: Option<ClockDifference>,
    /// How many agents' streams it sees.
    pub sees: usize,
}

/// Whether this member holds the CTI sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldsCti {
    /// It does.
    Yes,
    /// It doesn't.
    No,
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    settings: ClusterSettings,
    links: BTreeMap<PeerLink, Link>,
    /// Members that are there, and over which connection.
    members: BTreeMap<ServerName, PeerLink>,
    duty: Duty,
    /// Whom the CTI sessions' holder was last seen to be.
    followed: Option<ServerName>,
    /// Number of the newest of our own facts.
    number: u64,
    /// Who asked for everything, and until when he waits for others who do.
    asked: BTreeSet<PeerLink>,
    answered_at: Option<Instant>,
    known: Known,
    leaves: Leaves,
    transmits: VecDeque<PeerTransmit>,
    events: VecDeque<ClusterEvent>,
}

impl Cluster {
    /// A member that has met nobody yet.
    pub fn new(settings: ClusterSettings, now: Instant) -> Self {
        // A leaf's sources are its own: it waits for nobody.
        let awaits = if settings.role == Role::Leaf {
            Duration::ZERO
        } else {
            settings.heartbeat
        };
        let awaits_until = now + awaits;
        Self {
            duty: Duty::new(settings.has_cti && settings.store.is_none(), awaits_until),
            settings,
            links: BTreeMap::new(),
            members: BTreeMap::new(),
            followed: None,
            number: 0,
            asked: BTreeSet::new(),
            answered_at: None,
            known: Known::default(),
            leaves: Leaves::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A connection is there; `peer` is the name in the other side's certificate.
    pub fn handle_connected(&mut self, link: PeerLink, dialled: Dialled, peer: ServerName, now: Instant) {
        self.links
            .insert(link, Link::new(peer, dialled, now, self.settings.heartbeat));
        self.send(link, PeerMessage::Hello(self.settings.hello()));
    }

    /// A connection is gone.
    pub fn handle_disconnected(&mut self, link: PeerLink, why: &str, now: Instant) {
        let Some(gone) = self.links.remove(&link) else { return };
        if self.members.get(&gone.peer) == Some(&link) && self.follow_to_another_link(&gone) {
            return;
        }
        let text = format!("The connection to {} broke: {why}.", gone.peer);
        self.forget_member(link, &gone.peer, Reason::new(Code::NoCaptureServer, text), now);
    }

    /// A member's program isn't there any longer, though its connection is.
    pub fn handle_died(&mut self, peer: &ServerName, now: Instant) {
        let Some(link) = self.members.get(peer).copied() else {
            return;
        };
        let text = format!("The program of {peer} isn't there any longer.");
        self.close(link, Reason::new(Code::NoCaptureServer, text), now);
    }

    /// A member said something.
    pub fn handle_message(&mut self, from: PeerLink, message: PeerMessage, now: Instant) {
        let Some(link) = self.links.get_mut(&from) else { return };
        link.heard();
        let peer = link.peer.clone();
        let known = self.members.get(&peer) == Some(&from);
        match message {
            PeerMessage::Hello(hello) => self.greet(from, &hello, now),
            PeerMessage::Goodbye { reason } => {
                self.events
                    .push_back(ClusterEvent::Refused(peer.clone(), reason.clone()));
                self.close(from, reason, now);
            }
            PeerMessage::Probe { sent } => {
                self.send(from, PeerMessage::HeartbeatAnswer { sent, answered: now });
                if self.settings.role == Role::Hub && !self.settings.peers.contains(&peer) {
                    // Leaves aren't dialled.
                    self.answer_probe(from, None);
                } else {
                    self.events.push_back(ClusterEvent::ProbeWanted(from, peer));
                }
            }
            // Whoever hasn't greeted has nothing else to say.
            _ if !known => {}
            message if self.settings.store.is_some() => self.handle_sound(from, peer, message, now),
            message if self.leaves.is_straight(&peer) => self.handle_leaf(from, &peer, message, now),
            message if self.settings.role == Role::Leaf => self.handle_hub(from, peer, message, now),
            PeerMessage::OfLeaf { leaf, run, says } => self.take_told_on(&peer, &leaf, run, says, now),
            PeerMessage::WantSnapshot => self.note_asked(from, now),
            PeerMessage::Snapshot { number, facts, more } => self.take_snapshot(from, &peer, number, facts, more),
            PeerMessage::News { number, fact } => self.take_news(from, &peer, number, fact),
            PeerMessage::Heartbeat { sent, number, cti } => {
                self.send(from, PeerMessage::HeartbeatAnswer { sent, answered: now });
                self.check_number(from, number);
                self.duty.handle_told(&peer, cti);
                self.decide_duty(now);
            }
            PeerMessage::HeartbeatAnswer { sent, answered } => self.measure_clock(from, sent, answered, now),
            PeerMessage::Relay(message) => self.take_relay(peer, *message),
            PeerMessage::HandOver { to, term } => {
                if to == self.settings.server && self.duty.claim(term) {
                    self.take_duty(now);
                }
            }
            PeerMessage::Probed { .. } | PeerMessage::Unknown => {}
        }
    }

    /// The next thing to be sent.
    pub fn poll_transmit(&mut self) -> Option<PeerTransmit> {
        self.transmits.pop_front()
    }

    /// What this member was told at its start.
    pub const fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// Answers [`ClusterEvent::ProbeWanted`]: why the member isn't reached, if so.
    pub fn answer_probe(&mut self, link: PeerLink, unreached: Option<Reason>) {
        if self.links.contains_key(&link) {
            self.send(link, PeerMessage::Probed { unreached });
        }
    }
}

impl Directory for Cluster {
    fn handle_timeout(&mut self, now: Instant) {
        self.events.extend(self.known.handle_timeout(now));
        let retries = self.settings.retries;
        let due: Vec<PeerLink> = self
            .links
            .iter()
            .filter(|(_, link)| link.due <= now)
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let greeted = self.members.get(&link.peer) == Some(&id);
            if !greeted || link.unanswered >= retries {
                let silent = now - link.last_heard(now);
                let text = format!("{} has said nothing for {} s.", link.peer, silent.as_secs());
                self.close(id, Reason::new(Code::NoCaptureServer, text), now);
                continue;
            }
            link.unanswered += 1;
            link.due = now + self.settings.heartbeat;
            self.send_heartbeat(id, now);
        }
        if self.answered_at.is_some_and(|at| at <= now) {
            self.answered_at = None;
            self.events.push_back(ClusterEvent::SnapshotWanted);
        }
        self.forget_leaves(now);
        self.decide_duty(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let links = self.links.values().map(|link| link.due);
        let leaf = self.leaves.first_lost().map(|lost| lost + self.leaf_lease());
        let due = links.chain(self.duty.poll_timeout()).chain(leaf);
        due.chain(self.answered_at).min()
    }

    fn poll_event(&mut self) -> Option<ClusterEvent> {
        self.events.pop_front()
    }

    fn tell(&mut self, fact: &Fact) {
        self.number += 1;
        let (number, fact) = (self.number, fact.clone());
        let links = self.equals();
        self.send_all(links, PeerMessage::News { number, fact });
    }

    fn give_snapshot(&mut self, known: Vec<Fact>) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|link| self.links.contains_key(link));
        let number = self.number;
        let own: Vec<Fact> = self.known.own().collect();
        let mut left = known.into_iter().chain(own).peekable();
        loop {
            let facts: Vec<Fact> = left.by_ref().take(FACTS_IN_A_PAGE).collect();
            let more = left.peek().is_some();
            self.send_all(asked.iter().copied(), PeerMessage::Snapshot { number, facts, more });
            if !more {
                break;
            }
        }
    }

    fn tells_cti(&self) -> bool {
        // Whoever will hold them is asked for everything then: hearsay of each at each start is squares of it.
        let nobody = || !self.duty.will_be_held();
        self.holder()
            .map_or_else(nobody, |holder| *holder == self.settings.server)
    }

    fn holder(&self) -> Option<&ServerName> {
        self.duty.holder(&self.settings.server)
    }

    fn handle_cti_failed(&mut self, now: Instant) {
        if self.duty.give_up(now) {
            self.events.push_back(ClusterEvent::Cti(HoldsCti::No));
            self.send_heartbeats(now);
            self.decide_duty(now);
        }
    }

    fn hand_over(&mut self, to: &ServerName, now: Instant) -> Result<(), String> {
        let own = *to == self.settings.server;
        let link = self.members.get(to).copied();
        if !own && link.is_none() {
            return Err(format!("expected a member that is there, found {to}"));
        }
        if !self.duty.is_able(to, own) {
            return Err(format!("{to} has no CTI source configured"));
        }
        let term = self.duty.next_term();
        match link {
            Some(link) => self.send(link, PeerMessage::HandOver { to: to.clone(), term }),
            None if self.duty.claim(term) => self.take_duty(now),
            None => {}
        }
        Ok(())
    }

    fn stop(&mut self) {
        let reason = Reason::new(Code::NoCaptureServer, format!("{} stops.", self.settings.server));
        for link in std::mem::take(&mut self.links).into_keys() {
            self.send(link, PeerMessage::Goodbye { reason: reason.clone() });
            self.transmits.push_back(PeerTransmit::Close { link });
        }
        self.members.clear();
    }

    fn members(&self) -> Box<dyn Iterator<Item = &ServerName> + '_> {
        Box::new(self.members.keys())
    }

    fn member(&self, server: &ServerName) -> Option<Member<'_>> {
        let link = self.links.get(self.members.get(server)?)?;
        Some(Member {
            since: link.since,
            software: &link.software,
            version: link.version,
            clock: link.clock(),
            sees: self.known.seen.count(server),
        })
    }

    fn known(&self) -> &Known {
        &self.known
    }

    fn known_mut(&mut self) -> &mut Known {
        &mut self.known
    }
}

impl Cluster {
    fn measure_clock(&mut self, link: PeerLink, sent: Instant, answered: Instant, now: Instant) {
        if let Some(link) = self.links.get_mut(&link) {
            link.measure_clock(sent, answered, now);
        }
    }

    fn decide_duty(&mut self, now: Instant) {
        let complete = self.settings.peers.iter().all(|peer| self.members.contains_key(peer));
        match self.duty.decide(&self.settings.server, complete, now) {
            Some(HoldsCti::Yes) => self.take_duty(now),
            Some(HoldsCti::No) => {
                self.events.push_back(ClusterEvent::Cti(HoldsCti::No));
                self.send_heartbeats(now);
            }
            None => {}
        }
        self.follow_holder();
    }

    /// Whoever holds the CTI sessions now knows best: everything is asked of him.
    fn follow_holder(&mut self) {
        let holder = self.holder().cloned();
        if holder == self.followed {
            return;
        }
        let link = holder.as_ref().and_then(|holder| self.members.get(holder)).copied();
        // One that is still on its way was made after the heartbeat that tells of the holder.
        let told = |link: &PeerLink| self.links.get(link).is_some_and(|link| link.news != Numbering::Unknown);
        if let Some(link) = link.filter(told) {
            self.send(link, PeerMessage::WantSnapshot);
        }
        self.followed = holder;
    }

    fn take_duty(&mut self, now: Instant) {
        self.events.push_back(ClusterEvent::Cti(HoldsCti::Yes));
        self.send_heartbeats(now);
    }

    fn send_heartbeats(&mut self, now: Instant) {
        for link in self.members.values().copied().collect::<Vec<_>>() {
            self.send_heartbeat(link, now);
        }
    }

    fn send_heartbeat(&mut self, link: PeerLink, now: Instant) {
        let cti = self.duty.own();
        let number = self.number;
        self.send(link, PeerMessage::Heartbeat { sent: now, number, cti });
    }

    fn send(&mut self, link: PeerLink, message: PeerMessage) {
        self.send_all([link], message);
    }

    fn send_all(&mut self, links: impl IntoIterator<Item = PeerLink>, message: PeerMessage) {
        let message = Arc::new(message);
        let each = links.into_iter().map(|link| PeerTransmit::Message {
            link,
            message: Arc::clone(&message),
        });
        self.transmits.extend(each);
    }
}

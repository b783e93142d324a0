//! Leaves: servers of sites, and captures at single desks, that dial some hubs and aren't told what others know.
//!
//! A hub takes what a leaf tells as the leaf's own, and tells it on to the other hubs under the leaf's name and numbers,
//! so that all hubs know all leaves though each leaf reaches just some of them. What is told twice counts once. A leaf
//! that no hub reaches any longer isn't asked for sound; its agents are forgotten a lease later, unless it comes back.
//! What a leaf sees that didn't dial this hub is heard by way of one that it dialled.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::cti::{AgentState, AgentUpdate, CtiEvent};
use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::{Fact, LeafSays, PeerMessage, RelayMessage, Role};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::news::MOST_FACTS;
use super::parts::Parts;
use super::{Cluster, ClusterEvent, PeerLink};

/// Leaves of a cluster. Bounds what strangers can make grow.
const MOST_LEAVES: usize = 20_000;
/// Agents of one leaf.
const MOST_AGENTS: usize = 50_000;

/// All leaves that are known, as far as any hub reaches them or did lately.
#[derive(Debug, Default)]
pub(super) struct Leaves(BTreeMap<ServerName, Leaf>);

#[derive(Debug)]
struct Leaf {
    run: u64,
    ways: BTreeSet<Way>,
    /// Number of the newest news; none where a snapshot has to come first.
    number: Option<u64>,
    /// Pages of a snapshot that isn't complete yet, and the way they come.
    pages: Option<(Way, Vec<Fact>)>,
    /// Agents that it told of.
    agents: BTreeSet<AgentId>,
    /// When the last way to it was lost.
    lost: Option<Instant>,
}

/// How a leaf is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// It dialled this hub.
    Straight,
    /// By another hub.
    Hub(ServerName),
}

/// What is known of a leaf.
#[derive(Debug, Clone)]
pub struct KnownLeaf<'a> {
    /// Its name.
    pub name: &'a ServerName,
    /// Whether it dialled this hub.
    pub here: bool,
    /// Other hubs that it dialled.
    pub hubs: Vec<&'a ServerName>,
    /// Agents that it told of.
    pub agents: usize,
    /// Agents whose streams it sees.
    pub sees: usize,
}

/// How many leaves are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeafCounts {
    /// Those that dialled this hub.
    pub here: usize,
    /// Those that other hubs reach and this one doesn't.
    pub elsewhere: usize,
    /// Those that no hub reaches any longer, and that may come back.
    pub lost: usize,
}

impl Leaves {
    /// Whether a server is a leaf that dialled this hub.
    pub fn is_straight(&self, server: &ServerName) -> bool {
        self.0
            .get(server)
            .is_some_and(|leaf| leaf.ways.contains(&Way::Straight))
    }

    /// When the first of those that are lost was lost.
    pub fn first_lost(&self) -> Option<Instant> {
        self.0.values().filter_map(|leaf| leaf.lost).min()
    }

    /// Leaves of which nothing is missing.
    #[cfg(test)]
    pub fn in_step(&self) -> usize {
        self.0.values().filter(|leaf| leaf.number.is_some()).count()
    }

    fn straight(&self) -> impl Iterator<Item = (&ServerName, u64)> {
        let straight = self.0.iter().filter(|(_, leaf)| leaf.ways.contains(&Way::Straight));
        straight.map(|(name, leaf)| (name, leaf.run))
    }
}

impl Cluster {
    /// By whom a server is heard: by itself where it is connected with this one, else by each of the hubs that it dialled.
    pub fn ways_to<'a>(&'a self, server: &'a ServerName) -> impl Iterator<Item = &'a ServerName> {
        let ways = self.leaves.0.get(server).map(|leaf| leaf.ways.iter());
        let own = ways.is_none().then_some(server);
        let ways = ways.into_iter().flatten().map(move |way| match way {
            Way::Straight => server,
            Way::Hub(hub) => hub,
        });
        own.into_iter().chain(ways)
    }

    /// Whether a server is a leaf that dialled this hub.
    pub fn is_leaf_here(&self, server: &ServerName) -> bool {
        self.leaves.is_straight(server)
    }

    /// All leaves that some hub reaches, by name.
    pub fn leaves(&self) -> impl Iterator<Item = KnownLeaf<'_>> {
        let reached = self.leaves.0.iter().filter(|(_, leaf)| leaf.lost.is_none());
        reached.map(|(name, leaf)| KnownLeaf {
            name,
            here: leaf.ways.contains(&Way::Straight),
            hubs: leaf.ways.iter().filter_map(Way::hub).collect(),
            agents: leaf.agents.len(),
            sees: self.known.seen.count(name),
        })
    }

    /// How many leaves are known.
    pub fn leaf_counts(&self) -> LeafCounts {
        let mut counts = LeafCounts::default();
        for leaf in self.leaves.0.values() {
            let kind = match leaf.ways.first() {
                Some(Way::Straight) => &mut counts.here,
                Some(Way::Hub(_)) => &mut counts.elsewhere,
                None => &mut counts.lost,
            };
            *kind += 1;
        }
        counts
    }

    /// Links with members that aren't leaves.
    pub(super) fn equals(&self) -> Vec<PeerLink> {
        let equals = self.members.iter().filter(|(name, _)| !self.leaves.is_straight(name));
        equals.map(|(_, link)| *link).collect()
    }

    /// A leaf has greeted.
    pub(super) fn take_leaf(&mut self, leaf: &ServerName, link: PeerLink, run: u64, now: Instant) {
        self.link_with(leaf, link);
        self.leaf_here(leaf, run, Way::Straight, now);
        if !self.leaves.is_straight(leaf) {
            let text = format!("{} knows {MOST_LEAVES} leaves and takes no more.", self.settings.server);
            let reason = Reason::new(Code::ForeignMember, text);
            self.send(link, PeerMessage::Goodbye { reason: reason.clone() });
            self.events
                .push_back(ClusterEvent::Refused(leaf.clone(), reason.clone()));
            return self.close(link, reason, now);
        }
        self.tell_hubs(leaf, run, &LeafSays::Here);
        self.send_heartbeat(link, now);
    }

    /// Another hub has greeted: it is told which leaves dialled this one.
    pub(super) fn tell_leaves(&mut self, hub: PeerLink) {
        let leaves: Vec<_> = self.leaves.straight().map(|(name, run)| (name.clone(), run)).collect();
        for (leaf, run) in leaves {
            let says = LeafSays::Here;
            self.send(hub, PeerMessage::OfLeaf { leaf, run, says });
        }
    }

    /// A leaf said something to this hub.
    pub(super) fn handle_leaf(&mut self, from: PeerLink, leaf: &ServerName, message: PeerMessage, now: Instant) {
        match message {
            PeerMessage::Snapshot { number, facts, more } => {
                self.take_of_leaf(leaf, &LeafSays::Snapshot { number, facts, more });
            }
            PeerMessage::News { number, fact } => self.take_of_leaf(leaf, &LeafSays::News { number, fact }),
            PeerMessage::Heartbeat { sent, number, .. } => {
                self.send(from, PeerMessage::HeartbeatAnswer { sent, answered: now });
                let behind = |leaf: &&mut Leaf| leaf.number.is_some_and(|newest| newest != number);
                if let Some(behind) = self.leaves.0.get_mut(leaf).filter(behind) {
                    behind.number = None;
                    self.send(from, PeerMessage::WantSnapshot);
                }
            }
            PeerMessage::HeartbeatAnswer { sent, answered } => self.measure_clock(from, sent, answered, now),
            PeerMessage::Relay(message) => match *message {
                // It is heard, and hears nobody.
                RelayMessage::Subscribe(_)
                | RelayMessage::Unsubscribe { .. }
                | RelayMessage::Supervise(_)
                | RelayMessage::Unknown => {}
                message @ (RelayMessage::Subscribed { .. }
                | RelayMessage::Refused { .. }
                | RelayMessage::Status(_)
                | RelayMessage::Ended { .. }
                | RelayMessage::Supervised { .. }) => self.take_relay(leaf.clone(), message),
            },
            // A leaf isn't told what others know, and has no say in who holds the CTI sessions.
            PeerMessage::Hello(_)
            | PeerMessage::WantSnapshot
            | PeerMessage::HandOver { .. }
            | PeerMessage::OfLeaf { .. }
            | PeerMessage::Goodbye { .. }
            | PeerMessage::Probe { .. }
            | PeerMessage::Probed { .. }
            | PeerMessage::Unknown => {}
        }
    }

    /// A hub said something to this leaf.
    pub(super) fn handle_hub(&mut self, from: PeerLink, hub: ServerName, message: PeerMessage, now: Instant) {
        match message {
            PeerMessage::WantSnapshot => self.note_asked(from, now),
            // What others know is the hubs' affair.
            message => self.handle_sound(from, hub, message, now),
        }
    }

    /// Another hub said something of a leaf.
    pub(super) fn take_told_on(&mut self, hub: &ServerName, leaf: &ServerName, run: u64, says: LeafSays, now: Instant) {
        let way = Way::Hub(hub.clone());
        match says {
            LeafSays::Here => self.leaf_here(leaf, run, way, now),
            LeafSays::Gone => self.leaf_way_lost(leaf, &way, now),
            LeafSays::WantSnapshot => {
                if let Some(link) = self.link_to(leaf).filter(|_| self.leaves.is_straight(leaf)) {
                    self.send(link, PeerMessage::WantSnapshot);
                }
            }
            LeafSays::Snapshot { .. } | LeafSays::News { .. } => self.take_from_leaf(leaf, run, &way, says),
            LeafSays::Unknown => {}
        }
    }

    /// The connection with a leaf is gone.
    pub(super) fn leaf_link_lost(&mut self, leaf: &ServerName, now: Instant) {
        let run = self.leaves.0.get(leaf).map_or(0, |leaf| leaf.run);
        self.leaf_way_lost(leaf, &Way::Straight, now);
        self.tell_hubs(leaf, run, &LeafSays::Gone);
    }

    /// A hub is gone, and the ways that led over it.
    pub(super) fn leaf_ways_lost(&mut self, hub: &ServerName, now: Instant) {
        let way = Way::Hub(hub.clone());
        let over = self.leaves.0.iter().filter(|(_, leaf)| leaf.ways.contains(&way));
        for leaf in over.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.leaf_way_lost(&leaf, &way, now);
        }
    }

    /// What this hub knew of leaves was replaced by what another one knows: the leaves know best.
    pub(super) fn ask_leaves(&mut self) {
        for leaf in self.leaves.0.keys().cloned().collect::<Vec<_>>() {
            self.ask_leaf(&leaf);
        }
    }

    /// Leaves that have been lost for too long.
    pub(super) fn forget_leaves(&mut self, now: Instant) {
        let lease = self.leaf_lease();
        let over = |leaf: &Leaf| leaf.lost.is_some_and(|lost| lost + lease <= now);
        let forgotten = self.leaves.0.iter().filter(|(_, leaf)| over(leaf));
        for name in forgotten.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let text = format!("No hub has reached {name} for {} s.", lease.as_secs());
            self.forget_leaf(&name, text, now);
        }
    }

    /// How long a leaf that no hub reaches is remembered.
    pub(super) fn leaf_lease(&self) -> std::time::Duration {
        self.settings.heartbeat * self.settings.retries
    }

    fn leaf_here(&mut self, name: &ServerName, run: u64, way: Way, now: Instant) {
        if self.settings.role != Role::Hub || *name == self.settings.server || self.settings.peers.contains(name) {
            return;
        }
        if self.leaves.0.get(name).is_some_and(|leaf| leaf.run != run) {
            self.forget_leaf(name, format!("{name} was started again."), now);
        }
        if !self.leaves.0.contains_key(name) {
            if self.leaves.0.len() == MOST_LEAVES {
                return;
            }
            self.events.push_back(ClusterEvent::Joined(name.clone()));
            let leaf = Leaf {
                run,
                ways: BTreeSet::new(),
                number: None,
                pages: None,
                agents: BTreeSet::new(),
                lost: Some(now),
            };
            self.leaves.0.insert(name.clone(), leaf);
        }
        let Some(leaf) = self.leaves.0.get_mut(name) else {
            return;
        };
        leaf.ways.insert(way);
        if leaf.lost.take().is_some() {
            self.ask_leaf(name);
        }
    }

    fn leaf_way_lost(&mut self, name: &ServerName, way: &Way, now: Instant) {
        let Some(leaf) = self.leaves.0.get_mut(name) else {
            return;
        };
        if !leaf.ways.remove(way) {
            return;
        }
        if leaf.ways.is_empty() {
            leaf.number = None;
            leaf.lost = Some(now);
            self.events.extend(self.known.forget(name, now));
        } else {
            // What was on its way there may be lost.
            self.ask_leaf(name);
        }
    }

    fn ask_leaf(&mut self, name: &ServerName) {
        let Some(leaf) = self.leaves.0.get_mut(name) else {
            return;
        };
        leaf.number = None;
        leaf.pages = None;
        let run = leaf.run;
        match leaf.ways.first() {
            Some(Way::Straight) => {
                if let Some(link) = self.link_to(name) {
                    self.send(link, PeerMessage::WantSnapshot);
                }
            }
            Some(Way::Hub(hub)) => {
                if let Some(link) = self.members.get(hub).copied() {
                    let (leaf, says) = (name.clone(), LeafSays::WantSnapshot);
                    self.send(link, PeerMessage::OfLeaf { leaf, run, says });
                }
            }
            None => {}
        }
    }

    fn take_of_leaf(&mut self, leaf: &ServerName, says: &LeafSays) {
        let Some(run) = self.leaves.0.get(leaf).map(|leaf| leaf.run) else {
            return;
        };
        self.tell_hubs(leaf, run, says);
        self.take_from_leaf(leaf, run, &Way::Straight, says.clone());
    }

    fn take_from_leaf(&mut self, name: &ServerName, run: u64, way: &Way, says: LeafSays) {
        let known = self.leaves.0.get_mut(name);
        let Some(leaf) = known.filter(|leaf| leaf.run == run && leaf.ways.contains(way)) else {
            return;
        };
        match says {
            LeafSays::Snapshot { number, facts, more } => {
                if let Some(facts) = leaf.take_page(way, facts, number, more) {
                    self.take_all_of_leaf(name, facts);
                }
            }
            LeafSays::News { number, fact } => match leaf.number {
                Some(newest) if number == newest + 1 => {
                    leaf.number = Some(number);
                    leaf.note_agent(&fact);
                    if !is_of_a_link(&fact) {
                        self.take_fact(name, fact);
                    }
                }
                Some(newest) if number > newest => self.ask_leaf(name),
                // Told before by another hub, or held by the snapshot that is on its way.
                Some(_) | None => {}
            },
            LeafSays::Here | LeafSays::Gone | LeafSays::WantSnapshot | LeafSays::Unknown => {}
        }
    }

    fn take_all_of_leaf(&mut self, name: &ServerName, facts: Vec<Fact>) {
        let mut parts = Parts::of(facts);
        self.events.push_back(ClusterEvent::SightedAll {
            from: name.clone(),
            sightings: std::mem::take(&mut parts.sighted),
        });
        parts.cti.retain(|fact| !is_of_a_link(fact));
        self.events.extend(self.known.begin_anew(name, &parts.sees));
        for fact in parts.others {
            self.take_fact(name, fact);
        }
        let Some(leaf) = self.leaves.0.get_mut(name) else {
            return;
        };
        let mut agents = std::mem::take(&mut leaf.agents);
        for fact in &parts.cti {
            leaf.note_agent(fact);
        }
        agents.extend(leaf.agents.iter().cloned());
        self.events.push_back(ClusterEvent::ToldAllOf {
            from: name.clone(),
            agents,
            facts: parts.cti,
        });
    }

    /// It is gone, and its agents with it.
    fn forget_leaf(&mut self, name: &ServerName, text: String, now: Instant) {
        let Some(leaf) = self.leaves.0.remove(name) else { return };
        self.events.extend(self.known.forget(name, now));
        let signed_out = |agent: &AgentId| Fact::Cti {
            link: None,
            event: AgentUpdate::new(agent.clone(), AgentState::Logout).into(),
        };
        self.events.push_back(ClusterEvent::ToldAllOf {
            from: name.clone(),
            facts: leaf.agents.iter().map(signed_out).collect(),
            agents: leaf.agents,
        });
        let reason = Reason::new(Code::NoCaptureServer, text);
        self.events.push_back(ClusterEvent::Left(name.clone(), reason));
    }

    fn tell_hubs(&mut self, leaf: &ServerName, run: u64, says: &LeafSays) {
        for hub in self.equals() {
            let (leaf, says) = (leaf.clone(), says.clone());
            self.send(hub, PeerMessage::OfLeaf { leaf, run, says });
        }
    }
}

/// A leaf's links with its sources are its own affair; others may have the same names.
const fn is_of_a_link(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Cti {
            event: CtiEvent::Link(_),
            ..
        }
    )
}

impl Way {
    const fn hub(&self) -> Option<&ServerName> {
        match self {
            Self::Straight => None,
            Self::Hub(hub) => Some(hub),
        }
    }
}

impl Leaf {
    /// Takes a page of a snapshot, where one is wanted; all facts once it is complete.
    fn take_page(&mut self, way: &Way, facts: Vec<Fact>, number: u64, more: bool) -> Option<Vec<Fact>> {
        if self.number.is_some() {
            return None;
        }
        let comes_elsewhere = |pages: &(Way, _)| pages.0 != *way && self.ways.contains(&pages.0);
        if self.pages.as_ref().is_some_and(comes_elsewhere) {
            return None;
        }
        let mut all = self
            .pages
            .take()
            .filter(|pages| pages.0 == *way)
            .map_or(Vec::new(), |pages| pages.1);
        if all.len() + facts.len() > MOST_FACTS {
            return None;
        }
        all.extend(facts);
        if more {
            self.pages = Some((way.clone(), all));
            return None;
        }
        self.number = Some(number);
        Some(all)
    }

    fn note_agent(&mut self, fact: &Fact) {
        if let Fact::Cti {
            event: CtiEvent::AgentState(update),
            ..
        } = fact
            && self.agents.len() < MOST_AGENTS
        {
            self.agents.insert(update.agent.clone());
        }
    }
}

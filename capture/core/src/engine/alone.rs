//! What one member of a cluster knows and no other: agents of whom a source of its own tells, which is pushed to it or read
//! by it, and what signalling in its mirror shows of phones. The others are told when it happens, and again by the snapshot
//! after they were away. Whoever holds the CTI sessions doesn't know better.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{AgentId, LinkName, ServerName};
use silentmon_proto::peer::Fact;
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::Engine;

/// Most agents of whom sources of members' own tell.
const MOST_FED: usize = 100_000;

/// The members whose own sources told of agents last.
#[derive(Debug, Default)]
pub(super) struct Fed(BTreeMap<AgentId, ServerName>);

impl Fed {
    /// A member's own source told of agents or, with a link, one that any member might hold.
    pub fn note(&mut self, agents: BTreeSet<AgentId>, link: Option<&LinkName>, by: &ServerName) {
        for agent in agents {
            if link.is_some() {
                self.0.remove(&agent);
            } else if self.0.len() < MOST_FED || self.0.contains_key(&agent) {
                self.0.insert(agent, by.clone());
            }
        }
    }

    fn by<'a>(&'a self, member: &'a ServerName) -> impl Iterator<Item = &'a AgentId> {
        self.0
            .iter()
            .filter(move |(_, by)| *by == member)
            .map(|(agent, _)| agent)
    }
}

impl Engine {
    /// Takes up media that start or stop at a device, as signalling in the mirror shows them.
    pub fn handle_sighting(&mut self, origin: MediaOrigin, event: &CtiEvent, now: Instant) {
        let agents = self.directory.handle_sighting(origin, event, now);
        self.follow_all(agents, now);
        if let Some(directory) = self.membership.directory_mut() {
            let event = event.clone();
            directory.tell(&Fact::Sighted { origin, event });
        }
    }

    /// Another member's signalling shows media that start or stop.
    pub(super) fn take_sighting(&mut self, from: &ServerName, origin: MediaOrigin, event: &CtiEvent, now: Instant) {
        let agents = self.directory.handle_sighting_of(Some(from), origin, event, now);
        self.follow_all(agents, now);
    }

    /// Another member tells all that its signalling shows.
    pub(super) fn take_sightings(&mut self, from: &ServerName, all: &[(MediaOrigin, CtiEvent)], now: Instant) {
        let agents = self.directory.handle_sightings(from, all, now);
        self.follow_all(agents, now);
    }

    /// What this member tells in a snapshot and nobody else can.
    pub(super) fn known_alone(&self) -> Vec<Fact> {
        let agents: BTreeSet<AgentId> = self.fed.by(&self.settings.server).cloned().collect();
        let fed = if agents.is_empty() {
            Vec::new()
        } else {
            self.directory.retell_of(&agents)
        };
        let fed = fed.into_iter().map(|event| Fact::Fed { event });
        let sightings = self.directory.retell_sightings().into_iter();
        fed.chain(sightings.map(|(origin, event)| Fact::Sighted { origin, event }))
            .collect()
    }

    /// Another member tells all that its own sources told.
    pub(super) fn take_fed(
        &mut self,
        from: &ServerName,
        mut agents: BTreeSet<AgentId>,
        events: Vec<CtiEvent>,
        now: Instant,
    ) {
        let own: BTreeSet<AgentId> = self.fed.by(&self.settings.server).cloned().collect();
        agents.retain(|agent| !own.contains(agent));
        if agents.is_empty() {
            return;
        }
        self.fed.note(agents.clone(), None, from);
        let of_own = |event: &CtiEvent| event.agent().is_some_and(|agent| own.contains(agent));
        let facts = events.into_iter().filter(|event| !of_own(event));
        let facts = facts.map(|event| Fact::Cti { link: None, event }).collect();
        let events = self.take_links(facts, now);
        let agents = self.directory.handle_retelling_of(&agents, &events, now);
        self.follow_retold(agents, now);
    }

    /// Agents of whom sources tell that aren't those of a member: this one's, or those of others that are there.
    pub(super) fn known_better_than_by(&self, member: &ServerName) -> BTreeSet<AgentId> {
        let there = |by: &ServerName| {
            let directory = self.membership.directory();
            *by == self.settings.server || directory.is_some_and(|directory| directory.member(by).is_some())
        };
        let fed = self.fed.0.iter().filter(|(_, by)| *by != member && there(by));
        fed.map(|(agent, _)| agent.clone()).collect()
    }
}

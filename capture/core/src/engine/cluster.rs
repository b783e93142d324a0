//! The cluster: what other members tell goes into the directory, what this server learns goes to them, and who holds the
//! sessions with the CTI sources is carried out.

use std::collections::BTreeSet;
use std::time::Duration;

use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::ids::{AgentId, Leg, LinkName, ServerName};
use silentmon_proto::pause::{PauseKind, PauseOf, PauseSource, ToldPause};
use silentmon_proto::peer::{Fact, PeerMessage, Role};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{
    ClusterStatus, LEAVES_LISTED, LeafStatus, LeavesStatus, MemberStatus, ServerMessage, StoreStatus,
};
use silentmon_proto::time::Instant;

use super::figures::ClusterFigures;
use super::{ConnectionId, Engine, EngineEvent};
use crate::cluster::{
    Cluster, ClusterEvent, Dialled, Directory, HoldsCti, KnownLeaf, LeafCounts, PeerLink, PeerTransmit, StoreDirectory,
    StoreInput, StoreTransmit,
};
use crate::diagnosis::MembersCase;
use crate::policy::Pause;

/// How long none of the CTI sources may be there before another member is to try: a heartbeat (requirements section 3).
const CTI_GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
impl Engine {
    /// A connection with another member is there; `peer` is the name in its certificate.
    pub fn handle_peer_connected(&mut self, link: PeerLink, dialled: Dialled, peer: ServerName, now: Instant) {
        self.with_links(now, |cluster| cluster.handle_connected(link, dialled, peer, now));
    }

    /// A connection with another member is gone.
    pub fn handle_peer_disconnected(&mut self, link: PeerLink, why: &str, now: Instant) {
        self.with_links(now, |cluster| cluster.handle_disconnected(link, why, now));
    }

    /// Another member said something.
    pub fn handle_peer_message(&mut self, from: PeerLink, message: PeerMessage, now: Instant) {
        self.with_links(now, |cluster| cluster.handle_message(from, message, now));
    }

    /// A member's program isn't there any longer.
    pub fn handle_peer_died(&mut self, peer: &ServerName, now: Instant) {
        self.with_links(now, |cluster| cluster.handle_died(peer, now));
    }

    /// A server that was dialled, or dialled, can't be a member.
    pub fn handle_peer_refused(&mut self, peer: &ServerName, reason: Reason) {
        if self.membership.note_refused(peer, &reason) {
            let server = peer.clone();
            self.events.push_back(EngineEvent::MemberRefused { server, reason });
        }
    }

    /// The next thing to be sent to another member.
    pub fn poll_peer_transmit(&mut self) -> Option<PeerTransmit> {
        self.membership.cluster_mut()?.poll_transmit()
    }

    /// The store by which members learn of each other said something.
    pub fn handle_store(&mut self, input: StoreInput, now: Instant) {
        if let Some(store) = self.membership.store_mut() {
            store.handle_input(input, now);
        }
        self.take_up_cluster(now);
    }

    /// The next thing to be done with that store.
    pub fn poll_store_transmit(&mut self) -> Option<StoreTransmit> {
        self.membership.store_mut()?.poll_transmit()
    }

    /// Lets a member hold the CTI sessions.
    ///
    /// # Errors
    /// Why it can't, in words.
    pub fn hand_over(&mut self, to: &ServerName, now: Instant) -> Result<(), String> {
        let outcome = self.with_cluster(now, |cluster| cluster.hand_over(to, now));
        outcome.unwrap_or_else(|| Err("this server is in no cluster".to_owned()))
    }

    /// Whether another member is reached, for somebody who asked; why not, if so.
    pub fn handle_probed(&mut self, link: PeerLink, unreached: Option<Reason>) {
        if let Some(cluster) = self.membership.cluster_mut() {
            cluster.answer_probe(link, unreached);
        }
    }

    /// How the cluster stands, as seen from here; nothing for a server that is alone.
    pub fn cluster_status(&self) -> Option<ClusterStatus> {
        let settings = self.cluster()?.settings();
        let directory = self.membership.directory()?;
        Some(ClusterStatus {
            cluster: settings.cluster.clone(),
            server: settings.server.clone(),
            service_port: settings.service_port,
            software: settings.software.clone(),
            holder: directory.holder().cloned(),
            agents: self.directory.agents().count(),
            sees: directory.seen_here(),
            role: settings.role,
            leaves: (settings.role == Role::Hub)
                .then(|| self.cluster().map(leaves_status))
                .flatten(),
            store: self.membership.store().map(|store| StoreStatus {
                away: store.why_away().map(ToOwned::to_owned),
            }),
            members: self
                .membership
                .expected()
                .map(|peer| self.member_status(peer))
                .collect(),
        })
    }

    fn member_status(&self, server: &ServerName) -> MemberStatus {
        let member = self
            .membership
            .directory()
            .and_then(|directory| directory.member(server));
        let linked = self.cluster().and_then(|cluster| cluster.member(server));
        let clock = linked.and_then(|linked| linked.clock);
        MemberStatus {
            server: server.clone(),
            since: member.map(|member| member.since),
            software: member.map(|member| member.software.to_owned()),
            version: member.map(|member| member.version),
            sees: member.map_or(0, |member| member.sees),
            ahead_us: clock.map(|clock| clock.ahead / 1_000),
            round_trip_us: clock.map(|clock| u64::try_from(clock.round_trip.as_micros()).unwrap_or(u64::MAX)),
            problem: match member {
                Some(_) => None,
                None => self.membership.refused().get(server).cloned(),
            },
        }
    }

    /// How the other members stand, for metrics.
    pub(super) fn cluster_figures(&self) -> Option<ClusterFigures> {
        let directory = self.membership.directory()?;
        let members: Vec<_> = self
            .membership
            .expected()
            .map(|peer| self.member_status(peer))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let clock = |member: &MemberStatus| Some((member.server.clone(), member.ahead_us? as f64 / 1e6));
        Some(ClusterFigures {
            clocks: members.iter().filter_map(clock).collect(),
            members: members
                .iter()
                .map(|member| (member.server.clone(), member.since.is_some()))
                .collect(),
            leaves: self.membership.leaves,
            holds_cti: directory.holder() == Some(&self.settings.server),
            store: self.membership.store().map(|store| store.why_away().is_none()),
            relayed_sessions: self.relayed_sessions(),
            turned_away: self.turned_away_datagrams(),
        })
    }

    /// How the other members stand, for the diagnosis.
    pub(super) fn members_case(&self) -> MembersCase<'_> {
        let Some(directory) = self.membership.directory() else {
            return MembersCase::default();
        };
        let (there, away): (Vec<_>, Vec<_>) = self
            .membership
            .expected()
            .partition(|peer| directory.member(peer).is_some());
        let why = |server| (server, self.membership.refused().get(server));
        MembersCase {
            there: there.len(),
            leaves: self.membership.leaves,
            away: away.into_iter().map(why).collect(),
            store_away: self.membership.store().and_then(StoreDirectory::why_away),
        }
    }

    /// Answers a supervisor's program that asks how the cluster stands; administrators only.
    pub(super) fn answer_cluster_status(&mut self, from: ConnectionId, request: u32) {
        let result = self.administrator(from).and_then(|_| {
            self.cluster_status()
                .ok_or_else(|| Reason::new(Code::ForeignMember, "This server is in no cluster."))
        });
        self.send(from, ServerMessage::Cluster { request, result });
    }

    /// Lets another member hold the CTI sessions, for an administrator.
    pub(super) fn answer_hand_over(&mut self, from: ConnectionId, request: u32, to: &ServerName, now: Instant) {
        let done = self.administrator(from).and_then(|_| {
            self.hand_over(to, now).map_err(|why| {
                Reason::new(
                    Code::ForeignMember,
                    format!("The CTI sessions can't be handed over: {why}."),
                )
            })
        });
        let status = || self.cluster_status().ok_or_else(|| Reason::from(Code::ForeignMember));
        let result = done.and_then(|()| status());
        self.send(from, ServerMessage::Cluster { request, result });
    }

    /// Connections with other members, where this server is in a cluster.
    pub const fn cluster(&self) -> Option<&Cluster> {
        self.membership.cluster()
    }

    /// Why servers that should be members aren't.
    pub fn refused_members(&self) -> impl Iterator<Item = (&ServerName, &Reason)> {
        self.membership.refused().iter()
    }

    /// Lets connections with members do something, and takes up what comes of it.
    fn with_links<T>(&mut self, now: Instant, act: impl FnOnce(&mut Cluster) -> T) -> Option<T> {
        let done = act(self.membership.cluster_mut()?);
        self.take_up_cluster(now);
        Some(done)
    }

    /// Lets whatever knows the other members do something, and takes up what comes of it.
    fn with_cluster<T>(&mut self, now: Instant, act: impl FnOnce(&mut dyn Directory) -> T) -> Option<T> {
        let done = act(self.membership.directory_mut()?);
        self.take_up_cluster(now);
        Some(done)
    }

    fn take_up_cluster(&mut self, now: Instant) {
        while self.retelling.is_none()
            && let Some(event) = self.membership.poll_event()
        {
            self.handle_cluster_event(event, now);
        }
    }

    fn handle_cluster_event(&mut self, event: ClusterEvent, now: Instant) {
        match event {
            ClusterEvent::Linked(server) => {
                self.membership.forget_refused(&server);
                self.ask_again(&server, now);
                self.events.push_back(EngineEvent::MemberLinked(server));
            }
            ClusterEvent::Unlinked(server, reason) => {
                self.handle_member_left(&server, &reason, now);
                self.events.push_back(EngineEvent::MemberUnlinked(server));
            }
            ClusterEvent::Joined(server) => {
                self.membership.forget_refused(&server);
                self.events.push_back(EngineEvent::MemberJoined(server));
            }
            ClusterEvent::Left(server, reason) => self.events.push_back(EngineEvent::MemberLeft { server, reason }),
            ClusterEvent::Refused(server, reason) => self.handle_peer_refused(&server, reason),
            ClusterEvent::SnapshotWanted => {
                let known = self.known_facts();
                if let Some(cluster) = self.membership.directory_mut() {
                    cluster.give_snapshot(known);
                }
            }
            ClusterEvent::Told(from, fact) => self.take_fact(&from, fact, now),
            ClusterEvent::ToldAll { from, facts, instead } => {
                let events = self.take_links(facts, now);
                let kept = instead.then(|| self.known_better_than_by(&from));
                self.begin_retelling(events, kept, now);
            }
            ClusterEvent::Fed { from, agents, events } => self.take_fed(&from, agents, events, now),
            ClusterEvent::SightedAll { from, sightings } => self.take_sightings(&from, &sightings, now),
            ClusterEvent::ToldAllOf { agents, facts, .. } => {
                let events = self.take_links(facts, now);
                let agents = self.directory.handle_retelling_of(&agents, &events, now);
                self.follow_retold(agents, now);
            }
            ClusterEvent::SessionElsewhere(home, session) => self.handle_session_elsewhere(&home, &session, now),
            ClusterEvent::ListenedElsewhere(agent) => self.events.push_back(EngineEvent::ListeningChanged { agent }),
            ClusterEvent::DeskElsewhere(agent) => {
                self.disclose(&agent, now);
                self.follow_all([agent].into(), now);
            }
            ClusterEvent::Relay(from, message) => self.handle_relay_message(&from, message, now),
            ClusterEvent::ProbeWanted(link, peer) => {
                let store = self.membership.store();
                let address = store.and_then(|store| store.address_of(&peer)).map(ToOwned::to_owned);
                self.events.push_back(EngineEvent::ProbeWanted { link, peer, address });
            }
            ClusterEvent::SeenElsewhere(agent) => {
                for id in self.sessions_on(&agent) {
                    self.follow_elsewhere(id, now);
                }
                self.changed_agents.insert(agent);
                self.tell_changed_agents(now);
            }
            ClusterEvent::Cti(holds) => {
                self.membership.sources_away = (holds == HoldsCti::Yes).then_some(now);
                self.events.push_back(EngineEvent::Cti(holds));
            }
        }
    }

    /// Everything that a member needs to know of agents, calls and links, and which calls may not be heard.
    fn known_facts(&self) -> Vec<Fact> {
        let asked_for = self.pauses.iter().filter(|pause| pause.source != PauseSource::Variable);
        let mut facts: Vec<Fact> = asked_for.map(|pause| Fact::Pause(told_pause(pause))).collect();
        facts.extend(self.resumed.facts());
        facts.extend(self.known_alone());
        let directory = self.membership.directory();
        if !directory.is_some_and(<dyn Directory>::tells_cti) {
            return facts;
        }
        facts.extend(self.told_controls());
        let links = self.links.states().iter().map(|(link, state)| {
            CtiEvent::from(LinkUpdate {
                link: link.clone(),
                down: state.down.clone(),
            })
        });
        let known = self.directory.retell().into_iter();
        facts.extend(links.chain(known).map(|event| self.fact(event)));
        facts
    }

    fn fact(&self, event: CtiEvent) -> Fact {
        let link = match &event {
            CtiEvent::AgentState(update) => self.link_of.get(&update.agent).cloned(),
            _ => None,
        };
        Fact::Cti { link, event }
    }

    fn take_fact(&mut self, from: &ServerName, fact: Fact, now: Instant) {
        match fact {
            Fact::Cti { link, event } => {
                let agents = self.take_up(&event, now);
                self.fed.note(agents.clone(), link.as_ref(), from);
                if let Some(link) = link {
                    self.link_of
                        .extend(agents.into_iter().map(|agent| (agent, link.clone())));
                }
            }
            Fact::Controls { link, controls } => self.take_controls(from, &link, controls),
            Fact::Sighted { origin, event } => self.take_sighting(from, origin, &event, now),
            Fact::Pause(told) => self.take_pause(told, now),
            Fact::PauseOver { kind, of, by, at } => {
                self.resume(kind, &of, &by, at.unwrap_or(now).min(now), now);
            }
            // The cluster keeps who sees whom, and who listens where.
            Fact::Fed { .. }
            | Fact::Sees { .. }
            | Fact::Session(_)
            | Fact::SessionOver { .. }
            | Fact::Desk { .. }
            | Fact::Unknown => {}
        }
    }

    /// A pause that was asked for at another member holds here, too: until it would end there, and no longer than policy
    /// allows here.
    fn take_pause(&mut self, told: ToldPause, now: Instant) {
        let calls = self.calls_of(&told.of);
        self.go_on(told, calls, now);
    }

    /// Tells the other members that nothing of somebody's calls may be heard.
    pub(super) fn tell_pause(&mut self, pause: &Pause) {
        if let Some(cluster) = self.membership.directory_mut() {
            cluster.tell(&Fact::Pause(told_pause(pause)));
        }
    }

    /// Tells them that it may be again.
    pub(super) fn tell_pause_over(&mut self, kind: PauseKind, of: &PauseOf, by: &str, now: Instant) {
        if let Some(cluster) = self.membership.directory_mut() {
            cluster.tell(&Fact::PauseOver {
                kind,
                of: of.clone(),
                by: by.to_owned(),
                at: Some(now),
            });
        }
    }

    /// Takes up how links stand and which agents are whose; the rest is for the directory.
    pub(super) fn take_links(&mut self, facts: Vec<Fact>, now: Instant) -> Vec<CtiEvent> {
        let mut events = Vec::with_capacity(facts.len());
        for fact in facts {
            let Fact::Cti { link, event } = fact else { continue };
            match (event, link) {
                (CtiEvent::Link(update), _) => self.handle_link(&update, now),
                (CtiEvent::CallVariables(told), _) => {
                    events.extend(self.without_foreign_variables(&told));
                }
                (event, link) => {
                    if let (CtiEvent::AgentState(update), Some(link)) = (&event, link) {
                        self.link_of.insert(update.agent.clone(), link);
                    }
                    events.push(event);
                }
            }
        }
        events
    }

    pub(super) fn follow_retold(&mut self, agents: BTreeSet<AgentId>, now: Instant) {
        self.views_changed = true;
        self.directory.take_notices();
        self.follow_pauses(&agents, now);
        self.follow_all(agents, now);
    }

    /// Tells the other members what a CTI source told this one.
    pub(super) fn tell_cluster(&mut self, link: Option<&LinkName>, event: &CtiEvent) {
        if self.cluster().is_none() {
            return;
        }
        let event = match event {
            CtiEvent::CallVariables(told) => self.without_foreign_variables(told),
            _ => Some(event.clone()),
        };
        let Some(event) = event else { return };
        if let Some(cluster) = self.membership.directory_mut() {
            cluster.tell(&Fact::Cti {
                link: link.cloned(),
                event,
            });
        }
    }

    /// Whether another member sees a leg of an agent's.
    pub(super) fn is_seen_elsewhere(&self, agent: &AgentId, leg: Leg) -> bool {
        self.membership
            .directory()
            .is_some_and(|directory| directory.seen_by(agent).any(|(_, legs)| legs[leg.index()]))
    }

    /// The member that sees an agent: this one, as far as it does or nobody does.
    pub(super) fn seer(&self, agent: &AgentId, now: Instant) -> &ServerName {
        let directory = self.membership.directory();
        let elsewhere = directory.and_then(|directory| directory.seen_by(agent).next());
        match elsewhere {
            Some((server, _)) if self.sees(agent, now) == [false; 2] => server,
            _ => &self.settings.server,
        }
    }

    /// Tells the others whose streams are seen, and lets another member reach the CTI sources where this one can't.
    pub(super) fn look_after_cluster(&mut self, now: Instant) {
        if self.cluster().is_none() {
            return;
        }
        let in_sight = self.agents_in_sight(now);
        let legs = in_sight.map(|agent| (agent.clone(), self.sees(agent, now)));
        let seen: Vec<(AgentId, [bool; 2])> = legs.filter(|(_, legs)| *legs != [false; 2]).collect();
        let away = self.cti_away(now);
        let hub = self.cluster().filter(|cluster| cluster.settings().role == Role::Hub);
        self.membership.leaves = hub.map(Cluster::leaf_counts);
        self.with_cluster(now, |cluster| {
            cluster.handle_seen(seen);
            if away {
                cluster.handle_cti_failed(now);
            }
        });
    }

    /// Tells the others that an agent is seen here.
    pub(super) fn tell_seen(&mut self, agent: &AgentId, legs: [bool; 2], now: Instant) {
        self.with_cluster(now, |cluster| cluster.handle_sees(agent, legs));
    }

    /// Whether this member holds the CTI sessions and has reached none of the sources for too long.
    fn cti_away(&mut self, now: Instant) -> bool {
        let directory = self.membership.directory();
        let holds = directory.is_some_and(|directory| directory.holder() == Some(&self.settings.server));
        let reached = self.links.states().values().any(|link| link.down.is_none());
        if !holds || reached {
            self.membership.sources_away = None;
            return false;
        }
        let since = *self.membership.sources_away.get_or_insert(now);
        now.saturating_since(since) >= CTI_GIVEN_UP_AFTER
    }

    pub(super) fn handle_cluster_timeout(&mut self, now: Instant) {
        let due = self.membership.poll_timeout();
        if due.is_some_and(|due| due <= now) {
            self.membership.handle_timeout(now);
        }
        self.go_on_retelling(now);
        self.take_up_cluster(now);
    }
}

/// What a hub knows of leaves.
fn leaves_status(cluster: &Cluster) -> LeavesStatus {
    let LeafCounts { here, elsewhere, lost } = cluster.leaf_counts();
    let status = |leaf: KnownLeaf<'_>| {
        let member = leaf.here.then(|| cluster.member(leaf.name)).flatten();
        let own = leaf.here.then_some(&cluster.settings().server);
        let mut hubs: Vec<_> = leaf.hubs.into_iter().chain(own).cloned().collect();
        hubs.sort();
        LeafStatus {
            server: leaf.name.clone(),
            hubs,
            since: member.map(|member| member.since),
            software: member.map(|member| member.software.to_owned()),
            agents: leaf.agents,
            sees: leaf.sees,
        }
    };
    LeavesStatus {
        here,
        elsewhere,
        lost,
        each: cluster.leaves().take(LEAVES_LISTED).map(status).collect(),
    }
}

fn told_pause(pause: &Pause) -> ToldPause {
    ToldPause {
        kind: pause.kind,
        of: pause.of.clone(),
        source: pause.source,
        by: pause.by.clone(),
        since: pause.since,
        until: pause.until,
        asked: Some(pause.asked),
    }
}

//! The capture server's state machine: CTI events, captured datagrams and supervisors' messages in; messages, audio and
//! events out. One engine per server, driven by one event loop.
//!
//! `mod` holds the state and the verbs, `events` what comes out; `control` answers supervisors, `authority` decides who may,
//! `rows` lists agents, `links` looks after CTI links, `supervise` brings supervisors into calls, `cluster` speaks with other
//! members, which `membership` keeps, `alone` tells them what they can't know, `media` routes packets, `pauses` keeps them back by
//! rule, `resumed` remembers what ended early, `repairs` sends them again, `visibility` knows whose streams are seen here, `relay`
//! joins what other members see, `figures` sums up for metrics, `diagnosis` says why there is sound or none. An event costs what its
//! agent has, not what the house has.

mod alone;
mod authority;
mod cluster;
mod control;
mod diagnosis;
mod events;
mod figures;
mod former_pauses;
mod links;
mod media;
mod membership;
mod pauses;
mod relay;
mod repairs;
mod resumed;
mod retelling;
mod rows;
mod supervise;
#[cfg(test)]
mod tests;
mod tones;
mod visibility;
mod withdrawal;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{AgentId, Extension, LinkName, MediaAddress, ServerName, SessionId};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AgentRow, ServerMessage};
use silentmon_proto::time::Instant;

use crate::attribution::Evidence;
use crate::cluster::ClusterSettings;
pub use crate::diagnosis::CaptureHealth;
use crate::diagnosis::SpanWatch;
use crate::directory::{AgentDirectory, MediaOrigin, Notice, Release};
use crate::filter::{MediaFilter, MediaPath};
use crate::policy::{KeyedDigits, LockOut, Pauses, Policy, Principal, WeekMinute};
use crate::session::MonitorSession;
use crate::stream::StreamTable;

use self::alone::Fed;
use self::authority::ForeignRequest;
pub use self::authority::ForeignRequests;
pub use self::diagnosis::ReasonCounts;
pub use self::events::{EngineEvent, SessionRecord, Transmit};
use self::figures::Past;
pub use self::figures::{ClusterFigures, EngineFigures, LegFigures};
pub use self::former_pauses::FormerPause;
use self::links::Links;
pub use self::links::RESYNCHRONISED_WITHIN;
use self::media::Routes;
use self::membership::Membership;
pub use self::pauses::{Desk, PauseGranted, PauseRecord, PauseRequest};
use self::relay::Relay;
use self::resumed::Resumed;
use self::retelling::Retelling;
pub use self::supervise::SuperviseRecord;
pub use self::visibility::LOOK;
use self::visibility::Visibility;

/// A supervisor's connection, numbered by the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How often the engine looks after its sessions.
const TICK: Duration = Duration::from_secs(1);
/// How long a session outlives the supervisor's authority where the CTI source takes it away: a team is told in several
/// messages. With [`TICK`] it stays within a heartbeat (5 s, requirements section 3).
const AUTHORITY_GRACE: Duration = Duration::from_secs(3);

/// What an engine needs to know at its start.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The server's name in its cluster.
    pub server: ServerName,
    /// Program and version, for greetings.
    pub software: String,
    /// What is captured from, as people call it: an interface, a file.
    pub source: String,
    /// The operator's rules.
    pub policy: Policy,
    /// Device or extension → phone address ([`MediaOrigin::Devices`]).
    pub devices: BTreeMap<Extension, MediaAddress>,
    /// Who is asked for an agent's media address, in this order; as a rule [`MediaOrigin::ALL`].
    pub resolvers: Vec<MediaOrigin>,
    /// The cluster it is a member of, if of any.
    pub cluster: Option<ClusterSettings>,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    directory: AgentDirectory,
    membership: Membership,
    relay: Relay,
    streams: StreamTable,
    sessions: BTreeMap<SessionId, MonitorSession>,
    sessions_on: BTreeMap<AgentId, Vec<SessionId>>,
    unauthorised: BTreeMap<SessionId, Instant>,
    connections: BTreeMap<ConnectionId, Supervisor>,
    routes: Routes,
    paths: BTreeMap<AgentId, Vec<MediaPath>>,
    links: Links,
    link_of: HashMap<AgentId, LinkName>,
    /// Agents of whom sources tell that belong to one member.
    fed: Fed,
    visibility: Visibility,
    /// Whose phone has media at an address, by the agents' ids.
    owners: BTreeMap<MediaAddress, Vec<AgentId>>,
    pauses: Pauses,
    /// Pauses that were ended early.
    resumed: Resumed,
    /// What a member tells of all agents, as far as it isn't taken up yet.
    retelling: Option<Retelling>,
    /// Agents of whom nothing leaves the server because of a pause.
    silenced: BTreeSet<AgentId>,
    /// What customers of monitored agents keyed lately.
    digits: HashMap<AgentId, KeyedDigits>,
    /// Their streams, listened to for digits in the sound.
    tones: tones::Tones,
    /// Programs at agents' desks that take notices.
    desks: HashMap<AgentId, usize>,
    span: SpanWatch,
    /// Why the journal couldn't be written, since it last could.
    journal_failure: Option<Reason>,
    drops_counted: u64,
    past: Past,
    next_channel: u16,
    channels: HashMap<u16, SessionId>,
    foreign_requests: ForeignRequests,
    lock_out: LockOut,
    /// The minute of the week where the hours are said.
    local: Option<WeekMinute>,
    /// Whether teams or rules changed, so that supervisors may be shown other agents.
    views_changed: bool,
    next_tick: Instant,
    changed_agents: BTreeSet<AgentId>,
    told_rows: BTreeMap<AgentId, AgentRow>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<EngineEvent>,
}

#[derive(Debug)]
struct Supervisor {
    principal: Principal,
    /// The agents he was shown, where he watches them.
    shown: Option<BTreeSet<AgentId>>,
}

impl Engine {
    /// An engine without agents, sessions or connections.
    pub fn new(settings: EngineSettings, now: Instant) -> Self {
        let mut directory = AgentDirectory::new(settings.resolvers.clone());
        directory.handle_devices(MediaOrigin::Devices, settings.devices.clone());
        Self {
            directory,
            membership: Membership::new(settings.cluster.as_ref(), now),
            relay: Relay::default(),
            settings,
            streams: StreamTable::default(),
            sessions: BTreeMap::new(),
            sessions_on: BTreeMap::new(),
            unauthorised: BTreeMap::new(),
            connections: BTreeMap::new(),
            routes: Routes::default(),
            paths: BTreeMap::new(),
            links: Links::default(),
            link_of: HashMap::default(),
            fed: Fed::default(),
            visibility: Visibility::default(),
            owners: BTreeMap::new(),
            pauses: Pauses::default(),
            resumed: Resumed::default(),
            retelling: None,
            silenced: BTreeSet::new(),
            digits: HashMap::default(),
            tones: tones::Tones::default(),
            desks: HashMap::default(),
            span: SpanWatch::default(),
            journal_failure: None,
            drops_counted: 0,
            past: Past::default(),
            next_channel: 0,
            channels: HashMap::default(),
            foreign_requests: ForeignRequests::default(),
            lock_out: LockOut::default(),
            local: None,
            views_changed: false,
            next_tick: now + TICK,
            changed_agents: BTreeSet::new(),
            told_rows: BTreeMap::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes up what a CTI source said.
    pub fn handle_cti(&mut self, event: &CtiEvent, now: Instant) {
        let agents = self.take_up(event, now);
        if self.cluster().is_some() {
            self.fed.note(agents, None, &self.settings.server);
        }
        self.tell_cluster(None, event);
    }

    /// Takes up where devices are, in place of all that `origin` said before.
    pub fn handle_devices(&mut self, origin: MediaOrigin, devices: BTreeMap<Extension, MediaAddress>, now: Instant) {
        let agents = self.directory.handle_devices(origin, devices);
        self.follow_all(agents, now);
    }

    /// Devices of agents on a call whose media nobody has told, for a directory query. Walks over all agents: to be asked
    /// now and then.
    pub fn unresolved(&self, _now: Instant) -> BTreeSet<Extension> {
        self.directory.unresolved()
    }

    /// Takes up new rules, after the configuration was read again. Sessions they no longer allow end.
    pub fn handle_policy(&mut self, policy: Policy, devices: BTreeMap<Extension, MediaAddress>, now: Instant) {
        self.settings.policy = policy;
        self.settings.devices.clone_from(&devices);
        self.directory.handle_devices(MediaOrigin::Devices, devices);
        self.views_changed = true;
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            if let Some(refusal) = self.objection(id) {
                self.stop_session(id, &refusal.reason, now);
            }
        }
        let agents: BTreeSet<AgentId> = self.directory.agents().map(|(id, _)| id.clone()).collect();
        let listened_to: Vec<AgentId> = self.sessions_on.keys().cloned().collect();
        for agent in listened_to {
            self.disclose(&agent, now);
        }
        self.follow_pauses(&agents, now);
        self.follow_all(agents, now);
    }

    /// Takes up what the capture threads report.
    pub fn handle_capture_health(&mut self, health: CaptureHealth, now: Instant) {
        self.span.handle(health, now);
    }

    /// Looks after sessions: statuses that are due, broken connections nobody came back from.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.pauses.next_end().is_some_and(|end| end <= now) {
            self.expire_pauses(now);
        }
        self.handle_cluster_timeout(now);
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.expire_pauses(now);
        self.streams.handle_timeout(now);
        self.directory.handle_timeout(now);
        self.expire_commands(now);
        self.lock_out.handle_timeout(now);
        self.drop_outdated_media(now);
        self.look_after_cluster(now);
        self.judge_losses(now);
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.follow_elsewhere(id, now);
            self.refresh_session(id, now);
            self.fit_streams(id, now);
            if let Some(reason) = self.is_over(id, now) {
                self.stop_session(id, &reason, now);
            } else {
                self.ask_whether_he_listens(id, now);
            }
        }
        if self.visibility.is_stale() {
            self.change_watched();
        }
        if self.is_watched() {
            // Time alone changes only whether media are seen.
            self.changed_agents.extend(self.paths.keys().cloned());
        }
        self.tell_changed_views(now);
        self.tell_changed_agents(now);
    }

    /// Ends every session, because the server stops.
    pub fn stop(&mut self, now: Instant) {
        self.end_pauses(now);
        let reason = Reason::new(Code::NoCaptureServer, format!("{} stops.", self.settings.server));
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.stop_session(id, &reason, now);
        }
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            self.send(connection, ServerMessage::Goodbye { reason: reason.clone() });
            self.transmits.push_back(Transmit::Close { connection });
        }
        self.membership.stop();
    }

    /// The next thing to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing the shell should know.
    pub fn poll_event(&mut self) -> Option<EngineEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        let cluster = self.membership.poll_timeout();
        let retelling = self.retelling.as_ref().map(Retelling::due);
        let earlier = self.pauses.next_end().into_iter().chain(cluster).chain(retelling);
        earlier.fold(self.next_tick, Instant::min)
    }

    /// Where packets that are needed now pass.
    pub fn monitored(&self) -> MediaFilter {
        MediaFilter::of_paths(self.routes.paths())
    }

    /// Where all agents' media pass: those that aren't monitored need only be counted.
    pub fn watched(&self) -> MediaFilter {
        MediaFilter::of_paths(self.paths.values().flatten().copied())
    }

    /// The last release of a device (requirements C8).
    pub fn last_release(&self, device: &Extension) -> Option<&Release> {
        self.directory.last_release(device)
    }

    /// How many sessions run.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many sessions are heard over a connection.
    pub fn sessions_over(&self, connection: ConnectionId) -> usize {
        self.sessions
            .values()
            .filter(|session| session.connection() == Some(connection))
            .count()
    }

    /// Finds out where what is missing was lost, once all sessions have shown what they miss.
    fn judge_losses(&mut self, now: Instant) {
        let dropped = self.span.health().dropped > self.drops_counted;
        self.drops_counted = self.span.health().dropped;
        let evidence = self.evidence(dropped, now);
        for session in self.sessions.values_mut() {
            session.judge_losses(&evidence, &self.streams, false, now);
        }
    }

    fn evidence(&mut self, dropped: bool, now: Instant) -> Evidence {
        let mut evidence = Evidence::default();
        for session in self.sessions.values_mut() {
            session.testify(&mut evidence, dropped, now);
        }
        evidence.complete();
        evidence
    }

    fn sessions_on(&self, agent: &AgentId) -> Vec<SessionId> {
        self.sessions_on.get(agent).cloned().unwrap_or_default()
    }

    /// Takes an event up and names the agents it was about.
    fn take_up(&mut self, event: &CtiEvent, now: Instant) -> BTreeSet<AgentId> {
        if let CtiEvent::Link(update) = event {
            self.handle_link(update, now);
            return BTreeSet::new();
        }
        let kept = match event {
            CtiEvent::CallVariables(told) => match self.without_foreign_variables(told) {
                Some(kept) => Some(kept),
                None => return BTreeSet::new(),
            },
            _ => None,
        };
        self.views_changed |= matches!(event, CtiEvent::Team(_));
        let agents = self.directory.handle_event(kept.as_ref().unwrap_or(event), now);
        for notice in self.directory.take_notices() {
            self.events.push_back(match notice {
                Notice::Resynchronised(difference) => EngineEvent::Resynchronised(difference),
                Notice::Released(release) => EngineEvent::Released(release),
                Notice::CallEnded {
                    call,
                    controlling_party,
                } => EngineEvent::CallEnded {
                    call,
                    controlling_party,
                },
            });
        }
        self.follow_pauses(&agents, now);
        self.follow_all(agents.clone(), now);
        agents
    }

    fn follow_all(&mut self, agents: BTreeSet<AgentId>, now: Instant) {
        for agent in agents {
            self.follow(&agent, now);
        }
        self.tell_changed_agents(now);
    }

    /// Something about an agent changed: his media are where they are now, and whoever listens is told.
    fn follow(&mut self, agent: &AgentId, now: Instant) {
        self.mute_sessions(agent, now);
        self.reroute(agent);
        for id in self.sessions_on(agent) {
            self.refresh_session(id, now);
        }
        self.changed_agents.insert(agent.clone());
    }

    fn send(&mut self, connection: ConnectionId, message: ServerMessage) {
        self.transmits.push_back(Transmit::Message {
            connection,
            message: Box::new(message),
        });
    }
}

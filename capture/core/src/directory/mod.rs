//! The agent directory: what CTI events said about agents, their devices, their calls and their media addresses.
//!
//! Takes events in any order and repetition, and survives the loss of some. An event names an agent, a device or both:
//! where it names only a device, it is about the agent who sits there; where nobody does yet, it waits for him. What
//! names an agent is his and nobody else's.
//!
//! `mod` holds the state and answers questions; `events` and `snapshot` take events up, `party` finds out whom they are
//! about. `line` is one party's calls and media, `content` what policy asks of a call, `calls` the calls of the house,
//! `seats` who sits where, `resolvers` what others than the CTI source say of phones; `retell` tells it all again.

mod calls;
mod content;
mod events;
mod line;
mod party;
mod release;
mod resolvers;
mod retell;
mod seats;
mod snapshot;
mod teams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use silentmon_proto::cti::{AgentState, CtiEvent};
use silentmon_proto::ids::{AgentId, CallId, Extension, MediaAddress, ServerName, TeamName};
use silentmon_proto::time::Instant;

use self::calls::{Calls, Party};
pub use self::content::Content;
use self::line::Line;
pub use self::line::{Call, CallState, MediaLeg};
pub use self::release::Release;
use self::release::Releases;
use self::resolvers::Resolvers;
use self::seats::Seats;
use self::teams::Teams;
pub use silentmon_proto::relay::MediaOrigin;

/// Most agents kept; beyond it new ones are ignored.
const MAX_AGENTS: usize = 100_000;
/// Most devices kept whose events wait for an agent; beyond it those of new devices are ignored.
const MAX_WAITING: usize = 100_000;

/// All agents that any event spoke of.
#[derive(Debug, Clone)]
pub struct AgentDirectory {
    agents: BTreeMap<AgentId, Agent>,
    waiting: HashMap<Extension, Line>,
    seats: Seats,
    calls: Calls,
    sockets: HashMap<MediaAddress, Party>,
    teams: Teams,
    releases: Releases,
    resolvers: Resolvers,
    order: Vec<MediaOrigin>,
    touched: BTreeSet<AgentId>,
    notices: Vec<Notice>,
    next_sweep: Instant,
}

/// What is known of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// His name for people.
    pub name: Option<String>,
    /// The extension he uses.
    pub extension: Option<Extension>,
    /// The phone he uses, where it has a name besides the extension.
    pub device: Option<Extension>,
    /// His team, as told with his state.
    pub team: Option<TeamName>,
    /// His state.
    pub state: AgentState,
    /// When he entered it.
    pub since: Instant,
    /// Whether his source tells of calls at all.
    calls_are_told: bool,
    line: Line,
}

/// Something a log should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A snapshot of a device differed from what was known (requirements C9).
    Resynchronised(Resynchronised),
    /// A device's connection was released (requirements C8).
    Released(Release),
    /// A call ended; by whom, as far as known.
    CallEnded {
        /// The call.
        call: CallId,
        /// The device that ended it.
        controlling_party: Option<Extension>,
    },
}

/// See [`Notice::Resynchronised`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resynchronised {
    /// The device.
    pub device: Extension,
    /// Calls that were thought to go on and are gone.
    pub closed: Vec<CallId>,
    /// Calls nobody had told of.
    pub opened: Vec<CallId>,
}

impl Default for AgentDirectory {
    fn default() -> Self {
        Self::new(MediaOrigin::ALL.to_vec())
    }
}

impl AgentDirectory {
    /// An empty directory. Of several that tell an agent's media address, the first in `order` is believed.
    pub fn new(order: Vec<MediaOrigin>) -> Self {
        Self {
            agents: BTreeMap::new(),
            waiting: HashMap::default(),
            seats: Seats::default(),
            calls: Calls::default(),
            sockets: HashMap::default(),
            teams: Teams::default(),
            releases: Releases::default(),
            resolvers: Resolvers::default(),
            order,
            touched: BTreeSet::new(),
            notices: Vec::new(),
            next_sweep: Instant::EPOCH,
        }
    }

    /// Takes up an event and names the agents it was about.
    pub fn handle_event(&mut self, event: &CtiEvent, now: Instant) -> BTreeSet<AgentId> {
        self.take_up(event, now);
        std::mem::take(&mut self.touched)
    }

    /// Takes up media that start or stop at a device, as signalling in the mirror shows them, and names the agents
    /// concerned. Other events are ignored.
    pub fn handle_sighting(&mut self, origin: MediaOrigin, event: &CtiEvent, now: Instant) -> BTreeSet<AgentId> {
        self.handle_sighting_of(None, origin, event, now)
    }

    /// The same, where another member of the cluster sees it.
    pub fn handle_sighting_of(
        &mut self,
        from: Option<&ServerName>,
        origin: MediaOrigin,
        event: &CtiEvent,
        now: Instant,
    ) -> BTreeSet<AgentId> {
        let devices = match event {
            CtiEvent::MediaStarted(media) => match &media.device {
                Some(device) => self.resolvers.start(origin, device, media, from, now),
                None => Vec::new(),
            },
            CtiEvent::MediaStopped(media) => {
                if let Some(device) = &media.device {
                    self.resolvers.stop(origin, device, media);
                }
                media.device.iter().cloned().collect()
            }
            _ => Vec::new(),
        };
        self.at_devices(devices.iter())
    }

    /// Takes up where devices are, in place of what `origin` said before, and names the agents concerned.
    pub fn handle_devices(
        &mut self,
        origin: MediaOrigin,
        devices: BTreeMap<Extension, MediaAddress>,
    ) -> BTreeSet<AgentId> {
        let changed = self.resolvers.replace_map(origin, devices);
        self.at_devices(changed.iter())
    }

    /// What the log should know of the events taken up since the last time.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// One agent.
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// All agents, ordered by id.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentId, &Agent)> {
        self.agents.iter()
    }

    /// Where the agent's phone sends and receives media now, by the first origin that knows. Maps are asked only while
    /// he has a call that is not only ringing.
    pub fn media(&self, id: &AgentId) -> Vec<MediaLeg> {
        let Some(agent) = self.agents.get(id) else {
            return Vec::new();
        };
        let told = |origin: &MediaOrigin| {
            let legs = self.media_told_by(*origin, id, agent);
            (!legs.is_empty()).then_some(legs)
        };
        self.order.iter().find_map(told).unwrap_or_default()
    }

    /// Devices of agents on a call whose media nobody has told, for a directory query. Walks over all agents.
    pub fn unresolved(&self) -> BTreeSet<Extension> {
        let on_call = self.agents.iter().filter(|(_, agent)| agent.is_on_call());
        on_call
            .filter(|(id, _)| self.media(id).is_empty())
            .flat_map(|(id, _)| self.seats.phones(id))
            .collect()
    }

    /// The last release of a device.
    pub fn last_release(&self, device: &Extension) -> Option<&Release> {
        self.releases.last(device)
    }

    /// The device that ended a call, where that is known and the call not yet forgotten.
    pub fn controlling_party(&self, call: &CallId) -> Option<&Extension> {
        let root = self.calls.root(call);
        self.calls.record(&root)?.releases.controlling()
    }

    /// The id under which a call goes on.
    pub fn goes_on_as(&self, call: &CallId) -> CallId {
        self.calls.root(call)
    }

    /// Whether anybody is on a call.
    pub fn is_in_progress(&self, call: &CallId) -> bool {
        let root = self.calls.root(call);
        self.calls
            .record(&root)
            .is_some_and(|record| !record.holders.is_empty())
    }

    /// The agents on a call.
    pub fn agents_on(&self, call: &CallId) -> Vec<AgentId> {
        let root = self.calls.root(call);
        let holders = self.calls.record(&root).map_or(&[][..], |record| &record.holders);
        let agents = holders.iter().filter_map(|party| match party {
            Party::Agent(id) => Some(id.clone()),
            Party::Device(_) => None,
        });
        agents.collect()
    }

    /// The agents who may sit at a device.
    pub fn agents_at(&self, device: &Extension) -> &[AgentId] {
        self.seats.candidates(device)
    }

    /// The agent's team: as told with his state, else the one he is a member of.
    pub fn team<'a>(&'a self, id: &AgentId, agent: &'a Agent) -> Option<&'a TeamName> {
        agent.team.as_ref().or_else(|| self.teams.own(id))
    }

    /// All teams the agent belongs to.
    pub fn teams<'a>(&'a self, id: &AgentId, agent: &'a Agent) -> impl Iterator<Item = &'a TeamName> {
        agent.team.iter().chain(self.teams.of(id))
    }

    /// Whether a CTI source says that one agent supervises a team of the other's.
    pub fn supervises(&self, supervisor: &AgentId, id: &AgentId, agent: &Agent) -> bool {
        self.teams(id, agent)
            .any(|team| self.teams.supervises(supervisor, team))
    }

    /// The devices under which a link may know the agent, the phone first.
    pub fn devices(&self, id: &AgentId) -> Vec<Extension> {
        let seat = self.seats.of(id);
        seat.into_iter().flat_map(|seat| seat.devices().cloned()).collect()
    }

    /// Media that the CTI source told before a time and neither they nor their calls since. Walks over all agents.
    pub fn media_told_before(&self, time: Instant) -> Vec<(AgentId, MediaAddress)> {
        let outdated = |agent: &Agent, leg: &MediaLeg| {
            let call = leg.call.as_ref().and_then(|call| agent.call(call));
            leg.told < time && call.is_none_or(|call| call.told < time)
        };
        let mut found = Vec::new();
        for (id, agent) in &self.agents {
            let legs = agent.line.media.iter().filter(|leg| outdated(agent, leg));
            found.extend(legs.map(|leg| (id.clone(), leg.address)));
        }
        found
    }

    /// Forgets an agent's media at an address.
    pub fn drop_media(&mut self, id: &AgentId, address: MediaAddress, now: Instant) {
        let party = Party::Agent(id.clone());
        self.edit(&party, now, |line| line.media.retain(|leg| leg.address != address));
        self.touched.clear();
    }

    /// How many calls are known, those remembered for a while after their end among them.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    fn media_told_by(&self, origin: MediaOrigin, id: &AgentId, agent: &Agent) -> Vec<MediaLeg> {
        let phones = || {
            let certain = |phone: &Extension| self.seats.occupant(phone) == Some(id);
            self.seats.phones(id).into_iter().filter(certain)
        };
        match origin {
            MediaOrigin::Cti => agent.line.media.clone(),
            MediaOrigin::Sip | MediaOrigin::Sccp => {
                // One phone may be seen under several of its names.
                let mut addresses = BTreeSet::new();
                phones()
                    .flat_map(|phone| self.resolvers.sighted(origin, &phone).collect::<Vec<_>>())
                    .filter(|leg| addresses.insert(leg.address))
                    .collect()
            }
            MediaOrigin::Devices | MediaOrigin::RisPort if agent.is_on_call() => phones()
                .find_map(|phone| self.resolvers.mapped(origin, &phone))
                .map(|address| agent.mapped_leg(origin, address))
                .into_iter()
                .collect(),
            MediaOrigin::Devices | MediaOrigin::RisPort => Vec::new(),
        }
    }

    fn at_devices<'a>(&self, devices: impl Iterator<Item = &'a Extension>) -> BTreeSet<AgentId> {
        devices
            .flat_map(|device| self.seats.candidates(device))
            .cloned()
            .collect()
    }
}

impl Agent {
    fn unknown(now: Instant) -> Self {
        Self {
            name: None,
            extension: None,
            device: None,
            team: None,
            state: AgentState::Unknown,
            since: now,
            calls_are_told: false,
            line: Line::default(),
        }
    }

    /// His calls in the order in which they came.
    pub fn calls(&self) -> &[Call] {
        &self.line.calls
    }

    /// The call that makes sound now: the one talked on, else one being made, else one on hold.
    pub fn call_in_progress(&self) -> Option<&Call> {
        self.line.call_in_progress()
    }

    /// A call by its id.
    pub fn call(&self, id: &CallId) -> Option<&Call> {
        self.line.call(id)
    }

    /// The call that is heard on a leg: its own, or the one that a nailed-up leg carries now.
    pub fn call_on(&self, leg: &MediaLeg) -> Option<&Call> {
        self.line.call_on(leg)
    }

    /// Whether a leg sounds: nothing that is on hold does.
    pub fn sounds(&self, leg: &MediaLeg) -> bool {
        let holds = !self.calls_are_told && self.state == AgentState::Hold && leg.since <= self.since;
        !holds && self.line.sounds(leg)
    }

    /// Whether he is on a call that is not only ringing, by his calls or, where his source tells of none, by his state.
    pub fn is_on_call(&self) -> bool {
        let by_state = !self.calls_are_told && matches!(self.state, AgentState::Talking | AgentState::Hold);
        by_state || self.call_in_progress().is_some()
    }

    fn mapped_leg(&self, origin: MediaOrigin, address: MediaAddress) -> MediaLeg {
        let call = self.call_in_progress();
        let since = call.map_or(self.since, |call| call.state_since);
        MediaLeg {
            call: call.map(|call| call.id.clone()),
            address,
            remote: None,
            encrypted: None,
            codec: None,
            origin,
            since,
            opened: since,
            told_call: None,
            device: None,
            named: false,
            directions: line::Directions::told(None),
            told: since,
        }
    }
}

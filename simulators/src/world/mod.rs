//! The telephone system that a simulator stands for: agents, connections, media. It turns each scripted event into
//! what a real system would tell about it, in order, in no protocol's words.

mod calls;
mod media;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEventKind, CtiEvent, DeviceSnapshot, Hoteling, MediaDirection, ReleasingParty,
    TeamMember, TeamOperation, TeamUpdate,
};
use silentmon_proto::ids::{AgentId, CallId, Extension, MediaAddress, TeamName};

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct World {
    agents: BTreeMap<AgentId, Agent>,
    calls: BTreeMap<CallId, BTreeMap<Extension, Connection>>,
    renamed: BTreeMap<CallId, CallId>,
    media: Vec<Media>,
    teams: BTreeMap<TeamName, Vec<TeamMember>>,
    hosts: BTreeMap<Extension, Extension>,
}

/// An agent as last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    pub name: Option<String>,
    pub extension: Option<Extension>,
    pub device: Option<Extension>,
    pub team: Option<TeamName>,
    pub state: AgentState,
}

/// A device and who sits there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    pub agent: Option<AgentId>,
    /// The number under which its calls are told.
    pub extension: Extension,
    /// The phone's name where it has one besides the extension.
    pub instrument: Extension,
}

/// A device's connection to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub state: ConnectionState,
    pub agent: Option<AgentId>,
    pub outgoing: bool,
    pub acd: Option<bool>,
    pub calling: Option<String>,
    pub called: Option<String>,
}

/// The state of a connection (ECMA-269 local connection state).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    Initiated,
    Alerting,
    Connected,
    Hold,
    Queued,
    Fail,
}

/// A direction of a phone's media that flows, or would but for a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Media {
    pub party: Party,
    pub call: CallId,
    pub direction: MediaDirection,
    pub address: MediaAddress,
    pub remote: Option<MediaAddress>,
    pub codec: Option<String>,
    held: bool,
}

/// What a real system would tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    Agent {
        party: Party,
        agent: AgentId,
        from: Option<AgentState>,
        state: AgentState,
    },
    CallBegan(Told),
    Call {
        told: Told,
        kind: CallEventKind,
        released_by: Option<ReleasingParty>,
        /// With `conferenced` and `transferred`: the call that went into this one.
        merged: Option<CallId>,
        /// With `conferenced` and `transferred`: who is in it now.
        parties: Vec<Extension>,
    },
    CallRenamed {
        told: Told,
        from: CallId,
    },
    CallEnded {
        call: CallId,
        last: Option<Extension>,
    },
    MediaStarted(Media),
    MediaStopped(Media),
    Team {
        team: TeamName,
        operation: TeamOperation,
        members: Vec<TeamMember>,
    },
    Hoteling {
        guest: Extension,
        agent: Option<AgentId>,
        before: Option<Extension>,
        host: Option<Extension>,
    },
    /// A device's calls are others than told before.
    Replaced(Party),
}

/// A connection of a call, with who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub call: CallId,
    pub party: Party,
    pub connection: Connection,
}

impl World {
    /// Takes an event in and says what is told of it.
    pub fn apply(&mut self, event: CtiEvent) -> Vec<Happening> {
        let mut told = Vec::new();
        match event {
            CtiEvent::AgentState(update) => self.agent_state(update, &mut told),
            CtiEvent::Call(call) => self.call(&call, &mut told),
            CtiEvent::CallRenamed(renamed) => self.rename(&renamed, &mut told),
            CtiEvent::CallEnded(ended) => self.end(&ended, &mut told),
            CtiEvent::MediaStarted(media) => self.media_started(media, &mut told),
            CtiEvent::MediaStopped(media) => self.media_stopped(&media, &mut told),
            CtiEvent::DeviceSnapshot(snapshot) => self.replace(snapshot, &mut told),
            CtiEvent::Team(team) => self.team(team, &mut told),
            CtiEvent::Hoteling(hoteling) => self.hoteling(hoteling, &mut told),
            // What a link is to the program, the simulator is itself.
            CtiEvent::Link(_) | CtiEvent::CallVariables(_) => {}
        }
        told
    }

    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    pub fn teams(&self) -> impl Iterator<Item = (&TeamName, &[TeamMember])> {
        self.teams.iter().map(|(team, members)| (team, members.as_slice()))
    }

    pub fn host_of(&self, guest: &Extension) -> Option<&Extension> {
        self.hosts.get(guest)
    }

    /// The connections of a call, by extension.
    pub fn connections(&self, call: &CallId) -> impl Iterator<Item = (&Extension, &Connection)> {
        self.calls.get(call).into_iter().flatten()
    }

    /// The calls of a device.
    pub fn calls_of(&self, extension: &Extension) -> Vec<Told> {
        let party = self.party(None, Some(extension));
        let calls = self.calls.iter();
        let mine = calls.filter_map(|(call, connections)| Some((call, connections.get(&party.extension)?)));
        mine.map(|(call, connection)| Told {
            call: call.clone(),
            party: party.clone(),
            connection: connection.clone(),
        })
        .collect()
    }

    /// Who a device or agent is. What was never told of goes by the name it was given.
    pub fn party(&self, agent: Option<&AgentId>, device: Option<&Extension>) -> Party {
        let sits_there = |agent: &Agent| {
            device.is_some()
                && [&agent.extension, &agent.device]
                    .iter()
                    .any(|own| own.as_ref() == device)
        };
        let known = match agent {
            Some(id) => self.agents.get_key_value(id),
            None => self
                .agents
                .iter()
                .find(|(_, agent)| agent.state.is_signed_in() && sits_there(agent)),
        };
        let named = device
            .cloned()
            .unwrap_or_else(|| Extension::new(agent.map_or("", AgentId::as_str)));
        let Some((id, known)) = known else {
            return Party {
                agent: agent.cloned(),
                extension: named.clone(),
                instrument: named,
            };
        };
        let own = device.is_none() || sits_there(known);
        let extension = known.extension.clone().filter(|_| own).unwrap_or(named);
        Party {
            agent: Some(id.clone()),
            instrument: known
                .device
                .clone()
                .filter(|_| own)
                .unwrap_or_else(|| extension.clone()),
            extension,
        }
    }

    /// Forgets the calls of a device, as a server does that never knew them.
    pub fn forget_calls(&mut self, extension: &Extension) {
        for connections in self.calls.values_mut() {
            connections.remove(extension);
        }
        self.calls.retain(|_, connections| !connections.is_empty());
    }

    fn agent_state(&mut self, update: AgentUpdate, told: &mut Vec<Happening>) {
        let known = self.agents.get(&update.agent).cloned();
        let from = known.as_ref().map(|agent| agent.state);
        let before = known.unwrap_or(Agent {
            name: None,
            extension: None,
            device: None,
            team: None,
            state: update.state,
        });
        let joined = update
            .team
            .clone()
            .filter(|team| before.team.as_ref() != Some(team) || from.is_none());
        let agent = Agent {
            name: update.name.or(before.name),
            extension: update.extension.or(before.extension),
            device: update.device.or(before.device),
            team: update.team.or(before.team),
            state: update.state,
        };
        self.agents.insert(update.agent.clone(), agent);
        told.push(Happening::Agent {
            party: self.party(Some(&update.agent), None),
            agent: update.agent.clone(),
            from,
            state: update.state,
        });
        if let Some(team) = joined {
            self.join(team, update.agent, told);
        }
    }

    fn join(&mut self, team: TeamName, agent: AgentId, told: &mut Vec<Happening>) {
        let member = TeamMember {
            agent,
            supervisor: false,
        };
        let known = self
            .teams
            .get(&team)
            .is_some_and(|members| members.iter().any(|other| other.agent == member.agent));
        if !known {
            let update = TeamUpdate {
                team,
                operation: TeamOperation::Add,
                members: vec![member],
            };
            self.team(update, told);
        }
    }

    fn team(&mut self, update: TeamUpdate, told: &mut Vec<Happening>) {
        let members = self.teams.entry(update.team.clone()).or_default();
        match update.operation {
            TeamOperation::Replace => members.clone_from(&update.members),
            TeamOperation::Add | TeamOperation::Remove => {
                members.retain(|member| !update.members.iter().any(|named| named.agent == member.agent));
                if update.operation == TeamOperation::Add {
                    members.extend(update.members.iter().cloned());
                }
            }
        }
        told.push(Happening::Team {
            team: update.team,
            operation: update.operation,
            members: update.members,
        });
    }

    fn hoteling(&mut self, hoteling: Hoteling, told: &mut Vec<Happening>) {
        let Hoteling { guest, host } = hoteling;
        let before = match &host {
            Some(host) => self.hosts.insert(guest.clone(), host.clone()),
            None => self.hosts.remove(&guest),
        };
        told.push(Happening::Hoteling {
            agent: self.party(None, Some(&guest)).agent,
            guest,
            before,
            host,
        });
    }

    fn replace(&mut self, snapshot: DeviceSnapshot, told: &mut Vec<Happening>) {
        let party = self.party(None, Some(&snapshot.device));
        self.forget_calls(&party.extension);
        for call in snapshot.calls {
            let Some(state) = state_after(call.kind) else { continue };
            let connection = Connection {
                state,
                agent: party.agent.clone(),
                outgoing: outgoing(call.kind),
                acd: call.acd,
                calling: None,
                called: None,
            };
            self.calls
                .entry(call.call)
                .or_default()
                .insert(party.extension.clone(), connection);
        }
        told.push(Happening::Replaced(party));
    }
}

fn outgoing(kind: CallEventKind) -> bool {
    matches!(
        kind,
        CallEventKind::ServiceInitiated | CallEventKind::Originated | CallEventKind::NetworkReached
    )
}

/// The state of a device's connection after an event; `None` where it has ended.
fn state_after(kind: CallEventKind) -> Option<ConnectionState> {
    match kind {
        CallEventKind::ServiceInitiated => Some(ConnectionState::Initiated),
        CallEventKind::Originated
        | CallEventKind::NetworkReached
        | CallEventKind::Established
        | CallEventKind::Retrieved
        | CallEventKind::Conferenced => Some(ConnectionState::Connected),
        CallEventKind::Queued => Some(ConnectionState::Queued),
        CallEventKind::Delivered => Some(ConnectionState::Alerting),
        CallEventKind::Held => Some(ConnectionState::Hold),
        CallEventKind::Failed => Some(ConnectionState::Fail),
        CallEventKind::Transferred | CallEventKind::Diverted | CallEventKind::ConnectionCleared => None,
    }
}

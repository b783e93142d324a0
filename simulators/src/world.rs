//! The telephone system that a simulator stands for: agents, connections, media. It turns each scripted event into
//! what a real system would tell about it, in order, in no protocol's words.

use std::collections::BTreeMap;

use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind, CallRenamed, CtiEvent, DeviceSnapshot, Hoteling,
    MediaDirection, MediaStarted, MediaStopped, ReleasingParty, TeamMember, TeamOperation, TeamUpdate,
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
            CtiEvent::Link(_) => {}
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

    fn call(&mut self, event: &CallEvent, told: &mut Vec<Happening>) {
        let party = self.party(event.agent.as_ref(), event.device.as_ref());
        let call = self.current(&event.call);
        let began = !self.calls.contains_key(&call);
        let before = self
            .calls
            .get(&call)
            .and_then(|connections| connections.get(&party.extension))
            .cloned();
        let connection = merge(before.as_ref(), &party, event);
        let mine = Told {
            call: call.clone(),
            party: party.clone(),
            connection: connection.clone(),
        };
        if let Some(state) = state_after(event.kind) {
            let kept = Connection { state, ..connection };
            self.calls
                .entry(call.clone())
                .or_default()
                .insert(party.extension.clone(), kept.clone());
            let mine = Told {
                connection: kept,
                ..mine
            };
            if began {
                told.push(Happening::CallBegan(mine.clone()));
            }
            if before.is_none() && event.kind == CallEventKind::Established {
                told.push(plain(alerting(&mine), CallEventKind::Delivered));
            }
            self.connected(mine, event.kind, told);
        } else {
            self.left(mine, event, told);
        }
    }

    /// The connection goes on after the event.
    fn connected(&mut self, mine: Told, kind: CallEventKind, told: &mut Vec<Happening>) {
        match kind {
            CallEventKind::Held => {
                told.push(plain(mine.clone(), kind));
                self.hold_media(&mine, told);
            }
            CallEventKind::Retrieved => {
                told.push(plain(mine.clone(), kind));
                self.resume_media(&mine, told);
            }
            CallEventKind::Conferenced => self.merged(mine, kind, told),
            CallEventKind::ServiceInitiated
            | CallEventKind::Originated
            | CallEventKind::NetworkReached
            | CallEventKind::Queued
            | CallEventKind::Delivered
            | CallEventKind::Established
            | CallEventKind::Failed
            | CallEventKind::Transferred
            | CallEventKind::Diverted
            | CallEventKind::ConnectionCleared => told.push(plain(mine, kind)),
        }
    }

    /// The device is out of the call after the event.
    fn left(&mut self, mine: Told, event: &CallEvent, told: &mut Vec<Happening>) {
        if event.kind == CallEventKind::Transferred {
            let (call, extension) = (mine.call.clone(), mine.party.extension.clone());
            self.merged(mine, event.kind, told);
            self.drop_connection(&call, &extension, told);
            return;
        }
        let (call, extension) = (mine.call.clone(), mine.party.extension.clone());
        self.stop_media(|media| media.call == call && media.party.extension == extension, told);
        told.push(Happening::Call {
            told: mine,
            kind: event.kind,
            released_by: event.released_by,
            merged: None,
            parties: Vec::new(),
        });
        self.drop_connection(&call, &extension, told);
    }

    fn drop_connection(&mut self, call: &CallId, extension: &Extension, told: &mut Vec<Happening>) {
        self.stop_media(|media| media.call == *call && media.party.extension == *extension, told);
        let Some(connections) = self.calls.get_mut(call) else {
            return;
        };
        connections.remove(extension);
        if connections.is_empty() {
            self.calls.remove(call);
            self.renamed.retain(|_, into| into != call);
            told.push(Happening::CallEnded {
                call: call.clone(),
                last: Some(extension.clone()),
            });
        }
    }

    /// A conference or transfer: another call of the device goes into this one.
    fn merged(&mut self, mine: Told, kind: CallEventKind, told: &mut Vec<Happening>) {
        let extension = mine.party.extension.clone();
        let others = self
            .calls
            .iter()
            .filter(|(call, connections)| **call != mine.call && connections.contains_key(&extension));
        let other = others.map(|(call, _)| call.clone()).next();
        if let Some(other) = &other {
            self.join_calls(other, &mine.call);
        }
        let leaves = kind == CallEventKind::Transferred;
        let parties = self.connections(&mine.call).map(|(device, _)| device.clone());
        let parties = parties.filter(|device| !leaves || *device != extension).collect();
        told.push(Happening::Call {
            told: mine,
            kind,
            released_by: None,
            merged: other.clone(),
            parties,
        });
        if let Some(other) = other {
            told.push(Happening::CallEnded {
                call: other,
                last: Some(extension),
            });
        }
    }

    fn join_calls(&mut self, from: &CallId, into: &CallId) {
        let moved = self.calls.remove(from).unwrap_or_default();
        let target = self.calls.entry(into.clone()).or_default();
        for (extension, connection) in moved {
            target.entry(extension).or_insert(connection);
        }
        for media in self.media.iter_mut().filter(|media| media.call == *from) {
            media.call = into.clone();
        }
        self.renamed.insert(from.clone(), into.clone());
    }

    /// The id under which a call goes on.
    fn current(&self, call: &CallId) -> CallId {
        if self.calls.contains_key(call) {
            return call.clone();
        }
        let mut current = call;
        // A chain can't be longer than the names in it.
        for _ in 0..self.renamed.len() {
            let Some(next) = self.renamed.get(current) else { break };
            current = next;
        }
        let known = self.calls.contains_key(current);
        if known { current.clone() } else { call.clone() }
    }

    fn rename(&mut self, renamed: &CallRenamed, told: &mut Vec<Happening>) {
        let Some(connections) = self.calls.get(&renamed.from) else {
            return;
        };
        let Some((extension, connection)) = connections.iter().next().map(|(e, c)| (e.clone(), c.clone())) else {
            return;
        };
        let mine = Told {
            call: renamed.call.clone(),
            party: self.party(None, Some(&extension)),
            connection,
        };
        let goes_into_another = self.calls.contains_key(&renamed.call);
        self.join_calls(&renamed.from, &renamed.call);
        if !goes_into_another {
            told.push(Happening::CallRenamed {
                told: mine,
                from: renamed.from.clone(),
            });
            return;
        }
        told.push(Happening::Call {
            parties: self
                .connections(&renamed.call)
                .map(|(device, _)| device.clone())
                .collect(),
            told: mine,
            kind: CallEventKind::Conferenced,
            released_by: None,
            merged: Some(renamed.from.clone()),
        });
        told.push(Happening::CallEnded {
            call: renamed.from.clone(),
            last: Some(extension),
        });
    }

    fn end(&mut self, ended: &CallEnded, told: &mut Vec<Happening>) {
        let call = self.current(&ended.call);
        let Some(connections) = self.calls.get(&call).cloned() else {
            return;
        };
        for (extension, connection) in connections {
            let released_by = match &ended.controlling_party {
                Some(controlling) if *controlling == extension => Some(ReleasingParty::Local),
                Some(_) => Some(ReleasingParty::Remote),
                None => None,
            };
            let mine = Told {
                call: call.clone(),
                party: self.party(None, Some(&extension)),
                connection,
            };
            let event = CallEvent {
                released_by,
                ..CallEvent::of_device(extension.as_str(), call.clone(), CallEventKind::ConnectionCleared)
            };
            self.left(mine, &event, told);
        }
    }

    fn media_started(&mut self, event: MediaStarted, told: &mut Vec<Happening>) {
        let party = self.party(event.agent.as_ref(), event.device.as_ref());
        let call = event
            .call
            .map(|call| self.current(&call))
            .or_else(|| self.active_call(&party));
        let call = call.unwrap_or_else(|| CallId::new("0"));
        let directions = event
            .direction
            .map_or_else(|| vec![MediaDirection::Receive, MediaDirection::Send], |one| vec![one]);
        for direction in directions {
            let media = Media {
                party: party.clone(),
                call: call.clone(),
                direction,
                address: event.address,
                remote: event.remote,
                codec: event.codec.clone(),
                held: false,
            };
            self.media.retain(|known| {
                (&known.party.extension, &known.call, known.direction) != (&party.extension, &call, direction)
            });
            self.media.push(media.clone());
            told.push(Happening::MediaStarted(media));
        }
    }

    fn active_call(&self, party: &Party) -> Option<CallId> {
        let calls = self.calls_of(&party.extension);
        let connected = calls
            .iter()
            .find(|told| told.connection.state == ConnectionState::Connected);
        connected.or(calls.first()).map(|told| told.call.clone())
    }

    fn media_stopped(&mut self, event: &MediaStopped, told: &mut Vec<Happening>) {
        let party = self.party(event.agent.as_ref(), event.device.as_ref());
        let call = event.call.as_ref().map(|call| self.current(call));
        self.stop_media(
            |media| {
                media.party.extension == party.extension
                    && call.as_ref().is_none_or(|call| media.call == *call)
                    && event.address.is_none_or(|address| media.address == address)
                    && event.direction.is_none_or(|direction| media.direction == direction)
            },
            told,
        );
    }

    fn stop_media(&mut self, meant: impl Fn(&Media) -> bool, told: &mut Vec<Happening>) {
        let (stopped, kept) = std::mem::take(&mut self.media)
            .into_iter()
            .partition(|media| meant(media));
        self.media = kept;
        let stopped: Vec<Media> = stopped;
        told.extend(
            stopped
                .into_iter()
                .filter(|media| !media.held)
                .map(Happening::MediaStopped),
        );
    }

    /// Media stop while a call is held. A script that says no more of it means that they come back.
    fn hold_media(&mut self, mine: &Told, told: &mut Vec<Happening>) {
        for media in self
            .media
            .iter_mut()
            .filter(|media| belongs(media, mine) && !media.held)
        {
            media.held = true;
            told.push(Happening::MediaStopped(media.clone()));
        }
    }

    fn resume_media(&mut self, mine: &Told, told: &mut Vec<Happening>) {
        for media in self.media.iter_mut().filter(|media| belongs(media, mine) && media.held) {
            media.held = false;
            told.push(Happening::MediaStarted(media.clone()));
        }
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

fn belongs(media: &Media, mine: &Told) -> bool {
    media.call == mine.call && media.party.extension == mine.party.extension
}

fn plain(told: Told, kind: CallEventKind) -> Happening {
    Happening::Call {
        told,
        kind,
        released_by: None,
        merged: None,
        parties: Vec::new(),
    }
}

fn alerting(told: &Told) -> Told {
    let mut told = told.clone();
    told.connection.state = ConnectionState::Alerting;
    told
}

fn merge(before: Option<&Connection>, party: &Party, event: &CallEvent) -> Connection {
    Connection {
        state: state_after(event.kind)
            .or(before.map(|known| known.state))
            .unwrap_or(ConnectionState::Connected),
        agent: party.agent.clone(),
        outgoing: before.map_or_else(|| outgoing(event.kind), |known| known.outgoing),
        acd: event.acd.or(before.and_then(|known| known.acd)),
        calling: event.calling.clone().or_else(|| before?.calling.clone()),
        called: event.called.clone().or_else(|| before?.called.clone()),
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

#[cfg(test)]
mod tests {
    use silentmon_proto::cti::script;

    use super::*;

    /// What is told of a script, in short words.
    fn told(script: &str) -> Vec<String> {
        let mut world = World::default();
        let steps = script::parse(script).expect("a good script");
        let happenings = steps
            .into_iter()
            .flat_map(|step| world.apply(step.event))
            .collect::<Vec<_>>();
        happenings.iter().map(in_short).collect()
    }

    fn in_short(happening: &Happening) -> String {
        match happening {
            Happening::Agent { agent, state, .. } => format!("{agent} {state:?}"),
            Happening::CallBegan(told) => format!("{} began", told.call),
            Happening::Call {
                told,
                kind,
                merged: None,
                ..
            } => format!("{} {kind:?} {}", told.call, told.party.extension),
            Happening::Call {
                told,
                kind,
                merged: Some(gone),
                parties,
                ..
            } => {
                let parties: Vec<_> = parties.iter().map(Extension::as_str).collect();
                format!(
                    "{} {kind:?} {} takes {gone}: {}",
                    told.call,
                    told.party.extension,
                    parties.join(" ")
                )
            }
            Happening::CallRenamed { told, from } => format!("{from} is now {}", told.call),
            Happening::CallEnded { call, .. } => format!("{call} ended"),
            Happening::MediaStarted(media) => format!("{:?} of {} at {}", media.direction, media.call, media.address),
            Happening::MediaStopped(media) => format!("{:?} of {} stopped", media.direction, media.call),
            Happening::Team { team, members, .. } => format!("{} in {team}", members.len()),
            Happening::Hoteling { guest, host, .. } => format!("{guest} at {host:?}"),
            Happening::Replaced(party) => format!("{} replaced", party.extension),
        }
    }

    const ON_A_CALL: &str = r#"
        {"at":0,"event":"call","device":"3001","call":"1","kind":"established"}
        {"at":0,"event":"media_started","device":"3001","call":"1","address":"10.1.1.20:4000","direction":"receive"}
    "#;

    fn on_a_call_then(rest: &str) -> Vec<String> {
        told(&format!("{ON_A_CALL}{rest}")).split_off(4)
    }

    #[test]
    fn an_answer_is_preceded_by_what_a_switch_says_before() {
        let expected = [
            "1 began",
            "1 Delivered 3001",
            "1 Established 3001",
            "Receive of 1 at 10.1.1.20:4000",
        ];
        assert_eq!(told(ON_A_CALL), expected);
    }

    #[test]
    fn media_stop_while_a_call_is_held_and_come_back() {
        let seen = on_a_call_then(
            r#"
            {"at":0,"event":"call","device":"3001","call":"1","kind":"held"}
            {"at":0,"event":"call","device":"3001","call":"1","kind":"retrieved"}
            {"at":0,"event":"call","device":"3001","call":"1","kind":"connection_cleared"}
        "#,
        );
        let expected = [
            "1 Held 3001",
            "Receive of 1 stopped",
            "1 Retrieved 3001",
            "Receive of 1 at 10.1.1.20:4000",
            "Receive of 1 stopped",
            "1 ConnectionCleared 3001",
            "1 ended",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_script_that_says_where_media_come_back_is_not_talked_over() {
        let seen = on_a_call_then(
            r#"
            {"at":0,"event":"call","device":"3001","call":"1","kind":"held"}
            {"at":0,"event":"media_stopped","device":"3001","call":"1"}
            {"at":0,"event":"call","device":"3001","call":"1","kind":"retrieved"}
            {"at":0,"event":"media_started","device":"3001","call":"1","address":"10.1.1.20:4002","direction":"receive"}
        "#,
        );
        let expected = [
            "1 Held 3001",
            "Receive of 1 stopped",
            "1 Retrieved 3001",
            "Receive of 1 at 10.1.1.20:4002",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_conference_takes_the_other_call_in_and_a_rename_keeps_both_ids() {
        let seen = on_a_call_then(
            r#"
            {"at":0,"event":"call","device":"3001","call":"2","kind":"originated","called":"3002"}
            {"at":0,"event":"call","device":"3002","call":"2","kind":"established"}
            {"at":0,"event":"call","device":"3001","call":"1","kind":"conferenced"}
            {"at":0,"event":"call_renamed","from":"2","call":"1"}
            {"at":0,"event":"call_renamed","from":"1","call":"7"}
            {"at":0,"event":"call","device":"3002","call":"2","kind":"connection_cleared"}
            {"at":0,"event":"call_ended","call":"7","controlling_party":"3001"}
        "#,
        );
        let expected = [
            "2 began",
            "2 Originated 3001",
            "2 Delivered 3002",
            "2 Established 3002",
            "1 Conferenced 3001 takes 2: 3001 3002",
            "2 ended",
            "1 is now 7",
            "7 ConnectionCleared 3002",
            "Receive of 7 stopped",
            "7 ConnectionCleared 3001",
            "7 ended",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_transfer_leaves_the_others_connected() {
        let seen = on_a_call_then(
            r#"
            {"at":0,"event":"call","device":"3001","call":"2","kind":"originated","called":"3002"}
            {"at":0,"event":"call","device":"3002","call":"2","kind":"established"}
            {"at":0,"event":"call","device":"3001","call":"1","kind":"transferred"}
        "#,
        );
        let expected = ["1 Transferred 3001 takes 2: 3002", "2 ended", "Receive of 1 stopped"];
        assert_eq!(seen[4..], expected);
    }
}

//! Who is told what: happenings as event messages, for each session that wants them.

use silentmon_proto::cti::{AgentState, CallEventKind, CtiEvent, ReleasingParty, TeamMember, TeamOperation};
use silentmon_proto::ids::{AgentId, CallId, Extension, TeamName};

use super::events::{AgentTold, CallAt, Place, TeamTold};
use super::server::Server;
use super::session::Session;
use super::words::{NONE_16, agent_state_bit, mask};
use crate::runtime::{ConnectionId, Outbox};
use crate::world::{Happening, Party, Told};

/// How many members of a team one message names.
const MEMBERS_PER_MESSAGE: usize = 64;
/// EventCause CEC_REDIRECTED.
const REDIRECTED: u16 = 28;

impl Server {
    /// What events say besides what happened, for one session.
    pub fn place(&self, session: &Session) -> Place {
        Place {
            version: session.version,
            peripheral: self.options.peripheral_id,
            skill_group: self.options.skill_groups.first().copied().unwrap_or(u32::MAX),
        }
    }

    fn for_sessions(&self, wanted: impl Fn(&Session) -> bool, write: impl Fn(Place) -> Vec<u8>, out: &mut Outbox) {
        for (id, client) in &self.clients {
            if let Some(session) = client.session.as_ref().filter(|session| wanted(session)) {
                out.send(*id, write(self.place(session)));
            }
        }
    }

    fn call_event(&self, mask: u32, write: impl Fn(Place) -> Vec<u8>, out: &mut Outbox) {
        self.for_sessions(|session| session.wants_call_event(mask), write, out);
    }

    pub fn play(&mut self, event: CtiEvent, out: &mut Outbox) {
        for happening in self.world.apply(event) {
            self.tell(happening, out);
        }
    }

    fn tell(&mut self, happening: Happening, out: &mut Outbox) {
        match happening {
            Happening::Agent {
                party,
                agent,
                from,
                state,
            } => self.tell_agent(&party, &agent, from, state, out),
            Happening::CallBegan(told) => {
                let number = self.calls.of(told.call.as_str());
                self.call_event(
                    mask::BEGIN_CALL,
                    |place| place.begin_call(&told, at(number, &told.party)),
                    out,
                );
            }
            Happening::Call {
                told,
                kind,
                released_by,
                merged,
                parties,
            } => {
                let merged = merged.map(|call| self.calls.of(call.as_str()));
                self.tell_call(&told, kind, Release { by: released_by }, merged, &parties, out);
            }
            Happening::CallRenamed { told, from } => {
                let (from, to) = (self.calls.of(from.as_str()), self.calls.of(told.call.as_str()));
                self.call_event(
                    mask::CALL_DATA_UPDATE,
                    |place| place.renamed(&told, at(from, &told.party), to),
                    out,
                );
            }
            Happening::CallEnded { call, last } => self.tell_end(&call, last.as_ref(), out),
            Happening::MediaStarted(media) => {
                let number = self.calls.of(media.call.as_str());
                self.call_event(mask::RTP_STARTED, |place| place.rtp_started(&media, number), out);
            }
            Happening::MediaStopped(media) => {
                let number = self.calls.of(media.call.as_str());
                self.call_event(mask::RTP_STOPPED, |place| place.rtp_stopped(&media, number), out);
            }
            Happening::Team {
                team,
                operation,
                members,
            } => self.tell_team(&team, operation, &members, out),
            // No message says it: GED-188 knows no hoteling, and a snapshot only answers a request.
            Happening::Hoteling { .. } | Happening::Replaced(_) => {}
        }
    }

    fn tell_agent(
        &mut self,
        party: &Party,
        id: &AgentId,
        from: Option<AgentState>,
        state: AgentState,
        out: &mut Outbox,
    ) {
        let number = self.agents.of(id.as_str());
        let signs_in = from.is_none_or(|from| !from.is_signed_in()) && state.is_signed_in();
        let first = signs_in.then_some(AgentState::Login).filter(|login| *login != state);
        for state in first.into_iter().chain([state]) {
            let agent = AgentTold {
                id: id.as_str(),
                number,
                state,
            };
            for group in &self.options.skill_groups {
                let wanted = |session: &Session| session.wants_agent_event(agent_state_bit(state));
                self.for_sessions(wanted, |place| place.agent_state(party, agent, *group), out);
            }
        }
    }

    fn tell_call(
        &mut self,
        told: &Told,
        kind: CallEventKind,
        release: Release,
        merged: Option<u32>,
        parties: &[Extension],
        out: &mut Outbox,
    ) {
        let number = self.calls.of(told.call.as_str());
        let call = at(number, &told.party);
        match kind {
            CallEventKind::ServiceInitiated => {
                self.call_event(
                    mask::SERVICE_INITIATED,
                    |place| place.service_initiated(told, call),
                    out,
                );
            }
            CallEventKind::Originated => self.call_event(mask::ORIGINATED, |place| place.originated(told, call), out),
            CallEventKind::Delivered => self.call_event(mask::DELIVERED, |place| place.delivered(told, call), out),
            CallEventKind::Established => {
                self.call_event(mask::ESTABLISHED, |place| place.established(told, call), out);
            }
            CallEventKind::Held => self.call_event(mask::HELD, |place| place.held_or_retrieved(true, call), out),
            CallEventKind::Retrieved => {
                self.call_event(mask::RETRIEVED, |place| place.held_or_retrieved(false, call), out);
            }
            CallEventKind::Conferenced | CallEventKind::Transferred => {
                let conference = kind == CallEventKind::Conferenced;
                let mask = if conference {
                    mask::CONFERENCED
                } else {
                    mask::TRANSFERRED
                };
                self.call_event(mask, |place| place.merged(told, call, merged, kind, parties), out);
            }
            CallEventKind::Diverted => self.tell_diverted(told, call, out),
            CallEventKind::Failed => self.call_event(mask::FAILED, |place| place.failed(told, call), out),
            CallEventKind::ConnectionCleared => {
                let releasing = release.releasing(told);
                let write = |place: Place| place.connection_cleared(call, releasing.as_deref(), NONE_16);
                self.call_event(mask::CONNECTION_CLEARED, write, out);
            }
            CallEventKind::Queued | CallEventKind::NetworkReached => {
                tracing::debug!(?kind, "no layout is known for this event: not sent");
            }
        }
    }

    fn tell_diverted(&self, told: &Told, call: CallAt<'_>, out: &mut Outbox) {
        self.call_event(mask::DIVERTED, |place| place.diverted(told, call), out);
        let write = |place: Place| place.connection_cleared(call, None, REDIRECTED);
        self.call_event(mask::CONNECTION_CLEARED, write, out);
    }

    fn tell_end(&mut self, call: &CallId, last: Option<&Extension>, out: &mut Outbox) {
        let call = CallAt {
            number: self.calls.of(call.as_str()),
            device: last.map_or("", Extension::as_str),
        };
        self.call_event(mask::CLEARED, |place| place.call_cleared(call), out);
        self.call_event(mask::END_CALL, |place| place.end_call(call), out);
    }

    fn tell_team(&mut self, team: &TeamName, operation: TeamOperation, members: &[TeamMember], out: &mut Outbox) {
        let wanted = |session: &Session| session.wants_call_event(mask::AGENT_TEAM_CONFIG);
        let receivers = self
            .clients
            .iter()
            .filter_map(|(id, client)| Some((*id, client.session.clone()?)));
        let receivers: Vec<_> = receivers.filter(|(_, session)| wanted(session)).collect();
        for (id, session) in receivers {
            self.send_team(id, &session, team, operation, members, out);
        }
    }

    /// A team in as many messages as it needs; all but the first add to it.
    pub fn send_team(
        &mut self,
        to: ConnectionId,
        session: &Session,
        team: &TeamName,
        operation: TeamOperation,
        members: &[TeamMember],
        out: &mut Outbox,
    ) {
        let number = self.teams.of(team.as_str());
        let state = |member: &TeamMember| {
            self.world
                .agent(&member.agent)
                .map_or(AgentState::Logout, |agent| agent.state)
        };
        let members: Vec<_> = members.iter().map(|member| (member.clone(), state(member))).collect();
        let mut operation = operation;
        for part in members.chunks(MEMBERS_PER_MESSAGE) {
            let told = TeamTold {
                name: team.as_str(),
                number,
                operation,
            };
            out.send(to, self.place(session).team_config(told, part));
            if operation == TeamOperation::Replace {
                operation = TeamOperation::Add;
            }
        }
    }

    pub fn tell_teams(&mut self, to: ConnectionId, session: &Session, out: &mut Outbox) {
        if !session.wants_call_event(mask::AGENT_TEAM_CONFIG) {
            return;
        }
        let teams: Vec<_> = self
            .world
            .teams()
            .map(|(team, members)| (team.clone(), members.to_vec()))
            .collect();
        for (team, members) in teams {
            self.send_team(to, session, &team, TeamOperation::Replace, &members, out);
        }
    }
}

/// Who released a connection.
#[derive(Debug, Clone, Copy)]
struct Release {
    by: Option<ReleasingParty>,
}

impl Release {
    /// ReleasingDeviceID: the device itself, the other end, or nothing.
    fn releasing(self, told: &Told) -> Option<String> {
        match self.by {
            Some(ReleasingParty::Local) => Some(told.party.extension.to_string()),
            Some(ReleasingParty::Remote) if told.connection.outgoing => told.connection.called.clone(),
            Some(ReleasingParty::Remote) => told.connection.calling.clone(),
            Some(ReleasingParty::Unknown) | None => None,
        }
    }
}

fn at(number: u32, party: &Party) -> CallAt<'_> {
    CallAt {
        number,
        device: party.extension.as_str(),
    }
}

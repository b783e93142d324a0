//! Whom an event is about, and changes to his calls and media.

use std::collections::BTreeSet;

use silentmon_proto::ids::{AgentId, CallId, Extension, MediaAddress};
use silentmon_proto::time::Instant;

use super::calls::{Leaving, Party};
use super::line::Line;
use super::seats::Seat;
use super::{Agent, AgentDirectory, MAX_AGENTS, MAX_WAITING};

impl AgentDirectory {
    /// Whom an event is about: the agent it names; else who holds that call at the device, or sits there, or the device
    /// itself until that is known.
    pub(super) fn party(
        &mut self,
        agent: Option<&AgentId>,
        device: Option<&Extension>,
        call: Option<&CallId>,
        now: Instant,
    ) -> Option<Party> {
        if let Some(agent) = agent {
            self.known_agent(agent, now)?;
            if let Some(device) = device
                && self.is_signed_in(&Party::Agent(agent.clone()))
                && self.seats.infer(agent, device)
            {
                self.join_waiting(agent, now);
                self.show_seat(agent);
            }
            return Some(Party::Agent(agent.clone()));
        }
        let device = device?;
        let holder = call.and_then(|call| self.holder_at(device, call));
        let holder = holder.or_else(|| self.seats.occupant(device).cloned());
        Some(holder.map_or_else(|| Party::Device(device.clone()), Party::Agent))
    }

    /// The agent who holds a call at a device: told so, or the only one of those who sit there.
    fn holder_at(&self, device: &Extension, call: &CallId) -> Option<AgentId> {
        let record = self.calls.record(call)?;
        let agents = record.holders.iter().filter_map(|party| match party {
            Party::Agent(agent) => Some(agent),
            Party::Device(_) => None,
        });
        let agents: Vec<&AgentId> = agents.collect();
        let told = agents.iter().find(|agent| {
            let call = self.agents.get(**agent).and_then(|agent| agent.call(call));
            call.is_some_and(|call| call.device.as_ref() == Some(device))
        });
        if let Some(told) = told {
            // On a shared line the device alone tells nothing where both are on the call.
            let others = agents
                .iter()
                .filter(|agent| self.seats.candidates(device).contains(agent));
            return (others.count() <= 1).then(|| (*told).clone());
        }
        let mut here = agents
            .into_iter()
            .filter(|agent| self.seats.candidates(device).contains(agent));
        let one = here.next()?;
        here.next().is_none().then(|| one.clone())
    }

    /// An event that names an agent settles whose the call is that only the device was named for.
    pub(super) fn claim(&mut self, party: &Party, device: Option<&Extension>, root: &CallId, now: Instant) {
        let (Party::Agent(id), Some(device)) = (party, device) else {
            return;
        };
        let mut others: Vec<Party> = self
            .seats
            .candidates(device)
            .iter()
            .filter(|other| *other != id)
            .cloned()
            .map(Party::Agent)
            .collect();
        others.push(Party::Device(device.clone()));
        for other in others {
            if self.line_mut(&other).is_none() {
                continue;
            }
            let taken = self.edit(&other, now, |line| line.take_unnamed(root));
            if let Some(taken) = taken.filter(|taken| !taken.is_empty()) {
                self.edit(party, now, |line| line.absorb(taken));
            }
        }
    }

    pub(super) fn mark_left(&mut self, call: &CallId, party: &Party, seat: &Seat, leaving: Leaving, now: Instant) {
        self.calls.mark_left(call, party, leaving, now);
        for device in seat.devices() {
            self.calls.mark_left(call, &Party::Device(device.clone()), leaving, now);
        }
    }

    /// Changes a party's calls and media, and keeps what is known by call and by socket in step.
    pub(super) fn edit<R>(&mut self, party: &Party, now: Instant, change: impl FnOnce(&mut Line) -> R) -> Option<R> {
        let line = match party {
            Party::Agent(id) => {
                self.touched.insert(id.clone());
                &mut self.agents.get_mut(id)?.line
            }
            Party::Device(device) => {
                if self.waiting.len() >= MAX_WAITING && !self.waiting.contains_key(device) {
                    return None;
                }
                self.waiting.entry(device.clone()).or_default()
            }
        };
        let (calls, sockets) = footprint(line);
        let result = change(line);
        let (calls_now, sockets_now) = footprint(line);
        if line.is_empty()
            && let Party::Device(device) = party
        {
            self.waiting.remove(device);
        }
        for call in calls.difference(&calls_now) {
            self.calls.part(call, party, now);
        }
        for call in calls_now.difference(&calls) {
            self.calls.join(call, party);
        }
        for socket in sockets.difference(&sockets_now) {
            if self.sockets.get(socket) == Some(party) {
                self.sockets.remove(socket);
            }
        }
        for socket in sockets_now.difference(&sockets) {
            self.sockets.insert(*socket, party.clone());
        }
        Some(result)
    }

    pub(super) fn line_mut(&mut self, party: &Party) -> Option<&mut Line> {
        match party {
            Party::Agent(id) => self.agents.get_mut(id).map(|agent| &mut agent.line),
            Party::Device(device) => self.waiting.get_mut(device),
        }
    }

    pub(super) fn calls_of(&self, party: &Party) -> Vec<CallId> {
        let line = match party {
            Party::Agent(id) => self.agents.get(id).map(|agent| &agent.line),
            Party::Device(device) => self.waiting.get(device),
        };
        line.map(|line| line.calls.iter().map(|call| call.id.clone()).collect())
            .unwrap_or_default()
    }

    pub(super) fn known_agent(&mut self, id: &AgentId, now: Instant) -> Option<&mut Agent> {
        if self.agents.len() >= MAX_AGENTS && !self.agents.contains_key(id) {
            return None;
        }
        Some(self.agents.entry(id.clone()).or_insert_with(|| Agent::unknown(now)))
    }

    pub(super) fn is_signed_in(&self, party: &Party) -> bool {
        match party {
            Party::Agent(id) => self.agents.get(id).is_some_and(|agent| agent.state.is_signed_in()),
            Party::Device(_) => true,
        }
    }

    /// The device a party's connection belongs to: as told, else the agent's extension.
    pub(super) fn device_of(&self, party: &Party, told: Option<&Extension>) -> Option<Extension> {
        let seat = match party {
            Party::Agent(id) => self.seats.of(id),
            Party::Device(_) => None,
        };
        let own = || seat.and_then(|seat| seat.extension.as_ref().or(seat.device.as_ref()));
        told.or_else(own).cloned()
    }

    /// An agent's row shows where he sits.
    pub(super) fn show_seat(&mut self, id: &AgentId) {
        let seat = self.seats.of(id).cloned().unwrap_or_default();
        if let Some(agent) = self.agents.get_mut(id) {
            agent.extension = seat.extension;
            agent.device = seat.device;
        }
    }
}

type Footprint = (BTreeSet<CallId>, BTreeSet<MediaAddress>);

/// What of a line is known elsewhere: its calls, those of its media too, and its sockets.
fn footprint(line: &Line) -> Footprint {
    let of_media = line.media.iter().filter_map(|leg| leg.call.as_ref());
    let calls = line
        .calls
        .iter()
        .map(|call| &call.id)
        .chain(of_media)
        .cloned()
        .collect();
    let addresses = line.media.iter().map(|leg| leg.address);
    (calls, addresses.filter(|address| address.port.is_some()).collect())
}

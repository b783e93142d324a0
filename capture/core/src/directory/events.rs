//! Takes events up: finds out whom they are about and what becomes of his calls and media.

use std::collections::BTreeSet;
use std::time::Duration;

use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind, CallRenamed, CtiEvent, DeviceSnapshot, Hoteling,
    MediaStarted, MediaStopped, ReleasingParty,
};
use silentmon_proto::ids::{AgentId, CallId, Extension};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::calls::{Leaving, Party};
use super::line::{CallState, CallTold, Directions, Line, MediaEnd, MediaLeg};
use super::seats::Seat;
use super::{Agent, AgentDirectory, MAX_AGENTS, MAX_WAITING, Notice, Resynchronised};

/// How long calls and media of a device wait for an agent since they were last spoken of.
const MAX_WAIT: Duration = Duration::from_secs(4 * 3600);
/// How often that is looked after.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

impl AgentDirectory {
    pub(super) fn take_up(&mut self, event: &CtiEvent, now: Instant) {
        self.calls.expire(now);
        match event {
            CtiEvent::AgentState(update) => self.agent_state(update, now),
            CtiEvent::Call(event) => self.call_event(event, now),
            CtiEvent::CallRenamed(renamed) => self.call_renamed(renamed, now),
            CtiEvent::CallEnded(ended) => self.call_ended(ended, now),
            CtiEvent::MediaStarted(media) => self.media_started(media, now),
            CtiEvent::MediaStopped(media) => self.media_stopped(media, now),
            CtiEvent::DeviceSnapshot(snapshot) => self.device_snapshot(snapshot, now),
            CtiEvent::Team(update) => {
                let changed = self.teams.handle(update);
                let known = changed.into_iter().filter(|agent| self.agents.contains_key(agent));
                self.touched.extend(known);
            }
            CtiEvent::Hoteling(hoteling) => self.hoteling(hoteling, now),
            CtiEvent::Link(_) => {}
        }
    }

    /// Forgets what waited too long for an agent at a device: the event that ended it was lost.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP_INTERVAL;
        let stale: Vec<Extension> = self
            .waiting
            .iter()
            .filter(|(_, line)| now - line.told() >= MAX_WAIT)
            .map(|(device, _)| device.clone())
            .collect();
        for device in stale {
            self.edit(&Party::Device(device), now, |line| *line = Line::default());
        }
        self.calls.expire(now);
    }

    fn agent_state(&mut self, update: &AgentUpdate, now: Instant) {
        let id = &update.agent;
        let Some(agent) = self.known_agent(id, now) else { return };
        replace_known(&mut agent.name, update.name.as_ref());
        replace_known(&mut agent.team, update.team.as_ref());
        if agent.state != update.state {
            agent.state = update.state;
            agent.since = now;
        }
        self.touched.insert(id.clone());
        if update.state == AgentState::Logout {
            self.sign_out(id, now);
        } else if update.extension.is_some() || update.device.is_some() {
            let moved = self.seats.sit(id, update.extension.as_ref(), update.device.as_ref());
            if let Some(left) = moved.left {
                self.leave_seat(id, &left, now);
            }
            for displaced in moved.displaced {
                self.show_seat(&displaced);
                self.touched.insert(displaced);
            }
            self.join_waiting(id, now);
        }
        self.show_seat(id);
    }

    fn sign_out(&mut self, id: &AgentId, now: Instant) {
        let seat = self.seats.vacate(id).unwrap_or_default();
        let party = Party::Agent(id.clone());
        for call in self.calls_of(&party) {
            self.mark_left(&call, &party, &seat, Leaving::SignedOut, now);
        }
        self.edit(&party, now, |line| *line = Line::default());
    }

    /// An agent sits elsewhere: what was told of the devices he left is no longer his.
    fn leave_seat(&mut self, id: &AgentId, left: &Seat, now: Instant) {
        let kept: Vec<Extension> = self.devices(id);
        let is_left = |device: &Option<Extension>| {
            device
                .as_ref()
                .is_some_and(|device| left.devices().any(|old| old == device) && !kept.contains(device))
        };
        let party = Party::Agent(id.clone());
        let Some(agent) = self.agents.get(id) else { return };
        let gone: Vec<CallId> = agent
            .calls()
            .iter()
            .filter(|call| is_left(&call.device))
            .map(|call| call.id.clone())
            .collect();
        for call in &gone {
            self.mark_left(call, &party, left, Leaving::SignedOut, now);
        }
        self.edit(&party, now, |line| {
            gone.iter().for_each(|call| drop(line.leave_call(call)));
            line.media.retain(|leg| !is_left(&leg.device));
        });
    }

    /// What waited at an agent's devices is his, where it can be nobody else's.
    fn join_waiting(&mut self, id: &AgentId, now: Instant) {
        let mut devices = self.devices(id);
        let twins: Vec<Extension> = devices
            .iter()
            .filter_map(|device| self.seats.twin(device))
            .cloned()
            .collect();
        devices.extend(twins);
        for device in devices {
            if self.seats.occupant(&device) == Some(id) {
                self.move_waiting(&device, id, now);
            }
        }
    }

    fn move_waiting(&mut self, device: &Extension, id: &AgentId, now: Instant) {
        let Some(waiting) = self.waiting.get(device).cloned() else {
            return;
        };
        self.edit(&Party::Device(device.clone()), now, |line| *line = Line::default());
        if let Some(agent) = self.agents.get_mut(id) {
            agent.calls_are_told |= !waiting.calls.is_empty();
        }
        self.edit(&Party::Agent(id.clone()), now, |line| line.absorb(waiting));
    }

    fn call_event(&mut self, event: &CallEvent, now: Instant) {
        let root = self.calls.root(&event.call);
        let Some(party) = self.party(event.agent.as_ref(), event.device.as_ref(), Some(&root), now) else {
            return;
        };
        self.claim(&party, event.device.as_ref(), &root, now);
        if let Party::Agent(id) = &party
            && let Some(agent) = self.agents.get_mut(id)
        {
            agent.calls_are_told = true;
            self.touched.insert(id.clone());
        }
        match CallState::after(event.kind) {
            Some(state) => self.enter_call(&party, &root, state, event, now),
            None => self.leave_call(&party, &root, event, now),
        }
    }

    fn enter_call(&mut self, party: &Party, root: &CallId, state: CallState, event: &CallEvent, now: Instant) {
        let begins = matches!(state, CallState::Dialling | CallState::Alerting);
        let signed_in = self.is_signed_in(party);
        if !self.calls.admits(root, party, begins, signed_in) {
            return;
        }
        let device = self.device_of(party, event.device.as_ref());
        if let (Some(device), Some(record)) = (&device, self.calls.record_mut(root)) {
            record.releases.enter(device);
        }
        let calls_himself = || {
            let calling = event.calling.as_deref()?;
            device.as_ref().map(|device| device.as_str() == calling)
        };
        let told = CallTold {
            id: root.clone(),
            state,
            acd: event.acd,
            outgoing: state == CallState::Dialling || calls_himself().unwrap_or(false),
            device: device.clone(),
            named: event.agent.is_some(),
        };
        self.edit(party, now, |line| line.enter_call(told, now));
    }

    fn leave_call(&mut self, party: &Party, root: &CallId, event: &CallEvent, now: Instant) {
        let leaving = match event.kind {
            CallEventKind::Transferred => Leaving::Transferred,
            CallEventKind::Queued => return,
            _ => Leaving::Cleared,
        };
        if leaving == Leaving::Cleared && self.drop_merged(party, root, &event.call) {
            return;
        }
        let device = self.device_of(party, event.device.as_ref());
        if let Some(device) = &device {
            let by = event.released_by.unwrap_or(ReleasingParty::Unknown);
            self.release(root, device, by);
        }
        let seat = Seat {
            extension: device,
            device: None,
        };
        self.mark_left(root, party, &seat, leaving, now);
        self.edit(party, now, |line| drop(line.leave_call(root)));
    }

    /// The end of a connection under the former id of a merged call isn't the end of the party's call.
    fn drop_merged(&mut self, party: &Party, root: &CallId, told: &CallId) -> bool {
        let Some(line) = self.line_mut(party) else { return false };
        let Some(call) = line.calls.iter_mut().find(|call| call.id == *root) else {
            return false;
        };
        let before = call.merged.len();
        call.merged.retain(|merged| merged != told);
        call.merged.len() < before
    }

    fn release(&mut self, root: &CallId, device: &Extension, by: ReleasingParty) {
        let Some(record) = self.calls.record_mut(root) else {
            return;
        };
        let known = self.releases.release(root, &mut record.releases, device, by);
        self.notices.extend(known.into_iter().map(Notice::Released));
    }

    fn call_renamed(&mut self, renamed: &CallRenamed, now: Instant) {
        let Some((from, to, holders)) = self.calls.rename(&renamed.from, &renamed.call, now) else {
            return;
        };
        for party in holders {
            let both_left = self.calls.leaving(&to, &party).is_some();
            self.edit(&party, now, |line| {
                line.rename_call(&from, &to);
                if both_left {
                    line.leave_call(&to);
                }
            });
        }
        let Some(record) = self.calls.record(&to) else { return };
        for party in record.holders.clone() {
            if self.calls.leaving(&to, &party) == Some(Leaving::Transferred) {
                self.edit(&party, now, |line| drop(line.leave_call(&to)));
            }
        }
    }

    fn call_ended(&mut self, ended: &CallEnded, now: Instant) {
        let known = self.calls.record(&ended.call).is_some();
        let Some((call, holders)) = self.calls.end(&ended.call, now) else {
            return;
        };
        for party in holders {
            self.edit(&party, now, |line| drop(line.leave_call(&call)));
        }
        let Some(record) = self.calls.record_mut(&call) else {
            return;
        };
        record.releases.control(ended.controlling_party.as_ref());
        let controlling_party = record.releases.controlling().cloned();
        if known {
            self.notices.push(Notice::CallEnded {
                call,
                controlling_party,
            });
        }
    }

    fn media_started(&mut self, media: &MediaStarted, now: Instant) {
        let root = media.call.as_ref().map(|call| self.calls.root(call));
        let Some(party) = self.party(media.agent.as_ref(), media.device.as_ref(), root.as_ref(), now) else {
            return;
        };
        let signed_in = self.is_signed_in(&party);
        if let Some(root) = &root
            && !self.calls.admits(root, &party, false, signed_in)
        {
            return;
        }
        let leg = MediaLeg {
            call: root,
            address: media.address,
            remote: media.remote,
            encrypted: media.encrypted,
            origin: MediaOrigin::Cti,
            since: now,
            opened: now,
            told_call: media.call.clone(),
            device: media.device.clone(),
            named: media.agent.is_some(),
            directions: Directions::told(media.direction),
            told: now,
        };
        self.take_socket(&leg, &party, now);
        self.edit(&party, now, |line| line.start_media(leg));
    }

    /// A phone's socket serves one party at a time: an address told for one is taken from any other.
    fn take_socket(&mut self, leg: &MediaLeg, party: &Party, now: Instant) {
        let Some(former) = self
            .sockets
            .get(&leg.address)
            .filter(|former| *former != party)
            .cloned()
        else {
            return;
        };
        self.edit(&former, now, |line| line.media.retain(|old| old.address != leg.address));
    }

    fn media_stopped(&mut self, media: &MediaStopped, now: Instant) {
        let root = media.call.as_ref().map(|call| self.calls.root(call));
        let Some(party) = self.party(media.agent.as_ref(), media.device.as_ref(), root.as_ref(), now) else {
            return;
        };
        let end = MediaEnd {
            call: media.call.clone().zip(root),
            address: media.address,
            directions: Directions::told(media.direction),
        };
        let party = self.sender_at(media, &party).unwrap_or(party);
        if self.line_mut(&party).is_some() {
            self.edit(&party, now, |line| line.stop_media(&end));
        }
    }

    /// Where only a device is named, its socket may be known to be somebody's.
    fn sender_at(&self, media: &MediaStopped, party: &Party) -> Option<Party> {
        let device = media.device.as_ref().filter(|_| media.agent.is_none())?;
        let owner = self.sockets.get(&media.address?).filter(|owner| *owner != party)?;
        let Party::Agent(id) = owner else { return None };
        self.seats.candidates(device).contains(id).then(|| owner.clone())
    }

    /// A snapshot replaces: calls that it doesn't show are gone, calls nobody told of are there.
    fn device_snapshot(&mut self, snapshot: &DeviceSnapshot, now: Instant) {
        let device = &snapshot.device;
        let mut shown = Vec::new();
        let mut opened = Vec::new();
        for call in &snapshot.calls {
            let root = self.calls.root(&call.call);
            let Some(state) = CallState::after(call.kind) else {
                continue;
            };
            shown.push(root.clone());
            let Some(party) = self.party(None, Some(device), Some(&root), now) else {
                continue;
            };
            if self.line_mut(&party).is_none_or(|line| line.call(&root).is_none()) {
                opened.push(root.clone());
            }
            self.calls.revive(&root, &party);
            let event = CallEvent {
                acd: call.acd,
                ..CallEvent::of_device(device.clone(), root.clone(), call.kind)
            };
            self.enter_call(&party, &root, state, &event, now);
            self.stand_as_shown(&party, &root, state, now);
        }
        let closed = self.close_unshown(device, &shown, now);
        if !closed.is_empty() || !opened.is_empty() {
            self.notices.push(Notice::Resynchronised(Resynchronised {
                device: device.clone(),
                closed,
                opened,
            }));
        }
    }

    /// A snapshot is never late, even where it shows a call ringing that was thought connected.
    fn stand_as_shown(&mut self, party: &Party, root: &CallId, state: CallState, now: Instant) {
        let Some(line) = self.line_mut(party) else { return };
        if let Some(call) = line
            .calls
            .iter_mut()
            .find(|call| call.id == *root && call.state != state)
        {
            call.state = state;
            call.state_since = now;
        }
    }

    fn close_unshown(&mut self, device: &Extension, shown: &[CallId], now: Instant) -> Vec<CallId> {
        let occupants = self.seats.candidates(device).to_vec();
        let shared = occupants.len() > 1;
        let mut parties: Vec<Party> = occupants.into_iter().map(Party::Agent).collect();
        parties.push(Party::Device(device.clone()));
        let mut closed = Vec::new();
        for party in parties {
            let Some(line) = self.line_mut(&party) else { continue };
            let is_gone = |call: &&super::Call| {
                !shown.contains(&call.id) && !(shared && call.device.as_ref().is_some_and(|of| of != device))
            };
            let gone: Vec<CallId> = line.calls.iter().filter(is_gone).map(|call| call.id.clone()).collect();
            for call in &gone {
                self.mark_left(call, &party, &Seat::default(), Leaving::Cleared, now);
                self.edit(&party, now, |line| drop(line.leave_call(call)));
            }
            if let Party::Agent(id) = &party {
                self.touched.insert(id.clone());
            }
            closed.extend(gone);
        }
        closed
    }

    fn hoteling(&mut self, hoteling: &Hoteling, now: Instant) {
        let guest = &hoteling.guest;
        match &hoteling.host {
            Some(host) => {
                let former = self.seats.candidates(host).to_vec();
                self.seats.associate(guest, host);
                self.touched.extend(former.iter().cloned());
                former.iter().for_each(|agent| self.show_seat(agent));
                for agent in self.seats.candidates(guest).to_vec() {
                    self.join_waiting(&agent, now);
                    self.touched.insert(agent);
                }
            }
            None => {
                let agents = self.seats.candidates(guest).to_vec();
                let Some(host) = self.seats.dissociate(guest) else {
                    return;
                };
                for agent in agents {
                    let of_host = |leg: &MediaLeg| leg.device.as_ref() == Some(&host);
                    self.edit(&Party::Agent(agent.clone()), now, |line| {
                        line.media.retain(|leg| !of_host(leg))
                    });
                    self.touched.insert(agent);
                }
            }
        }
    }

    /// Whom an event is about: the agent it names; else who holds that call at the device, or sits there, or the device
    /// itself until that is known.
    fn party(
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
    fn claim(&mut self, party: &Party, device: Option<&Extension>, root: &CallId, now: Instant) {
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

    fn mark_left(&mut self, call: &CallId, party: &Party, seat: &Seat, leaving: Leaving, now: Instant) {
        self.calls.mark_left(call, party.clone(), leaving, now);
        for device in seat.devices() {
            self.calls.mark_left(call, Party::Device(device.clone()), leaving, now);
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

    fn line_mut(&mut self, party: &Party) -> Option<&mut Line> {
        match party {
            Party::Agent(id) => self.agents.get_mut(id).map(|agent| &mut agent.line),
            Party::Device(device) => self.waiting.get_mut(device),
        }
    }

    fn calls_of(&self, party: &Party) -> Vec<CallId> {
        let line = match party {
            Party::Agent(id) => self.agents.get(id).map(|agent| &agent.line),
            Party::Device(device) => self.waiting.get(device),
        };
        line.map(|line| line.calls.iter().map(|call| call.id.clone()).collect())
            .unwrap_or_default()
    }

    fn known_agent(&mut self, id: &AgentId, now: Instant) -> Option<&mut Agent> {
        if self.agents.len() >= MAX_AGENTS && !self.agents.contains_key(id) {
            return None;
        }
        Some(self.agents.entry(id.clone()).or_insert_with(|| Agent::unknown(now)))
    }

    fn is_signed_in(&self, party: &Party) -> bool {
        match party {
            Party::Agent(id) => self.agents.get(id).is_some_and(|agent| agent.state.is_signed_in()),
            Party::Device(_) => true,
        }
    }

    /// The device a party's connection belongs to: as told, else the agent's extension.
    fn device_of(&self, party: &Party, told: Option<&Extension>) -> Option<Extension> {
        let seat = match party {
            Party::Agent(id) => self.seats.of(id),
            Party::Device(_) => None,
        };
        let own = || seat.and_then(|seat| seat.extension.as_ref().or(seat.device.as_ref()));
        told.or_else(own).cloned()
    }

    /// An agent's row shows where he sits.
    fn show_seat(&mut self, id: &AgentId) {
        let seat = self.seats.of(id).cloned().unwrap_or_default();
        if let Some(agent) = self.agents.get_mut(id) {
            agent.extension = seat.extension;
            agent.device = seat.device;
        }
    }
}

type Footprint = (BTreeSet<CallId>, BTreeSet<silentmon_proto::ids::MediaAddress>);

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

fn replace_known<T: Clone>(known: &mut Option<T>, told: Option<&T>) {
    if let Some(told) = told {
        *known = Some(told.clone());
    }
}

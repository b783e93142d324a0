//! Takes events up: finds out whom they are about and what becomes of his calls and media.

use std::time::Duration;

use silentmon_proto::cti::{
    AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind, CallRenamed, CallVariables, CtiEvent, Hoteling,
    MediaStarted, MediaStopped, ReleasingParty,
};
use silentmon_proto::ids::{AgentId, CallId, Extension};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::calls::{Leaving, Party};
use super::content::Content;
use super::line::{CallState, CallTold, Directions, Line, MediaEnd, MediaLeg};
use super::seats::Seat;
use super::{AgentDirectory, Notice};
use crate::policy::PhoneNumber;

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
            CtiEvent::CallVariables(told) => self.call_variables(told, now),
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
            for call in &gone {
                line.leave_call(call);
            }
            line.media.retain(|leg| !is_left(&leg.device));
        });
    }

    /// What waited at an agent's devices is his, where it can be nobody else's.
    pub(super) fn join_waiting(&mut self, id: &AgentId, now: Instant) {
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

    fn hoteling(&mut self, hoteling: &Hoteling, now: Instant) {
        match &hoteling.host {
            Some(host) => self.associate(&hoteling.guest, host, now),
            None => self.dissociate(&hoteling.guest, now),
        }
    }

    fn associate(&mut self, guest: &Extension, host: &Extension, now: Instant) {
        let former = self.seats.candidates(host).to_vec();
        self.seats.associate(guest, host);
        for agent in former {
            self.show_seat(&agent);
            self.touched.insert(agent);
        }
        for agent in self.seats.candidates(guest).to_vec() {
            self.join_waiting(&agent, now);
            self.touched.insert(agent);
        }
    }

    /// The guest's media no longer leave the host's phone.
    fn dissociate(&mut self, guest: &Extension, now: Instant) {
        let agents = self.seats.candidates(guest).to_vec();
        let Some(host) = self.seats.dissociate(guest) else {
            return;
        };
        for agent in agents {
            self.edit(&Party::Agent(agent), now, |line| {
                line.media.retain(|leg| leg.device.as_ref() != Some(&host));
            });
        }
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

    pub(super) fn enter_call(
        &mut self,
        party: &Party,
        root: &CallId,
        state: CallState,
        event: &CallEvent,
        now: Instant,
    ) {
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
        let outgoing = state == CallState::Dialling || calls_himself().unwrap_or(false);
        let number = |told: &Option<String>| told.as_deref().and_then(PhoneNumber::read);
        let content = Content {
            calling: number(&event.calling),
            called: number(&event.called),
            former: Vec::new(),
            outgoing,
            variables: self
                .calls
                .record(root)
                .map(|record| record.variables.clone())
                .unwrap_or_default(),
        };
        let told = CallTold {
            id: root.clone(),
            state,
            acd: event.acd,
            outgoing,
            content,
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

    fn call_variables(&mut self, told: &CallVariables, now: Instant) {
        let root = self.calls.root(&told.call);
        self.calls.set_variables(&root, &told.variables, now);
        let Some(record) = self.calls.record(&root) else { return };
        for party in record.holders.clone() {
            self.edit(&party, now, |line| line.set_variables(&root, &told.variables));
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
            codec: media.codec.clone(),
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
}

fn replace_known<T: Clone>(known: &mut Option<T>, told: Option<&T>) {
    if let Some(told) = told {
        *known = Some(told.clone());
    }
}

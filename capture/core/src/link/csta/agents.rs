//! Who works at which device, for switches that leave the agent out of their events.

use std::collections::BTreeMap;

use silentmon_proto::cti::csta::{AgentEntry, AgentEvent, AgentEventKind};
use silentmon_proto::cti::{AgentState, AgentUpdate, CtiEvent};
use silentmon_proto::ids::{AgentId, Extension};

/// Most devices with agents kept: a monitored group can tell of devices that aren't configured.
const MOST_DEVICES: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Agents {
    by_device: BTreeMap<Extension, AgentId>,
}

impl Agents {
    /// An agent event of this device's monitor. An agent without an id is the one known at the device, or is called
    /// like the device.
    pub(super) fn event(&mut self, monitored: &Extension, event: AgentEvent) -> CtiEvent {
        let device = event.device.map_or_else(|| monitored.clone(), Extension::new);
        let known = self.by_device.get(&device).cloned();
        let agent = event.agent.map(AgentId::new).or(known);
        let agent = agent.unwrap_or_else(|| AgentId::new(device.as_str()));
        self.tell(device, &agent, event.kind)
    }

    /// Who is signed in at a device. Nobody is said to be signed out who was never named.
    pub(super) fn listed(&mut self, device: &Extension, entries: Vec<AgentEntry>) -> Vec<CtiEvent> {
        let mut told = Vec::new();
        for entry in entries {
            let Some(kind) = entry.kind else { continue };
            let known = self.by_device.get(device).cloned();
            let agent = match entry.agent.map(AgentId::new).or(known) {
                None if kind == AgentEventKind::LoggedOff => continue,
                None => AgentId::new(device.as_str()),
                Some(agent) => agent,
            };
            told.push(self.tell(device.clone(), &agent, kind));
        }
        told
    }

    fn tell(&mut self, device: Extension, agent: &AgentId, kind: AgentEventKind) -> CtiEvent {
        if kind == AgentEventKind::LoggedOff {
            if self.by_device.get(&device) == Some(agent) {
                self.by_device.remove(&device);
            }
        } else if self.by_device.len() < MOST_DEVICES || self.by_device.contains_key(&device) {
            self.by_device.insert(device.clone(), agent.clone());
        }
        CtiEvent::AgentState(AgentUpdate {
            extension: Some(device),
            ..AgentUpdate::new(agent.as_str(), state(kind))
        })
    }
}

/// ECMA-269 clause 6.1.3. CSTA's Busy is a call of the agent's; whether he is ready after his work isn't told.
const fn state(kind: AgentEventKind) -> AgentState {
    match kind {
        AgentEventKind::LoggedOn => AgentState::Login,
        AgentEventKind::LoggedOff => AgentState::Logout,
        AgentEventKind::Ready => AgentState::Available,
        AgentEventKind::NotReady => AgentState::NotReady,
        AgentEventKind::Busy => AgentState::Talking,
        AgentEventKind::WorkingAfterCall => AgentState::WorkNotReady,
    }
}

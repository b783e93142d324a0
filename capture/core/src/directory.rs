//! The agent directory: what CTI events said about agents, their calls and their media addresses.
//!
//! Takes events in any order and repetition. Media addresses come from the CTI source or, where it tells none, from the
//! static device map.

use std::collections::BTreeMap;

use silentmon_proto::cti::{AgentState, CallEventKind, CtiEvent};
use silentmon_proto::ids::{AgentId, CallId, Extension, MediaAddress, TeamName};
use silentmon_proto::time::Instant;

/// All agents that any event spoke of.
#[derive(Debug, Clone, Default)]
pub struct AgentDirectory {
    agents: BTreeMap<AgentId, Agent>,
    devices: BTreeMap<Extension, MediaAddress>,
}

/// What is known of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// His name for people.
    pub name: Option<String>,
    /// The extension he uses.
    pub extension: Option<Extension>,
    /// His team.
    pub team: Option<TeamName>,
    /// His state.
    pub state: AgentState,
    /// When he entered it.
    pub since: Instant,
    /// His calls in the order in which they came.
    pub calls: Vec<Call>,
    media: Vec<MediaLeg>,
}

/// One call of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The call.
    pub id: CallId,
    /// Where it stands.
    pub state: CallState,
    /// Whether it came through the queue, where the source said so.
    pub acd: Option<bool>,
}

/// Where a call stands, from the agent's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// It rings.
    Alerting,
    /// The agent talks.
    Connected,
    /// The agent put it on hold.
    Held,
}

/// A place where the agent's phone sends and receives media now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLeg {
    /// The call it belongs to, where known.
    pub call: Option<CallId>,
    /// The phone's media address.
    pub address: MediaAddress,
    /// Who told it.
    pub origin: MediaOrigin,
    /// Since when.
    pub since: Instant,
}

/// Who told a media address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaOrigin {
    /// A media event of the CTI source.
    Cti,
    /// The static device map.
    DeviceMap,
    /// SIP seen on the mirror.
    Sip,
    /// SCCP seen on the mirror.
    Sccp,
}

impl AgentDirectory {
    /// An empty directory that looks extensions up in `devices` where the CTI source tells no media address.
    pub fn new(devices: BTreeMap<Extension, MediaAddress>) -> Self {
        Self {
            agents: BTreeMap::new(),
            devices,
        }
    }

    /// Takes up another device map.
    pub fn replace_devices(&mut self, devices: BTreeMap<Extension, MediaAddress>) {
        self.devices = devices;
    }

    /// Takes up an event and names the agents it was about.
    pub fn handle_event(&mut self, event: &CtiEvent, now: Instant) -> Vec<AgentId> {
        match event {
            CtiEvent::AgentState(update) => {
                let entry = self.entry(&update.agent, now);
                replace_known(&mut entry.name, update.name.as_ref());
                replace_known(&mut entry.extension, update.extension.as_ref());
                replace_known(&mut entry.team, update.team.as_ref());
                entry.enter(update.state, now);
                vec![update.agent.clone()]
            }
            CtiEvent::Call(event) => {
                self.with_party(event.agent.as_ref(), event.device.as_ref(), |directory, agent| {
                    directory
                        .entry(agent, now)
                        .handle_call(&event.call, event.kind, event.acd);
                })
            }
            CtiEvent::MediaStarted(media) => {
                self.with_party(media.agent.as_ref(), media.device.as_ref(), |directory, agent| {
                    let leg = MediaLeg {
                        call: media.call.clone(),
                        address: media.address,
                        origin: MediaOrigin::Cti,
                        since: now,
                    };
                    directory.start_media(agent, leg, now);
                })
            }
            CtiEvent::MediaStopped(media) => {
                self.with_party(media.agent.as_ref(), media.device.as_ref(), |directory, agent| {
                    directory
                        .entry(agent, now)
                        .stop_media(media.call.as_ref(), media.address);
                })
            }
            CtiEvent::CallRenamed(_)
            | CtiEvent::CallEnded(_)
            | CtiEvent::DeviceSnapshot(_)
            | CtiEvent::Team(_)
            | CtiEvent::Hoteling(_)
            | CtiEvent::Link(_) => Vec::new(),
        }
    }

    fn with_party(
        &mut self,
        agent: Option<&AgentId>,
        device: Option<&Extension>,
        act: impl FnOnce(&mut Self, &AgentId),
    ) -> Vec<AgentId> {
        let at = |device| {
            self.agents
                .iter()
                .find(|(_, agent)| agent.extension.as_ref() == Some(device))
        };
        let known = agent.or_else(|| at(device?).map(|(id, _)| id)).cloned();
        if let Some(agent) = &known {
            act(self, agent);
        }
        known.into_iter().collect()
    }

    /// One agent.
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// All agents, ordered by id.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentId, &Agent)> {
        self.agents.iter()
    }

    /// Where the agent's phone sends and receives media now. The device map answers while he has a call that is not
    /// only ringing and the CTI source told nothing.
    pub fn media(&self, id: &AgentId) -> Vec<MediaLeg> {
        let Some(agent) = self.agents.get(id) else {
            return Vec::new();
        };
        if !agent.media.is_empty() {
            return agent.media.clone();
        }
        let (Some(call), Some(extension)) = (agent.call_in_progress(), &agent.extension) else {
            return Vec::new();
        };
        let origin = MediaOrigin::DeviceMap;
        let leg = |address: &MediaAddress| MediaLeg {
            call: Some(call.id.clone()),
            address: *address,
            origin,
            since: agent.since,
        };
        self.devices.get(extension).map(leg).into_iter().collect()
    }

    fn entry(&mut self, id: &AgentId, now: Instant) -> &mut Agent {
        self.agents.entry(id.clone()).or_insert_with(|| Agent::unknown(now))
    }

    /// A phone's socket serves one agent at a time: an address told for one agent is taken from any other.
    fn start_media(&mut self, id: &AgentId, leg: MediaLeg, now: Instant) {
        for (other, agent) in &mut self.agents {
            if other != id && leg.address.port.is_some() {
                agent.media.retain(|old| old.address != leg.address);
            }
        }
        let agent = self.entry(id, now);
        agent.media.retain(|old| old.address != leg.address);
        agent.media.push(leg);
    }
}

impl Agent {
    fn unknown(now: Instant) -> Self {
        Self {
            name: None,
            extension: None,
            team: None,
            state: AgentState::Unknown,
            since: now,
            calls: Vec::new(),
            media: Vec::new(),
        }
    }

    /// The call that makes sound now: the one talked on, else one on hold.
    pub fn call_in_progress(&self) -> Option<&Call> {
        let in_state = |state| self.calls.iter().rev().find(move |call| call.state == state);
        in_state(CallState::Connected).or_else(|| in_state(CallState::Held))
    }

    /// A call by its id.
    pub fn call(&self, id: &CallId) -> Option<&Call> {
        self.calls.iter().find(|call| call.id == *id)
    }

    fn enter(&mut self, state: AgentState, now: Instant) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        if state == AgentState::Logout {
            self.calls.clear();
            self.media.clear();
        }
    }

    fn handle_call(&mut self, id: &CallId, kind: CallEventKind, acd: Option<bool>) {
        let state = match kind {
            CallEventKind::Delivered => CallState::Alerting,
            CallEventKind::Established | CallEventKind::Retrieved | CallEventKind::Conferenced => CallState::Connected,
            CallEventKind::Held => CallState::Held,
            CallEventKind::ServiceInitiated
            | CallEventKind::Originated
            | CallEventKind::NetworkReached
            | CallEventKind::Queued => return,
            CallEventKind::Transferred
            | CallEventKind::Diverted
            | CallEventKind::Failed
            | CallEventKind::ConnectionCleared => return self.clear_call(id),
        };
        match self.calls.iter_mut().find(|call| call.id == *id) {
            Some(call) => {
                call.state = state;
                call.acd = acd.or(call.acd);
            }
            None => self.calls.push(Call {
                id: id.clone(),
                state,
                acd,
            }),
        }
    }

    /// Peripherals may leave the media event out: the end of a call ends its media too.
    fn clear_call(&mut self, id: &CallId) {
        self.calls.retain(|call| call.id != *id);
        self.media.retain(|leg| leg.call.as_ref() != Some(id));
    }

    fn stop_media(&mut self, call: Option<&CallId>, address: Option<MediaAddress>) {
        self.media.retain(|leg| {
            let of_call = call.is_none() || leg.call.is_none() || leg.call.as_ref() == call;
            let of_address = address.is_none_or(|address| leg.address == address);
            !(of_call && of_address)
        });
    }
}

fn replace_known<T: Clone>(known: &mut Option<T>, told: Option<&T>) {
    if let Some(told) = told {
        *known = Some(told.clone());
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::cti::{AgentUpdate, CallEvent, MediaStarted, MediaStopped};

    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000);

    fn state(agent: &str, state: AgentState) -> CtiEvent {
        let extension = Some("3001".into());
        CtiEvent::from(AgentUpdate {
            extension,
            ..AgentUpdate::new(agent, state)
        })
    }

    fn call(agent: &str, id: &str, kind: CallEventKind) -> CtiEvent {
        CallEvent::of_agent(agent, id, kind).into()
    }

    fn media(agent: &str, id: &str, address: &str) -> CtiEvent {
        CtiEvent::from(MediaStarted {
            agent: Some(agent.into()),
            call: Some(id.into()),
            ..MediaStarted::at(address.parse().expect("an address"))
        })
    }

    fn after(events: &[CtiEvent]) -> AgentDirectory {
        let mut directory = AgentDirectory::new([("3001".into(), "10.1.1.20".parse().expect("an address"))].into());
        for event in events {
            directory.handle_event(event, NOW);
        }
        directory
    }

    fn addresses(directory: &AgentDirectory, agent: &str) -> Vec<String> {
        directory
            .media(&agent.into())
            .iter()
            .map(|leg| leg.address.to_string())
            .collect()
    }

    #[test]
    fn knows_the_media_address_that_the_cti_source_told() {
        let directory = after(&[
            media("1", "81", "10.1.1.20:24678"),
            call("1", "81", CallEventKind::Established),
        ]);
        assert_eq!(addresses(&directory, "1"), ["10.1.1.20:24678"]);
    }

    #[test]
    fn asks_the_device_map_only_while_a_call_is_in_progress() {
        let mut events = vec![
            state("1", AgentState::Talking),
            call("1", "81", CallEventKind::Delivered),
        ];
        assert!(addresses(&after(&events), "1").is_empty());
        events.push(call("1", "81", CallEventKind::Established));
        assert_eq!(addresses(&after(&events), "1"), ["10.1.1.20"]);
        events.push(call("1", "81", CallEventKind::ConnectionCleared));
        assert!(addresses(&after(&events), "1").is_empty());
    }

    #[test]
    fn the_end_of_a_call_ends_its_media_even_without_a_media_event() {
        let directory = after(&[
            media("1", "81", "10.1.1.20:24678"),
            call("1", "81", CallEventKind::ConnectionCleared),
        ]);
        assert!(addresses(&directory, "1").is_empty());
    }

    #[test]
    fn stopping_the_media_of_one_call_leaves_the_other() {
        let stop = CtiEvent::from(MediaStopped {
            agent: Some("1".into()),
            device: None,
            call: Some("81".into()),
            address: None,
            direction: None,
        });
        let directory = after(&[
            media("1", "81", "10.1.1.20:2000"),
            media("1", "82", "10.1.1.20:2002"),
            stop,
        ]);
        assert_eq!(addresses(&directory, "1"), ["10.1.1.20:2002"]);
    }

    #[test]
    fn an_address_told_for_another_agent_moves_to_him() {
        let directory = after(&[media("1", "81", "10.1.1.20:2000"), media("2", "90", "10.1.1.20:2000")]);
        assert!(addresses(&directory, "1").is_empty());
        assert_eq!(addresses(&directory, "2"), ["10.1.1.20:2000"]);
    }

    #[test]
    fn repeated_events_change_nothing() {
        let events = [
            state("1", AgentState::Talking),
            call("1", "81", CallEventKind::Established),
            media("1", "81", "10.1.1.20:2000"),
        ];
        let once = after(&events);
        let twice = after(&[events.clone(), events].concat());
        assert_eq!(once.agent(&"1".into()), twice.agent(&"1".into()));
    }

    #[test]
    fn signing_out_forgets_calls_and_media() {
        let directory = after(&[media("1", "81", "10.1.1.20:2000"), state("1", AgentState::Logout)]);
        assert!(addresses(&directory, "1").is_empty());
        assert_eq!(directory.agent(&"1".into()).map(|agent| agent.calls.len()), Some(0));
    }
}

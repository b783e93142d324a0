//! GED-188 events to [`CtiEvent`]s.
//!
//! [`connections`] is about one device's connection to a call, [`merges`] about calls that go on under another id,
//! [`snapshots`] about answers to questions.

mod connections;
mod merges;
mod snapshots;

use std::collections::BTreeMap;

use silentmon_proto::cti::ged188::{
    AgentTeamConfigEvent, CallType, ConnectionCallId, Floating, Message, PeripheralId, ProtocolVersion, Tag, Wire,
    is_acd,
};
use silentmon_proto::cti::{AgentState, CallEnded, CallVariables, CtiEvent};
use silentmon_proto::ids::AgentId;

use super::agents::{AgentKey, Agents, is_name};
use super::calls::{CallKey, Calls};
use super::media;
use super::requests::Request;
use super::teams::Teams;

/// See the module.
#[derive(Debug)]
pub(in crate::link::cisco) struct Normaliser {
    pub(in crate::link::cisco) agents: Agents,
    pub(in crate::link::cisco) calls: Calls,
    pub(in crate::link::cisco) teams: Teams,
    peripherals: Vec<PeripheralId>,
    version: ProtocolVersion,
}

/// What came of a message.
#[derive(Debug, Default)]
pub(in crate::link::cisco) struct Outcome {
    pub(in crate::link::cisco) events: Vec<CtiEvent>,
    /// What should be asked because of it.
    pub(in crate::link::cisco) requests: Vec<Request>,
}

impl Normaliser {
    /// A normaliser of what these peripherals say; none: all.
    pub(in crate::link::cisco) fn new(peripherals: Vec<PeripheralId>, version: ProtocolVersion) -> Self {
        Self {
            agents: Agents::default(),
            calls: Calls::default(),
            teams: Teams::default(),
            peripherals,
            version,
        }
    }

    /// The version of the session that events come from.
    pub(in crate::link::cisco) const fn set_version(&mut self, version: ProtocolVersion) {
        self.version = version;
    }

    /// Takes an event.
    pub(in crate::link::cisco) fn handle(&mut self, message: &Message) -> Outcome {
        let mut out = Outcome::default();
        match message {
            Message::AgentStateEvent(_) | Message::AgentTeamConfigEvent(_) => self.agent_event(message, &mut out),
            Message::RtpStartedEvent(event) => {
                if let Some(key) = self.media_key(event.peripheral_id, event.connection_call_id) {
                    out.events = media::started(&mut self.calls, key, event);
                }
            }
            Message::RtpStoppedEvent(event) => {
                if let Some(key) = self.media_key(event.peripheral_id, event.connection_call_id) {
                    out.events.extend(media::stopped(&mut self.calls, key, event));
                }
            }
            Message::BeginCallEvent(_) | Message::CallDataUpdateEvent(_) | Message::EndCallEvent(_) => {
                self.life_event(message, &mut out);
            }
            _ => {
                self.connection_event(message, &mut out);
            }
        }
        out
    }

    fn agent_event(&mut self, message: &Message, out: &mut Outcome) {
        match message {
            Message::AgentStateEvent(event) if self.listens_to(event.peripheral_id) => {
                let Some(change) = self.agents.handle_state(event) else {
                    return;
                };
                let has_calls = matches!(change.update.state, AgentState::Talking | AgentState::Hold);
                if change.is_first && has_calls {
                    out.requests.extend(self.snapshot_of(&change.key));
                }
                out.events.push(change.update.into());
            }
            Message::AgentTeamConfigEvent(event) if self.listens_to(event.peripheral_id) => {
                out.requests.extend(self.ask_for_members(event));
                out.events.push(self.teams.handle(event).into());
            }
            _ => {}
        }
    }

    fn ask_for_members(&mut self, event: &AgentTeamConfigEvent) -> Vec<Request> {
        let Some(peripheral) = event.peripheral_id else {
            return Vec::new();
        };
        let agents = event.agents().into_iter().filter(|agent| is_name(&agent.agent_id));
        let keys = agents.map(|agent| AgentKey {
            peripheral,
            agent: AgentId::new(agent.agent_id),
        });
        keys.filter(|key| self.agents.expect(key.clone()))
            .map(Request::QueryAgent)
            .collect()
    }

    /// The question for the calls of an agent's phone.
    pub(in crate::link::cisco) fn snapshot_of(&self, key: &AgentKey) -> Option<Request> {
        let agent = self.agents.agent(key)?;
        Some(Request::SnapshotDevice {
            peripheral: key.peripheral,
            device: agent.device()?.clone(),
            reported: agent.reported_device()?.clone(),
        })
    }

    fn life_event(&mut self, message: &Message, out: &mut Outcome) {
        match message {
            Message::BeginCallEvent(event) => {
                if let Some(key) = self.key(event.peripheral_id, event.connection_call_id) {
                    self.calls.begin(key);
                    self.learn(key, event.call_type, &event.floating);
                    self.variables(key, &event.floating, out);
                }
            }
            Message::CallDataUpdateEvent(event) => self.data_update(event, out),
            Message::EndCallEvent(event) => {
                if let Some(key) = self.key(event.peripheral_id, event.connection_call_id) {
                    self.end(key, out);
                }
            }
            _ => {}
        }
    }

    fn learn(&mut self, key: CallKey, call_type: Option<CallType>, floating: &Floating) {
        let version = self.version;
        let call = self.calls.call(key);
        call.kind = call_type.or(call.kind);
        call.acd = is_acd(None, call.kind, None, version).or(call.acd);
        call.calling = number(floating, &[Tag::ANI]).or(call.calling.take());
        call.called = number(floating, &[Tag::DNIS, Tag::DIALED_NUMBER]).or(call.called.take());
    }

    /// Variables come before what else a message says: they may forbid that the call is heard.
    fn variables(&self, key: CallKey, floating: &Floating, out: &mut Outcome) {
        let variables: BTreeMap<_, _> = floating.call_variables().collect();
        if !variables.is_empty() {
            let call = self.calls.resolve(key).id();
            out.events.push(CallVariables { call, variables }.into());
        }
    }

    fn end(&mut self, key: CallKey, out: &mut Outcome) {
        if let Some((key, call)) = self.calls.end(key) {
            let ended = CallEnded {
                call: key.id(),
                controlling_party: call.released_by,
            };
            out.events.push(ended.into());
        }
    }

    fn listens_to(&self, peripheral: Option<PeripheralId>) -> bool {
        self.peripherals.is_empty() || peripheral.is_some_and(|peripheral| self.peripherals.contains(&peripheral))
    }

    fn key(&self, peripheral: Option<PeripheralId>, call: Option<ConnectionCallId>) -> Option<CallKey> {
        let (peripheral, call) = (peripheral.filter(|_| self.listens_to(peripheral))?, call?);
        Some(CallKey { peripheral, call })
    }

    /// Media may belong to no call that is told of.
    fn media_key(&self, peripheral: Option<PeripheralId>, call: Option<ConnectionCallId>) -> Option<CallKey> {
        self.key(peripheral, Some(call.unwrap_or(ConnectionCallId::NONE)))
    }
}

fn number(floating: &Floating, tags: &[Tag]) -> Option<String> {
    let texts = tags.iter().filter_map(|tag| floating.text(*tag));
    texts.into_iter().find(|text| is_name(text))
}

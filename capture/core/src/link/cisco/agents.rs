//! Which agents the CTI Server spoke of, at which phones, and what was told of them last.
//!
//! One change of state comes once for each skill group of the agent; only the first is passed on.

use std::collections::BTreeMap;

use silentmon_proto::cti::ged188::{
    AgentStateEvent, Floating, IcmAgentId, MrdId, PeripheralId, QueryAgentStateConf, Tag, Wire,
};
use silentmon_proto::cti::{AgentState, AgentUpdate};
use silentmon_proto::ids::{AgentId, Extension};

/// Agents remembered. What is told of more than these is passed on, but not asked for after a break.
const CAPACITY: usize = 100_000;
/// The longest names documented are agent ids of 129 bytes.
const LONGEST_NAME: usize = 129;

/// An agent of a peripheral.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgentKey {
    pub(super) peripheral: PeripheralId,
    pub(super) agent: AgentId,
}

/// What is known of an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Agent {
    pub(super) icm_agent_id: Option<IcmAgentId>,
    extension: Option<Extension>,
    instrument: Option<Extension>,
    /// What the engine was told last.
    told: Option<AgentState>,
}

impl Agent {
    /// The phone as the CTI Server wants it named.
    pub(super) fn device(&self) -> Option<&Extension> {
        self.instrument.as_ref().or(self.extension.as_ref())
    }

    /// The phone as events name it.
    pub(super) fn reported_device(&self) -> Option<&Extension> {
        self.extension.as_ref().or(self.instrument.as_ref())
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.told.is_some_and(AgentState::is_signed_in)
    }

    fn forget_state(&mut self, key: &AgentKey) -> Option<AgentUpdate> {
        if !self.is_signed_in() || self.told == Some(AgentState::Unknown) {
            return None;
        }
        self.told = Some(AgentState::Unknown);
        Some(AgentUpdate::new(key.agent.clone(), AgentState::Unknown))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Agents {
    known: BTreeMap<AgentKey, Agent>,
    by_icm: BTreeMap<(PeripheralId, IcmAgentId), AgentKey>,
    by_device: BTreeMap<Extension, AgentKey>,
}

/// What an event changed.
pub(super) struct Change {
    pub(super) key: AgentKey,
    pub(super) update: AgentUpdate,
    /// Whether nothing was told of the agent before.
    pub(super) is_first: bool,
}

/// What a message says of an agent.
struct Told {
    icm_agent_id: Option<IcmAgentId>,
    extension: Option<Extension>,
    instrument: Option<Extension>,
    state: AgentState,
}

impl Agents {
    /// An agent to ask for, though nothing was told of him yet. Returns whether he is new.
    pub(super) fn expect(&mut self, key: AgentKey) -> bool {
        let new = !self.known.contains_key(&key) && self.known.len() < CAPACITY;
        if new {
            self.known.insert(key, Agent::default());
        }
        new
    }

    /// Takes an AGENT_STATE_EVENT, and says what it changed.
    pub(super) fn handle_state(&mut self, event: &AgentStateEvent) -> Option<Change> {
        let peripheral = event.peripheral_id?;
        let icm_agent_id = Some(event.icm_agent_id).filter(|id| is_given(*id));
        if !is_voice(event.mrd_id) {
            return None;
        }
        let agent = agent_id(&event.floating);
        let key = match agent {
            Some(agent) => AgentKey { peripheral, agent },
            None => self.by_icm.get(&(peripheral, icm_agent_id?))?.clone(),
        };
        let is_first = self.known.get(&key).is_none_or(|agent| agent.told.is_none());
        let told = Told::new(icm_agent_id, &event.floating, event.agent_state.into());
        let update = self.told(&key, told)?;
        Some(Change { key, update, is_first })
    }

    /// Takes the answer to a question for an agent.
    pub(super) fn handle_query(&mut self, key: &AgentKey, answer: &QueryAgentStateConf) -> Option<AgentUpdate> {
        let icm_agent_id = answer.icm_agent_id.filter(|id| is_given(*id));
        let told = Told::new(icm_agent_id, &answer.floating, answer.agent_state.into());
        self.told(key, told)
    }

    /// The CTI Server says that the agent isn't signed in.
    pub(super) fn signed_out(&mut self, key: &AgentKey) -> Option<AgentUpdate> {
        let told = Told::new(None, &Floating::default(), AgentState::Logout);
        self.told(key, told)
    }

    fn told(&mut self, key: &AgentKey, told: Told) -> Option<AgentUpdate> {
        let update = AgentUpdate {
            extension: told.extension.clone(),
            device: told.instrument.clone(),
            ..AgentUpdate::new(key.agent.clone(), told.state)
        };
        self.expect(key.clone());
        let Some(agent) = self.known.get_mut(key) else {
            return Some(update);
        };
        let before = (agent.told, agent.extension.clone(), agent.instrument.clone());
        agent.told = Some(told.state);
        if let Some(icm_agent_id) = told.icm_agent_id {
            let earlier = agent.icm_agent_id.replace(icm_agent_id);
            if let Some(earlier) = earlier.filter(|earlier| *earlier != icm_agent_id) {
                self.by_icm.remove(&(key.peripheral, earlier));
            }
            self.by_icm.insert((key.peripheral, icm_agent_id), key.clone());
        }
        let signed_out = told.state == AgentState::Logout;
        move_to(&mut agent.extension, told.extension, signed_out);
        move_to(&mut agent.instrument, told.instrument, signed_out);
        let after = (agent.told, agent.extension.clone(), agent.instrument.clone());
        if before == after {
            return None;
        }
        for left in [&before.1, &before.2].into_iter().flatten() {
            if self.by_device.get(left) == Some(key) {
                self.by_device.remove(left);
            }
        }
        for taken in [after.1, after.2].into_iter().flatten() {
            self.by_device.insert(taken, key.clone());
        }
        Some(update)
    }

    /// Nothing is known any longer of the agents of `peripheral`, or of all. What changed by it.
    pub(super) fn forget_states(&mut self, peripheral: Option<PeripheralId>) -> Vec<AgentUpdate> {
        let concerned = |key: &AgentKey| peripheral.is_none_or(|peripheral| key.peripheral == peripheral);
        let agents = self.known.iter_mut().filter(|(key, _)| concerned(key));
        agents.filter_map(|(key, agent)| agent.forget_state(key)).collect()
    }

    /// Nothing is known any longer of an agent's state.
    pub(super) fn forget_state(&mut self, key: &AgentKey) -> Option<AgentUpdate> {
        self.known.get_mut(key)?.forget_state(key)
    }

    /// The agents of `peripheral`, or all.
    pub(super) fn keys(&self, peripheral: Option<PeripheralId>) -> impl Iterator<Item = &AgentKey> {
        self.known
            .keys()
            .filter(move |key| peripheral.is_none_or(|peripheral| key.peripheral == peripheral))
    }

    pub(super) fn agent(&self, key: &AgentKey) -> Option<&Agent> {
        self.known.get(key)
    }

    /// An agent by his id alone: one who is signed in rather than one who isn't.
    pub(super) fn find(&self, agent: &AgentId) -> Option<(&AgentKey, &Agent)> {
        let named = self.known.iter().filter(|(key, _)| key.agent == *agent);
        named.max_by_key(|(_, agent)| agent.is_signed_in())
    }

    /// Who works at a device.
    pub(super) fn at_device(&self, device: &Extension) -> Option<(&AgentKey, &Agent)> {
        let key = self.by_device.get(device)?;
        Some((key, self.known.get(key)?))
    }

    /// Whether two names mean the same phone.
    pub(super) fn is_same_device(&self, one: &Extension, other: &Extension) -> bool {
        let agent = self.by_device.get(one);
        one == other || (agent.is_some() && agent == self.by_device.get(other))
    }
}

impl Told {
    fn new(icm_agent_id: Option<IcmAgentId>, floating: &Floating, state: AgentState) -> Self {
        Self {
            icm_agent_id,
            extension: extension(floating, Tag::AGENT_EXTENSION),
            instrument: extension(floating, Tag::AGENT_INSTRUMENT),
            state,
        }
    }
}

fn move_to(known: &mut Option<Extension>, told: Option<Extension>, signed_out: bool) {
    if signed_out {
        *known = None;
    } else if told.is_some() {
        *known = told;
    }
}

fn is_given(id: IcmAgentId) -> bool {
    id != IcmAgentId::NONE && id != IcmAgentId::default()
}

/// Some peripherals leave the domain out.
fn is_voice(domain: MrdId) -> bool {
    [MrdId::VOICE, MrdId::NONE, MrdId::default()].contains(&domain)
}

/// The agent's id; UCCX writes it in a field of its own.
pub(super) fn agent_id(floating: &Floating) -> Option<AgentId> {
    let id = floating
        .text(Tag::AGENT_ID)
        .or_else(|| floating.text(Tag::AGENT_ID_LONG));
    id.filter(|id| is_name(id)).map(AgentId::new)
}

/// A device's name.
pub(super) fn extension(floating: &Floating, tag: Tag) -> Option<Extension> {
    floating.text(tag).filter(|text| is_name(text)).map(Extension::new)
}

/// An empty text names nothing; nor does one that is longer than any field is documented to be.
pub(super) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
}

//! At which members programs at agents' desks take notices: one is enough for the agent to be told.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::Fact;

/// Agents with desks at other members that are remembered.
const MOST_AGENTS: usize = 100_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desks {
    own: BTreeSet<AgentId>,
    others: BTreeMap<AgentId, BTreeSet<ServerName>>,
}

impl Desks {
    /// Whether notices are taken from here. Answers whether that is news.
    pub fn tell(&mut self, agent: &AgentId, open: bool) -> bool {
        if open {
            self.own.insert(agent.clone())
        } else {
            self.own.remove(agent)
        }
    }

    /// What a snapshot says of our own.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        let open = |agent: &AgentId| Fact::Desk {
            agent: agent.clone(),
            open: true,
        };
        self.own.iter().map(open)
    }

    /// Takes what another member tells.
    pub fn note(&mut self, at: ServerName, agent: AgentId, open: bool) {
        if open && (self.others.len() < MOST_AGENTS || self.others.contains_key(&agent)) {
            self.others.entry(agent).or_default().insert(at);
        } else if let Some(members) = self.others.get_mut(&agent) {
            members.remove(&at);
            if members.is_empty() {
                self.others.remove(&agent);
            }
        }
    }

    /// Another member is gone, or tells everything anew. Names the agents it spoke of.
    pub fn forget(&mut self, at: &ServerName) -> Vec<AgentId> {
        let told = self.others.iter().filter(|(_, members)| members.contains(at));
        let told: Vec<AgentId> = told.map(|(agent, _)| agent.clone()).collect();
        for agent in &told {
            self.note(at.clone(), agent.clone(), false);
        }
        told
    }

    /// Whether another member has one.
    pub fn is_elsewhere(&self, agent: &AgentId) -> bool {
        self.others.contains_key(agent)
    }
}

//! Which members see which agents' streams: his own side's, the customer's.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::Fact;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seen {
    own: BTreeMap<AgentId, [bool; 2]>,
    others: BTreeMap<AgentId, BTreeMap<ServerName, [bool; 2]>>,
    /// How many agents' streams each of the others sees.
    counts: BTreeMap<ServerName, usize>,
}

impl Seen {
    /// What this member sees of an agent; the fact to be told where that changed.
    pub fn handle_own(&mut self, agent: &AgentId, legs: [bool; 2]) -> Option<Fact> {
        let former = if legs == [false; 2] {
            self.own.remove(agent)
        } else {
            self.own.insert(agent.clone(), legs)
        };
        (former.unwrap_or_default() != legs).then(|| fact(agent, legs))
    }

    /// This member sees just these agents' streams; the facts to be told of what changed.
    pub fn replace_own(&mut self, seen: Vec<(AgentId, [bool; 2])>) -> Vec<Fact> {
        let still: BTreeSet<&AgentId> = seen.iter().map(|(agent, _)| agent).collect();
        let own = self.own.keys();
        let gone: Vec<AgentId> = own.filter(|agent| !still.contains(agent)).cloned().collect();
        let gone = gone.into_iter().map(|agent| (agent, [false; 2]));
        gone.chain(seen)
            .filter_map(|(agent, legs)| self.handle_own(&agent, legs))
            .collect()
    }

    /// All that this member sees.
    pub fn own(&self) -> impl Iterator<Item = Fact> {
        self.own.iter().map(|(agent, &legs)| fact(agent, legs))
    }

    /// What another member sees of an agent; whether that changed.
    pub fn handle_other(&mut self, by: &ServerName, agent: &AgentId, legs: [bool; 2]) -> bool {
        let seen = self.others.entry(agent.clone()).or_default();
        let former = if legs == [false; 2] {
            seen.remove(by)
        } else {
            seen.insert(by.clone(), legs)
        };
        if seen.is_empty() {
            self.others.remove(agent);
        }
        let former = former.unwrap_or_default();
        let any = |legs: [bool; 2]| legs != [false; 2];
        match (any(former), any(legs)) {
            (false, true) => *self.counts.entry(by.clone()).or_default() += 1,
            (true, false) => self.see_one_less(by),
            _ => {}
        }
        former != legs
    }

    fn see_one_less(&mut self, by: &ServerName) {
        if let Some(count) = self.counts.get_mut(by) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(by);
            }
        }
    }

    /// Another member sees just these; whose agents' that changed.
    pub fn replace_other(&mut self, by: &ServerName, sees: &BTreeMap<AgentId, [bool; 2]>) -> Vec<AgentId> {
        let untold = self
            .others
            .iter()
            .filter(|(agent, seen)| seen.contains_key(by) && !sees.contains_key(agent))
            .map(|(agent, _)| (agent.clone(), [false; 2]));
        let told = sees.iter().map(|(agent, &legs)| (agent.clone(), legs));
        let all: Vec<_> = untold.chain(told).collect();
        let changed = all
            .into_iter()
            .filter(|(agent, legs)| self.handle_other(by, agent, *legs));
        changed.map(|(agent, _)| agent).collect()
    }

    /// How many agents' streams another member sees.
    pub fn count(&self, by: &ServerName) -> usize {
        self.counts.get(by).copied().unwrap_or_default()
    }

    /// Other members that see an agent.
    pub fn by<'a>(&'a self, agent: &AgentId) -> impl Iterator<Item = (&'a ServerName, [bool; 2])> + use<'a> {
        let members = self.others.get(agent).into_iter().flatten();
        members.map(|(name, legs)| (name, *legs))
    }
}

fn fact(agent: &AgentId, legs: [bool; 2]) -> Fact {
    Fact::Sees {
        agent: agent.clone(),
        legs,
    }
}

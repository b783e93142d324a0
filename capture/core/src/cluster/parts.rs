//! A snapshot, parted by who wants to know it.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::Fact;
use silentmon_proto::relay::MediaOrigin;

use super::ClusterEvent;

/// A snapshot: what its member sees, what is known of agents and calls, and the rest.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub sees: BTreeMap<AgentId, [bool; 2]>,
    pub cti: Vec<Fact>,
    pub fed: Vec<CtiEvent>,
    pub sighted: Vec<(MediaOrigin, CtiEvent)>,
    pub others: Vec<Fact>,
}

impl Parts {
    pub fn of(facts: Vec<Fact>) -> Self {
        let mut parts = Self::default();
        for fact in facts {
            match fact {
                Fact::Sees { agent, legs } => {
                    parts.sees.insert(agent, legs);
                }
                Fact::Cti { .. } => parts.cti.push(fact),
                Fact::Fed { event } => parts.fed.push(event),
                Fact::Sighted { origin, event } => parts.sighted.push((origin, event)),
                _ => parts.others.push(fact),
            }
        }
        parts
    }

    /// What a member that doesn't hold the CTI sessions knows and nobody else does.
    pub fn known_to_it_alone(&mut self, from: &ServerName) -> Vec<ClusterEvent> {
        let fed = std::mem::take(&mut self.fed);
        let agents: BTreeSet<AgentId> = fed.iter().filter_map(CtiEvent::agent).cloned().collect();
        let fed = ClusterEvent::Fed {
            from: from.clone(),
            agents,
            events: fed,
        };
        let sightings = ClusterEvent::SightedAll {
            from: from.clone(),
            sightings: std::mem::take(&mut self.sighted),
        };
        vec![fed, sightings]
    }
}

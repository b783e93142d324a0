//! AGENT_TEAM_CONFIG_EVENTs to teams (protocol sheet 1.5).
//!
//! A team of more agents than one message holds comes in several; the later ones add to the first.

use std::collections::BTreeSet;

use silentmon_proto::cti::ged188::{AgentTeamConfigEvent, ConfigOperation, PeripheralId, TeamAgent, TeamId};
use silentmon_proto::cti::{TeamMember, TeamOperation, TeamUpdate};
use silentmon_proto::ids::{AgentId, TeamName};

use super::agents::is_name;

/// Agents in one message.
const SEGMENT: usize = 64;
/// Teams and supervisors remembered.
const CAPACITY: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Teams {
    /// Teams whose last message was full: the next one continues it.
    continued: BTreeSet<(Option<PeripheralId>, TeamId)>,
    supervisors: BTreeSet<AgentId>,
}

impl Teams {
    /// Takes an AGENT_TEAM_CONFIG_EVENT.
    pub(super) fn handle(&mut self, event: &AgentTeamConfigEvent) -> TeamUpdate {
        let mut agents = event.agents();
        agents.retain(|agent| is_name(&agent.agent_id));
        let team = (event.peripheral_id, event.team_id);
        let continues = self.continued.remove(&team);
        if agents.len() >= SEGMENT && self.continued.len() < CAPACITY {
            self.continued.insert(team);
        }
        let operation = match event.config_operation {
            ConfigOperation::ADD_AGENT => TeamOperation::Add,
            ConfigOperation::REMOVE_AGENT => TeamOperation::Remove,
            _ if continues => TeamOperation::Add,
            _ => TeamOperation::Replace,
        };
        let name = event.team_name().filter(|name| !name.is_empty());
        for agent in agents.iter().filter(|agent| agent.flags.is_supervisor()) {
            if self.supervisors.len() < CAPACITY {
                self.supervisors.insert(AgentId::new(agent.agent_id.clone()));
            }
        }
        TeamUpdate {
            team: TeamName::new(name.unwrap_or_else(|| event.team_id.to_string())),
            operation,
            members: agents.iter().map(member).collect(),
        }
    }
}

impl Teams {
    /// Whether an agent supervises a team.
    pub(super) fn is_supervisor(&self, agent: &AgentId) -> bool {
        self.supervisors.contains(agent)
    }
}

fn member(agent: &TeamAgent) -> TeamMember {
    TeamMember {
        agent: AgentId::new(agent.agent_id.clone()),
        supervisor: agent.flags.is_supervisor(),
    }
}

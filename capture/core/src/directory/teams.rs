//! Who belongs to which team, and who supervises it.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use silentmon_proto::cti::{TeamMember, TeamOperation, TeamUpdate};
use silentmon_proto::ids::{AgentId, TeamName};

/// Most teams kept.
const MAX_TEAMS: usize = 10_000;
/// Most memberships kept, of all teams together.
const MAX_MEMBERSHIPS: usize = 500_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Teams {
    members: HashMap<TeamName, BTreeMap<AgentId, Role>>,
    of: HashMap<AgentId, BTreeSet<TeamName>>,
    memberships: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Member,
    Supervisor,
}

impl Teams {
    /// Takes up a team's members. Answers the agents it was about.
    pub fn handle(&mut self, update: &TeamUpdate) -> BTreeSet<AgentId> {
        let mut changed: BTreeSet<AgentId> = update.members.iter().map(|member| member.agent.clone()).collect();
        if update.operation == TeamOperation::Replace {
            let former = self.members.remove(&update.team).unwrap_or_default();
            self.memberships -= former.len();
            for agent in former.into_keys() {
                self.forget_team(&agent, &update.team);
                changed.insert(agent);
            }
        }
        for member in &update.members {
            let role = if member.supervisor {
                Role::Supervisor
            } else {
                Role::Member
            };
            match update.operation {
                TeamOperation::Replace | TeamOperation::Add => self.add(&update.team, &member.agent, role),
                TeamOperation::Remove => self.remove(&update.team, &member.agent),
            }
        }
        changed
    }

    /// Every team, as an event that replaces it.
    pub fn retell(&self) -> impl Iterator<Item = TeamUpdate> {
        self.members.iter().map(|(team, members)| TeamUpdate {
            team: team.clone(),
            operation: TeamOperation::Replace,
            members: members
                .iter()
                .map(|(agent, role)| TeamMember {
                    agent: agent.clone(),
                    supervisor: *role == Role::Supervisor,
                })
                .collect(),
        })
    }

    /// The teams an agent belongs to or supervises, by name.
    pub fn of(&self, agent: &AgentId) -> impl Iterator<Item = &TeamName> {
        self.of.get(agent).into_iter().flatten()
    }

    /// The team an agent is a plain member of; of several, the first by name.
    pub fn own(&self, agent: &AgentId) -> Option<&TeamName> {
        self.of(agent).find(|team| self.role(team, agent) == Some(Role::Member))
    }

    /// Whether an agent supervises a team.
    pub fn supervises(&self, supervisor: &AgentId, team: &TeamName) -> bool {
        self.role(team, supervisor) == Some(Role::Supervisor)
    }

    fn role(&self, team: &TeamName, agent: &AgentId) -> Option<Role> {
        self.members.get(team)?.get(agent).copied()
    }

    fn add(&mut self, team: &TeamName, agent: &AgentId, role: Role) {
        let full = self.members.len() >= MAX_TEAMS && !self.members.contains_key(team);
        if full || self.memberships >= MAX_MEMBERSHIPS {
            return;
        }
        let members = self.members.entry(team.clone()).or_default();
        if members.insert(agent.clone(), role).is_none() {
            self.memberships += 1;
        }
        self.of.entry(agent.clone()).or_default().insert(team.clone());
    }

    fn remove(&mut self, team: &TeamName, agent: &AgentId) {
        let Some(members) = self.members.get_mut(team) else {
            return;
        };
        if members.remove(agent).is_some() {
            self.memberships -= 1;
        }
        if members.is_empty() {
            self.members.remove(team);
        }
        self.forget_team(agent, team);
    }

    fn forget_team(&mut self, agent: &AgentId, team: &TeamName) {
        if let Some(teams) = self.of.get_mut(agent) {
            teams.remove(team);
            if teams.is_empty() {
                self.of.remove(agent);
            }
        }
    }
}

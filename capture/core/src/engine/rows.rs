//! The list of agents, and its changes for those who watch.

use std::collections::BTreeSet;

use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AGENTS_IN_A_PAGE, AgentRow, MediaRow, ServerMessage};
use silentmon_proto::time::Instant;

use super::{ConnectionId, Engine, Supervisor};
use crate::diagnosis::Diagnosis;
use crate::directory::MediaLeg;
use crate::policy::Principal;

impl Engine {
    /// Every agent whom somebody is shown, or every one.
    pub fn agent_rows(&self, asks: Option<&Principal>, now: Instant) -> Vec<AgentRow> {
        let agents = self.directory.agents();
        let shown = agents.filter(|(id, _)| asks.is_none_or(|asks| self.shows(asks, id)));
        shown.filter_map(|(id, _)| self.agent_row(id, now)).collect()
    }

    pub(super) fn shows(&self, asks: &Principal, agent: &AgentId) -> bool {
        self.settings.policy.shows(asks, agent, &self.directory)
    }

    pub(super) fn list_agents(&mut self, to: ConnectionId, watch: bool, now: Instant) {
        let Some(principal) = self.connections.get(&to).map(|connection| connection.principal.clone()) else {
            return;
        };
        let agents = self.agent_rows(Some(&principal), now);
        if let Some(connection) = self.connections.get_mut(&to) {
            connection.shown = watch.then(|| agents.iter().map(|row| row.agent.clone()).collect());
        }
        if watch {
            self.told_rows
                .extend(agents.iter().map(|row| (row.agent.clone(), told(row))));
        }
        let mut notice = self.notice(&principal, now);
        let mut pages = agents.chunks(AGENTS_IN_A_PAGE).map(<[AgentRow]>::to_vec).peekable();
        if pages.peek().is_none() {
            let (agents, more) = (Vec::new(), false);
            return self.send(to, ServerMessage::Agents { agents, more, notice });
        }
        while let Some(agents) = pages.next() {
            let (more, notice) = (pages.peek().is_some(), notice.take());
            self.send(to, ServerMessage::Agents { agents, more, notice });
        }
    }

    /// Whether anyone wants to be told of changes.
    pub(super) fn is_watched(&self) -> bool {
        self.connections.values().any(|supervisor| supervisor.shown.is_some())
    }

    /// Lists the agents anew for those who are shown others than before, because teams or rules changed.
    pub(super) fn tell_changed_views(&mut self, now: Instant) {
        if !std::mem::take(&mut self.views_changed) {
            return;
        }
        let changed = |supervisor: &Supervisor| {
            let shown = supervisor.shown.as_ref()?;
            let agents = self.directory.agents().map(|(id, _)| id);
            let now_shown: BTreeSet<_> = agents.filter(|id| self.shows(&supervisor.principal, id)).collect();
            (!shown.iter().eq(now_shown)).then_some(())
        };
        let watchers = self.connections.iter();
        let changed: Vec<_> = watchers
            .filter_map(|(&id, supervisor)| changed(supervisor).map(|()| id))
            .collect();
        for connection in changed {
            self.list_agents(connection, true, now);
        }
    }

    /// Tells those who watch about agents whose row is another than when they were last told.
    pub(super) fn tell_changed_agents(&mut self, now: Instant) {
        if !self.is_watched() {
            return self.changed_agents.clear();
        }
        for id in std::mem::take(&mut self.changed_agents) {
            let Some(row) = self.agent_row(&id, now) else { continue };
            let told = told(&row);
            if self.told_rows.get(&id) == Some(&told) {
                continue;
            }
            for watcher in self.watchers_of(&id) {
                self.send(watcher, ServerMessage::AgentChanged { agent: row.clone() });
            }
            self.told_rows.insert(id, told);
        }
    }

    /// Those who watch and are shown this agent. Where one was shown him and no longer is, his list is made anew.
    fn watchers_of(&mut self, agent: &AgentId) -> Vec<ConnectionId> {
        let (rules, directory) = (&self.settings.policy, &self.directory);
        let mut watchers = Vec::new();
        for (&id, Supervisor { principal, shown }) in &mut self.connections {
            let Some(shown) = shown else { continue };
            if rules.shows(principal, agent, directory) {
                shown.insert(agent.clone());
                watchers.push(id);
            } else {
                self.views_changed |= shown.contains(agent);
            }
        }
        watchers
    }

    fn agent_row(&self, id: &AgentId, now: Instant) -> Option<AgentRow> {
        let agent = self.directory.agent(id)?;
        let Diagnosis { reason, warnings } = self.diagnose_agent(id, now);
        Some(AgentRow {
            agent: id.clone(),
            name: agent.name.clone(),
            state: agent.state,
            since: agent.since,
            extension: agent.extension.clone(),
            team: self.directory.team(id, agent).cloned(),
            calls: agent.calls().iter().map(|call| call.id.clone()).collect(),
            media: self.directory.media(id).into_iter().map(media_row).collect(),
            audible: matches!(reason.code, Code::AudioFlowing | Code::OneSideOnly),
            reason,
            warnings,
            server: self.seer(id, now).clone(),
        })
    }
}

/// What a change is told by: evidence counts on while the reason stays.
fn told(row: &AgentRow) -> AgentRow {
    AgentRow {
        reason: row.reason.without_evidence(),
        warnings: row.warnings.iter().map(Reason::without_evidence).collect(),
        ..row.clone()
    }
}

fn media_row(leg: MediaLeg) -> MediaRow {
    MediaRow {
        call: leg.call,
        address: leg.address,
        remote: leg.remote,
        origin: leg.origin,
    }
}

//! The list of agents, and its changes for those who watch.

use silentmon_proto::ids::AgentId;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AGENTS_IN_A_PAGE, AgentRow, MediaRow, ServerMessage};
use silentmon_proto::time::Instant;

use super::{ConnectionId, Engine};
use crate::diagnosis::Diagnosis;
use crate::directory::MediaLeg;

impl Engine {
    pub(super) fn list_agents(&mut self, to: ConnectionId, watch: bool, now: Instant) {
        let rows = self.directory.agents().filter_map(|(id, _)| self.agent_row(id, now));
        let agents: Vec<AgentRow> = rows.collect();
        if watch {
            self.told_rows = agents.iter().map(|row| (row.agent.clone(), told(row))).collect();
        }
        if let Some(connection) = self.connections.get_mut(&to) {
            connection.watches_agents = watch;
        }
        let mut pages = agents.chunks(AGENTS_IN_A_PAGE).map(<[AgentRow]>::to_vec).peekable();
        if pages.peek().is_none() {
            let (agents, more) = (Vec::new(), false);
            return self.send(to, ServerMessage::Agents { agents, more });
        }
        while let Some(agents) = pages.next() {
            let more = pages.peek().is_some();
            self.send(to, ServerMessage::Agents { agents, more });
        }
    }

    /// Whether anyone wants to be told of changes.
    pub(super) fn is_watched(&self) -> bool {
        self.connections.values().any(|supervisor| supervisor.watches_agents)
    }

    /// Tells those who watch about agents whose row is another than when they were last told.
    pub(super) fn tell_changed_agents(&mut self, now: Instant) {
        let watchers = self
            .connections
            .iter()
            .filter(|(_, supervisor)| supervisor.watches_agents);
        let watchers: Vec<ConnectionId> = watchers.map(|(&id, _)| id).collect();
        if watchers.is_empty() {
            return self.changed_agents.clear();
        }
        for id in std::mem::take(&mut self.changed_agents) {
            let Some(row) = self.agent_row(&id, now) else { continue };
            let told = told(&row);
            if self.told_rows.get(&id) == Some(&told) {
                continue;
            }
            for &watcher in &watchers {
                self.send(watcher, ServerMessage::AgentChanged { agent: row.clone() });
            }
            self.told_rows.insert(id, told);
        }
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
            server: self.settings.server.clone(),
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

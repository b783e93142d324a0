//! Pauses that were ended early: a member of the cluster that was away, and didn't hear of it, tells of them again. The
//! newest word holds, by the time at which it was said.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::ids::{AgentId, CallId};
use silentmon_proto::peer::Fact;
use silentmon_proto::time::Instant;

use super::Engine;
use crate::directory::AgentDirectory;
use crate::policy::{Pause, PauseKind, PauseOf};

/// Most ends that are remembered; the oldest give way.
const MOST_RESUMED: usize = 4096;

/// What was ended early, when, and who asked for that.
#[derive(Debug, Clone, Default)]
pub(super) struct Resumed(BTreeMap<(PauseKind, PauseOf), (Instant, String)>);

impl Resumed {
    /// Somebody ended what hit somebody.
    pub fn note(&mut self, kind: PauseKind, of: &PauseOf, by: &str, at: Instant) {
        let key = (kind, of.clone());
        if self.0.len() >= MOST_RESUMED && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone());
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        let said = self.0.entry(key).or_insert_with(|| (at, by.to_owned()));
        if said.0 < at {
            *said = (at, by.to_owned());
        }
    }

    /// Forgets what is so old that no pause from before still runs.
    pub fn expire(&mut self, before: Instant) {
        self.0.retain(|_, (at, _)| *at >= before);
    }

    /// What other members are told.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        self.0.iter().map(|((kind, of), (at, by))| Fact::PauseOver {
            kind: *kind,
            of: of.clone(),
            by: by.clone(),
            at: Some(*at),
        })
    }
}

/// Whose pauses of a kind end together.
#[derive(Debug)]
pub(super) struct Hit {
    kind: PauseKind,
    of: PauseOf,
    calls: Vec<CallId>,
    agents: BTreeSet<AgentId>,
}

impl Hit {
    /// Whether a pause is one of them.
    pub fn holds(&self, pause: &Pause, directory: &AgentDirectory) -> bool {
        let call = |id: &CallId| self.calls.contains(&directory.goes_on_as(id));
        let agent = matches!(&pause.of, PauseOf::Agent(agent) if self.agents.contains(agent));
        pause.kind == self.kind && (pause.of == self.of || agent || pause.calls.iter().any(call))
    }
}

impl Engine {
    /// The pauses of a kind that hit somebody.
    pub(super) fn hit_by(&self, kind: PauseKind, of: &PauseOf) -> Hit {
        let agents = match of {
            PauseOf::Agent(agent) => [agent.clone()].into(),
            PauseOf::Extension(device) => self.directory.agents_at(device).iter().cloned().collect(),
            PauseOf::Call(_) => BTreeSet::new(),
        };
        Hit {
            kind,
            of: of.clone(),
            calls: self.calls_of(of),
            agents,
        }
    }

    /// Whether a pause that is told of was ended after it was asked for.
    pub(super) fn was_resumed(&self, pause: &Pause) -> bool {
        let later = self.resumed.0.iter().filter(|(_, (at, _))| *at >= pause.asked);
        let mut hits = later.map(|((kind, of), _)| self.hit_by(*kind, of));
        hits.any(|hit| hit.holds(pause, &self.directory))
    }
}

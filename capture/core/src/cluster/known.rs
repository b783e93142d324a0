//! What members tell of themselves rather than of agents and calls: who sees whom, who listens where, and at which member
//! programs at agents' desks take notices.

use std::collections::BTreeMap;

use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::Fact;
use silentmon_proto::time::Instant;

use super::ClusterEvent;
use super::desks::Desks;
use super::seen::Seen;
use super::sessions::Sessions;

/// See the module. What this member tells is in here, and what each of the others told.
#[derive(Debug, Default)]
pub struct Known {
    pub(super) seen: Seen,
    pub(super) sessions: Sessions,
    pub(super) desks: Desks,
}

impl Known {
    /// What a snapshot says of this member.
    pub(super) fn own(&self) -> impl Iterator<Item = Fact> {
        self.seen.own().chain(self.sessions.facts()).chain(self.desks.facts())
    }

    /// Takes what another member told; answers what that means. Times are by our clock.
    pub(super) fn take(&mut self, from: &ServerName, fact: Fact) -> Option<ClusterEvent> {
        match fact {
            Fact::Sees { agent, legs } => self
                .seen
                .handle_other(from, &agent, legs)
                .then_some(ClusterEvent::SeenElsewhere(agent)),
            Fact::Cti { .. } | Fact::Sighted { .. } | Fact::Pause(_) | Fact::PauseOver { .. } => {
                Some(ClusterEvent::Told(from.clone(), fact))
            }
            Fact::Session(session) => self
                .sessions
                .note(from.clone(), session.clone())
                .then(|| ClusterEvent::SessionElsewhere(from.clone(), session)),
            Fact::SessionOver { session } => self
                .sessions
                .note_over(from, session)
                .map(ClusterEvent::ListenedElsewhere),
            Fact::Desk { agent, open } => {
                self.desks.note(from.clone(), agent.clone(), open);
                Some(ClusterEvent::DeskElsewhere(agent))
            }
            // Of use in a snapshot only.
            Fact::Fed { .. } | Fact::Unknown => None,
        }
    }

    /// Another member tells everything anew, beginning with whom it sees; the rest is to be taken after this.
    pub(super) fn begin_anew(&mut self, from: &ServerName, sees: &BTreeMap<AgentId, [bool; 2]>) -> Vec<ClusterEvent> {
        self.sessions.forget(from);
        let mut events = self.see_no_more_than(from, sees);
        events.extend(self.forget_desks(from));
        events
    }

    /// Another member sees just these.
    pub(super) fn see_no_more_than(
        &mut self,
        from: &ServerName,
        sees: &BTreeMap<AgentId, [bool; 2]>,
    ) -> Vec<ClusterEvent> {
        let changed = self.seen.replace_other(from, sees).into_iter();
        changed.map(ClusterEvent::SeenElsewhere).collect()
    }

    /// Another member is gone; its supervisors may come here.
    pub(super) fn forget(&mut self, member: &ServerName, now: Instant) -> Vec<ClusterEvent> {
        self.sessions.orphan(member, now);
        let mut events = self.see_no_more_than(member, &BTreeMap::new());
        events.extend(self.forget_desks(member));
        events
    }

    /// Sessions of members that are gone, which nobody took up.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> impl Iterator<Item = ClusterEvent> {
        let over = self.sessions.handle_timeout(now).into_iter();
        over.map(ClusterEvent::ListenedElsewhere)
    }

    fn forget_desks(&mut self, member: &ServerName) -> impl Iterator<Item = ClusterEvent> + use<> {
        self.desks.forget(member).into_iter().map(ClusterEvent::DeskElsewhere)
    }
}

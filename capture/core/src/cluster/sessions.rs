//! Who listens at which member: what a supervisor's session needs to go on at another one when his home dies.

use std::collections::BTreeMap;

use silentmon_proto::ids::{AgentId, ServerName, SessionId};
use silentmon_proto::peer::{Fact, HomeSession};
use silentmon_proto::time::Instant;

use crate::session::RESUME_WITHIN;

/// Sessions of all other members together that are remembered.
const MOST_SESSIONS: usize = 100_000;

/// Sessions of the whole cluster, as far as known here.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    own: BTreeMap<SessionId, HomeSession>,
    others: BTreeMap<SessionId, Elsewhere>,
}

#[derive(Debug)]
struct Elsewhere {
    home: ServerName,
    session: HomeSession,
    /// Until when it may go on elsewhere, since its home is gone.
    orphaned_until: Option<Instant>,
}

impl Sessions {
    /// A session of ours that is new, or of which something changed. Answers whether that is news.
    pub fn tell(&mut self, session: HomeSession) -> bool {
        self.own.insert(session.session, session.clone()) != Some(session)
    }

    /// A session of ours is over. Answers whether there was one.
    pub fn tell_over(&mut self, session: SessionId) -> bool {
        self.own.remove(&session).is_some()
    }

    /// What a snapshot says of our own.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        self.own.values().cloned().map(Fact::Session)
    }

    /// Takes what another member tells. Of two that say to be a session's home the one to which the supervisor came last
    /// is, whoever tells later: a member that stood still doesn't know yet that the session goes on elsewhere. Answers
    /// whether there was room for it.
    pub fn note(&mut self, home: ServerName, session: HomeSession) -> bool {
        let known = self.others.get(&session.session);
        let is_newer = |known: &Elsewhere| (known.session.attached, &known.home) > (session.attached, &home);
        let is_outdated = known.is_some_and(|known| known.home != home && is_newer(known));
        let room = known.is_some() || self.others.len() < MOST_SESSIONS;
        if room && !is_outdated {
            let known = Elsewhere {
                home,
                session,
                orphaned_until: None,
            };
            self.others.insert(known.session.session, known);
        }
        room
    }

    /// Names the agent whom one listens to no longer there.
    pub fn note_over(&mut self, home: &ServerName, session: SessionId) -> Option<AgentId> {
        self.others.get(&session).filter(|known| known.home == *home)?;
        self.others.remove(&session).map(|known| known.session.agent)
    }

    /// Another member tells everything anew.
    pub fn forget(&mut self, home: &ServerName) {
        self.others.retain(|_, known| known.home != *home);
    }

    /// Another member is gone; its supervisors may come here.
    pub fn orphan(&mut self, home: &ServerName, now: Instant) {
        for known in self.others.values_mut().filter(|known| known.home == *home) {
            known.orphaned_until.get_or_insert(now + RESUME_WITHIN);
        }
    }

    /// Names the agents of sessions that nobody took up.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<AgentId> {
        let mut ended = Vec::new();
        self.others.retain(|_, known| {
            let over = known.orphaned_until.is_some_and(|until| until <= now);
            ended.extend(over.then(|| known.session.agent.clone()));
            !over
        });
        ended
    }

    pub fn elsewhere(&self) -> impl Iterator<Item = (&ServerName, &HomeSession)> {
        self.others.values().map(|known| (&known.home, &known.session))
    }

    pub fn get(&self, session: SessionId) -> Option<(&ServerName, &HomeSession)> {
        self.others.get(&session).map(|known| (&known.home, &known.session))
    }
}

//! A session goes on at another member: its supervisor's home died, or he came back elsewhere.

use silentmon_proto::ids::{AgentId, ServerName, SessionId};
use silentmon_proto::peer::HomeSession;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::super::{ConnectionId, Engine, EngineEvent, ForeignRequest};
use crate::cluster::{Cluster, Directory};
use crate::policy::Principal;
use crate::session::{Admission, Attachment, MonitorSession, SessionRequest};

impl Engine {
    /// The session at another member that a supervisor wants to take up here.
    pub(in super::super) fn session_to_move(
        &mut self,
        principal: &Principal,
        wanted: &SessionRequest,
        resume: Option<SessionId>,
    ) -> Option<(ServerName, HomeSession)> {
        let (home, session) = self.membership.directory()?.session_elsewhere(resume?)?;
        let same =
            session.principal.is_same(principal) && session.agent == wanted.agent && session.output == wanted.output;
        if !same {
            self.count_foreign(ForeignRequest::Resume);
            return None;
        }
        Some((home.clone(), session.clone()))
    }

    /// Takes up a session that another member held. Its start is in that member's journal; here it is written down that
    /// it goes on, before anything is heard.
    pub(in super::super) fn take_over(
        &mut self,
        from: ConnectionId,
        principal: Principal,
        wanted: SessionRequest,
        (former, known): (ServerName, HomeSession),
        now: Instant,
    ) -> SessionId {
        let channel = self.free_channel();
        let attachment = Attachment::Attached(from);
        let mut session = MonitorSession::new(known.session, channel, principal, attachment, wanted, now);
        session.started = known.started.min(now);
        session.confirmed = known.confirmed.min(now);
        self.open_session(session, Some(former))
    }

    /// Tells the cluster of a session that is at home here, so that it can go on elsewhere.
    pub(in super::super) fn tell_of_session(&mut self, id: SessionId) {
        if let Some(session) = self.home_session(id)
            && let Some(cluster) = self.membership.directory_mut()
        {
            cluster.handle_session(session);
        }
    }

    /// A session as other members know it, where it is at home here and may be heard.
    pub(in super::super) fn home_session(&self, id: SessionId) -> Option<HomeSession> {
        let session = self.sessions.get(&id)?;
        let told = session.home.is_none() && session.admission == Admission::Admitted;
        told.then(|| as_told(session))
    }

    /// Another member says that a session is at home there. Of two the one to which the supervisor came last is right.
    pub(in super::super) fn handle_session_elsewhere(&mut self, home: &ServerName, claim: &HomeSession, now: Instant) {
        let id = claim.session;
        self.events.push_back(EngineEvent::ListeningChanged {
            agent: claim.agent.clone(),
        });
        // A leaf isn't told of sessions that could go on there.
        if self.cluster().is_some_and(|cluster| cluster.is_leaf_here(home)) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.home.is_none()) else {
            return;
        };
        if (session.attached, &self.settings.server) > (claim.attached, home) {
            return;
        }
        let agent = session.agent.clone();
        if self.sees(&agent, now) == [false; 2] && !self.is_seen_by_leaf_here(&agent) {
            let text = format!("The session goes on at {home}.");
            return self.stop_session(id, &Reason::new(Code::AudioFlowing, text), now);
        }
        // It will be asked for.
        if let Some(session) = self.sessions.get_mut(&id) {
            session.attachment = Attachment::Detached(now);
            session.home = Some(home.clone());
        }
        self.is_home_no_more(id, home);
    }

    /// What was heard for a session elsewhere is now heard by its new home.
    pub(super) fn is_home_no_more(&mut self, id: SessionId, home: &ServerName) {
        let text = format!("The session goes on at {home}.");
        self.unsubscribe_others(id, &Reason::new(Code::AudioFlowing, text));
        if let Some(cluster) = self.membership.directory_mut() {
            cluster.handle_session_over(id);
        }
    }

    /// Whether a leaf that dialled this hub sees an agent.
    fn is_seen_by_leaf_here(&self, agent: &AgentId) -> bool {
        let seen = |cluster: &Cluster| cluster.seen_by(agent).any(|(seer, _)| cluster.is_leaf_here(seer));
        self.cluster().is_some_and(seen)
    }

    /// Sessions of other members that aren't known here besides.
    pub(in super::super) fn sessions_elsewhere(&self) -> impl Iterator<Item = &HomeSession> {
        let directory = self.membership.directory().into_iter();
        let sessions = directory.flat_map(|directory| directory.sessions_elsewhere());
        let others = sessions.filter(|(_, session)| !self.sessions.contains_key(&session.session));
        others.map(|(_, session)| session)
    }
}

/// A session as other members are told of it.
pub(super) fn as_told(session: &MonitorSession) -> HomeSession {
    HomeSession {
        session: session.id,
        agent: session.agent.clone(),
        principal: session.principal.clone(),
        purpose: session.purpose.clone(),
        output: session.output,
        started: session.started,
        confirmed: session.confirmed,
        attached: session.attached,
    }
}

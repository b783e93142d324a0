//! What the rest of the engine asks of a cluster, however its members learn of each other, in a mesh
//! ([`super::Cluster`]) or by a key-value store ([`super::StoreDirectory`]).

use std::fmt::Debug;

use silentmon_proto::ids::{AgentId, ServerName, SessionId};
use silentmon_proto::peer::{Fact, HomeSession};
use silentmon_proto::time::Instant;

use super::known::Known;
use super::{ClusterEvent, Member};

/// See the module.
pub trait Directory: Debug + Send {
    /// Heartbeats that are due, members that are silent, and the CTI sessions' holder.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Self::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next thing the engine or the shell should know.
    fn poll_event(&mut self) -> Option<ClusterEvent>;

    /// Tells all members something that this one learnt itself.
    fn tell(&mut self, fact: &Fact);

    /// Answers [`ClusterEvent::SnapshotWanted`] with what is known of agents and calls.
    fn give_snapshot(&mut self, known: Vec<Fact>);

    /// Whether this member is to tell what it knows of agents and calls: it holds the CTI sessions, or nobody does (in a
    /// mesh: or will).
    fn tells_cti(&self) -> bool;

    /// Who holds the CTI sessions, as far as known here.
    fn holder(&self) -> Option<&ServerName>;

    /// The CTI sessions can't be had from here: another member is to hold them, if one can.
    fn handle_cti_failed(&mut self, now: Instant);

    /// Lets another member hold the CTI sessions, or this one.
    ///
    /// # Errors
    /// Why it can't, in words.
    fn hand_over(&mut self, to: &ServerName, now: Instant) -> Result<(), String>;

    /// Says goodbye to all members.
    fn stop(&mut self);

    /// Members that are there.
    fn members(&self) -> Box<dyn Iterator<Item = &ServerName> + '_>;

    /// What is known of a member that is there.
    fn member(&self, server: &ServerName) -> Option<Member<'_>>;

    /// What members told of themselves.
    fn known(&self) -> &Known;

    /// See [`Self::known`]. What changes in it for this member is to be told.
    fn known_mut(&mut self) -> &mut Known;

    /// Whether this member sees an agent's streams: his side's, the customer's.
    fn handle_sees(&mut self, agent: &AgentId, legs: [bool; 2]) {
        if let Some(fact) = self.known_mut().seen.handle_own(agent, legs) {
            self.tell(&fact);
        }
    }

    /// Agents whose streams this member sees, and which; of others it sees none.
    fn handle_seen(&mut self, seen: Vec<(AgentId, [bool; 2])>) {
        for fact in self.known_mut().seen.replace_own(seen) {
            self.tell(&fact);
        }
    }

    /// A session begins here, or something of it changed.
    fn handle_session(&mut self, session: HomeSession) {
        if self.known_mut().sessions.tell(session.clone()) {
            self.tell(&Fact::Session(session));
        }
    }

    /// A session ended here, or goes on elsewhere.
    fn handle_session_over(&mut self, session: SessionId) {
        if self.known_mut().sessions.tell_over(session) {
            self.tell(&Fact::SessionOver { session });
        }
    }

    /// A program at an agent's desk takes notices from here, or no longer.
    fn handle_desk(&mut self, agent: &AgentId, open: bool) {
        if self.known_mut().desks.tell(agent, open) {
            let agent = agent.clone();
            self.tell(&Fact::Desk { agent, open });
        }
    }

    /// Agents whose streams this member sees.
    fn seen_here(&self) -> usize {
        self.known().seen.own().count()
    }

    /// Other members that see an agent's streams.
    fn seen_by<'a>(&'a self, agent: &AgentId) -> Box<dyn Iterator<Item = (&'a ServerName, [bool; 2])> + 'a> {
        Box::new(self.known().seen.by(agent))
    }

    /// Whether a program at an agent's desk takes notices from another member.
    fn has_desk_elsewhere(&self, agent: &AgentId) -> bool {
        self.known().desks.is_elsewhere(agent)
    }

    /// Where else a session is held or was, and what is known of it; times are by our clock, as far as members' clocks
    /// are compared. A member that is gone is remembered for as long as a session outlives a broken connection.
    fn session_elsewhere(&self, session: SessionId) -> Option<(&ServerName, &HomeSession)> {
        self.known().sessions.get(session)
    }

    /// Sessions of other members.
    fn sessions_elsewhere(&self) -> Box<dyn Iterator<Item = (&ServerName, &HomeSession)> + '_> {
        Box::new(self.known().sessions.elsewhere())
    }
}

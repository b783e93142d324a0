//! What the rest of the engine asks of a cluster, however its members learn of each other, in a mesh
//! ([`super::Cluster`]) or by a key-value store ([`super::StoreDirectory`]).

use std::fmt::Debug;

use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::Fact;
use silentmon_proto::time::Instant;

use super::{ClockDifference, ClusterEvent, PeerLink};

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

    /// Whether this member sees an agent's streams: his side's, the customer's.
    fn handle_sees(&mut self, agent: &AgentId, legs: [bool; 2]);

    /// Whether this member sees agents' streams, of all agents with media; of others it sees none.
    fn handle_seen(&mut self, seen: Vec<(AgentId, [bool; 2])>);

    /// Answers [`ClusterEvent::SnapshotWanted`] with what is known of agents and calls.
    fn give_snapshot(&mut self, link: PeerLink, known: Vec<Fact>);

    /// Whether this member is to tell what it knows of agents and calls: it holds the CTI sessions, or nobody does.
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

    /// Members that are there, with how their clocks differ from ours, where that was measured.
    fn members(&self) -> Box<dyn Iterator<Item = (&ServerName, Option<ClockDifference>)> + '_>;

    /// Other members that see an agent's streams.
    fn seen_by<'a>(&'a self, agent: &AgentId) -> Box<dyn Iterator<Item = (&'a ServerName, [bool; 2])> + 'a>;
}

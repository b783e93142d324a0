//! Who is a member: greetings, connections that take each other's place, and leaving.

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::{Hello, PeerMessage, Role};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::link::Link;
use super::{Cluster, ClusterEvent, Dialled, PeerLink, PeerTransmit};

impl Cluster {
    pub(super) fn greet(&mut self, from: PeerLink, hello: &Hello, now: Instant) {
        let Some(link) = self.links.get_mut(&from) else { return };
        let peer = link.peer.clone();
        link.run = hello.run;
        link.software.clone_from(&hello.software);
        link.version = hello.version;
        let (dialled, former_run) = (link.dialled, link.followed_run.take());
        if let Err(reason) = self.settings.admit(&peer, hello) {
            self.send(from, PeerMessage::Goodbye { reason: reason.clone() });
            self.events.push_back(ClusterEvent::Refused(peer, reason.clone()));
            self.close(from, reason, now);
            return;
        }
        if former_run.is_some_and(|run| run != hello.run) {
            self.forget_former_run(from, &peer, now);
        }
        if let Some(former) = self.members.get(&peer).copied().filter(|former| *former != from) {
            let known = self.links.get(&former);
            let same_run = known.is_some_and(|link| link.run == hello.run);
            let both_dialled = known.is_some_and(|link| link.dialled != dialled);
            let by_the_smaller = (dialled == Dialled::ByUs) == (self.settings.server < peer);
            if same_run && both_dialled && !by_the_smaller {
                self.links.remove(&from);
                self.transmits.push_back(PeerTransmit::Close { link: from });
                return;
            }
            self.replace_link(former, same_run, &peer, now);
        }
        if hello.role == Role::Leaf {
            self.take_leaf(&peer, from, hello.run, now);
            return;
        }
        let joined = self.link_with(&peer, from);
        if self.settings.store.is_some() {
            return self.send_heartbeat(from, now);
        }
        let leaf = self.settings.role == Role::Leaf;
        if joined {
            // A leaf's sources are its own.
            if !leaf {
                self.duty.handle_joined(&peer);
            }
            self.events.push_back(ClusterEvent::Joined(peer));
        }
        self.send_heartbeat(from, now);
        if !leaf {
            self.send(from, PeerMessage::WantSnapshot);
            self.tell_leaves(from);
        }
    }

    /// From now on a member is talked to over this connection. Answers whether there was none.
    pub(super) fn link_with(&mut self, peer: &ServerName, link: PeerLink) -> bool {
        let new = self.members.insert(peer.clone(), link).is_none();
        if new {
            self.events.push_back(ClusterEvent::Linked(peer.clone()));
        }
        new
    }

    /// A member's connection gives way to another one. Of a former run nothing counts on.
    fn replace_link(&mut self, former: PeerLink, same_run: bool, peer: &ServerName, now: Instant) {
        self.links.remove(&former);
        self.transmits.push_back(PeerTransmit::Close { link: former });
        if !same_run {
            self.forget_former_run(former, peer, now);
        }
    }

    fn forget_former_run(&mut self, link: PeerLink, peer: &ServerName, now: Instant) {
        let reason = Reason::new(Code::NoCaptureServer, format!("{peer} was started again."));
        self.forget_member(link, peer, reason, now);
    }

    /// A member's connection is gone while another one with it waits for the greeting: of two that were dialled at once the
    /// member has kept that one, and its greeting is on its way. Answers whether that is so.
    pub(super) fn follow_to_another_link(&mut self, gone: &Link) -> bool {
        let waiting = self.links.iter_mut().find(|(_, link)| link.peer == gone.peer);
        let Some((&id, link)) = waiting.filter(|_| !self.leaves.is_straight(&gone.peer)) else {
            return false;
        };
        link.followed_run = Some(gone.run);
        self.members.insert(gone.peer.clone(), id);
        true
    }

    pub(super) fn close(&mut self, id: PeerLink, reason: Reason, now: Instant) {
        let Some(link) = self.links.remove(&id) else { return };
        self.transmits.push_back(PeerTransmit::Close { link: id });
        self.forget_member(id, &link.peer, reason, now);
    }

    /// Where the member was heard over just this connection, it is gone.
    pub(super) fn forget_member(&mut self, link: PeerLink, peer: &ServerName, reason: Reason, now: Instant) {
        if self.members.get(peer) != Some(&link) {
            return;
        }
        self.members.remove(peer);
        self.events
            .push_back(ClusterEvent::Unlinked(peer.clone(), reason.clone()));
        if self.settings.store.is_some() {
            return;
        }
        if self.leaves.is_straight(peer) {
            self.leaf_link_lost(peer, now);
            return;
        }
        self.leaf_ways_lost(peer, now);
        self.duty.handle_left(peer);
        self.events.extend(self.known.forget(peer, now));
        self.events.push_back(ClusterEvent::Left(peer.clone(), reason));
        self.decide_duty(now);
    }
}

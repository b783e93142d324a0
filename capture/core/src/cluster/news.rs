//! What members tell: a snapshot of what they know, facts in order after it, and asking anew where some were lost.

use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::{Fact, PeerMessage};
use silentmon_proto::time::Instant;

use super::link::Numbering;
use super::parts::Parts;
use super::{Cluster, ClusterEvent, Directory, PeerLink};

/// Whoever asks for a snapshot so soon after somebody else is answered with the same one: it takes a walk over all agents.
const ANSWERED_WITHIN: Duration = Duration::from_millis(10);
/// Facts of one snapshot that are taken; more can't be a directory.
pub(super) const MOST_FACTS: usize = 4_000_000;

impl Cluster {
    pub(super) fn take_snapshot(
        &mut self,
        from: PeerLink,
        peer: &ServerName,
        number: u64,
        facts: Vec<Fact>,
        more: bool,
    ) {
        let Some(link) = self.links.get_mut(&from) else { return };
        if link.snapshot.len() + facts.len() > MOST_FACTS {
            link.snapshot = Vec::new();
            return;
        }
        link.snapshot.extend(facts);
        if more {
            return;
        }
        link.news = Numbering::After(number);
        let mut parts = Parts::of(std::mem::take(&mut link.snapshot));
        let alone = parts.known_to_it_alone(peer);
        let facts = parts.cti;
        self.events.extend(self.known.begin_anew(peer, &parts.sees));
        for fact in parts.others {
            self.take_fact(peer, fact);
        }
        let holder = self.holder();
        let instead = holder == Some(peer);
        if instead {
            self.ask_leaves();
        }
        let holder = self.holder();
        // Others know nothing that the holder doesn't know better.
        if instead || (holder.is_none() && !facts.is_empty()) {
            self.events.push_back(ClusterEvent::ToldAll {
                from: peer.clone(),
                facts,
                instead,
            });
        }
        self.events.extend(alone);
    }

    pub(super) fn take_news(&mut self, from: PeerLink, peer: &ServerName, number: u64, fact: Fact) {
        let Some(link) = self.links.get_mut(&from) else { return };
        if !link.news.takes(number) {
            self.send(from, PeerMessage::WantSnapshot);
        }
        self.take_fact(peer, fact);
    }

    pub(super) fn take_fact(&mut self, peer: &ServerName, fact: Fact) {
        let fact = self.by_our_times(peer, fact);
        self.events.extend(self.known.take(peer, fact));
    }

    /// Facts come in order with the heartbeats: one that is behind has lost some.
    pub(super) fn check_number(&mut self, from: PeerLink, number: u64) {
        if let Some(link) = self.links.get_mut(&from)
            && !link.news.has(number)
        {
            self.send(from, PeerMessage::WantSnapshot);
        }
    }

    /// Answers whoever asks for everything, with others who ask now.
    pub(super) fn note_asked(&mut self, link: PeerLink, now: Instant) {
        self.asked.insert(link);
        self.answered_at.get_or_insert(now + ANSWERED_WITHIN);
    }
}

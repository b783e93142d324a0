//! What an engine has of its cluster: connections with other members, and by what they learn of each other.

use std::collections::BTreeMap;

use silentmon_proto::ids::ServerName;
use silentmon_proto::reason::Reason;
use silentmon_proto::time::Instant;

use crate::cluster::{Cluster, ClusterEvent, ClusterSettings, Directory, LeafCounts, StoreDirectory};

/// Servers that were refused and are remembered.
const MOST_REFUSED: usize = 64;

/// See the module. Empty, where a server is alone.
#[derive(Debug, Default)]
pub(super) struct Membership {
    cluster: Option<Cluster>,
    /// By what members learn of each other, where they don't tell each other.
    store: Option<StoreDirectory>,
    /// Why servers that wanted to be members, or were to be, aren't.
    refused: BTreeMap<ServerName, Reason>,
    /// Since when this member holds the CTI sessions and has reached no source.
    pub(super) sources_away: Option<Instant>,
    /// How many leaves are known, where this is a hub: as counted last, for there may be thousands.
    pub(super) leaves: Option<LeafCounts>,
}

impl Membership {
    pub(super) fn new(settings: Option<&ClusterSettings>, now: Instant) -> Self {
        let store = settings.and_then(|settings| {
            let address = settings.store.clone()?;
            Some(StoreDirectory::new(settings.clone(), address))
        });
        Self {
            cluster: settings.map(|settings| Cluster::new(settings.clone(), now)),
            store,
            ..Self::default()
        }
    }

    /// Connections with other members.
    pub(super) const fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// See [`Self::cluster`].
    pub(super) const fn cluster_mut(&mut self) -> Option<&mut Cluster> {
        self.cluster.as_mut()
    }

    /// The store, where members learn of each other by one.
    pub(super) const fn store(&self) -> Option<&StoreDirectory> {
        self.store.as_ref()
    }

    /// See [`Self::store`].
    pub(super) const fn store_mut(&mut self) -> Option<&mut StoreDirectory> {
        self.store.as_mut()
    }

    /// What is known of the others and what they know.
    pub(super) fn directory(&self) -> Option<&dyn Directory> {
        match (&self.store, &self.cluster) {
            (Some(store), _) => Some(store),
            (None, Some(cluster)) => Some(cluster),
            (None, None) => None,
        }
    }

    /// See [`Self::directory`].
    pub(super) fn directory_mut(&mut self) -> Option<&mut dyn Directory> {
        match (&mut self.store, &mut self.cluster) {
            (Some(store), _) => Some(store),
            (None, Some(cluster)) => Some(cluster),
            (None, None) => None,
        }
    }

    /// The next thing that the engine should know.
    pub(super) fn poll_event(&mut self) -> Option<ClusterEvent> {
        let store = self.store.as_mut().and_then(Directory::poll_event);
        store.or_else(|| self.cluster.as_mut()?.poll_event())
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let cluster = self.cluster.as_ref().and_then(Directory::poll_timeout);
        let store = self.store.as_ref().and_then(Directory::poll_timeout);
        cluster.into_iter().chain(store).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(cluster) = &mut self.cluster {
            cluster.handle_timeout(now);
        }
        if let Some(store) = &mut self.store {
            store.handle_timeout(now);
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.stop();
        }
        if let Some(store) = &mut self.store {
            store.stop();
        }
    }

    /// The members that there should be: those configured or, by a store, those that are there.
    pub(super) fn expected(&self) -> Box<dyn Iterator<Item = &ServerName> + '_> {
        match (&self.store, &self.cluster) {
            (Some(store), _) => store.members(),
            (None, Some(cluster)) => Box::new(cluster.settings().peers.iter()),
            (None, None) => Box::new(std::iter::empty()),
        }
    }

    /// Answers whether that is something new.
    pub(super) fn note_refused(&mut self, server: &ServerName, reason: &Reason) -> bool {
        let known = self.refused.get(server);
        if known == Some(reason) || (known.is_none() && self.refused.len() >= MOST_REFUSED) {
            return false;
        }
        self.refused.insert(server.clone(), reason.clone());
        true
    }

    /// A server that may have been refused is a member now.
    pub(super) fn forget_refused(&mut self, server: &ServerName) {
        self.refused.remove(server);
    }

    /// Servers that aren't members, and why.
    pub(super) const fn refused(&self) -> &BTreeMap<ServerName, Reason> {
        &self.refused
    }
}

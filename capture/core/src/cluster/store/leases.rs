//! Which members are there: those that renewed their records lately. The time that counts is when the renewal was seen
//! here, so that clocks need not agree.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::ids::ServerName;
use silentmon_proto::store::MemberRecord;
use silentmon_proto::time::Instant;

use super::origin::Origin;

/// Members of a cluster; more can't be one. Bounds what strangers can make grow.
const MOST_MEMBERS: usize = 1_024;
/// What a member told is removed when it has been gone for so long.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

/// See the module.
#[derive(Debug)]
pub(super) struct Leases {
    length: Duration,
    members: BTreeMap<ServerName, Origin>,
    /// Members that are gone, the revision of their last record and when they went.
    gone: BTreeMap<ServerName, (u64, Instant)>,
    /// Servers that were refused, and in which run.
    refused: BTreeMap<ServerName, u64>,
    /// When this member last saw its own record renewed.
    seen: Option<Instant>,
    /// When its own record was put that it hasn't seen yet.
    unseen: Option<Instant>,
    now: Instant,
}

/// How well changes are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// As they happen.
    Clear,
    /// This member doesn't see itself, as far as it knows because nothing can be put.
    Dim,
    /// What was put long ago hasn't been seen: changes have ceased to come.
    Lost,
}

/// What the renewal of a record means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewed {
    Known,
    Joined,
    TooMany,
}

impl Leases {
    pub const fn new(length: Duration) -> Self {
        Self {
            length,
            members: BTreeMap::new(),
            gone: BTreeMap::new(),
            refused: BTreeMap::new(),
            seen: None,
            unseen: None,
            now: Instant::EPOCH,
        }
    }

    /// The time that was told last.
    pub const fn now(&self) -> Instant {
        self.now
    }

    pub fn get(&self, name: &ServerName) -> Option<&Origin> {
        self.members.get(name)
    }

    pub fn get_mut(&mut self, name: &ServerName) -> Option<&mut Origin> {
        self.members.get_mut(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ServerName, &Origin)> {
        self.members.iter()
    }

    /// Members of which nothing that they told is missing.
    pub fn in_step(&self) -> impl Iterator<Item = &ServerName> {
        let in_step = self.members.iter().filter(|(_, member)| !member.wants_pages());
        in_step.map(|(name, _)| name)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.members.values().map(|member| member.void_at).min()
    }

    /// This member's own record is in the store.
    pub fn handle_stored(&mut self, now: Instant) {
        self.now = now;
        self.unseen = self.unseen.or(Some(now));
    }

    /// And it was told so like everybody.
    pub const fn handle_seen(&mut self, now: Instant) {
        self.now = now;
        self.seen = Some(now);
        self.unseen = None;
    }

    /// Whether the others' renewals would be seen: who doesn't see its own renewed within a time doesn't see theirs.
    pub fn sight(&mut self, now: Instant, within: Duration) -> Sight {
        self.now = now;
        let longer = |since: Instant| now.saturating_since(since) > within;
        if self.unseen.is_some_and(longer) {
            self.unseen = None;
            Sight::Lost
        } else if self.seen.is_none_or(longer) {
            Sight::Dim
        } else {
            Sight::Clear
        }
    }

    /// Nobody can be heard of, so nobody is gone.
    pub fn extend(&mut self, now: Instant) {
        self.now = now;
        for member in self.members.values_mut() {
            member.void_at = now + self.length;
        }
    }

    pub fn renew(&mut self, name: &ServerName, record: &MemberRecord, revision: u64, now: Instant) -> Renewed {
        self.now = now;
        let void_at = now + self.length;
        if let Some(member) = self.members.get_mut(name) {
            member.cti = record.cti;
            member.address.clone_from(&record.address);
            member.revision = revision;
            member.void_at = void_at;
            return Renewed::Known;
        }
        if self.members.len() == MOST_MEMBERS {
            return Renewed::TooMany;
        }
        self.gone.remove(name);
        self.refused.remove(name);
        self.members
            .insert(name.clone(), Origin::new(record, revision, now, void_at));
        Renewed::Joined
    }

    /// Whether it is news that a server is refused.
    pub fn refuse(&mut self, name: &ServerName, run: u64) -> bool {
        let known = self.refused.contains_key(name);
        (known || self.refused.len() < MOST_MEMBERS) && self.refused.insert(name.clone(), run) != Some(run)
    }

    /// Whether it was there.
    pub fn remove(&mut self, name: &ServerName) -> bool {
        let Some(member) = self.members.remove(name) else {
            return false;
        };
        if self.gone.len() < MOST_MEMBERS {
            self.gone.insert(name.clone(), (member.revision, self.now));
        }
        true
    }

    /// Members whose time is up, and for how long nothing was heard of them.
    pub fn expire(&self, now: Instant) -> Vec<(ServerName, Duration)> {
        let void = self.members.iter().filter(|(_, member)| member.void_at <= now);
        void.map(|(name, member)| (name.clone(), self.length + now.saturating_since(member.void_at)))
            .collect()
    }

    /// A member that has been gone for long, and the revision of its record. One member sees to that: the first by name.
    pub fn poll_grave(&mut self, own: &ServerName) -> Option<(ServerName, u64)> {
        if self.members.keys().next().is_some_and(|first| first < own) {
            return None;
        }
        let now = self.now;
        let long_gone =
            |(_, (_, since)): &(&ServerName, &(u64, Instant))| now.saturating_since(*since) >= REMEMBERED_FOR;
        let (name, &(revision, _)) = self.gone.iter().find(long_gone)?;
        let name = name.clone();
        self.gone.remove(&name);
        Some((name, revision))
    }
}

//! The calls of the house: under which ids they go, who is on them, who left, which are over (protocol sheet 1.5).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::ids::{AgentId, CallId, Extension};
use silentmon_proto::time::Instant;

use super::release::CallReleases;

/// How long a call that is over is remembered, so that late events don't bring it back.
pub const REMEMBERED: Duration = Duration::from_secs(60);
/// Most calls kept, those remembered among them; beyond it the one over longest is forgotten, then new ones are ignored.
const MAX_CALLS: usize = 200_000;
/// Most names and parties kept of one call.
const MAX_OF_CALL: usize = 64;

/// Whose calls and media they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Party {
    /// An agent's.
    Agent(AgentId),
    /// A device's at which nobody is known to sit yet.
    Device(Extension),
}

/// How a party left a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Its connection ended.
    Cleared,
    /// It passed the call on: it is gone from the call that it merged with, too.
    Transferred,
    /// The agent signed out; he may be back.
    SignedOut,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    records: HashMap<CallId, Record>,
    roots: HashMap<CallId, CallId>,
    over: VecDeque<(Instant, CallId)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub holders: Vec<Party>,
    pub releases: CallReleases,
    /// Those that rules name, for whoever comes to the call.
    pub variables: BTreeMap<String, String>,
    left: Vec<(Party, Leaving)>,
    aliases: Vec<CallId>,
    over: Option<Instant>,
    ended: bool,
}

impl Record {
    /// Former ids of the call.
    pub fn aliases(&self) -> &[CallId] {
        &self.aliases
    }

    /// Who left the call and how, whoever is still on it.
    pub fn left(&self) -> &[(Party, Leaving)] {
        &self.left
    }

    /// Whether the call ended for everyone.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }
}

impl Calls {
    /// The id under which a call goes on.
    pub fn root(&self, id: &CallId) -> CallId {
        self.roots.get(id).unwrap_or(id).clone()
    }

    /// All calls, those remembered among them.
    pub fn records(&self) -> impl Iterator<Item = (&CallId, &Record)> {
        self.records.iter()
    }

    pub fn record(&self, root: &CallId) -> Option<&Record> {
        self.records.get(root)
    }

    /// A call's record, made where there is none yet; `None` where there are too many.
    pub fn record_mut(&mut self, root: &CallId) -> Option<&mut Record> {
        if !self.records.contains_key(root) && self.records.len() >= MAX_CALLS {
            let (_, oldest) = self.over.pop_front()?;
            self.forget(&oldest);
        }
        Some(self.records.entry(root.clone()).or_default())
    }

    /// Whether an event may bring a party to a call. One that `begins` a connection brings back who had left, but
    /// nothing brings back a call that has ended.
    pub fn admits(&mut self, root: &CallId, party: &Party, begins: bool, signed_in: bool) -> bool {
        let Some(record) = self.records.get_mut(root) else {
            return self.records.len() < MAX_CALLS || !self.over.is_empty();
        };
        if record.ended {
            return false;
        }
        let Some((_, leaving)) = record.left.iter().find(|(left, _)| left == party) else {
            return true;
        };
        let back = begins || (*leaving == Leaving::SignedOut && signed_in && matches!(party, Party::Agent(_)));
        if back {
            record.left.retain(|(left, _)| left != party);
        }
        back
    }

    /// A snapshot shows the call: it isn't over, whatever was said.
    pub fn revive(&mut self, root: &CallId, party: &Party) {
        if let Some(record) = self.records.get_mut(root) {
            record.ended = false;
            record.left.retain(|(left, _)| left != party);
        }
    }

    pub fn join(&mut self, root: &CallId, party: &Party) {
        if let Some(record) = self.record_mut(root)
            && !record.holders.contains(party)
            && record.holders.len() < MAX_OF_CALL
        {
            record.holders.push(party.clone());
            record.over = None;
        }
    }

    /// A party no longer holds a call. Once nobody does, it is forgotten after a while.
    pub fn part(&mut self, root: &CallId, party: &Party, now: Instant) {
        let Some(record) = self.records.get_mut(root) else {
            return;
        };
        record.holders.retain(|holder| holder != party);
        if record.holders.is_empty() && record.over.is_none() {
            record.over = Some(now);
            self.over.push_back((now, root.clone()));
        }
    }

    /// Remembers that a party left: late events don't bring it back.
    pub fn mark_left(&mut self, root: &CallId, party: &Party, leaving: Leaving, now: Instant) {
        let Some(record) = self.record_mut(root) else { return };
        record.left.retain(|(left, _)| left != party);
        if record.left.len() < MAX_OF_CALL {
            record.left.push((party.clone(), leaving));
        }
        self.part(root, party, now);
    }

    /// Sets variables of a call. One that nobody is on yet is kept as one that is over.
    pub fn set_variables(&mut self, root: &CallId, variables: &BTreeMap<String, String>, now: Instant) {
        let Some(record) = self.record_mut(root) else { return };
        for (name, value) in variables {
            record.variables.insert(name.clone(), value.clone());
        }
        if record.holders.is_empty() && record.over.is_none() {
            record.over = Some(now);
            self.over.push_back((now, root.clone()));
        }
    }

    pub fn leaving(&self, root: &CallId, party: &Party) -> Option<Leaving> {
        let left = &self.records.get(root)?.left;
        left.iter().find(|(left, _)| left == party).map(|(_, leaving)| *leaving)
    }

    /// A call ended for everyone. Answers who was on it; `None` where only a former name of a call that goes on ended.
    pub fn end(&mut self, id: &CallId, now: Instant) -> Option<(CallId, Vec<Party>)> {
        if self.roots.contains_key(id) {
            return None;
        }
        let record = self.record_mut(id)?;
        record.ended = true;
        record.over = Some(now);
        let holders = std::mem::take(&mut record.holders);
        self.over.push_back((now, id.clone()));
        Some((id.clone(), holders))
    }

    /// A call goes on under another id. Answers the two ids that became one and who is on the former; `None` where that
    /// was known, or undoes what was told since.
    pub fn rename(&mut self, from: &CallId, to: &CallId, now: Instant) -> Option<(CallId, CallId, Vec<Party>)> {
        if from == to || self.roots.contains_key(from) {
            return None;
        }
        // Back to a former name: that name becomes the root.
        if self.roots.get(to) == Some(from) {
            self.roots.remove(to);
        }
        let root = self.root(to);
        let former = self.records.remove(from).unwrap_or_default();
        let record = self.record_mut(&root)?;
        record.aliases.retain(|alias| *alias != root);
        let mut aliases = former.aliases;
        aliases.retain(|alias| *alias != root);
        aliases.push(from.clone());
        record.aliases.extend(aliases.iter().cloned());
        let surplus = record.aliases.len().saturating_sub(MAX_OF_CALL);
        let surplus: Vec<CallId> = record.aliases.drain(..surplus).collect();
        record.releases.absorb(&former.releases);
        for (name, value) in former.variables {
            record.variables.entry(name).or_insert(value);
        }
        for (party, leaving) in former.left {
            if leaving == Leaving::Transferred && !record.left.contains(&(party.clone(), leaving)) {
                record.left.push((party, leaving));
            }
        }
        if record.holders.is_empty() && former.holders.is_empty() && record.over.is_none() {
            record.over = Some(now);
            self.over.push_back((now, root.clone()));
        }
        for alias in aliases {
            self.roots.insert(alias, root.clone());
        }
        for alias in surplus {
            self.roots.remove(&alias);
        }
        Some((from.clone(), root, former.holders))
    }

    /// Forgets calls that have been over long enough.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, id)) = self.over.front().cloned()
            && now - at >= REMEMBERED
        {
            self.over.pop_front();
            if self.records.get(&id).is_some_and(|record| record.over == Some(at)) {
                self.forget(&id);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    fn forget(&mut self, id: &CallId) {
        let still_over = self.records.get(id).is_some_and(|record| record.over.is_some());
        if still_over && let Some(record) = self.records.remove(id) {
            for alias in &record.aliases {
                self.roots.remove(alias);
            }
        }
    }
}

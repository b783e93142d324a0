//! Halves of calls: the ids under which a user's calls are told.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::ids::{CallId, Extension};

use crate::world::{Party, Told};

/// A user's half of a call keeps its id, whatever becomes of the call behind it.
#[derive(Debug, Default)]
pub(super) struct Halves {
    told: BTreeSet<(Extension, CallId)>,
    /// Under which older call's id a half goes on.
    older: BTreeMap<(Extension, CallId), CallId>,
    /// Halves that lie in one conference with another.
    joined: BTreeMap<(Extension, CallId), CallId>,
}

impl Halves {
    pub fn name(&mut self, told: &Told) -> Told {
        let key = (told.party.extension.clone(), told.call.clone());
        let call = self.older.get(&key).cloned().unwrap_or_else(|| told.call.clone());
        self.told.insert(key);
        Told { call, ..told.clone() }
    }

    /// A call went into another.
    pub fn merge(&mut self, from: &CallId, into: &CallId, parties: &[Extension]) {
        for party in parties {
            let (old, new) = ((party.clone(), from.clone()), (party.clone(), into.clone()));
            match (self.told.contains(&old), self.told.contains(&new)) {
                (true, true) => {
                    self.joined.insert(new, from.clone());
                }
                (true, false) => {
                    let name = self.older.get(&old).unwrap_or(from).clone();
                    self.older.insert(new, name);
                }
                (false, _) => {}
            }
        }
    }

    /// The half ends; with it the one that lay in a conference with it.
    pub fn end(&mut self, party: &Party, call: &CallId) -> Option<CallId> {
        let key = (party.extension.clone(), call.clone());
        self.told.remove(&key);
        self.older.remove(&key);
        self.joined.remove(&key)
    }
}

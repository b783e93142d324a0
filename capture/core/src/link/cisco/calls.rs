//! The calls in progress: under which ids, of what kind, with whom, and where their media are.
//!
//! Written as a [`CallId`], a call is `PERIPHERAL/CALL` in decimal (`5000/16777345`): call ids are unique within one
//! peripheral only.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::cti::ged188::{CallType, ConnectionCallId, PeripheralId};
use silentmon_proto::ids::{CallId, Extension};

use super::media::Media;

/// Calls remembered; beyond it those go of which nothing was heard for longest.
const CAPACITY: usize = 65_536;
/// Devices and ids remembered of one call.
pub(super) const PARTIES: usize = 64;

/// A call of a peripheral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CallKey {
    pub(super) peripheral: PeripheralId,
    pub(super) call: ConnectionCallId,
}

impl CallKey {
    pub(super) fn id(self) -> CallId {
        CallId::new(format!("{}/{}", self.peripheral, self.call))
    }

    /// The call that an id means; absent for an id of another source.
    pub(super) fn of(id: &CallId) -> Option<Self> {
        let (peripheral, call) = id.as_str().split_once('/')?;
        Some(Self {
            peripheral: PeripheralId(peripheral.parse().ok()?),
            call: ConnectionCallId(call.parse().ok()?),
        })
    }
}

/// Where a device's connection to a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Initiated,
    Alerting,
    Connected,
    Held,
}

/// What is known of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    pub(super) kind: Option<CallType>,
    pub(super) acd: Option<bool>,
    pub(super) calling: Option<String>,
    pub(super) called: Option<String>,
    pub(super) connections: BTreeMap<Extension, Connection>,
    pub(super) media: BTreeMap<Extension, Media>,
    /// Who released the connection that was released first.
    pub(super) released_by: Option<Extension>,
    /// Ids under which it goes on; it has ended when each of them has.
    open_ids: BTreeSet<CallKey>,
    /// Ids that mean this call, besides the one it is kept under.
    aliases: Vec<CallKey>,
    used: u64,
}

impl Call {
    pub(super) fn connect(&mut self, device: &Extension, connection: Connection) {
        if self.connections.len() < PARTIES || self.connections.contains_key(device) {
            self.connections.insert(device.clone(), connection);
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calls {
    known: BTreeMap<CallKey, Call>,
    /// From each alias to the id that the call is kept under.
    aliases: BTreeMap<CallKey, CallKey>,
    uses: u64,
}

impl Calls {
    /// The id under which the call goes on.
    pub(super) fn resolve(&self, key: CallKey) -> CallKey {
        self.aliases.get(&key).copied().unwrap_or(key)
    }

    /// The call, whether anything was heard of it or not.
    pub(super) fn call(&mut self, key: CallKey) -> &mut Call {
        let key = self.resolve(key);
        if self.known.len() >= CAPACITY && !self.known.contains_key(&key) {
            self.forget_oldest();
        }
        self.uses += 1;
        let call = self.known.entry(key).or_insert_with(|| Call {
            open_ids: BTreeSet::from([key]),
            ..Call::default()
        });
        call.used = self.uses;
        call
    }

    pub(super) fn find(&self, key: CallKey) -> Option<&Call> {
        self.known.get(&self.resolve(key))
    }

    pub(super) fn find_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        let key = self.resolve(key);
        self.known.get_mut(&key)
    }

    /// The other calls of a device.
    pub(super) fn others_of<'a>(&'a self, device: &'a Extension, key: CallKey) -> impl Iterator<Item = &'a Call> {
        let others = self.known.iter().filter(move |(other, _)| **other != key);
        others
            .map(|(_, call)| call)
            .filter(|call| call.connections.contains_key(device))
    }

    /// A call begins: its id means no earlier one.
    pub(super) fn begin(&mut self, key: CallKey) -> &mut Call {
        if let Some(earlier) = self.aliases.remove(&key)
            && let Some(earlier) = self.known.get_mut(&earlier)
        {
            earlier.open_ids.remove(&key);
            earlier.aliases.retain(|alias| *alias != key);
        }
        self.call(key)
    }

    /// The call `from` goes on as `into`, and both ids may still be used. The ids before and after, where they differ.
    pub(super) fn merge(&mut self, from: CallKey, into: CallKey) -> Option<(CallKey, CallKey)> {
        let (from, into) = (self.resolve(from), self.resolve(into));
        if from == into {
            return None;
        }
        let merged = self.known.remove(&from).unwrap_or_else(|| Call {
            open_ids: BTreeSet::from([from]),
            ..Call::default()
        });
        let call = self.call(into);
        let mut new_aliases = merged.aliases;
        new_aliases.push(from);
        new_aliases.truncate(PARTIES.saturating_sub(call.aliases.len()));
        call.aliases.extend_from_slice(&new_aliases);
        call.open_ids.extend(merged.open_ids);
        call.kind = call.kind.or(merged.kind);
        call.acd = match (call.acd, merged.acd) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (one, other) => one.or(other),
        };
        call.calling = call.calling.take().or(merged.calling);
        call.called = call.called.take().or(merged.called);
        for (device, connection) in merged.connections {
            if !call.connections.contains_key(&device) {
                call.connect(&device, connection);
            }
        }
        for (device, media) in merged.media {
            if call.media.len() < PARTIES {
                call.media.entry(device).or_insert(media);
            }
        }
        self.aliases.extend(new_aliases.into_iter().map(|alias| (alias, into)));
        Some((from, into))
    }

    /// The call `from` goes on as `into` and never again as `from`.
    pub(super) fn rename(&mut self, from: CallKey, into: CallKey) -> Option<(CallKey, CallKey)> {
        let renamed = self.merge(from, into)?;
        self.call(into).open_ids.remove(&from);
        Some(renamed)
    }

    /// An id isn't used any longer. The call, once no id of it is; nothing for a call that has ended already.
    pub(super) fn end(&mut self, key: CallKey) -> Option<(CallKey, Call)> {
        let kept_as = self.resolve(key);
        let call = self.known.get_mut(&kept_as)?;
        call.open_ids.remove(&key);
        if !call.open_ids.is_empty() {
            return None;
        }
        let call = self.forget(kept_as)?;
        Some((kept_as, call))
    }

    fn forget(&mut self, key: CallKey) -> Option<Call> {
        let call = self.known.remove(&key)?;
        for alias in &call.aliases {
            self.aliases.remove(alias);
        }
        Some(call)
    }

    /// Makes room by a quarter, so that it isn't needed again for long.
    fn forget_oldest(&mut self) {
        let mut uses: Vec<(u64, CallKey)> = self.known.iter().map(|(key, call)| (call.used, *key)).collect();
        uses.sort_unstable();
        for (_, key) in uses.into_iter().take(CAPACITY / 4) {
            self.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(call: u32) -> CallKey {
        CallKey {
            peripheral: PeripheralId(5000),
            call: ConnectionCallId(call),
        }
    }

    #[test]
    fn a_call_id_names_the_peripheral_and_reads_back() {
        let id = key(16_777_345).id();
        assert_eq!(id.as_str(), "5000/16777345");
        assert_eq!(CallKey::of(&id), Some(key(16_777_345)));
        assert_eq!(CallKey::of(&"callhalf-1:0".into()), None);
    }

    #[test]
    fn a_merged_call_ends_when_both_its_ids_have() {
        let mut calls = Calls::default();
        calls.call(key(1));
        calls.call(key(2));
        assert_eq!(calls.merge(key(2), key(1)), Some((key(2), key(1))));
        assert!(calls.end(key(1)).is_none());
        assert_eq!(calls.end(key(2)).map(|(key, _)| key), Some(key(1)));
        assert_eq!(calls.resolve(key(2)), key(2));
    }

    #[test]
    fn a_renamed_call_ends_with_its_new_id() {
        let mut calls = Calls::default();
        calls.call(key(1));
        calls.rename(key(1), key(2));
        assert_eq!(calls.end(key(2)).map(|(key, _)| key), Some(key(2)));
    }

    #[test]
    fn an_id_used_again_is_a_new_call() {
        let mut calls = Calls::default();
        calls.call(key(1)).acd = Some(true);
        calls.merge(key(1), key(2));
        calls.begin(key(1));
        assert_eq!(calls.find(key(1)).and_then(|call| call.acd), None);
        assert_eq!(calls.resolve(key(1)), key(1));
    }

    #[test]
    fn remembers_only_so_many() {
        let mut calls = Calls::default();
        (0..=65_536).for_each(|call| {
            calls.call(key(call));
        });
        assert!(calls.find(key(0)).is_none());
        assert!(calls.find(key(65_536)).is_some());
        assert!(calls.known.len() < CAPACITY);
    }
}

//! The calls of the monitored devices: what an event of a monitor means for its device.
//!
//! A monitor tells about every connection of its device's calls. Only what happens to the device's own connection is
//! told on; another's shows what became of the own one through `localConnectionInfo`.

use std::collections::{BTreeMap, VecDeque};

use silentmon_proto::cti::csta::{
    CallCleared, CallInformation, ConnectionEvent, Event, LocalConnectionState, SnapshotEntry,
};
use silentmon_proto::cti::{
    CallEnded, CallEvent, CallEventKind, CtiEvent, DeviceSnapshot, ReleasingParty, SnapshotCall,
};
use silentmon_proto::ids::{CallId, Extension};

/// Most calls kept for a device; more of them can only be leftovers, and the first ones go.
const MOST_CALLS: usize = 32;
/// How many cleared calls' releasing devices are remembered until `CallCleared` comes.
const MOST_RELEASED: usize = 256;

/// A device's own connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnCall {
    /// What was last told of it.
    pub(super) kind: CallEventKind,
    pub(super) acd: Option<bool>,
    /// The device as the switch writes it in this connection.
    pub(super) device: Option<String>,
    /// The other party of a call of two hung up first.
    far_released: bool,
    conference: bool,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) devices: BTreeMap<Extension, BTreeMap<CallId, OwnCall>>,
    released: VecDeque<(CallId, Extension)>,
}

impl Calls {
    /// What an event of this device's monitor means. Agent and feature events mean nothing here.
    pub(super) fn event(&mut self, device: &Extension, event: Event) -> Vec<CtiEvent> {
        match event {
            Event::Connection(event) => self.connection(device, event),
            Event::Merge(event) => self.merge(device, &event),
            Event::CallCleared(event) => vec![self.cleared(event)],
            Event::CallInformation(event) => self.information(device, &event),
            Event::Agent(_) | Event::Feature => Vec::new(),
        }
    }

    /// A device's own connection to a call.
    pub(super) fn own(&self, device: &Extension, call: &CallId) -> Option<&OwnCall> {
        self.devices.get(device)?.get(call)
    }

    fn connection(&mut self, device: &Extension, event: ConnectionEvent) -> Vec<CtiEvent> {
        let call = CallId::new(event.connection.call.as_str());
        let own = is_own(device, &event);
        self.note_release(device, &call, &event, own);
        let known = self.own(device, &call).map(|known| known.kind);
        let kind = if own {
            Some(event.kind)
        } else {
            seen_from_here(&event, known)
        };
        let Some(kind) = kind else { return Vec::new() };
        let released_by = matches!(kind, CallEventKind::ConnectionCleared | CallEventKind::Failed)
            .then(|| self.releasing_party(device, &call, &event));
        let acd = self.stands(device, &call, kind, event.acd);
        if own && let Some(known) = self.own_mut(device, &call) {
            known.device.clone_from(&event.connection.device);
        }
        vec![CtiEvent::Call(CallEvent {
            acd,
            calling: event.calling,
            called: event.called,
            released_by,
            ..CallEvent::of_device(device.as_str(), call, kind)
        })]
    }

    /// Keeps how the device's connection stands now; whether the call came through the queue, as far as was ever told.
    pub(super) fn stands(
        &mut self,
        device: &Extension,
        call: &CallId,
        kind: CallEventKind,
        acd: Option<bool>,
    ) -> Option<bool> {
        let calls = self.devices.entry(device.clone()).or_default();
        let known = calls.get(call);
        let acd = acd.or_else(|| known.and_then(|known| known.acd));
        if is_over(kind) {
            calls.remove(call);
            return acd;
        }
        if calls.len() >= MOST_CALLS && known.is_none() {
            calls.pop_first();
        }
        let own = calls.entry(call.clone()).or_insert_with(|| OwnCall::new(kind));
        own.kind = kind;
        own.acd = acd;
        own.conference |= kind == CallEventKind::Conferenced;
        acd
    }

    fn own_mut(&mut self, device: &Extension, call: &CallId) -> Option<&mut OwnCall> {
        self.devices.get_mut(device)?.get_mut(call)
    }

    /// Remembers who hung up first (requirements C8): the device's own connection may be cleared later, as if by itself.
    fn note_release(&mut self, device: &Extension, call: &CallId, event: &ConnectionEvent, own: bool) {
        if event.kind == CallEventKind::Established
            && let Some(known) = self.own_mut(device, call)
        {
            known.far_released = false;
        }
        if event.kind != CallEventKind::ConnectionCleared {
            return;
        }
        let Some(releasing) = &event.releasing else { return };
        if !self.released.iter().any(|(released, _)| released == call) {
            self.released.truncate(MOST_RELEASED - 1);
            self.released
                .push_front((call.clone(), Extension::new(releasing.as_str())));
        }
        let by_itself = event.connection.number().as_ref() == Some(releasing);
        if !own
            && by_itself
            && let Some(known) = self.own_mut(device, call)
        {
            known.far_released = !known.conference;
        }
    }

    fn releasing_party(&self, device: &Extension, call: &CallId, event: &ConnectionEvent) -> ReleasingParty {
        // A connection of its own that failed wasn't asked for by anybody.
        let failing = event
            .subject
            .as_ref()
            .filter(|failing| event.kind == CallEventKind::Failed && failing.as_str() != device.as_str());
        let far_released = self.own(device, call).is_some_and(|known| known.far_released);
        match event.releasing.as_ref().or(failing) {
            _ if far_released => ReleasingParty::Remote,
            None => ReleasingParty::Unknown,
            Some(releasing) if releasing == device.as_str() => ReleasingParty::Local,
            Some(_) => ReleasingParty::Remote,
        }
    }

    fn cleared(&mut self, event: CallCleared) -> CtiEvent {
        let call = CallId::new(event.call);
        for calls in self.devices.values_mut() {
            calls.remove(&call);
        }
        let remembered = self.released.iter().find(|(released, _)| *released == call);
        let controlling_party = event.releasing.map(Extension::new);
        CtiEvent::CallEnded(CallEnded {
            controlling_party: controlling_party.or_else(|| remembered.map(|(_, device)| device.clone())),
            call,
        })
    }

    /// Tells again what was last told, where more is known about it now.
    fn information(&mut self, device: &Extension, event: &CallInformation) -> Vec<CtiEvent> {
        let call = CallId::new(event.connection.call.as_str());
        let Some(known) = self.own_mut(device, &call) else {
            return Vec::new();
        };
        if event.acd.is_none() || known.acd == event.acd {
            return Vec::new();
        }
        known.acd = event.acd;
        vec![CtiEvent::Call(CallEvent {
            acd: known.acd,
            ..CallEvent::of_device(device.as_str(), call, known.kind)
        })]
    }

    /// A device's calls as the switch lists them, and those of them whose state it leaves out.
    pub(super) fn snapshot(&mut self, device: &Extension, entries: &[SnapshotEntry]) -> (DeviceSnapshot, Vec<CallId>) {
        let before = self.devices.remove(device).unwrap_or_default();
        let mut untold = Vec::new();
        let mut calls = BTreeMap::new();
        for entry in entries.iter().take(MOST_CALLS) {
            let call = CallId::new(entry.call.as_str());
            if entry.kind.is_none() {
                untold.push(call.clone());
            }
            let known = before.get(&call);
            let kind = entry.kind.or_else(|| known.map(|known| known.kind));
            let mut own = known
                .cloned()
                .unwrap_or_else(|| OwnCall::new(CallEventKind::Established));
            own.kind = kind.unwrap_or(CallEventKind::Established);
            own.acd = entry.acd.or(own.acd);
            calls.insert(call, own);
        }
        let told = calls.iter().map(|(call, own)| SnapshotCall {
            call: call.clone(),
            kind: own.kind,
            acd: own.acd,
        });
        let snapshot = DeviceSnapshot {
            device: device.clone(),
            calls: told.collect(),
        };
        self.devices.insert(device.clone(), calls);
        (snapshot, untold)
    }

    /// One call's connections as the switch lists them: what that changes for the device.
    pub(super) fn call_snapshot(
        &mut self,
        device: &Extension,
        call: &CallId,
        entries: &[SnapshotEntry],
    ) -> Option<CtiEvent> {
        let entry = entries
            .iter()
            .find(|entry| entry.device.as_deref() == Some(device.as_str()))?;
        let kind = entry.kind?;
        let known = self.own(device, call)?;
        if known.kind == kind || (is_answered(kind) && is_answered(known.kind)) {
            return None;
        }
        let acd = self.stands(device, call, kind, entry.acd);
        Some(CtiEvent::Call(CallEvent {
            acd,
            ..CallEvent::of_device(device.as_str(), call.as_str(), kind)
        }))
    }
}

impl OwnCall {
    pub(super) const fn new(kind: CallEventKind) -> Self {
        Self {
            kind,
            acd: None,
            device: None,
            far_released: false,
            conference: false,
        }
    }
}

/// Whether the event is about the device's own connection. `deviceID` of a connection may be the switch's own handle, so
/// the device that acts counts too, but not one that releases another's connection.
fn is_own(device: &Extension, event: &ConnectionEvent) -> bool {
    let is_device = |number: Option<&String>| number.is_some_and(|number| number == device.as_str());
    let acts = event.kind != CallEventKind::ConnectionCleared && is_device(event.subject.as_ref());
    acts || is_device(event.connection.number().as_ref())
}

/// What an event about another connection of the call shows of the own one. `known`: what was last told of that.
fn seen_from_here(event: &ConnectionEvent, known: Option<CallEventKind>) -> Option<CallEventKind> {
    use CallEventKind as Kind;
    let answered = known.is_some_and(is_answered);
    let kind = match event.local? {
        LocalConnectionState::Null => known.map(|_| Kind::ConnectionCleared),
        LocalConnectionState::Connected if answered => None,
        LocalConnectionState::Connected => connected_here(event.kind, known),
        LocalConnectionState::Initiated => Some(Kind::ServiceInitiated),
        LocalConnectionState::Alerting => Some(Kind::Delivered),
        LocalConnectionState::Hold => Some(Kind::Held),
        LocalConnectionState::Queued => Some(Kind::Queued),
        LocalConnectionState::Fail => Some(Kind::Failed),
    };
    kind.filter(|&kind| known != Some(kind))
}

/// What happens elsewhere in a call in which this device is connected, and which wasn't answered as far as is known.
const fn connected_here(elsewhere: CallEventKind, known: Option<CallEventKind>) -> Option<CallEventKind> {
    use CallEventKind as Kind;
    match (elsewhere, known) {
        (Kind::Established | Kind::Failed | Kind::NetworkReached, _) => Some(elsewhere),
        (Kind::ServiceInitiated | Kind::Originated | Kind::Delivered | Kind::Queued | Kind::Diverted, None) => {
            Some(Kind::Originated)
        }
        (Kind::Held | Kind::Retrieved | Kind::Conferenced | Kind::Transferred | Kind::ConnectionCleared, None) => {
            Some(Kind::Established)
        }
        (_, Some(_)) => None,
    }
}

pub(super) const fn is_answered(kind: CallEventKind) -> bool {
    matches!(
        kind,
        CallEventKind::Established | CallEventKind::Retrieved | CallEventKind::Conferenced
    )
}

const fn is_over(kind: CallEventKind) -> bool {
    matches!(
        kind,
        CallEventKind::ConnectionCleared | CallEventKind::Transferred | CallEventKind::Diverted
    )
}

//! Conference and transfer: two calls become one, under whichever id the switch chooses.

use silentmon_proto::cti::csta::{LocalConnectionState, MergeEvent, MergeKind};
use silentmon_proto::cti::{CallEvent, CallEventKind, CallRenamed, CtiEvent};
use silentmon_proto::ids::{CallId, Extension};

use super::calls::Calls;

impl Calls {
    /// What a merging means for the device: its old connections end, or go on in the resulting call.
    pub(super) fn merge(&mut self, device: &Extension, event: &MergeEvent) -> Vec<CtiEvent> {
        let (resulting, old) = calls_of(event);
        let stays = stays(device, event);
        let known: Vec<CallId> = old
            .iter()
            .filter(|call| self.own(device, call).is_some())
            .cloned()
            .collect();
        let acd = known.iter().find_map(|call| self.own(device, call)?.acd).or(event.acd);
        let mut told = Vec::new();
        if stays == Some(false) {
            let left = if known.is_empty() { old.clone() } else { known.clone() };
            told.extend(left.iter().map(|call| self.leave(device, call, event.kind)));
        }
        told.extend(
            old.iter()
                .filter(|call| **call != resulting)
                .map(|call| renamed(call, &resulting)),
        );
        for call in &known {
            self.forget(device, call);
        }
        if stays == Some(true) || (stays.is_none() && !known.is_empty()) {
            let kind = standing(event);
            let acd = self.stands(device, &resulting, kind, acd);
            told.push(CtiEvent::Call(CallEvent {
                acd,
                ..CallEvent::of_device(device.as_str(), resulting, kind)
            }));
        }
        told
    }

    fn leave(&mut self, device: &Extension, call: &CallId, by: MergeKind) -> CtiEvent {
        let kind = match by {
            MergeKind::Transferred => CallEventKind::Transferred,
            MergeKind::Conferenced => CallEventKind::ConnectionCleared,
        };
        let acd = self.stands(device, call, kind, None);
        CtiEvent::Call(CallEvent {
            acd,
            ..CallEvent::of_device(device.as_str(), call.as_str(), kind)
        })
    }

    fn forget(&mut self, device: &Extension, call: &CallId) {
        if let Some(calls) = self.devices.get_mut(device) {
            calls.remove(call);
        }
    }
}

/// The resulting call and those that became it. Where the list of connections is missing, the call that was active goes
/// on under its own id.
fn calls_of(event: &MergeEvent) -> (CallId, Vec<CallId>) {
    let new = event.connections.iter().find_map(|item| item.new.as_ref());
    let resulting = new.unwrap_or(&event.primary_old_call);
    let listed = event.connections.iter().filter_map(|item| item.old.as_ref());
    let mut old: Vec<CallId> = Vec::new();
    for connection in [Some(&event.primary_old_call), event.secondary_old_call.as_ref()]
        .into_iter()
        .flatten()
        .chain(listed)
    {
        let call = CallId::new(connection.call.as_str());
        if !old.contains(&call) {
            old.push(call);
        }
    }
    (CallId::new(resulting.call.as_str()), old)
}

/// Whether the device takes part in the resulting call; absent where the event doesn't say.
fn stays(device: &Extension, event: &MergeEvent) -> Option<bool> {
    let is_device = |number: Option<String>| number.is_some_and(|number| number == device.as_str());
    let listed = event.connections.iter().filter_map(|item| item.new.as_ref());
    if listed.clone().any(|connection| is_device(connection.number())) {
        return Some(true);
    }
    match event.local {
        Some(LocalConnectionState::Null) => Some(false),
        Some(_) => Some(true),
        None => (event.kind == MergeKind::Transferred && is_device(event.by.clone())).then_some(false),
    }
}

const fn standing(event: &MergeEvent) -> CallEventKind {
    match (event.kind, event.local) {
        (_, Some(LocalConnectionState::Hold)) => CallEventKind::Held,
        (_, Some(LocalConnectionState::Alerting)) => CallEventKind::Delivered,
        (MergeKind::Conferenced, _) => CallEventKind::Conferenced,
        (MergeKind::Transferred, _) => CallEventKind::Established,
    }
}

fn renamed(from: &CallId, call: &CallId) -> CtiEvent {
    CtiEvent::CallRenamed(CallRenamed {
        from: from.clone(),
        call: call.clone(),
    })
}

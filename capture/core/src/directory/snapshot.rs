//! Snapshots of a device's calls: they replace what was known, and never merge (requirements C2, C9).

use silentmon_proto::cti::{CallEvent, DeviceSnapshot};
use silentmon_proto::ids::{CallId, Extension};
use silentmon_proto::time::Instant;

use super::calls::{Leaving, Party};
use super::line::CallState;
use super::seats::Seat;
use super::{AgentDirectory, Call, Notice, Resynchronised};

impl AgentDirectory {
    /// A snapshot replaces: calls that it doesn't show are gone, calls nobody told of are there.
    pub(super) fn device_snapshot(&mut self, snapshot: &DeviceSnapshot, now: Instant) {
        let device = &snapshot.device;
        let mut shown = Vec::new();
        let mut opened = Vec::new();
        for call in &snapshot.calls {
            let root = self.calls.root(&call.call);
            let Some(state) = CallState::after(call.kind) else {
                continue;
            };
            shown.push(root.clone());
            let Some(party) = self.party(None, Some(device), Some(&root), now) else {
                continue;
            };
            if self.line_mut(&party).is_none_or(|line| line.call(&root).is_none()) {
                opened.push(root.clone());
            }
            self.calls.revive(&root, &party);
            let event = CallEvent {
                acd: call.acd,
                ..CallEvent::of_device(device.clone(), root.clone(), call.kind)
            };
            self.enter_call(&party, &root, state, &event, now);
            self.stand_as_shown(&party, &root, state, now);
        }
        let closed = self.close_unshown(device, &shown, now);
        if !closed.is_empty() || !opened.is_empty() {
            self.notices.push(Notice::Resynchronised(Resynchronised {
                device: device.clone(),
                closed,
                opened,
            }));
        }
    }

    /// A snapshot is never late, even where it shows a call ringing that was thought connected.
    fn stand_as_shown(&mut self, party: &Party, root: &CallId, state: CallState, now: Instant) {
        let Some(line) = self.line_mut(party) else { return };
        if let Some(call) = line
            .calls
            .iter_mut()
            .find(|call| call.id == *root && call.state != state)
        {
            call.state = state;
            call.state_since = now;
        }
    }

    fn close_unshown(&mut self, device: &Extension, shown: &[CallId], now: Instant) -> Vec<CallId> {
        let occupants = self.seats.candidates(device).to_vec();
        let shared = occupants.len() > 1;
        let mut parties: Vec<Party> = occupants.into_iter().map(Party::Agent).collect();
        parties.push(Party::Device(device.clone()));
        let mut closed = Vec::new();
        for party in parties {
            let Some(line) = self.line_mut(&party) else { continue };
            let is_gone = |call: &&Call| {
                let of_another = shared && call.device.as_ref().is_some_and(|of| of != device);
                !of_another && !shown.contains(&call.id)
            };
            let gone: Vec<CallId> = line.calls.iter().filter(is_gone).map(|call| call.id.clone()).collect();
            for call in &gone {
                self.mark_left(call, &party, &Seat::default(), Leaving::Cleared, now);
                self.edit(&party, now, |line| drop(line.leave_call(call)));
            }
            if let Party::Agent(id) = &party {
                self.touched.insert(id.clone());
            }
            closed.extend(gone);
        }
        closed
    }
}

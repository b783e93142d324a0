//! Answers to SNAPSHOT_DEVICE_REQ and SNAPSHOT_CALL_REQ.

use silentmon_proto::cti::ged188::{LocalConnectionState, PeripheralId, SnapshotCallConf, SnapshotDeviceConf, Tag};
use silentmon_proto::cti::{CallEventKind, DeviceSnapshot, SnapshotCall};
use silentmon_proto::ids::Extension;

use super::super::agents::is_name;
use super::super::calls::CallKey;
use super::super::requests::Request;
use super::connections::{At, Told, connection_after};
use super::{Normaliser, Outcome};

impl Normaliser {
    /// Takes a device's calls; asks for each of them.
    pub(in crate::link::cisco) fn device_snapshot(
        &mut self,
        (peripheral, reported): (PeripheralId, &Extension),
        answer: &SnapshotDeviceConf,
    ) -> Outcome {
        let mut out = Outcome::default();
        let mut calls = Vec::new();
        for found in answer.calls() {
            let key = CallKey {
                peripheral,
                call: found.call_id,
            };
            let Some(kind) = found.state.and_then(kind_of_state) else {
                continue;
            };
            let call = self.calls.call(key);
            if let Some(connection) = connection_after(kind) {
                call.connect(reported, connection);
            }
            calls.push(SnapshotCall {
                call: self.calls.resolve(key).id(),
                kind,
                acd: self.calls.call(key).acd,
            });
            let connection = found.device_id.unwrap_or_else(|| reported.as_str().to_owned());
            out.requests.push(Request::SnapshotCall {
                call: key,
                connection,
                device_id_type: found.device_id_type,
            });
        }
        let device = reported.clone();
        out.events.push(DeviceSnapshot { device, calls }.into());
        out
    }

    /// Takes what kind of call it is and who takes part: told of the devices where an agent is known to work.
    pub(in crate::link::cisco) fn call_snapshot(&mut self, key: CallKey, answer: &SnapshotCallConf) -> Outcome {
        let mut out = Outcome::default();
        self.learn(key, answer.call_type, &answer.floating);
        self.variables(key, &answer.floating, &mut out);
        for party in answer.devices() {
            let names = [party.device_id, party.connection_device_id].into_iter().flatten();
            let mut devices = names.filter(|name| is_name(name)).map(Extension::new);
            let (Some(kind), Some(device)) = (
                party.state.and_then(kind_of_state),
                devices.find(|device| self.agents.at_device(device).is_some()),
            ) else {
                continue;
            };
            let told = Told {
                key,
                connection: None,
                cause: None,
                state: party.state,
                floating: &answer.floating,
            };
            let acd = self.acd(key, &device, At::device(Tag::CONNECTION_DEVICE_ID, party.device_type));
            self.push(&told, device, kind, acd, &mut out);
        }
        out
    }
}

/// The event after which a connection is in this state.
const fn kind_of_state(state: LocalConnectionState) -> Option<CallEventKind> {
    Some(match state {
        LocalConnectionState::INITIATE => CallEventKind::ServiceInitiated,
        LocalConnectionState::ALERTING => CallEventKind::Delivered,
        LocalConnectionState::CONNECT => CallEventKind::Established,
        LocalConnectionState::HOLD => CallEventKind::Held,
        LocalConnectionState::QUEUED => CallEventKind::Queued,
        LocalConnectionState::FAIL => CallEventKind::Failed,
        _ => return None,
    })
}

//! Calls that go on under another id: renamed, or two made one by conference and transfer.
//!
//! The id that survives stands in the list of parties.

use silentmon_proto::cti::ged188::{
    CallConferencedEvent, CallDataUpdateEvent, CallTransferredEvent, ConnectedParty, ConnectionCallId,
    ConnectionDeviceIdType, Floating, PeripheralId, Tag,
};
use silentmon_proto::cti::{CallEventKind, CallRenamed, CtiEvent};
use silentmon_proto::ids::Extension;

use super::super::agents::{extension, is_name};
use super::super::calls::CallKey;
use super::connections::Told;
use super::{Normaliser, Outcome};

impl Normaliser {
    pub(super) fn data_update(&mut self, event: &CallDataUpdateEvent, out: &mut Outcome) {
        let Some(key) = self.key(event.peripheral_id, event.connection_call_id) else {
            return;
        };
        self.learn(key, event.call_type, &event.floating);
        self.variables(key, &event.floating, out);
        let (Some(_), Some(call)) = (event.new_connection_device_id_type, event.new_connection_call_id) else {
            return;
        };
        let new = CallKey { call, ..key };
        if let Some(renamed) = self.calls.rename(key, new) {
            out.events.push(call_renamed(renamed));
        }
    }

    pub(super) fn conferenced(&mut self, event: &CallConferencedEvent, out: &mut Outcome) -> Option<()> {
        let parties = event.parties();
        let old = [event.primary_call_id, event.secondary_call_id];
        let told = self.merged(event.peripheral_id, old, &parties, &event.floating, out)?;
        let named = [Tag::CONTROLLER_DEVICE_ID, Tag::ADDED_PARTY_DEVICE_ID];
        let named = named.into_iter().filter_map(|tag| extension(&event.floating, tag));
        let mut devices: Vec<Extension> = Vec::new();
        for device in named.chain(parties.iter().filter_map(device)) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        let acd = self.calls.find(told.key).and_then(|call| call.acd);
        for device in devices {
            self.push(&told, device, CallEventKind::Conferenced, acd, out);
        }
        Some(())
    }

    pub(super) fn transferred(&mut self, event: &CallTransferredEvent, out: &mut Outcome) -> Option<()> {
        let parties = event.parties();
        let old = [event.primary_call_id, event.secondary_call_id];
        let told = self.merged(event.peripheral_id, old, &parties, &event.floating, out)?;
        let acd = self.calls.find(told.key).and_then(|call| call.acd);
        let transferring = extension(&event.floating, Tag::TRANSFERRING_DEVICE_ID);
        if let Some(device) = transferring.clone() {
            self.push(&told, device, CallEventKind::Transferred, acd, out);
        }
        let transferred = extension(&event.floating, Tag::TRANSFERRED_DEVICE_ID);
        for device in transferred.into_iter().chain(parties.iter().filter_map(device)) {
            let call = self.calls.find(told.key);
            let is_known = call.is_some_and(|call| call.connections.contains_key(&device));
            if !is_known && Some(&device) != transferring.as_ref() {
                self.push(&told, device, CallEventKind::Established, acd, out);
            }
        }
        Some(())
    }

    /// Two calls became one: under the id that the parties have now, else under that of the first.
    fn merged<'a>(
        &mut self,
        peripheral: Option<PeripheralId>,
        old: [Option<ConnectionCallId>; 2],
        parties: &[ConnectedParty],
        floating: &'a Floating,
        out: &mut Outcome,
    ) -> Option<Told<'a>> {
        let surviving = parties.iter().find_map(|party| party.call_id);
        let surviving = self.key(peripheral, surviving.or(old[0]).or(old[1]))?;
        for call in old.into_iter().flatten() {
            if let Some(renamed) = self.calls.merge(CallKey { call, ..surviving }, surviving) {
                out.events.push(call_renamed(renamed));
            }
        }
        self.variables(surviving, floating, out);
        Some(Told {
            key: surviving,
            connection: None,
            cause: None,
            state: None,
            floating,
        })
    }
}

fn call_renamed((from, call): (CallKey, CallKey)) -> CtiEvent {
    let (from, call) = (from.id(), call.id());
    CallRenamed { from, call }.into()
}

fn device(party: &ConnectedParty) -> Option<Extension> {
    let is_static = party.device_id_type != Some(ConnectionDeviceIdType::DYNAMIC);
    let device = party.device_id.as_ref().filter(|device| is_static && is_name(device))?;
    Some(Extension::new(device.clone()))
}

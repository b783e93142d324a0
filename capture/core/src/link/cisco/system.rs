//! SYSTEM_EVENTs: what the installation says of itself (protocol sheet 1.4). Audio in progress goes on meanwhile.

use silentmon_proto::cti::ged188::{PeripheralId, SystemEvent, SystemEventId, Tag};
use tracing::{debug, info, warn};

use super::CiscoLink;
use super::agents::extension;
use super::requests::Request;
use super::side::Role;

impl CiscoLink {
    pub(super) fn handle_system_event(&mut self, index: usize, event: &SystemEvent) {
        if self.role(index) == Some(Role::Standby) {
            return;
        }
        let peripheral = event.peripheral_id();
        if peripheral.is_some_and(|peripheral| !self.settings.listens_to(peripheral)) {
            return;
        }
        let link = self.settings.link.clone();
        match event.system_event_id {
            SystemEventId::CENTRAL_CONTROLLER_OFFLINE
            | SystemEventId::PERIPHERAL_OFFLINE
            | SystemEventId::PERIPHERAL_GATEWAY_OFFLINE
            | SystemEventId::CTI_SERVER_OFFLINE => {
                warn!(%link, event = %event.system_event_id, ?peripheral, "agents are unknown until it is back");
                self.forget_states(peripheral);
            }
            SystemEventId::CENTRAL_CONTROLLER_ONLINE
            | SystemEventId::PERIPHERAL_ONLINE
            | SystemEventId::CTI_SERVER_ONLINE => {
                info!(%link, event = %event.system_event_id, ?peripheral, "asking for agents and calls");
                if let Some(peripheral) = peripheral {
                    self.is_served(peripheral);
                }
                self.rebuild(peripheral);
            }
            SystemEventId::TEXT_FYI => {
                info!(%link, "the CTI Server sent a notice (its text is in the debug log)");
                debug!(%link, text = event.floating.text(Tag::TEXT), "notice");
            }
            SystemEventId::INSTRUMENT_OUT_OF_SERVICE | SystemEventId::INSTRUMENT_BACK_IN_SERVICE => {
                self.handle_instrument(event);
            }
            _ => {}
        }
    }

    /// An agent's phone went out of service or came back: his state and calls are asked for anew.
    fn handle_instrument(&mut self, event: &SystemEvent) {
        let device = extension(&event.floating, Tag::EVENT_DEVICE_ID);
        let Some(device) = device else { return };
        debug!(%device, event = %event.system_event_id, "instrument");
        let Some(key) = self.normaliser.agents.at_device(&device).map(|(key, _)| key.clone()) else {
            return;
        };
        if event.system_event_id == SystemEventId::INSTRUMENT_OUT_OF_SERVICE {
            if let Some(update) = self.normaliser.agents.forget_state(&key) {
                self.tell(update);
            }
        } else if self.may_ask() {
            self.requests.add(Request::QueryAgent(key));
        }
    }

    /// The agents of `peripheral`, or all, are unknown until seen again.
    pub(super) fn forget_states(&mut self, peripheral: Option<PeripheralId>) {
        for update in self.normaliser.agents.forget_states(peripheral) {
            self.tell(update);
        }
    }
}

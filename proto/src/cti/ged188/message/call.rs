//! Events of calls (protocol sheet 1.5). Their floating parts name the devices, each by its own tag.

use super::fixed::messages;
use crate::cti::ged188::{
    CallType, ConnectionCallId, ConnectionDeviceIdType, DeviceIdType, Disposition, EventCause, Floating, LineType,
    LocalConnectionState, MonitorId, MrdId, PeripheralId, PeripheralType, Tag,
};

messages! {
    /// A call rings at a device (ALERTING_DEVICE_ID).
    CallDeliveredEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        alerting_device_type: Option<DeviceIdType>;
        calling_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        last_redirect_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
        num_named_variables: u16;
        num_named_arrays: u16;
    }

    /// A device answered (ANSWERING_DEVICE_ID).
    CallEstablishedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        answering_device_type: Option<DeviceIdType>;
        calling_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        last_redirect_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A device put a call on hold (HOLDING_DEVICE_ID).
    CallHeldEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        holding_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A device took a call back from hold (RETRIEVING_DEVICE_ID).
    CallRetrievedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        retrieving_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A call ended for everyone.
    CallClearedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A device left a call (RELEASING_DEVICE_ID). With `REDIRECTED` the call only went elsewhere.
    CallConnectionClearedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        releasing_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A device makes a call (CALLING_DEVICE_ID).
    CallOriginatedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        calling_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A call couldn't be completed (FAILING_DEVICE_ID).
    CallFailedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        failing_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// Two calls became a conference (CONTROLLER_DEVICE_ID); see [`CallConferencedEvent::parties`].
    CallConferencedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        primary_device_id_type: Option<ConnectionDeviceIdType>;
        primary_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        num_parties: u16;
        secondary_device_id_type: Option<ConnectionDeviceIdType>;
        secondary_call_id: Option<ConnectionCallId>;
        controller_device_type: Option<DeviceIdType>;
        added_party_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A device passed a call on (TRANSFERRING_DEVICE_ID); see [`CallTransferredEvent::parties`].
    CallTransferredEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        primary_device_id_type: Option<ConnectionDeviceIdType>;
        primary_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        num_parties: u16;
        secondary_device_id_type: Option<ConnectionDeviceIdType>;
        secondary_call_id: Option<ConnectionCallId>;
        transferring_device_type: Option<DeviceIdType>;
        transferred_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A call was sent elsewhere before it was answered (DIVERTING_DEVICE_ID).
    CallDivertedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        diverting_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A device went off hook (CALLING_DEVICE_ID).
    CallServiceInitiatedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        calling_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A call waits in a queue (QUEUE_DEVICE_ID).
    CallQueuedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        queue_device_type: Option<DeviceIdType>;
        calling_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        last_redirect_device_type: Option<DeviceIdType>;
        num_queued: u16;
        num_skill_groups: u16;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A call left the queue.
    CallDequeuedEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        queue_device_type: Option<DeviceIdType>;
        service_number: Option<u32>;
        service_id: Option<u32>;
        num_queued: u16;
        num_skill_groups: u16;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// A call was matched to what another site knew of it.
    CallTranslationRouteEvent {
        num_named_variables: u16;
        num_named_arrays: u16;
    }

    /// A call left the switch for another network (TRUNK_USED_DEVICE_ID).
    CallReachedNetworkEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
        trunk_used_device_type: Option<DeviceIdType>;
        called_device_type: Option<DeviceIdType>;
        local_connection_state: Option<LocalConnectionState>;
        event_cause: Option<EventCause>;
    }

    /// The first event of a call.
    BeginCallEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        num_cti_clients: u16;
        num_named_variables: u16;
        num_named_arrays: u16;
        call_type: Option<CallType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        called_party_disposition: Disposition;
    }

    /// The last event of a call.
    EndCallEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
    }

    /// A call's data changed; where the new call id differs, the call goes on under that.
    CallDataUpdateEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        peripheral_type: Option<PeripheralType>;
        num_cti_clients: u16;
        num_named_variables: u16;
        num_named_arrays: u16;
        call_type: Option<CallType>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        connection_call_id: Option<ConnectionCallId>;
        new_connection_device_id_type: Option<ConnectionDeviceIdType>;
        new_connection_call_id: Option<ConnectionCallId>;
        called_party_disposition: Disposition;
        campaign_id: Option<u32>;
        query_rule_id: Option<u32>;
    }

    /// An agent is about to get a call (AGENT_INSTRUMENT).
    AgentPreCallEvent {
        monitor_id: MonitorId;
        num_named_variables: u16;
        num_named_arrays: u16;
        service_number: Option<u32>;
        service_id: Option<u32>;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        mrd_id: MrdId;
        agent_skill_target_id: u32, since 20;
    }

    /// The call announced doesn't come.
    AgentPreCallAbortEvent {
        monitor_id: MonitorId;
        mrd_id: MrdId;
    }
}

/// One party of a conferenced or transferred call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedParty {
    /// The call he is in from now on.
    pub call_id: Option<ConnectionCallId>,
    /// How his device id was given out.
    pub device_id_type: Option<ConnectionDeviceIdType>,
    /// His device.
    pub device_id: Option<String>,
}

impl CallConferencedEvent {
    /// The parties of the conference.
    pub fn parties(&self) -> Vec<ConnectedParty> {
        parties(&self.floating)
    }
}

impl CallTransferredEvent {
    /// The parties of the call after the transfer.
    pub fn parties(&self) -> Vec<ConnectedParty> {
        parties(&self.floating)
    }
}

fn parties(floating: &Floating) -> Vec<ConnectedParty> {
    let party = |entry: &crate::cti::ged188::Entry<'_>| ConnectedParty {
        call_id: entry.value(Tag::CONNECTED_PARTY_CALL_ID).unwrap_or_default(),
        device_id_type: entry.value(Tag::CONNECTED_PARTY_DEVICE_ID_TYPE).unwrap_or_default(),
        device_id: entry.text(Tag::CONNECTED_PARTY_DEVICE_ID),
    };
    floating
        .entries(Tag::CONNECTED_PARTY_CALL_ID)
        .iter()
        .map(party)
        .collect()
}

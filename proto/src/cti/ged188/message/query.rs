//! Questions about agents, devices and calls, and monitors of single ones (protocol sheet 1.5, queries).

use super::agent::{SkillGroup, skill_groups};
use super::fixed::messages;
use crate::cti::ged188::{
    AgentAvailabilityStatus, AgentState, AgentStateMask, CallMessageMask, CallType, ConnectionCallId,
    ConnectionDeviceIdType, DeviceIdType, Disposition, Entry, IcmAgentId, InvokeId, LocalConnectionState, MonitorId,
    MrdId, PeripheralId, SnapshotDeviceType, Tag,
};

messages! {
    /// Asks for an agent's state. Floating: one of AGENT_EXTENSION, AGENT_ID, AGENT_INSTRUMENT.
    QueryAgentStateReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        mrd_id: MrdId;
        icm_agent_id: Option<IcmAgentId>;
    }

    /// An agent's state.
    QueryAgentStateConf {
        invoke_id: InvokeId;
        agent_state: AgentState;
        num_skill_groups: u16;
        mrd_id: MrdId;
        num_tasks: u32;
        agent_mode: bool;
        max_task_limit: u32;
        icm_agent_id: Option<IcmAgentId>;
        agent_availability_status: AgentAvailabilityStatus;
        department_id: u32, since 19;
    }

    /// Asks for a device's calls. Floating: AGENT_INSTRUMENT.
    SnapshotDeviceReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        snapshot_device_type: Option<SnapshotDeviceType>;
    }

    /// A device's calls; see [`SnapshotDeviceConf::calls`].
    SnapshotDeviceConf {
        invoke_id: InvokeId;
        num_calls: u16;
    }

    /// Asks for a call. Floating: CONNECTION_DEVICE_ID.
    SnapshotCallReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
    }

    /// A call; see [`SnapshotCallConf::devices`].
    SnapshotCallConf {
        invoke_id: InvokeId;
        call_type: Option<CallType>;
        num_cti_clients: u16;
        num_call_devices: u16;
        num_named_variables: u16;
        num_named_arrays: u16;
        called_party_disposition: Disposition;
    }

    /// Asks for the events of one call or device. Floating: CONNECTION_DEVICE_ID or MONITORED_DEVICE_ID.
    MonitorStartReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        /// 0 to monitor a device.
        connection_call_id: ConnectionCallId;
        call_message_mask: CallMessageMask;
        agent_state_mask: AgentStateMask;
        /// Absent to monitor a device.
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        monitored_device_type: Option<DeviceIdType>;
    }

    /// The call or device is monitored.
    MonitorStartConf {
        invoke_id: InvokeId;
        monitor_id: MonitorId;
    }

    /// Ends a monitor.
    MonitorStopReq {
        invoke_id: InvokeId;
        monitor_id: MonitorId;
    }

    /// The monitor has ended.
    MonitorStopConf {
        invoke_id: InvokeId;
    }
}

impl QueryAgentStateConf {
    /// The state in each of the agent's skill groups.
    pub fn skill_groups(&self) -> Vec<SkillGroup> {
        skill_groups(&self.floating)
    }
}

/// A call of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCall {
    /// The call.
    pub call_id: ConnectionCallId,
    /// How the connection's device id was given out.
    pub device_id_type: Option<ConnectionDeviceIdType>,
    /// The connection's device.
    pub device_id: Option<String>,
    /// State of the connection.
    pub state: Option<LocalConnectionState>,
}

impl SnapshotDeviceConf {
    /// The device's calls.
    pub fn calls(&self) -> Vec<DeviceCall> {
        let call = |entry: &Entry<'_>| {
            let state = entry.value(Tag::CALL_STATE);
            Some(DeviceCall {
                call_id: entry.value(Tag::CALL_CONNECTION_CALL_ID)?,
                device_id_type: entry.value(Tag::CALL_CONNECTION_DEVICE_ID_TYPE).unwrap_or_default(),
                device_id: entry.text(Tag::CALL_CONNECTION_DEVICE_ID),
                state: state.or_else(|| entry.value(Tag::CALL_DEVICE_CONNECTION_STATE)),
            })
        };
        let entries = self.floating.entries(Tag::CALL_CONNECTION_CALL_ID);
        entries.iter().filter_map(call).collect()
    }
}

/// A device of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallDevice {
    /// The connection's call.
    pub call_id: ConnectionCallId,
    /// How the connection's device id was given out.
    pub connection_device_id_type: Option<ConnectionDeviceIdType>,
    /// The connection's device.
    pub connection_device_id: Option<String>,
    /// What the device is.
    pub device_type: Option<DeviceIdType>,
    /// The device.
    pub device_id: Option<String>,
    /// State of the connection.
    pub state: Option<LocalConnectionState>,
}

impl SnapshotCallConf {
    /// The call's devices.
    pub fn devices(&self) -> Vec<CallDevice> {
        let device = |entry: &Entry<'_>| {
            Some(CallDevice {
                call_id: entry.value(Tag::CALL_CONNECTION_CALL_ID)?,
                connection_device_id_type: entry.value(Tag::CALL_CONNECTION_DEVICE_ID_TYPE).unwrap_or_default(),
                connection_device_id: entry.text(Tag::CALL_CONNECTION_DEVICE_ID),
                device_type: entry.value(Tag::CALL_DEVICE_TYPE).unwrap_or_default(),
                device_id: entry.text(Tag::CALL_DEVICE_ID),
                state: entry.value(Tag::CALL_DEVICE_CONNECTION_STATE),
            })
        };
        let entries = self.floating.entries(Tag::CALL_CONNECTION_CALL_ID);
        entries.iter().filter_map(device).collect()
    }
}

//! What agents ask of supervisors, and supervisors of the switch (protocol sheet 1.5, supervisor messages).

use super::fixed::messages;
use crate::cti::ged188::{
    ConnectionCallId, ConnectionDeviceIdType, InvokeId, LineType, PeripheralId, SessionId, SupervisoryAction,
};

messages! {
    /// An agent asks his supervisor to join.
    SupervisorAssistReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
    }

    /// The call to the supervisor is being made.
    SupervisorAssistConf {
        invoke_id: InvokeId;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
    }

    /// An agent asked his supervisor to join. Floating: CLIENT_ID, CLIENT_ADDRESS, AGENT_ID.
    SupervisorAssistEvent {
        peripheral_id: Option<PeripheralId>;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        session_id: SessionId;
    }

    /// An agent reports an emergency.
    EmergencyCallReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
    }

    /// The call for help is being made.
    EmergencyCallConf {
        invoke_id: InvokeId;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        line_handle: Option<u16>;
        line_type: Option<LineType>;
    }

    /// An agent reported an emergency. Floating: CLIENT_ID, CLIENT_ADDRESS, AGENT_ID.
    EmergencyCallEvent {
        peripheral_id: Option<PeripheralId>;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
        session_id: SessionId;
    }

    /// A supervisor joins an agent's call by the switch. Floating: the agent, SUPERVISOR_INSTRUMENT.
    SuperviseCallReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        /// Absent for the agent's active call.
        agent_connection_call_id: Option<ConnectionCallId>;
        supervisor_connection_call_id: Option<ConnectionCallId>;
        agent_connection_device_id_type: Option<ConnectionDeviceIdType>;
        supervisor_connection_device_id_type: Option<ConnectionDeviceIdType>;
        supervisory_action: SupervisoryAction;
    }

    /// The supervisor's connection.
    SuperviseCallConf {
        invoke_id: InvokeId;
        connection_call_id: Option<ConnectionCallId>;
        connection_device_id_type: Option<ConnectionDeviceIdType>;
    }
}

//! What clients tell the system and each other.

use super::fixed::messages;
use crate::cti::ged188::{
    AgentStateMask, CallMessageMask, ClientEventState, InvokeId, MessageDistribution, PeripheralId, ServiceMask,
    SessionId, Status,
};

messages! {
    /// A client reports how it is, for the system's event log. Floating: OBJECT_NAME, TEXT.
    ClientEventReportReq {
        invoke_id: InvokeId;
        state: ClientEventState;
    }

    /// The report was taken.
    ClientEventReportConf {
        invoke_id: InvokeId;
    }

    /// A message for people. Floating: CLIENT_ID, TEXT.
    UserMessageReq {
        invoke_id: InvokeId;
        peripheral_id: Option<PeripheralId>;
        distribution: MessageDistribution;
    }

    /// The message was passed on.
    UserMessageConf {
        invoke_id: InvokeId;
    }

    /// A message for people came. Floating: CLIENT_ID, TEXT.
    UserMessageEvent {
        /// Seconds since 1970.
        central_controller_time: u32;
        distribution: MessageDistribution;
    }

    /// Another client opened a session. Floating: CLIENT_ID, CLIENT_ADDRESS, AGENT_ID.
    ClientSessionOpenedEvent {
        session_id: SessionId;
        peripheral_id: Option<PeripheralId>;
        services_granted: ServiceMask;
        call_message_mask: CallMessageMask;
        agent_state_mask: AgentStateMask;
        client_port: u32;
    }

    /// Another client's session ended. Floating: CLIENT_ID, CLIENT_ADDRESS, AGENT_ID.
    ClientSessionClosedEvent {
        session_id: SessionId;
        peripheral_id: Option<PeripheralId>;
        status: Status;
        client_port: u32;
    }
}

//! Opening, keeping and closing a session, and what the system says of itself (protocol sheet 1.2 to 1.4).

use super::fixed::{FixedPart, messages};
use crate::cti::ged188::wire::{FixedReader, FixedWriter, Wire};
use crate::cti::ged188::{
    AgentState, AgentStateMask, CallMessageMask, ConfigMessageMask, ControlFailureCode, DeviceIdType, Floating,
    InvokeId, MonitorId, PeripheralId, PeripheralType, PgStatus, ProtocolVersion, ServiceMask, SessionType, Status,
    SystemEventId, Tag,
};

/// A request was refused. Documented in two forms: with the status as UINT, and with the status as USHORT and the
/// peripheral's error code behind it; read by length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailureConf {
    /// The request's id.
    pub invoke_id: InvokeId,
    /// Why it was refused.
    pub status: Status,
    /// The peripheral's own error code; present in the longer form only.
    pub peripheral_error_code: Option<u32>,
    /// The floating part: none is documented.
    pub floating: Floating,
}

impl FailureConf {
    const SHORT: usize = 8;
    const LONG: usize = 10;
}

impl FixedPart for FailureConf {
    fn size(_version: ProtocolVersion, body: usize) -> usize {
        if body < Self::LONG { Self::SHORT } else { Self::LONG }
    }

    fn read(fixed: &mut FixedReader<'_>, floating: Floating) -> Self {
        let invoke_id = fixed.field(0);
        let (status, peripheral_error_code) = if fixed.remaining() < Self::LONG - InvokeId::SIZE {
            (fixed.field(0), None)
        } else {
            let code: u16 = fixed.field(0);
            (Status(code.into()), Some(fixed.field(0)))
        };
        Self {
            invoke_id,
            status,
            peripheral_error_code,
            floating,
        }
    }

    fn write(&self, out: &mut FixedWriter<'_>) {
        out.field(0, self.invoke_id);
        match self.peripheral_error_code {
            None => out.field(0, self.status),
            Some(error) => {
                out.field(0, u16::try_from(self.status.0).unwrap_or(u16::MAX));
                out.field(0, error);
            }
        }
    }
}

messages! {
    /// The server says that something failed, unasked. `CTI_SERVER_OFFLINE` asks the client to leave.
    FailureEvent {
        status: Status;
    }

    /// A request to the switch failed.
    ControlFailureConf {
        invoke_id: InvokeId;
        failure_code: ControlFailureCode;
        peripheral_error_code: u32;
    }

    /// A client opens a session. Floating: CLIENT_ID and CLIENT_PASSWORD.
    OpenReq {
        invoke_id: InvokeId;
        version_number: ProtocolVersion;
        /// Seconds of silence after which the server gives up; absent for never.
        idle_timeout: Option<u32>;
        peripheral_id: Option<PeripheralId>;
        services_requested: ServiceMask;
        call_message_mask: CallMessageMask;
        agent_state_mask: AgentStateMask;
        config_message_mask: ConfigMessageMask;
        reserved_1: u32;
        reserved_2: u32;
        reserved_3: u32;
    }

    /// The session is open. Floating: see [`OpenConf::peripherals`].
    OpenConf {
        invoke_id: InvokeId;
        /// May be fewer than asked for.
        services_granted: ServiceMask;
        monitor_id: MonitorId;
        pg_status: PgStatus;
        /// Seconds since 1970.
        central_controller_time: u32;
        peripheral_online: bool;
        peripheral_type: Option<PeripheralType>;
        agent_state: AgentState;
        department_id: u32, since 19;
        session_type: SessionType, since 24;
    }

    /// The client is there.
    HeartbeatReq {
        invoke_id: InvokeId;
    }

    /// So is the server.
    HeartbeatConf {
        invoke_id: InvokeId;
    }

    /// A client ends its session.
    CloseReq {
        invoke_id: InvokeId;
        status: Status;
    }

    /// The session is closed.
    CloseConf {
        invoke_id: InvokeId;
    }

    /// Something changed in the installation. Floating: TEXT, EVENT_DEVICE_ID.
    SystemEvent {
        pg_status: PgStatus;
        /// Seconds since 1970.
        central_controller_time: u32;
        system_event_id: SystemEventId;
        /// The peripheral's id with `PERIPHERAL_ONLINE` and `PERIPHERAL_OFFLINE`.
        system_event_arg_1: u32;
        system_event_arg_2: u32;
        system_event_arg_3: u32;
        event_device_type: Option<DeviceIdType>;
    }

    /// The standby server took over.
    StandbyActiveEvent {}

    /// The active server asks whether it may hand over; to be answered within 5 s.
    ActiveMaintenanceReq {
        invoke_id: InvokeId;
    }

    /// The client's answer.
    ActiveMaintenanceResp {
        invoke_id: InvokeId;
        accepted: bool;
    }

    /// Whether the active server hands over.
    ActiveMaintenanceEvent {
        proceed: bool;
    }

    /// The client sends nothing more to this side.
    StoppingRequestsToThisSideInd {}
}

impl OpenConf {
    /// The peripherals served, with whether agents have several lines there.
    pub fn peripherals(&self) -> Vec<(PeripheralId, Option<bool>)> {
        let entries = self.floating.entries(Tag::PERIPHERAL_ID);
        let peripheral = |entry: &crate::cti::ged188::Entry<'_>| {
            let multiline = entry.uint(Tag::MULTILINE_AGENT_CONTROL).map(|control| control != 0);
            Some((entry.value(Tag::PERIPHERAL_ID)?, multiline))
        };
        entries.iter().filter_map(peripheral).collect()
    }
}

impl SystemEvent {
    /// The peripheral that went on- or off-line.
    pub fn peripheral_id(&self) -> Option<PeripheralId> {
        matches!(
            self.system_event_id,
            SystemEventId::PERIPHERAL_ONLINE | SystemEventId::PERIPHERAL_OFFLINE
        )
        .then_some(PeripheralId(self.system_event_arg_1))
    }
}

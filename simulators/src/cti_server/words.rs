//! Numbers of GED-188: tags, masks, enumerations (protocol sheet 1.3, 1.5, 1.7).

use silentmon_proto::cti::{AgentState, MediaDirection};

use super::wire::Version;
use crate::world::{Connection, ConnectionState};

/// PeripheralType of a Unified CCE peripheral.
pub(super) const ENTERPRISE_AGENT: u16 = 17;
/// "None" in a USHORT, a UINT.
pub(super) const NONE_16: u16 = 0xffff;
pub(super) const NONE_32: u32 = 0xffff_ffff;

pub(super) mod tag {
    pub const CLIENT_ID: u16 = 1;
    pub const CLIENT_PASSWORD: u16 = 2;
    pub const AGENT_EXTENSION: u16 = 4;
    pub const AGENT_ID: u16 = 5;
    pub const AGENT_INSTRUMENT: u16 = 6;
    pub const ANI: u16 = 8;
    pub const DNIS: u16 = 10;
    pub const CONNECTION_DEVICE_ID: u16 = 25;
    pub const ALERTING: u16 = 26;
    pub const CALLING: u16 = 27;
    pub const CALLED: u16 = 28;
    pub const ANSWERING: u16 = 30;
    pub const HOLDING: u16 = 31;
    pub const RETRIEVING: u16 = 32;
    pub const RELEASING: u16 = 33;
    pub const FAILING: u16 = 34;
    pub const PRIMARY: u16 = 35;
    pub const SECONDARY: u16 = 36;
    pub const CONTROLLER: u16 = 37;
    pub const ADDED_PARTY: u16 = 38;
    pub const PARTY_CALL_ID: u16 = 39;
    pub const PARTY_DEVICE_ID_TYPE: u16 = 40;
    pub const PARTY_DEVICE_ID: u16 = 41;
    pub const TRANSFERRING: u16 = 42;
    pub const TRANSFERRED: u16 = 43;
    pub const DIVERTING: u16 = 44;
    pub const NEW_CONNECTION: u16 = 47;
    pub const CALL_CONN_CALL_ID: u16 = 56;
    pub const CALL_CONN_DEVICE_ID_TYPE: u16 = 57;
    pub const CALL_CONN_DEVICE_ID: u16 = 58;
    pub const CALL_DEVICE_TYPE: u16 = 59;
    pub const CALL_DEVICE_ID: u16 = 60;
    pub const CALL_DEVICE_CONNECTION_STATE: u16 = 61;
    pub const SKILL_GROUP_NUMBER: u16 = 62;
    pub const SKILL_GROUP_ID: u16 = 63;
    pub const SKILL_GROUP_PRIORITY: u16 = 64;
    pub const SKILL_GROUP_STATE: u16 = 65;
    pub const CALL_STATE: u16 = 75;
    pub const CLIENT_ADDRESS: u16 = 81;
    pub const SUPERVISOR_INSTRUMENT: u16 = 85;
    pub const ATC_AGENT_ID: u16 = 86;
    pub const AGENT_FLAGS: u16 = 87;
    pub const ATC_AGENT_STATE: u16 = 88;
    pub const ATC_STATE_DURATION: u16 = 89;
    pub const LIST_TEAM_ID: u16 = 92;
    pub const SENDING_ADDRESS: u16 = 125;
    pub const SENDING_PORT: u16 = 126;
    pub const PERIPHERAL_ID: u16 = 208;
    pub const MULTILINE_AGENT_CONTROL: u16 = 224;
    pub const CLIENT_ADDRESS_IPV6: u16 = 226;
    pub const SENDING_ADDRESS_IPV6: u16 = 227;
    pub const NUM_PERIPHERALS: u16 = 228;
    pub const AGENT_TEAM_NAME: u16 = 243;
    pub const DIRECTION: u16 = 244;
}

/// Bit of a message in CallMsgMask.
pub(super) mod mask {
    pub const DELIVERED: u32 = 0x1;
    pub const ESTABLISHED: u32 = 0x4;
    pub const HELD: u32 = 0x8;
    pub const RETRIEVED: u32 = 0x10;
    pub const CLEARED: u32 = 0x20;
    pub const CONNECTION_CLEARED: u32 = 0x40;
    pub const ORIGINATED: u32 = 0x80;
    pub const CONFERENCED: u32 = 0x100;
    pub const TRANSFERRED: u32 = 0x200;
    pub const DIVERTED: u32 = 0x400;
    pub const SERVICE_INITIATED: u32 = 0x800;
    pub const BEGIN_CALL: u32 = 0x2000;
    pub const END_CALL: u32 = 0x4000;
    pub const CALL_DATA_UPDATE: u32 = 0x8000;
    pub const FAILED: u32 = 0x1_0000;
    pub const RTP_STARTED: u32 = 0x20_0000;
    pub const RTP_STOPPED: u32 = 0x40_0000;
    pub const AGENT_TEAM_CONFIG: u32 = 0x80_0000;
}

pub(super) const fn direction(direction: MediaDirection) -> u16 {
    match direction {
        MediaDirection::Receive => 0,
        MediaDirection::Send => 1,
    }
}

/// The Cisco media payload enumeration, not RTP's.
pub(super) fn payload_type(codec: Option<&str>) -> u16 {
    match codec {
        Some("PCMA") => 2,
        None | Some("PCMU") => 4,
        Some("G722") => 6,
        Some("G729") => 11,
        Some("iLBC") => 86,
        Some("opus") => 90,
        Some(_) => 1,
    }
}

/// AgentState as GED-188 numbers it.
pub(super) const fn agent_state_number(state: AgentState) -> u16 {
    match state {
        AgentState::Login => 0,
        AgentState::Logout => 1,
        AgentState::NotReady => 2,
        AgentState::Available => 3,
        AgentState::Talking => 4,
        AgentState::WorkNotReady => 5,
        AgentState::WorkReady => 6,
        AgentState::BusyOther => 7,
        AgentState::Reserved => 8,
        AgentState::Unknown => 9,
        AgentState::Hold => 10,
    }
}

/// Its bit in AgentStateMask, whose order is another; UNKNOWN has none.
pub(super) const fn agent_state_bit(state: AgentState) -> u32 {
    match state {
        AgentState::Unknown => 0x3fff,
        AgentState::Hold => 0x200,
        state => 1 << agent_state_number(state),
    }
}

/// LocalConnectionState.
pub(super) const fn connection_state(state: ConnectionState) -> u16 {
    match state {
        ConnectionState::Initiated => 1,
        ConnectionState::Alerting => 2,
        ConnectionState::Connected => 3,
        ConnectionState::Hold => 4,
        ConnectionState::Queued => 5,
        ConnectionState::Fail => 6,
    }
}

pub(super) fn line_type(version: Version, connection: &Connection) -> u16 {
    let lines_of_14 = version.0 >= 14;
    match (connection.acd, connection.outgoing) {
        (Some(true), false) => 0,
        (Some(true), true) => 1,
        (Some(false), false) => {
            if lines_of_14 {
                10
            } else {
                8
            }
        }
        (Some(false), true) => {
            if lines_of_14 {
                11
            } else {
                7
            }
        }
        (None, _) => 3,
    }
}

pub(super) fn call_type(version: Version, connection: &Connection) -> u16 {
    match (connection.acd, connection.outgoing, version.0) {
        (Some(true) | None, false, _) => 1,
        (Some(true), true, _) => 8,
        (Some(false), _, 19..) => 38,
        (Some(false), _, 14..19) => 27,
        (Some(false), false, ..14) => 6,
        (Some(false) | None, true, _) => 9,
    }
}

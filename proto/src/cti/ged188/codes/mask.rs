//! Sets of bits: what a client asks for, what a peripheral gateway lacks.

use crate::cti::ged188::ProtocolVersion;
use crate::cti::ged188::wire::mask;

mask! {
    /// Services a client asks for and is granted.
    ServiceMask: u32 {
        CLIENT_EVENTS = 0x1, CALL_DATA_UPDATE = 0x2, CLIENT_CONTROL = 0x4, CONNECTION_MONITOR = 0x8,
        ALL_EVENTS = 0x10, PERIPHERAL_MONITOR = 0x20, CLIENT_MONITOR = 0x40, SUPERVISOR = 0x80, SERVER = 0x100,
        AGENT_REPORTING = 0x400, ALL_TASK_EVENTS = 0x800, TASK_MONITOR = 0x1000, AGENT_STATE_CONTROL_ONLY = 0x2000,
        DEVICE_STATE_CONTROL = 0x8000, UPDATE_EVENTS = 0x8_0000, IGNORE_DUPLICATE_AGENT_EVENTS = 0x10_0000,
        IGNORE_CONF = 0x20_0000, ACD_LINE_ONLY = 0x40_0000, ACTIVE_STANDBY = 0x0200_0000, DEBUG = 0x8000_0000,
    }
}

mask! {
    /// Call events a client asks for.
    CallMessageMask: u32 {
        DELIVERED = 0x1, QUEUED = 0x2, ESTABLISHED = 0x4, HELD = 0x8, RETRIEVED = 0x10, CLEARED = 0x20,
        CONNECTION_CLEARED = 0x40, ORIGINATED = 0x80, CONFERENCED = 0x100, TRANSFERRED = 0x200, DIVERTED = 0x400,
        SERVICE_INITIATED = 0x800, TRANSLATION_ROUTE = 0x1000, BEGIN_CALL = 0x2000, END_CALL = 0x4000,
        CALL_DATA_UPDATE = 0x8000, FAILED = 0x1_0000, REACHED_NETWORK = 0x2_0000, DEQUEUED = 0x4_0000,
        AGENT_PRE_CALL = 0x8_0000, AGENT_PRE_CALL_ABORT = 0x10_0000, RTP_STARTED = 0x20_0000,
        RTP_STOPPED = 0x40_0000, AGENT_TEAM_CONFIG = 0x80_0000, AGENT_LEGACY_PRE_CALL = 0x0100_0000,
        CALL_ATTRIBUTE_CHANGE = 0x0200_0000, CALL_TERMINATION = 0x0400_0000, AGENT_GREETING = 0x0800_0000,
        NETWORK_RECORDING_STARTED = 0x1000_0000, NETWORK_RECORDING_ENDED = 0x2000_0000,
        NETWORK_RECORDING_FAILED = 0x4000_0000, NETWORK_RECORDING_TARGET_INFO = 0x8000_0000,
    }
}

impl CallMessageMask {
    /// What a silent monitor needs: the calls of a phone and its media addresses.
    pub const MONITORING: Self = Self(0x0060_637d);

    /// The bits that mean something in a version; a server refuses a session that asks for others
    /// (status `INVALID_CALL_MESSAGE_MASK`). CALL_TERMINATION is reserved in all.
    pub const fn valid_in(version: ProtocolVersion) -> Self {
        let before_greeting = Self(0x03ff_ffff);
        match version.0 {
            ..15 => before_greeting,
            15..23 => before_greeting.with(Self::AGENT_GREETING),
            23.. => Self(0xfbff_ffff),
        }
    }
}

mask! {
    /// Agent states a client asks for. The order of the bits isn't that of the states.
    AgentStateMask: u32 {
        LOGIN = 0x1, LOGOUT = 0x2, NOT_READY = 0x4, AVAILABLE = 0x8, TALKING = 0x10, WORK_NOT_READY = 0x20,
        WORK_READY = 0x40, BUSY_OTHER = 0x80, RESERVED = 0x100, HOLD = 0x200, ACTIVE = 0x400, PAUSED = 0x800,
        INTERRUPTED = 0x1000, NOT_ACTIVE = 0x2000,
    }
}

impl AgentStateMask {
    /// All states of calls.
    pub const ALL_CALL_STATES: Self = Self(0x3ff);
}

mask! {
    /// Configuration events a client asks for.
    ConfigMessageMask: u32 {
        SERVICE = 0x1, SKILL_GROUP = 0x2, AGENT = 0x4, DEVICE = 0x8, CALL_TYPE = 0x10, MEDIA_ROUTING_DOMAIN = 0x20,
        TERMINAL = 0x100,
    }
}

mask! {
    /// What is wrong with the peripheral gateway; no bit when all is well.
    PgStatus: u32 {
        OPC_DOWN = 0x1, CENTRAL_CONTROLLER_DOWN = 0x2, PERIPHERAL_OFFLINE = 0x4, CTI_SERVER_OFFLINE = 0x8,
        LIMITED_FUNCTION = 0x10,
    }
}

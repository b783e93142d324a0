//! Codes of the session, the system and its supervisors.

use crate::cti::ged188::wire::number;

number! {
    /// Whether the server that answered is the active one (from version 24).
    SessionType: u16 {
        UNKNOWN = 0, ACTIVE = 1, STANDBY = 2,
    }
}

number! {
    /// What a SYSTEM_EVENT says.
    SystemEventId: u32 {
        CENTRAL_CONTROLLER_ONLINE = 1, CENTRAL_CONTROLLER_OFFLINE = 2, PERIPHERAL_ONLINE = 3, PERIPHERAL_OFFLINE = 4,
        TEXT_FYI = 5, PERIPHERAL_GATEWAY_OFFLINE = 6, CTI_SERVER_OFFLINE = 7, CTI_SERVER_ONLINE = 8,
        HALF_HOUR_CHANGE = 9, INSTRUMENT_OUT_OF_SERVICE = 10, INSTRUMENT_BACK_IN_SERVICE = 11,
    }
}

number! {
    /// How a client is, in its own report.
    ClientEventState: u16 {
        NORMAL = 0, WARNING = 1, ERROR = 2,
    }
}

number! {
    /// Whom a user message is for.
    MessageDistribution: u16 {
        CLIENT = 0, SUPERVISOR = 1, TEAM = 2, ALL = 3,
    }
}

number! {
    /// What a supervisor does with an agent's call.
    SupervisoryAction: u16 {
        CLEAR = 0, MONITOR = 1, WHISPER = 2, BARGE_IN = 3, INTERCEPT = 4,
    }
}

number! {
    /// A call's part in a silent monitor call of the switch (tag `SILENT_MONITOR_STATUS`).
    SilentMonitorStatus: u16 {
        NONE = 0, INITIATOR = 1, TARGET = 2,
    }
}

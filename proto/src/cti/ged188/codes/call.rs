//! What calls are, why something happened to them, and whether they came through the queue.

use super::DeviceIdType;
use crate::cti::ged188::ProtocolVersion;
use crate::cti::ged188::wire::number;

number! {
    /// State of a connection.
    LocalConnectionState: u16 {
        NULL = 0, INITIATE = 1, ALERTING = 2, CONNECT = 3, HOLD = 4, QUEUED = 5, FAIL = 6,
    }
}

number! {
    /// The line a call came in or goes out on.
    LineType: u16 {
        INBOUND_ACD = 0, OUTBOUND_ACD = 1, INSIDE = 2, UNKNOWN = 3, SUPERVISOR = 4, MESSAGE = 5, HELP = 6,
        OUTBOUND = 7, DID = 8, SILENT_MONITOR = 9, NON_ACD_IN = 10, NON_ACD_OUT = 11,
    }
}

number! {
    /// What kind of call it is. Ask [`is_acd`] rather than compare: 27 changed its meaning with version 19.
    CallType: u16 {
        ACD_IN = 1, PREROUTE_ACD_IN = 2, PREROUTE_DIRECT_AGENT = 3, TRANSFER_IN = 4, OVERFLOW_IN = 5, OTHER_IN = 6,
        AUTO_OUT = 7, AGENT_OUT = 8, OUT = 9, AGENT_INSIDE = 10, OFFERED = 11, CONSULT = 12, CONSULT_OFFERED = 13,
        CONSULT_CONFERENCE = 14, CONFERENCE = 15, UNMONITORED = 16, PREVIEW = 17, RESERVATION = 18, ASSIST = 19,
        EMERGENCY = 20, SUPERVISOR_MONITOR = 21, SUPERVISOR_WHISPER = 22, SUPERVISOR_BARGE_IN = 23,
        SUPERVISOR_INTERCEPT = 24, TASK_ROUTED_BY_ICM = 25, TASK_ROUTED_BY_APPLICATION = 26, RESERVATION_PREVIEW = 27,
        RESERVATION_PREVIEW_DIRECT = 28, RESERVATION_PREDICTIVE = 29, RESERVATION_CALLBACK = 30,
        RESERVATION_PERSONAL_CALLBACK = 31, CUSTOMER_PREVIEW = 32, CUSTOMER_PREVIEW_DIRECT = 33,
        CUSTOMER_PREDICTIVE = 34, CUSTOMER_CALLBACK = 35, CUSTOMER_PERSONAL_CALLBACK = 36, CUSTOMER_IVR = 37,
        NON_ACD = 38, PLAY_AGENT_GREETING = 39, RECORD_AGENT_GREETING = 40, VOICE_CALLBACK = 41,
    }
}

impl CallType {
    /// NON_ACD of versions 14 to 18.
    const NON_ACD_BEFORE_19: Self = Self::RESERVATION_PREVIEW;

    /// Whether a call of this type came through the queue; absent where the type doesn't tell.
    fn is_acd(self, version: ProtocolVersion) -> Option<bool> {
        match self {
            Self::NON_ACD_BEFORE_19 if version < ProtocolVersion::DEPARTMENTS => Some(false),
            Self::NON_ACD => Some(false),
            Self::ACD_IN | Self::PREROUTE_ACD_IN | Self::PREROUTE_DIRECT_AGENT | Self::OVERFLOW_IN => Some(true),
            _ => None,
        }
    }
}

/// Whether a call came through the queue, by the first of these that tells: a non-ACD line, the call's type, a non-ACD
/// device, an ACD line (protocol sheet 1.5).
pub fn is_acd(
    line_type: Option<LineType>,
    call_type: Option<CallType>,
    device_id_type: Option<DeviceIdType>,
    version: ProtocolVersion,
) -> Option<bool> {
    if matches!(line_type, Some(LineType::NON_ACD_IN | LineType::NON_ACD_OUT)) {
        return Some(false);
    }
    if let Some(acd) = call_type.and_then(|call_type| call_type.is_acd(version)) {
        return Some(acd);
    }
    if device_id_type == Some(DeviceIdType::NON_ACD_DEVICE) {
        return Some(false);
    }
    match line_type? {
        LineType::INBOUND_ACD | LineType::OUTBOUND_ACD => Some(true),
        LineType::OUTBOUND => Some(false),
        _ => None,
    }
}

number! {
    /// Why something happened to a call; "none" is read as absent. 1001 to 1057 are [`Disposition`] and 1000.
    EventCause: u16 {
        ACTIVE_MONITOR = 1, ALTERNATE = 2, BUSY = 3, CALL_BACK = 4, CALL_CANCELLED = 5, CALL_FORWARD_ALWAYS = 6,
        CALL_FORWARD_BUSY = 7, CALL_FORWARD_NO_ANSWER = 8, CALL_FORWARD = 9, CALL_NOT_ANSWERED = 10,
        CALL_PICKUP = 11, CAMP_ON = 12, DESTINATION_NOT_OBTAINABLE = 13, DO_NOT_DISTURB = 14,
        INCOMPATIBLE_DESTINATION = 15, INVALID_ACCOUNT_CODE = 16, KEY_CONFERENCE = 17, LOCKOUT = 18, MAINTENANCE = 19,
        NETWORK_CONGESTION = 20, NETWORK_NOT_OBTAINABLE = 21, NEW_CALL = 22, NO_AVAILABLE_AGENTS = 23, OVERRIDE = 24,
        PARK = 25, OVERFLOW = 26, RECALL = 27, REDIRECTED = 28, REORDER_TONE = 29, RESOURCES_NOT_AVAILABLE = 30,
        SILENT_MONITOR = 31, TRANSFER = 32, TRUNKS_BUSY = 33, VOICE_UNIT_INITIATOR = 34, SUPERVISOR_ASSIST = 43,
        EMERGENCY_CALL = 44, SUPERVISOR_CLEAR = 45, SUPERVISOR_MONITOR = 46, SUPERVISOR_WHISPER = 47,
        SUPERVISOR_BARGE_IN = 48, SUPERVISOR_INTERCEPT = 49, CALL_PARTY_UPDATE = 50, CONSULT = 51,
    }
}

impl EventCause {
    /// The disposition that the cause repeats (1001 to 1057).
    pub const fn disposition(self) -> Option<Disposition> {
        match self.0 {
            1001..=1057 => Some(Disposition(self.0 - 1000)),
            _ => None,
        }
    }
}

number! {
    /// How a call ended or left a device.
    Disposition: u16 {
        NONE = 0, ABANDONED_IN_NETWORK = 1, ABANDONED_IN_LOCAL_QUEUE = 2, ABANDONED_RING = 3, ABANDONED_DELAY = 4,
        ABANDONED_INTERFLOW = 5, ABANDONED_AGENT_TERMINAL = 6, SHORT = 7, BUSY = 8, HANDLED_PRIMARY_ROUTE = 13,
        HANDLED_OTHER = 14, REDIRECTED = 15, RING_NO_ANSWER = 19, BLIND_TRANSFER = 28, ANNOUNCED_TRANSFER = 29,
        CONFERENCED = 30, CALLED_PARTY_DISCONNECTED = 52, PARTIAL_CALL = 53,
    }
}

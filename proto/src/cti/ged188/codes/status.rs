//! Why the CTI Server refused something (protocol sheet 1.5), and what that asks of a client.

use crate::cti::ged188::wire::number;

number! {
    /// Status of FAILURE_CONF, FAILURE_EVENT and CLOSE_REQ.
    Status: u32 {
        NO_ERROR = 0, INVALID_VERSION = 1, INVALID_MESSAGE_TYPE = 2, INVALID_FIELD_TAG = 3, SESSION_NOT_OPEN = 4,
        SESSION_ALREADY_OPEN = 5, REQUIRED_DATA_MISSING = 6, INVALID_PERIPHERAL_ID = 7, INVALID_AGENT_DATA = 8,
        AGENT_NOT_LOGGED_ON = 9, DEVICE_IN_USE = 10, NEW_SESSION_OPENED = 11, FUNCTION_NOT_AVAILABLE = 12,
        INVALID_CALL_ID = 13, CTI_SERVER_OFFLINE = 15, TIMEOUT = 16, UNSPECIFIED_FAILURE = 17, INVALID_TIMEOUT = 18,
        INVALID_SERVICE_MASK = 19, INVALID_CALL_MESSAGE_MASK = 20, INVALID_AGENT_STATE_MASK = 21,
        INVALID_RESERVED_FIELD = 22, INVALID_FIELD_LENGTH = 23, INVALID_FORMAT = 25, INVALID_TAG_FOR_MESSAGE = 26,
        INCONSISTENT_AGENT_DATA = 32, INVALID_PASSWORD = 36, CLIENT_DISCONNECTED = 37,
        MESSAGE_TYPE_NOT_FOR_VERSION = 48, TAG_NOT_FOR_VERSION = 49, INVALID_MONITOR_ID = 55, CLIENT_NOT_FOUND = 63,
        SUPERVISOR_NOT_FOUND = 64, TEAM_NOT_FOUND = 65, INVALID_RTP_DIRECTION = 79, INVALID_RTP_TYPE = 80,
        TEAM_MONITOR_EXISTS = 83, SERVER_NOT_MASTER = 92, CALL_MANAGER_PROBLEM = 94, INVALID_CONFIG_MASK = 95,
        AUTO_CONFIG_RESET = 96, INVALID_MONITOR_STATUS = 97, INVALID_REQUEST_TYPE = 98,
    }
}

/// What a client best does after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Ask for the next lower version.
    LowerVersion,
    /// Try the other side.
    OtherSide,
    /// Something is configured wrongly: tell people, try again slowly.
    Misconfigured,
    /// Another client has the session.
    SessionTaken,
    /// Nothing in particular.
    Retry,
}

impl Status {
    /// What a client best does after this status ended or refused its session.
    pub const fn reaction(self) -> Reaction {
        match self {
            Self::INVALID_VERSION => Reaction::LowerVersion,
            Self::CTI_SERVER_OFFLINE | Self::SERVER_NOT_MASTER | Self::TIMEOUT => Reaction::OtherSide,
            Self::INVALID_PASSWORD
            | Self::FUNCTION_NOT_AVAILABLE
            | Self::INVALID_SERVICE_MASK
            | Self::INVALID_CALL_MESSAGE_MASK
            | Self::INVALID_AGENT_STATE_MASK
            | Self::INVALID_CONFIG_MASK => Reaction::Misconfigured,
            Self::DEVICE_IN_USE | Self::NEW_SESSION_OPENED => Reaction::SessionTaken,
            _ => Reaction::Retry,
        }
    }

    /// The status in a sentence for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NO_ERROR => "All is well.",
            Self::INVALID_VERSION => "The CTI Server doesn't speak the protocol version asked for.",
            Self::INVALID_MESSAGE_TYPE => "The CTI Server doesn't know the kind of message it was sent.",
            Self::INVALID_FIELD_TAG => "The CTI Server doesn't know a field of the message it was sent.",
            Self::SESSION_NOT_OPEN => "No session is open.",
            Self::SESSION_ALREADY_OPEN => "The session is open already.",
            Self::REQUIRED_DATA_MISSING => "The request lacks something that the CTI Server needs.",
            Self::INVALID_PERIPHERAL_ID => "The CTI Server doesn't serve the peripheral named.",
            Self::INVALID_AGENT_DATA => "The CTI Server doesn't know the agent named.",
            Self::AGENT_NOT_LOGGED_ON => "The agent isn't signed in.",
            Self::DEVICE_IN_USE => "Another client uses the device named.",
            Self::NEW_SESSION_OPENED => "Another client opened the session for the same agent or device.",
            Self::FUNCTION_NOT_AVAILABLE => "The CTI Server doesn't grant a service that was asked for.",
            Self::INVALID_CALL_ID => "The CTI Server doesn't know the call named.",
            Self::CTI_SERVER_OFFLINE => "The CTI Server is off-line.",
            Self::TIMEOUT => "The peripheral didn't answer the CTI Server in time.",
            Self::UNSPECIFIED_FAILURE => "The CTI Server failed without saying why.",
            Self::INVALID_TIMEOUT => "The CTI Server doesn't accept the idle timeout asked for.",
            Self::INVALID_SERVICE_MASK => "The CTI Server doesn't know a service that was asked for.",
            Self::INVALID_CALL_MESSAGE_MASK => "The CTI Server doesn't know a call event that was asked for.",
            Self::INVALID_AGENT_STATE_MASK => "The CTI Server doesn't know an agent state that was asked for.",
            Self::INVALID_RESERVED_FIELD => "A reserved field of the request wasn't zero.",
            Self::INVALID_FIELD_LENGTH => "A field of the request is longer than allowed.",
            Self::INVALID_FORMAT => "The CTI Server can't read the request.",
            Self::INVALID_TAG_FOR_MESSAGE => "A field of the request doesn't belong to that kind of message.",
            Self::INCONSISTENT_AGENT_DATA => "The agent's id, extension and device don't belong together.",
            Self::INVALID_PASSWORD => "The CTI Server doesn't accept the client id or password.",
            Self::CLIENT_DISCONNECTED => "The client has gone.",
            Self::MESSAGE_TYPE_NOT_FOR_VERSION => "That kind of message doesn't exist in the session's version.",
            Self::TAG_NOT_FOR_VERSION => "A field of the request doesn't exist in the session's version.",
            Self::INVALID_MONITOR_ID => "The CTI Server doesn't know the monitor named.",
            Self::CLIENT_NOT_FOUND => "The CTI Server doesn't know the client named.",
            Self::SUPERVISOR_NOT_FOUND => "The CTI Server doesn't know the supervisor named.",
            Self::TEAM_NOT_FOUND => "The CTI Server doesn't know the team named.",
            Self::INVALID_RTP_DIRECTION => "The CTI Server doesn't accept the media direction asked for.",
            Self::INVALID_RTP_TYPE => "The CTI Server doesn't accept the media type asked for.",
            Self::TEAM_MONITOR_EXISTS => "The team is monitored already.",
            Self::SERVER_NOT_MASTER => "That CTI Server isn't the one in charge.",
            Self::CALL_MANAGER_PROBLEM => "The CTI Server has trouble with the call manager.",
            Self::INVALID_CONFIG_MASK => "The CTI Server doesn't know a configuration event that was asked for.",
            Self::AUTO_CONFIG_RESET => "The peripheral's configuration was reset.",
            Self::INVALID_MONITOR_STATUS => "The monitor isn't in a state that allows the request.",
            Self::INVALID_REQUEST_TYPE => "The CTI Server doesn't know the kind of request.",
            _ => "The CTI Server gave a status that isn't documented.",
        }
    }
}

number! {
    /// Why the switch refused a request (CONTROL_FAILURE_CONF); below 256 the universal failures of CSTA.
    ControlFailureCode: u16 {
        GENERIC_UNSPECIFIED = 0, GENERIC_OPERATION = 1, REQUEST_INCOMPATIBLE_WITH_OBJECT = 2, VALUE_OUT_OF_RANGE = 3,
        OBJECT_NOT_KNOWN = 4, INVALID_CALLING_DEVICE = 5, INVALID_CALLED_DEVICE = 6,
        PRIVILEGE_VIOLATION_ON_SPECIFIED_DEVICE = 8, INVALID_CALL_IDENTIFIER = 11, INVALID_DEVICE_IDENTIFIER = 12,
        INVALID_CONNECTION_IDENTIFIER = 13, INVALID_DESTINATION = 14, INVALID_FEATURE = 15, SECURITY_VIOLATION = 19,
        GENERIC_STATE_INCOMPATIBILITY = 21, INVALID_OBJECT_STATE = 22, NO_ACTIVE_CALL = 24, NO_HELD_CALL = 25,
        GENERIC_SYSTEM_RESOURCE_AVAILABILITY = 31, SERVICE_BUSY = 32, RESOURCE_BUSY = 33,
        RESOURCE_OUT_OF_SERVICE = 34, OVERALL_MONITOR_LIMIT_EXCEEDED = 37, CONFERENCE_MEMBER_LIMIT_EXCEEDED = 38,
        OBJECT_MONITOR_LIMIT_EXCEEDED = 42, OUTSTANDING_REQUEST_LIMIT_EXCEEDED = 44,
        GENERIC_UNSPECIFIED_REJECTION = 70, REQUEST_TIMEOUT_REJECTION = 78,
        REQUESTS_ON_DEVICE_EXCEEDED_REJECTION = 79, INVALID_AGENT_ID_SPECIFIED = 256,
        AGENT_NOT_PARTY_ON_CALL = 268, DEVICE_RESTRICTED = 287, LINE_RESTRICTED = 288,
    }
}

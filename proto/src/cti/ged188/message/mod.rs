//! Messages: a struct each with the fixed part's fields and the floating part, and one enum of them all.

mod agent;
mod call;
mod client;
mod fixed;
mod media;
mod query;
mod session;
mod supervisor;

use self::fixed::{FixedPart, decode_body};
use super::framer::MAX_BODY;
use super::wire::{FixedWriter, Wire};
use super::{DecodeError, EncodeError, Floating, MessageType, ProtocolVersion};

pub use agent::*;
pub use call::*;
pub use client::*;
pub use media::*;
pub use query::*;
pub use session::*;
pub use supervisor::*;

/// A message, and whether its fixed part had the size that the session's version says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The message.
    pub message: Message,
    /// Present where the server's layout differs from what is documented: worth one line of log.
    pub deviation: Option<FixedSizeDeviation>,
}

/// A fixed part of another size than documented (protocol sheet 1.1, decode rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedSizeDeviation {
    /// Its size by the session's version.
    pub expected: usize,
    /// The size with which the floating part ends at the message's end.
    pub found: usize,
}

macro_rules! message_enum {
    ($($message:ident = $number:ident),* $(,)?) => {
        /// Any message.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $(
                #[doc = concat!("`", stringify!($number), "`.")]
                $message($message),
            )*
            /// A message without a struct here.
            Other(OtherMessage),
        }

        impl Message {
            /// Reads one message.
            ///
            /// # Errors
            /// A body that is too short for the message's type, or whose floating part doesn't end with it. One such
            /// message says nothing about the next.
            pub fn decode(
                message_type: MessageType,
                body: &[u8],
                version: ProtocolVersion,
            ) -> Result<Decoded, DecodeError> {
                match message_type {
                    $(MessageType::$number => decode_body::<$message>(message_type, body, version),)*
                    _ => Ok(Decoded {
                        message: Self::Other(OtherMessage { message_type, body: body.to_vec() }),
                        deviation: None,
                    }),
                }
            }

            /// What kind of message it is.
            pub const fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$message(_) => MessageType::$number,)*
                    Self::Other(other) => other.message_type,
                }
            }

            /// The floating part; absent where it isn't known where it begins.
            pub const fn floating(&self) -> Option<&Floating> {
                match self {
                    $(Self::$message(message) => Some(&message.floating),)*
                    Self::Other(_) => None,
                }
            }

            fn encode_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self {
                    $(Self::$message(message) => {
                        message.write(&mut FixedWriter { out, version });
                        message.floating.encode(version, out)
                    })*
                    Self::Other(other) => {
                        out.extend_from_slice(&other.body);
                        Ok(())
                    }
                }
            }
        }

        $(impl From<$message> for Message {
            fn from(message: $message) -> Self {
                Self::$message(message)
            }
        })*
    };
}

message_enum! {
    FailureConf = FAILURE_CONF,
    FailureEvent = FAILURE_EVENT,
    OpenReq = OPEN_REQ,
    OpenConf = OPEN_CONF,
    HeartbeatReq = HEARTBEAT_REQ,
    HeartbeatConf = HEARTBEAT_CONF,
    CloseReq = CLOSE_REQ,
    CloseConf = CLOSE_CONF,
    CallDeliveredEvent = CALL_DELIVERED_EVENT,
    CallEstablishedEvent = CALL_ESTABLISHED_EVENT,
    CallHeldEvent = CALL_HELD_EVENT,
    CallRetrievedEvent = CALL_RETRIEVED_EVENT,
    CallClearedEvent = CALL_CLEARED_EVENT,
    CallConnectionClearedEvent = CALL_CONNECTION_CLEARED_EVENT,
    CallOriginatedEvent = CALL_ORIGINATED_EVENT,
    CallFailedEvent = CALL_FAILED_EVENT,
    CallConferencedEvent = CALL_CONFERENCED_EVENT,
    CallTransferredEvent = CALL_TRANSFERRED_EVENT,
    CallDivertedEvent = CALL_DIVERTED_EVENT,
    CallServiceInitiatedEvent = CALL_SERVICE_INITIATED_EVENT,
    CallQueuedEvent = CALL_QUEUED_EVENT,
    CallTranslationRouteEvent = CALL_TRANSLATION_ROUTE_EVENT,
    BeginCallEvent = BEGIN_CALL_EVENT,
    EndCallEvent = END_CALL_EVENT,
    CallDataUpdateEvent = CALL_DATA_UPDATE_EVENT,
    AgentStateEvent = AGENT_STATE_EVENT,
    SystemEvent = SYSTEM_EVENT,
    ClientEventReportReq = CLIENT_EVENT_REPORT_REQ,
    ClientEventReportConf = CLIENT_EVENT_REPORT_CONF,
    CallReachedNetworkEvent = CALL_REACHED_NETWORK_EVENT,
    ControlFailureConf = CONTROL_FAILURE_CONF,
    QueryAgentStateReq = QUERY_AGENT_STATE_REQ,
    QueryAgentStateConf = QUERY_AGENT_STATE_CONF,
    SnapshotCallReq = SNAPSHOT_CALL_REQ,
    SnapshotCallConf = SNAPSHOT_CALL_CONF,
    SnapshotDeviceReq = SNAPSHOT_DEVICE_REQ,
    SnapshotDeviceConf = SNAPSHOT_DEVICE_CONF,
    CallDequeuedEvent = CALL_DEQUEUED_EVENT,
    MonitorStartReq = MONITOR_START_REQ,
    MonitorStartConf = MONITOR_START_CONF,
    MonitorStopReq = MONITOR_STOP_REQ,
    MonitorStopConf = MONITOR_STOP_CONF,
    ClientSessionOpenedEvent = CLIENT_SESSION_OPENED_EVENT,
    ClientSessionClosedEvent = CLIENT_SESSION_CLOSED_EVENT,
    AgentPreCallEvent = AGENT_PRE_CALL_EVENT,
    AgentPreCallAbortEvent = AGENT_PRE_CALL_ABORT_EVENT,
    UserMessageReq = USER_MESSAGE_REQ,
    UserMessageConf = USER_MESSAGE_CONF,
    UserMessageEvent = USER_MESSAGE_EVENT,
    RtpStartedEvent = RTP_STARTED_EVENT,
    RtpStoppedEvent = RTP_STOPPED_EVENT,
    SupervisorAssistReq = SUPERVISOR_ASSIST_REQ,
    SupervisorAssistConf = SUPERVISOR_ASSIST_CONF,
    SupervisorAssistEvent = SUPERVISOR_ASSIST_EVENT,
    EmergencyCallReq = EMERGENCY_CALL_REQ,
    EmergencyCallConf = EMERGENCY_CALL_CONF,
    EmergencyCallEvent = EMERGENCY_CALL_EVENT,
    SuperviseCallReq = SUPERVISE_CALL_REQ,
    SuperviseCallConf = SUPERVISE_CALL_CONF,
    AgentTeamConfigEvent = AGENT_TEAM_CONFIG_EVENT,
    ListAgentTeamReq = LIST_AGENT_TEAM_REQ,
    ListAgentTeamConf = LIST_AGENT_TEAM_CONF,
    MonitorAgentTeamStartReq = MONITOR_AGENT_TEAM_START_REQ,
    MonitorAgentTeamStartConf = MONITOR_AGENT_TEAM_START_CONF,
    MonitorAgentTeamStopReq = MONITOR_AGENT_TEAM_STOP_REQ,
    MonitorAgentTeamStopConf = MONITOR_AGENT_TEAM_STOP_CONF,
    StandbyActiveEvent = STANDBY_ACTIVE_EVENT,
    ActiveMaintenanceReq = ACTIVE_MAINTENANCE_REQ,
    ActiveMaintenanceResp = ACTIVE_MAINTENANCE_RESP,
    ActiveMaintenanceEvent = ACTIVE_MAINTENANCE_EVENT,
    StoppingRequestsToThisSideInd = STOPPING_REQUESTS_TO_THIS_SIDE_IND,
}

/// A message that is only passed through: its whole body as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMessage {
    /// What kind of message it is.
    pub message_type: MessageType,
    /// Fixed part and floating part.
    pub body: Vec<u8>,
}

impl Message {
    /// The message as it goes over the wire, header included.
    ///
    /// # Errors
    /// A floating field that the version can't carry, or a body beyond [`MAX_BODY`].
    pub fn encode(&self, version: ProtocolVersion) -> Result<Vec<u8>, EncodeError> {
        let mut body = Vec::new();
        self.encode_body(version, &mut body)?;
        if body.len() > MAX_BODY {
            return Err(EncodeError::TooLong { size: body.len() });
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(super::HEADER_SIZE + body.len());
        length.to_wire(&mut out);
        self.message_type().to_wire(&mut out);
        out.append(&mut body);
        Ok(out)
    }
}

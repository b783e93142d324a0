//! What is asked of a switch, and the few answers it gets.

use std::fmt;

use super::event::{ConnectionId, MonitorCrossRefId};
use super::{EDITION_4, SESSION_NAMESPACE};
use crate::cti::xml::escape;

/// A document to a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Opens a session (ECMA-354).
    StartApplicationSession(StartApplicationSession),
    /// Renews a session.
    ResetApplicationSessionTimer {
        /// The session.
        session_id: String,
        /// For how long, in seconds.
        duration: u64,
    },
    /// Ends a session.
    StopApplicationSession {
        /// The session.
        session_id: String,
    },
    /// Asks for `SystemStatus` whenever the switch's state changes.
    SystemRegister,
    /// Asks for the switch's state: the heartbeat.
    RequestSystemStatus,
    /// Answers `SystemStatus`.
    SystemStatusResponse,
    /// Asks for the events of a device.
    MonitorStart {
        /// The device.
        device: String,
    },
    /// Asks for them no longer.
    MonitorStop {
        /// The monitor.
        cross_ref: MonitorCrossRefId,
    },
    /// Answers `MonitorStop`.
    MonitorStopResponse,
    /// Asks for a device's calls.
    SnapshotDevice {
        /// The device.
        device: String,
    },
    /// Asks for a call's connections.
    SnapshotCall {
        /// One of them.
        connection: ConnectionId,
    },
    /// Asks who is signed in at a device, and in which state.
    GetAgentState {
        /// The device.
        device: String,
    },
    /// Brings one more device into a call, speaking and listening.
    SingleStepConferenceCall {
        /// A connection of the call.
        active_call: ConnectionId,
        /// The device that joins.
        device_to_join: String,
    },
}

/// See [`Request::StartApplicationSession`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartApplicationSession {
    /// How the application calls itself.
    pub application_id: String,
    /// The switch's own login, where it wants one.
    pub login: Option<SessionLogin>,
    /// The protocol version asked for, as its namespace.
    pub protocol_version: String,
    /// How long the session shall live without renewal, in seconds.
    pub duration: u64,
}

/// A login in `applicationSpecificInfo`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionLogin {
    /// In whose shape.
    pub shape: LoginShape,
    /// The user.
    pub user: String,
    /// His password.
    pub password: String,
    /// The session to take up again. Only Avaya's shape has a place for it.
    pub session_id: Option<String>,
}

impl fmt::Debug for SessionLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLogin")
            .field("shape", &self.shape)
            .field("user", &self.user)
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

/// Whose login a [`SessionLogin`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginShape {
    /// `SessionLoginInfo{userName, password, sessionCleanupDelay, sessionID}` of Avaya's namespace.
    Avaya,
    /// `{user, password}` of OpenScape Business.
    OpenScapeBusiness,
}

impl Request {
    /// Writes the document. `namespace` is that of the edition spoken; session services have their own.
    pub fn to_document(&self, namespace: &str) -> Vec<u8> {
        let namespace = match self {
            Self::StartApplicationSession(_)
            | Self::ResetApplicationSessionTimer { .. }
            | Self::StopApplicationSession { .. } => SESSION_NAMESPACE,
            _ => namespace,
        };
        let (name, body) = self.name_and_body();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{name} xmlns=\"{}\">{body}</{name}>",
            escape(namespace)
        )
        .into_bytes()
    }

    fn name_and_body(&self) -> (&'static str, String) {
        match self {
            Self::StartApplicationSession(start) => ("StartApplicationSession", start.body()),
            Self::ResetApplicationSessionTimer { session_id, duration } => (
                "ResetApplicationSessionTimer",
                element("sessionID", session_id) + &element("requestedSessionDuration", &duration.to_string()),
            ),
            Self::StopApplicationSession { session_id } => (
                "StopApplicationSession",
                element("sessionID", session_id) + &within("sessionEndReason", &element("definedEndReason", "normal")),
            ),
            Self::SystemRegister => (
                "SystemRegister",
                within(
                    "requestTypes",
                    &(element("systemStatus", "true") + &element("requestSystemStatus", "false")),
                ),
            ),
            Self::RequestSystemStatus => ("RequestSystemStatus", String::new()),
            Self::SystemStatusResponse => ("SystemStatusResponse", String::new()),
            Self::MonitorStart { device } => (
                "MonitorStart",
                within("monitorObject", &element("deviceObject", device)) + &element("monitorType", "device"),
            ),
            Self::MonitorStop { cross_ref } => ("MonitorStop", element("monitorCrossRefID", &cross_ref.0)),
            Self::MonitorStopResponse => ("MonitorStopResponse", String::new()),
            Self::SnapshotDevice { device } => ("SnapshotDevice", element("snapshotObject", device)),
            Self::SnapshotCall { connection } => ("SnapshotCall", within("snapshotObject", &ids(connection))),
            Self::GetAgentState { device } => ("GetAgentState", element("device", device)),
            Self::SingleStepConferenceCall {
                active_call,
                device_to_join,
            } => (
                "SingleStepConferenceCall",
                within("activeCall", &ids(active_call))
                    + &element("deviceToJoin", device_to_join)
                    + &element("participationType", "active"),
            ),
        }
    }
}

impl StartApplicationSession {
    fn body(&self) -> String {
        let login = self.login.as_ref().map(SessionLogin::body).unwrap_or_default();
        let information = element("applicationID", &self.application_id) + &login;
        within("applicationInfo", &information)
            + &within(
                "requestedProtocolVersions",
                &element("protocolVersion", &self.protocol_version),
            )
            + &element("requestedSessionDuration", &self.duration.to_string())
    }
}

impl SessionLogin {
    /// How long Avaya keeps a session whose connection broke, in seconds.
    const CLEANUP_DELAY: &'static str = "60";

    fn body(&self) -> String {
        let specific = match self.shape {
            LoginShape::OpenScapeBusiness => element("user", &self.user) + &element("password", &self.password),
            LoginShape::Avaya => self.avaya(),
        };
        within("applicationSpecificInfo", &specific)
    }

    fn avaya(&self) -> String {
        let session = self.session_id.as_deref().map(|id| element("acx:sessionID", id));
        let fields = element("acx:userName", &self.user)
            + &element("acx:password", &self.password)
            + &element("acx:sessionCleanupDelay", Self::CLEANUP_DELAY)
            + &session.unwrap_or_default();
        format!(
            "<acx:SessionLoginInfo xmlns:acx=\"http://www.avaya.com/csta\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"acx:SessionLoginInfo\">\
             {fields}</acx:SessionLoginInfo>"
        )
    }
}

impl Default for StartApplicationSession {
    fn default() -> Self {
        Self {
            application_id: "silentmon".into(),
            login: None,
            protocol_version: EDITION_4.into(),
            duration: 600,
        }
    }
}

fn element(name: &str, text: &str) -> String {
    within(name, &escape(text))
}

fn within(name: &str, body: &str) -> String {
    format!("<{name}>{body}</{name}>")
}

fn ids(connection: &ConnectionId) -> String {
    let device = connection.device.as_deref().map(|device| element("deviceID", device));
    element("callID", &connection.call) + &device.unwrap_or_default()
}

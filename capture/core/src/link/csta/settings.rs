//! What a CSTA link is told by its configuration.

use std::time::Duration;

use silentmon_proto::cti::csta::{EDITION_4, LoginShape, SessionLogin, StartApplicationSession};
use silentmon_proto::ids::{Extension, LinkName};

/// How to speak to a switch, and about which devices.
#[derive(Debug, Clone)]
pub struct CstaSettings {
    /// The link's name.
    pub name: LinkName,
    /// How many places the switch answers at; they are tried in turn. At least one.
    pub endpoints: usize,
    /// The devices to monitor.
    pub devices: Vec<Extension>,
    /// The session to open; absent for switches that want none.
    pub session: Option<SessionSettings>,
    /// Whether to ask for `SystemStatus` messages (`SystemRegister`).
    pub system_register: bool,
    /// Whether to ask who is signed in at each device (`GetAgentState`).
    pub agent_states: bool,
    /// Time between heartbeats (`RequestSystemStatus`); three unanswered ones end the connection. Zero: none.
    pub heartbeat: Duration,
    /// Shortest time between two requests while monitors are set up.
    pub request_pause: Duration,
    /// The edition spoken, as its namespace.
    pub protocol_version: String,
    /// Decides the jitter of the pauses between attempts.
    pub seed: u64,
}

/// A session of ECMA-354.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// How the application calls itself.
    pub application_id: String,
    /// The switch's own login, where it wants one.
    pub login: Option<SessionLogin>,
    /// How long a session shall live without renewal.
    pub duration: Duration,
}

impl CstaSettings {
    /// The defaults: one endpoint, a session without login, edition 4, a heartbeat every 5 s (requirements 3).
    pub fn new(name: LinkName, devices: Vec<Extension>) -> Self {
        Self {
            name,
            endpoints: 1,
            devices,
            session: Some(SessionSettings::default()),
            system_register: false,
            agent_states: true,
            heartbeat: Duration::from_secs(5),
            request_pause: Duration::from_millis(5),
            protocol_version: EDITION_4.to_owned(),
            seed: 0,
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            application_id: "silentmon".into(),
            login: None,
            duration: Duration::from_secs(600),
        }
    }
}

impl SessionSettings {
    /// Whether the login itself has a place for the session to take up again.
    pub(super) fn login_names_the_session(&self) -> bool {
        self.login
            .as_ref()
            .is_some_and(|login| login.shape == LoginShape::Avaya)
    }

    /// The request that opens the session, or takes up `old` where the login can name it.
    pub(super) fn request(&self, protocol_version: &str, old: Option<&str>) -> StartApplicationSession {
        let mut login = self.login.clone();
        if let Some(login) = &mut login {
            login.session_id = old.filter(|_| login.shape == LoginShape::Avaya).map(str::to_owned);
        }
        StartApplicationSession {
            application_id: self.application_id.clone(),
            login,
            protocol_version: protocol_version.to_owned(),
            duration: self.duration.as_secs(),
        }
    }
}

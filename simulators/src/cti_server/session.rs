//! One client's session: what it asked for when it opened, and whether a message is for it.

use std::time::Duration;

use tokio::time::Instant;

use super::wire::{Body, Framer, Version, text_of};
use super::words::tag;

/// Services of the sheet (1.3).
pub(super) mod service {
    pub const CLIENT_EVENTS: u32 = 0x1;
    pub const CLIENT_CONTROL: u32 = 0x4;
    pub const ALL_EVENTS: u32 = 0x10;
    pub const SUPERVISOR: u32 = 0x80;
    pub const ACTIVE_STANDBY: u32 = 0x0200_0000;
}

/// Status codes of FAILURE_CONF.
pub(super) mod status {
    pub const INVALID_VERSION: u32 = 1;
    pub const INVALID_MESSAGE_TYPE: u32 = 2;
    pub const SESSION_NOT_OPEN: u32 = 4;
    pub const ALREADY_OPEN: u32 = 5;
    pub const DATA_MISSING: u32 = 6;
    pub const INVALID_AGENT_DATA: u32 = 8;
    pub const FUNCTION_NOT_AVAILABLE: u32 = 12;
    pub const INVALID_CALL_ID: u32 = 13;
    pub const SERVER_OFFLINE: u32 = 15;
    pub const INVALID_SERVICE_MASK: u32 = 19;
    pub const INVALID_CALL_MASK: u32 = 20;
    pub const INVALID_AGENT_MASK: u32 = 21;
    pub const RESERVED_FIELD: u32 = 22;
    pub const BAD_FORMAT: u32 = 25;
    pub const INVALID_PASSWORD: u32 = 36;
    pub const TEAM_NOT_FOUND: u32 = 65;
}

/// A connection and, once it is open, its session.
#[derive(Debug)]
pub(super) struct Client {
    pub framer: Framer,
    pub last_heard: Instant,
    pub session: Option<Session>,
}

/// An open session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub version: Version,
    pub services: u32,
    pub call_mask: u32,
    pub agent_mask: u32,
    pub idle: Option<Duration>,
    pub standby: bool,
}

impl Client {
    pub fn new(now: Instant) -> Self {
        Self {
            framer: Framer::default(),
            last_heard: now,
            session: None,
        }
    }

    /// When the server gives up on a silent client.
    pub fn idle_until(&self) -> Option<Instant> {
        self.session.as_ref()?.idle.map(|idle| self.last_heard + idle)
    }
}

impl Session {
    pub fn all_events(&self) -> bool {
        self.services & service::ALL_EVENTS != 0
    }

    pub fn wants_call_event(&self, mask: u32) -> bool {
        self.all_events() && !self.standby && self.call_mask & mask != 0
    }

    pub fn wants_agent_event(&self, mask: u32) -> bool {
        self.all_events() && !self.standby && self.agent_mask & mask != 0
    }
}

/// OPEN_REQ as it came.
#[derive(Debug, Clone)]
pub(super) struct OpenRequest {
    pub invoke: u32,
    pub version: Version,
    idle_seconds: u32,
    services: u32,
    call_mask: u32,
    agent_mask: u32,
    reserved: u32,
    client_id: Option<String>,
    password: Option<String>,
}

/// Who may come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission<'a> {
    pub minimum: u32,
    pub maximum: u32,
    pub client_id: Option<&'a str>,
    pub password: Option<&'a str>,
}

impl OpenRequest {
    /// # Errors
    /// The status with which it is refused.
    pub fn parse(body: Body<'_>) -> Result<Self, u32> {
        let field = |offset| body.u32(offset).ok_or(status::BAD_FORMAT);
        let version = Version(field(4)?);
        let floats = body.floats(version, 44).ok_or(status::BAD_FORMAT);
        let text = |wanted: u16| match &floats {
            Ok(floats) => floats
                .iter()
                .find(|(tag, _)| *tag == wanted)
                .map(|(_, data)| text_of(data)),
            Err(_) => None,
        };
        let request = Self {
            invoke: field(0)?,
            version,
            idle_seconds: field(8)?,
            services: field(16)?,
            call_mask: field(20)?,
            agent_mask: field(24)?,
            reserved: field(32)? | field(36)? | field(40)?,
            client_id: text(tag::CLIENT_ID),
            password: text(tag::CLIENT_PASSWORD),
        };
        Ok(request)
    }

    /// # Errors
    /// The status with which it is refused.
    pub fn admit(&self, admission: Admission<'_>) -> Result<Session, u32> {
        if !(admission.minimum..=admission.maximum).contains(&self.version.0) {
            return Err(status::INVALID_VERSION);
        }
        let (Some(id), Some(password)) = (&self.client_id, &self.password) else {
            return Err(status::DATA_MISSING);
        };
        let right = |wanted: Option<&str>, given: &str| wanted.is_none_or(|wanted| wanted == given);
        if id.is_empty() || !right(admission.client_id, id) || !right(admission.password, password) {
            return Err(status::INVALID_PASSWORD);
        }
        self.check_masks()?;
        let idle = (self.idle_seconds != u32::MAX).then(|| Duration::from_secs(self.idle_seconds.into()));
        Ok(Session {
            version: self.version,
            services: self.services,
            call_mask: self.call_mask,
            agent_mask: self.agent_mask,
            idle,
            standby: false,
        })
    }

    pub fn asks_for(&self, service: u32) -> bool {
        self.services & service != 0
    }

    fn check_masks(&self) -> Result<(), u32> {
        let version = self.version.0;
        if self.reserved != 0 {
            return Err(status::RESERVED_FIELD);
        }
        if self.services == 0 || self.services & !services(version) != 0 {
            return Err(status::INVALID_SERVICE_MASK);
        }
        if self.asks_for(service::SUPERVISOR) && !self.asks_for(service::CLIENT_EVENTS) {
            return Err(status::FUNCTION_NOT_AVAILABLE);
        }
        if self.call_mask & !call_events(version) != 0 {
            return Err(status::INVALID_CALL_MASK);
        }
        if self.agent_mask & !agent_states(version) != 0 {
            return Err(status::INVALID_AGENT_MASK);
        }
        Ok(())
    }
}

/// Services by version: the sheet names no version for most of them.
const fn services(version: u32) -> u32 {
    let since_9 = 0x8000_0000 | 0x0038_bdff;
    match version {
        ..14 => since_9,
        14..24 => since_9 | 0x0040_0000,
        24.. => since_9 | 0x0040_0000 | service::ACTIVE_STANDBY,
    }
}

/// Call events by version: agent greeting came with 15, network recording with 23.
const fn call_events(version: u32) -> u32 {
    match version {
        ..15 => 0x07ff_ffff,
        15..23 => 0x0fff_ffff,
        23.. => 0xffff_ffff,
    }
}

/// Agent states by version: those above HOLD are of late ones.
const fn agent_states(version: u32) -> u32 {
    match version {
        ..19 => 0x3ff,
        19.. => 0x3fff,
    }
}

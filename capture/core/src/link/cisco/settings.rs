//! What a link to a Cisco CTI Server is told by its configuration, and what follows from it for each protocol version.

use std::fmt;
use std::time::Duration;

use silentmon_proto::cti::ged188::{AgentStateMask, CallMessageMask, PeripheralId, ProtocolVersion, ServiceMask};
use silentmon_proto::ids::{AgentId, Extension, LinkName};

/// Whether there is one CTI Server or a pair of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Side A alone.
    A,
    /// Side A and side B.
    AAndB,
}

/// Settings of a [`CiscoLink`](super::CiscoLink). [`Settings::new`] fills in the defaults of protocol sheet 1.2 and 1.3.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The link's name in events and logs.
    pub link: LinkName,
    /// The client's name at the CTI Server.
    pub client_id: String,
    /// Its password; may be empty.
    pub password: Password,
    /// Its signature; not sent where it is empty.
    pub signature: String,
    /// The peripherals listened to; none: all. The first is the one asked for devices of which nothing is known.
    pub peripherals: Vec<PeripheralId>,
    /// The protocol version asked for first.
    pub protocol_version: ProtocolVersion,
    /// The lowest protocol version tried.
    pub lowest_version: ProtocolVersion,
    /// Services asked for. Without `CLIENT_CONTROL` there are neither snapshots nor barge-in.
    pub services: ServiceMask,
    /// Call events asked for; less what the version doesn't know.
    pub call_messages: CallMessageMask,
    /// Agent states asked for.
    pub agent_states: AgentStateMask,
    /// One CTI Server or two.
    pub sides: Sides,
    /// Whether to keep a session with the standby side too, from protocol version 24.
    pub active_standby: bool,
    /// Between two heartbeats; zero for none. The server gives up after four times as long.
    pub heartbeat: Duration,
    /// From asking for a connection to an open session.
    pub open_timeout: Duration,
    /// Agents to ask for from the beginning; others are learned from events.
    pub agents: Vec<AgentId>,
    /// Devices whose calls to ask for from the beginning; others are learned from events.
    pub devices: Vec<Extension>,
    /// Decides the jitter of the pauses.
    pub jitter_seed: u64,
}

impl Settings {
    /// Settings with the defaults, for a pair of CTI Servers.
    pub fn new(link: LinkName, client_id: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            link,
            client_id: client_id.into(),
            password: Password(password.into()),
            signature: String::new(),
            peripherals: Vec::new(),
            protocol_version: ProtocolVersion(24),
            lowest_version: ProtocolVersion(13),
            services: ServiceMask::ALL_EVENTS | ServiceMask::CLIENT_CONTROL,
            call_messages: CallMessageMask::MONITORING | CallMessageMask::AGENT_TEAM_CONFIG,
            agent_states: AgentStateMask::ALL_CALL_STATES,
            sides: Sides::AAndB,
            active_standby: false,
            heartbeat: Duration::from_secs(5),
            open_timeout: Duration::from_secs(30),
            agents: Vec::new(),
            devices: Vec::new(),
            jitter_seed: 0,
        }
    }

    /// The version to try after `refused`; absent at the lowest.
    pub(super) fn next_lower_version(&self, refused: ProtocolVersion) -> Option<ProtocolVersion> {
        let below_the_ladder = || refused.0.checked_sub(1).map(ProtocolVersion);
        let lower = refused.next_lower().or_else(below_the_ladder)?;
        (lower >= self.lowest_version).then_some(lower)
    }

    /// Whether a session at `version` may be kept with both sides.
    pub(super) fn keeps_standby_at(&self, version: ProtocolVersion) -> bool {
        self.active_standby && self.sides == Sides::AAndB && version >= ProtocolVersion::ACTIVE_STANDBY
    }

    pub(super) fn services_at(&self, version: ProtocolVersion) -> ServiceMask {
        if self.keeps_standby_at(version) {
            self.services | ServiceMask::ACTIVE_STANDBY
        } else {
            self.services.without(ServiceMask::ACTIVE_STANDBY)
        }
    }

    pub(super) const fn call_messages_at(&self, version: ProtocolVersion) -> CallMessageMask {
        let valid = CallMessageMask::valid_in(version);
        CallMessageMask(self.call_messages.0 & valid.0)
    }

    /// Seconds of silence after which the server resets the connection (protocol sheet 1.2); absent for never.
    pub(super) fn idle_timeout(&self) -> Option<u32> {
        let seconds = self.heartbeat.saturating_mul(4).as_millis().div_ceil(1000);
        (seconds > 0).then(|| u32::try_from(seconds).unwrap_or(u32::MAX - 1))
    }

    pub(super) const fn number_of_sides(&self) -> usize {
        match self.sides {
            Sides::A => 1,
            Sides::AAndB => 2,
        }
    }

    pub(super) fn listens_to(&self, peripheral: PeripheralId) -> bool {
        self.peripherals.is_empty() || self.peripherals.contains(&peripheral)
    }
}

/// A password; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("cisco".into(), "client", "secret")
    }

    fn ladder(settings: &Settings) -> Vec<u32> {
        let first = Some(settings.protocol_version);
        std::iter::successors(first, |version| settings.next_lower_version(*version))
            .map(|version| version.0)
            .collect()
    }

    #[test]
    fn goes_down_the_ladder_of_versions() {
        let mut settings = settings();
        assert_eq!(ladder(&settings), [24, 23, 22, 21, 20, 19, 16, 15, 14, 13]);
        settings.protocol_version = ProtocolVersion(15);
        settings.lowest_version = ProtocolVersion(9);
        assert_eq!(ladder(&settings), [15, 14, 13, 12, 11, 10, 9]);
    }

    #[test]
    fn asks_for_standby_sessions_only_where_there_are_any() {
        let mut settings = settings();
        settings.active_standby = true;
        assert_eq!(settings.services_at(ProtocolVersion(24)).0, 0x0200_0014);
        assert_eq!(settings.services_at(ProtocolVersion(23)).0, 0x14);
        settings.sides = Sides::A;
        assert_eq!(settings.services_at(ProtocolVersion(24)).0, 0x14);
    }

    #[test]
    fn asks_for_no_call_event_that_the_version_does_not_know() {
        let mut settings = settings();
        assert_eq!(settings.call_messages_at(ProtocolVersion(14)).0, 0x00e0_637d);
        settings.call_messages = CallMessageMask(u32::MAX);
        assert_eq!(settings.call_messages_at(ProtocolVersion(14)).0 & 0xf800_0000, 0);
    }

    #[test]
    fn lets_the_server_wait_four_heartbeats() {
        let mut settings = settings();
        assert_eq!(settings.idle_timeout(), Some(20));
        settings.heartbeat = Duration::ZERO;
        assert_eq!(settings.idle_timeout(), None);
    }

    #[test]
    fn never_shows_the_password() {
        assert!(!format!("{:?}", settings()).contains("secret"));
    }
}

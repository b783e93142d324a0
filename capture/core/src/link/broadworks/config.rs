//! What a BroadWorks link is told: whom to follow, and how patient to be.

use std::time::Duration;

use silentmon_proto::ids::{AgentId, Extension, LinkName};

/// See the module.
#[derive(Debug, Clone)]
pub struct BroadWorksConfig {
    /// The link's name, in its events.
    pub link: LinkName,
    /// How many servers (XSPs) there are: one channel is kept with each.
    pub endpoints: usize,
    /// Who is followed.
    pub users: Vec<MonitoredUser>,
    /// What we call ourselves.
    pub application_id: String,
    /// A random number of this run: makes the channel set unique, and decides the jitter of pauses.
    pub instance: u64,
    /// For how long channels and subscriptions are asked for; the server may grant another time.
    pub expires: Duration,
    /// How often a channel's heartbeat is sent.
    pub heartbeat: Duration,
    /// A stream without a byte for so many heartbeats is dead.
    pub silent_heartbeats: u32,
}

/// A subscriber who is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitoredUser {
    /// His id, `mkern@example.com`: in events the agent.
    pub user_id: String,
    /// His extension: in events the device, and the number that calls are forwarded to while he is a guest.
    pub extension: Extension,
    /// What he is.
    pub kind: UserKind,
}

/// What a [`MonitoredUser`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// A person with a phone: "Advanced Call", "Call Center Agent", "Hoteling Guest".
    Agent,
    /// A call centre: "Call Center Queue".
    Queue,
}

impl BroadWorksConfig {
    /// The usual times: an hour's grant, heartbeats every 15 s, a stream dead after four of them (protocol sheet 3.1).
    pub fn new(link: impl Into<LinkName>, endpoints: usize, users: Vec<MonitoredUser>, instance: u64) -> Self {
        Self {
            link: link.into(),
            endpoints,
            users,
            application_id: "silentmon".to_owned(),
            instance,
            expires: Duration::from_secs(3600),
            heartbeat: Duration::from_secs(15),
            silent_heartbeats: 4,
        }
    }

    pub(super) fn channel_set_id(&self) -> String {
        format!("{}-{:016x}", self.application_id, self.instance)
    }
}

impl MonitoredUser {
    /// An agent, by user id and extension.
    pub fn agent(user_id: impl Into<String>, extension: impl Into<Extension>) -> Self {
        Self {
            user_id: user_id.into(),
            extension: extension.into(),
            kind: UserKind::Agent,
        }
    }

    /// A call centre, by user id and extension.
    pub fn queue(user_id: impl Into<String>, extension: impl Into<Extension>) -> Self {
        Self {
            kind: UserKind::Queue,
            ..Self::agent(user_id, extension)
        }
    }

    pub(super) fn agent_id(&self) -> Option<AgentId> {
        (self.kind == UserKind::Agent).then(|| AgentId::new(self.user_id.as_str()))
    }
}

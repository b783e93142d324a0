//! Channels and subscriptions: who is told, over which stream, until when.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::ids::Extension;
use tokio::time::Instant;

use super::http;
use crate::runtime::ConnectionId;

/// How long a piece of an item waits for the next one, where items are joined.
const JOIN_FOR: Duration = Duration::from_millis(100);

/// An open channel: a streaming answer.
#[derive(Debug)]
pub(super) struct Channel {
    pub set: String,
    pub connection: ConnectionId,
    pub priority: u32,
    pub weight: u32,
    pub expires: Instant,
    /// Until when the client's heartbeat must come.
    pub heartbeat_until: Instant,
    /// When the stream's own heartbeat is due.
    pub beat_at: Instant,
    pub splitter: Splitter,
}

/// A user's subscription to a package of events.
#[derive(Debug)]
pub(super) struct Subscription {
    pub user: User,
    /// Whether it is for all users of a service provider or group, whose name then stands for the user.
    pub wide: bool,
    pub package: Package,
    pub set: String,
    pub application: String,
    pub expires: Instant,
    pub sequence: u64,
    /// Events that wait for their acknowledgement, and until when.
    pub unacknowledged: BTreeMap<String, Instant>,
}

/// A user, by the id the client wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User(pub String);

/// What a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    Call,
    Agent,
    Hoteling,
    /// Granted, but nothing is told.
    Other,
}

impl User {
    /// The part before the `@`: what the script calls agent, extension or device.
    pub fn name(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }

    pub fn extension(&self) -> Extension {
        Extension::new(self.name())
    }
}

impl Package {
    pub fn of(text: &str) -> Self {
        match text {
            "Basic Call" | "Standard Call" | "Advanced Call" => Self::Call,
            "Call Center Agent" => Self::Agent,
            "Hoteling Guest" => Self::Hoteling,
            _ => Self::Other,
        }
    }
}

/// Cuts a stream's items into chunks: one each, or at random places with some of them joined.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    held: Vec<u8>,
    pub flush_at: Option<Instant>,
}

impl Splitter {
    /// The chunks that an item makes; none where it waits to be joined to the next.
    pub fn item(&mut self, item: &str, random: Option<&mut Random>, now: Instant) -> Vec<u8> {
        let Some(random) = random else {
            let mut chunks = self.flush();
            chunks.extend(http::chunk(item.as_bytes()));
            return chunks;
        };
        self.held.extend(item.as_bytes());
        let mut chunks = Vec::new();
        while self.held.len() > 1 {
            let size = random.below(self.held.len().min(300)) + 1;
            if size == self.held.len() || random.below(4) == 0 {
                break;
            }
            let piece: Vec<u8> = self.held.drain(..size).collect();
            chunks.extend(http::chunk(&piece));
        }
        self.flush_at = Some(now + JOIN_FOR);
        chunks
    }

    /// What still waits.
    pub fn flush(&mut self) -> Vec<u8> {
        self.flush_at = None;
        let held = std::mem::take(&mut self.held);
        if held.is_empty() { held } else { http::chunk(&held) }
    }
}

/// Random numbers of a seed (xorshift64*, Marsaglia 2003, Vigna 2016).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub fn from_seed(seed: u64) -> Self {
        Self(seed.max(1))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % limit.max(1)
    }
}

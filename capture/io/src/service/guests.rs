//! How many connections a supervisor may have and how much he may ask for, and what wasn't taken of what he sent: who has
//! a certificate may still have lost it to somebody else, and one supervisor must not take the others' sound away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use silentmon_proto::ids::SupervisorName;
use silentmon_proto::relay::ClientMessage;
use tokio::time::Instant;

/// Connections of one supervisor at the same time: his program has one, each command that he types one for a moment.
const CONNECTIONS_OF_ONE: usize = 256;
/// What his messages may cost in a second.
const COST_IN_A_SECOND: f64 = 500.0;
/// What they may cost at once after a rest: a wall board that starts asks for much.
const COST_AT_ONCE: f64 = 5_000.0;

/// What connected supervisors sent and wasn't taken, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoorFigures {
    /// Control messages that were none; their connections were closed.
    pub messages: u64,
    /// Datagrams that were no repair requests.
    pub datagrams: u64,
    /// Repair requests that came too fast.
    pub requests: u64,
    /// Control messages that had to wait because their sender asks for too much.
    pub delayed: u64,
}

/// The same, counted by all connections.
#[derive(Debug, Default)]
pub(super) struct DoorCounts {
    messages: AtomicU64,
    datagrams: AtomicU64,
    requests: AtomicU64,
    delayed: AtomicU64,
}

/// What is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    Message,
    Datagram,
    Request,
    Delayed,
}

impl DoorCounts {
    pub(super) fn count(&self, what: Turned) {
        let counter = match what {
            Turned::Message => &self.messages,
            Turned::Datagram => &self.datagrams,
            Turned::Request => &self.requests,
            Turned::Delayed => &self.delayed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> DoorFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DoorFigures {
            messages: read(&self.messages),
            datagrams: read(&self.datagrams),
            requests: read(&self.requests),
            delayed: read(&self.delayed),
        }
    }
}

/// Supervisors who are connected.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests {
    by_name: Arc<Mutex<HashMap<SupervisorName, Guest>>>,
}

#[derive(Debug)]
struct Guest {
    connections: usize,
    allowance: Allowance,
}

impl Guests {
    /// Lets another connection of a supervisor in, unless he has too many.
    pub(super) fn enter(&self, name: &SupervisorName, now: Instant) -> Option<Stay> {
        let mut guests = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let guest = guests.entry(name.clone()).or_insert_with(|| Guest {
            connections: 0,
            allowance: Allowance::full(now),
        });
        if guest.connections == CONNECTIONS_OF_ONE {
            return None;
        }
        guest.connections += 1;
        Some(Stay {
            guests: self.clone(),
            name: name.clone(),
        })
    }
}

/// One connection of a supervisor, until it is dropped.
#[derive(Debug)]
pub(super) struct Stay {
    guests: Guests,
    name: SupervisorName,
}

impl Stay {
    /// Takes what a message costs, and says how long it has to wait for that.
    pub(super) fn charge(&self, message: &ClientMessage, now: Instant) -> Duration {
        let mut guests = self.guests.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let guest = guests.get_mut(&self.name);
        guest.map_or(Duration::ZERO, |guest| guest.allowance.charge(cost(message), now))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut guests = self.guests.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = guests.get_mut(&self.name) {
            guest.connections -= 1;
            if guest.connections == 0 {
                guests.remove(&self.name);
            }
        }
    }
}

/// Roughly, by what the event loop has to do: a listing goes through every agent.
const fn cost(message: &ClientMessage) -> f64 {
    match message {
        ClientMessage::ListAgents { .. } => 100.0,
        ClientMessage::Diagnose { .. } => 20.0,
        _ => 1.0,
    }
}

/// What may still be asked for; it comes back with time.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    const fn full(now: Instant) -> Self {
        Self {
            left: COST_AT_ONCE,
            at: now,
        }
    }

    fn charge(&mut self, cost: f64, now: Instant) -> Duration {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * COST_IN_A_SECOND;
        self.left = (self.left + gained).min(COST_AT_ONCE) - cost;
        self.at = now;
        Duration::from_secs_f64((-self.left / COST_IN_A_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    #[test]
    fn one_supervisor_cannot_take_all_connections() {
        let (guests, now) = (Guests::default(), Instant::now());
        let stays: Vec<_> = (0..CONNECTIONS_OF_ONE)
            .map(|_| guests.enter(&"anna".into(), now).expect("room"))
            .collect();
        assert!(guests.enter(&"anna".into(), now).is_none());
        assert!(guests.enter(&"bert".into(), now).is_some());
        drop(stays);
        assert!(guests.enter(&"anna".into(), now).is_some());
        assert!(
            guests.by_name.lock().expect("whole").is_empty(),
            "who left is forgotten"
        );
    }

    #[test]
    fn whoever_asks_for_too_much_waits_however_many_connections_he_has() {
        let (guests, now) = (Guests::default(), Instant::now());
        let stays = [(); 2].map(|()| guests.enter(&"anna".into(), now).expect("room"));
        let listing = ClientMessage::ListAgents { watch: false };
        let waits: Vec<_> = (0..60).map(|number| stays[number % 2].charge(&listing, now)).collect();
        assert_eq!(waits[49], Duration::ZERO);
        assert_eq!(waits[59], Duration::from_secs(2));
        let heartbeat = ClientMessage::Goodbye;
        let later = now + Duration::from_secs(3);
        assert_eq!(stays[0].charge(&heartbeat, later), Duration::ZERO);
        let other = guests.enter(&"bert".into(), now).expect("room");
        assert_eq!(other.charge(&listing, now), Duration::ZERO);
    }
}

//! Connections whose certificate is good no longer: their sessions end with the reason, and nobody waits for them.

use silentmon_proto::ids::SessionId;
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::ServerMessage;
use silentmon_proto::time::Instant;

use super::{ConnectionId, Engine, EngineEvent, Transmit};

impl Engine {
    /// A connection's certificate was revoked or has expired.
    pub fn handle_withdrawn(&mut self, connection: ConnectionId, reason: Reason, now: Instant) {
        if !self.connections.contains_key(&connection) {
            return;
        }
        let own = self
            .sessions
            .values()
            .filter(|session| session.connection() == Some(connection));
        for id in own.map(|session| session.id).collect::<Vec<SessionId>>() {
            self.stop_session(id, &reason, now);
        }
        if let Some(principal) = self.connections.get(&connection).map(|one| one.principal.clone()) {
            let reason = reason.clone();
            self.events
                .push_back(EngineEvent::ConnectionWithdrawn { principal, reason });
        }
        self.send(connection, ServerMessage::Goodbye { reason });
        self.transmits.push_back(Transmit::Close { connection });
    }
}

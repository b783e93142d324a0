//! Packets that supervisors' programs lost and ask for: whose session it is, and what its connection must carry.

use std::time::Duration;

use silentmon_proto::ids::SessionId;
use silentmon_proto::relay::RepairRequest;
use silentmon_proto::time::Instant;

use super::media::transmit;
use super::relay::Way;
use super::{ConnectionId, Engine, EngineEvent, ForeignRequest};
use crate::session::MonitorSession;

impl Engine {
    /// A supervisor's program asks for packets again. `round_trip` is that of its connection, at its shortest. A request
    /// for a session that isn't heard over this connection is refused and counted.
    pub fn handle_repair_request(
        &mut self,
        from: ConnectionId,
        request: &RepairRequest,
        round_trip: Duration,
        now: Instant,
    ) {
        let id = self.channels.get(&request.channel).copied();
        let session = id.and_then(|id| self.sessions.get(&id));
        let Some(session) = session.filter(|session| session.connection() == Some(from)) else {
            self.count_foreign(ForeignRequest::Repair);
            return;
        };
        let id = session.id;
        self.repair(id, request, round_trip, now);
    }

    /// Sends packets of a session again to whoever listens.
    pub(super) fn repair(&mut self, id: SessionId, request: &RepairRequest, round_trip: Duration, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let way = Way::of(session, self.membership.cluster());
        let (copies, transmits) = (self.settings.policy.copies, &mut self.transmits);
        session.handle_repair_request(request, copies, round_trip, now, |outgoing| {
            transmits.extend(way.and_then(|way| transmit(way, id, outgoing)));
        });
        self.fit_streams(id, now);
    }

    /// Bytes of sound kept in case they are asked for again.
    pub fn kept_bytes(&self) -> usize {
        self.sessions.values().map(MonitorSession::kept_bytes).sum()
    }

    /// How many audio streams' worth a connection must carry.
    pub fn streams_over(&self, connection: ConnectionId) -> usize {
        let heard = self
            .sessions
            .values()
            .filter(|session| session.connection() == Some(connection));
        heard.map(|session| session.streams).sum()
    }

    /// Says so where a connection must carry more or less than before.
    pub(super) fn fit_streams(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.fit_streams(now)
            && let Some(connection) = session.connection()
        {
            self.events.push_back(EngineEvent::DemandChanged { connection });
        }
    }

    /// A number for a session's datagrams that no other session has, unless all are taken.
    pub(super) fn free_channel(&mut self) -> u16 {
        for _ in 0..=u16::MAX {
            self.next_channel = self.next_channel.wrapping_add(1);
            if !self.channels.contains_key(&self.next_channel) {
                break;
            }
        }
        self.next_channel
    }
}

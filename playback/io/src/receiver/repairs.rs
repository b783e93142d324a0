//! Repair of what the relay loses: joins the deciding core to the connection that is asked over and the sink that knows
//! how long a packet may still take.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_playback_core::repair::{Repair, RepairReport};
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, RepairRequest};
use silentmon_proto::time::Instant;

use super::{ReceiverSink, RequestId};

/// The repairs of all sessions over one connection.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    sessions: BTreeMap<RequestId, Session>,
    /// Of sessions that are over.
    settled: RepairReport,
}

#[derive(Debug)]
struct Session {
    channel: u16,
    repair: Repair,
    /// The delay that the sink was asked for.
    wanted: Option<Duration>,
}

impl Repairs {
    /// Takes note of an audio datagram. Answers whether it is of use: what was sent again and had come before isn't.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        request: RequestId,
        header: &AudioHeader,
        round_trip: impl FnOnce() -> Duration,
    ) -> bool {
        let session = self.sessions.entry(request).or_insert_with(|| Session {
            channel: header.channel,
            repair: Repair::new(header.channel, round_trip()),
            wanted: None,
        });
        session.channel != header.channel || session.repair.handle_packet(now, header)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = |session: &Session| session.repair.poll_timeout();
        self.sessions.values().filter_map(due).min()
    }

    /// Lets each session whose time has come ask for what it misses.
    pub(super) fn handle_timeout(&mut self, now: Instant, round_trip: Duration, sink: &mut dyn ReceiverSink) {
        for (&request, session) in &mut self.sessions {
            if session.repair.poll_timeout().is_none_or(|due| now < due) {
                continue;
            }
            for leg in Leg::BOTH {
                session.repair.handle_patience(leg, sink.patience(request, leg));
            }
            session.repair.handle_round_trip(round_trip);
            session.repair.handle_timeout(now);
            session.tell(request, session.repair.delay_wanted(), sink);
        }
    }

    /// The next request to be sent.
    pub(super) fn poll_transmit(&mut self) -> Option<RepairRequest> {
        let mut sessions = self.sessions.values_mut();
        sessions.find_map(|session| session.repair.poll_transmit())
    }

    /// Forgets a session that is over or begins anew.
    pub(super) fn forget(&mut self, request: RequestId, sink: &mut dyn ReceiverSink) {
        if let Some(mut session) = self.sessions.remove(&request) {
            self.settled = sum(self.settled, &session);
            session.tell(request, None, sink);
        }
    }

    /// Forgets all sessions: the connection is over.
    pub(super) fn clear(&mut self, sink: &mut dyn ReceiverSink) {
        while let Some((&request, _)) = self.sessions.first_key_value() {
            self.forget(request, sink);
        }
    }

    /// What became of all losses so far.
    pub(super) fn report(&self) -> RepairReport {
        self.sessions.values().fold(self.settled, sum)
    }
}

impl Session {
    fn tell(&mut self, request: RequestId, wanted: Option<Duration>, sink: &mut dyn ReceiverSink) {
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        let plan = self.repair.plan();
        tracing::debug!(request = request.0, ?wanted, ?plan, "delay for repairs");
        sink.expect_repairs(request, wanted);
    }
}

fn sum(total: RepairReport, session: &Session) -> RepairReport {
    Leg::BOTH.iter().fold(total, |total, &leg| {
        let RepairReport {
            asked,
            repaired,
            lost,
            late,
        } = session.repair.report(leg);
        RepairReport {
            asked: total.asked + asked,
            repaired: total.repaired + repaired,
            lost: total.lost + lost,
            late: total.late + late,
        }
    })
}

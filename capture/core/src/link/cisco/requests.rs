//! What is asked of the CTI Server: a queue, of which only so much is outstanding at once that thousands of agents don't
//! flood it, and time limits for the answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use silentmon_proto::cti::ged188::{ConnectionDeviceIdType, IcmAgentId, InvokeId, PeripheralId, TeamId};
use silentmon_proto::ids::Extension;
use silentmon_proto::time::Instant;

use super::agents::AgentKey;
use super::calls::CallKey;
use crate::link::Supervise;

/// Requests sent and not yet answered.
const OUTSTANDING: usize = 50;
/// Requests waiting; more are not taken.
const WAITING: usize = 100_000;
/// How long an answer is waited for.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// One thing to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// An agent's state.
    QueryAgent(AgentKey),
    /// The calls of a device, told under the name by which it was asked for.
    SnapshotDevice {
        peripheral: PeripheralId,
        device: Extension,
        reported: Extension,
    },
    /// What kind of call it is, who takes part.
    SnapshotCall {
        call: CallKey,
        connection: String,
        device_id_type: Option<ConnectionDeviceIdType>,
    },
    /// The teams of a supervisor.
    ListTeams(IcmAgentId),
    /// The events of a team's agents.
    MonitorTeam(TeamId),
    /// A supervisor wants into a call.
    Supervise(Supervise),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Request>,
    outstanding: BTreeMap<InvokeId, (Request, Instant)>,
}

impl Requests {
    /// Asks when its turn comes.
    pub(super) fn add(&mut self, request: Request) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(request);
        }
    }

    /// Asks before everything else: somebody waits for it.
    pub(super) fn add_first(&mut self, request: Request) {
        if self.waiting.len() < WAITING {
            self.waiting.push_front(request);
        }
    }

    /// What to send now, if anything may be; [`Self::sent`] says that it was.
    pub(super) fn next(&mut self) -> Option<Request> {
        if self.outstanding.len() >= OUTSTANDING {
            return None;
        }
        self.waiting.pop_front()
    }

    pub(super) fn sent(&mut self, invoke_id: InvokeId, request: Request, now: Instant) {
        self.outstanding.insert(invoke_id, (request, now + ANSWER_TIMEOUT));
    }

    /// The request that this is one of several answers to.
    pub(super) fn answered_in_part(&self, invoke_id: InvokeId) -> Option<&Request> {
        self.outstanding.get(&invoke_id).map(|(request, _)| request)
    }

    /// The request that this is the answer to.
    pub(super) fn answered(&mut self, invoke_id: InvokeId) -> Option<Request> {
        self.outstanding.remove(&invoke_id).map(|(request, _)| request)
    }

    /// One that wasn't answered in time.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Request> {
        let late = |(id, (_, until)): (&InvokeId, &(Request, Instant))| (*until <= now).then_some(*id);
        let id = self.outstanding.iter().find_map(late)?;
        self.answered(id)
    }

    /// Everything asked or to be asked; nothing of it will be answered.
    pub(super) fn clear(&mut self) -> Vec<Request> {
        let outstanding = std::mem::take(&mut self.outstanding);
        let waiting = std::mem::take(&mut self.waiting);
        let outstanding = outstanding.into_values().map(|(request, _)| request);
        outstanding.chain(waiting).collect()
    }

    /// Drops what waits only to rebuild what is known of `peripheral`, or of all: it is about to be asked anew.
    pub(super) fn drop_rebuilding(&mut self, peripheral: Option<PeripheralId>) {
        self.waiting.retain(|request| {
            let rebuilds = match request {
                Request::QueryAgent(key) => Some(key.peripheral),
                Request::SnapshotDevice { peripheral, .. } => Some(*peripheral),
                Request::SnapshotCall { call, .. } => Some(call.peripheral),
                Request::ListTeams(_) | Request::MonitorTeam(_) | Request::Supervise(_) => None,
            };
            rebuilds.is_none() || (peripheral.is_some() && peripheral != rebuilds)
        });
    }

    pub(super) fn is_outstanding(&self) -> bool {
        !self.outstanding.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.outstanding.values().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(0);

    fn team(number: u32) -> Request {
        Request::MonitorTeam(TeamId(number))
    }

    #[test]
    fn only_so_many_are_outstanding_at_once() {
        let mut requests = Requests::default();
        (0..60).for_each(|number| requests.add(team(number)));
        let mut sent = 0;
        while let Some(request) = requests.next() {
            requests.sent(InvokeId(sent), request, NOW);
            sent += 1;
        }
        assert_eq!(sent, 50);
        assert_eq!(requests.answered(InvokeId(7)), Some(team(7)));
        assert_eq!(requests.next(), Some(team(50)));
    }

    #[test]
    fn what_somebody_waits_for_is_asked_first() {
        let mut requests = Requests::default();
        requests.add(team(1));
        requests.add_first(team(2));
        assert_eq!(requests.next(), Some(team(2)));
    }

    #[test]
    fn an_answer_that_does_not_come_is_given_up() {
        let mut requests = Requests::default();
        requests.sent(InvokeId(1), team(1), NOW);
        assert_eq!(requests.expired(NOW), None);
        assert_eq!(requests.expired(NOW + ANSWER_TIMEOUT), Some(team(1)));
        assert_eq!(requests.poll_timeout(), None);
    }
}

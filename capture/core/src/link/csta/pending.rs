//! Requests that wait for their answer, by invoke id.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::cti::csta::InvokeId;
use silentmon_proto::ids::{CallId, Extension};
use silentmon_proto::time::Instant;

/// How long an answer may take.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Most requests without answer at a time; invoke ids would carry 9999.
const MOST: usize = 4096;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whether there is a switch that wants no session.
    Probe,
    /// To renew a session from before the connection broke.
    Resume(String),
    /// To open a session, or to take up this one.
    StartSession(Option<String>),
    Renew,
    StopSession,
    Heartbeat,
    /// By the device's place in the settings.
    MonitorStart(usize),
    MonitorStop,
    SnapshotDevice(Extension),
    SnapshotCall(Extension, CallId),
    AgentState(Extension),
    /// By the command's number.
    Supervise(u64),
    Register,
}

impl Asked {
    /// Whether it belongs to setting up a device's monitor, which is throttled.
    const fn is_setup(&self) -> bool {
        matches!(
            self,
            Self::MonitorStart(_) | Self::SnapshotDevice(_) | Self::SnapshotCall(..) | Self::AgentState(_)
        )
    }
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: BTreeMap<InvokeId, (Instant, Asked)>,
    setup: usize,
    last: Option<InvokeId>,
}

impl Pending {
    /// Takes an invoke id for a request; none while too many are unanswered.
    pub(super) fn ask(&mut self, asked: Asked, now: Instant) -> Option<InvokeId> {
        if self.waiting.len() >= MOST {
            return None;
        }
        let mut id = self.last.map_or(InvokeId::of_request(0), InvokeId::next);
        while self.waiting.contains_key(&id) {
            id = id.next();
        }
        self.last = Some(id);
        self.setup += usize::from(asked.is_setup());
        self.waiting.insert(id, (now + ANSWER_LIMIT, asked));
        Some(id)
    }

    /// What this answers.
    pub(super) fn answered(&mut self, id: InvokeId) -> Option<Asked> {
        let (_, asked) = self.waiting.remove(&id)?;
        self.setup -= usize::from(asked.is_setup());
        Some(asked)
    }

    /// Takes away a request that has waited too long.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Asked> {
        let (&id, _) = self.waiting.iter().find(|(_, (deadline, _))| *deadline <= now)?;
        self.answered(id)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|(deadline, _)| *deadline).min()
    }

    /// How many requests of a monitor's setting up are unanswered.
    pub(super) const fn setup(&self) -> usize {
        self.setup
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets all, as the connection is gone.
    pub(super) fn drain(&mut self) -> Vec<Asked> {
        self.setup = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().map(|(_, asked)| asked).collect()
    }
}

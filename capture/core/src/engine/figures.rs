//! Figures of the whole server for its metrics: nothing in them names a person.

use std::collections::BTreeMap;

use silentmon_proto::ids::{Leg, LinkName, ServerName};
use silentmon_proto::quality::{Histogram, MOS_BOUNDS};
use silentmon_proto::reason::Code;
use silentmon_proto::relay::LegStatus;
use silentmon_proto::time::Instant;

use super::{Engine, ForeignRequests};
use crate::cluster::LeafCounts;
use crate::policy::PauseKind;
use crate::session::MonitorSession;

/// How the server stands, and what it did since its start.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineFigures {
    /// Sessions that run.
    pub sessions: usize,
    /// Sessions started since the server's start.
    pub sessions_started: u64,
    /// Sessions refused since the server's start.
    pub sessions_refused: u64,
    /// Pauses that run, by what they are for.
    pub pauses: BTreeMap<PauseKind, usize>,
    /// Messages refused because their sender has no right to what they are about.
    pub foreign_requests: ForeignRequests,
    /// Names locked after failed sign-ins.
    pub locked: usize,
    /// Failed sign-ins forgotten because there were too many to keep.
    pub failures_forgotten: u64,
    /// Supervisors' connections.
    pub connections: usize,
    /// Agents known.
    pub agents: usize,
    /// Streams of agents' phones kept.
    pub streams: usize,
    /// CTI links, and why they bring no events.
    pub links: Vec<(LinkName, Option<Code>)>,
    /// How the other members of the cluster stand.
    pub cluster: Option<ClusterFigures>,
    /// Both legs over all sessions: agent, customer.
    pub legs: [LegFigures; 2],
}

/// How the other members of a cluster stand.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterFigures {
    /// Each, and whether it is there.
    pub members: Vec<(ServerName, bool)>,
    /// How far their clocks are from ours, in seconds, where that is known.
    pub clocks: Vec<(ServerName, f64)>,
    /// Leaves, where it is a hub.
    pub leaves: Option<LeafCounts>,
    /// Whether this member holds the CTI sessions.
    pub holds_cti: bool,
    /// Whether the store is reached by which members learn of each other, where they do.
    pub store: Option<bool>,
    /// Sessions that other members hear for their supervisors.
    pub relayed_sessions: usize,
    /// Datagrams of other members that were of no use: of no session here, or too late.
    pub turned_away: u64,
}

/// One leg over all sessions, those that are over included.
#[derive(Debug, Clone, PartialEq)]
pub struct LegFigures {
    /// Counts; what isn't a number is left out.
    pub counts: LegStatus,
    /// Scores of the call, one for each session that is over.
    pub mos: Histogram,
}

impl Default for LegFigures {
    fn default() -> Self {
        Self {
            counts: LegStatus::default(),
            mos: Histogram::new(MOS_BOUNDS),
        }
    }
}

impl LegFigures {
    fn add(&mut self, status: &LegStatus) {
        let counts = &mut self.counts;
        counts.captured += status.captured;
        counts.duplicates += status.duplicates;
        counts.lost_in_call += status.lost_in_call;
        counts.lost_in_mirror += status.lost_in_mirror;
        counts.relayed += status.relayed;
        counts.asked += status.asked;
        counts.resent += status.resent;
        counts.refused += status.refused;
        counts.not_kept += status.not_kept;
        counts.copies += status.copies;
        counts.shed += status.shed;
        counts.suppressed += status.suppressed;
    }
}

/// What is left of sessions that are over.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) started: u64,
    pub(super) refused: u64,
    legs: [LegFigures; 2],
}

impl Past {
    /// Takes a session that is over.
    pub(super) fn take(&mut self, session: &MonitorSession) {
        for (figures, status) in self.legs.iter_mut().zip(session.leg_status()) {
            figures.add(&status);
            if let Some(mos) = status.quality.and_then(|quality| quality.figures().mos) {
                figures.mos.observe(mos);
            }
        }
    }
}

impl Engine {
    /// Figures for metrics.
    pub fn figures(&self, now: Instant) -> EngineFigures {
        let mut pauses = BTreeMap::from([(PauseKind::Payment, 0), (PauseKind::Private, 0)]);
        for pause in self.pauses.iter() {
            *pauses.entry(pause.kind).or_default() += 1;
        }
        let mut legs = self.past.legs.clone();
        for session in self.sessions.values() {
            let status = session.leg_status();
            for leg in Leg::BOTH {
                legs[leg.index()].add(&status[leg.index()]);
            }
        }
        EngineFigures {
            sessions: self.sessions.len(),
            sessions_started: self.past.started,
            sessions_refused: self.past.refused,
            pauses,
            foreign_requests: self.foreign_requests.clone(),
            locked: self.lock_out.locked(now).count(),
            failures_forgotten: self.lock_out.forgotten(),
            connections: self.connections.len(),
            agents: self.directory.agents().count(),
            streams: self.streams.len(),
            links: self
                .links
                .states()
                .iter()
                .map(|(name, link)| (name.clone(), link.down.as_ref().map(|reason| reason.code)))
                .collect(),
            cluster: self.cluster_figures(),
            legs,
        }
    }
}

//! What the service is made of, and what it tells of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use silentmon_capture_core::engine::{EngineEvent, EngineFigures, EngineSettings, FormerPause, ReasonCounts};
use silentmon_capture_core::filter::{MediaFilter, SignallingPorts};
use silentmon_capture_core::policy::{Policy, WeekMinute};
use silentmon_proto::cti::script::ScriptedEvent;
use silentmon_proto::ids::{Extension, MediaAddress, SupervisorName};
use silentmon_proto::time::Instant;
use tokio::sync::{mpsc, watch};

use super::{Door, DoorFigures, Order, PeerDoor, Question};
use crate::cluster::nats::Store;
use crate::cti::CtiSources;
use crate::feed::{CaptureHandle, CaptureStats};

/// Writes down who listens to whom, before sound flows.
pub trait Journal: Send {
    /// Writes an event down; it is on disk when this returns.
    ///
    /// # Errors
    /// Why it can't be written: the session it is about will be refused.
    fn record(&mut self, event: &EngineEvent, now: Instant) -> Result<(), String>;
}

/// What the service is made of.
pub struct ServiceParts {
    /// Names and rules.
    pub engine: EngineSettings,
    /// The supervisors' door; a leaf of a cluster may have none.
    pub door: Option<Door>,
    /// The way to the other members of the cluster, where there are any.
    pub peers: Option<PeerDoor>,
    /// The store by which members learn of each other, where they don't tell each other.
    pub store: Option<Store>,
    /// The capture thread, not yet asked for batches.
    pub capture: CaptureHandle,
    /// The filter that the capture thread reads.
    pub filter: Arc<ArcSwap<MediaFilter>>,
    /// Events of the `script` source, which go by the time of a capture file.
    pub script: Vec<ScriptedEvent>,
    /// Ports at which signalling is looked for, which the filter wants already.
    pub signalling: SignallingPorts,
    /// All other CTI sources; what they tell happens now. Their links run already, unless there are other members.
    pub sources: CtiSources,
    /// Starts the links of the CTI sources, where this server is to hold them.
    pub start_links: StartLinks,
    /// The audit journal.
    pub journal: Box<dyn Journal>,
    /// Questions of the HTTPS interface.
    pub questions: mpsc::Receiver<Question>,
    /// What it has done.
    pub orders: mpsc::Receiver<Order>,
    /// The clock on the operator's wall.
    pub local_time: LocalTime,
    /// What was before the start.
    pub former: Former,
    /// Where figures go once a second, for metrics.
    pub figures: watch::Sender<Option<ServiceFigures>>,
}

/// Figures of the whole service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceFigures {
    /// Sessions, legs and links.
    pub engine: EngineFigures,
    /// Agents and sessions by the reason why they can be heard or not.
    pub reasons: (ReasonCounts, ReasonCounts),
    /// What connected supervisors sent and wasn't taken.
    pub door: DoorFigures,
    /// What the capture saw and dropped.
    pub capture: CaptureStats,
    /// Datagrams of other members that came while the event loop was behind.
    pub member_datagrams_dropped: u64,
    /// Packets of plain RTP that couldn't be sent.
    pub plain_rtp_failures: u64,
}

/// Starts links of CTI sources; says what keeps it from that.
pub type StartLinks = Box<dyn Fn(&mut CtiSources) -> anyhow::Result<()> + Send>;

/// Tells the minute of the week where the operator's hours are said.
pub type LocalTime = Arc<dyn Fn(Instant) -> WeekMinute + Send + Sync>;

/// What the journal has of the time before the start, and a restart must not end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Former {
    /// Sign-ins, the oldest first.
    pub sign_ins: Vec<FormerSignIn>,
    /// Pauses that ran when the service ended.
    pub pauses: Vec<FormerPause>,
}

/// A sign-in before the start, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerSignIn {
    /// Under which name.
    pub name: SupervisorName,
    /// From where.
    pub from: IpAddr,
    /// When.
    pub at: Instant,
    /// Whether it failed; otherwise it succeeded, or was unlocked.
    pub failed: bool,
}

/// New rules, after the configuration was read again.
#[derive(Clone)]
pub struct Reload {
    /// Who may hear whom.
    pub policy: Policy,
    /// Device or extension → phone address.
    pub devices: BTreeMap<Extension, MediaAddress>,
    /// The clock on the operator's wall.
    pub local_time: LocalTime,
}

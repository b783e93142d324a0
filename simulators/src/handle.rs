//! What a test holds of a running simulator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use silentmon_proto::cti::CtiEvent;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Fault;
use crate::runtime::Note;
use crate::scenario::Action;

/// A running simulator. It ends with [`Handle::shutdown`] or when it is dropped.
#[derive(Debug)]
pub struct Handle {
    addresses: Vec<SocketAddr>,
    actions: mpsc::UnboundedSender<Action>,
    counters: watch::Receiver<Counters>,
    requests: Mutex<mpsc::UnboundedReceiver<SeenRequest>>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// What has happened so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections accepted; with TLS, after the handshake.
    pub connections: u64,
    /// Connections that ended.
    pub connections_closed: u64,
    /// Sessions (BroadWorks: channels) opened.
    pub sessions_opened: u64,
    /// The same by side.
    pub sessions_by_side: BTreeMap<usize, u64>,
    /// Sessions (channels) refused.
    pub sessions_refused: u64,
    /// Heartbeats that came.
    pub heartbeats: u64,
    /// Acknowledgements that came: BroadWorks event responses, CSTA answers to SystemStatus, CTI server
    /// ACTIVE_MAINTENANCE_RESP.
    pub acks: u64,
    /// Requests that came, heartbeats and acknowledgements apart.
    pub requests: usize,
    /// The same by name.
    pub requests_by_name: BTreeMap<String, u64>,
    /// Messages that could not be understood.
    pub bad_messages: u64,
    /// Messages handed to connections.
    pub messages_sent: u64,
    /// Events played, those injected included.
    pub events_played: u64,
    /// Faults done.
    pub faults: u64,
    /// Whether the script has come to its end.
    pub script_finished: bool,
}

impl Counters {
    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::SessionOpened(side) => {
                self.sessions_opened += 1;
                *self.sessions_by_side.entry(*side).or_default() += 1;
            }
            Note::SessionRefused => self.sessions_refused += 1,
            Note::Heartbeat => self.heartbeats += 1,
            Note::Ack => self.acks += 1,
            Note::Bad => self.bad_messages += 1,
            Note::Request(request) => {
                self.requests += 1;
                *self.requests_by_name.entry(request.name.clone()).or_default() += 1;
            }
        }
    }
}

/// A request that came, heartbeats and acknowledgements apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// On which side.
    pub side: usize,
    /// Its name in the protocol: `SNAPSHOT_DEVICE_REQ`, `MonitorStart`, `SetAgentState`.
    pub name: String,
    /// What of it matters, by the protocol's names.
    pub details: BTreeMap<String, String>,
}

impl Handle {
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        actions: mpsc::UnboundedSender<Action>,
        counters: watch::Receiver<Counters>,
        requests: mpsc::UnboundedReceiver<SeenRequest>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    ) -> Self {
        Self {
            addresses,
            actions,
            counters,
            requests: Mutex::new(requests),
            stop,
            task: Some(task),
        }
    }

    /// Where the sides (A first; the XSPs in their order) listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The telephone system goes on, now, whether the script's clock runs or not.
    pub fn inject(&self, event: CtiEvent) {
        // A simulator that has ended plays nothing more.
        let _ = self.actions.send(Action::Event(event));
    }

    /// Something goes wrong, now.
    pub fn fault(&self, fault: Fault) {
        let _ = self.actions.send(Action::Fault(fault));
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters.borrow().clone()
    }

    /// Waits until the counters are as wanted and returns them; `None` where the simulator ended before.
    pub async fn wait_for(&self, wanted: impl FnMut(&Counters) -> bool) -> Option<Counters> {
        let mut counters = self.counters.clone();
        let seen = counters.wait_for(wanted).await;
        seen.ok().map(|counters| counters.clone())
    }

    /// The requests that came since the last call, in order. (At most 100,000 are kept.)
    pub fn take_requests(&self) -> Vec<SeenRequest> {
        let Ok(mut requests) = self.requests.lock() else {
            return Vec::new();
        };
        std::iter::from_fn(|| requests.try_recv().ok()).collect()
    }

    /// Closes all connections and stops listening.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It only ends early by a panic, which its own message reports.
            let _ = task.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

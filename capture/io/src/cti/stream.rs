//! The shell of a [`StreamLink`]: opens the TCP and TLS connections it asks for, carries its bytes, keeps its time.
//!
//! Every hand-over is bounded: where the engine doesn't keep up, the source is read no further. Nothing falls back to
//! plain text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use silentmon_capture_core::link::{Closed, Endpoint, Link, LinkCommand, LinkEvent, StreamLink, StreamOutput};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Happened, Report, carry};
pub use super::dial::{StreamEndpoint, TlsTo};
use super::shell::{Shell, run};
use crate::clock::Clock;

/// Portions of bytes that may wait for the link.
const INPUT_QUEUE: usize = 16;
/// Bytes that may wait for a source that doesn't read before it counts as broken: the requests of a snapshot of ten
/// thousand agents are less.
const MOST_WAITING: usize = 4 << 20;

/// Runs a link until `shutdown`, then says goodbye to its source. Ends early only when nobody takes `events` any more.
pub async fn run_stream_link(
    link: Box<dyn StreamLink + Send>,
    endpoints: Vec<StreamEndpoint>,
    clock: Clock,
    events: mpsc::Sender<LinkEvent>,
    commands: mpsc::Receiver<LinkCommand>,
    shutdown: CancellationToken,
) {
    let (reports, mut inputs) = mpsc::channel(INPUT_QUEUE);
    let mut shell = StreamShell {
        link,
        endpoints: endpoints.into_iter().map(Arc::new).collect(),
        clock,
        connections: BTreeMap::new(),
        generation: 0,
        reports,
        tasks: TaskTracker::new(),
    };
    run(&mut shell, clock, &mut inputs, events, commands, shutdown).await;
    shell.connections.clear();
    inputs.close();
    shell.tasks.close();
    shell.tasks.wait().await;
}

struct StreamShell {
    link: Box<dyn StreamLink + Send>,
    endpoints: Vec<Arc<StreamEndpoint>>,
    clock: Clock,
    connections: BTreeMap<Endpoint, Connection>,
    generation: u64,
    reports: mpsc::Sender<Report>,
    tasks: TaskTracker,
}

/// The driver's end of a connection; dropping it lets the task write what waits and then reset the connection.
struct Connection {
    generation: u64,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    _closing: tokio_util::sync::DropGuard,
}

impl Shell for StreamShell {
    type Report = Report;

    fn link(&mut self) -> &mut (dyn Link + Send) {
        self.link.as_mut()
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                StreamOutput::Connect(endpoint) => self.connect(endpoint),
                StreamOutput::Send(endpoint, bytes) => self.send(endpoint, bytes),
                StreamOutput::Disconnect(endpoint) => drop(self.connections.remove(&endpoint)),
            }
        }
    }

    /// Reports of connections that the link has given up are late and no longer its business.
    fn handle_report(&mut self, report: Report) {
        let Report {
            endpoint,
            generation,
            what,
        } = report;
        if self.connections.get(&endpoint).map(|open| open.generation) != Some(generation) {
            return;
        }
        let now = self.clock.now();
        match what {
            Happened::Connected => self.link.handle_connected(endpoint, now),
            Happened::Bytes(bytes) => self.link.handle_bytes(endpoint, &bytes, now),
            Happened::Closed(why) => {
                self.connections.remove(&endpoint);
                self.link.handle_closed(endpoint, why, now);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.connections.is_empty()
    }
}

impl StreamShell {
    fn connect(&mut self, endpoint: Endpoint) {
        let Some(place) = self.endpoints.get(endpoint.0).map(Arc::clone) else {
            let why = Closed::Unreachable("no address is configured for it".to_owned());
            return self.link.handle_closed(endpoint, why, self.clock.now());
        };
        self.generation += 1;
        let (outgoing, queue) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let closing = CancellationToken::new();
        let report = Report {
            endpoint,
            generation: self.generation,
            what: Happened::Connected,
        };
        let counter = Arc::clone(&waiting);
        self.tasks.spawn(carry(
            place,
            report,
            self.reports.clone(),
            queue,
            counter,
            closing.clone(),
        ));
        let connection = Connection {
            generation: self.generation,
            outgoing,
            waiting,
            _closing: closing.drop_guard(),
        };
        self.connections.insert(endpoint, connection);
    }

    fn send(&mut self, endpoint: Endpoint, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get(&endpoint) else {
            return;
        };
        let waiting = connection.waiting.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        // Where its task has ended, the report of that is on its way.
        let _ = connection.outgoing.send(bytes);
        if waiting > MOST_WAITING {
            self.connections.remove(&endpoint);
            let why = Closed::Broken(format!("the source doesn't read: {waiting} bytes wait for it"));
            self.link.handle_closed(endpoint, why, self.clock.now());
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;

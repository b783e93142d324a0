//! The shell of a [`StreamLink`]: opens the TCP and TLS connections it asks for, carries its bytes, keeps its time.
//!
//! Every hand-over is bounded: where the engine doesn't keep up, the source is read no further. Nothing falls back to
//! plain text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use silentmon_capture_core::link::{Closed, Endpoint, LinkCommand, LinkEvent, StreamLink, StreamOutput};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Happened, Report, carry};
pub use super::dial::{StreamEndpoint, TlsTo};
use crate::clock::Clock;

/// Portions of bytes that may wait for the link.
const INPUT_QUEUE: usize = 16;
/// Bytes that may wait for a source that doesn't read before it counts as broken: the requests of a snapshot of ten
/// thousand agents are less.
const MOST_WAITING: usize = 4 << 20;
/// How long the goodbye to a source may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Runs a link until `shutdown`, then says goodbye to its source. Ends early only when nobody takes `events` any more.
pub async fn run_stream_link(
    link: Box<dyn StreamLink + Send>,
    endpoints: Vec<StreamEndpoint>,
    clock: Clock,
    events: mpsc::Sender<LinkEvent>,
    mut commands: mpsc::Receiver<LinkCommand>,
    shutdown: CancellationToken,
) {
    let (reports, mut inputs) = mpsc::channel(INPUT_QUEUE);
    let mut shell = Shell {
        link,
        endpoints: endpoints.into_iter().map(Arc::new).collect(),
        clock,
        connections: BTreeMap::new(),
        generation: 0,
        reports,
        tasks: TaskTracker::new(),
    };
    loop {
        shell.carry_out();
        let told = tokio::select! {
            told = shell.tell(&events) => told,
            () = shutdown.cancelled() => break,
        };
        if !told {
            break;
        }
        let wake = shell.wake();
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(report) = inputs.recv() => shell.handle_report(report),
            Some(command) = commands.recv() => shell.link.handle_command(command, clock.now()),
            () = wake => shell.link.handle_timeout(clock.now()),
        }
    }
    shell.say_goodbye(&mut inputs).await;
}

struct Shell {
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

impl Shell {
    /// Does what the link wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                StreamOutput::Connect(endpoint) => self.connect(endpoint),
                StreamOutput::Send(endpoint, bytes) => self.send(endpoint, bytes),
                StreamOutput::Disconnect(endpoint) => drop(self.connections.remove(&endpoint)),
            }
        }
    }

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

    /// Hands on what the link has to tell; waits where the engine is slow. `false` once nobody listens.
    async fn tell(&mut self, events: &mpsc::Sender<LinkEvent>) -> bool {
        while let Some(event) = self.link.poll_event() {
            if events.send(event).await.is_err() {
                return false;
            }
        }
        true
    }

    fn wake(&self) -> impl Future<Output = ()> + use<> {
        let deadline = self.link.poll_timeout().map(|at| self.clock.deadline(at));
        async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
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

    /// Lets the link end its session in good order, as long as that takes no longer than [`CLOSE_LIMIT`].
    async fn say_goodbye(mut self, inputs: &mut mpsc::Receiver<Report>) {
        self.link.close(self.clock.now());
        let deadline = tokio::time::Instant::now() + CLOSE_LIMIT;
        loop {
            self.carry_out();
            while self.link.poll_event().is_some() {}
            if self.connections.is_empty() {
                break;
            }
            let wake = self.wake();
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => break,
                Some(report) = inputs.recv() => self.handle_report(report),
                () = wake => self.link.handle_timeout(self.clock.now()),
            }
        }
        self.connections.clear();
        inputs.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;

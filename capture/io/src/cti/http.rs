//! The shell of an [`HttpLink`]: sends its requests, each as a task of its own, hands it the answers, keeps its time.
//!
//! Every hand-over is bounded: where the engine doesn't keep up, streaming answers are read no further.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use silentmon_capture_core::link::{Closed, HttpLink, HttpOutput, HttpRequest, HttpRequestId, LinkCommand, LinkEvent};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::http_client::{Authorisation, HttpEndpoint, Plaintext, PlaintextRefused};
use super::http_client::{HttpClient, Outgoing, next_bytes};
use crate::clock::Clock;

/// Portions of answers that may wait for the link.
const INPUT_QUEUE: usize = 64;
/// How long the goodbye to a source may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Runs a link until `shutdown`, then says goodbye to its source. Ends early only when nobody takes `events` any more.
pub async fn run_http_link(
    link: Box<dyn HttpLink + Send>,
    endpoints: Vec<HttpEndpoint>,
    clock: Clock,
    events: mpsc::Sender<LinkEvent>,
    mut commands: mpsc::Receiver<LinkCommand>,
    shutdown: CancellationToken,
) {
    let (reports, mut inputs) = mpsc::channel(INPUT_QUEUE);
    let mut shell = Shell {
        link,
        clients: endpoints.into_iter().map(HttpClient::new).map(Arc::new).collect(),
        clock,
        requests: BTreeMap::new(),
        reports,
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
    link: Box<dyn HttpLink + Send>,
    clients: Vec<Arc<HttpClient>>,
    clock: Clock,
    /// What is under way; dropping a guard ends its task.
    requests: BTreeMap<HttpRequestId, DropGuard>,
    reports: mpsc::Sender<Report>,
}

struct Report {
    request: HttpRequestId,
    what: Happened,
}

enum Happened {
    /// The whole answer.
    Answered(u16, Vec<u8>),
    /// A streaming answer begins.
    Begun(u16),
    Body(Bytes),
    Ended(Closed),
}

impl Shell {
    /// Does what the link wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                HttpOutput::Request(request) => self.start(request),
                HttpOutput::Cancel(request) => drop(self.requests.remove(&request)),
            }
        }
    }

    fn start(&mut self, request: HttpRequest) {
        let Some(client) = self.clients.get(request.endpoint.0).map(Arc::clone) else {
            let why = Closed::Unreachable("no address is configured for it".to_owned());
            return self.link.handle_ended(request.id, why, self.clock.now());
        };
        let cancelled = CancellationToken::new();
        self.requests.insert(request.id, cancelled.clone().drop_guard());
        let reports = self.reports.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = perform(&client, request, &reports) => {}
            }
        });
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

    /// Reports of requests that the link has given up are late and no longer its business.
    fn handle_report(&mut self, report: Report) {
        let Report { request, what } = report;
        if !self.requests.contains_key(&request) {
            return;
        }
        let now = self.clock.now();
        match what {
            Happened::Answered(status, body) => {
                self.requests.remove(&request);
                self.link.handle_response(request, status, &body, now);
            }
            Happened::Begun(status) => self.link.handle_response(request, status, &[], now),
            Happened::Body(bytes) => self.link.handle_body(request, &bytes, now),
            Happened::Ended(why) => {
                self.requests.remove(&request);
                self.link.handle_ended(request, why, now);
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
            if self.requests.is_empty() {
                break;
            }
            let wake = self.wake();
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => break,
                Some(report) = inputs.recv() => self.handle_report(report),
                () = wake => self.link.handle_timeout(self.clock.now()),
            }
        }
    }
}

/// One request from its sending to the end of its answer. Nobody takes reports only when the link has ended.
async fn perform(client: &HttpClient, request: HttpRequest, reports: &mpsc::Sender<Report>) {
    let report = |what| Report {
        request: request.id,
        what,
    };
    let outgoing = Outgoing {
        method: request.method,
        path: &request.path,
        body: &request.body,
        soap_action: None,
    };
    let done = async {
        let answer = client.send(outgoing).await?;
        if !request.streaming {
            let (status, body) = client.whole_body(answer).await?;
            return Ok(Happened::Answered(status, body));
        }
        let _ = reports.send(report(Happened::Begun(answer.status()))).await;
        let mut body = answer.into_body();
        while let Some(bytes) = next_bytes(&mut body).await? {
            if reports.send(report(Happened::Body(bytes))).await.is_err() {
                break;
            }
        }
        Ok(Happened::Ended(Closed::ByPeer))
    };
    let what = done.await.unwrap_or_else(Happened::Ended);
    let _ = reports.send(report(what)).await;
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;

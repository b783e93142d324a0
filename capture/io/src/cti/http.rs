//! The shell of an [`HttpLink`]: sends its requests, each as a task of its own, hands it the answers, keeps its time.
//!
//! Every hand-over is bounded: where the engine doesn't keep up, streaming answers are read no further.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use silentmon_capture_core::link::{
    Closed, HttpLink, HttpOutput, HttpRequest, HttpRequestId, Link, LinkCommand, LinkEvent,
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::http_client::{Authorisation, HttpEndpoint, Plaintext, PlaintextRefused, fetch};
use super::http_client::{HttpClient, Outgoing, next_bytes};
use super::shell::{Shell, run};
use crate::clock::Clock;

/// Portions of answers that may wait for the link.
const INPUT_QUEUE: usize = 64;

/// Runs a link until `shutdown`, then says goodbye to its source. Ends early only when nobody takes `events` any more.
pub async fn run_http_link(
    link: Box<dyn HttpLink + Send>,
    endpoints: Vec<HttpEndpoint>,
    clock: Clock,
    events: mpsc::Sender<LinkEvent>,
    commands: mpsc::Receiver<LinkCommand>,
    shutdown: CancellationToken,
) {
    let (reports, mut inputs) = mpsc::channel(INPUT_QUEUE);
    let mut shell = HttpShell {
        link,
        clients: endpoints.into_iter().map(HttpClient::new).map(Arc::new).collect(),
        clock,
        requests: BTreeMap::new(),
        reports,
    };
    run(&mut shell, clock, &mut inputs, events, commands, shutdown).await;
}

struct HttpShell {
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

impl Shell for HttpShell {
    type Report = Report;

    fn link(&mut self) -> &mut (dyn Link + Send) {
        self.link.as_mut()
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                HttpOutput::Request(request) => self.start(request),
                HttpOutput::Cancel(request) => drop(self.requests.remove(&request)),
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

    fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }
}

impl HttpShell {
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

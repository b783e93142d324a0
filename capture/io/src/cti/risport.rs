//! The shell of the RisPort70 resolver: takes wanted devices, sends the requests, hands on the addresses found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use silentmon_capture_core::link::Closed;
use silentmon_capture_core::resolver::risport::{RisPort, RisPortEvent};
use silentmon_proto::cti::risport::{ACTION, PATH};
use silentmon_proto::ids::{Extension, MediaAddress};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::http::HttpEndpoint;
use super::http_client::{HttpClient, Outgoing};
use crate::clock::Clock;

/// How long an answer may take: the service is slow with a thousand names.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Looks devices up until `shutdown`, or until nobody takes `found` any more. Each list that comes through `wanted`
/// replaces the one before; each map through `found` too.
pub async fn run_risport(
    mut risport: RisPort,
    endpoint: HttpEndpoint,
    clock: Clock,
    mut wanted: mpsc::Receiver<BTreeSet<Extension>>,
    found: mpsc::Sender<BTreeMap<Extension, MediaAddress>>,
    shutdown: CancellationToken,
) {
    let client = HttpClient::new(endpoint);
    loop {
        if let Some(body) = risport.poll_transmit(clock.now()) {
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                answer = tokio::time::timeout(ANSWER_LIMIT, ask(&client, &body)) => answer,
            };
            match answer {
                Ok(Ok((status, body))) => risport.handle_response(status, &body, clock.now()),
                Ok(Err(why)) => risport.handle_failed(&why.to_string(), clock.now()),
                Err(_) => risport.handle_failed("no answer in time", clock.now()),
            }
        }
        while let Some(event) = risport.poll_event() {
            match event {
                RisPortEvent::Addresses(addresses) => {
                    let taken = tokio::select! {
                        () = shutdown.cancelled() => return,
                        taken = found.send(addresses) => taken,
                    };
                    if taken.is_err() {
                        return;
                    }
                }
                RisPortEvent::Failed(why) => tracing::warn!(why, "RisPort70 doesn't tell phones' addresses"),
                RisPortEvent::Recovered => tracing::info!("RisPort70 tells phones' addresses again"),
            }
        }
        let deadline = risport.poll_timeout().map(|at| clock.deadline(at));
        let wake = async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(devices) = wanted.recv() => risport.handle_wanted(&devices, clock.now()),
            () = wake => risport.handle_timeout(clock.now()),
        }
    }
}

async fn ask(client: &HttpClient, body: &str) -> Result<(u16, Vec<u8>), Closed> {
    let request = Outgoing {
        method: "POST",
        path: PATH,
        body,
        soap_action: Some(ACTION),
    };
    let answer = client.send(request).await?;
    client.whole_body(answer).await
}

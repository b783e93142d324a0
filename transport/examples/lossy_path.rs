//! Measures what audio suffers on a path that loses packets or is too narrow, through a relay in user space.
//!
//! `cargo run --release -p silentmon-transport --example lossy_path [SECONDS]`: one row for each case, with a round
//! trip of 40 ms. The case without loss also shows bytes and system calls for each packet of audio.

#![allow(clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::relay::{PathModel, Pattern, Relay};
use common::{Pki, listen, meet, traffic};
use silentmon_transport::Settings;

struct Case {
    streams: u64,
    loss: f64,
    bottleneck: Option<u64>,
}

const CASES: [Case; 7] = [
    case(4, 0.0, None),
    case(4, 0.01, None),
    case(4, 0.05, None),
    case(200, 0.0, None),
    case(200, 0.01, None),
    case(200, 0.05, None),
    case(4, 0.0, Some(250_000)),
];

const fn case(streams: u64, loss: f64, bottleneck: Option<u64>) -> Case {
    Case {
        streams,
        loss,
        bottleneck,
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(8);
    let pki = Pki::new();
    let (server_tls, client_tls) = (pki.server_tls(), pki.client_tls());
    println!("streams  bottleneck  path loss  audio lost    shed   p50 ms   p99 ms  bytes/packet  calls/packet");
    for case in CASES {
        let model = PathModel {
            delay: Duration::from_millis(20),
            loss: case.loss,
            pattern: Pattern::Random,
            bottleneck: case.bottleneck.map(|rate| (rate, Duration::from_secs(3))),
        };
        let (mut endpoint, _) = listen(server_tls.clone(), Settings::server());
        let relay = Relay::start(endpoint.local_address(), model);
        let (server, client) = meet(&mut endpoint, &relay.address.into(), &client_tls).await;
        let (server, client) = (server.expect("accepted"), client.expect("connected"));
        let span = Duration::from_secs(seconds);
        let outcome = traffic::run(&server.connection, &client.connection, case.streams, span).await;
        report(&case, &relay, &outcome, &server.connection.statistics());
    }
}

fn report(case: &Case, relay: &Relay, outcome: &traffic::Outcome, path: &silentmon_transport::PathStatistics) {
    let seen = &relay.to_client;
    let path_loss = seen.dropped.load(Ordering::Relaxed) as f64 / seen.packets.load(Ordering::Relaxed) as f64;
    println!(
        "{:>7}  {:>10}  {:>8.2}%  {:>9.2}%  {:>6}  {:>7.1}  {:>7.1}  {:>12.0}  {:>12.2}",
        case.streams,
        case.bottleneck
            .map_or_else(|| "-".to_owned(), |rate| format!("{} kbit/s", rate / 1000)),
        path_loss * 100.0,
        outcome.lost() * 100.0,
        outcome.shed,
        outcome.delay(0.5).as_secs_f64() * 1000.0,
        outcome.delay(0.99).as_secs_f64() * 1000.0,
        path.bytes_sent as f64 / outcome.sent as f64,
        path.send_calls as f64 / outcome.sent as f64,
    );
}

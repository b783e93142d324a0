//! Measures what sending and receiving audio costs, and how long it takes, over loopback.
//!
//! `cargo run --release -p silentmon-transport --example throughput [SECONDS]`: 1,000 streams of 50 packets a second
//! over one connection, then over 250 connections of 4 streams. CPU is that of all threads of each side, from
//! `/proc/self/task` (Linux), in per cent of one core.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Pki, listen, traffic};
use silentmon_transport::{Channel, Settings, connect};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// CPU time is counted in hundredths of a second (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(8);
    let pki = Pki::new();
    let (server_tls, client_tls) = (pki.server_tls(), pki.client_tls());
    println!("connections  streams  sent/s   send CPU  receive CPU    lost   p50 µs   p99 µs");
    for (connections, streams) in [(1, 1000), (250, 4), (1, 2)] {
        measure(
            &server_tls,
            &client_tls,
            connections,
            streams,
            Duration::from_secs(seconds),
        );
    }
}

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn measure(
    server_tls: &silentmon_certs::ServerTls,
    client_tls: &silentmon_certs::ClientTls,
    connections: usize,
    streams: u64,
    span: Duration,
) {
    let (sending, receiving) = (runtime("send"), runtime("recv"));
    let (endpoint, address) = {
        let _inside = sending.enter();
        listen(server_tls.clone(), Settings::server())
    };
    let (accepted, accepts) = std::sync::mpsc::channel();
    sending.spawn(async move {
        let mut endpoint = endpoint;
        while let Some(Ok(channel)) = endpoint.accept().await {
            let _ = accepted.send(channel);
        }
    });
    let pairs: Vec<(Channel, Channel)> = (0..connections)
        .map(|_| {
            let client = receiving
                .block_on(connect(&address, client_tls, &Settings::client()))
                .expect("connected");
            (accepts.recv().expect("accepted"), client)
        })
        .collect();

    let (begin, before) = (Instant::now(), [cpu("send"), cpu("recv")]);
    let mut tasks = Vec::new();
    for (server, client) in &pairs {
        let (stop, stopped) = oneshot::channel();
        let heard = receiving.spawn(traffic::receive(client.connection.clone(), begin, stopped));
        let from = server.connection.clone();
        let said = sending.spawn(async move { traffic::send_streams(&from, streams, span, begin).await });
        tasks.push((said, heard, stop));
    }
    std::thread::sleep(span);
    let after = [cpu("send"), cpu("recv")];
    let took = begin.elapsed().as_secs_f64();
    let mut outcome = traffic::Outcome::default();
    for (said, heard, stop) in tasks {
        outcome.sent += sending.block_on(said).expect("sent").sent;
        std::thread::sleep(Duration::from_millis(if connections == 1 { 200 } else { 2 }));
        let _ = stop.send(());
        outcome.delays.extend(receiving.block_on(heard).expect("received"));
    }
    outcome.delays.sort();
    outcome.received = outcome.delays.len() as u64;
    let share = |side: usize| (after[side] - before[side]) / took * 100.0;
    println!(
        "{connections:>11}  {streams:>7}  {:>6.0}  {:>8.1}%  {:>10.1}%  {:>5.2}%  {:>7.0}  {:>7.0}",
        outcome.sent as f64 / took,
        share(0),
        share(1),
        outcome.lost() * 100.0,
        outcome.delay(0.5).as_secs_f64() * 1e6,
        outcome.delay(0.99).as_secs_f64() * 1e6,
    );
}

/// CPU seconds that the threads of this name used so far (proc(5): utime and stime).
fn cpu(name: &str) -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0.0;
    };
    let stats = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let ticks = stats.filter(|stat| stat.contains(&format!("({name})"))).map(|stat| {
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |index: usize| {
            fields
                .get(index)
                .and_then(|text| text.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        field(11) + field(12)
    });
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

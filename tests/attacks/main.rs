//! What somebody with a supervisor's certificate, or somebody on the way, may try: he is refused and counted, and nobody
//! else hears a difference.
#![allow(clippy::expect_used, reason = "a test that can't go on panics")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dialler.rs"]
mod dialler;

mod frames;
mod on_the_way;
mod others;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use common::{House, Service, eventually, fixture, free_address, page};

/// A house whose server plays the fixture call over and over.
struct Target {
    house: House,
    server: SocketAddr,
    metrics: SocketAddr,
    service: Service,
}

impl Target {
    fn build() -> Self {
        let house = House::build();
        let call = fixture("call.pcap.gz");
        let source = format!("{{ file = '{}', loop = true }}", call.display());
        let events = include_str!("../fixtures/call.events.jsonl");
        let server = house.configure(&source, events, "recording = \"allowed\"");
        let (path, metrics) = (house.path("capture.toml"), free_address());
        let config = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, format!("{config}[metrics]\nlisten = \"{metrics}\"\n")).expect("writes");
        let service = house.start();
        Self {
            house,
            server,
            metrics,
            service,
        }
    }

    /// What the server has refused, by the last label of the metric.
    fn refused(&self) -> BTreeMap<String, f64> {
        let page = self.metrics();
        let names = ["requests_refused", "foreign_requests", "connections_refused"];
        let is_one = |line: &&str| {
            names
                .iter()
                .any(|name| line.starts_with(&format!("silentmon_{name}_total")))
        };
        let count = |line: &str| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let label = name.rsplit('"').nth(1).expect("a label");
            (label.to_owned(), value.parse().expect("a number"))
        };
        page.lines().filter(is_one).map(count).collect()
    }

    /// Waits until the server has counted so many refusals.
    fn expect_refused(&self, what: &str, expected: usize) {
        eventually(Duration::from_secs(10), || {
            let counts = self.refused();
            let counted = counts.get(what) == Some(&(expected as f64));
            (!counted).then(|| format!("{what}: expected {expected}, counted {counts:?}"))
        });
    }

    fn metrics(&self) -> String {
        page(self.metrics, "/metrics")
    }
}

/// Runs what is asynchronous.
fn run<T>(attack: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(attack)
}

//! Servers that learn of each other by NATS JetStream on three real servers, and dial each other when somebody wants to
//! hear an agent. Skipped where no `nats-server` is installed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on panics"
)]

mod common;
#[path = "common/nats.rs"]
mod nats;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use common::punctual::{BEARABLE, on_a_machine_that_keeps_time};
use common::{House, Service, common_run, eventually, exact, fixture, free_address, said, silentmon, wav_channels};
use nats::{PASSWORD, Servers};

const RATE: usize = 8000;
const MEMBERS: u8 = 3;
/// How long a member may take to notice something, and to act on it.
const SOON: Duration = Duration::from_secs(25);
/// The same where the store had to elect a leader, which may take a goodbye with it: three heartbeats, and reading anew.
const ELECTED: Duration = Duration::from_secs(60);
const EVENTS: &str = r#"{"at":0.1,"event":"agent_state","agent":"4711","extension":"3001","state":"talking"}
{"at":0.2,"event":"call","agent":"4711","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":0.3,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
"#;

/// Certificates and configurations of the members `gw1`, `gw2`, …, the store, and a simulated CTI Server.
struct Town {
    house: House,
    store: Servers,
    service_port: u16,
    peer_port: u16,
    sides: [SocketAddr; 2],
}

impl Town {
    fn build(binary: PathBuf) -> Self {
        let house = House::build();
        house.certificate("admin", "adele", &[]);
        for member in 2..=MEMBERS {
            let address = format!("127.0.0.{member}");
            house.certificate("capture", &format!("gw{member}"), &["--san", &address]);
        }
        house.write_secret("nats.password", PASSWORD);
        let town = Self {
            house,
            store: Servers::start(binary, 3),
            service_port: free_address().port(),
            peer_port: free_address().port(),
            sides: [free_address(), free_address()],
        };
        let nothing_of_him = town.house.path("82.pcap");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
        let mut make = Command::new(script);
        make.args(["--variant", "two-calls", "--media-of", "82", "--out"])
            .arg(&nothing_of_him);
        assert!(make.status().expect("make-fixtures runs").success());
        // The agent's gateway is mirrored at the first member alone.
        town.configure(1, &fixture("call.pcap.gz"));
        town.configure(2, &nothing_of_him);
        town.configure(3, &nothing_of_him);
        town
    }

    fn configure(&self, member: u8, capture: &Path) {
        let [a, b] = self.sides;
        let config = format!(
            r#"schema = 1
[capture]
source = {{ file = '{}', pace = "real", loop = true }}
[service]
listen = "127.0.0.{member}:{}"
identity = "gw{member}.pem"
ca = "ca.pem"
[cluster]
name = "gw{member}"
listen = "127.0.0.{member}:{}"
address = "127.0.0.{member}:{}"
directory = "{}"
[cluster.nats]
ca = '{}'
user = "silentmon"
password_file = "nats.password"
[policy]
disclosure = "never"
who = "any-supervisor"
recording = "allowed"
[audit]
path = "audit{member}.jsonl"
[[cti]]
name = "source"
kind = "cisco-cti-server"
side_a = "{a}"
side_b = "{b}"
"#,
            capture.display(),
            self.service_port,
            self.peer_port,
            self.peer_port,
            self.store.addresses().join(","),
            self.store.folder.path().join("ca.pem").display(),
        );
        std::fs::write(self.house.path(&format!("gw{member}.toml")), config).expect("writes");
    }

    fn start(&self, member: u8) -> Service {
        let mut command = silentmon();
        let config = self.house.text(&format!("gw{member}.toml"));
        command.args(["capture", "--config", &config]);
        Service::start(command)
    }

    fn simulate(&self) -> Service {
        std::fs::write(self.house.path("script.jsonl"), EVENTS).expect("writes");
        let mut command = silentmon();
        command.args(["simulate", "cti-server", "--script", &self.house.text("script.jsonl")]);
        for side in self.sides {
            command.args(["--listen", &side.to_string()]);
        }
        Service::start(command)
    }

    fn status(&self, member: u8) -> Value {
        let mut command = silentmon();
        command.args(["cluster", "status", "--json"]);
        command.args(["--server", &format!("127.0.0.{member}:{}", self.service_port)]);
        command.args([
            "--identity",
            &self.house.text("adele.pem"),
            "--ca",
            &self.house.text("ca.pem"),
        ]);
        let statuses: Value = serde_json::from_slice(&command.output().expect("runs").stdout).unwrap_or_default();
        statuses.get(0).cloned().unwrap_or_default()
    }

    /// Waits until each of these members sees the others, and all of them the same holder and the agent.
    fn settle(&self, members: &[u8], holder: &str) {
        eventually(SOON, || {
            members.iter().find_map(|&member| {
                let status = self.status(member);
                let others = status["members"].as_array().map_or(0, Vec::len);
                let whole = others + 1 == members.len() && status["agents"] == 1 && status["holder"] == holder;
                (!whole || !status["store"]["away"].is_null()).then(|| format!("gw{member}: {status}"))
            })
        });
    }

    fn check(&self, member: u8) -> Output {
        let config = self.house.text(&format!("gw{member}.toml"));
        let output = silentmon().args(["cluster", "check", "--config", &config]).output();
        output.expect("runs")
    }

    /// What a supervisor at a member hears of the first member's agent: both channels and the summary.
    fn hear(&self, member: u8, seconds: &str) -> (Vec<Vec<i16>>, Value) {
        let wav = self.house.text("heard.wav");
        let server = SocketAddr::from(([127, 0, 0, member], self.service_port));
        let output = format!("wav:{wav}");
        let more = ["--output", &output, "--min-delay-ms", "500", "--for", seconds];
        let output = self.house.listen("anna", "4711", server, &more).output();
        let output = output.expect("listen runs");
        assert!(output.status.success(), "{}", said(&output));
        let summary = serde_json::from_slice(&output.stdout).expect("a JSON summary");
        (wav_channels(wav.as_ref()), summary)
    }
}

#[test]
fn members_of_a_store_hear_each_others_agents_and_outlive_one_of_its_servers() {
    on_a_machine_that_keeps_time(BEARABLE, learn_of_each_other_by_the_store);
}

fn learn_of_each_other_by_the_store() {
    let Some(binary) = nats::binary() else { return };
    let mut town = Town::build(binary);
    let _source = town.simulate();
    let first = town.start(1);
    eventually(SOON, || {
        let status = town.status(1);
        (status["holder"] != "gw1").then(|| status.to_string())
    });
    let others = [town.start(2), town.start(3)];
    town.settle(&[1, 2, 3], "gw1");

    let check = town.check(2);
    assert!(check.status.success(), "{}", said(&check));
    assert!(
        said(&check).contains("gw1") && said(&check).contains("gw3"),
        "{}",
        said(&check)
    );
    let (heard, _) = town.hear(3, "9");
    for (leg, heard) in ["agent", "customer"].iter().zip(heard) {
        let (_, length) = common_run(&heard, &exact(&town.house, leg));
        assert!(length > 6 * RATE, "{leg}: {length} samples identical, then they differ");
    }

    // One of the store's servers is killed: nobody is lost, and who needs a member dials it.
    town.store.kill(0);
    let (_, summary) = town.hear(2, "3");
    for leg in ["agent", "customer"] {
        let received = summary["legs"][leg]["received"].as_u64();
        assert!(received > Some(100), "{summary}");
    }
    town.settle(&[1, 2, 3], "gw1");

    // The holder stops and says so: another one holds.
    let (code, _) = first.terminate();
    assert_eq!(code, Some(0));
    eventually(ELECTED, || {
        let status = town.status(3);
        let gone = status["members"].as_array().is_some_and(|members| members.len() == 1);
        let whole = gone && status["holder"] == "gw2";
        (!whole).then(|| format!("{status}\n{:#?}", others.each_ref().map(Service::log)))
    });
    let agent = town.status(3)["agents"].clone();
    assert_eq!(agent, 1, "he isn't forgotten");
}

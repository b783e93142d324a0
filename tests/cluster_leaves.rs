//! Two hubs, the server of a site and a capture at a desk, on loopback: a supervisor at a hub hears agents whom only the
//! leaves see, sample for sample, also one whose leaf dialled the other hub alone. The mirrors are capture files.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on panics"
)]

mod common;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::punctual::{BEARABLE, on_a_machine_that_keeps_time};
use common::{House, Service, common_run, eventually, exact, fixture, free_address, said, silentmon, wav_channels};
use serde_json::Value;

const RATE: usize = 8000;
/// How long a server may take to notice something.
const SOON: Duration = Duration::from_secs(20);
/// How long the listener's packets wait: what a busy machine delays isn't lost.
const PATIENCE_MS: &str = "500";

/// What a leaf's source tells of its agent.
fn events(agent: &str) -> String {
    format!(
        r#"{{"at":0.0,"event":"agent_state","agent":"{agent}","extension":"3001","state":"talking"}}
{{"at":0.1,"event":"call","agent":"{agent}","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}}
{{"at":0.1,"event":"media_started","agent":"{agent}","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}}
"#
    )
}

struct Town {
    house: House,
    service_port: u16,
    peer_port: u16,
}

impl Town {
    fn build() -> Self {
        let house = House::build();
        house.certificate("admin", "adele", &[]);
        for (name, host) in [("hub1", "127.0.0.1"), ("hub2", "127.0.0.2"), ("site1", "127.0.0.3")] {
            house.certificate("capture", name, &["--san", host]);
        }
        // Nobody dials a desk: its certificate needs no host that is true.
        house.certificate("capture", "desk1", &["--san", "desk1.example"]);
        Self {
            house,
            service_port: free_address().port(),
            peer_port: free_address().port(),
        }
    }

    /// A server that sees a call, or nothing.
    fn configure(&self, name: &str, listen: &str, cluster: &str, agent: Option<&str>) {
        let call = fixture("call.pcap.gz");
        let cti = agent.map_or_else(String::new, |agent| {
            let script = format!("{name}.jsonl");
            std::fs::write(self.house.path(&script), events(agent)).expect("writes");
            format!("[[cti]]\nkind = \"script\"\npath = \"{script}\"\n")
        });
        let nothing = self.house.path("nothing.pcap");
        let file = if agent.is_some() { &call } else { &nothing };
        let config = format!(
            r#"schema = 1
[capture]
source = {{ file = "{}", pace = "real", loop = {} }}
[service]
listen = "{listen}"
identity = "{name}.pem"
ca = "ca.pem"
[cluster]
cluster = "north"
name = "{name}"
{cluster}
{cti}[policy]
disclosure = "never"
who = "any-supervisor"
recording = "allowed"
[audit]
path = "audit-{name}.jsonl"
"#,
            file.display(),
            agent.is_some(),
        );
        std::fs::write(self.house.path(&format!("{name}.toml")), config).expect("writes");
    }

    fn peers(&self, hubs: &[u8]) -> String {
        let peer = |hub: &u8| {
            format!(
                "{{ name = \"hub{hub}\", address = \"127.0.0.{hub}:{}\" }}",
                self.peer_port
            )
        };
        format!("peers = [{}]", hubs.iter().map(peer).collect::<Vec<_>>().join(", "))
    }

    fn hub(&self, number: u8) -> Service {
        let listen = format!("127.0.0.{number}:{}", self.service_port);
        let others = self.peers(&[3 - number]);
        let cluster = format!(
            "role = \"hub\"\nlisten = \"127.0.0.{number}:{}\"\n{others}",
            self.peer_port
        );
        self.configure(&format!("hub{number}"), &listen, &cluster, None);
        self.start(&format!("hub{number}"))
    }

    /// A leaf, which is told to listen where a hub does already: it doesn't.
    fn leaf(&self, name: &str, listen: &str, hubs: &[u8], agent: &str) -> Service {
        let taken = format!("127.0.0.1:{}", self.peer_port);
        let cluster = format!("role = \"leaf\"\nlisten = \"{taken}\"\n{}", self.peers(hubs));
        self.configure(name, listen, &cluster, Some(agent));
        self.start(name)
    }

    fn start(&self, name: &str) -> Service {
        let mut command = silentmon();
        command.args(["capture", "--config", &self.house.text(&format!("{name}.toml"))]);
        Service::start(command)
    }

    fn ask(&self, words: &[&str], who: &str, hub: u8) -> Command {
        let mut command = silentmon();
        command.args(words);
        command.args(["--server", &format!("127.0.0.{hub}:{}", self.service_port)]);
        let identity = self.house.text(&format!("{who}.pem"));
        command.args(["--identity", &identity, "--ca", &self.house.text("ca.pem")]);
        command
    }

    /// How the cluster stands, as a hub sees it.
    fn status(&self, hub: u8) -> Value {
        let output = self.ask(&["cluster", "status", "--json"], "adele", hub).output();
        let statuses: Value = serde_json::from_slice(&output.expect("runs").stdout).unwrap_or_default();
        statuses.get(0).cloned().unwrap_or_default()
    }

    fn check(&self, name: &str) -> Output {
        let config = self.house.text(&format!("{name}.toml"));
        let output = silentmon().args(["cluster", "check", "--config", &config]).output();
        output.expect("runs")
    }

    /// Records of a server's journal about sessions.
    fn records(&self, name: &str, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.house.path(&format!("audit-{name}.jsonl"))).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        records.filter(|record: &Value| record["event"] == event).collect()
    }

    /// The homes of sessions that began at a server, by agent.
    fn homes(&self, name: &str) -> Vec<(String, Option<String>)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let homes = self.records(name, "session_started").into_iter();
        let homes = homes.map(|record| (text(&record["agent"]).expect("an agent"), text(&record["home"])));
        let mut homes: Vec<_> = homes.collect();
        homes.sort();
        homes
    }
}

/// A capture file without a frame (libpcap's format, microseconds, Ethernet).
fn empty_capture() -> Vec<u8> {
    let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn a_supervisor_at_a_hub_hears_agents_of_leaves_exactly_whichever_hub_they_dialled() {
    on_a_machine_that_keeps_time(BEARABLE, hear_leaves);
}

fn hear_leaves() {
    let town = Town::build();
    std::fs::write(town.house.path("nothing.pcap"), empty_capture()).expect("writes");
    let _hubs = [town.hub(1), town.hub(2)];
    let door = format!("127.0.0.3:{}", town.service_port);
    let _leaves = [
        town.leaf("site1", &door, &[1, 2], "4711"),
        town.leaf("desk1", "none", &[2], "4712"),
    ];
    eventually(SOON, || {
        let status = town.status(1);
        let leaves = &status["leaves"];
        let known = leaves["here"] == 1 && leaves["elsewhere"] == 1 && status["agents"] == 2;
        let sees = leaves["each"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|leaf| leaf["sees"] == 1);
        (!known || !sees).then(|| status.to_string())
    });
    let status = town.status(1);
    assert_eq!(
        status["leaves"]["each"][0]["hubs"],
        serde_json::json!(["hub2"]),
        "desk1"
    );
    assert_eq!(status["leaves"]["each"][1]["hubs"], serde_json::json!(["hub1", "hub2"]));

    let listen = |who: &str, agent: &str| {
        let wav = town.house.text(&format!("{agent}.wav"));
        // The customer begins to speak four seconds after the agent.
        let mut command = town.ask(&["listen", agent, "--json", "--for", "8"], who, 1);
        command.args(["--min-delay-ms", PATIENCE_MS, "--output", &format!("wav:{wav}")]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        (child.expect("listen starts"), wav)
    };
    let listeners = [listen("anna", "4711"), listen("bert", "4712")];
    for (child, wav) in listeners {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output));
        let summary: Value = serde_json::from_slice(&output.stdout).expect("a JSON summary");
        assert_eq!(summary["reason"], "SM-0000", "{summary}");
        for (heard, leg) in wav_channels(wav.as_ref()).iter().zip(["agent", "customer"]) {
            let (_, length) = common_run(heard, &exact(&town.house, leg));
            assert!(length >= 2 * RATE, "{leg}: only {length} samples are identical");
        }
    }
    // Each session is in the journals of its home, of the leaf, and of the hub between them.
    let home = |name: &str| Some(name.to_owned());
    let at = |agent: &str, home: Option<String>| (agent.to_owned(), home);
    assert_eq!(town.homes("hub1"), [at("4711", None), at("4712", None)]);
    assert_eq!(town.homes("hub2"), [at("4712", home("hub1"))]);
    assert_eq!(town.homes("site1"), [at("4711", home("hub1"))]);
    assert_eq!(town.homes("desk1"), [at("4712", home("hub2"))]);
    let words = said(&town.ask(&["cluster", "status"], "adele", 1).output().expect("runs"));
    assert!(
        words.contains("hub1             this hub")
            && words.contains("leaves: 1 dialled this hub, 1 others alone, 0 reached"),
        "{words}"
    );
    for (name, line) in [("desk1", "hub2"), ("site1", "hub1"), ("hub1", "leaves dial this hub")] {
        let check = town.check(name);
        let words = said(&check);
        assert_eq!(check.status.code(), Some(0), "{name}: {words}");
        assert!(words.contains(line) && words.contains("ok"), "{name}: {words}");
    }
}

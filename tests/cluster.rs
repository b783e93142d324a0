//! Servers that are members of one cluster, on loopback: one address each, one service port, one pair of CTI Servers.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on panics"
)]

mod common;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use common::{House, Service, eventually, fixture, free_address, said, silentmon};

/// How long a member may take to notice something, and to act on it.
const SOON: Duration = Duration::from_secs(25);
const ANNAS_CALL: &str = r#"{"at":0.1,"event":"agent_state","agent":"4711","extension":"3001","state":"talking"}
{"at":0.2,"event":"call","agent":"4711","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":0.3,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
"#;

/// Certificates and configurations of the members `gw1`, `gw2`, …, and a simulated CTI Server.
struct Town {
    house: House,
    service_port: u16,
    peer_port: u16,
    sides: [SocketAddr; 2],
    members: u8,
}

impl Town {
    fn build(members: u8) -> Self {
        let house = House::build();
        house.certificate("admin", "adele", &[]);
        for member in 2..=members {
            let address = format!("127.0.0.{member}");
            house.certificate("capture", &format!("gw{member}"), &["--san", &address]);
        }
        let town = Self {
            house,
            service_port: free_address().port(),
            peer_port: free_address().port(),
            sides: [free_address(), free_address()],
            members,
        };
        for member in 1..=members {
            town.configure(member, "", town.service_port);
        }
        town
    }

    fn peers(&self, but: u8) -> String {
        let others = (1..=self.members).filter(|member| *member != but);
        let peer = |member| {
            format!(
                "{{ name = \"gw{member}\", address = \"127.0.0.{member}:{}\" }}",
                self.peer_port
            )
        };
        others.map(peer).collect::<Vec<_>>().join(", ")
    }

    fn configure(&self, member: u8, cluster: &str, service_port: u16) {
        let [a, b] = self.sides;
        let config = format!(
            r#"schema = 1
[capture]
source = {{ file = "{}", pace = "real" }}
[service]
listen = "127.0.0.{member}:{service_port}"
identity = "gw{member}.pem"
ca = "ca.pem"
[cluster]
name = "gw{member}"
listen = "127.0.0.{member}:{}"
peers = [{}]
{cluster}
[policy]
disclosure = "never"
who = "any-supervisor"
acd_only = false
[audit]
path = "audit{member}.jsonl"
[[cti]]
name = "source"
kind = "cisco-cti-server"
side_a = "{a}"
side_b = "{b}"
"#,
            fixture("call.pcap.gz").display(),
            self.peer_port,
            self.peers(member),
        );
        std::fs::write(self.house.path(&format!("gw{member}.toml")), config).expect("writes");
    }

    fn config(&self, member: u8) -> String {
        self.house.text(&format!("gw{member}.toml"))
    }

    fn start(&self, member: u8) -> Service {
        let mut command = silentmon();
        command.args(["capture", "--config", &self.config(member)]);
        Service::start(command)
    }

    fn simulate(&self) -> Service {
        std::fs::write(self.house.path("script.jsonl"), ANNAS_CALL).expect("writes");
        let mut command = silentmon();
        command.args(["simulate", "cti-server", "--script", &self.house.text("script.jsonl")]);
        for side in self.sides {
            command.args(["--listen", &side.to_string()]);
        }
        Service::start(command)
    }

    fn as_administrator(&self, words: &[&str], member: u8) -> Command {
        self.ask(words, "adele", member)
    }

    fn as_supervisor(&self, words: &[&str], member: u8) -> Command {
        self.ask(words, "anna", member)
    }

    fn ask(&self, words: &[&str], who: &str, member: u8) -> Command {
        let mut command = silentmon();
        command.args(words);
        command.args(["--server", &format!("127.0.0.{member}:{}", self.service_port)]);
        let identity = self.house.text(&format!("{who}.pem"));
        command.args(["--identity", &identity, "--ca", &self.house.text("ca.pem")]);
        command
    }

    /// How the cluster stands, as a member sees it.
    fn status(&self, member: u8) -> Value {
        let output = self.as_administrator(&["cluster", "status", "--json"], member).output();
        let output = output.expect("runs");
        let statuses: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        statuses.get(0).cloned().unwrap_or_default()
    }

    /// Waits until all these members see all of them, the same holder, and the agent.
    fn settle(&self, members: &[u8]) -> String {
        let mut holder = String::new();
        eventually(SOON, || {
            for &member in members {
                let status = self.status(member);
                let there = status["members"].as_array().into_iter().flatten();
                let there = there.filter(|other| other["since"].is_object() || other["since"].is_number());
                if there.count() + 1 != members.len() || status["agents"] != 1 || !status["holder"].is_string() {
                    return Some(format!("gw{member}: {status}"));
                }
                let holds = status["holder"].as_str().unwrap_or_default().to_owned();
                if member == members[0] {
                    holder = holds;
                } else if holds != holder {
                    return Some(format!("gw{member}: {status}"));
                }
            }
            None
        });
        holder
    }
}

#[test]
fn members_find_each_other_share_one_cti_session_and_hand_it_over() {
    let town = Town::build(3);
    let _source = town.simulate();
    let mut services: Vec<Option<Service>> = (1..=3).map(|member| Some(town.start(member))).collect();
    assert_eq!(town.settle(&[1, 2, 3]), "gw1");

    // By command.
    let command = ["cluster", "hand-over", "gw2"];
    let output = town.as_administrator(&command, 3).output().expect("runs");
    assert!(output.status.success(), "{}", said(&output));
    eventually(SOON, || {
        (town.settle(&[1, 2, 3]) != "gw2").then(|| "gw2 doesn't hold".to_owned())
    });

    // The holder is killed: the others notice at once, and the agent's call isn't forgotten.
    if let Some(service) = services[1].take() {
        service.kill();
    }
    let holder = town.settle(&[1, 3]);
    assert_eq!(holder, "gw1");
    let rows = town.as_administrator(&["agents", "--json"], 3).output().expect("runs");
    assert!(said(&rows).contains("10.1.1.20:24678"), "{}", said(&rows));

    // It comes back, is told everything, and takes nothing from who holds.
    services[1] = Some(town.start(2));
    assert_eq!(town.settle(&[1, 2, 3]), "gw1");
}

#[test]
fn a_member_with_another_service_port_is_refused_and_the_doctor_names_it() {
    let town = Town::build(2);
    town.configure(2, "", town.service_port - 1);
    let _source = town.simulate();
    let (first, second) = (town.start(1), town.start(2));
    for service in [&first, &second] {
        service.wait_for_line(|line| line.contains("SM-3104") && line.contains("must use one service port"));
    }
    let status = town.status(1);
    assert_eq!(status["members"][0]["problem"]["code"], "SM-3104", "{status}");

    let check = silentmon()
        .args(["cluster", "check", "--config", &town.config(1)])
        .output()
        .expect("runs");
    let words = said(&check);
    assert_eq!(check.status.code(), Some(1), "{words}");
    assert!(words.contains("SM-3104") && words.contains("gw2 listens on"), "{words}");

    let doctor = town
        .as_supervisor(&["doctor", "--json", "--all"], 1)
        .output()
        .expect("runs");
    let hops: Vec<Value> = serde_json::from_slice(&doctor.stdout).expect("an array of hops");
    let first = hops
        .iter()
        .find(|hop| hop["result"] == "broken")
        .expect("one is broken");
    assert_eq!(first["code"], "SM-3104", "{}", said(&doctor));
}

#[test]
fn servers_that_are_no_members_are_refused_by_name() {
    let town = Town::build(2);
    town.configure(2, "cluster = \"south\"", town.service_port);
    let (first, second) = (town.start(1), town.start(2));
    for service in [&first, &second] {
        let line = service.wait_for_line(|line| line.contains("SM-3105"));
        assert!(line.contains("is of cluster"), "{line}");
    }
}

#[test]
fn members_that_reach_each_other_pass_the_check_both_ways() {
    let town = Town::build(2);
    let first = town.start(1);
    let second = town.start(2);
    let check = || {
        silentmon()
            .args(["cluster", "check", "--config", &town.config(1)])
            .output()
            .expect("runs")
    };
    let whole = check();
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    assert!(said(&whole).contains("clock"), "{}", said(&whole));

    // The other can't dial back.
    drop(first);
    let lame = check();
    assert_eq!(lame.status.code(), Some(1), "{}", said(&lame));
    assert!(said(&lame).contains("doesn't reach this server"), "{}", said(&lame));
    drop(second);
    let none = check();
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(said(&none).contains("nothing listens there"), "{}", said(&none));
}

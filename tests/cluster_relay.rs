//! Three capture servers in network namespaces of their own, each with its own mirror, and one simulated CTI Server: any
//! supervisor at any member hears any agent, sample for sample, also after his home was killed, and joins his call. Needs root.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::punctual::{BEARABLE, on_a_machine_that_keeps_time};
use common::{House, Service, common_run, eventually, said, silentmon, wav_channels};
use serde_json::Value;

const RATE: usize = 8000;
const MEMBERS: u8 = 3;
/// How long a member may take to notice something, and to act on it.
const SOON: Duration = Duration::from_secs(20);
/// How long the listeners' packets wait: what a busy machine delays isn't lost.
const PATIENCE_MS: &str = "500";

/// The calls: number, streams of agent and customer.
const CALLS: [(&str, [&str; 2]); 2] = [
    ("81", ["0x441bc0cf", "0x7a31d0e4"]),
    ("82", ["0x1f00aa21", "0x2b00cc43"]),
];
const EVENTS: &str = r#"{"at":0.1,"event":"agent_state","agent":"4711","extension":"3001","state":"talking"}
{"at":0.2,"event":"call","agent":"4711","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":0.3,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
{"at":0.1,"event":"agent_state","agent":"4712","extension":"3002","state":"talking"}
{"at":0.2,"event":"call","agent":"4712","call":"82","kind":"established","acd":true,"calling":"5559876","called":"8001"}
{"at":0.3,"event":"media_started","agent":"4712","call":"82","address":"10.1.1.21:31020","codec":"PCMU"}
"#;

/// A namespace with a bridge, where supervisors and the CTI Server are, and one for each member behind it.
struct Town {
    house: House,
    /// The names of the namespaces: the bridge's, then the members'.
    places: Vec<String>,
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n")
}

impl Town {
    /// Builds it, or says on stderr why that can't be done here.
    fn build(name: &str) -> Option<Self> {
        let tool = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
        if !is_root() || !tool("tcpreplay") || !tool("python3") {
            eprintln!("skipped: network namespaces need root; tcpreplay and python3 are needed, too");
            return None;
        }
        let places: Vec<String> = (0..=MEMBERS)
            .map(|number| format!("smtown-{}-{name}{number}", std::process::id()))
            .collect();
        let town = Self {
            house: House::build(),
            places,
        };
        for place in &town.places {
            if !ip(&["netns", "add", place]) || !ip(&["-n", place, "link", "set", "lo", "up"]) {
                eprintln!("skipped: network namespaces can't be made here");
                return None;
            }
        }
        let hub = town.places[0].as_str();
        if !ip(&["-n", hub, "link", "add", "br0", "type", "bridge"]) {
            eprintln!("skipped: there are no bridges here");
            return None;
        }
        town.wire(hub);
        for member in 1..=MEMBERS {
            town.configure(member);
        }
        Some(town)
    }

    fn wire(&self, hub: &str) {
        let must = |arguments: &[&str]| assert!(ip(arguments), "ip {arguments:?}");
        must(&["-n", hub, "addr", "add", "10.77.0.100/24", "dev", "br0"]);
        must(&["-n", hub, "link", "set", "br0", "up"]);
        for member in 1..=MEMBERS {
            let place = self.places[usize::from(member)].as_str();
            let (cable, mirror) = (format!("member{member}"), format!("mirror{member}"));
            for (here, there) in [(cable.as_str(), "eth0"), (mirror.as_str(), "span0")] {
                must(&[
                    "link", "add", here, "netns", hub, "type", "veth", "peer", "name", there, "netns", place,
                ]);
                must(&["-n", hub, "link", "set", here, "up"]);
                must(&["-n", place, "link", "set", there, "up"]);
            }
            must(&["-n", hub, "link", "set", &cable, "master", "br0"]);
            must(&[
                "-n",
                place,
                "addr",
                "add",
                &format!("10.77.0.{member}/24"),
                "dev",
                "eth0",
            ]);
        }
    }

    fn configure(&self, member: u8) {
        let (name, address) = (server(member), format!("10.77.0.{member}"));
        self.house.certificate("capture", &name, &["--san", &address]);
        let others = (1..=MEMBERS).filter(|other| *other != member);
        let peer = |other: u8| {
            format!(
                "{{ name = \"{}\", address = \"10.77.0.{other}:42029\" }}",
                server(other)
            )
        };
        let config = format!(
            r#"schema = 1
[capture]
source = {{ interface = "span0" }}
[service]
listen = "{address}:42228"
identity = "{name}.pem"
ca = "ca.pem"
[cluster]
name = "{name}"
listen = "{address}:42029"
peers = [{}]
[policy]
disclosure = "never"
who = "any-supervisor"
recording = "allowed"
[audit]
path = "audit-{name}.jsonl"
[[cti]]
name = "source"
kind = "cisco-cti-server"
side_a = "10.77.0.100:42027"
side_b = "10.77.0.100:43027"
"#,
            others.map(peer).collect::<Vec<_>>().join(", "),
        );
        std::fs::write(self.house.path(&format!("{name}.toml")), config).expect("writes");
    }

    /// A command, run where a member is, or at the bridge with 0.
    fn at(&self, place: u8, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.places[usize::from(place)]]);
        inside.arg(command.get_program()).args(command.get_args());
        inside.stdin(Stdio::null());
        inside
    }

    fn start(&self, member: u8) -> Service {
        let mut command = silentmon();
        command.args([
            "capture",
            "--config",
            &self.house.text(&format!("{}.toml", server(member))),
        ]);
        Service::start(self.at(member, &command))
    }

    fn simulate(&self) -> Service {
        std::fs::write(self.house.path("script.jsonl"), EVENTS).expect("writes");
        let mut command = silentmon();
        command.args(["simulate", "cti-server", "--script", &self.house.text("script.jsonl")]);
        command.args(["--listen", "10.77.0.100:42027", "--listen", "10.77.0.100:43027"]);
        let mut command = self.at(0, &command);
        command.stdout(File::create(self.house.path("requests.jsonl")).expect("creates"));
        Service::start(command)
    }

    /// What the simulator was asked so far, one JSON object a line.
    fn requests(&self) -> String {
        std::fs::read_to_string(self.house.path("requests.jsonl")).expect("reads")
    }

    /// Makes the RTP of one call.
    fn media(&self, call: &str) -> PathBuf {
        let out = self.house.path(&format!("{call}.pcap"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
        let mut make = Command::new(script);
        make.args(["--variant", "two-calls", "--media-of", call, "--out"])
            .arg(&out);
        assert!(make.status().expect("make-fixtures runs").success());
        out
    }

    /// Lets the gateway that a member's mirror shows carry a call, at its real pace.
    fn play(&self, member: u8, capture: &Path) -> Running {
        let mut command = Command::new("tcpreplay");
        command.args(["--quiet", "--timer", "nano", "--pps", "100"]);
        command.args(["--intf1", &format!("mirror{member}")]).arg(capture);
        let mut command = self.at(0, &command);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Running(child.expect("tcpreplay starts"))
    }

    /// A supervisor who listens at these members, in this order.
    fn listen(&self, who: &str, agent: &str, members: &[u8], seconds: u32) -> Listener {
        self.listen_with(who, agent, members, seconds, &[])
    }

    fn listen_with(&self, who: &str, agent: &str, members: &[u8], seconds: u32, more: &[&str]) -> Listener {
        let wav = self.house.text(&format!("{who}.wav"));
        let mut command = silentmon();
        command.args(["listen", agent, "--json", "--output", &format!("wav:{wav}")]);
        command.args(["--min-delay-ms", PATIENCE_MS, "--for", &seconds.to_string()]);
        for member in members {
            command.args(["--server", &format!("10.77.0.{member}:42228")]);
        }
        let identity = self.house.text(&format!("{who}.pem"));
        command.args(["--identity", &identity, "--ca", &self.house.text("ca.pem")]);
        command.args(more);
        let child = self
            .at(0, &command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("listen starts");
        Listener { child, wav }
    }

    fn exact(&self, capture: &Path, ssrc: &str) -> Vec<i16> {
        let wav = self.house.text(&format!("exact-{ssrc}.wav"));
        let capture = capture.to_str().expect("a UTF-8 path");
        let output = common::run(&["replay", capture, "--stream", ssrc, "--exact", "--wav", &wav]);
        assert!(output.status.success(), "{}", said(&output));
        wav_channels(wav.as_ref()).remove(0)
    }

    fn journal(&self, member: u8) -> PathBuf {
        self.house.path(&format!("audit-{}.jsonl", server(member)))
    }

    /// Records of a member's journal about sessions.
    fn records(&self, member: u8, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.journal(member)).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        records.filter(|record: &Value| record["event"] == event).collect()
    }

    fn await_records(&self, member: u8, event: &str, count: usize) {
        eventually(SOON, || {
            let found = self.records(member, event);
            (found.len() < count).then(|| format!("{}: {event}: {found:?}", server(member)))
        });
    }

    fn verify_journals(&self) {
        for member in 1..=MEMBERS {
            let journal = self.journal(member);
            let output = common::run(&["audit", "verify", journal.to_str().expect("a UTF-8 path")]);
            assert!(output.status.success(), "{}", said(&output));
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        for place in &self.places {
            ip(&["netns", "delete", place]);
        }
    }
}

fn server(member: u8) -> String {
    format!("site{member}")
}

/// A process in the background, ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Listener {
    child: Child,
    wav: String,
}

impl Listener {
    /// What the supervisor types.
    fn type_in(&mut self, text: &str) {
        let keyboard = self.child.stdin.as_mut().expect("a keyboard");
        keyboard.write_all(text.as_bytes()).expect("types");
    }

    /// Waits for its end: both channels, the summary, and what it said on the way.
    fn finish(mut self) -> (Vec<Vec<i16>>, Value, String) {
        let log = BufReader::new(self.child.stderr.take().expect("a log"));
        let log: Vec<String> = log.lines().map_while(Result::ok).collect();
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}{}", said(&output), log.join("\n"));
        let summary = serde_json::from_slice(&output.stdout).expect("a JSON summary");
        (wav_channels(self.wav.as_ref()), summary, log.join("\n"))
    }
}

/// That what was heard from the first packet on is the call's exact decode, without a break up to the end.
fn assert_exact(heard: &[i16], exact: &[i16], whose: &str) {
    let (begin, length) = common_run(heard, exact);
    let after = heard.len() - begin - length;
    assert!(length >= 4 * RATE, "{whose}: only {length} samples are identical");
    assert!(after < RATE / 2, "{whose}: it differs {after} samples before the end");
    assert!(
        heard[..begin].iter().all(|&sample| sample == 0),
        "{whose}: silence until the first packet"
    );
}

#[test]
fn any_supervisor_at_any_member_hears_any_agent_exactly() {
    on_a_machine_that_keeps_time(BEARABLE, hear_everybody_everywhere);
}

fn hear_everybody_everywhere() {
    let Some(town) = Town::build("hear") else { return };
    let _source = town.simulate();
    let _services: Vec<Service> = (1..=MEMBERS).map(|member| town.start(member)).collect();
    let captures = CALLS.map(|(call, _)| town.media(call));
    // The first agent's gateway is mirrored at the first member, the second one's at the second.
    let _mirrors = [town.play(1, &captures[0]), town.play(2, &captures[1])];
    let listeners = [
        town.listen("anna", "4711", &[3], 7),
        town.listen("bert", "4712", &[1], 7),
    ];
    for (listener, ((_, streams), capture)) in listeners.into_iter().zip(CALLS.iter().zip(&captures)) {
        let (heard, summary, log) = listener.finish();
        // Where it fails they say what became of the packets.
        eprintln!("{summary}\n{log}");
        for (heard, ssrc) in heard.iter().zip(streams) {
            assert_exact(heard, &town.exact(capture, ssrc), ssrc);
        }
        assert_eq!(summary["reason"], "SM-0000", "{summary}");
    }
    // Each session is written down at its home and at its source, which names the home.
    for (home, source) in [(3, 1), (1, 2)] {
        let at_home = town.records(home, "session_started");
        let own = at_home.iter().filter(|record| record["home"].is_null());
        assert_eq!(own.count(), 1, "{at_home:?}");
        let at_source = town.records(source, "session_started");
        let others = at_source
            .iter()
            .filter(|record| record["home"] == server(home).as_str());
        assert_eq!(others.count(), 1, "{at_source:?}");
        town.await_records(source, "session_stopped", 1);
    }
    town.verify_journals();
}

#[test]
fn a_session_goes_on_at_another_member_when_its_home_is_killed() {
    on_a_machine_that_keeps_time(BEARABLE, outlive_the_home);
}

fn outlive_the_home() {
    let Some(town) = Town::build("kill") else { return };
    let _source = town.simulate();
    let mut services: Vec<Option<Service>> = (1..=MEMBERS).map(|member| Some(town.start(member))).collect();
    let (call, streams) = CALLS[0];
    let capture = town.media(call);
    let _mirror = town.play(1, &capture);
    // A client takes one of its servers at random: whichever is its home is killed.
    let listener = town.listen("anna", "4711", &[2, 3], 12);
    town.await_records(1, "session_started", 1);
    let session = town.records(1, "session_started")[0].clone();
    let home = (2..=3)
        .find(|&member| session["home"] == server(member).as_str())
        .expect("a home");
    let other = 5 - home;
    std::thread::sleep(Duration::from_secs(1));
    let killed = Instant::now();
    if let Some(service) = services[usize::from(home) - 1].take() {
        service.kill();
    }
    town.await_records(other, "session_moved", 1);
    eprintln!("goes on {:.1} s after the kill", killed.elapsed().as_secs_f64());
    let (heard, _, log) = listener.finish();
    assert!(log.contains(&format!("Goes on at {}", server(other))), "{log}");
    for (heard, ssrc) in heard.iter().zip(streams) {
        let exact = town.exact(&capture, ssrc);
        let (_, length) = common_run(&heard[heard.len() / 2..], &exact);
        assert!(length >= 3 * RATE, "{ssrc}: {length} samples identical after the move");
    }
    let moved = town.records(other, "session_moved");
    assert_eq!(moved[0]["session"], session["session"]);
    assert_eq!(
        (&moved[0]["former_home"], &moved[0]["home"]),
        (&server(home).into(), &Value::Null)
    );
    assert_eq!(
        town.records(other, "session_started").len(),
        0,
        "one session, one start at each member"
    );
    assert_eq!(town.records(1, "session_started").len(), 1);
    assert_eq!(town.records(1, "session_moved")[0]["home"], server(other).as_str());
    town.await_records(1, "session_stopped", 1);
    town.await_records(other, "session_stopped", 1);
    town.verify_journals();
}

#[test]
fn a_supervisor_joins_a_call_by_the_member_that_holds_the_cti_sessions() {
    let Some(town) = Town::build("join") else { return };
    let _source = town.simulate();
    let _services: Vec<Service> = (1..=MEMBERS).map(|member| town.start(member)).collect();
    let _mirror = town.play(2, &town.media(CALLS[0].0));
    let mut listener = town.listen_with("anna", "4711", &[3], 8, &["--supervisor-device", "3999"]);
    town.await_records(3, "session_started", 1);
    std::thread::sleep(Duration::from_secs(2));
    listener.type_in("b\n");
    eventually(SOON, || {
        let requests = town.requests();
        (!requests.contains("SUPERVISE_CALL")).then_some(requests)
    });
    let (_, summary, log) = listener.finish();
    assert!(!log.contains("can't"), "{log}");
    assert_eq!(summary["reason"], "SM-0000", "{summary}");
    // The first by name holds them; her home and the holder write it down, who only sees the agent doesn't.
    for (member, expected) in [(1, 1), (2, 0), (3, 1)] {
        let joined = town.records(member, "supervise_requested");
        assert_eq!(joined.len(), expected, "{}: {joined:?}", server(member));
    }
    town.verify_journals();
}

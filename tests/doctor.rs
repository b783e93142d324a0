//! `silentmon doctor` with every ill that can be provoked: it names the ill first. Services and listeners are processes, as in
//! the field; the captures are made by `scripts/make-fixtures`, and many patients share one house.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can't go on panics"
)]

mod common;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::punctual::on_a_machine_that_keeps_time;
use common::{House, Service, fixture, said, silentmon};
use serde_json::Value;

/// A standstill of the machine that changes nothing.
const BEARS: Duration = Duration::from_millis(50);

/// Makes a capture; `None` where Python is missing.
fn make(house: &House, variant: &str) -> Option<PathBuf> {
    let capture = house.path(&format!("{variant}.pcap"));
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-fixtures");
    let made = Command::new(script)
        .args(["--variant", variant, "--out"])
        .arg(&capture)
        .status();
    let Ok(status) = made else {
        eprintln!("skipped: python3 is needed to make the house of ills");
        return None;
    };
    assert!(status.success(), "make-fixtures --variant {variant}");
    Some(capture)
}

fn source(capture: &std::path::Path) -> String {
    format!("{{ file = '{}', loop = true }}", capture.display())
}

/// An agent on a call that came through the queue, with his phone's media at an address.
fn talking(agent: &str, address: &str) -> String {
    let who = format!("\"at\":0,\"agent\":\"{agent}\"");
    let media = if address.is_empty() {
        String::new()
    } else {
        format!("{{{who},\"event\":\"media_started\",\"call\":\"c{agent}\",\"address\":\"{address}\"}}\n")
    };
    format!(
        "{{{who},\"event\":\"agent_state\",\"extension\":\"x{agent}\",\"state\":\"talking\",\"team\":\"claims\"}}\n\
         {{{who},\"event\":\"call\",\"call\":\"c{agent}\",\"kind\":\"established\",\"acd\":true}}\n{media}"
    )
}

/// Hours that are long over or yet to come, whenever this runs: three days on.
fn closed_now() -> String {
    let day = time::OffsetDateTime::now_utc().weekday().nth_next(3).to_string();
    format!("time_zone = \"UTC\"\nhours = [\"{} 00:00-24:00\"]", &day[..3])
}

struct Doctor<'h> {
    house: &'h House,
    server: SocketAddr,
    identity: &'h str,
}

impl<'h> Doctor<'h> {
    fn of(house: &'h House, server: SocketAddr) -> Self {
        Self {
            house,
            server,
            identity: "anna.pem",
        }
    }

    fn look(&self, more: &[&str]) -> Output {
        let mut command = silentmon();
        command.args(["doctor", "--json", "--server", &self.server.to_string()]);
        command.args(["--identity", &self.house.text(self.identity)]);
        command.args(["--ca", &self.house.text("ca.pem")]);
        command.args(more).output().expect("he comes")
    }

    /// The first thing that he names, and the hop it is about; the exit code fits.
    fn finds(&self, more: &[&str], code: &str) -> Value {
        let output = self.look(more);
        let hops: Vec<Value> =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{more:?}: {}", said(&output)));
        let first = hops
            .iter()
            .find(|hop| !hop["code"].is_null())
            .cloned()
            .unwrap_or_default();
        assert_eq!(first["code"], code, "{more:?}: {}", said(&output));
        let broken = hops.iter().any(|hop| hop["result"] == "broken");
        assert_eq!(
            output.status.code(),
            Some(i32::from(broken)),
            "{more:?}: {}",
            said(&output)
        );
        first
    }
}

const SILENT: [&str; 2] = ["--output", "null"];

/// Agents of the house of ills, and what is wrong with each.
const PATIENTS: [(&str, &str, &str, &str); 10] = [
    ("4711", "10.1.1.20:24678", "SM-0000", "Nothing is wrong"),
    ("4712", "10.1.1.21:24678", "SM-2111", "Only the customer's side"),
    ("4713", "10.1.1.22:24678", "SM-2120", "recognised by its payload"),
    ("4714", "10.1.1.23:24678", "SM-2121", "G729 (payload type 18)"),
    ("4715", "10.1.1.24:24678", "SM-2112", "Every packet arrives twice"),
    ("4716", "10.1.1.25:24678", "SM-2113", "% of the packets"),
    ("4717", "10.9.9.9:4000", "SM-2110", "no voice from or to 10.9.9.9:4000"),
    ("4718", "", "SM-1220", "(asked: CTI, [devices], SIP, SCCP, RisPort)"),
    ("4719", "-", "SM-1211", "is Available; waiting"),
    ("9999", "-", "SM-1210", "9999 is not signed in"),
];

fn house_of_ills(house: &House) -> Option<(SocketAddr, Service)> {
    let capture = make(house, "ills")?;
    let mut events: String = PATIENTS
        .iter()
        .filter(|(_, address, ..)| *address != "-")
        .map(|(agent, address, ..)| talking(agent, address))
        .collect();
    events +=
        "{\"at\":0,\"event\":\"agent_state\",\"agent\":\"4719\",\"extension\":\"x4719\",\"state\":\"available\"}\n";
    // Not through the queue, where acd_only holds.
    events += &talking("4720", "10.1.1.99:24678").replace("true", "false");
    // With somebody whose number nobody is to hear of, and with one who is paying.
    let private = "\"acd\":true,\"calling\":\"+49 30 12345\"";
    events += &talking("4721", "10.1.1.98:24678").replace("\"acd\":true", private);
    events += &talking("4722", "10.1.1.20:24680");
    events += "{\"at\":0,\"event\":\"call_variables\",\"call\":\"c4722\",\"variables\":{\"CallVariable7\":\"PAY\"}}\n";
    let policy = "acd_only = true\nprivate_numbers = [\"+49301234*\"]\n\
                  [policy.payment_pause]\nvariable = \"CallVariable7\"\nvalue = \"PAY\"";
    let server = house.configure(&source(&capture), &events, policy);
    Some((server, house.start()))
}

#[test]
fn the_doctor_names_the_ill_of_each_agent_first() {
    // On a machine that hangs, packets are bundled and look no longer like those that are lost on the way.
    on_a_machine_that_keeps_time(BEARS, each_ill_is_named);
}

fn each_ill_is_named() {
    let house = House::build();
    let Some((server, _service)) = house_of_ills(&house) else {
        return;
    };
    let doctor = Doctor::of(&house, server);
    // Where packets were lost is judged only for who is listened to.
    let mut listener = house
        .listen("bert", "4716", server, &["--output", "null", "--for", "30"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("listens");
    let paths = [thinned, straggling].map(|fate: fn(u32) -> _| Path::start(server, fate));
    std::thread::sleep(Duration::from_secs(5));
    let listening = |path: &Path, more: &[&str], code| {
        let patient = Doctor::of(&house, path.address);
        patient.finds(&[&["--agent", "4711", "--listen"], &SILENT[..], more].concat(), code);
    };
    std::thread::scope(|scope| {
        for (agent, _, code, words) in PATIENTS {
            let doctor = &doctor;
            scope.spawn(move || {
                let found = doctor.finds(&[&["--agent", agent], &SILENT[..]].concat(), code);
                assert!(
                    found["sentence"].as_str().is_some_and(|text| text.contains(words)),
                    "{found}"
                );
                if code != "SM-0000" {
                    assert!(
                        found["evidence"].as_object().is_some_and(|facts| !facts.is_empty()),
                        "{found}"
                    );
                }
            });
        }
        scope.spawn(|| doctor.finds(&[&["--agent", "4720"], &SILENT[..]].concat(), "SM-1003"));
        for (agent, code, words) in [
            ("4721", "SM-1003", "on the list policy.private_numbers, no. 1"),
            ("4722", "SM-5001", "(call variable CallVariable7); it ends by itself"),
        ] {
            let doctor = &doctor;
            scope.spawn(move || {
                let found = doctor.finds(&[&["--agent", agent], &SILENT[..]].concat(), code);
                assert!(found["sentence"].to_string().contains(words), "{found}");
                assert!(found["evidence"]["rule"].is_string(), "{found}");
            });
        }
        scope.spawn(|| doctor.finds(&SILENT, "SM-0000"));
        scope.spawn(|| doctor.finds(&["--output", "no such card"], "SM-4001"));
        scope.spawn(|| doctor.finds(&[&["--agent", "4711", "--listen"], &SILENT[..]].concat(), "SM-0000"));
        scope.spawn(|| listening(&paths[0], &[], "SM-3001"));
        scope.spawn(|| {
            let impatient = impatient_desk(&house, server);
            listening(&paths[1], &["--config", &impatient], "SM-3002");
        });
        scope.spawn(|| certificates_and_servers(&house, server));
    });
    let talkers = doctor.finds(&["--agent", "4717"], "SM-2110");
    assert!(
        talkers["evidence"]["top talkers"]
            .as_str()
            .is_some_and(|text| text.contains("10.1.1.2 ")),
        "{talkers}"
    );
    everything_is_shown_on_demand(&doctor);
    let _ = listener.kill();
    let _ = listener.wait();
}

/// The configuration of a playback service that waits for no straggler.
fn impatient_desk(house: &House, server: SocketAddr) -> String {
    let config = format!(
        "schema = 1\n[playback]\nservers = [\"{server}\"]\nidentity = \"anna.pem\"\nca = \"ca.pem\"\n\
         preset = \"low\"\nmax_delay_ms = 100\n"
    );
    std::fs::write(house.path("playback.toml"), config).expect("writes");
    house.text("playback.toml")
}

fn certificates_and_servers(house: &House, server: SocketAddr) {
    let gone = Doctor::of(house, common::free_address());
    let found = gone.finds(&[], "SM-2001");
    assert!(
        found["evidence"].to_string().contains("nothing listens there"),
        "{found}"
    );
    let with = |identity| Doctor {
        identity,
        ..Doctor::of(house, server)
    };
    let found = with("gw1.pem").finds(&[], "SM-2002");
    assert!(found["sentence"].to_string().contains("role capture"), "{found}");
    outdated(house);
    let found = with("old.pem").finds(&[], "SM-2002");
    assert!(
        found["sentence"].to_string().contains("expired on 2020-01-31"),
        "{found}"
    );
    assert!(found["evidence"]["fingerprint"].is_string(), "{found}");
}

/// A supervisor's certificate of January 2020; who issued it no longer matters.
fn outdated(house: &House) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 31);
    params.subject_alt_names = ["urn:silentmon:role:supervisor", "urn:silentmon:name:old"]
        .map(|uri| rcgen::SanType::URI(uri.try_into().expect("ASCII")))
        .to_vec();
    let certificate = params.self_signed(&key).expect("signed");
    house.write_secret("old.pem", certificate.pem() + &key.serialize_pem());
}

fn everything_is_shown_on_demand(doctor: &Doctor<'_>) {
    let output = doctor.look(&["--agent", "4712", "--all", "--output", "null"]);
    let hops: Vec<Value> = serde_json::from_slice(&output.stdout).expect("an array of hops");
    let names: Vec<_> = hops.iter().filter_map(|hop| hop["hop"].as_str()).collect();
    let wanted = [
        "certificate",
        "capture server",
        "authority",
        "lock-out",
        "policy",
        "CTI link",
        "agent",
        "address",
        "SPAN",
        "promiscuous",
        "tags",
        "cluster",
        "mirror",
        "mirror, duplicates",
        "mirror, losses",
        "media",
        "audit",
        "relay",
        "sound",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn the_doctor_names_what_a_whole_house_suffers_from() {
    let house = House::build();
    let Some(broadcasts) = make(&house, "broadcasts") else {
        return;
    };
    let untagged = make(&house, "untagged").expect("was made before");
    let empty = house.path("empty.pcap");
    let header = std::fs::read(&broadcasts).expect("a capture");
    std::fs::write(&empty, &header[..24]).expect("writes");
    let plain = TcpListener::bind("127.0.0.1:0").expect("a port");
    let plain_port = plain.local_addr().expect("its address");
    std::thread::spawn(move || answer_in_plain(&plain));

    let call = talking("4711", "10.1.1.20:24678");
    let twins = talking("4711", "") + &talking("4712", "");
    let one_address = |text: String| text + "[devices]\nx4711 = \"10.1.1.20\"\nx4712 = \"10.1.1.20\"\n";
    let cti = |side: SocketAddr, more: &str| {
        format!(
            "[[cti]]\nkind = \"cisco-cti-server\"\nside_a = \"{side}\"\nclient_id = \"x\"\nclient_password = \"y\"\nperipheral_id = 1\n{more}"
        )
    };
    let agent = ["--agent", "4711", "--output", "null"];
    let mut patients = Vec::new();
    let mut admit =
        |source: &str, events: &str, change: &dyn Fn(String) -> String, code: &'static str, words: &'static str| {
            let server = house.configure(source, events, "");
            let file = house.path("capture.toml");
            let text = std::fs::read_to_string(&file).expect("reads");
            // Each service has a journal of its own.
            let text = text.replace("audit.jsonl", &format!("audit-{}.jsonl", patients.len()));
            std::fs::write(&file, change(text)).expect("writes");
            patients.push((server, house.start(), code, words));
        };
    let same = |text: String| text;
    let voice = source(&fixture("call.pcap.gz"));
    admit(
        &source(&empty).replace("true", "false"),
        &call,
        &same,
        "SM-2101",
        "(empty.pcap) has received no frames",
    );
    admit(
        &source(&broadcasts),
        &call,
        &same,
        "SM-2104",
        "0 foreign unicast frames",
    );
    admit(
        &source(&untagged),
        &twins,
        &one_address,
        "SM-2105",
        "10.1.1.20 is the address",
    );
    let only =
        |link: String| move |text: String| text.replace("[[cti]]\nkind = \"script\"\npath = \"events.jsonl\"\n", &link);
    admit(&voice, "", &only(cti(common::free_address(), "")), "SM-1201", "");
    let tls = "tls = { ca = \"ca.pem\" }\n";
    admit(&voice, "", &only(cti(plain_port, tls)), "SM-1203", "");
    let picky = common::free_address();
    let _simulator = asks_for_another_password(&house, picky);
    admit(&voice, "", &only(cti(picky, "")), "SM-1202", "password");
    let own_team = |text: String| text.replace("who = \"any-supervisor\"", "who = \"team\"");
    admit(&voice, &call, &own_team, "SM-1001", "(team \"claims\")");
    let rule = |rule: String| move |text: String| text.replace("[policy]\n", &format!("[policy]\n{rule}\n"));
    let excluded = rule("excluded_agents = [\"4711\"]".to_owned());
    admit(&voice, &call, &excluded, "SM-1001", "he is excluded from listening");
    let closed = rule(closed_now());
    admit(&voice, &call, &closed, "SM-1003", "Listening is allowed only within");

    let unwritable = house.configure(&voice, &call, "");
    let _unwritable = unable_to_write(&house);
    std::thread::sleep(Duration::from_secs(3));
    let refused = house
        .listen("anna", "4711", unwritable, &["--output", "null", "--for", "3"])
        .output()
        .expect("runs");
    assert!(said(&refused).contains("SM-5002"), "{}", said(&refused));
    Doctor::of(&house, unwritable).finds(&agent, "SM-5002");
    for (server, _service, code, words) in &patients {
        // A file's script runs by its datagrams: where there are none, nobody is signed in.
        let nobody = ["SM-2101", "SM-2104"].contains(code);
        let asked = if nobody { &SILENT[..] } else { &agent[..] };
        let found = Doctor::of(&house, *server).finds(asked, code);
        assert!(
            found["sentence"].as_str().is_some_and(|text| text.contains(words)),
            "{found}"
        );
    }
}

/// A CTI Server that knows the client and another password of his.
fn asks_for_another_password(house: &House, listen: SocketAddr) -> Service {
    std::fs::write(house.path("nothing.jsonl"), "").expect("writes");
    std::fs::write(house.path("secret"), "z").expect("writes");
    let mut command = silentmon();
    command.args(["simulate", "cti-server", "--script", &house.text("nothing.jsonl")]);
    command.args(["--listen", &listen.to_string(), "--client-id", "x"]);
    command.args(["--client-password-file", &house.text("secret")]);
    Service::start(command)
}

/// The capture service with a disk that takes no byte more: it gets an error, not a signal. The rules fit that are written
/// down at the start, and no session behind them.
fn unable_to_write(house: &House) -> Service {
    let journal = house.path("audit.jsonl");
    drop(house.start());
    let rules = std::fs::metadata(&journal).expect("a journal").len();
    for file in ["audit.jsonl", "audit.jsonl.head"] {
        std::fs::remove_file(house.path(file)).expect("it is there");
    }
    let mut command = Command::new("sh");
    let program = "trap '' XFSZ; exec prlimit --fsize=\"$1\" \"$0\" capture --config \"$2\"";
    command.args(["-c", program, env!("CARGO_BIN_EXE_silentmon")]);
    command.args([(rules + 100).to_string(), house.text("capture.toml")]);
    Service::start(command)
}

/// Speaks no TLS to whoever comes.
fn answer_in_plain(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let _ = std::io::Write::write_all(&mut stream, b"220 not a secure port\r\n");
        let _ = std::io::Read::read(&mut stream, &mut [0; 512]);
    }
}

/// A way to the server that treats packets of the length of audio in its own way, and lets control through.
struct Path {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// Lengths of QUIC packets that carry one to three times 20 ms of G.711. Control shares some of them.
const AUDIO: std::ops::RangeInclusive<usize> = 150..=700;

/// A policer: one in fifteen passes, so that of control a few do.
fn thinned(number: u32) -> Option<Duration> {
    number.is_multiple_of(15).then_some(Duration::ZERO)
}

/// A queue that lets most packets wait, those that are sent again too.
fn straggling(number: u32) -> Option<Duration> {
    const WAITS: [u64; 5] = [0, 400, 400, 400, 400];
    WAITS
        .get(number as usize % WAITS.len())
        .copied()
        .map(Duration::from_millis)
}

impl Path {
    /// `fate` says after what time the packet of this number gets through, if it does.
    fn start(server: SocketAddr, fate: fn(u32) -> Option<Duration>) -> Self {
        let [front, back] = ["127.0.0.1:0"; 2].map(|any| UdpSocket::bind(any).expect("a port"));
        let address = front.local_addr().expect("its address");
        back.connect(server).expect("a way to the server");
        front
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a time-out");
        back.set_read_timeout(Some(Duration::from_millis(1)))
            .expect("a time-out");
        let stop = Arc::<AtomicBool>::default();
        let client = Arc::new(Mutex::new(None));
        let (front, back) = (Arc::new(front), Arc::new(back));
        let (over, there, here, who) = (
            Arc::clone(&stop),
            Arc::clone(&back),
            Arc::clone(&front),
            Arc::clone(&client),
        );
        std::thread::spawn(move || {
            let mut bytes = [0; 2048];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, from)) = here.recv_from(&mut bytes) {
                    *who.lock().expect("whole") = Some(from);
                    let _ = there.send(&bytes[..length]);
                }
            }
        });
        let over = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (mut number, mut bytes) = (0, [0; 2048]);
            let mut waiting = BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                if let Ok(length) = back.recv(&mut bytes) {
                    number += 1;
                    let delay = if AUDIO.contains(&length) {
                        fate(number)
                    } else {
                        Some(Duration::ZERO)
                    };
                    let due = delay.map(|delay| Instant::now() + delay);
                    waiting.extend(due.map(|due| ((due, number), bytes[..length].to_vec())));
                }
                let Some(to) = *client.lock().expect("whole") else {
                    continue;
                };
                while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= Instant::now()) {
                    let _ = front.send_to(&first.remove(), to);
                }
            }
        });
        Self { address, stop }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

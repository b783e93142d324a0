//! Policy while somebody listens, in a running service: pauses and private calls over HTTPS, notices for agents' desktops, and
//! what of it the journal says.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on panics")]

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::https::{self, Caller};
use common::{House, Service, fixture, interrupt, run, said};
use serde_json::{Value, json};

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");
/// Most that anything here may take.
const LIMIT: Duration = Duration::from_secs(15);

fn serve(house: &House, policy: &str) -> (SocketAddr, Service) {
    let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
    let server = house.configure(&source, EVENTS, "");
    let path = house.path("capture.toml");
    let text = std::fs::read_to_string(&path).expect("reads");
    let text = text.replace("disclosure = \"never\"\n", policy);
    std::fs::write(path, text).expect("writes");
    https::with_source(house);
    (server, house.start())
}

fn ask(house: &House, server: SocketAddr, wanted: &str, body: &Value) -> (u16, Value) {
    ask_as(house, server, Caller::WITH_TOKEN, wanted, body)
}

fn ask_as(house: &House, server: SocketAddr, caller: Caller<'_>, wanted: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (status, answer) = https::ask(house, server, caller, (wanted, &body));
    let answer = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("JSON, not {answer}"));
    (status, answer)
}

/// What is first amiss with agent 4711.
fn first_amiss(house: &House, server: SocketAddr) -> Value {
    let (_, told) = ask(house, server, "GET /v1/diagnosis/4711", &Value::Null);
    let hops = told["hops"].as_array().cloned().unwrap_or_default();
    hops.into_iter().find(|hop| !hop["code"].is_null()).unwrap_or_default()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Anna listens in the background until she is interrupted.
struct Listening(Child);

impl Listening {
    fn start(house: &House, server: SocketAddr) -> Self {
        let mut command = house.listen("anna", "4711", server, &["--output", "null", "--for", "60"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("listens"))
    }

    fn stop(mut self) {
        interrupt(&self.0);
        let status = self.0.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

fn journal(house: &House) -> Vec<Value> {
    let path = house.text("audit.jsonl");
    let output = run(&["audit", "verify", &path]);
    assert!(output.status.success(), "{}", said(&output));
    let text = std::fs::read_to_string(path).expect("reads");
    let record = |line: &str| serde_json::from_str(line).expect("JSON");
    text.lines().map(record).collect()
}

fn event<'a>(journal: &'a [Value], name: &str) -> &'a Value {
    let found = journal.iter().find(|record| record["event"] == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {journal:#?}"))
}

fn names(journal: &[Value]) -> Vec<&str> {
    journal.iter().filter_map(|record| record["event"].as_str()).collect()
}

#[test]
fn a_payment_pause_is_told_to_the_supervisor_and_written_down() {
    let house = House::build();
    let (server, service) = serve(&house, "disclosure = \"never\"\n");
    wait_for("the call", || first_amiss(&house, server).is_null());
    let listening = Listening::start(&house, server);
    wait_for("a session", || names(&journal(&house)).contains(&"session_started"));

    let wanted = json!({ "agent": "4711", "seconds": 20, "source": "till" });
    let (status, granted) = ask(&house, server, "POST /v1/pause", &wanted);
    let expected = json!({ "agents": ["4711"], "seconds": 20, "begun": true });
    assert_eq!((status, granted), (200, expected));
    let (_, again) = ask(&house, server, "POST /v1/pause", &wanted);
    assert_eq!(again["begun"], false);
    let amiss = first_amiss(&house, server);
    assert_eq!((&amiss["hop"], &amiss["code"]), (&json!("policy"), &json!("SM-5001")));
    assert!(
        amiss["sentence"]
            .as_str()
            .is_some_and(|text| text.contains("asked for by till")),
        "{amiss}"
    );
    let (_, told) = ask(&house, server, "GET /v1/diagnosis", &Value::Null);
    assert_eq!(told["sessions"][0]["reason"]["code"], "SM-5001", "{told}");
    let (_, listed) = ask(&house, server, "GET /v1/pauses", &Value::Null);
    assert_eq!(listed["pauses"][0]["agents"], json!(["4711"]));
    let (_, ended) = ask(&house, server, "POST /v1/resume", &json!({ "agent": "4711" }));
    assert_eq!(ended, json!({ "ended": 1 }));
    wait_for("sound again", || first_amiss(&house, server).is_null());
    listening.stop();
    wait_for("the session's end", || {
        names(&journal(&house)).contains(&"session_stopped")
    });
    drop(service);

    let journal = journal(&house);
    let wanted = [
        "session_started",
        "pause_started",
        "session_muted",
        "pause_ended",
        "session_unmuted",
        "session_stopped",
    ];
    assert_eq!(names(&journal)[1..], wanted);
    let muted = event(&journal, "session_muted");
    assert_eq!(muted["rule"], "payment pause: asked for by till");
    assert_eq!(
        (&muted["supervisor"], &muted["agent"]),
        (&json!("anna"), &json!("4711"))
    );
    let ended = event(&journal, "pause_ended");
    assert_eq!(ended["of"], json!({ "agent": "4711" }));
    assert_eq!(ended["reason"], "asked for by an HTTP request");
    assert_eq!(event(&journal, "session_stopped")["disclosure"], "none_required");
}

#[test]
fn a_payment_pause_outlives_a_crash_and_a_restart_and_ends_all_the_same() {
    let house = House::build();
    let (server, service) = serve(&house, "disclosure = \"never\"\n");
    wait_for("the call", || first_amiss(&house, server).is_null());
    let wanted = json!({ "agent": "4711", "seconds": 60, "source": "till" });
    assert_eq!(ask(&house, server, "POST /v1/pause", &wanted).0, 200);
    let other = json!({ "agent": "4712", "seconds": 60, "source": "till" });
    ask(&house, server, "POST /v1/pause", &other);
    ask(&house, server, "POST /v1/resume", &json!({ "agent": "4712" }));
    let ended = |journal: &[Value]| names(journal).contains(&"pause_ended");
    wait_for("the journal", || ended(&journal(&house)));
    service.kill();
    let terminate = |service: Service| {
        service.terminate();
    };
    for stop in [Service::kill, terminate] {
        let service = house.start();
        let (_, listed) = ask(&house, server, "GET /v1/pauses", &Value::Null);
        let pauses = listed["pauses"].as_array().expect("a list");
        assert_eq!(pauses.len(), 1, "{listed}");
        assert_eq!(pauses[0]["of"], json!({ "agent": "4711" }), "{listed}");
        wait_for("the pause", || first_amiss(&house, server)["code"] == "SM-5001");
        stop(service);
    }
    let service = house.start();
    let (_, ended) = ask(&house, server, "POST /v1/resume", &json!({ "agent": "4711" }));
    assert_eq!(ended, json!({ "ended": 1 }));
    wait_for("sound again", || first_amiss(&house, server).is_null());
    drop(service);
    let _service = house.start();
    let (_, none) = ask(&house, server, "GET /v1/pauses", &Value::Null);
    assert_eq!(none, json!({ "pauses": [] }), "what was ended stays so");
}

#[test]
fn requests_that_cannot_be_meant_are_refused_with_what_was_expected() {
    let house = House::build();
    house.certificate("desktop", "4711", &[]);
    let (server, _service) = serve(&house, "disclosure = \"never\"\n");
    let pause = |caller, body: Value| ask_as(&house, server, caller, "POST /v1/pause", &body);
    let with_token = Caller::WITH_TOKEN;
    let desk = Caller {
        identity: Some("4711"),
        token: None,
    };
    let anna = Caller {
        identity: Some("anna"),
        token: None,
    };
    let good = json!({ "agent": "4711" });
    for (caller, body, status, expected) in [
        (Caller::default(), good.clone(), 401, "Bearer"),
        (anna, good.clone(), 403, "role"),
        (desk, json!({ "agent": "4712" }), 403, "4711"),
        (desk, json!({ "call": "81" }), 403, "4711"),
        (
            with_token,
            json!({}),
            400,
            "one of \"agent\", \"extension\" and \"call\"",
        ),
        (with_token, json!({ "agent": "4711", "call": "81" }), 400, "one of"),
        (with_token, json!({ "agent": "4711", "seconds": 0 }), 400, "at least 1"),
        (with_token, json!({ "agent": "4711", "minutes": 1 }), 400, "minutes"),
        (with_token, json!({ "agent": "4711", "source": "a\nb" }), 400, "source"),
    ] {
        let (found, answer) = pause(caller, body.clone());
        assert_eq!(found, status, "{body}: {answer}");
        assert!(
            answer["expected"].as_str().is_some_and(|text| text.contains(expected)),
            "{body}: {answer}"
        );
    }
    let (_, none) = ask(&house, server, "GET /v1/pauses", &Value::Null);
    assert_eq!(none, json!({ "pauses": [] }), "nothing of that began a pause");
    let unknown = pause(with_token, json!({ "agent": "nobody yet" }));
    assert_eq!((unknown.0, &unknown.1["agents"]), (202, &json!([])));
    wait_for("his own pause", || pause(desk, good.clone()).0 == 200);
}

#[test]
fn an_agents_desktop_is_told_while_somebody_listens_and_without_it_nothing_is_heard() {
    let house = House::build();
    house.certificate("desktop", "4711", &[]);
    house.certificate("desktop", "4712", &[]);
    let (server, service) = serve(&house, "disclosure = \"while-listening\"\ndisclosure_required = true\n");
    let listening = Listening::start(&house, server);
    let undisclosed = || {
        first_amiss(&house, server)["sentence"]
            .to_string()
            .contains("disclosure_required")
    };
    wait_for("silence while nobody can be told", undisclosed);

    let wanted = "GET /v1/agents/4711/notice";
    let another = Caller {
        identity: Some("4712"),
        token: None,
    };
    assert_eq!(https::ask(&house, server, another, (wanted, "")).0, 403);
    let own = Caller {
        identity: Some("4711"),
        token: None,
    };
    let notices = Notices::open(&house, server, own, wanted);
    notices.wait_for("\"listened\":true");
    wait_for("sound", || !undisclosed());
    listening.stop();
    notices.wait_for("\"listened\":false");
    wait_for("the session's end", || {
        names(&journal(&house)).contains(&"session_stopped")
    });
    drop(notices);
    wait_for("silence again", undisclosed);
    drop(service);

    let journal = journal(&house);
    let stopped = event(&journal, "session_stopped");
    assert_eq!(stopped["disclosure"], "shown");
    assert_eq!(event(&journal, "disclosure_shown")["agent"], "4711");
    assert!(stopped["disclosed_at"].as_str() >= event(&journal, "session_started")["at"].as_str());
    assert_eq!(event(&journal, "session_muted")["rule"], "policy.disclosure_required");
}

#[test]
fn where_agents_are_always_told_the_notice_says_so_and_nothing_of_sessions() {
    let house = House::build();
    let (server, _service) = serve(&house, "disclosure = \"always\"\n");
    let notices = Notices::open(&house, server, Caller::WITH_TOKEN, "GET /v1/agents/4711/notice");
    let told = notices.wait_for("data:");
    assert!(told.contains("at any time") && !told.contains("listened\""), "{told}");
}

/// The open feed of a desktop.
struct Notices {
    lines: mpsc::Receiver<String>,
    socket: std::net::TcpStream,
}

impl Notices {
    fn open(house: &House, server: SocketAddr, caller: Caller<'_>, wanted: &str) -> Self {
        let stream = https::send(house, server, caller, (wanted, ""));
        let socket = stream.get_ref().try_clone().expect("a second handle");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Self { lines, socket }
    }

    fn wait_for(&self, words: &str) -> String {
        let limit = Instant::now() + LIMIT;
        while let Ok(line) = self.lines.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            if line.contains(words) {
                return line;
            }
        }
        panic!("{words} was never told");
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

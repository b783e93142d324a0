//! The playback service on a supervisor's desktop, told over its local interface whom to hear.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::time::{Duration, Instant};

use common::memory::Traces;
use common::{House, Service, fixture, silentmon};

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");

struct Desk {
    address: SocketAddr,
    token: String,
    service: Service,
}

impl Desk {
    fn start(house: &House, server: SocketAddr, output: &str) -> Self {
        let address = common::free_address();
        let config = format!(
            "schema = 1\n[playback]\nservers = [\"{server}\"]\nidentity = \"anna.pem\"\nca = \"ca.pem\"\n\
             output = \"{output}\"\nlisten = [\"{address}\"]\ntoken = \"token\"\n"
        );
        std::fs::write(house.path("playback.toml"), config).expect("writes");
        let mut command = silentmon();
        command.args(["playback", "--config", &house.text("playback.toml")]);
        let service = Service::start(command);
        let token = std::fs::read_to_string(house.path("token")).expect("a token");
        Self {
            address,
            token,
            service,
        }
    }

    /// Status code and body of a request.
    fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        ask(self.address, method, path, token, body)
    }

    fn status(&self) -> serde_json::Value {
        let (code, body) = self.ask("GET", "/v1/status", &self.token, "");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Asks for the status until it is as wanted.
    fn wait(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let status = self.status();
            if wanted(&status) || Instant::now() > deadline {
                return status;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn ask(address: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let code = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status code");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (code, body.to_owned())
}

fn capture(house: &House) -> (SocketAddr, Service) {
    capture_with(house, "")
}

/// `more` stands behind the policy.
fn capture_with(house: &House, more: &str) -> (SocketAddr, Service) {
    let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
    let server = house.configure(&source, EVENTS, more);
    (server, house.start())
}

/// The value of a line of metrics.
fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
}

/// Asks until a value is as wanted; the page asked last.
fn wait_for_value(ask: impl Fn() -> (u16, String), name: &str, wanted: impl Fn(f64) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let (code, page) = ask();
        let found = value(&page, name).is_some_and(&wanted);
        if found || Instant::now() > deadline {
            assert!(code == 200 && found, "{code} {name}: {page}");
            return page;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the doctor says of a session, hop by hop: it is the service's, so it is the service that knows what arrives.
fn doctor(house: &House, session: &str) -> (Output, Vec<serde_json::Value>) {
    let config = house.text("playback.toml");
    let output = common::run(&["doctor", "--json", "--config", &config, "--session", session]);
    let hops = serde_json::from_slice(&output.stdout).expect("an array of hops");
    (output, hops)
}

fn the_doctor_finds_nothing_wrong(house: &House, session: &str) {
    let (output, hops) = doctor(house, session);
    let result = |name: &str| {
        hops.iter()
            .find(|hop| hop["hop"] == name)
            .map(|hop| hop["result"].clone())
    };
    for name in ["agent", "mirror", "relay", "sound", "all good"] {
        assert_eq!(result(name), Some("ok".into()), "{name}: {}", common::said(&output));
    }
    assert!(output.status.success());
}

#[test]
fn a_local_program_says_whom_to_hear_and_when_to_stop() {
    let house = House::build();
    let (server, _capture) = capture(&house);
    let desk = Desk::start(&house, server, "null");
    assert_eq!(desk.wait(|status| status["server"] == "gw1")["server"], "gw1");

    let (code, _) = desk.ask(
        "POST",
        "/v1/listen",
        &desk.token,
        "{\"agent\":\"4711\",\"purpose\":\"coaching\"}",
    );
    assert_eq!(code, 202);
    let heard = desk.wait(|status| status["reason"]["code"] == "SM-0000");
    assert_eq!(
        (&heard["agent"], &heard["reason"]["code"]),
        (&"4711".into(), &"SM-0000".into()),
        "{heard}"
    );
    let (_, agents) = desk.ask("GET", "/v1/agents", &desk.token, "");
    assert!(agents.contains("Marko Kern"), "{agents}");
    the_doctor_finds_nothing_wrong(&house, heard["session"].as_str().expect("a session"));

    let (code, _) = desk.ask("DELETE", "/v1/listen", &desk.token, "");
    assert_eq!(code, 202);
    let idle = desk.wait(|status| status["agent"].is_null());
    assert_eq!(idle["agent"], serde_json::Value::Null);
    let (code, took) = desk.service.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "SIGTERM took {took:?}");
    let audit = std::fs::read_to_string(house.path("audit.jsonl")).expect("an audit journal");
    assert!(
        audit.contains("coaching") && audit.contains("session_stopped"),
        "{audit}"
    );
}

#[test]
fn quality_and_metrics_follow_what_is_heard_and_name_nobody() {
    let house = House::build();
    let page = common::free_address();
    let (server, _capture) = capture_with(&house, &format!("[metrics]\nlisten = \"{page}\"\n"));
    let desk = Desk::start(&house, server, "null");
    let server_page = || ask(page, "GET", "/metrics", "", "");
    let desk_page = || desk.ask("GET", "/metrics", &desk.token, "");
    wait_for_value(
        server_page,
        "silentmon_sessions_started_total{server=\"gw1\"}",
        |sessions| sessions == 0.0,
    );
    assert_eq!(desk.ask("GET", "/metrics", "wrong", "").0, 401);

    desk.ask("POST", "/v1/listen", &desk.token, "{\"agent\":\"4711\"}");
    let rated = |status: &serde_json::Value, leg: &str, what: &str| status["quality"][leg][what]["mos"].is_number();
    let heard = desk.wait(|status| {
        let legs = ["agent", "customer"];
        legs.iter()
            .all(|leg| rated(status, leg, "call") && rated(status, leg, "copy"))
    });
    let call = &heard["quality"]["agent"]["call"];
    assert_eq!(
        (&call["verdict"], &call["r"], &call["mos"]),
        (&"good".into(), &93.2.into(), &4.41.into()),
        "{heard}"
    );
    let captured = "silentmon_packets_captured_total{server=\"gw1\",leg=\"agent\"}";
    let first = wait_for_value(server_page, captured, |packets| packets > 0.0);
    let before = value(&first, captured).expect("was found");
    let text = wait_for_value(server_page, captured, |packets| packets > before);
    assert_eq!(value(&text, "silentmon_sessions{server=\"gw1\"}"), Some(1.0), "{text}");
    for name in ["\"4711\"", "Kern", "anna"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    let text = wait_for_value(
        desk_page,
        "silentmon_packets_received_total{leg=\"customer\"}",
        |packets| packets > 0.0,
    );
    assert_eq!(value(&text, "silentmon_listening"), Some(1.0), "{text}");

    desk.ask("DELETE", "/v1/listen", &desk.token, "");
    wait_for_value(desk_page, "silentmon_copy_mos_count{leg=\"agent\"}", |sessions| {
        sessions > 0.0
    });
    wait_for_value(server_page, "silentmon_sessions{server=\"gw1\"}", |sessions| {
        sessions == 0.0
    });
    let over = "silentmon_call_mos_count{server=\"gw1\",leg=\"agent\"}";
    wait_for_value(server_page, over, |sessions| sessions > 0.0);
}

#[test]
fn nobody_else_is_answered() {
    let house = House::build();
    let (server, _capture) = capture(&house);
    let desk = Desk::start(&house, server, "null");
    for token in ["", "wrong"] {
        assert_eq!(desk.ask("GET", "/v1/status", token, "").0, 401);
        assert_eq!(desk.ask("POST", "/v1/listen", token, "{\"agent\":\"4711\"}").0, 401);
    }
    assert_eq!(
        desk.ask("POST", "/v1/listen", &desk.token, "{\"agents\":\"4711\"}").0,
        422
    );
    assert_eq!(desk.status()["agent"], serde_json::Value::Null);
}

#[test]
fn a_sound_card_that_is_not_there_is_said() {
    let house = House::build();
    let (server, _capture) = capture(&house);
    let desk = Desk::start(&house, server, "no such card");
    desk.ask("POST", "/v1/listen", &desk.token, "{\"agent\":\"4711\"}");
    let status = desk.wait(|status| !status["reason"].is_null());
    assert_eq!(status["reason"]["code"], "SM-4001", "{status}");
}

#[test]
fn the_sound_is_changed_while_it_is_heard() {
    let house = House::build();
    let (server, _capture) = capture(&house);
    let desk = Desk::start(&house, server, "null");
    let sound = |method: &str, body: &str| {
        let (code, answer) = desk.ask(method, "/v1/sound", &desk.token, body);
        (
            code,
            serde_json::from_str::<serde_json::Value>(&answer).unwrap_or(answer.into()),
        )
    };
    let (code, first) = sound("GET", "");
    assert_eq!(
        (code, &first["volume_db"], &first["mute"]),
        (200, &0.0.into(), &serde_json::json!([]))
    );
    desk.ask("POST", "/v1/listen", &desk.token, "{\"agent\":\"4711\"}");
    desk.wait(|status| status["reason"]["code"] == "SM-0000");

    let (code, changed) = sound("PATCH", "{\"volume_db\":-6,\"balance\":20,\"mute\":[\"customer\"]}");
    assert_eq!(code, 200, "{changed}");
    let expected = serde_json::json!({
        "volume_db": -6.0, "balance": 20, "mute": ["customer"], "mono": false, "auto_level": false,
        "suppress_dtmf": false, "levels": changed["levels"],
    });
    assert_eq!(changed, expected);
    let loud = |sound: &serde_json::Value| sound["levels"]["customer"]["peak_dbfs"].as_f64() > Some(-60.0);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !loud(&sound("GET", "").1) {
        assert!(Instant::now() < deadline, "a muted side still shows its level");
        std::thread::sleep(Duration::from_millis(100));
    }

    for (wrong, expected) in [
        ("{\"volume_db\":60}", "expected a volume of -60 to 20 dB, found 60"),
        (
            "{\"balance\":101}",
            "expected a balance of -100 (agent) to 100 (customer), found 101",
        ),
        ("{\"mute\":[\"caller\"]}", "expected `agent` or `customer`"),
        ("{\"loudness\":1}", "expected one of `volume_db`"),
    ] {
        let (code, answer) = sound("PATCH", wrong);
        assert_eq!(code, 422, "{answer}");
        assert!(answer.to_string().contains(expected), "{answer}");
    }
    // Who mutes both sides is told why nothing is heard, until he unmutes them.
    sound("PATCH", "{\"mute\":[\"agent\",\"customer\"]}");
    let muted = desk.wait(|status| status["reason"]["code"] == "SM-4002");
    assert_eq!(muted["reason"]["evidence"]["muted"], "agent, customer", "{muted}");
    let (output, hops) = doctor(&house, muted["session"].as_str().expect("a session"));
    let first = hops.iter().find(|hop| !hop["code"].is_null());
    assert_eq!(
        first.expect("something is amiss")["code"],
        "SM-4002",
        "{}",
        common::said(&output)
    );
    assert_eq!(output.status.code(), Some(1));
    sound("PATCH", "{\"mute\":[\"customer\"]}");
    let heard = desk.wait(|status| status["reason"]["code"] == "SM-0000");
    assert_eq!(heard["reason"]["code"], "SM-0000", "{heard}");
    // The settings last for the next session.
    desk.ask("POST", "/v1/listen", &desk.token, "{\"agent\":\"4711\"}");
    assert_eq!(sound("GET", "").1["mute"], serde_json::json!(["customer"]));
}

#[test]
fn nothing_of_a_call_stays_in_memory_after_the_session() {
    let house = House::build();
    let (server, _capture) = capture(&house);
    let desk = Desk::start(&house, server, "null");
    let traces = Traces::of_sound(&common::exact(&house, "agent"));
    let (code, body) = desk.ask("POST", "/v1/listen", &desk.token, r#"{"agent":"4711"}"#);
    assert!(code < 300, "{code} {body}");
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        match traces.count_in(desk.service.id()) {
            None => return eprintln!("skipped: needs to read another program's memory"),
            Some(0) => assert!(
                Instant::now() < deadline,
                "what is heard is in memory while it is heard"
            ),
            Some(_) => break,
        }
    }
    let (code, body) = desk.ask("DELETE", "/v1/listen", &desk.token, "");
    assert!(code < 300, "{code} {body}");
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Some(left) = traces.count_in(desk.service.id()).filter(|left| *left > 0) {
        assert!(Instant::now() < deadline, "{left} packets are still in memory");
        std::thread::sleep(Duration::from_millis(100));
    }
}

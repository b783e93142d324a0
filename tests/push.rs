//! Events pushed over HTTPS: who may, what is taken, what is said of what isn't.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail here")]

mod common;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::https::{self, Caller, TOKEN};
use common::{House, Service, run, said};

const AGENT: &str = r#"{"event":"agent_state","agent":"4711","extension":"3001","state":"talking"}"#;

fn serve(house: &House) -> (SocketAddr, Service) {
    let listen = house.configure("{ interface = \"lo\" }", "", "");
    https::with_source(house);
    (listen, house.start())
}

/// Posts `body` and gives back status and answer.
fn post(house: &House, to: SocketAddr, identity: Option<&str>, token: Option<&str>, body: &str) -> (u16, String) {
    ask(house, to, identity, token, ("POST /v1/events", body))
}

/// Sends a request and gives back status and answer.
fn ask(
    house: &House,
    to: SocketAddr,
    identity: Option<&str>,
    token: Option<&str>,
    request: (&str, &str),
) -> (u16, String) {
    https::ask(house, to, Caller { identity, token }, request)
}

fn agents(house: &House, server: SocketAddr) -> String {
    let server = server.to_string();
    let (identity, ca) = (house.text("anna.pem"), house.text("ca.pem"));
    let output = run(&[
        "agents",
        "--json",
        "--server",
        &server,
        "--identity",
        &identity,
        "--ca",
        &ca,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn pushed_events_are_taken_from_whoever_may_push() {
    let house = House::build();
    house.certificate("admin", "root", &[]);
    let (server, _service) = serve(&house);
    assert_eq!(post(&house, server, None, None, AGENT).0, 401);
    assert_eq!(post(&house, server, None, Some("0123456789abcdeF"), AGENT).0, 403);
    assert_eq!(post(&house, server, Some("anna"), None, AGENT).0, 403);
    assert!(!agents(&house, server).contains("4711"), "nothing of that was taken");
    let taken = (202, r#"{"taken":1}"#.to_owned());
    assert_eq!(post(&house, server, None, Some(TOKEN), AGENT), taken);
    assert!(agents(&house, server).contains("4711"));
    let other = AGENT.replace("4711", "4712");
    assert_eq!(post(&house, server, Some("root"), None, &format!("[{other}]")), taken);
    assert!(agents(&house, server).contains("4712"));
}

#[test]
fn a_batch_is_taken_as_a_whole_or_not_at_all() {
    let house = House::build();
    let (server, _service) = serve(&house);
    let bad = format!("{AGENT}\n{{\"event\":\"media_stopped\"}}\n");
    let (status, answer) = post(&house, server, None, Some(TOKEN), &bad);
    assert_eq!(status, 400);
    assert!(answer.contains("\"line\":2") && answer.contains("device"), "{answer}");
    assert!(!agents(&house, server).contains("4711"));
    let long = format!("{AGENT}\n").repeat(20_000);
    assert_eq!(post(&house, server, None, Some(TOKEN), &long).0, 413);
    let many: Vec<_> = (0..1000)
        .map(|number| {
            AGENT
                .replace("4711", &number.to_string())
                .replace("3001", &format!("7{number}"))
        })
        .collect();
    let (status, answer) = post(&house, server, None, Some(TOKEN), &many.join("\n"));
    assert_eq!((status, answer.as_str()), (202, r#"{"taken":1000}"#));
    // They are taken, and happen as soon as the service gets to them.
    let limit = Instant::now() + Duration::from_secs(20);
    while !agents(&house, server).contains("\"999\"") {
        assert!(Instant::now() < limit, "the last event never happened");
    }
}

#[test]
fn how_things_stand_is_told_to_whoever_may_push() {
    let house = House::build();
    let (server, _service) = serve(&house);
    let get = |path: &str, token: Option<&str>| ask(&house, server, None, token, (path, ""));
    assert_eq!(get("GET /v1/diagnosis", None).0, 401);
    assert_eq!(post(&house, server, None, Some(TOKEN), AGENT).0, 202);
    let json =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|_| panic!("JSON, not {text}"));
    let found = loop {
        let (status, body) = get("GET /v1/diagnosis", Some(TOKEN));
        assert_eq!(status, 200, "{body}");
        let found = json(&body);
        if found["agents"].as_array().is_some_and(|agents| !agents.is_empty()) {
            break found;
        }
    };
    let agent = &found["agents"][0];
    assert_eq!(
        (&agent["agent"], &agent["reason"]["code"]),
        (&"4711".into(), &"SM-1220".into()),
        "{found}"
    );
    assert!(agent["reason"]["evidence"]["asked"].is_string(), "{found}");
    let (status, body) = get("GET /v1/diagnosis/4711", Some(TOKEN));
    let hops = &json(&body)["hops"];
    let address = hops
        .as_array()
        .and_then(|hops| hops.iter().find(|hop| hop["hop"] == "address"));
    let address = address.unwrap_or_else(|| panic!("{status} {body}"));
    assert_eq!(
        (&address["result"], &address["code"]),
        (&"broken".into(), &"SM-1220".into()),
        "{body}"
    );
}

#[test]
fn without_a_source_of_kind_http_nobody_answers_there() {
    let house = House::build();
    let server = house.configure("{ interface = \"lo\" }", "", "");
    let _service = house.start();
    assert!(TcpStream::connect(server).is_err());
}

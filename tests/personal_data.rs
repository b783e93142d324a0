//! What a service says to everybody who reads its log or its metrics names nobody: no agent, supervisor, caller, number or
//! address. The journal does, and is there for it.
#![allow(clippy::expect_used, reason = "a test that can't go on panics")]

mod common;

use std::time::Duration;

use common::{House, Service, eventually, fixture, page, silentmon};

/// What must not be read anywhere, and is told to the service in every way there is.
const SECRETS: [(&str, &str); 10] = [
    ("the supervisor", "xanthippe"),
    ("another supervisor", "alkibiades"),
    ("the agent", "870451"),
    ("the agent's name", "Quux"),
    ("the agent's extension", "66123"),
    ("the agent's team", "zebras"),
    ("the caller", "4930901820"),
    ("the number called", "8005550199"),
    ("the phone's address", "10.1.1.20"),
    ("the purpose", "gossip"),
];

const EVENTS: &str = r#"
{"at":0.0,"event":"agent_state","agent":"870451","name":"Zacharias Quux","extension":"66123","team":"zebras","state":"talking"}
{"at":0.0,"event":"call","agent":"870451","call":"81","kind":"established","acd":true,"calling":"4930901820","called":"8005550199"}
{"at":0.0,"event":"media_started","agent":"870451","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
{"at":9.0,"event":"media_stopped","agent":"870451","call":"81","address":"10.1.1.20:24678"}
"#;

#[test]
fn neither_log_nor_metrics_name_anybody() {
    let house = House::build();
    for name in ["xanthippe", "alkibiades"] {
        house.certificate("supervisor", name, &[]);
    }
    let stranger = House::build();
    let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
    let server = house.configure(&source, EVENTS, "rtp_receivers = [\"10.1.1.20\"]");
    let metrics = common::free_address();
    let path = house.path("capture.toml");
    let config = std::fs::read_to_string(&path).expect("reads");
    let config = config.replace("who = \"any-supervisor\"", "who = \"team\"");
    let more = format!(
        "[teams]\nzebras = [\"xanthippe\"]\n[metrics]\nlisten = \"{metrics}\"\n[devices]\n\"66123\" = \"10.1.1.20\"\n"
    );
    std::fs::write(&path, config + &more).expect("writes");
    let mut command = silentmon();
    command.args(["capture", "--config", &house.text("capture.toml")]);
    let (service, mut log) = Service::start_with_log(command);

    let listen = |house: &House, who: &str, agent: &str| {
        let more = ["--output", "null", "--for", "2", "--reason", "gossip"];
        let output = house.listen(who, agent, server, &more).output().expect("runs");
        output.status.success()
    };
    assert!(listen(&house, "xanthippe", "870451"), "his own team");
    assert!(!listen(&house, "alkibiades", "870451"), "another team");
    assert!(!listen(&house, "xanthippe", "870451x"), "nobody");
    assert!(!listen(&stranger, "anna", "870451"), "a stranger");
    service.hang_up();
    let (before, reloaded) = service.read_up_to(|line| line.contains("configuration reloaded"));
    log.extend(before);
    log.push(reloaded);
    let mut figures = String::new();
    eventually(Duration::from_secs(10), || {
        figures = page(metrics, "/metrics");
        let started = figures.contains("silentmon_sessions_started_total{server=\"gw1\"} 1");
        (!started).then(|| figures.clone())
    });
    log.extend(service.log());
    let journal = std::fs::read_to_string(house.path("audit.jsonl")).expect("reads");
    let (code, _) = service.terminate_with(&mut log);
    assert_eq!(code, Some(0));

    let log = log.join("\n");
    for (what, secret) in SECRETS {
        assert!(!log.contains(secret), "{what} is in the log:\n{log}");
        assert!(!figures.contains(secret), "{what} is in the metrics:\n{figures}");
    }
    let somebodys = server.ip().to_string();
    assert!(
        !log.contains(&somebodys),
        "where a supervisor is stands in the log:\n{log}"
    );
    for known in ["xanthippe", "alkibiades", "870451", "gossip"] {
        assert!(journal.contains(known), "{known} belongs into the journal:\n{journal}");
    }
    for line in [
        "a session started",
        "a session was refused",
        "a connection was refused",
        "a supervisor connected",
    ] {
        assert!(log.contains(line), "the log tells what happens: {line}\n{log}");
    }
}

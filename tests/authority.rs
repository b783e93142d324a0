//! Who may hear whom, as the running program decides it: at every door, after failed sign-ins, by hours, purpose and
//! limits, and while rules change.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail here")]

mod common;

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::https::{Answer, exchange};
use common::{House, Service, fixture, run, said, silentmon};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";
const JSON: (&str, &str) = ("Content-Type", "application/json");

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Agent 4711 of team claims, who talks, and agent 4712 of team sales.
const EVENTS: &str = r#"{"at":0,"event":"agent_state","agent":"4711","extension":"3001","team":"claims","state":"talking"}
{"at":0,"event":"call","agent":"4711","call":"81","kind":"established","acd":true}
{"at":0,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678"}
{"at":0,"event":"agent_state","agent":"4712","extension":"3002","team":"sales","state":"available"}
"#;

/// Anna leads claims, Bert leads sales; both have certificates and passwords. Root is an administrator.
struct Floor {
    house: House,
    server: SocketAddr,
}

impl Floor {
    fn build(policy: &str) -> Self {
        let house = House::build();
        house.certificate("admin", "root", &[]);
        for name in ["anna", "bert"] {
            add_user(&house, name, "supervisor");
        }
        let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
        let server = house.configure(&source, EVENTS, policy);
        let floor = Self { house, server };
        floor.change("who = \"any-supervisor\"", "who = \"team\"");
        floor.change("[cluster]", "users = \"users.json\"\n[cluster]");
        floor.change("[audit]", "[teams]\nclaims = [\"anna\"]\nsales = [\"bert\"]\n[audit]");
        floor
    }

    /// Changes the configuration's text.
    fn change(&self, from: &str, to: &str) {
        let file = self.house.path("capture.toml");
        let text = std::fs::read_to_string(&file).expect("reads");
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replace(from, to)).expect("writes");
    }

    /// Starts the service and waits until both agents are there.
    fn start(&self) -> Service {
        let service = self.house.start();
        let limit = Instant::now() + Duration::from_secs(20);
        while !said(&self.command("root", &["agents", "--json"]).output().expect("runs")).contains("4712") {
            assert!(Instant::now() < limit, "the agents never came");
        }
        service
    }

    /// A command that asks the server, with somebody's certificate.
    fn command(&self, identity: &str, arguments: &[&str]) -> Command {
        let mut command = silentmon();
        command.args(arguments).args(["--server", &self.server.to_string()]);
        command.args(["--identity", &self.house.text(&format!("{identity}.pem"))]);
        command.args(["--ca", &self.house.text("ca.pem")]);
        command
    }

    fn ask(&self, identity: &str, arguments: &[&str]) -> Output {
        self.command(identity, arguments).output().expect("runs")
    }

    fn listen(&self, identity: &str, agent: &str, more: &[&str]) -> Output {
        let arguments = [&["listen", agent, "--json", "--output", "null"], more].concat();
        self.ask(identity, &arguments)
    }

    fn request(&self, identity: Option<&str>, wanted: &str, headers: &[(&str, &str)]) -> Answer {
        exchange(&self.house, self.server, identity, headers, (wanted, ""))
    }

    fn sign_in(&self, name: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "name": name, "password": password, "bearer": false }).to_string();
        let headers = [&[JSON], headers].concat();
        exchange(&self.house, self.server, None, &headers, ("POST /v1/sign-in", &body))
    }

    fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.house.path("audit.jsonl")).expect("a journal");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("a record"));
        lines.collect()
    }

    fn audited(&self, event: &str) -> Vec<Value> {
        let mut records = self.audit();
        records.retain(|record| record["event"] == event);
        records
    }
}

fn add_user(house: &House, name: &str, role: &str) {
    let users = house.text("users.json");
    let arguments = [
        "auth",
        "add",
        name,
        "--role",
        role,
        "--users",
        &users,
        "--password-file",
    ];
    let output = run(&[&arguments[..], &[&house.text("password")]].concat());
    assert!(output.status.success(), "{}", said(&output));
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer
        .header("set-cookie")
        .unwrap_or_else(|| panic!("a cookie in {answer:?}"));
    cookie.split(';').next().expect("a pair").to_owned()
}

/// Agents' ids anywhere in an answer's rows.
fn agents(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().into_iter().flatten();
    rows.filter_map(|row| row["agent"].as_str()).collect()
}

#[test]
fn another_teams_agent_is_refused_at_every_door() {
    let floor = Floor::build("");
    let _service = floor.start();
    let [own, other] = ["4711", "4712"];

    let heard = floor.listen("anna", own, &["--for", "1"]);
    assert!(heard.status.success(), "{}", said(&heard));
    let refused = floor.listen("anna", other, &["--for", "1"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(said(&refused).contains("SM-1001"), "{}", said(&refused));

    let listed = floor.ask("anna", &["agents", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(agents(&listed), [own]);

    let doctor = floor.ask("anna", &["doctor", "--json", "--output", "null", "--agent", other]);
    let hops: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let first = hops
        .as_array()
        .and_then(|hops| hops.iter().find(|hop| hop["result"] == "broken"));
    let first = first.unwrap_or_else(|| panic!("{hops}"));
    assert_eq!(
        (&first["code"], &first["evidence"]["rule"]),
        (&"SM-1001".into(), &"policy.who".into())
    );

    let session = cookie(&floor.sign_in("anna", PASSWORD, &[]));
    let doors: [(&str, Option<&str>, Headers<'_>); 2] = [
        ("certificate", Some("anna"), &[]),
        ("password", None, &[("Cookie", &session)]),
    ];
    for (door, identity, headers) in doors {
        let get = |path: &str| floor.request(identity, &format!("GET {path}"), headers);
        assert_eq!(agents(&get("/v1/agents").json()["agents"]), [own], "{door}");
        assert_eq!(agents(&get("/v1/diagnosis").json()["agents"]), [own], "{door}");
        assert_eq!(get(&format!("/v1/diagnosis/{own}")).status, 200, "{door}");
        let refused = get(&format!("/v1/diagnosis/{other}"));
        assert_eq!(refused.status, 403, "{door}: {refused:?}");
        assert!(
            refused.body.contains("SM-1001") && !refused.body.contains("3002"),
            "{door}: {refused:?}"
        );
        let pushed = floor.request(identity, "POST /v1/events", headers);
        assert_eq!(pushed.status, 403, "{door}: {pushed:?}");
    }
    let all = floor.request(Some("root"), "GET /v1/agents", &[]);
    assert_eq!(agents(&all.json()["agents"]), [own, other]);
    let nobody = floor.request(None, "GET /v1/agents", &[]);
    assert_eq!(nobody.status, 401, "{nobody:?}");

    let refused = floor.listen("root", own, &["--for", "1"]);
    assert!(said(&refused).contains("administrators see"), "{}", said(&refused));
    // A refusal is written down beside its answer.
    let limit = Instant::now() + Duration::from_secs(5);
    while floor.audited("session_refused").len() < 2 && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(50));
    }
    let records = floor.audited("session_refused");
    let who: Vec<_> = records
        .iter()
        .map(|record| ["supervisor", "role", "from", "by", "agent"].map(|key| record[key].as_str().unwrap_or("")))
        .collect();
    let expected = [
        ["anna", "supervisor", "127.0.0.1", "certificate", other],
        ["root", "administrator", "127.0.0.1", "certificate", own],
    ];
    assert_eq!(who, expected);
}

#[test]
fn three_failed_sign_ins_lock_a_name_until_an_administrator_unlocks_it() {
    let floor = Floor::build("");
    let service = floor.start();
    for _ in 0..3 {
        let wrong = floor.sign_in("anna", "correct horsf", &[]);
        assert_eq!(wrong.status, 401, "{wrong:?}");
    }
    let locked = |floor: &Floor| {
        let answer = floor.sign_in("anna", PASSWORD, &[]);
        assert_eq!(answer.status, 403, "{answer:?}");
        let reason = &answer.json()["reason"];
        assert_eq!(
            (&reason["code"], &reason["evidence"]["source"]),
            (&"SM-1002".into(), &"127.0.0.1".into())
        );
        assert!(
            reason["text"]
                .as_str()
                .is_some_and(|text| text.contains("(3 failed sign-ins)")),
            "{reason}"
        );
    };
    locked(&floor);
    assert_eq!(
        floor.sign_in("bert", PASSWORD, &[]).status,
        200,
        "another name from there"
    );

    let refused = floor.listen("anna", "4711", &["--for", "1"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(said(&refused).contains("SM-1002"), "{}", said(&refused));
    let doctor = floor.ask("anna", &["doctor", "--json", "--output", "null", "--agent", "4711"]);
    let hops: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let first = hops
        .as_array()
        .and_then(|hops| hops.iter().find(|hop| !hop["code"].is_null()));
    let first = first.unwrap_or_else(|| panic!("{hops}"));
    assert_eq!((&first["hop"], &first["code"]), (&"lock-out".into(), &"SM-1002".into()));
    let listed = floor.ask("anna", &["agents"]);
    assert!(said(&listed).contains("SM-1002"), "{}", said(&listed));

    assert_eq!(service.terminate().0, Some(0));
    let _service = floor.start();
    locked(&floor);

    let refused = floor.ask("anna", &["auth", "unlock", "anna"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    let list = floor.ask("root", &["auth", "list", "--json"]);
    let locks: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    assert_eq!(
        (&locks[0]["name"], &locks[0]["source"], &locks[0]["failures"]),
        (&"anna".into(), &"127.0.0.1".into(), &3.into())
    );
    let elsewhere = floor.ask("root", &["auth", "unlock", "anna", "--source", "10.1.9.1"]);
    assert_eq!(elsewhere.status.code(), Some(1), "{}", said(&elsewhere));
    let unlocked = floor.ask("root", &["auth", "unlock", "anna"]);
    assert!(unlocked.status.success(), "{}", said(&unlocked));
    assert_eq!(floor.sign_in("anna", PASSWORD, &[]).status, 200);
    let heard = floor.listen("anna", "4711", &["--for", "1"]);
    assert!(heard.status.success(), "{}", said(&heard));

    let failures = floor.audited("sign_in_failed");
    assert_eq!(failures.len(), 3, "what is tried while it is locked isn't looked at");
    assert!(failures[2]["locked_until"].is_string(), "{failures:?}");
    let [unlocked] = &floor.audited("unlocked")[..] else {
        panic!("{:?}", floor.audit())
    };
    assert_eq!(
        (&unlocked["supervisor"], &unlocked["unlocked"]),
        (&"root".into(), &"anna".into())
    );
    let journal = floor.house.text("audit.jsonl");
    let verified = run(&["audit", "verify", &journal]);
    assert!(verified.status.success(), "{}", said(&verified));
    assert!(
        !std::fs::read_to_string(journal).expect("reads").contains("horsf"),
        "no password is written down"
    );
}

#[test]
fn a_browsers_session_is_guarded_against_other_pages_and_ends_when_it_is_told_to() {
    let floor = Floor::build("");
    let _service = floor.start();
    let own = format!("https://{}", floor.server);
    let foreign = ("Origin", "https://evil.example");
    assert_eq!(floor.sign_in("anna", PASSWORD, &[foreign]).status, 403);
    let body = json!({ "name": "anna", "password": PASSWORD }).to_string();
    let form = [("Content-Type", "text/plain")];
    let plain = exchange(&floor.house, floor.server, None, &form, ("POST /v1/sign-in", &body));
    assert_eq!(plain.status, 415, "{plain:?}");
    for bad in [
        "{}",
        "[",
        r#"{"name":"","password":"x"}"#,
        r#"{"name":"anna","password":"x","more":1}"#,
    ] {
        let answer = exchange(&floor.house, floor.server, None, &[JSON], ("POST /v1/sign-in", bad));
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }

    let welcome = floor.sign_in("anna", PASSWORD, &[("Origin", &own)]);
    assert_eq!(welcome.status, 200, "{welcome:?}");
    assert_eq!(welcome.json()["role"], "supervisor");
    assert!(welcome.json()["token"].is_null(), "a page's scripts don't see it");
    let set = welcome.header("set-cookie").expect("a cookie");
    for attribute in [
        "__Host-silentmon=",
        "; Path=/",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Strict",
    ] {
        assert!(set.contains(attribute), "{set}");
    }
    let cookie = cookie(&welcome);
    let session = ("Cookie", cookie.as_str());
    assert_eq!(floor.request(None, "GET /v1/agents", &[session]).status, 200);
    assert_eq!(
        floor
            .request(None, "GET /v1/agents", &[("Cookie", "__Host-silentmon=0")])
            .status,
        401
    );
    assert_eq!(
        floor.request(None, "POST /v1/sign-out", &[session]).status,
        403,
        "without Origin"
    );
    assert_eq!(
        floor.request(None, "POST /v1/sign-out", &[session, foreign]).status,
        403
    );
    assert_eq!(
        floor
            .request(None, "POST /v1/sign-out", &[session, ("Origin", &own)])
            .status,
        204
    );
    assert_eq!(floor.request(None, "GET /v1/agents", &[session]).status, 401);

    let body = json!({ "name": "anna", "password": PASSWORD, "bearer": true }).to_string();
    let answer = exchange(&floor.house, floor.server, None, &[JSON], ("POST /v1/sign-in", &body));
    assert!(answer.header("set-cookie").is_none(), "{answer:?}");
    let bearer = format!("Bearer {}", answer.json()["token"].as_str().expect("a token"));
    let shown = [("Authorization", bearer.as_str())];
    assert_eq!(floor.request(None, "GET /v1/agents", &shown).status, 200);
    let users = floor.house.text("users.json");
    let removed = run(&["auth", "remove", "anna", "--users", &users]);
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(
        floor.request(None, "GET /v1/agents", &shown).status,
        403,
        "who is removed is out"
    );
    assert_eq!(floor.sign_in("anna", PASSWORD, &[]).status, 401);
    assert_eq!(
        floor.sign_in("nobody", PASSWORD, &[]).status,
        401,
        "as if it were a wrong password"
    );
}

#[test]
fn purpose_limit_and_a_changed_rule_hold_for_running_sessions() {
    let floor = Floor::build("purposes = [\"coaching\", \"complaint\"]\nsession_limit = 4\nconfirm_within = 3");
    let service = floor.start();
    let refused = floor.listen("anna", "4711", &["--for", "1"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert!(
        said(&refused).contains("SM-1003 A purpose is required (coaching, complaint)"),
        "{}",
        said(&refused)
    );

    let listening = |more: &[&str]| {
        let listen = ["listen", "4711", "--json", "--output", "null", "--purpose", "coaching"];
        let mut command = floor.command("anna", &[&listen, more].concat());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        (command.spawn().expect("starts"), Instant::now())
    };
    // What isn't confirmed ends by itself, and says why.
    let (silent, begun) = listening(&["--for", "20"]);
    let ended = silent.wait_with_output().expect("ends");
    assert!(begun.elapsed() < Duration::from_secs(12), "{}", said(&ended));
    let summary: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(summary["reason"], "SM-1003", "{}", said(&ended));
    assert!(said(&ended).contains("Still listening?"), "{}", said(&ended));

    let (confirming, begun) = listening(&["--for", "60", "--confirm"]);
    while floor.audited("session_confirmed").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was never confirmed");
        std::thread::sleep(Duration::from_millis(100));
    }
    floor.change("purposes = ", "excluded_agents = [\"4711\"]\npurposes = ");
    let changed = Instant::now();
    service.hang_up();
    let ended = confirming.wait_with_output().expect("ends");
    assert!(changed.elapsed() < Duration::from_secs(5), "{:?}", changed.elapsed());
    let summary: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(summary["reason"], "SM-1001", "{}", said(&ended));
    let stopped = floor.audited("session_stopped");
    let reasons: Vec<_> = stopped.iter().filter_map(|record| record["reason"].as_str()).collect();
    assert!(reasons[0].contains("nobody said that he still listens"), "{reasons:?}");
    assert!(reasons[1].contains("he is excluded from listening"), "{reasons:?}");
    assert_eq!(floor.audited("session_started")[0]["purpose"], "coaching");
}

//! What goes wrong with a source. Sound in progress never stops for it; what recovers says how soon.

use std::time::Duration;

use super::common::{Service, free_address};
use super::heard::assert_heard;
use super::media::{Mirror, Talk, Tone};
use super::stage::{Place, Source, Stage};
use super::together;

const TONES: [Tone; 4] = [300, 500, 700, 900];
const DEVICES: &str = "[devices]\n\"3001\" = \"10.1.1.20\"\n";
/// A call from 4 to 34 s, and the next from 36 to 39 s.
const CALLS: &str = r#"
{"at":0.0,"event":"agent_state","agent":"3001","extension":"3001","state":"available"}
{"at":4.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":4.0,"event":"media_started","agent":"3001","device":"3001","call":"81","address":"10.1.1.20:24678","remote":"10.1.1.99:18000","codec":"PCMU"}
{"at":34.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"connection_cleared"}
{"at":36.0,"event":"call","agent":"3001","device":"3001","call":"82","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":36.0,"event":"media_started","agent":"3001","device":"3001","call":"82","address":"10.1.1.20:24700","remote":"10.1.1.99:18002","codec":"PCMU"}
{"at":39.0,"event":"call","agent":"3001","device":"3001","call":"82","kind":"connection_cleared"}
"#;

fn mirror() -> Mirror {
    let talk = |phone, far, tones, from, to| Talk {
        phone,
        far,
        tones,
        from,
        to,
    };
    Mirror::lasting(42.0)
        .talk(talk("10.1.1.20:24678", "10.1.1.99:18000", [300, 500], 4.0, 34.0))
        .talk(talk("10.1.1.20:24700", "10.1.1.99:18002", [700, 900], 36.0, 39.0))
}

/// Plays the calls with these faults: the whole of both calls is heard without a break, and the link recovers.
fn survives(name: &str, stage: &Stage, agent: &str, faults: &str) {
    stage.record(&mirror());
    let _simulator = stage.simulate(&format!("{CALLS}{faults}"), &[]);
    let service = stage.serve();
    let (heard, summary) = stage.listen(agent, 42).finish(&TONES);
    let outages = outages(&service);
    for (down, seconds) in &outages {
        eprintln!("{name}: back after {seconds:.1} s: {down}");
    }
    assert_heard(&heard[0], &[(300, 30.0), (700, 3.0)], 1.0);
    assert_heard(&heard[1], &[(500, 30.0), (900, 3.0)], 1.0);
    assert!(!outages.is_empty(), "the faults were felt; {summary}");
}

/// Each time the link was down: why, and for how long.
fn outages(service: &Service) -> Vec<(String, f64)> {
    let mut outages = Vec::new();
    let mut down: Option<(String, f64)> = None;
    for line in service.log() {
        if let Some((_, why)) = line.split_once("no events from the CTI source: ") {
            down.get_or_insert_with(|| (why.to_owned(), seconds_of(&line)));
        } else if line.contains("events flow from the CTI source")
            && let Some((why, since)) = down.take()
        {
            outages.push((why, seconds_of(&line) - since));
        }
    }
    outages
}

/// The seconds of the day of a log line that begins with `2026-03-02T09:00:00.123456Z`.
fn seconds_of(line: &str) -> f64 {
    let clock = line.split('T').nth(1).and_then(|rest| rest.split('Z').next());
    let parts = clock
        .unwrap_or_default()
        .split(':')
        .map(|part| part.parse::<f64>().unwrap_or(0.0));
    parts.fold(0.0, |sum, part| sum * 60.0 + part)
}

#[test]
fn sound_goes_on_whatever_happens_to_the_source() {
    together([
        ("cti-server", sound_goes_on_whatever_happens_to_a_cti_server),
        ("csta", sound_goes_on_whatever_happens_to_a_csta_switch),
        ("broadworks", sound_goes_on_whatever_happens_to_broadworks),
    ]);
}

fn sound_goes_on_whatever_happens_to_a_cti_server() {
    let faults = r#"
{"at":7.0,"fault":"down","side":"a","seconds":4,"how":"rst"}
{"at":12.0,"fault":"garbage"}
{"at":17.0,"fault":"half_open"}
{"at":25.0,"fault":"server_offline","side":"b"}
{"at":27.0,"fault":"server_online","side":"b"}
{"at":31.0,"fault":"duplicate","count":3}
{"at":33.0,"fault":"reorder","count":2}
"#;
    let stage = Stage::build(Source::CtiServer, Place::File, "heartbeat = 1", "");
    survives("cti-server", &stage, "3001", faults);
}

fn sound_goes_on_whatever_happens_to_a_csta_switch() {
    let faults = r#"
{"at":7.0,"fault":"down","seconds":3,"how":"rst"}
{"at":13.0,"fault":"garbage"}
{"at":18.0,"fault":"half_open"}
{"at":26.0,"fault":"session_expired"}
{"at":31.0,"fault":"duplicate","count":3}
"#;
    let stage = Stage::build(Source::Csta, Place::File, "heartbeat = 1", DEVICES);
    survives("csta", &stage, "3001", faults);
}

fn sound_goes_on_whatever_happens_to_broadworks() {
    let faults = r#"
{"at":7.0,"fault":"down","side":"a","seconds":4,"how":"rst"}
{"at":13.0,"fault":"subscription_expired","user":"3001"}
{"at":18.0,"fault":"resync","user":"3001"}
{"at":21.0,"fault":"sequence_gap","user":"3001","count":1}
{"at":24.0,"fault":"down","seconds":3,"how":"rst"}
{"at":31.0,"fault":"duplicate","count":3}
"#;
    let stage = Stage::build(Source::BroadWorks, Place::File, "heartbeat = 1\nexpires = 20", DEVICES);
    survives("broadworks", &stage, "3001@example.com", faults);
}

/// A call ends while the link is down: the resynchronisation closes it.
fn closes_a_stuck_call(source: Source, agent: &str, sections: &str) {
    let script = r#"
{"at":0.0,"event":"agent_state","agent":"3001","extension":"3001","state":"available"}
{"at":2.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"established","acd":true}
{"at":5.0,"fault":"down","seconds":3,"how":"rst"}
{"at":6.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"connection_cleared"}
"#;
    let stage = Stage::build(source, Place::File, "heartbeat = 1", sections);
    stage.record(&Mirror::lasting(1.0));
    let _simulator = stage.simulate(script, &[]);
    let service = stage.serve();
    stage.wait_for_agents(|agents| Stage::calls(agents, agent) == Some(1));
    service.wait_for_line(|line| line.contains("no events from the CTI source"));
    service.wait_for_line(|line| line.contains("events flow from the CTI source"));
    let took = stage.wait_for_agents(|agents| Stage::calls(agents, agent) == Some(0));
    eprintln!(
        "{source:?}: the stuck call was closed {:.1} s after the link was back",
        took.as_secs_f64()
    );
    assert!(took < Duration::from_secs(10));
}

#[test]
fn a_call_that_ended_unseen_is_closed_by_a_snapshot() {
    together([
        ("cti-server", || closes_a_stuck_call(Source::CtiServer, "3001", "")),
        ("csta", || closes_a_stuck_call(Source::Csta, "3001", "")),
        ("broadworks", || {
            closes_a_stuck_call(Source::BroadWorks, "3001@example.com", "");
        }),
    ]);
}

const SIGNED_IN: &str = r#"{"at":0.0,"event":"agent_state","agent":"3001","extension":"3001","state":"available"}"#;

#[test]
fn a_refused_version_is_followed_by_a_lower_one() {
    let stage = Stage::build(Source::CtiServer, Place::File, "", "");
    stage.record(&Mirror::lasting(1.0));
    let _simulator = stage.simulate(SIGNED_IN, &["--maximum-version", "19"]);
    let begun = std::time::Instant::now();
    let service = stage.serve();
    service.wait_for_line(|line| line.contains("events flow from the CTI source"));
    eprintln!("version 24 to 19: up after {:.1} s", begun.elapsed().as_secs_f64());
    stage.wait_for_agents(|agents| agents.contains("3001"));
}

#[test]
fn a_wrong_password_is_said_and_ends_nothing_else() {
    let stage = Stage::build(
        Source::CtiServer,
        Place::File,
        "client_id = \"monitor\"\nclient_password = \"wrong\"",
        "",
    );
    stage.record(&Mirror::lasting(1.0));
    std::fs::write(stage.house.path("secret"), "right").expect("writes");
    let secret = stage.house.text("secret");
    let _simulator = stage.simulate(
        SIGNED_IN,
        &["--client-id", "monitor", "--client-password-file", &secret],
    );
    let service = stage.serve();
    let line = service.wait_for_line(|line| line.contains("no events from the CTI source"));
    assert!(line.contains("password"), "{line}");
    assert!(!line.contains("wrong"), "the password itself is not said: {line}");
    assert_eq!(stage.agents().trim(), "[]");
    let (code, _) = service.terminate();
    assert_eq!(code, Some(0));
}

#[test]
fn tls_on_a_plain_port_is_told_from_other_failures() {
    let stage = Stage::build(Source::CtiServer, Place::File, "tls = { ca = \"ca.pem\" }", "");
    stage.record(&Mirror::lasting(1.0));
    let _simulator = stage.simulate(SIGNED_IN, &[]);
    let service = stage.serve();
    let line = service.wait_for_line(|line| line.contains("no events from the CTI source"));
    assert!(line.contains("plain"), "{line}");
}

#[test]
fn a_cti_server_is_spoken_to_over_tls_with_our_certificate() {
    let tls = "tls = { ca = \"ca.pem\", identity = \"gw1.pem\" }";
    let stage = Stage::build(Source::CtiServer, Place::File, tls, "");
    stage.record(&Mirror::lasting(1.0));
    let (identity, ca) = (stage.house.text("simulator.pem"), stage.house.text("ca.pem"));
    let _simulator = stage.simulate(SIGNED_IN, &["--tls-identity", &identity, "--tls-client-ca", &ca]);
    let service = stage.serve();
    service.wait_for_line(|line| line.contains("events flow from the CTI source"));
    stage.wait_for_agents(|agents| agents.contains("3001"));
}

#[test]
fn a_source_that_is_not_there_delays_neither_start_nor_end() {
    let mut stage = Stage::build(Source::Csta, Place::File, "", "");
    stage.sides = vec![free_address()];
    stage.record(&Mirror::lasting(1.0));
    let service = stage.serve();
    service.wait_for_line(|line| line.contains("no events from the CTI source"));
    let (code, took) = service.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

//! A supervisor hears his agent's calls from simulated source to WAV file: hold, consult, the next call, nobody else.

use super::heard::assert_heard;
use super::lab::Lab;
use super::media::{Mirror, Talk, Tone};
use super::stage::{Place, Source, Stage};
use super::together;

const TONES: [Tone; 10] = [300, 500, 400, 600, 700, 900, 1100, 1300, 1700, 1900];
/// From the service's start to an open session.
const START: std::time::Duration = std::time::Duration::from_millis(200);
const FAR: &str = "10.1.1.99:18000";

/// Two agents. The first talks from 5 to 9, holds, consults from 10 to 13, talks again from 14 to 17, and has his next
/// call from 19 to 22; the second talks all the time.
const PLAY: &str = r#"
{"at":0.0,"event":"agent_state","agent":"3001","extension":"3001","name":"Marko Kern","team":"claims","state":"available"}
{"at":0.0,"event":"agent_state","agent":"3002","extension":"3002","name":"Ida Ruiz","team":"claims","state":"available"}
{"at":1.0,"event":"call","agent":"3002","device":"3002","call":"90","kind":"established","acd":true,"calling":"5559876","called":"8001"}
{"at":1.0,"event":"media_started","agent":"3002","device":"3002","call":"90","address":"10.1.1.21:31020","remote":"10.1.1.99:19000","codec":"PCMU"}
{"at":5.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":5.0,"event":"media_started","agent":"3001","device":"3001","call":"81","address":"10.1.1.20:24678","remote":"10.1.1.99:18000","codec":"PCMU"}
{"at":9.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"held"}
{"at":10.0,"event":"call","agent":"3001","device":"3001","call":"82","kind":"established","calling":"3001","called":"3900"}
{"at":10.0,"event":"media_started","agent":"3001","device":"3001","call":"82","address":"10.1.1.20:24700","remote":"10.1.1.99:18002","codec":"PCMU"}
{"at":13.0,"event":"call","agent":"3001","device":"3001","call":"82","kind":"connection_cleared"}
{"at":14.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"retrieved"}
{"at":17.0,"event":"call","agent":"3001","device":"3001","call":"81","kind":"connection_cleared"}
{"at":19.0,"event":"call","agent":"3001","device":"3001","call":"83","kind":"established","acd":true,"calling":"5555678","called":"8001"}
{"at":19.0,"event":"media_started","agent":"3001","device":"3001","call":"83","address":"10.1.1.20:24720","remote":"10.1.1.99:18004","codec":"PCMU"}
{"at":22.0,"event":"call","agent":"3001","device":"3001","call":"83","kind":"connection_cleared"}
"#;

fn talk(phone: &'static str, far: &'static str, tones: [Tone; 2], from: f64, to: f64) -> Talk {
    Talk {
        phone,
        far,
        tones,
        from,
        to,
    }
}

/// Media as phones send them: none while a call is held.
fn phones() -> Mirror {
    Mirror::lasting(26.0)
        .talk(talk("10.1.1.21:31020", "10.1.1.99:19000", [1700, 1900], 1.0, 25.0))
        .talk(talk("10.1.1.20:24678", FAR, [300, 500], 5.0, 9.0))
        .talk(talk("10.1.1.20:24700", "10.1.1.99:18002", [700, 900], 10.0, 13.0))
        .talk(talk("10.1.1.20:24678", FAR, [400, 600], 14.0, 17.0))
        .talk(talk("10.1.1.20:24720", "10.1.1.99:18004", [1100, 1300], 19.0, 22.0))
}

/// Plays it and compares what both sides of the relay say was heard.
fn follows(stage: &Stage, mirror: &Mirror, agent: &str) {
    stage.record(mirror);
    let _simulator = stage.simulate(PLAY, &[]);
    // The script begins when the service is connected, which is a moment after its start.
    let begun = std::time::SystemTime::now() + START;
    let _service = stage.serve();
    let _sender = stage.send(begun);
    let (heard, summary) = stage.listen(agent, 26).finish(&TONES);
    assert_heard(&heard[0], &[(300, 4.0), (700, 3.0), (400, 3.0), (1100, 3.0)], 0.8);
    assert_heard(&heard[1], &[(500, 4.0), (900, 3.0), (600, 3.0), (1300, 3.0)], 0.8);
    eprintln!("{agent}: {:?}; calls {}", heard[0], summary["calls"]);
    assert_eq!(summary["calls"].as_array().map(Vec::len), Some(3), "{summary}");
}

const DEVICES: &str = "[devices]\n\"3001\" = \"10.1.1.20\"\n\"3002\" = \"10.1.1.21\"\n";

#[test]
fn agents_are_followed_from_call_to_call_on_a_recorded_mirror() {
    together([
        ("cti-server", an_agent_of_a_cti_server_is_followed_from_call_to_call),
        ("csta", an_agent_of_a_csta_switch_is_followed_by_the_device_map),
        ("broadworks", a_user_of_broadworks_is_followed_by_the_device_map),
    ]);
}

#[test]
fn agents_are_followed_from_call_to_call_on_a_real_interface() {
    together([
        ("cti-server", an_agent_of_a_cti_server_is_followed_on_a_real_interface),
        ("csta", an_agent_of_a_csta_switch_is_followed_on_a_real_interface_by_sip),
        ("broadworks", a_user_of_broadworks_is_followed_on_a_real_interface),
    ]);
}

fn an_agent_of_a_cti_server_is_followed_from_call_to_call() {
    // The agent's phone goes on sending while a call is held: the RTP events alone say what may be heard.
    let mirror = phones()
        .talk(talk("10.1.1.20:24678", "10.1.1.99:18008", [1700, 1900], 9.5, 13.5))
        .talk(talk("10.1.1.20:24740", "10.1.1.99:18010", [1700, 1900], 0.0, 25.0));
    follows(&Stage::build(Source::CtiServer, Place::File, "", ""), &mirror, "3001");
}

fn an_agent_of_a_csta_switch_is_followed_by_the_device_map() {
    follows(&Stage::build(Source::Csta, Place::File, "", DEVICES), &phones(), "3001");
}

fn a_user_of_broadworks_is_followed_by_the_device_map() {
    follows(
        &Stage::build(Source::BroadWorks, Place::File, "", DEVICES),
        &phones(),
        "3001@example.com",
    );
}

fn an_agent_of_a_cti_server_is_followed_on_a_real_interface() {
    let Some(lab) = Lab::build() else { return };
    follows(
        &Stage::build(Source::CtiServer, Place::Lab(lab), "", ""),
        &phones(),
        "3001",
    );
}

fn an_agent_of_a_csta_switch_is_followed_on_a_real_interface_by_sip() {
    let Some(lab) = Lab::build() else { return };
    let mirror = super::dialogs::with_sip(phones());
    follows(&Stage::build(Source::Csta, Place::Lab(lab), "", ""), &mirror, "3001");
}

fn a_user_of_broadworks_is_followed_on_a_real_interface() {
    let Some(lab) = Lab::build() else { return };
    let stage = Stage::build(Source::BroadWorks, Place::Lab(lab), "", DEVICES);
    follows(&stage, &phones(), "3001@example.com");
}

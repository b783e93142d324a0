//! The main job on a real network interface: frames in a mirror, the capture service, the relay, `listen`. What is heard
//! must be, sample for sample, the exact decode of what was sent. Needs root for network namespaces.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;
mod keeping_time;
mod lab;
mod least_privilege;
mod memory;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::punctual::on_a_machine_that_keeps_time;
use common::{House, common_run, interrupt, said, wav_channels};
use lab::{Lab, Running};

const RATE: usize = 8000;
const AGENT: &str = "0x441bc0cf";
const CUSTOMER: &str = "0x7a31d0e4";
const SECOND_AGENT: &str = "0x1f00aa21";
const SECOND_CUSTOMER: &str = "0x2b00cc43";

/// The bare decode of one stream of a capture file.
fn exact(house: &House, capture: &Path, ssrc: &str) -> Vec<i16> {
    let wav = house.text(&format!("exact-{ssrc}.wav"));
    let capture = capture.to_str().expect("a UTF-8 path");
    let output = common::run(&["replay", capture, "--stream", ssrc, "--exact", "--wav", &wav]);
    assert!(output.status.success(), "{}", said(&output));
    wav_channels(wav.as_ref()).remove(0)
}

/// A supervisor that listens in the background, into a WAV file, until he has heard enough: on a slow machine everything
/// takes longer, and what has to be heard doesn't change.
struct Listener {
    child: Child,
    wav: String,
}

impl Listener {
    fn start(lab: &Lab, command: &Command, wav: String) -> Self {
        let mut command = lab.inside(command);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("listen starts");
        Self { child, wav }
    }

    /// Seconds of sound in the file so far.
    fn heard(&self) -> f64 {
        let samples = if Path::new(&self.wav).exists() {
            wav_channels(self.wav.as_ref())[0].len()
        } else {
            0
        };
        samples as f64 / RATE as f64
    }

    /// Listens until the file holds so many seconds of sound: both channels and the JSON summary.
    fn finish_at(mut self, seconds: f64) -> (Vec<Vec<i16>>, serde_json::Value) {
        while self.heard() < seconds && self.child.try_wait().expect("it can be asked").is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        interrupt(&self.child);
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output));
        let summary = serde_json::from_slice(&output.stdout).expect("a JSON summary");
        (wav_channels(self.wav.as_ref()), summary)
    }

    /// Listens until everything that was sent until now has been heard.
    fn finish(self) -> (Vec<Vec<i16>>, serde_json::Value) {
        let seconds = self.heard() + f64::from(PATIENCE_MS) / 1000.0 + 1.5;
        self.finish_at(seconds)
    }
}

/// How long the listeners' packets wait. It is the longest there is, so that a machine that stands still for a while, as
/// a busy one with a few other guests does, delays what is heard and takes nothing from it.
const PATIENCE_MS: u32 = 2000;
/// A standstill that these tests bear.
const BEARS: Duration = Duration::from_millis(500);

/// Listens, at the longest for as long as a test may take.
fn listen(lab: &Lab, house: &House, who: &str, agent: &str, server: std::net::SocketAddr) -> Listener {
    let wav = house.text(&format!("{who}.wav"));
    // What an earlier session left would be taken for this one's.
    let _ = std::fs::remove_file(&wav);
    let (output, delay) = (format!("wav:{wav}"), PATIENCE_MS.to_string());
    let more = ["--output", &output, "--min-delay-ms", &delay, "--for", "120"];
    let command = house.listen(who, agent, server, &more);
    Listener::start(lab, &command, wav)
}

/// That the whole of the call was heard; else says whether its begin, its end or both are missing.
fn assert_whole(heard: &[i16], exact: &[i16], whose: &str, summary: &serde_json::Value) {
    let (begin, length) = common_run(heard, exact);
    let run = &heard[begin..begin + length];
    let ends = (exact.starts_with(run), exact.ends_with(run));
    assert_eq!(
        length,
        exact.len(),
        "{whose}: begin and end heard: {ends:?}; from sample {begin} of the WAV; {summary}"
    );
}

/// `common_run`, where the voice is loud enough in this stretch of the call to find its place.
fn voice_run(heard: &[i16], exact: &[i16]) -> Option<(usize, usize)> {
    let loud = heard
        .iter()
        .skip(heard.len() / 3)
        .filter(|sample| sample.unsigned_abs() > 500)
        .count();
    (loud > RATE / 2).then(|| common_run(heard, exact))
}

fn assert_nothing_lost(summary: &serde_json::Value) {
    for leg in ["agent", "customer"] {
        for count in [
            "lost_in_call",
            "lost_in_mirror",
            "lost_on_relay",
            "late",
            "concealed_ms",
        ] {
            assert_eq!(summary["legs"][leg][count], 0, "{leg} {count}: {summary}");
        }
    }
}

/// Plays a variant of the call past a listening supervisor. From the first packet on, for as long as he listens, each leg
/// must be the exact decode without a break.
fn hears_the_exact_decode_through(name: &str) {
    on_a_machine_that_keeps_time(BEARS, || hears_the_exact_decode(name));
}

fn hears_the_exact_decode(name: &str) {
    let Some(lab) = Lab::build() else { return };
    let house = House::build();
    let capture = lab::media(&house, name, "81");
    let server = lab::configure(&house, "recording = \"allowed\"");
    let _service = lab.serve(&house);
    let listener = listen(&lab, &house, "anna", "4711", server);
    lab::wait_for_sessions(&house, 1);
    let mirror = lab.play(&capture);
    let (heard, summary) = listener.finish_at(12.0);
    drop(mirror);

    assert_eq!(heard.len(), 2, "agent left, customer right");
    for (heard, ssrc) in heard.iter().zip([AGENT, CUSTOMER]) {
        let exact = exact(&house, &capture, ssrc);
        let (begin, length) = common_run(heard, &exact);
        let after = heard.len() - begin - length;
        eprintln!(
            "{name} {ssrc}: {length} of {} samples identical, from sample {begin} of the WAV",
            exact.len()
        );
        assert!(length >= 8 * RATE, "{ssrc}: only {length} samples are identical");
        let whole = length == exact.len();
        assert!(
            whole || after < RATE / 2,
            "{ssrc}: it differs {after} samples before the end"
        );
        assert!(
            heard[..begin].iter().all(|&sample| sample == 0),
            "{ssrc}: silence until the first packet"
        );
    }
    assert_nothing_lost(&summary);
}

#[test]
fn every_sample_of_a_whole_tagged_call_is_heard() {
    on_a_machine_that_keeps_time(BEARS, hears_every_sample);
}

fn hears_every_sample() {
    let Some(lab) = Lab::build() else { return };
    let house = House::build();
    let capture = lab::media(&house, "vlan", "81");
    let server = lab::configure(&house, "recording = \"allowed\"");
    let _service = lab.serve(&house);
    let listener = listen(&lab, &house, "anna", "4711", server);
    lab::wait_for_sessions(&house, 1);
    lab.play(&capture).finish();
    let (heard, summary) = listener.finish();
    for (heard, ssrc) in heard.iter().zip([AGENT, CUSTOMER]) {
        let exact = exact(&house, &capture, ssrc);
        assert_eq!(exact.len(), 24 * RATE);
        assert_whole(heard, &exact, ssrc, &summary);
    }
    for leg in ["agent", "customer"] {
        assert_eq!(summary["legs"][leg]["received"], 1200, "{summary}");
    }
    assert_nothing_lost(&summary);
}

#[test]
fn a_call_with_two_tags_is_heard_exactly() {
    hears_the_exact_decode_through("qinq");
}

#[test]
fn a_call_with_a_priority_tag_is_heard_exactly() {
    hears_the_exact_decode_through("vid0");
}

#[test]
fn a_call_without_tag_is_heard_exactly() {
    hears_the_exact_decode_through("untagged");
}

#[test]
fn a_call_in_an_erspan_tunnel_is_heard_exactly() {
    hears_the_exact_decode_through("erspan2");
}

#[test]
fn supervisors_who_come_and_go_cost_the_first_one_no_packet() {
    on_a_machine_that_keeps_time(BEARS, others_come_and_go);
}

fn others_come_and_go() {
    let Some(lab) = Lab::build() else { return };
    let house = House::build();
    let [capture, other] = ["81", "82"].map(|call| lab::media(&house, "two-calls", call));
    let server = lab::configure(&house, "recording = \"allowed\"");
    let _service = lab.serve(&house);
    let first = listen(&lab, &house, "anna", "4711", server);
    lab::wait_for_sessions(&house, 1);
    let mirror = lab.play(&capture);
    std::thread::sleep(Duration::from_secs(2));
    // The second agent's phone joins and leaves the kernel filter three times while the first call runs.
    for round in 0..3 {
        let other_mirror = lab.play(&other);
        let second = listen(&lab, &house, "bert", "4712", server);
        lab::wait_for_sessions(&house, 2 + round);
        let (heard, summary) = second.finish_at(5.5);
        drop(other_mirror);
        for (heard, ssrc) in heard.iter().zip([SECOND_AGENT, SECOND_CUSTOMER]) {
            let Some((begin, length)) = voice_run(heard, &exact(&house, &other, ssrc)) else {
                continue;
            };
            assert!(length > 2 * RATE, "{ssrc}: {length} samples identical; {summary}");
            let (before, after) = (&heard[..begin], heard.len() - begin - length);
            assert!(
                before.iter().all(|&sample| sample == 0) && after < RATE,
                "{ssrc}: from sample {begin} of the WAV {length} are identical, {after} follow; {summary}"
            );
        }
    }
    mirror.finish();
    let (heard, summary) = first.finish();
    for (heard, ssrc) in heard.iter().zip([AGENT, CUSTOMER]) {
        assert_whole(heard, &exact(&house, &capture, ssrc), ssrc, &summary);
    }
    assert_nothing_lost(&summary);
}

/// What a standard receiver needs to know of one leg (RFC 8866).
fn session_description(port: u16) -> String {
    format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=leg\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
    )
}

fn receive_with_ffmpeg(lab: &Lab, house: &House, leg: &str, port: u16) -> Running {
    std::fs::write(house.path(&format!("{leg}.sdp")), session_description(port)).expect("writes");
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-loglevel",
        "error",
        "-protocol_whitelist",
        "file,udp,rtp",
        "-i",
    ]);
    command
        .arg(house.path(&format!("{leg}.sdp")))
        .args(["-t", "9", "-y"])
        .arg(house.path(&format!("ffmpeg-{leg}.wav")));
    Running::start(lab.inside(&command))
}

/// The DSCPs of the packets that tshark finds by a display filter, each once.
fn dscps(capture: &Path, filter: &str) -> Vec<String> {
    let fields = ["-T", "fields", "-e", "ip.dsfield.dscp"];
    let output = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(["-Y", filter])
        .args(fields)
        .output()
        .expect("tshark runs");
    let mut found: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_standard_receiver_plays_the_plain_rtp_and_voice_is_marked_ef() {
    let Some(lab) = Lab::build() else { return };
    if let Err(reason) = lab::require("ffmpeg", "-version").and_then(|()| lab::require("tshark", "--version")) {
        eprintln!("skipped: {reason}");
        return;
    }
    let house = House::build();
    let capture = lab::media(&house, "vlan", "81");
    let server = lab::configure(&house, "recording = \"allowed\"\nrtp_receivers = [\"127.0.0.1\"]");
    let _service = lab.serve(&house);
    let wire = house.path("wire.pcap");
    let mut sniffer = Command::new("tcpdump");
    sniffer.args(["-i", "lo", "-U", "-w"]).arg(&wire).arg("udp");
    let sniffer = Running::start(lab.inside(&sniffer));
    let receivers = [
        receive_with_ffmpeg(&lab, &house, "agent", 39200),
        receive_with_ffmpeg(&lab, &house, "customer", 39202),
    ];
    let command = house.listen(
        "anna",
        "4711",
        server,
        &["--output", "rtp:127.0.0.1:39200", "--for", "14"],
    );
    let mut forwarding = lab
        .inside(&command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("listen starts");
    lab::wait_for_sessions(&house, 1);
    let mirror = lab.play(&capture);
    receivers.into_iter().for_each(Running::finish);
    drop(mirror);
    let _ = forwarding.kill();
    let _ = forwarding.wait();
    sniffer.interrupt();

    for (leg, ssrc) in [("agent", AGENT), ("customer", CUSTOMER)] {
        let heard = wav_channels(&house.path(&format!("ffmpeg-{leg}.wav"))).remove(0);
        let (begin, length) = common_run(&heard, &exact(&house, &capture, ssrc));
        assert!(
            length > 7 * RATE,
            "{leg}: {length} samples identical from sample {begin} of what ffmpeg wrote"
        );
    }
    for port in [39200, 39202] {
        assert_eq!(dscps(&wire, &format!("udp.dstport == {port}")), ["46"], "port {port}");
    }
}

#[test]
fn the_relay_marks_voice_ef_on_the_wire() {
    let Some(lab) = Lab::build() else { return };
    if let Err(reason) = lab::require("tshark", "--version").and_then(|()| lab::require("tcpdump", "--version")) {
        eprintln!("skipped: {reason}");
        return;
    }
    let house = House::build();
    let capture = lab::media(&house, "vlan", "81");
    let server = lab::configure(&house, "");
    let _service = lab.serve(&house);
    let wire = house.path("wire.pcap");
    let mut sniffer = Command::new("tcpdump");
    sniffer.args(["-i", "lo", "-U", "-w"]).arg(&wire).arg("udp");
    let sniffer = Running::start(lab.inside(&sniffer));
    let command = house.listen("anna", "4711", server, &["--output", "null", "--for", "5"]);
    let mut listener = lab
        .inside(&command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("listen starts");
    lab::wait_for_sessions(&house, 1);
    let _mirror = lab.play(&capture);
    assert!(listener.wait().expect("it ends").success());
    sniffer.interrupt();
    // Packets of a voice datagram's size from the server: 12 + 160 octets of RTP and more around it.
    let voice = format!(
        "udp.srcport == {} and udp.length > 190 and udp.length < 300",
        server.port()
    );
    assert!(
        dscps(&wire, &voice).contains(&"46".to_owned()),
        "{:?}",
        dscps(&wire, &voice)
    );
}

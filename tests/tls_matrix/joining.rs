//! A server and a supervisor join by one command each: tokens, and the authority's service. Then sound flows.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::common::{House, fixture, run, said, silentmon};

const EVENTS: &str = include_str!("../fixtures/call.events.jsonl");

struct Authority(Child);

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn must(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_server_and_a_supervisor_join_by_one_command_each_and_sound_flows() {
    let house = House::empty();
    std::fs::write(house.path("password"), "correct horse").expect("writes");
    let (root, ca, password) = (house.text("root"), house.text("ca"), house.text("password"));
    must(&["certs", "init-ca", "--out", &root, "--password-file", &password]);
    let below = ["certs", "init-ca", "--out", &ca, "--intermediate-of", &root];
    must(
        &[
            &below[..],
            &["--password-file", &password, "--issuer-password-file", &password],
        ]
        .concat(),
    );
    let token = |role: &[&str]| must(&[&["certs", "token", "--ca", &ca], role].concat());
    let gw1 = token(&["--role", "capture", "--name", "gw1", "--host", "127.0.0.1"]);
    let anna = token(&["--role", "supervisor", "--name", "anna"]);

    let serve = [
        "certs",
        "serve",
        "--ca",
        &ca,
        "--listen",
        "127.0.0.1:0",
        "--for",
        "60s",
        "--password-file",
        &password,
    ];
    let mut authority = Authority(silentmon().args(serve).stdout(Stdio::piped()).spawn().expect("runs"));
    let mut lines = BufReader::new(authority.0.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok);
    let first = lines.next().expect("a line");
    let address = first.strip_prefix("listening on ").expect("an address").to_owned();
    // All files end up in the folder that the configuration of the test names.
    let enrol = |token: &str| {
        must(&[
            "certs",
            "enrol",
            "--server",
            &address,
            "--token",
            token,
            "--out",
            &house.text("."),
        ])
    };
    assert!(enrol(&gw1).contains("capture gw1 for 127.0.0.1, until "));
    enrol(&anna);
    assert!(authority.0.wait().expect("ends").success(), "no token is left");
    let log: Vec<_> = lines.collect();
    assert!(
        log[0].starts_with("capture gw1 at 127.0.0.1 was enrolled, serial "),
        "{log:?}"
    );

    let call = fixture("call.pcap.gz");
    let source = format!("{{ file = '{}', pace = \"real\", loop = true }}", call.display());
    let server = house.configure(&source, EVENTS, "");
    let text = std::fs::read_to_string(house.path("capture.toml")).expect("reads");
    let text = text.replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncrl = \"crl.pem\"");
    std::fs::write(house.path("capture.toml"), text).expect("writes");
    let _service = house.start();
    let crl = house.text("crl.pem");
    let heard = house
        .listen(
            "anna",
            "4711",
            server,
            &["--crl", &crl, "--output", "null", "--for", "2"],
        )
        .output();
    let heard = heard.expect("runs");
    assert!(
        heard.status.success() && said(&heard).contains("SM-0000"),
        "{}",
        said(&heard)
    );
}

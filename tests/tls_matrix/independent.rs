//! Programs that share no TLS with this one, `openssl s_client` and `curl`, against the HTTPS door: they agree about chains,
//! revocation lists, roles and versions.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::chain::Server;
use crate::common::said;
use crate::pki::{Flaw, Pki};

const REQUEST: &str = "GET /v1/diagnosis HTTP/1.1\r\nHost: gw1\r\nConnection: close\r\n\r\n";

/// Whether a program is there; says so where it isn't.
fn is_installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("skipped: no {program}");
    }
    found
}

/// The root with all revocation lists, as openssl wants them: in one file.
fn trusted(pki: &Pki) -> String {
    let parts = ["root.pem", "all.crl"].map(|name| std::fs::read_to_string(pki.path(name)).expect("there"));
    pki.write("trusted.pem", &parts.concat());
    text(&pki.path("trusted.pem"))
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn s_client(pki: &Pki, server: &Server, identity: Option<&Path>) -> Command {
    let mut command = Command::new("openssl");
    let (to, trusted) = (server.address.to_string(), trusted(pki));
    command.args([
        "s_client",
        "-connect",
        &to,
        "-CAfile",
        &trusted,
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
    ]);
    command.args(["-crl_check_all", "-x509_strict"]);
    if let Some(identity) = identity {
        let file = text(identity);
        command.args(["-cert", &file, "-key", &file, "-cert_chain", &file]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Asks and hangs up.
fn asked(mut command: Command) -> String {
    let mut child = command.arg("-quiet").spawn().expect("runs");
    // A program that was refused has closed its end.
    let _ = child.stdin.take().expect("a pipe").write_all(REQUEST.as_bytes());
    said(&child.wait_with_output().expect("ends"))
}

#[test]
fn openssl_agrees_about_chains_lists_roles_and_versions() {
    if !is_installed("openssl") {
        return;
    }
    let pki = Pki::new();
    let server = Server::start(&pki, &pki.issue("capture", Flaw::None), "all.crl");
    let with = |flaw| asked(s_client(&pki, &server, Some(&pki.issue("supervisor", flaw))));
    let good = with(Flaw::None);
    assert!(good.contains("200 OK"), "{good}");
    assert!(asked(s_client(&pki, &server, None)).contains("401 Unauthorized"));
    for (flaw, alert) in [
        (Flaw::Expired, "alert number 45"),
        (Flaw::NotYetValid, "alert number 45"),
        (Flaw::WrongAuthority, "alert number 48"),
        (Flaw::Revoked, "alert number 44"),
        (Flaw::IssuerRevoked, "alert number 44"),
        (Flaw::SelfSigned, "alert number 48"),
    ] {
        let refused = with(flaw);
        assert!(
            refused.contains(alert) && !refused.contains("HTTP/1.1"),
            "{flaw:?}: {refused}"
        );
    }
    let wrong_role = with(Flaw::WrongRole);
    assert!(wrong_role.contains("403 Forbidden"), "{wrong_role}");
    let mut old = s_client(&pki, &server, Some(&pki.issue("supervisor", Flaw::None)));
    old.arg("-tls1_2");
    let old = asked(old);
    assert!(old.contains("alert number 70") && !old.contains("HTTP/1.1"), "{old}");

    for (flaw, words) in [
        (Flaw::Revoked, "certificate revoked"),
        (Flaw::IssuerRevoked, "certificate revoked"),
        (Flaw::Expired, "certificate has expired"),
        (Flaw::WrongName, "IP address mismatch"),
    ] {
        let server = Server::start(&pki, &pki.issue("capture", flaw), "all.crl");
        let refused = asked(s_client(&pki, &server, None));
        assert!(
            refused.contains(words) && !refused.contains("HTTP/1.1"),
            "{flaw:?}: {refused}"
        );
    }
}

#[test]
fn keys_are_replaced_in_mid_connection_when_openssl_asks() {
    if !is_installed("openssl") {
        return;
    }
    let pki = Pki::new();
    let server = Server::start(&pki, &pki.issue("capture", Flaw::None), "all.crl");
    let mut child = s_client(&pki, &server, Some(&pki.issue("supervisor", Flaw::None)))
        .spawn()
        .expect("runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let (sender, lines) = mpsc::channel();
    for pipe in [
        Box::new(child.stdout.take().expect("a pipe")) as Box<dyn Read + Send>,
        Box::new(child.stderr.take().expect("a pipe")),
    ] {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    let wait_for = |wanted: &str| loop {
        let line = lines
            .recv_timeout(Duration::from_secs(10))
            .unwrap_or_else(|_| panic!("{wanted} never came"));
        if line.contains(wanted) {
            return;
        }
    };
    wait_for("Verification: OK");
    wait_for("---");
    // A command of s_client: sends KeyUpdate and asks for one (RFC 8446 section 4.6.3).
    stdin.write_all(b"K\n").expect("written");
    wait_for("KEYUPDATE");
    stdin.write_all(REQUEST.as_bytes()).expect("written");
    wait_for("200 OK");
    drop(stdin);
    let _ = child.kill();
    let _ = child.wait();
}

fn curl(pki: &Pki, server: &Server, identity: Option<&Path>, more: &[&str]) -> Output {
    let mut command = Command::new("curl");
    let (ca, lists) = (text(&pki.path("root.pem")), text(&pki.path("all.crl")));
    command.args([
        "--silent",
        "--show-error",
        "--include",
        "--max-time",
        "10",
        "--cacert",
        &ca,
        "--crlfile",
        &lists,
    ]);
    if let Some(identity) = identity {
        command.args(["--cert", &text(identity), "--key", &text(identity)]);
    }
    command
        .args(more)
        .arg(format!("https://{}/v1/diagnosis", server.address));
    command.output().expect("runs")
}

#[test]
fn curl_agrees_too() {
    if !is_installed("curl") {
        return;
    }
    let pki = Pki::new();
    let server = Server::start(&pki, &pki.issue("capture", Flaw::None), "all.crl");
    let anna = pki.issue("supervisor", Flaw::None);
    let good = curl(&pki, &server, Some(&anna), &[]);
    assert!(
        good.status.success() && said(&good).contains("200 OK"),
        "{}",
        said(&good)
    );
    let unknown = curl(&pki, &server, None, &[]);
    assert!(said(&unknown).contains("401 Unauthorized"), "{}", said(&unknown));
    let revoked = curl(&pki, &server, Some(&pki.issue("supervisor", Flaw::Revoked)), &[]);
    assert!(
        !revoked.status.success() && !said(&revoked).contains("HTTP/1.1"),
        "{}",
        said(&revoked)
    );
    let old = curl(&pki, &server, Some(&anna), &["--tls-max", "1.2"]);
    assert!(
        !old.status.success() && !said(&old).contains("HTTP/1.1"),
        "{}",
        said(&old)
    );
    for flaw in [Flaw::Revoked, Flaw::IssuerRevoked, Flaw::Expired, Flaw::WrongAuthority] {
        let server = Server::start(&pki, &pki.issue("capture", flaw), "all.crl");
        let refused = curl(&pki, &server, Some(&anna), &[]);
        // 60: the server's certificate isn't accepted.
        assert_eq!(refused.status.code(), Some(60), "{flaw:?}: {}", said(&refused));
    }
}

//! Certificates, authorities and lists that change while somebody listens: nobody restarts the service.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::chain::{Server, listener};
use crate::common::silentmon;
use crate::pki::{Flaw, Pki};

/// Longest time from a list that names somebody to the end of his sound.
const SOON: Duration = Duration::from_secs(5);

/// Somebody who listens for a minute, if he may.
struct Ear(Child);

impl Ear {
    fn open(pki: &Pki, server: &Server, flaw: Flaw) -> Self {
        let identity = pki.issue("supervisor", flaw);
        Self::start(listener(pki, &identity, "early.crl", server.address, "60"))
    }

    /// Somebody good, who believes these lists.
    fn believing(pki: &Pki, server: &Server, lists: &str, seconds: &str) -> Self {
        let identity = pki.issue("supervisor", Flaw::None);
        Self::start(listener(pki, &identity, lists, server.address, seconds))
    }

    fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(child.expect("runs"))
    }

    /// Waits for the end and gives back everything said.
    fn end(mut self) -> String {
        self.0.wait().expect("ends");
        let mut said = String::new();
        let _ = self.0.stdout.take().expect("a pipe").read_to_string(&mut said);
        let _ = self.0.stderr.take().expect("a pipe").read_to_string(&mut said);
        said
    }

    fn listens(&mut self) -> bool {
        self.0.try_wait().expect("known").is_none()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn journal(&self) -> String {
        std::fs::read_to_string(self.house.path("audit.jsonl")).expect("a journal")
    }

    /// Waits until the journal has so many lines with all these words.
    fn wait_for_records(&self, words: &[&str], count: usize) {
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until {
            let journal = self.journal();
            let found = journal
                .lines()
                .filter(|line| words.iter().all(|word| line.contains(word)));
            if found.count() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{count} records with {words:?} never came: {}", self.journal());
    }
}

fn replace(pki: &Pki, from: &Path, to: &str) {
    // As careful operators do: whole or not at all.
    std::fs::copy(from, pki.path("part")).expect("copied");
    std::fs::rename(pki.path("part"), pki.path(to)).expect("renamed");
}

#[test]
fn a_revoked_supervisor_hears_nothing_more_within_five_seconds() {
    let pki = Pki::new();
    let server = Server::start(&pki, &pki.issue("capture", Flaw::None), "early.crl");
    let revoked = Ear::open(&pki, &server, Flaw::Revoked);
    let of_revoked_issuer = Ear::open(&pki, &server, Flaw::IssuerRevoked);
    let mut good = Ear::open(&pki, &server, Flaw::None);
    server.wait_for_records(&["session_started"], 3);

    let begun = Instant::now();
    replace(&pki, &pki.path("all.crl"), "early.crl");
    for ear in [revoked, of_revoked_issuer] {
        let said = ear.end();
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
        assert!(said.contains("SM-2002"), "{said}");
    }
    for (who, sentence) in [
        ("supervisor-Revoked", "SM-2002 Your certificate has been revoked."),
        (
            "supervisor-IssuerRevoked",
            "SM-2002 The authority that issued your certificate has been revoked.",
        ),
    ] {
        server.wait_for_records(&["session_stopped", who, sentence], 1);
        server.wait_for_records(&["connection_withdrawn", who, sentence], 1);
    }
    server.wait_for_records(&["certificates_changed", "\"revoked\":2"], 1);
    assert!(good.listens(), "others go on");
    let stopped = server
        .journal()
        .lines()
        .filter(|line| line.contains("session_stopped"))
        .count();
    assert_eq!(stopped, 2);
}

#[test]
fn a_certificate_that_expires_in_mid_session_ends_it() {
    let pki = Pki::new();
    let server = Server::start(&pki, &pki.issue("capture", Flaw::None), "early.crl");
    let ear = Ear::open(&pki, &server, Flaw::SoonOver);
    server.wait_for_records(&["session_started"], 1);
    let begun = Instant::now();
    let said = ear.end();
    assert!(
        begun.elapsed() < SOON + Duration::from_secs(2),
        "it took {:?}",
        begun.elapsed()
    );
    assert!(said.contains("SM-2002"), "{said}");
    server.wait_for_records(
        &[
            "session_stopped",
            "supervisor-SoonOver",
            "SM-2002 Your certificate expired on",
        ],
        1,
    );
}

#[test]
fn both_sides_part_when_a_date_passes_while_they_are_connected() {
    let pki = Pki::new();
    let lasting = pki.issue("capture", Flaw::None);
    let short = Server::start(&pki, &pki.issue("capture", Flaw::SoonOver), "early.crl");
    let good = Server::start(&pki, &lasting, "early.crl");
    let strict = Server::start(&pki, &lasting, "soon.crl");
    let ears = [
        (&short, "early.crl", "its certificate expired on 20"),
        (&good, "soon.crl", "the revocation list was to be replaced by 20"),
        (&strict, "early.crl", "SM-2002"),
    ]
    .map(|(server, lists, sentence)| {
        let ear = Ear::believing(&pki, server, lists, "7");
        server.wait_for_records(&["session_started"], 1);
        (ear, sentence)
    });
    for (ear, sentence) in ears {
        let said = ear.end();
        assert!(said.contains(sentence), "{sentence}: {said}");
        let summary = said
            .lines()
            .find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let heard = summary.and_then(|summary| summary["audible_s"].as_f64());
        assert!(heard.is_none_or(|seconds| seconds < 6.5), "{sentence}: {said}");
    }
    strict.wait_for_records(
        &["session_stopped", "SM-2002 The revocation list was to be replaced by"],
        1,
    );
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart_and_a_bad_one_is_not() {
    let pki = Pki::new();
    let identity = pki.issue("capture", Flaw::None);
    replace(&pki, &identity, "gw1.pem");
    let server = Server::start(&pki, &pki.path("gw1.pem"), "early.crl");
    let mut ear = Ear::open(&pki, &server, Flaw::None);
    server.wait_for_records(&["session_started"], 1);

    std::fs::write(pki.path("part"), "nonsense").expect("written");
    std::fs::rename(pki.path("part"), pki.path("gw1.pem")).expect("renamed");
    let complaint = server.service.wait_for_line(|line| line.contains("stay as they were"));
    assert!(complaint.contains("gw1.pem: expected a certificate"), "{complaint}");
    assert_eq!(server.journal().matches("certificates_changed").count(), 0);
    let who = |server: &Server| {
        let output = listener(
            &pki,
            &pki.issue("supervisor", Flaw::None),
            "early.crl",
            server.address,
            "1",
        )
        .output();
        output.expect("runs").status.success()
    };
    assert!(who(&server), "the old one is in use");

    // A certificate that only the test can tell from the old one.
    replace(&pki, &pki.issue("capture", Flaw::None), "gw1.pem");
    server.wait_for_records(&["certificates_changed", "\"revoked\":0"], 1);
    assert!(who(&server), "the new one is in use");
    server.service.hang_up();
    server.wait_for_records(&["certificates_changed"], 2);
    assert!(ear.listens(), "sessions go on");
    let page = server.metrics();
    let days = page
        .lines()
        .find(|line| line.contains("certificate_days_left") && line.contains("what=\"certificate\""));
    assert!(days.is_some_and(|line| line.contains("} 59.9")), "{days:?}");
}

#[test]
fn who_is_not_trusted_any_more_is_sent_away_and_what_soon_ends_is_said_at_the_start() {
    let pki = Pki::new();
    let server = Server::start(&pki, &pki.issue("capture", Flaw::SoonOver), "early.crl");
    let checked = silentmon()
        .args(["config", "check", &server.house.text("capture.toml")])
        .output()
        .expect("runs");
    let notes = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(notes.contains("capture-SoonOver.pem expire"), "{notes}");
    // The lists end: nobody can be told from somebody revoked.
    let ear = Ear::open(&pki, &server, Flaw::None);
    server.wait_for_records(&["session_started"], 1);
    replace(&pki, &pki.path("stale.crl"), "early.crl");
    // A bad list would keep the old one in use; one that is too old is good to read, and lets nobody in.
    let said = ear.end();
    assert!(said.contains("SM-2002"), "{said}");
    server.wait_for_records(
        &["session_stopped", "SM-2002 The revocation list was to be replaced by"],
        1,
    );
}

//! The same flaws where sound would flow: `silentmon capture` and `silentmon listen`, over QUIC and over HTTPS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto, version};

use crate::common::{House, Service, eventually, fixture, free_address, page, said, silentmon};
use crate::pki::{Flaw, Pki};

const EVENTS: &str = include_str!("../fixtures/call.events.jsonl");
const TOKEN: &str = "0123456789abcdef";

/// A capture service with files of a [`Pki`].
pub struct Server {
    pub house: House,
    pub address: SocketAddr,
    metrics: SocketAddr,
    pub service: Service,
}

impl Server {
    pub fn start(pki: &Pki, identity: &Path, lists: &str) -> Self {
        let house = House::empty();
        let call = fixture("call.pcap.gz");
        let source = format!("{{ file = '{}', pace = \"real\", loop = true }}", call.display());
        let address = house.configure(&source, EVENTS, "");
        let metrics = free_address();
        let file = house.path("capture.toml");
        let text = std::fs::read_to_string(&file).expect("reads");
        let crl = format!(
            "ca = '{}'\ncrl = '{}'",
            pki.path("root.pem").display(),
            pki.path(lists).display()
        );
        let text = text
            .replace(
                "identity = \"gw1.pem\"",
                &format!("identity = '{}'", identity.display()),
            )
            .replace("ca = \"ca.pem\"", &crl);
        let http = "[[cti]]\nkind = \"http\"\ntoken_file = \"token\"\nroles = [\"supervisor\"]\n";
        std::fs::write(&file, format!("{text}{http}[metrics]\nlisten = \"{metrics}\"\n")).expect("writes");
        std::fs::write(house.path("token"), TOKEN).expect("writes");
        let service = house.start();
        Self {
            house,
            address,
            metrics,
            service,
        }
    }

    /// The journal says that nobody began to listen, and the metrics that nothing was sent.
    fn assert_silent(&self, after: &str) {
        let audit = std::fs::read_to_string(self.house.path("audit.jsonl")).expect("a journal");
        assert!(!audit.contains("session_started"), "{after}: {audit}");
        let page = self.metrics();
        let relayed = page
            .lines()
            .filter(|line| line.starts_with("silentmon_packets_relayed_total"));
        for line in relayed {
            assert!(line.ends_with(" 0.0") || line.ends_with(" 0"), "{after}: {line}");
        }
    }

    pub fn metrics(&self) -> String {
        page(self.metrics, "/metrics")
    }

    /// Waits until a refusal was counted; both sides find out at their own pace.
    fn wait_for_refusal(&self, door: &str, why: &str) {
        let wanted = [format!("door=\"{door}\""), format!("why=\"{why}\"")];
        eventually(Duration::from_secs(10), || {
            let page = self.metrics();
            let is_it = |line: &str| wanted.iter().all(|label| line.contains(label));
            let counted = page.lines().any(is_it);
            (!counted).then(|| format!("no refusal {wanted:?} was counted: {page}"))
        });
    }
}

fn listen(pki: &Pki, identity: &Path, lists: &str, server: SocketAddr, seconds: &str) -> Output {
    listener(pki, identity, lists, server, seconds).output().expect("runs")
}

pub fn listener(pki: &Pki, identity: &Path, lists: &str, server: SocketAddr, seconds: &str) -> Command {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mut command = silentmon();
    command
        .args(["listen", "4711", "--json", "--output", "null", "--for", seconds])
        .args(["--server", &server.to_string(), "--identity", &text(identity)])
        .args(["--ca", &text(&pki.path("root.pem")), "--crl", &text(&pki.path(lists))]);
    command
}

/// A flaw in a supervisor's certificate; what the server says in its log, and the supervisor's program on his screen.
const DIALLING: [(Flaw, &str, &str); 9] = [
    (Flaw::Expired, "expired", "expired, or not yet valid"),
    (Flaw::NotYetValid, "not_yet_valid", "expired, or not yet valid"),
    (Flaw::WrongAuthority, "unknown_authority", "isn't trusted there"),
    (Flaw::WrongRole, "wrong_role", "its role may not do this"),
    (Flaw::Revoked, "revoked", "revoked"),
    (Flaw::IssuerRevoked, "issuer_revoked", "revoked"),
    (Flaw::StaleList, "revocation_list_expired", "current revocation list"),
    (Flaw::MissingList, "revocation_unknown", "current revocation list"),
    (Flaw::SelfSigned, "self_signed", "isn't trusted there"),
];

#[test]
fn no_supervisor_with_a_flawed_certificate_hears_a_byte() {
    let pki = Pki::new();
    let identity = pki.issue("capture", Flaw::None);
    let servers = ["all.crl", "stale.crl", "root.crl"].map(|lists| (lists, Server::start(&pki, &identity, lists)));
    for (flaw, why, told) in DIALLING {
        let (_, server) = servers.iter().find(|(lists, _)| *lists == flaw.lists()).expect("one");
        let output = listen(&pki, &pki.issue("supervisor", flaw), "all.crl", server.address, "2");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(69), "{flaw:?}: {text}");
        assert!(text.contains("SM-2002") && text.contains(told), "{flaw:?}: {text}");
        server.wait_for_refusal("quic", why);
        server.assert_silent(why);
    }
    // Whose name isn't clear isn't even used by his own program.
    let output = listen(
        &pki,
        &pki.issue("supervisor", Flaw::WrongName),
        "all.crl",
        servers[0].1.address,
        "2",
    );
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("more than one name"), "{}", said(&output));
    let log = servers[0].1.service.log().join("\n");
    for sentence in [
        "expired on 20",
        "valid only from 20",
        "the authority that issued",
        "signed by itself",
    ] {
        assert!(log.contains(sentence), "{sentence}: {log}");
    }
    // The test can tell: a good certificate is heard.
    let output = listen(
        &pki,
        &pki.issue("supervisor", Flaw::None),
        "all.crl",
        servers[0].1.address,
        "2",
    );
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn no_server_with_a_flawed_certificate_is_listened_to() {
    let pki = Pki::new();
    let anna = pki.issue("supervisor", Flaw::None);
    for (flaw, sentence) in [
        (Flaw::Expired, "its certificate expired on 20"),
        (Flaw::NotYetValid, "valid only from 20"),
        (Flaw::WrongAuthority, "isn't trusted here"),
        (Flaw::Revoked, "its certificate has been revoked"),
        (
            Flaw::IssuerRevoked,
            "the authority that issued its certificate has been revoked",
        ),
        (Flaw::StaleList, "the revocation list was to be replaced by 20"),
        (Flaw::MissingList, "no revocation list covers"),
        (Flaw::WrongName, "is for 10.9.9.9, not for 127.0.0.1"),
        (Flaw::SelfSigned, "signed by itself"),
    ] {
        let server = Server::start(&pki, &pki.issue("capture", flaw), "all.crl");
        let output = listen(&pki, &anna, flaw.lists(), server.address, "2");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(69), "{flaw:?}: {text}");
        assert!(text.contains("SM-2002") && text.contains(sentence), "{flaw:?}: {text}");
        server.wait_for_refusal("quic", "refused_by_peer");
        server.assert_silent(sentence);
    }
}

#[test]
fn a_server_of_the_wrong_role_does_not_even_start() {
    let pki = Pki::new();
    let house = House::empty();
    house.configure("{ file = 'none.pcap' }", "", "");
    std::fs::copy(pki.issue("capture", Flaw::WrongRole), house.path("gw1.pem")).expect("copied");
    std::fs::copy(pki.path("root.pem"), house.path("ca.pem")).expect("copied");
    let output = silentmon()
        .args(["capture", "--config", &house.text("capture.toml")])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("expected a certificate of role capture, found role supervisor"));
}

/// What an HTTPS client gets back; nothing, where it isn't let in.
fn ask(identity: Option<&Path>, pki: &Pki, to: SocketAddr) -> String {
    let config = silentmon_certs::cti_client_tls(&pki.path("root.pem"), identity).expect("usable");
    let session = ClientConnection::new(config, to.ip().into()).expect("a session");
    let mut stream = StreamOwned::new(session, TcpStream::connect(to).expect("connects"));
    request(&mut stream, to)
}

fn request(stream: &mut (impl Read + Write), to: SocketAddr) -> String {
    let text = format!("GET /v1/diagnosis HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_https_door_refuses_the_same_and_old_tls_and_plain_text() {
    let pki = Pki::new();
    let identity = pki.issue("capture", Flaw::None);
    let servers = ["all.crl", "stale.crl", "root.crl"].map(|lists| (lists, Server::start(&pki, &identity, lists)));
    for (flaw, why, _) in DIALLING {
        let (_, server) = servers.iter().find(|(lists, _)| *lists == flaw.lists()).expect("one");
        let answer = ask(Some(&pki.issue("supervisor", flaw)), &pki, server.address);
        if flaw == Flaw::WrongRole {
            // An authority vouches for it, so it gets an answer: which role a request needs is another matter.
            assert!(
                answer.contains(" 403 ") || answer.contains(" 401 "),
                "{flaw:?}: {answer}"
            );
            continue;
        }
        assert_eq!(answer, "", "{flaw:?}");
        server.wait_for_refusal("https", why);
    }
    let server = &servers[0].1;
    let good = ask(Some(&pki.issue("supervisor", Flaw::None)), &pki, server.address);
    assert!(good.contains(" 200 "), "{good}");
    assert!(ask(None, &pki, server.address).contains(" 401 "));

    let session = ClientConnection::new(Arc::new(old_version()), server.address.ip().into()).expect("a session");
    let mut stream = StreamOwned::new(session, TcpStream::connect(server.address).expect("connects"));
    assert_eq!(request(&mut stream, server.address), "");
    server.wait_for_refusal("https", "old_version");

    let mut plain = TcpStream::connect(server.address).expect("connects");
    let answer = request(&mut plain, server.address);
    assert!(!answer.contains("HTTP"), "{answer}");
    server.wait_for_refusal("https", "not_tls");
    server.assert_silent("HTTPS");
}

/// A client that speaks TLS 1.2 alone.
fn old_version() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .expect("usable")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

//! Enrolment by one-time tokens, over real sockets: what works once, and everything that must not.

#![allow(clippy::expect_used)]
#![cfg(unix)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, CertsError, ClientTls, Credentials, EnrolmentServer, Invitation,
    KeyAlgorithm, Password, RequestOptions, Role, SignOptions, SubjectName, Token, Trust, create_request, enrol,
    invite,
};
use tempfile::TempDir;

struct House {
    folder: TempDir,
}

fn password() -> Password {
    Password::chosen("correct horse").expect("long enough")
}

fn options(name: &str) -> AuthorityOptions {
    AuthorityOptions {
        name: SubjectName::new(name).expect("a name"),
        days: 90,
        algorithm: KeyAlgorithm::EcdsaP256,
    }
}

fn anna() -> Invitation {
    Invitation {
        role: Role::Supervisor,
        name: SubjectName::new("anna").expect("a name"),
        hosts: Vec::new(),
        days: Some(30),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        CertificateAuthority::create(&folder.path().join("ca"), &options("House"), &password()).expect("made");
        Self { folder }
    }

    /// With an authority below another one.
    fn with_two_levels() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = CertificateAuthority::create(&folder.path().join("root"), &options("Root"), &password());
        let below = root
            .expect("made")
            .create_below(&folder.path().join("ca"), &options("House"), &password());
        below.expect("made");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn invite(&self, invitation: Invitation) -> Token {
        invite(&self.path("ca"), invitation, HOUR).expect("a token")
    }

    fn serve(&self) -> (SocketAddr, JoinHandle<()>) {
        let authority = CertificateAuthority::open(&self.path("ca"), &password()).expect("opens");
        let server = EnrolmentServer::bind(authority, ([127, 0, 0, 1], 0).into()).expect("listens");
        let address = server.local_address().expect("bound");
        let running = std::thread::spawn(move || server.serve(Duration::from_secs(20), |_| {}).expect("serves"));
        (address, running)
    }

    fn enrol(&self, address: SocketAddr, token: &Token, out: &str) -> Result<(), String> {
        let outcome = enrol(&address.to_string(), token, &self.path(out));
        outcome.map(drop).map_err(|error| error.to_string())
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.path("ca/enrolments.jsonl")).expect("a journal")
    }
}

#[test]
fn a_token_gets_one_certificate_with_all_that_is_needed_and_the_service_ends() {
    let house = House::with_two_levels();
    let token = house.invite(anna());
    let (address, running) = house.serve();
    house.enrol(address, &token, "certs").expect("enrolled");
    running.join().expect("ends by itself: no token is left");

    let mode = |name: &str| fs::metadata(house.path(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("certs/anna.key"), mode("certs/anna.pem")), (0o600, 0o644));
    assert_eq!(
        (
            mode("ca/tokens.json"),
            mode("ca/enrolment.key"),
            mode("ca/enrolments.jsonl")
        ),
        (0o600, 0o600, 0o600)
    );
    let credentials = Credentials::load(&house.path("certs/anna.pem"), None).expect("loads");
    assert_eq!(credentials.identity().role, Role::Supervisor);
    let trust = Trust::load(&house.path("certs/ca.pem"), Some(&house.path("certs/crl.pem"))).expect("loads");
    // A server of the same authority is trusted with these files, lists of both authorities included.
    let authority = CertificateAuthority::open(&house.path("ca"), &password()).expect("opens");
    let request = RequestOptions {
        role: Role::Capture,
        name: SubjectName::new("gw1").expect("a name"),
        hosts: vec!["gw1.example".parse().expect("a host")],
    };
    let gw1 = authority
        .issue(&house.path("gw1"), &request, &SignOptions::default())
        .expect("issued");
    let gw1 = Credentials::load(&gw1, None).expect("loads");
    let tls = ClientTls::new(&credentials, &trust, &[b"x"]).expect("usable");
    assert_eq!(tls.recheck(gw1.chain(), "gw1.example"), Ok(()));

    let journal = house.journal();
    let serial = credentials.identity().serial.to_string();
    assert!(
        journal.contains(&serial) && journal.contains("\"anna\"") && journal.contains("127.0.0.1"),
        "{journal}"
    );
    let kept = fs::read_to_string(house.path("ca/tokens.json")).expect("there") + &journal;
    let secret = token.expose();
    assert!(!kept.contains(&secret[10..30]), "no secret is kept");
}

#[test]
fn a_token_is_good_once_and_for_its_time() {
    let house = House::new();
    let (used, open) = (house.invite(anna()), house.invite(anna()));
    let over = invite(&house.path("ca"), anna(), Duration::ZERO).expect("a token");
    let (address, running) = house.serve();
    house.enrol(address, &used, "first").expect("enrolled");
    let again = house.enrol(address, &used, "second").expect_err("refused");
    assert!(again.contains("was used already"), "{again}");
    let late = house.enrol(address, &over, "third").expect_err("refused");
    assert!(late.contains("is over"), "{late}");
    assert!(!house.path("second/anna.key").exists() && !house.path("third").exists());
    // Where a file can't be written the token isn't used up.
    let exists = house.enrol(address, &open, "first").expect_err("refused");
    assert!(exists.contains("exists and is not replaced"), "{exists}");
    house.enrol(address, &open, "fourth").expect("enrolled");
    running.join().expect("ends");
}

#[test]
fn guessing_voids_the_token_and_locks_the_address() {
    let house = House::new();
    let token = house.invite(anna());
    let other = house.invite(anna());
    let (address, _running) = house.serve();
    let text = token.expose();
    // The same token with another secret.
    let mut guess = text.as_bytes().to_vec();
    guess[25] = if guess[25] == b'A' { b'B' } else { b'A' };
    let guess: Token = String::from_utf8(guess).expect("ASCII").parse().expect("a token");
    for _ in 0..3 {
        let error = house.enrol(address, &guess, "no").expect_err("refused");
        assert!(error.contains("isn't known here"), "{error}");
    }
    for token in [&token, &other] {
        let locked = house.enrol(address, token, "no").expect_err("refused");
        assert!(locked.contains("wait 15 minutes"), "{locked}");
    }
    assert!(!house.path("no").exists());
    // Even after that time the token that was guessed at is void; another one isn't.
    let (address, _running) = house.serve();
    let void = house.enrol(address, &token, "no").expect_err("refused");
    assert!(void.contains("is void after 3 failed tries"), "{void}");
    house.enrol(address, &other, "yes").expect("enrolled");
}

#[test]
fn nothing_is_said_to_another_service() {
    let (house, stranger) = (House::new(), House::new());
    let token = house.invite(anna());
    stranger.invite(anna());
    let (address, _running) = stranger.serve();
    let error = house.enrol(address, &token, "no").expect_err("refused");
    assert!(
        error.contains("isn't the service that the token was made for"),
        "{error}"
    );
    let until = std::time::Instant::now() + Duration::from_secs(5);
    let journal = || fs::read_to_string(stranger.path("ca/enrolments.jsonl")).unwrap_or_default();
    while !journal().contains("broke off") && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(journal().contains("broke off"), "{}", journal());
}

/// A newcomer who asks for more than he was invited to.
mod forger {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

    #[derive(Debug)]
    struct TakesAll;

    impl ServerCertVerifier for TakesAll {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }

    /// Sends lines, each after the answer to the one before; the last answer.
    pub fn say(address: SocketAddr, lines: &[String]) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TakesAll))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"silentmon-enrol/1".to_vec()];
        let session = ClientConnection::new(Arc::new(config), "ca.example".try_into().expect("a name"));
        let socket = TcpStream::connect(address).expect("connects");
        let mut stream = BufReader::new(StreamOwned::new(session.expect("usable"), socket));
        let mut answer = String::new();
        for line in lines {
            answer.clear();
            let _ = stream.get_mut().write_all(format!("{line}\n").as_bytes());
            let _ = stream.read_line(&mut answer);
        }
        answer
    }
}

#[test]
fn a_request_for_another_role_name_or_host_is_refused_and_so_is_nonsense() {
    use base64::Engine;
    let house = House::new();
    let token = house.invite(anna());
    let (address, _running) = house.serve();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.expose().trim_start_matches("smt1_"))
        .expect("base64url");
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .concat()
    };
    let token_line =
        serde_json::json!({"say": "token", "id": hex(&bytes[..8]), "secret": hex(&bytes[8..24])}).to_string();
    let mut refused = Vec::new();
    for (number, (role, name, hosts)) in [(Role::Admin, "anna", vec![]), (Role::Supervisor, "bert", vec![])]
        .into_iter()
        .enumerate()
    {
        let request = RequestOptions {
            role,
            name: SubjectName::new(name).expect("a name"),
            hosts,
        };
        let (_, csr) = create_request(&house.path(&format!("forged{number}")), &request).expect("made");
        let csr = fs::read_to_string(csr).expect("there");
        let request_line = serde_json::json!({"say": "request", "csr": csr}).to_string();
        refused.push(forger::say(address, &[token_line.clone(), request_line]));
    }
    assert!(
        refused[0].contains("role admin, but role supervisor was to be granted"),
        "{refused:?}"
    );
    assert!(
        refused[1].contains("the name bert, but anna was to be granted"),
        "{refused:?}"
    );
    for nonsense in [
        "",
        "[]",
        "{\"say\":\"request\",\"csr\":\"\"}",
        "{\"say\":\"root\"}",
        &"x".repeat(100_000),
    ] {
        let answer = forger::say(address, &[nonsense.to_owned()]);
        assert!(answer.contains("refused") || answer.is_empty(), "{nonsense}: {answer}");
    }
    // Two tries failed; the third makes it void for everybody, the right one too.
    let request = RequestOptions {
        role: Role::Supervisor,
        name: SubjectName::new("anna").expect("a name"),
        hosts: vec!["10.1.1.1".parse().expect("a host")],
    };
    let (_, csr) = create_request(&house.path("forged"), &request).expect("made");
    let csr = fs::read_to_string(csr).expect("there");
    let request_line = serde_json::json!({"say": "request", "csr": csr}).to_string();
    let third = forger::say(address, &[token_line, request_line]);
    assert!(
        third.contains("the host 10.1.1.1, which was not to be granted"),
        "{third}"
    );
    let rows = CertificateAuthority::list(&house.path("ca")).expect("listed");
    assert!(rows.is_empty(), "nothing was signed: {rows:?}");
    let error = house.enrol(address, &token, "certs").expect_err("refused");
    assert!(
        error.contains("void") || error.contains("refused") || error.contains("Connection"),
        "{error}"
    );
}

#[test]
fn there_are_no_tokens_without_an_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = invite(folder.path(), anna(), HOUR).expect_err("refused");
    assert!(matches!(error, CertsError::Read { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

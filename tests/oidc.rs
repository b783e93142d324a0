//! Sign-in by an identity provider: a simulated issuer with keys of its own behind real HTTPS, and every token that must not
//! be taken.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::https::{Answer, exchange};
use common::{House, Service, fixture};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const EVENTS: &str = include_str!("fixtures/call.events.jsonl");

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// What signs tokens.
enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    /// A private key in a file, used by openssl.
    Rsa(std::path::PathBuf),
}

impl Signer {
    fn ed25519(seed: u8) -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key"))
    }

    fn p256() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        Self::P256(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).expect("a key"))
    }

    /// Where openssl is installed.
    fn rsa(house: &House) -> Option<Self> {
        let path = house.path("rsa.pem");
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&path)
            .arg("2048")
            .output();
        made.ok().filter(|made| made.status.success()).map(|_| Self::Rsa(path))
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(pair.public_key().as_ref()) })
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Self::Rsa(path) => {
                let output = Command::new("openssl")
                    .args(["rsa", "-noout", "-modulus", "-in"])
                    .arg(path)
                    .output();
                let output = output.expect("runs").stdout;
                let hex = String::from_utf8(output).expect("text");
                let hex = hex.trim().strip_prefix("Modulus=").expect("a modulus");
                let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits");
                let modulus: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
                json!({ "kty": "RSA", "kid": id, "n": encode(&modulus), "e": encode(&[1, 0, 1]) })
            }
        }
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": id, "typ": "JWT" });
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let signature = match self {
            Self::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), signed.as_bytes());
                signature.expect("signs").as_ref().to_vec()
            }
            Self::Rsa(path) => {
                let input = path.with_extension("input");
                std::fs::write(&input, &signed).expect("written");
                let output = Command::new("openssl")
                    .args(["dgst", "-sha256", "-sign"])
                    .args([path, &input])
                    .output();
                output.expect("runs").stdout
            }
        };
        format!("{signed}.{}", encode(&signature))
    }
}

/// The issuer: documents by their paths.
struct Issuer {
    address: SocketAddr,
    documents: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Issuer {
    /// Serves HTTPS on loopback; its certificate goes to `issuer.pem` in the house.
    fn start(house: &House) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        std::fs::write(house.path("issuer.pem"), certified.cert.pem()).expect("written");
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("usable");
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").expect("binds"));
        let documents = Arc::<Mutex<BTreeMap<String, String>>>::default();
        let issuer = Self {
            address: listener.local_addr().expect("bound"),
            documents: Arc::clone(&documents),
        };
        let configuration = json!({ "issuer": issuer.name(), "jwks_uri": format!("{}/keys", issuer.name()) });
        issuer.put("/house/.well-known/openid-configuration", &configuration);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let mut stream = BufReader::new(StreamOwned::new(session, stream));
                let path = asked_path(&mut stream);
                let found = documents.lock().expect("unpoisoned").get(&path).cloned();
                let (status, body) = found.map_or((404, String::new()), |body| (200, body));
                let head = format!(
                    "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.get_mut().write_all((head + &body).as_bytes());
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        });
        issuer
    }

    fn name(&self) -> String {
        format!("https://{}/house", self.address)
    }

    fn put(&self, path: &str, document: &Value) {
        let mut documents = self.documents.lock().expect("unpoisoned");
        documents.insert(path.to_owned(), document.to_string());
    }

    fn publish(&self, keys: &[Value]) {
        self.put("/house/keys", &json!({ "keys": keys }));
    }
}

/// The path of a request; its headers are read over.
fn asked_path(stream: &mut impl BufRead) -> String {
    let (mut first, mut line) = (String::new(), String::new());
    let _ = stream.read_line(&mut first);
    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

struct Desk {
    house: House,
    server: SocketAddr,
    issuer: Issuer,
    _service: Service,
}

impl Desk {
    fn open(keys: &str) -> Self {
        let house = House::build();
        let issuer = Issuer::start(&house);
        let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
        let server = house.configure(&source, EVENTS, "");
        let file = house.path("capture.toml");
        let text = std::fs::read_to_string(&file).expect("reads");
        let oidc = format!(
            "[oidc]\nissuer = \"{}\"\nclient_id = \"silentmon\"\n{keys}\nrole_claim = \"realm_access.roles\"\nlongest_s = 600\n\
             [oidc.roles]\nlistener = \"supervisor\"\nqm = \"quality\"\n",
            issuer.name()
        );
        std::fs::write(&file, format!("{text}{oidc}")).expect("writes");
        let service = house.start();
        Self {
            house,
            server,
            issuer,
            _service: service,
        }
    }

    fn send(&self, headers: &[(&str, &str)], wanted: &str, body: &str) -> Answer {
        exchange(&self.house, self.server, None, headers, (wanted, body))
    }

    /// Anna, as the issuer vouches for her to this service now.
    fn claims(&self) -> Value {
        let ways = self.send(&[], "GET /v1/sign-in", "").json();
        assert_eq!(
            (&ways["password"], &ways["oidc"]["client_id"]),
            (&json!(false), &json!("silentmon"))
        );
        json!({
            "iss": ways["oidc"]["issuer"],
            "aud": "silentmon",
            "sub": "0b1",
            "preferred_username": "anna",
            "realm_access": { "roles": ["offline_access", "listener"] },
            "iat": now(),
            "exp": now() + 300,
            "nonce": ways["oidc"]["nonce"],
        })
    }

    fn sign_in(&self, token: &str) -> Answer {
        let body = json!({ "id_token": token, "bearer": true }).to_string();
        self.send(&[JSON], "POST /v1/sign-in", &body)
    }

    fn journal(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.house.path("audit.jsonl")).expect("a journal");
        let records = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records.filter(|record| record["event"] == event).collect()
    }
}

const FETCHED: &str = "ca = \"issuer.pem\"";

fn changed(claims: &Value, change: &Value) -> Value {
    let mut claims = claims.clone();
    let fields = claims.as_object_mut().expect("an object");
    fields.extend(change.as_object().expect("an object").clone());
    claims
}

#[test]
fn an_id_token_of_the_issuer_is_exchanged_for_a_session_once() {
    let desk = Desk::open(FETCHED);
    let mut signers = vec![Signer::ed25519(1), Signer::p256()];
    match Signer::rsa(&desk.house) {
        Some(rsa) => signers.push(rsa),
        None => eprintln!("skipped: no openssl for RS256"),
    }
    let ids = ["one", "two", "three"];
    let keys: Vec<_> = signers.iter().zip(ids).map(|(signer, id)| signer.jwk(id)).collect();
    desk.issuer.publish(&keys);
    for (signer, id) in signers.iter().zip(ids) {
        let token = signer.token(id, &desk.claims());
        let welcome = desk.sign_in(&token);
        assert_eq!(welcome.status, 200, "{id}: {welcome:?}");
        let told = welcome.json();
        assert_eq!(
            (&told["name"], &told["role"], &told["longest_s"]),
            (&json!("anna"), &json!("supervisor"), &json!(600))
        );
        let bearer = format!("Bearer {}", told["token"].as_str().expect("a token"));
        let agents = desk.send(&[("Authorization", &bearer)], "GET /v1/agents", "");
        assert_eq!(agents.status, 200, "{agents:?}");
        let again = desk.sign_in(&token);
        assert_eq!(again.status, 401);
        assert!(again.body.contains("nonce"), "{again:?}");
    }
    let signed_in = desk.journal("signed_in");
    assert_eq!(signed_in.len(), signers.len());
    assert_eq!(
        (&signed_in[0]["supervisor"], &signed_in[0]["by"]),
        (&json!("anna"), &json!("oidc"))
    );
    let by_password = json!({ "name": "anna", "password": "correct horse" }).to_string();
    assert_eq!(desk.send(&[JSON], "POST /v1/sign-in", &by_password).status, 401);
}

#[test]
fn every_token_that_isnt_the_issuers_for_this_service_now_is_refused_with_its_reason() {
    let desk = Desk::open(FETCHED);
    let (signer, stranger) = (Signer::ed25519(1), Signer::ed25519(2));
    desk.issuer.publish(&[signer.jwk("one")]);
    let cases = [
        (json!({ "iss": "https://other.example" }), "another issuer"),
        (json!({ "aud": "other" }), "another service"),
        (json!({ "aud": ["silentmon", "other"] }), "another service"),
        (json!({ "exp": now() - 120, "iat": now() - 300 }), "expired"),
        (json!({ "exp": (now() + 300).to_string() }), "isn't an ID token"),
        (json!({ "nbf": now() + 300 }), "valid yet"),
        (json!({ "nonce": "AAAA" }), "nonce"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "realm_access": { "roles": ["offline_access"] } }), "no role"),
        (
            json!({ "realm_access": { "roles": ["qm", "listener"] } }),
            "more than one role",
        ),
    ];
    // Each under a name of its own: three failures would lock one.
    for (number, (change, words)) in cases.into_iter().enumerate() {
        let name = json!({ "preferred_username": format!("anna{number}") });
        let token = signer.token("one", &changed(&changed(&desk.claims(), &name), &change));
        let answer = desk.sign_in(&token);
        assert_eq!(answer.status, 401, "{change}: {answer:?}");
        assert!(answer.body.contains(words), "{change}: {answer:?}");
    }
    let good = signer.token("one", &desk.claims());
    let (body, signature) = good.rsplit_once('.').expect("a token");
    let bert = json!({ "preferred_username": "bert" });
    let unsigned = format!(
        "{}.{}.",
        encode(br#"{"alg":"none"}"#),
        encode(changed(&desk.claims(), &bert).to_string().as_bytes())
    );
    let forged = [
        stranger.token(
            "one",
            &changed(&desk.claims(), &json!({ "preferred_username": "carl" })),
        ),
        unsigned,
        format!("{body}.{}", signature.replace(&signature[..6], "AAAAAA")),
    ];
    for token in forged {
        let answer = desk.sign_in(&token);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.body.contains("signed by a key of the issuer"), "{answer:?}");
    }
    for nonsense in ["", "a.b.c", &"x".repeat(20_000)] {
        assert!(
            matches!(desk.sign_in(nonsense).status, 400 | 401 | 413),
            "{}",
            nonsense.len()
        );
    }
    assert_eq!(desk.sign_in(&good).status, 200, "the one that is good");
}

#[test]
fn three_bad_tokens_lock_a_name() {
    let desk = Desk::open(FETCHED);
    let old = Signer::ed25519(1);
    desk.issuer.publish(&[old.jwk("old")]);
    assert_eq!(desk.sign_in(&old.token("old", &desk.claims())).status, 200);
    let bert = |claims: &Value| changed(claims, &json!({ "preferred_username": "bert" }));
    for _ in 0..3 {
        let expired = json!({ "exp": now() - 120, "iat": now() - 300 });
        let token = old.token("old", &changed(&bert(&desk.claims()), &expired));
        assert_eq!(desk.sign_in(&token).status, 401);
    }
    let locked = desk.sign_in(&old.token("old", &bert(&desk.claims())));
    assert!(locked.status == 403 && locked.body.contains("SM-1002"), "{locked:?}");
    assert_eq!(desk.journal("sign_in_failed").len(), 3);
}

#[test]
fn keys_may_lie_in_a_file_and_an_issuer_that_cannot_be_asked_lets_nobody_in() {
    let signer = Signer::ed25519(1);
    let set = json!({ "keys": [signer.jwk("one")] }).to_string();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("keys.json"), set).expect("written");
    let offline = Desk::open(&format!("keys_file = '{}'", folder.path().join("keys.json").display()));
    assert_eq!(offline.sign_in(&signer.token("one", &offline.claims())).status, 200);

    let silent = Desk::open(FETCHED);
    let answer = silent.sign_in(&signer.token("one", &silent.claims()));
    assert_eq!(answer.status, 503, "no keys are published: {answer:?}");
    assert!(silent.journal("sign_in_failed").is_empty(), "nobody is to blame");
    // An issuer that isn't the one configured.
    let document = json!({ "issuer": "https://other.example", "jwks_uri": format!("{}/keys", silent.issuer.name()) });
    silent.issuer.publish(&[signer.jwk("one")]);
    silent.issuer.put("/house/.well-known/openid-configuration", &document);
    assert_eq!(silent.sign_in(&signer.token("one", &silent.claims())).status, 503);
}

#[test]
fn a_configuration_that_lets_anybody_in_or_asks_without_trust_is_refused() {
    let house = House::build();
    house.configure("{ file = 'none.pcap' }", EVENTS, "");
    let file = house.path("capture.toml");
    let text = std::fs::read_to_string(&file).expect("reads");
    let good = "issuer = \"https://login.example\"\nclient_id = \"silentmon\"\nca = \"ca.pem\"\nroles = { x = \"supervisor\" }\n";
    for (from, to, key) in [
        ("roles = { x = \"supervisor\" }", "roles = {}", "oidc.roles"),
        ("https://", "http://", "oidc.issuer"),
        ("ca = \"ca.pem\"\n", "", "oidc.ca"),
        ("client_id = \"silentmon\"", "client_id = \"\"", "oidc.client_id"),
    ] {
        std::fs::write(&file, format!("{text}[oidc]\n{}", good.replace(from, to))).expect("writes");
        let output = common::run(&["config", "check", &house.text("capture.toml")]);
        let complaint = common::said(&output);
        assert!(
            !output.status.success() && complaint.contains(key),
            "{key}: {complaint}"
        );
    }
}

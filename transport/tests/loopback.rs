//! Two programs on loopback over real QUIC with mutual TLS: what they say, and whom they refuse.

#![allow(clippy::expect_used)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Pki, listen, meet, pair};
use silentmon_certs::{CertificateProblem, ClientTls, Credentials, PeerRefusal, Role, ServerTls};
use silentmon_proto::ids::ServerName;
use silentmon_proto::relay::{ALPN, ClientMessage, MAX_MESSAGE, ServerMessage};
use silentmon_transport::{
    CloseCode, ConnectError, ControlError, HandshakeError, SendError, SendOutcome, ServerAddress, ServerEndpoint,
    Settings, connect,
};

fn hello() -> ClientMessage {
    ClientMessage::Hello {
        version: 1,
        software: "test".into(),
    }
}

fn problem(error: ConnectError) -> CertificateProblem {
    match error {
        ConnectError::Handshake {
            error: HandshakeError::Certificate(problem),
            ..
        } => problem,
        other => unreachable!("{other}"),
    }
}

fn refusal(error: silentmon_transport::Refused) -> CertificateProblem {
    match error.error {
        HandshakeError::Certificate(problem) => problem,
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn control_messages_go_both_ways() {
    let (_endpoint, mut server, mut client) = pair(&Pki::new()).await;
    client.sender.send(&hello()).await.expect("sent");
    assert_eq!(server.receiver.receive().await, Ok(Some(hello())));
    let welcome = ServerMessage::Welcome {
        version: 1,
        server: ServerName::new("gw1"),
        software: "test".into(),
    };
    server.sender.send(&welcome).await.expect("sent");
    assert_eq!(client.receiver.receive().await, Ok(Some(welcome)));
}

#[tokio::test]
async fn both_ends_know_who_the_other_is() {
    let (_endpoint, server, client) = pair(&Pki::new()).await;
    assert_eq!(server.connection.peer().role, Role::Supervisor);
    assert_eq!(server.connection.peer().name.as_str(), "sonja");
    assert_eq!(client.connection.peer().role, Role::Capture);
    assert_eq!(client.connection.peer().name.as_str(), "gw1");
}

#[tokio::test]
async fn datagrams_arrive_untouched() {
    let (_endpoint, server, client) = pair(&Pki::new()).await;
    server.connection.set_audio_streams(2);
    for length in [0, 1, 16, 188, 1100] {
        let datagram: Bytes = (0..length)
            .map(|index: u16| u8::try_from(index * 7 % 251).unwrap_or(0))
            .collect::<Vec<_>>()
            .into();
        assert_eq!(server.connection.send_datagram(datagram.clone()), Ok(SendOutcome::Sent));
        assert_eq!(client.connection.receive_datagram().await, Ok(datagram));
    }
}

#[tokio::test]
async fn a_datagram_longer_than_the_path_allows_is_refused() {
    let (_endpoint, server, _client) = pair(&Pki::new()).await;
    let sent = server.connection.send_datagram(vec![0; 2000].into());
    assert!(
        matches!(sent, Err(SendError::TooLarge { length: 2000, .. })),
        "{sent:?}"
    );
}

#[tokio::test]
async fn an_unknown_message_does_not_end_the_conversation() {
    let (_endpoint, mut server, mut client) = pair(&Pki::new()).await;
    client.sender.send(&"some later version's message").await.expect("sent");
    client.sender.send(&hello()).await.expect("sent");
    let unknown = server.receiver.receive::<ClientMessage>().await;
    assert!(matches!(unknown, Err(ControlError::Unknown { .. })), "{unknown:?}");
    assert_eq!(server.receiver.receive().await, Ok(Some(hello())));
    let long = client.sender.send(&"x".repeat(MAX_MESSAGE)).await;
    assert!(matches!(long, Err(ControlError::TooLong { .. })), "{long:?}");
}

#[tokio::test]
async fn the_reason_of_a_close_reaches_the_other_end() {
    let (_endpoint, mut server, client) = pair(&Pki::new()).await;
    client
        .connection
        .close_and_wait(CloseCode::Stopping, "the program stops")
        .await;
    let closed = server.connection.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (1, "the program stops"));
    let received = server.receiver.receive::<ClientMessage>().await;
    assert!(matches!(received, Err(ControlError::Closed(_))), "{received:?}");
}

#[tokio::test]
async fn a_stream_that_ends_between_messages_ends_cleanly() {
    let (_endpoint, mut server, mut client) = pair(&Pki::new()).await;
    client.sender.send(&ClientMessage::Goodbye).await.expect("sent");
    client.sender.finish();
    assert_eq!(server.receiver.receive().await, Ok(Some(ClientMessage::Goodbye)));
    assert_eq!(server.receiver.receive::<ClientMessage>().await, Ok(None));
}

#[tokio::test]
async fn a_client_of_another_authority_is_refused_by_the_server() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let (mut endpoint, address) = listen(ours.server_tls(), Settings::server());
    let stranger = theirs.credentials(Role::Supervisor, "eve");
    let tls = ClientTls::new(&stranger, &ours.trust(), &[ALPN]).expect("usable");
    let (server, client) = meet(&mut endpoint, &address, &tls).await;
    assert_eq!(
        refusal(server.expect_err("refused")),
        CertificateProblem::UnknownAuthority
    );
    let problem = problem(client.expect_err("refused"));
    assert_eq!(
        problem,
        CertificateProblem::RefusedByPeer(PeerRefusal::UnknownAuthority)
    );
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused_by_the_client() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let (mut endpoint, address) = listen(theirs.server_tls(), Settings::server());
    let (server, client) = meet(&mut endpoint, &address, &ours.client_tls()).await;
    assert_eq!(
        problem(client.expect_err("refused")),
        CertificateProblem::UnknownAuthority
    );
    let problem = refusal(server.expect_err("refused"));
    assert_eq!(
        problem,
        CertificateProblem::RefusedByPeer(PeerRefusal::UnknownAuthority)
    );
}

#[tokio::test]
async fn a_client_whose_role_may_not_talk_to_servers_is_refused() {
    let pki = Pki::new();
    let capture = pki.credentials(Role::Capture, "gw2");
    let (mut endpoint, address) = listen(pki.server_tls(), Settings::server());
    let tls = ClientTls::new(&capture, &pki.trust(), &[ALPN]).expect("usable");
    let (server, client) = meet(&mut endpoint, &address, &tls).await;
    let found = refusal(server.expect_err("refused"));
    assert_eq!(
        found,
        CertificateProblem::WrongRole {
            found: Role::Capture,
            accepted: vec![Role::Supervisor, Role::Admin]
        }
    );
    assert_eq!(
        found.to_string(),
        "its certificate has role capture; role supervisor or admin is needed here"
    );
    let problem = problem(client.expect_err("refused"));
    assert_eq!(problem, CertificateProblem::RefusedByPeer(PeerRefusal::WrongRole));
}

#[tokio::test]
async fn a_supervisors_certificate_makes_no_server() {
    let pki = Pki::new();
    let supervisor = pki.credentials(Role::Supervisor, "eve");
    let refused = ServerTls::new(&supervisor, &pki.trust(), &[Role::Supervisor], &[ALPN]);
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("role supervisor; a server needs role capture"), "{text}");
}

#[tokio::test]
async fn a_server_dialled_by_another_name_than_its_certificates_is_refused() {
    let pki = Pki::new();
    let path = pki.issue(Role::Capture, "gw1", &["10.9.9.9", "gw1.example"]);
    let credentials = Credentials::load(&path, None).expect("loads");
    let (mut endpoint, address) = listen(pki.server_tls_of(&credentials), Settings::server());
    let (server, client) = meet(&mut endpoint, &address, &pki.client_tls()).await;
    let found = problem(client.expect_err("refused"));
    assert!(
        matches!(&found, CertificateProblem::WrongName { dialled, .. } if dialled == "127.0.0.1"),
        "{found:?}"
    );
    assert!(found.to_string().contains("10.9.9.9"), "{found}");
    let problem = refusal(server.expect_err("refused"));
    assert_eq!(problem, CertificateProblem::RefusedByPeer(PeerRefusal::Bad));
}

#[tokio::test]
async fn a_revoked_supervisor_is_refused_as_soon_as_the_server_has_the_list() {
    let pki = Pki::new();
    let server_credentials = pki.credentials(Role::Capture, "gw1");
    let (mut endpoint, address) = listen(pki.server_tls_of(&server_credentials), Settings::server());
    let client_tls = pki.client_tls();
    let (server, client) = meet(&mut endpoint, &address, &client_tls).await;
    let (_server, client) = (server.expect("accepted"), client.expect("connected"));
    let certificate = pki.directory.path().join("sonja.pem");
    pki.authority
        .revoke(certificate.to_str().expect("UTF-8"))
        .expect("revoked");
    assert_eq!(
        endpoint.replace_tls(pki.server_tls_of(&server_credentials)),
        1,
        "open connections end, too"
    );
    assert_eq!(
        client.connection.closed().await.reason,
        "your certificate has been revoked"
    );
    let (server, client) = meet(&mut endpoint, &address, &client_tls).await;
    assert_eq!(refusal(server.expect_err("refused")), CertificateProblem::Revoked);
    let problem = problem(client.expect_err("refused"));
    assert_eq!(problem, CertificateProblem::RefusedByPeer(PeerRefusal::Revoked));
}

#[tokio::test]
async fn a_revoked_server_is_refused_by_the_client() {
    let pki = Pki::new();
    let (mut endpoint, address) = listen(pki.server_tls(), Settings::server());
    let certificate = pki.directory.path().join("gw1.pem");
    pki.authority
        .revoke(certificate.to_str().expect("UTF-8"))
        .expect("revoked");
    let (_, client) = meet(&mut endpoint, &address, &pki.client_tls()).await;
    assert_eq!(problem(client.expect_err("refused")), CertificateProblem::Revoked);
}

#[tokio::test]
async fn a_list_that_does_not_cover_the_issuer_lets_nobody_in() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let ca = ours.directory.path().join("ca/ca.pem");
    let foreign_list = theirs.directory.path().join("ca/crl.pem");
    let trust = silentmon_certs::Trust::load(&ca, Some(&foreign_list)).expect("loads");
    let credentials = ours.credentials(Role::Capture, "gw1");
    let tls = ServerTls::new(&credentials, &trust, &[Role::Supervisor], &[ALPN]).expect("usable");
    let (mut endpoint, address) = listen(tls, Settings::server());
    let (server, _) = meet(&mut endpoint, &address, &ours.client_tls()).await;
    assert_eq!(
        refusal(server.expect_err("refused")),
        CertificateProblem::RevocationUnknown
    );
}

#[tokio::test]
async fn another_application_protocol_is_no_certificate_problem() {
    let pki = Pki::new();
    let (mut endpoint, address) = listen(pki.server_tls(), Settings::server());
    let credentials = pki.credentials(Role::Supervisor, "sonja");
    let tls = ClientTls::new(&credentials, &pki.trust(), &[b"silentmon-peer/1"]).expect("usable");
    let (server, client) = meet(&mut endpoint, &address, &tls).await;
    assert_eq!(server.expect_err("refused").error, HandshakeError::WrongProtocol);
    let error = client.expect_err("refused");
    assert!(
        matches!(
            error,
            ConnectError::Handshake {
                error: HandshakeError::WrongProtocol,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_listening_is_noticed_at_once() {
    let pki = Pki::new();
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = ServerAddress::from(socket.local_addr().expect("bound"));
    drop(socket);
    let begin = Instant::now();
    let error = connect(&address, &pki.client_tls(), &Settings::client())
        .await
        .expect_err("refused");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    if cfg!(target_os = "linux") {
        assert!(
            matches!(
                error,
                ConnectError::Handshake {
                    error: HandshakeError::NothingListens,
                    ..
                }
            ),
            "{error}"
        );
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_limit() {
    let pki = Pki::new();
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = ServerAddress::from(silent.local_addr().expect("bound"));
    let settings = Settings {
        handshake_limit: Duration::from_millis(300),
        ..Settings::client()
    };
    let begin = Instant::now();
    let error = connect(&address, &pki.client_tls(), &settings)
        .await
        .expect_err("refused");
    assert!(error.to_string().ends_with("no answer within 0.3 s"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_plaintext_client_gets_nothing() {
    let pki = Pki::new();
    let (endpoint, _) = listen(pki.server_tls(), Settings::server());
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let address: SocketAddr = endpoint.local_address();
    for plain in [&b"{\"type\":\"hello\"}"[..], b"GET / HTTP/1.1\r\n\r\n", &[0x80; 160]] {
        socket.send_to(plain, address).await.expect("sent");
    }
    let mut buffer = [0; 2048];
    let answer = tokio::time::timeout(Duration::from_millis(300), socket.recv_from(&mut buffer)).await;
    assert!(answer.is_err(), "nothing but QUIC is answered: {answer:?}");
    assert_eq!(endpoint.open_connections(), 0);
}

#[tokio::test]
async fn an_expired_client_is_refused_with_its_date() {
    let pki = Pki::new();
    let (mut endpoint, address) = listen(pki.server_tls(), Settings::server());
    let credentials = expired(&pki);
    let tls = ClientTls::new(&credentials, &pki.trust(), &[ALPN]).expect("usable");
    let (server, client) = meet(&mut endpoint, &address, &tls).await;
    let found = refusal(server.expect_err("refused"));
    assert_eq!(found.to_string(), "its certificate expired on 2020-01-31");
    let problem = problem(client.expect_err("refused"));
    assert_eq!(problem, CertificateProblem::RefusedByPeer(PeerRefusal::Expired));
}

/// A supervisor's certificate that the authority issued in January 2020.
fn expired(pki: &Pki) -> Credentials {
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType, date_time_ymd};
    let ca = pki.directory.path().join("ca");
    let certificate = std::fs::read_to_string(ca.join("ca.pem")).expect("there");
    let key = std::fs::read_to_string(ca.join("ca.key")).expect("there");
    let encrypted = pkcs8_key(&key);
    let issuer = Issuer::from_ca_cert_pem(&certificate, encrypted).expect("an authority");
    let leaf = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 31);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = ["urn:silentmon:role:supervisor", "urn:silentmon:name:late"]
        .map(|uri| SanType::URI(uri.try_into().expect("ASCII")))
        .to_vec();
    let pem = params.signed_by(&leaf, &issuer).expect("signed").pem() + &leaf.serialize_pem();
    let path = pki.directory.path().join("late.pem");
    std::fs::write(&path, pem).expect("written");
    let secret = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, secret).expect("set");
    Credentials::load(&path, None).expect("loads")
}

fn pkcs8_key(pem: &str) -> rcgen::KeyPair {
    use pkcs8::der::Decode;
    let (_, der) = pkcs8::SecretDocument::from_pem(pem).expect("PEM");
    let info = pkcs8::EncryptedPrivateKeyInfo::from_der(der.as_bytes()).expect("encrypted");
    let key = info.decrypt("correct horse").expect("the password");
    rcgen::KeyPair::try_from(key.as_bytes()).expect("a key")
}

/// A QUIC client without this project's manners.
fn foreign_client(tls: rustls::ClientConfig) -> quinn::Endpoint {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    endpoint
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let pki = Pki::new();
    let (mut endpoint, _) = listen(pki.server_tls(), Settings::server());
    let ca = std::fs::read(pki.directory.path().join("ca/ca.pem")).expect("there");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::pem::PemObject::from_pem_slice(&ca).expect("PEM"))
        .expect("an authority");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let client = foreign_client(tls);
    let dialling = client.connect(endpoint.local_address(), "127.0.0.1").expect("dials");
    let (server, _client) = tokio::join!(endpoint.accept(), dialling);
    let refused = server.expect("open").expect_err("refused");
    assert_eq!(refusal(refused), CertificateProblem::Missing);
}

#[tokio::test]
async fn a_client_that_never_greets_is_given_up_at_the_limit() {
    let pki = Pki::new();
    let settings = Settings {
        handshake_limit: Duration::from_millis(500),
        ..Settings::server()
    };
    let (mut endpoint, _) = listen(pki.server_tls(), settings);
    let (tls, _verdict) = pki.client_tls().for_connection().expect("usable");
    let client = foreign_client(rustls::ClientConfig::clone(&tls));
    let dialling = client.connect(endpoint.local_address(), "127.0.0.1").expect("dials");
    let (server, dialled) = tokio::join!(endpoint.accept(), dialling);
    let refused = server.expect("open").expect_err("refused");
    assert_eq!(refused.error, HandshakeError::TimedOut(Duration::from_millis(500)));
    let ended = tokio::time::timeout(Duration::from_secs(2), dialled.expect("TLS was fine").closed()).await;
    assert!(ended.is_ok(), "the server hangs up");
}

#[tokio::test]
async fn keys_are_replaced_while_sound_flows() {
    let pki = Pki::new();
    let (mut endpoint, _) = listen(pki.server_tls(), Settings::server());
    let (tls, _verdict) = pki.client_tls().for_connection().expect("usable");
    let client = foreign_client(rustls::ClientConfig::clone(&tls));
    let dialling = client.connect(endpoint.local_address(), "127.0.0.1").expect("dials");
    let greeting = async {
        let quinn = dialling.await.expect("connected");
        let (mut send, receive) = quinn.open_bi().await.expect("a stream");
        send.write_all(&[0; 4]).await.expect("greeted");
        (quinn, send, receive)
    };
    let (server, (quinn, _send, _receive)) = tokio::join!(endpoint.accept(), greeting);
    let server = server.expect("open").expect("accepted");
    server.connection.set_audio_streams(2);
    for number in 0..300_u16 {
        // The library does so by itself, once early and then before the cipher's limit (RFC 9001 section 6.6).
        if number % 50 == 25 {
            quinn.force_key_update();
        }
        let datagram = Bytes::copy_from_slice(&number.to_be_bytes());
        assert_eq!(server.connection.send_datagram(datagram.clone()), Ok(SendOutcome::Sent));
        let limit = Duration::from_secs(5);
        let heard = tokio::time::timeout(limit, quinn.read_datagram())
            .await
            .expect("in time");
        assert_eq!(heard.expect("open"), datagram);
    }
}

#[test]
fn a_server_that_was_started_again_says_at_once_that_it_knows_a_connection_no_longer() {
    let pki = Pki::new();
    let tls = pki.server_tls();
    let life = || tokio::runtime::Runtime::new().expect("a runtime");
    let (first, supervisor) = (life(), life());
    let (mut endpoint, address) = first.block_on(async { listen(tls.clone(), Settings::server()) });
    let client = supervisor.spawn(async move {
        let client = connect(&address, &pki.client_tls(), &Settings::client()).await;
        (address, client.expect("connected"))
    });
    let server = first.block_on(endpoint.accept()).expect("open").expect("accepted");
    let (address, mut client) = supervisor.block_on(client).expect("no panic");
    // Whatever it would still say isn't said: its tasks end in mid air.
    first.shutdown_background();
    drop((server, endpoint));

    let second = life();
    let again = second.block_on(async {
        for _ in 0..100 {
            let socket = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
            match ServerEndpoint::bind(socket, tls.clone(), Settings::server()) {
                Ok(endpoint) => return endpoint,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        unreachable!("the former run keeps the port")
    });
    let closed = supervisor.block_on(async {
        // An acknowledgement of his may have asked before: then he knows already, and nothing can be sent.
        let _ = client.sender.send(&hello()).await;
        tokio::time::timeout(Duration::from_secs(2), client.connection.closed()).await
    });
    let closed = closed.expect("it was not told");
    assert_eq!(closed.reason, "the other side no longer knows the connection");
    drop(again);
}

//! The receiver against scripted servers, over real QUIC on loopback.

#![allow(clippy::expect_used, clippy::needless_pass_by_value)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, ClientTls, Credentials, Password, RequestOptions, Role, ServerTls,
    SignOptions, SubjectName, Trust,
};
use silentmon_playback_io::receiver::{
    MonitorRequest, Persistence, Receiver, ReceiverEvent, ReceiverSettings, ReceiverSink, RequestId, ServerOrder,
};
use silentmon_proto::codec::Codec;
use silentmon_proto::cti::AgentState;
use silentmon_proto::ids::{AgentId, Leg, ServerName, SessionId};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{ALPN, AudioHeader, AudioKind, ClientMessage, OutputKind, ServerMessage, SessionStatus};
use silentmon_proto::time::Instant;
use silentmon_transport::{Channel, CloseCode, ServerAddress, ServerEndpoint, Settings};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

const SESSION: SessionId = SessionId(0xfeed);
const PATIENCE: Duration = Duration::from_secs(10);

struct Pki {
    directory: TempDir,
    authority: CertificateAuthority,
}

impl Pki {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = AuthorityOptions {
            name: SubjectName::new("Test CA").expect("a name"),
            days: 100,
            algorithm: silentmon_certs::KeyAlgorithm::default(),
        };
        let password = Password::chosen("correct horse").expect("long enough");
        let authority = CertificateAuthority::create(directory.path(), &options, &password).expect("an authority");
        Self { directory, authority }
    }

    fn credentials(&self, role: Role, name: &str) -> Credentials {
        let request = RequestOptions {
            role,
            name: SubjectName::new(name).expect("a name"),
            hosts: vec!["127.0.0.1".parse().expect("a host")],
        };
        let path: PathBuf = self
            .authority
            .issue(self.directory.path(), &request, &SignOptions::default())
            .expect("issued");
        Credentials::load(&path, None).expect("loads")
    }

    fn trust(&self) -> Trust {
        Trust::load(&self.directory.path().join("ca.pem"), None).expect("loads")
    }

    fn server(&self, name: &str) -> FakeServer {
        let credentials = self.credentials(Role::Capture, name);
        let tls = ServerTls::new(&credentials, &self.trust(), &[Role::Supervisor], &[ALPN]).expect("usable");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = ServerEndpoint::bind(any, tls, Settings::server()).expect("listens");
        FakeServer {
            endpoint,
            name: ServerName::new(name),
        }
    }

    fn receiver(&self, servers: &[ServerAddress]) -> (Receiver, Observed) {
        self.receiver_as("sonja", servers)
    }

    fn receiver_as(&self, name: &str, servers: &[ServerAddress]) -> (Receiver, Observed) {
        let credentials = self.credentials(Role::Supervisor, name);
        let tls = ClientTls::new(&credentials, &self.trust(), &[ALPN]).expect("usable");
        let settings = ReceiverSettings {
            servers: servers.to_vec(),
            order: ServerOrder::Given,
            persistence: Persistence::Rounds(1),
            software: "test".into(),
            transport: Settings::client(),
        };
        let (events, seen) = mpsc::unbounded_channel();
        let (packets, heard) = mpsc::unbounded_channel();
        let is_busy = Arc::<AtomicBool>::default();
        let sink = Sink {
            events,
            packets,
            is_busy: Arc::clone(&is_busy),
        };
        (
            Receiver::start(settings, tls, Box::new(sink)),
            Observed { seen, heard, is_busy },
        )
    }
}

struct Sink {
    events: mpsc::UnboundedSender<ReceiverEvent>,
    packets: mpsc::UnboundedSender<(RequestId, AudioHeader, Vec<u8>)>,
    /// The program does something else.
    is_busy: Arc<AtomicBool>,
}

impl ReceiverSink for Sink {
    fn event(&mut self, _now: Instant, event: ReceiverEvent) {
        let _ = self.events.send(event);
        // Not for ever: what its thread would do next can't be done by another one.
        for _ in 0..100 {
            if self.is_busy.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn packet(&mut self, _now: Instant, request: RequestId, header: &AudioHeader, rtp: &[u8]) {
        let _ = self.packets.send((request, *header, rtp.to_vec()));
    }
}

struct Observed {
    seen: mpsc::UnboundedReceiver<ReceiverEvent>,
    heard: mpsc::UnboundedReceiver<(RequestId, AudioHeader, Vec<u8>)>,
    is_busy: Arc<AtomicBool>,
}

impl Observed {
    /// The next event that `wanted` takes; others are passed over.
    async fn event<T>(&mut self, wanted: impl Fn(ReceiverEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.seen.recv().await.expect("more events");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("in time")
    }

    async fn packet(&mut self) -> (RequestId, AudioHeader, Vec<u8>) {
        timeout(PATIENCE, self.heard.recv())
            .await
            .expect("in time")
            .expect("a packet")
    }
}

struct FakeServer {
    endpoint: ServerEndpoint,
    name: ServerName,
}

impl FakeServer {
    fn address(&self) -> ServerAddress {
        self.endpoint.local_address().into()
    }

    /// Accepts a receiver and answers its hello.
    async fn welcome(&mut self) -> Channel {
        let mut channel = timeout(PATIENCE, self.endpoint.accept())
            .await
            .expect("in time")
            .expect("open")
            .expect("let in");
        let hello = hear(&mut channel).await;
        assert!(matches!(hello, ClientMessage::Hello { version: 1, .. }), "{hello:?}");
        let welcome = ServerMessage::Welcome {
            version: 1,
            server: self.name.clone(),
            software: "fake".into(),
        };
        channel.sender.send(&welcome).await.expect("sent");
        channel
    }
}

async fn hear(channel: &mut Channel) -> ClientMessage {
    timeout(PATIENCE, channel.receiver.receive())
        .await
        .expect("in time")
        .expect("a message")
        .expect("not the end")
}

async fn hear_start(channel: &mut Channel) -> (u32, Option<SessionId>) {
    match hear(channel).await {
        ClientMessage::StartMonitor { request, resume, .. } => (request, resume),
        other => unreachable!("{other:?}"),
    }
}

async fn start(channel: &mut Channel, request: u32, number: u16) {
    let started = ServerMessage::MonitorStarted {
        request,
        session: SESSION,
        channel: number,
    };
    channel.sender.send(&started).await.expect("sent");
}

fn status() -> SessionStatus {
    SessionStatus {
        session: SESSION,
        agent: AgentId::new("4711"),
        agent_state: AgentState::Talking,
        calls: Vec::new(),
        reason: Code::AudioFlowing.into(),
        warnings: Vec::new(),
        legs: Default::default(),
        controls: Vec::new(),
    }
}

fn audio(channel: u16, relay_sequence: u32, rtp: &[u8]) -> (AudioHeader, Bytes) {
    let header = AudioHeader {
        kind: AudioKind::Rtp,
        leg: Leg::Customer,
        again: false,
        codec: Codec::Pcmu,
        channel,
        relay_sequence,
        captured: Instant::from_parts(1, u32::from(channel)),
    };
    (header, [&header.to_bytes()[..], rtp].concat().into())
}

fn wish() -> MonitorRequest {
    MonitorRequest {
        agent: AgentId::new("4711"),
        purpose: Some("coaching".into()),
        output: OutputKind::Play,
    }
}

fn started(event: ReceiverEvent) -> Option<bool> {
    match event {
        ReceiverEvent::MonitorStarted { resumed, .. } => Some(resumed),
        _ => None,
    }
}

#[tokio::test]
async fn hears_a_session_from_start_to_goodbye() {
    let pki = Pki::new();
    let mut server = pki.server("gw1");
    let (receiver, mut observed) = pki.receiver(&[server.address()]);
    let request = receiver.start_monitor(wish());
    let mut channel = server.welcome().await;
    let (asked, resume) = hear_start(&mut channel).await;
    assert_eq!((RequestId(asked), resume), (request, None));

    // Audio may overtake the message that announces it.
    let (header, datagram) = audio(3, 0, b"\x80\x00early");
    channel.connection.send_datagram(datagram).expect("sent");
    tokio::time::sleep(Duration::from_millis(50)).await;
    start(&mut channel, asked, 3).await;
    assert_eq!(observed.packet().await, (request, header, b"\x80\x00early".to_vec()));
    assert!(!observed.event(started).await);

    channel
        .sender
        .send(&ServerMessage::SessionStatus(status()))
        .await
        .expect("sent");
    let told = observed.event(|event| match event {
        ReceiverEvent::Status { status, .. } => Some(status),
        _ => None,
    });
    assert_eq!(told.await, status());

    receiver.close();
    assert_eq!(
        hear(&mut channel).await,
        ClientMessage::StopMonitor { session: SESSION }
    );
    let stopped = ServerMessage::MonitorStopped {
        session: SESSION,
        reason: Code::AudioFlowing.into(),
        status: status(),
    };
    channel.sender.send(&stopped).await.expect("sent");
    assert_eq!(hear(&mut channel).await, ClientMessage::Goodbye);
    observed
        .event(|event| (event == ReceiverEvent::Closed).then_some(()))
        .await;
    assert_eq!(channel.connection.closed().await.reason, "goodbye");
}

#[tokio::test]
async fn keeps_its_session_over_a_lost_connection() {
    let pki = Pki::new();
    let mut server = pki.server("gw1");
    let (receiver, mut observed) = pki.receiver(&[server.address()]);
    let request = receiver.start_monitor(wish());
    let mut first = server.welcome().await;
    let (asked, _) = hear_start(&mut first).await;
    start(&mut first, asked, 3).await;
    assert!(!observed.event(started).await);

    first.connection.close(CloseCode::Stopping, "pulled");
    let mut second = server.welcome().await;
    assert_eq!(hear_start(&mut second).await, (asked, Some(SESSION)));
    start(&mut second, asked, 8).await;
    assert!(observed.event(started).await, "the session that ran before");
    let (header, datagram) = audio(8, 5, b"again");
    second.connection.send_datagram(datagram).expect("sent");
    assert_eq!(observed.packet().await, (request, header, b"again".to_vec()));
    assert_eq!(receiver.statistics().packets, 1);
}

#[tokio::test]
async fn goes_to_the_next_server_when_the_first_is_gone() {
    let pki = Pki::new();
    let gone = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let gone_address = ServerAddress::from(gone.local_addr().expect("bound"));
    drop(gone);
    let mut second = pki.server("gw2");
    let (_receiver, mut observed) = pki.receiver(&[gone_address.clone(), second.address()]);
    let _channel = second.welcome().await;
    let failed = observed.event(|event| match event {
        ReceiverEvent::DialFailed { server, reason } => Some((server, reason.code)),
        _ => None,
    });
    assert_eq!(failed.await, (gone_address, Code::NoCaptureServer));
    let name = observed.event(|event| match event {
        ReceiverEvent::Connected { name, .. } => Some(name),
        _ => None,
    });
    assert_eq!(name.await, ServerName::new("gw2"));
}

fn gave_up(event: ReceiverEvent) -> Option<Reason> {
    match event {
        ReceiverEvent::GaveUp { reason } => Some(reason),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_said_counts_though_the_connection_is_over_when_it_is_read() {
    let pki = Pki::new();
    let mut server = pki.server("gw1");
    let revoked = Reason::new(Code::CertificateRefused, "Your certificate has been revoked.");
    // Which of both a program sees first is a matter of luck.
    for round in 0..12 {
        let name = format!("sonja{round}");
        let (receiver, mut observed) = pki.receiver_as(&name, &[server.address()]);
        receiver.start_monitor(wish());
        let mut channel = server.welcome().await;
        let (asked, _) = hear_start(&mut channel).await;
        start(&mut channel, asked, 3).await;
        observed.event(started).await;

        observed.is_busy.store(true, Ordering::Relaxed);
        let keeps_busy = ServerMessage::SessionStatus(status());
        channel.sender.send(&keeps_busy).await.expect("sent");
        let reason = revoked.clone();
        let goodbye = ServerMessage::Goodbye { reason };
        channel.sender.send(&goodbye).await.expect("sent");
        channel.sender.finish();
        channel.sender.delivered().await;
        channel.connection.close(CloseCode::Done, "goodbye");
        tokio::time::sleep(Duration::from_millis(20)).await;
        observed.is_busy.store(false, Ordering::Relaxed);
        assert_eq!(observed.event(gave_up).await, revoked);
    }
}

#[tokio::test]
async fn a_server_that_denies_without_a_word_is_not_dialled_again() {
    let pki = Pki::new();
    let mut server = pki.server("gw1");
    let (_receiver, mut observed) = pki.receiver(&[server.address()]);
    let channel = server.welcome().await;
    channel
        .connection
        .close(CloseCode::Denied, "your certificate has been revoked");
    let reason = observed.event(gave_up).await;
    let revoked = Reason::new(Code::CertificateRefused, "Your certificate has been revoked.");
    assert_eq!(reason, revoked);
}

#[tokio::test]
async fn a_server_that_new_lists_name_is_left_at_once() {
    let pki = Pki::new();
    let mut server = pki.server("gw1");
    let (receiver, mut observed) = pki.receiver(&[server.address()]);
    let _conversation = server.welcome().await;
    observed
        .event(|event| matches!(event, ReceiverEvent::Connected { .. }).then_some(()))
        .await;
    let folder = pki.directory.path();
    pki.authority
        .revoke(folder.join("gw1.pem").to_str().expect("UTF-8"))
        .expect("revoked");
    let trust = Trust::load(&folder.join("ca.pem"), Some(&folder.join("crl.pem"))).expect("loads");
    let supervisor = Credentials::load(&folder.join("sonja.pem"), None).expect("loads");
    receiver.use_tls(ClientTls::new(&supervisor, &trust, &[ALPN]).expect("usable"));
    let reason = observed
        .event(|event| match event {
            ReceiverEvent::Lost { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason.code, Code::CertificateRefused);
    assert!(reason.text.contains("has been revoked"), "{reason}");
}

#[tokio::test]
async fn a_refused_certificate_is_the_reason_it_gives_up() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let server = theirs.server("gw1");
    let (mut receiver, mut observed) = ours.receiver(&[server.address()]);
    let reason = observed
        .event(|event| match event {
            ReceiverEvent::GaveUp { reason } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason.code, Code::CertificateRefused);
    assert!(reason.text.contains("isn't trusted here"), "{reason}");
    timeout(PATIENCE, receiver.ended()).await.expect("over");
}

#[tokio::test]
async fn a_refusal_is_said_with_the_servers_reason() {
    let pki = Pki::new();
    let mut server = pki.server("gw1");
    let (receiver, mut observed) = pki.receiver(&[server.address()]);
    receiver.watch_agents();
    let request = receiver.start_monitor(wish());
    let mut channel = server.welcome().await;
    assert_eq!(hear(&mut channel).await, ClientMessage::ListAgents { watch: true });
    let (asked, _) = hear_start(&mut channel).await;
    let reason = Reason::new(Code::NotAuthorised, "You may not listen to 4711.");
    let refused = ServerMessage::MonitorRefused {
        request: asked,
        reason: reason.clone(),
    };
    channel.sender.send(&refused).await.expect("sent");
    let told = observed.event(|event| match event {
        ReceiverEvent::MonitorRefused { request, reason } => Some((request, reason)),
        _ => None,
    });
    assert_eq!(told.await, (request, reason));
}

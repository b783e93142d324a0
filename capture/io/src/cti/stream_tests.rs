//! A link over lines against sources on loopback that behave well and badly.
#![allow(clippy::expect_used, reason = "a test that can't go on panics")]

use std::time::Duration;

use std::collections::VecDeque;
use std::net::SocketAddr;

use silentmon_proto::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use silentmon_capture_core::link::SuperviseAction;

use super::*;

/// Greets with `hello`, tells each number that comes on a line of its own, says `bye` at the end; goes round its
/// endpoints when a connection is gone, and gives one up that was silent for `patience`.
struct Lines {
    endpoints: usize,
    patience: Duration,
    current: Endpoint,
    rest: Vec<u8>,
    deadline: Option<Instant>,
    outputs: VecDeque<StreamOutput>,
    events: VecDeque<LinkEvent>,
}

impl Lines {
    fn new(endpoints: usize, patience: Duration) -> Box<Self> {
        Box::new(Self {
            endpoints,
            patience,
            current: Endpoint(0),
            rest: Vec::new(),
            deadline: None,
            outputs: [StreamOutput::Connect(Endpoint(0))].into(),
            events: VecDeque::new(),
        })
    }

    fn tell(&mut self, number: u64, why: &str) {
        let result = if why.is_empty() { Ok(()) } else { Err(why.to_owned()) };
        self.events.push_back(LinkEvent::Done { number, result });
    }

    fn go_on(&mut self) {
        self.current = Endpoint((self.current.0 + 1) % self.endpoints);
        self.outputs.push_back(StreamOutput::Connect(self.current));
    }
}

impl Link for Lines {
    fn controls(&self) -> &'static [SuperviseAction] {
        &[]
    }

    fn handle_command(&mut self, _: LinkCommand, _: Instant) {
        self.outputs
            .push_back(StreamOutput::Send(self.current, b"command\n".to_vec()));
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.deadline = None;
        self.tell(self.current.0 as u64, "silence");
        self.outputs.push_back(StreamOutput::Disconnect(self.current));
        self.go_on();
    }

    fn close(&mut self, _: Instant) {
        self.outputs
            .push_back(StreamOutput::Send(self.current, b"bye\n".to_vec()));
        self.outputs.push_back(StreamOutput::Disconnect(self.current));
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

impl StreamLink for Lines {
    fn handle_connected(&mut self, endpoint: Endpoint, now: Instant) {
        self.outputs
            .push_back(StreamOutput::Send(endpoint, b"hello\n".to_vec()));
        self.deadline = Some(now + self.patience);
    }

    fn handle_bytes(&mut self, _: Endpoint, bytes: &[u8], now: Instant) {
        self.deadline = Some(now + self.patience);
        self.rest.extend(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let number = String::from_utf8_lossy(&line).trim().parse().unwrap_or(u64::MAX);
            self.tell(number, "");
        }
    }

    fn handle_closed(&mut self, endpoint: Endpoint, why: Closed, _: Instant) {
        self.tell(endpoint.0 as u64, &format!("{why:?}"));
        self.deadline = None;
        self.go_on();
    }

    fn poll_output(&mut self) -> Option<StreamOutput> {
        self.outputs.pop_front()
    }
}

struct Run {
    events: mpsc::Receiver<LinkEvent>,
    commands: mpsc::Sender<LinkCommand>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Run {
    fn start(endpoints: Vec<StreamEndpoint>, patience: Duration) -> Self {
        let (events, receiver) = mpsc::channel(4);
        let (commands, queue) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let link = Lines::new(endpoints.len(), patience);
        let run = run_stream_link(link, endpoints, Clock::start(), events, queue, shutdown.clone());
        Self {
            events: receiver,
            commands,
            shutdown,
            task: tokio::spawn(run),
        }
    }

    /// The next number told, or what went wrong.
    async fn next(&mut self) -> Result<u64, String> {
        let event = tokio::time::timeout(Duration::from_secs(10), self.events.recv())
            .await
            .expect("something is told in time");
        match event.expect("the link runs") {
            LinkEvent::Done { number, result } => result.map(|()| number),
            LinkEvent::Cti(event) => Err(format!("{event:?}")),
        }
    }
}

const LONG: Duration = Duration::from_secs(60);

fn plain(address: SocketAddr) -> StreamEndpoint {
    StreamEndpoint {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().await.expect("someone dials");
    BufReader::new(stream)
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("reads");
    line
}

#[tokio::test]
async fn a_side_that_refuses_makes_way_for_the_other() {
    let (closed, nobody) = listener().await;
    drop(closed);
    let (listener, address) = listener().await;
    let mut run = Run::start(vec![plain(nobody), plain(address)], LONG);
    let refused = run.next().await.expect_err("nobody answers there");
    assert!(
        refused.contains("Unreachable") && refused.contains(&nobody.to_string()),
        "{refused}"
    );
    let mut source = accept(&listener).await;
    assert_eq!(line(&mut source).await, "hello\n");
    source.write_all(b"1\n2\n").await.expect("writes");
    assert_eq!((run.next().await, run.next().await), (Ok(1), Ok(2)));
}

#[tokio::test]
async fn a_half_open_connection_is_left_when_the_link_says_so() {
    let (listener, address) = listener().await;
    let mut run = Run::start(vec![plain(address)], Duration::from_millis(200));
    let mut silent = accept(&listener).await;
    assert_eq!(line(&mut silent).await, "hello\n");
    assert_eq!(run.next().await, Err("silence".to_owned()));
    let mut fresh = accept(&listener).await;
    fresh.write_all(b"7\n").await.expect("writes");
    assert_eq!(run.next().await, Ok(7));
    silent.write_all(b"8\n").await.ok();
    fresh.write_all(b"9\n").await.expect("writes");
    assert_eq!(run.next().await, Ok(9), "the connection given up is no longer heard");
}

#[tokio::test]
async fn a_connection_that_ends_is_told_and_dialled_anew() {
    let (listener, address) = listener().await;
    let mut run = Run::start(vec![plain(address)], LONG);
    drop(accept(&listener).await);
    let ended = run.next().await.expect_err("it ended");
    assert!(ended == "ByPeer" || ended.contains("Broken"), "{ended}");
    let mut again = accept(&listener).await;
    assert_eq!(line(&mut again).await, "hello\n");
}

#[tokio::test]
async fn no_event_of_a_burst_is_lost_to_a_slow_engine() {
    const MANY: u64 = 200_000;
    let (listener, address) = listener().await;
    let mut run = Run::start(vec![plain(address)], LONG);
    let mut source = accept(&listener).await;
    let lines: Vec<_> = (0..MANY).map(|number| number.to_string()).collect();
    let burst = lines.join("\n") + "\n";
    let writer = tokio::spawn(async move { source.write_all(burst.as_bytes()).await.map(|()| source) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    for number in 0..MANY {
        assert_eq!(run.next().await, Ok(number));
    }
    writer.await.expect("runs").expect("writes");
}

#[tokio::test]
async fn a_command_reaches_the_source_and_shutdown_says_goodbye() {
    let (listener, address) = listener().await;
    let run = Run::start(vec![plain(address)], LONG);
    let mut source = accept(&listener).await;
    assert_eq!(line(&mut source).await, "hello\n");
    run.commands.send(LinkCommand::Reconnect).await.expect("taken");
    assert_eq!(line(&mut source).await, "command\n");
    run.shutdown.cancel();
    assert_eq!(line(&mut source).await, "bye\n");
    assert_eq!(source.read(&mut [0; 8]).await.expect("an end in order"), 0);
    drop(source);
    tokio::time::timeout(Duration::from_secs(3), run.task)
        .await
        .expect("it ends in time")
        .expect("and well");
}

#[tokio::test]
async fn shutdown_ends_even_where_nobody_takes_events_and_the_source_is_dead() {
    let (listener, address) = listener().await;
    let run = Run::start(vec![plain(address)], LONG);
    let mut source = accept(&listener).await;
    source.write_all(b"1\n2\n3\n4\n5\n6\n7\n8\n").await.expect("writes");
    tokio::time::sleep(Duration::from_millis(50)).await;
    run.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(3), run.task)
        .await
        .expect("it ends in time")
        .expect("and well");
    drop(run.events);
}

mod tls {
    use std::path::{Path, PathBuf};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use tokio_rustls::rustls::{self, ServerConfig};

    use super::*;

    /// A certificate that a telephony system made for itself.
    struct SelfSigned {
        folder: tempfile::TempDir,
        server: ServerConfig,
    }

    impl SelfSigned {
        fn make(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let key = KeyPair::generate().expect("a key");
            let mut parameters = CertificateParams::new([name.to_owned()]).expect("parameters");
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = parameters.self_signed(&key).expect("a certificate");
            std::fs::write(folder.path().join("trust.pem"), certificate.pem()).expect("writes");
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let server = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .expect("a configuration");
            Self { folder, server }
        }

        fn trust(&self) -> PathBuf {
            self.folder.path().join("trust.pem")
        }

        async fn serve(&self, listener: &TcpListener) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
            let (stream, _) = listener.accept().await?;
            TlsAcceptor::from(std::sync::Arc::new(self.server.clone()))
                .accept(stream)
                .await
        }
    }

    fn secure(address: SocketAddr, trust: &Path, name: &str) -> StreamEndpoint {
        StreamEndpoint {
            tls: Some(TlsTo {
                config: silentmon_certs::cti_client_tls(trust, None).expect("a configuration"),
                name: ServerName::try_from(name.to_owned()).expect("a name"),
            }),
            ..plain(address)
        }
    }

    #[tokio::test]
    async fn a_systems_own_certificate_is_taken_when_it_is_the_one_that_was_named() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let system = SelfSigned::make("cti-a.example", &[version]);
            let (listener, address) = listener().await;
            let mut run = Run::start(vec![secure(address, &system.trust(), "cti-a.example")], LONG);
            let mut source = system.serve(&listener).await.expect("a handshake");
            source.write_all(b"5\n").await.expect("writes");
            assert_eq!(run.next().await, Ok(5));
            run.shutdown.cancel();
            let mut said = String::new();
            source.read_to_string(&mut said).await.expect("an end in order");
            assert_eq!(said, "hello\nbye\n");
        }
    }

    #[tokio::test]
    async fn another_systems_certificate_or_another_name_is_refused() {
        let system = SelfSigned::make("cti-a.example", rustls::ALL_VERSIONS);
        let stranger = SelfSigned::make("cti-a.example", rustls::ALL_VERSIONS);
        for (trust, name) in [(stranger.trust(), "cti-a.example"), (system.trust(), "cti-b.example")] {
            let (listener, address) = listener().await;
            let mut run = Run::start(vec![secure(address, &trust, name)], LONG);
            let (served, told) = tokio::join!(system.serve(&listener), run.next());
            assert!(served.is_err());
            let told = told.expect_err("refused");
            assert!(told.starts_with("Tls(") && told.contains("certificate"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_plain_port_that_answers_a_handshake_is_shown_by_its_first_bytes() {
        let system = SelfSigned::make("cti-a.example", rustls::ALL_VERSIONS);
        let (listener, address) = listener().await;
        let mut run = Run::start(vec![secure(address, &system.trust(), "cti-a.example")], LONG);
        let mut plain = accept(&listener).await;
        plain.read_exact(&mut [0; 16]).await.expect("a client hello");
        plain.write_all(&[0, 0, 0, 8, 0, 0, 0, 1, 9]).await.expect("writes");
        assert_eq!(
            run.next().await,
            Err(format!("{:?}", Closed::PlainPort(vec![0, 0, 0, 8, 0, 0, 0, 1])))
        );
    }

    #[tokio::test]
    async fn a_port_that_hangs_up_at_the_handshake_may_be_a_plain_one() {
        let system = SelfSigned::make("cti-a.example", rustls::ALL_VERSIONS);
        let (listener, address) = listener().await;
        let mut run = Run::start(vec![secure(address, &system.trust(), "cti-a.example")], LONG);
        let mut plain = accept(&listener).await;
        plain.read_exact(&mut [0; 16]).await.expect("a client hello");
        drop(plain);
        let told = run.next().await.expect_err("no handshake");
        assert!(told.contains("is it a plain port"), "{told}");
    }
}

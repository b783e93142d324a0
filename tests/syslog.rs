//! The journal's second sink: a syslog receiver with TLS that comes and goes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on panics")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{House, Service, eventually, fixture, said};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");

/// A receiver of RFC 5425. Ends, with its connections, when dropped.
struct Receiver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

type Received = Arc<Mutex<Vec<String>>>;

impl Receiver {
    fn start(house: &House, address: SocketAddr, received: &Received) -> Self {
        let chain = CertificateDer::pem_file_iter(house.path("logs.pem")).expect("a chain");
        let key = PrivateKeyDer::from_pem_file(house.path("logs.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(chain.map(|one| one.expect("a certificate")).collect(), key)
            .expect("an identity");
        let (config, stop) = (Arc::new(config), Arc::new(AtomicBool::new(false)));
        let listener = TcpListener::bind(address).expect("the port is free");
        listener.set_nonblocking(true).expect("can be asked");
        let (stopped, received) = (Arc::clone(&stop), Arc::clone(received));
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let tls = ServerConnection::new(Arc::clone(&config)).expect("TLS");
                        let (received, stopped) = (Arc::clone(&received), Arc::clone(&stopped));
                        connections.push(std::thread::spawn(move || take(stream, tls, &received, &stopped)));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
            for connection in connections {
                connection.join().expect("a connection ends");
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads messages until the other end is gone or the receiver is to stop.
fn take(stream: TcpStream, tls: ServerConnection, received: &Received, stopped: &AtomicBool) {
    stream.set_nonblocking(false).expect("can wait");
    let patience = Duration::from_millis(50);
    stream.set_read_timeout(Some(patience)).expect("can wait");
    let mut reader = BufReader::new(Patient(StreamOwned::new(tls, stream), stopped));
    loop {
        let mut length = Vec::new();
        if !matches!(reader.read_until(b' ', &mut length), Ok(1..)) || length.pop() != Some(b' ') {
            return;
        }
        let length: usize = String::from_utf8(length).expect("digits").parse().expect("a number");
        let mut message = vec![0; length];
        if reader.read_exact(&mut message).is_err() {
            return;
        }
        let message = String::from_utf8(message).expect("text");
        received.lock().expect("whole").push(message);
    }
}

/// A stream that is asked again where nothing came, until it is to stop.
struct Patient<'a>(StreamOwned<ServerConnection, TcpStream>, &'a AtomicBool);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && !self.1.load(Ordering::Relaxed) => {}
                other => return other,
            }
        }
    }
}

/// A house whose journal goes to `receiver`, too.
fn build(receiver: SocketAddr, more: &str) -> (House, SocketAddr) {
    let house = House::build();
    house.certificate("capture", "logs", &["--san", "127.0.0.1"]);
    let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
    let server = house.configure(&source, EVENTS, "");
    let path = house.path("capture.toml");
    let config = std::fs::read_to_string(&path).expect("reads");
    let syslog = format!("[audit.syslog]\naddress = \"{receiver}\"\nca = \"ca.pem\"\n{more}");
    std::fs::write(path, config + &syslog).expect("writes");
    (house, server)
}

fn listen(house: &House, server: SocketAddr) -> std::process::Output {
    let more = ["--output", "null", "--for", "1", "--reason", "coaching"];
    house.listen("anna", "4711", server, &more).output().expect("runs")
}

/// Waits until it is so.
fn wait(what: &str, so: impl Fn() -> bool) {
    eventually(Duration::from_secs(15), || (!so()).then(|| what.to_owned()));
}

fn journal(house: &House) -> Vec<String> {
    let text = std::fs::read_to_string(house.path("audit.jsonl")).expect("reads");
    text.lines().map(str::to_owned).collect()
}

/// The records in what was received, in order, and how many came more than once.
fn records(received: &Received) -> (Vec<String>, usize) {
    let mut records = Vec::<String>::new();
    let mut twice = 0;
    for message in received.lock().expect("whole").iter() {
        let record = &message[message.find('{').expect("JSON")..];
        if records.iter().any(|known| known == record) {
            twice += 1;
        } else {
            records.push(record.to_owned());
        }
    }
    (records, twice)
}

#[test]
fn every_record_reaches_the_receiver_over_its_outage_and_our_restart() {
    let address = common::free_address();
    let (house, server) = build(address, "");
    let received = Received::default();
    let has_all = || records(&received).0 == journal(&house);
    let logs = Receiver::start(&house, address, &received);
    let service = house.start();
    assert!(listen(&house, server).status.success());
    wait("what is on disk is sent", has_all);
    drop(logs);
    assert!(listen(&house, server).status.success(), "it isn't required");
    let logs = Receiver::start(&house, address, &received);
    wait("what was written meanwhile is sent", has_all);
    let (code, _) = service.terminate();
    assert_eq!(code, Some(0));
    wait("the last record is sent", has_all);
    let (_, twice) = records(&received);

    let service = house.start();
    assert!(listen(&house, server).status.success());
    wait("a restart goes on", has_all);
    drop(logs);
    drop(service);
    let again = records(&received).1;
    assert_eq!(again, twice, "a restart sends nothing twice");
    let first = received.lock().expect("whole")[0].clone();
    assert!(
        first.starts_with("<109>1 ") && first.contains(" gw1 silentmon - service_started - {"),
        "{first}"
    );
}

#[test]
fn where_the_receiver_is_required_nobody_listens_without_it() {
    let address = common::free_address();
    let (house, server) = build(address, "required = true\nwithin_s = 0.3\n");
    let _service = house.start();
    wait("the receiver has been away for too long", || {
        !listen(&house, server).status.success()
    });
    let refused = listen(&house, server);
    assert!(
        said(&refused).contains("SM-5002") && said(&refused).contains("audit.syslog"),
        "{}",
        said(&refused)
    );
    let received = Received::default();
    let _logs = Receiver::start(&house, address, &received);
    wait("the receiver is back", || listen(&house, server).status.success());
    wait("nothing is missing", || records(&received).0 == journal(&house));
}

#[test]
fn a_receiver_that_shows_a_strangers_certificate_gets_nothing() {
    let address = common::free_address();
    let (house, _) = build(address, "");
    let stranger = House::build();
    stranger.certificate("capture", "logs", &["--san", "127.0.0.1"]);
    let received = Received::default();
    let _logs = Receiver::start(&stranger, address, &received);
    let mut command = common::silentmon();
    command.args(["capture", "--config", &house.text("capture.toml")]);
    let service = Service::start(command);
    let line = service.wait_for_line(|line| line.contains("audit.syslog takes no records"));
    assert!(line.contains("no TLS with"), "{line}");
    assert!(received.lock().expect("whole").is_empty());
}

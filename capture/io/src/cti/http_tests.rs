//! The BroadWorks link and the RisPort resolver against small servers on loopback, over TLS.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on panics")]

use std::time::Duration;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use silentmon_capture_core::link::broadworks::{BroadWorksConfig, BroadWorksLink, MonitoredUser};
use silentmon_capture_core::resolver::risport::{RisPort, RisPortConfig};
use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::ids::{Extension, MediaAddress};
use silentmon_proto::reason::Code;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{self, ServerConfig};

use super::super::dial::{StreamEndpoint, TlsTo};
use super::super::risport::run_risport;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const NAME: &str = "xsp.example";

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    /// Counts connections.
    connection: usize,
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// What the server does besides granting everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Good,
    RefusesPasswords,
}

/// A small XSP: keeps what was asked, streams what it is told to.
struct Xsp {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    news: Arc<Notify>,
    /// Chunks for the open stream; an empty one ends it.
    chunks: mpsc::Sender<&'static str>,
    certificate: Option<SelfSigned>,
}

struct SelfSigned {
    folder: tempfile::TempDir,
    server: Arc<ServerConfig>,
}

impl SelfSigned {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new([NAME.to_owned()]).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("trust.pem"), certificate.pem()).expect("writes");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a configuration");
        Self {
            folder,
            server: Arc::new(server),
        }
    }

    fn trust(&self) -> PathBuf {
        self.folder.path().join("trust.pem")
    }

    fn to(&self) -> TlsTo {
        TlsTo {
            config: silentmon_certs::cti_client_tls(&self.trust(), None).expect("a configuration"),
            name: ServerName::try_from(NAME).expect("a name"),
        }
    }
}

impl Xsp {
    async fn start(temper: Temper, is_tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let certificate = is_tls.then(SelfSigned::make);
        let acceptor = certificate
            .as_ref()
            .map(|certificate| TlsAcceptor::from(Arc::clone(&certificate.server)));
        let (chunks, queue) = mpsc::channel(8);
        let xsp = Self {
            address,
            seen: Arc::default(),
            news: Arc::default(),
            chunks,
            certificate,
        };
        let (seen, news) = (Arc::clone(&xsp.seen), Arc::clone(&xsp.news));
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let served = Served {
                    connection,
                    temper,
                    seen: Arc::clone(&seen),
                    news: Arc::clone(&news),
                    chunks: Arc::clone(&queue),
                };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => served.serve(stream).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => served.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        xsp
    }

    fn endpoint(&self) -> HttpEndpoint {
        let place = StreamEndpoint {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            tls: self.certificate.as_ref().map(SelfSigned::to),
        };
        let login = Authorisation::Basic {
            user: "admin@example.com".to_owned(),
            password: "pass:word".to_owned(),
        };
        HttpEndpoint::new(place, login, Plaintext::InLabOnly).expect("allowed")
    }

    /// The `nth` request whose line contains `what`.
    async fn request(&self, what: &str, nth: usize) -> Seen {
        let found = async {
            loop {
                let news = self.news.notified();
                let seen = self.seen.lock().expect("a lock").clone();
                if let Some(found) = seen.into_iter().filter(|seen| seen.line.contains(what)).nth(nth) {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect(what)
    }

    async fn say(&self, chunk: &'static str) {
        self.chunks.send(chunk).await.expect("the server runs");
    }
}

struct Served {
    connection: usize,
    temper: Temper,
    seen: Arc<Mutex<Vec<Seen>>>,
    news: Arc<Notify>,
    chunks: Arc<tokio::sync::Mutex<mpsc::Receiver<&'static str>>>,
}

impl Served {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let seen = self.read(&mut stream).await?;
            let answer = if self.temper == Temper::RefusesPasswords {
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else if seen.line.contains("/com.broadsoft.async/") {
                self.note(seen);
                return self.stream(&mut stream).await;
            } else if seen.line.starts_with("POST /com.broadsoft.xsi-events/v2.0/user/") {
                let package = seen.body.split("<event>").nth(1)?.split('<').next()?;
                let body = format!("<Subscription><subscriptionId>{package}</subscriptionId></Subscription>");
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            } else if seen.line.contains("RISService70") {
                let body = ANSWER;
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
            };
            self.note(seen);
            stream.write_all(answer.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
        }
    }

    async fn read(&self, stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Seen> {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok().filter(|length| *length > 0)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        Some(Seen {
            connection: self.connection,
            line: line.trim_end().to_owned(),
            headers,
            body: String::from_utf8(body).ok()?,
        })
    }

    fn note(&self, seen: Seen) {
        self.seen.lock().expect("a lock").push(seen);
        self.news.notify_waiters();
    }

    async fn stream(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Option<()> {
        let head = "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=abc; Path=/com.broadsoft.xsi-events; Secure; HttpOnly\r\n\
                    Content-Type: text/xml;charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut chunks = self.chunks.lock().await;
        loop {
            let text = chunks.recv().await?;
            let chunk = format!("{:x}\r\n{text}\r\n", text.len());
            stream.write_all(chunk.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            if text.is_empty() {
                return None;
            }
        }
    }
}

struct Run {
    events: mpsc::Receiver<LinkEvent>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Run {
    fn start(endpoint: HttpEndpoint) -> Self {
        let clock = Clock::start();
        let config = BroadWorksConfig {
            heartbeat: Duration::from_millis(200),
            silent_heartbeats: 100,
            ..BroadWorksConfig::new("bw", 1, vec![MonitoredUser::agent("mkern@d", "3001")], 7)
        };
        let link = Box::new(BroadWorksLink::new(config, clock.now()));
        let (events, receiver) = mpsc::channel(4);
        let (_, commands) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let run = run_http_link(link, vec![endpoint], clock, events, commands, shutdown.clone());
        Self {
            events: receiver,
            shutdown,
            task: tokio::spawn(run),
        }
    }

    async fn next(&mut self) -> CtiEvent {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        match event.expect("something is told in time").expect("the link runs") {
            LinkEvent::Cti(event) => event,
            LinkEvent::Done { .. } => panic!("nothing was asked"),
        }
    }

    /// The next event about the link itself: why it is down.
    async fn status(&mut self) -> Option<Code> {
        match self.next().await {
            CtiEvent::Link(LinkUpdate { down, .. }) => down.map(|reason| reason.code),
            other => panic!("{other:?}"),
        }
    }
}

const CHANNEL: &str = "<?xml version=\"1.0\"?><Channel xmlns=\"http://schema.broadsoft.com/xsi\">\
    <channelId>c-1</channelId><expires>3600</expires></Channel>";
const RECEIVED: &str = "<xsi:Event xmlns:xsi=\"http://schema.broadsoft.com/xsi\" \
    xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\" xsi1:type=\"xsi:SubscriptionEvent\">\
    <xsi:eventID>event-1</xsi:eventID><xsi:sequenceNumber>1</xsi:sequenceNumber><xsi:userId>mkern@d</xsi:userId>\
    <xsi:subscriptionId>Advanced Call</xsi:subscriptionId><xsi:eventData xsi1:type=\"xsi:CallReceivedEvent\">\
    <xsi:call><xsi:callId>c1</xsi:callId><xsi:state>Alerting</xsi:state></xsi:call></xsi:eventData></xsi:Event>";
const ANSWER: &str = "<Envelope><Body><selectCmDeviceResponse><selectCmDeviceReturn><SelectCmDeviceResult><CmNodes><item>\
    <CmDevices><item><Name>SEP001122334455</Name><DirNumber>3001-Registered</DirNumber><Status>Registered</Status>\
    <TimeStamp>1474900000</TimeStamp><IPAddress><item><IP>10.1.1.20</IP><IPAddrType>ipv4</IPAddrType></item></IPAddress>\
    </item></CmDevices></item></CmNodes></SelectCmDeviceResult></selectCmDeviceReturn></selectCmDeviceResponse></Body>\
    </Envelope>";

#[tokio::test]
async fn a_session_runs_over_tls_with_authorisation_and_cookies() {
    let xsp = Xsp::start(Temper::Good, true).await;
    let mut run = Run::start(xsp.endpoint());
    let (first, rest) = CHANNEL.split_at(40);
    xsp.say(first).await;
    xsp.say(rest).await;
    assert_eq!(run.status().await, None);
    let (first, rest) = RECEIVED.split_at(200);
    xsp.say(first).await;
    xsp.say(rest).await;
    assert!(matches!(run.next().await, CtiEvent::Call(call) if call.call.as_str() == "c1"));
    let opened = xsp.request("POST /com.broadsoft.async/", 0).await;
    assert_eq!(opened.headers["host"], xsp.address.to_string());
    assert_eq!(
        opened.headers["authorization"],
        "Basic YWRtaW5AZXhhbXBsZS5jb206cGFzczp3b3Jk"
    );
    assert!(!opened.headers.contains_key("cookie"));
    let acknowledged = xsp
        .request("POST /com.broadsoft.xsi-events/v2.0/channel/eventresponse", 0)
        .await;
    assert!(
        acknowledged.body.contains("<eventID>event-1</eventID>"),
        "{}",
        acknowledged.body
    );
    assert_eq!(acknowledged.headers["cookie"], "JSESSIONID=abc");
    assert_eq!(acknowledged.headers["content-type"], "text/xml; charset=utf-8");
    let beats = [
        xsp.request("/c-1/heartbeat", 0).await,
        xsp.request("/c-1/heartbeat", 1).await,
    ];
    assert!(
        beats
            .iter()
            .all(|beat| beat.line == "PUT /com.broadsoft.xsi-events/v2.0/channel/c-1/heartbeat HTTP/1.1")
    );
    assert!(
        beats[1].connection <= 5,
        "connections are used again: {}",
        beats[1].connection
    );
    run.shutdown.cancel();
    xsp.request("DELETE /com.broadsoft.xsi-events/v2.0/channel/c-1", 0)
        .await;
    tokio::time::timeout(Duration::from_secs(3), run.task)
        .await
        .expect("it ends in time")
        .expect("and well");
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_anew() {
    let xsp = Xsp::start(Temper::Good, true).await;
    let mut run = Run::start(xsp.endpoint());
    xsp.say(CHANNEL).await;
    assert_eq!(run.status().await, None);
    xsp.say("").await;
    assert_eq!(run.status().await, Some(Code::CtiLinkDown));
    xsp.request("POST /com.broadsoft.async/", 1).await;
    xsp.say(CHANNEL).await;
    assert_eq!(run.status().await, None);
}

#[tokio::test]
async fn a_wrong_password_is_told_apart() {
    let xsp = Xsp::start(Temper::RefusesPasswords, true).await;
    assert_eq!(Run::start(xsp.endpoint()).status().await, Some(Code::CtiRefused));
}

#[tokio::test]
async fn a_plain_port_is_told_apart_and_nothing_is_sent_to_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let place = StreamEndpoint {
        host: address.ip().to_string(),
        port: address.port(),
        tls: Some(SelfSigned::make().to()),
    };
    let endpoint = HttpEndpoint::new(place, Authorisation::Bearer("token".into()), Plaintext::Refused);
    let mut run = Run::start(endpoint.expect("TLS"));
    let (mut stream, _): (TcpStream, _) = listener.accept().await.expect("someone dials");
    let mut greeting = vec![0; 4096];
    let length = stream.read(&mut greeting).await.expect("reads");
    assert_eq!(greeting[0], 22, "a TLS handshake record");
    assert!(!String::from_utf8_lossy(&greeting[..length]).contains("token"));
    stream
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .await
        .expect("writes");
    assert_eq!(run.status().await, Some(Code::CtiPortIsPlain));
}

#[tokio::test]
async fn a_stranger_behind_the_servers_address_is_not_spoken_to() {
    let xsp = Xsp::start(Temper::Good, true).await;
    let place = StreamEndpoint {
        host: xsp.address.ip().to_string(),
        port: xsp.address.port(),
        tls: Some(SelfSigned::make().to()),
    };
    let endpoint = HttpEndpoint::new(place, Authorisation::None, Plaintext::Refused).expect("TLS");
    assert_eq!(Run::start(endpoint).status().await, Some(Code::CtiLinkDown));
    assert!(xsp.seen.lock().expect("a lock").is_empty());
}

#[test]
fn plain_http_needs_to_be_allowed_in_words() {
    let place = StreamEndpoint {
        host: "xsp.example".to_owned(),
        port: 80,
        tls: None,
    };
    let refused = HttpEndpoint::new(place.clone(), Authorisation::None, Plaintext::Refused).expect_err("refused");
    assert!(refused.to_string().contains("without TLS"), "{refused}");
    assert!(HttpEndpoint::new(place, Authorisation::None, Plaintext::InLabOnly).is_ok());
}

#[test]
fn passwords_and_tokens_are_not_shown() {
    let basic = Authorisation::Basic {
        user: "admin".into(),
        password: "secret".into(),
    };
    let shown = format!("{basic:?} {:?}", Authorisation::Bearer("secret".into()));
    assert!(!shown.contains("secret") && !shown.contains("admin"), "{shown}");
}

#[tokio::test]
async fn a_lab_may_go_without_tls_and_its_secure_cookies_stay_home() {
    let xsp = Xsp::start(Temper::Good, false).await;
    let mut run = Run::start(xsp.endpoint());
    xsp.say(CHANNEL).await;
    assert_eq!(run.status().await, None);
    let subscribed = xsp.request("POST /com.broadsoft.xsi-events/v2.0/user/mkern@d", 0).await;
    assert!(!subscribed.headers.contains_key("cookie"));
}

#[tokio::test]
async fn phones_addresses_are_found_by_soap_over_tls() {
    let cucm = Xsp::start(Temper::Good, true).await;
    let (wanted, devices) = mpsc::channel(1);
    let (addresses, mut found) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    let risport = RisPort::new(RisPortConfig::default());
    let run = run_risport(
        risport,
        cucm.endpoint(),
        Clock::start(),
        devices,
        addresses,
        shutdown.clone(),
    );
    let task = tokio::spawn(run);
    let list: BTreeSet<Extension> = ["3001".into(), "3002".into()].into();
    wanted.send(list).await.expect("taken");
    let told = tokio::time::timeout(PATIENCE, found.recv()).await.expect("in time");
    let expected: MediaAddress = "10.1.1.20".parse().expect("an address");
    assert_eq!(told, Some(BTreeMap::from([("3001".into(), expected)])));
    let request = cucm.request("POST /realtimeservice2/services/RISService70", 0).await;
    assert_eq!(request.headers["soapaction"], "selectCmDevice");
    assert!(request.headers["authorization"].starts_with("Basic "));
    assert!(request.body.contains("<soap:Item>3002</soap:Item>"), "{}", request.body);
    shutdown.cancel();
    task.await.expect("ends well");
}

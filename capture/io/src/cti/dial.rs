//! Opens TCP and TLS connections to sources, and says in words why that failed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use silentmon_capture_core::link::Closed;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long one address may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take (requirements section 3).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// First bytes of an answer that are kept to show whether it was TLS at all.
const KEPT: usize = 8;

/// A place where a source answers.
#[derive(Debug, Clone)]
pub struct StreamEndpoint {
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS from the first byte; without it, plain TCP.
    pub tls: Option<TlsTo>,
}

/// How TLS is spoken to a source.
#[derive(Debug, Clone)]
pub struct TlsTo {
    /// What is trusted, and who we are (`silentmon_certs::cti_client_tls`).
    pub config: Arc<ClientConfig>,
    /// The name that the source's certificate must bear.
    pub name: ServerName<'static>,
}

/// Bytes both ways, whatever carries them.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Opens a connection: every address of the name in turn, then the TLS handshake where one is wanted.
pub(super) async fn dial(place: &StreamEndpoint) -> Result<Box<dyn Wire>, Closed> {
    let stream = connect(&place.host, place.port).await?;
    match &place.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => handshake(stream, tls).await,
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, Closed> {
    let unreachable = |why: String| Closed::Unreachable(format!("{host}:{port}: {why}"));
    let addresses = lookup_host((host, port))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let mut failures = Vec::new();
    for address in addresses {
        let why = match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match prepare(&stream) {
                Ok(()) => return Ok(stream),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer for {} s", CONNECT_LIMIT.as_secs()),
        };
        failures.push(format!("{} ({why})", address.ip()));
    }
    if failures.is_empty() {
        return Err(unreachable("the name has no address".to_owned()));
    }
    Err(unreachable(failures.join(", ")))
}

/// Small messages leave at once, and an end is a reset so that the next connection is quick (protocol sheet 1.1).
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

async fn handshake(stream: TcpStream, tls: &TlsTo) -> Result<Box<dyn Wire>, Closed> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let greeting = connector
        .connect(tls.name.clone(), Remembering::new(stream))
        .into_fallible();
    match tokio::time::timeout(HANDSHAKE_LIMIT, greeting).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err((error, wire))) => Err(refused(&error, &wire.first)),
        Err(_) => {
            let seconds = HANDSHAKE_LIMIT.as_secs();
            Err(Closed::Tls(format!(
                "no answer to the handshake for {seconds} s: is it a plain port?"
            )))
        }
    }
}

fn refused(error: &io::Error, first: &[u8]) -> Closed {
    if first.is_empty() {
        return Closed::Tls(format!("no answer to the handshake ({error}): is it a plain port?"));
    }
    if is_tls_record(first) {
        return Closed::Tls(error.to_string());
    }
    Closed::PlainPort(first.to_vec())
}

/// Content types 20 to 24, then major version 3 (RFC 8446 section 5.1).
fn is_tls_record(first: &[u8]) -> bool {
    matches!(first, [20..=24] | [20..=24, 3, ..])
}

/// A connection that keeps the first bytes that came.
struct Remembering {
    stream: TcpStream,
    first: Vec<u8>,
}

impl Remembering {
    const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            first: Vec::new(),
        }
    }
}

impl AsyncRead for Remembering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        let wanted = KEPT.saturating_sub(self.first.len());
        self.first.extend(came.iter().take(wanted));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Remembering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

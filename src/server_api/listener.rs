//! TLS connections of the HTTPS interface: handshakes run beside each other, each with a time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::serve::Listener;
use silentmon_capture_io::service::Refusals;
use silentmon_certs::ServerTls;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a handshake may take (requirements section 3).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// A peer that acknowledges nothing for so long is gone.
pub(super) const SILENT_PEER: Duration = Duration::from_secs(15);
/// Connections whose handshake goes on at the same time.
const MOST_HANDSHAKES: usize = 64;

/// TLS as it is now, and where those are counted who were turned away.
#[derive(Debug, Clone)]
pub struct WebDoor {
    /// Certificates in use.
    pub tls: Arc<ArcSwap<ServerTls>>,
    /// Counts.
    pub refusals: Refusals,
}

/// Hands out connections whose handshake is done; a slow one keeps nobody else waiting.
pub(super) struct SecureListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl SecureListener {
    /// Lets connections in until `shutdown`.
    pub(super) fn start(listener: TcpListener, door: WebDoor, shutdown: CancellationToken) -> Self {
        let address = listener
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let (sender, ready) = mpsc::channel(MOST_HANDSHAKES);
        tokio::spawn(shutdown.run_until_cancelled_owned(greet_all(listener, door, sender)));
        Self { ready, address }
    }
}

impl Listener for SecureListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // Nobody is let in any more; the server is about to end.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn greet_all(listener: TcpListener, door: WebDoor, ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let handshakes = Arc::new(tokio::sync::Semaphore::new(MOST_HANDSHAKES));
    loop {
        let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, as a rule: it passes.
                tracing::warn!(%error, "an HTTPS connection could not be taken");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(SILENT_PEER)) {
            tracing::warn!(%error, "an HTTPS connection may outlive its peer");
        }
        let (door, ready) = (door.clone(), ready.clone());
        tokio::spawn(async move {
            let _turn = turn;
            if let Some(stream) = door.greet(stream, remote).await {
                // The server is gone only when the service stops.
                let _ = ready.send((stream, remote)).await;
            }
        });
    }
}

impl WebDoor {
    async fn greet(&self, stream: TcpStream, remote: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let (config, verdict) = match self.tls.load().for_connection() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "an HTTPS connection could not be taken");
                return None;
            }
        };
        let shaking = TlsAcceptor::from(config).accept(stream);
        let (why, error) = match tokio::time::timeout(HANDSHAKE_LIMIT, shaking).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                let problem = verdict.explain(&error);
                (problem.word(), problem.to_string())
            }
            Err(_) => (
                "timed_out",
                format!("no handshake within {} s", HANDSHAKE_LIMIT.as_secs()),
            ),
        };
        self.refusals.count("https", why);
        tracing::warn!(why, error, "an HTTPS connection was refused");
        tracing::debug!(%remote, "where it came from");
        None
    }
}

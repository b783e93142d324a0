//! TLS connections of the HTTPS interface: handshakes run beside each other, each with a time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a handshake may take (requirements section 3).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Connections whose handshake goes on at the same time.
const MOST_HANDSHAKES: usize = 64;

/// Hands out connections whose handshake is done; a slow one keeps nobody else waiting.
pub(super) struct SecureListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl SecureListener {
    /// Lets connections in until `shutdown`.
    pub(super) fn start(listener: TcpListener, tls: Arc<ServerConfig>, shutdown: CancellationToken) -> Self {
        let address = listener
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let (sender, ready) = mpsc::channel(MOST_HANDSHAKES);
        tokio::spawn(shutdown.run_until_cancelled_owned(greet_all(listener, tls, sender)));
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

async fn greet_all(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
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
        let (acceptor, ready) = (TlsAcceptor::from(Arc::clone(&tls)), ready.clone());
        tokio::spawn(async move {
            let _turn = turn;
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                // The server is gone only when the service stops.
                Ok(Ok(stream)) => drop(ready.send((stream, remote)).await),
                Ok(Err(error)) => tracing::info!(%remote, %error, "an HTTPS connection was refused"),
                Err(_) => tracing::info!(%remote, "an HTTPS handshake took too long"),
            }
        });
    }
}

//! One task a connection: reads into the hub, writes what the hub sends, at the time it is due.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ConnectionId;
use super::hub::Input;
use crate::CloseHow;

/// How long a client may take for its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How much may wait for a client that doesn't read.
const BACKLOG_LIMIT: usize = 64 << 20;

/// The hub's end of a connection.
#[derive(Debug)]
pub(super) struct Writer {
    orders: mpsc::UnboundedSender<Order>,
    backlog: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Order {
    Send { due: Instant, bytes: Vec<u8> },
    Close { due: Instant, how: CloseHow },
}

impl Order {
    fn due(&self) -> Instant {
        match self {
            Self::Send { due, .. } | Self::Close { due, .. } => *due,
        }
    }
}

impl Writer {
    /// Whether the client still reads.
    pub fn send(&self, due: Instant, bytes: Vec<u8>) -> bool {
        let waiting = self.backlog.fetch_add(bytes.len(), Ordering::Relaxed);
        waiting < BACKLOG_LIMIT && self.orders.send(Order::Send { due, bytes }).is_ok()
    }

    pub fn close(&self, due: Instant, how: CloseHow) {
        // A connection that is gone needs no closing.
        let _ = self.orders.send(Order::Close { due, how });
    }
}

/// Takes a connection over: TLS handshake first where there is one.
pub(super) fn serve(id: ConnectionId, stream: TcpStream, tls: Option<TlsAcceptor>, hub: mpsc::Sender<Input>) {
    tokio::spawn(async move {
        let stream = match handshake(stream, tls).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::info!(side = id.side, %error, "TLS handshake failed");
                return;
            }
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            orders,
            backlog: Arc::clone(&backlog),
        };
        if hub.send(Input::Connected(id, writer)).await.is_err() {
            return;
        }
        if let Err(error) = pump(id, stream, inbox, &backlog, &hub).await {
            tracing::debug!(side = id.side, %error, "connection broke");
        }
        // The hub may have ended meanwhile.
        let _ = hub.send(Input::Closed(id)).await;
    });
}

async fn handshake(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = tls else {
        return Ok(Stream::Plain(stream));
    };
    let secured = timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await??;
    Ok(Stream::Tls(Box::new(secured)))
}

async fn pump(
    id: ConnectionId,
    mut stream: Stream,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    backlog: &AtomicUsize,
    hub: &mpsc::Sender<Input>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut next: Option<Order> = None;
    loop {
        let due = next.as_ref().map(Order::due);
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let size = read?;
                if size == 0 || hub.send(Input::Bytes(id, buffer[..size].to_vec())).await.is_err() {
                    return Ok(());
                }
            }
            order = inbox.recv(), if next.is_none() => {
                let Some(order) = order else { return Ok(()) };
                next = Some(order);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                match next.take() {
                    Some(Order::Send { bytes, .. }) => {
                        stream.write_all(&bytes).await?;
                        stream.flush().await?;
                        backlog.fetch_sub(bytes.len(), Ordering::Relaxed);
                    }
                    Some(Order::Close { how, .. }) => return stream.end(how).await,
                    None => {}
                }
            }
        }
    }
}

/// A connection, plain or secured.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn end(mut self, how: CloseHow) -> io::Result<()> {
        match how {
            CloseHow::Fin => self.shutdown().await,
            CloseHow::Rst => match &self {
                Self::Plain(stream) => stream.set_zero_linger(),
                Self::Tls(stream) => stream.get_ref().0.set_zero_linger(),
            },
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

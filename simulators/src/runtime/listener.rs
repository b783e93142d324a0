//! One task a side: accepts connections, or holds the port so that the system refuses them.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::ConnectionId;
use super::connection;
use super::hub::Input;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;

/// A listening side, and the switch that refuses connections.
#[derive(Debug)]
pub(super) struct Listener {
    pub address: SocketAddr,
    accepting: watch::Sender<bool>,
}

impl Listener {
    /// # Errors
    /// Where the address can't be listened on.
    pub fn start(
        side: usize,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        hub: mpsc::Sender<Input>,
    ) -> io::Result<Self> {
        let socket = bound(address)?.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        let (accepting, orders) = watch::channel(true);
        tokio::spawn(async move {
            if let Err(error) = listen(side, socket, tls, orders, hub).await {
                tracing::error!(side, %error, "this side no longer listens");
            }
        });
        Ok(Self { address, accepting })
    }

    pub fn accept(&self, yes: bool) {
        self.accepting.send_replace(yes);
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn listen(
    side: usize,
    mut listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut accepting: watch::Receiver<bool>,
    hub: mpsc::Sender<Input>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => take(ConnectionId { side, number }, stream, tls.clone(), &hub),
                Err(error) => tracing::debug!(side, %error, "a connection was lost before it was accepted"),
            },
            changed = accepting.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
        number += 1;
        if !*accepting.borrow_and_update() {
            drop(listener);
            // Bound but not listening: the system answers with RST, and nobody else gets the port.
            let socket = bound(address)?;
            if accepting.wait_for(|accepting| *accepting).await.is_err() {
                return Ok(());
            }
            listener = socket.listen(BACKLOG)?;
        }
    }
}

fn take(id: ConnectionId, stream: TcpStream, tls: Option<TlsAcceptor>, hub: &mpsc::Sender<Input>) {
    connection::serve(id, stream, tls, hub.clone());
}

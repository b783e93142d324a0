//! Plain RTP to a standard receiver (a recorder, a phone), marked EF, for where policy allows it.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::ListenError;
use crate::settings::Marking;

/// A UDP socket that sends RTP packets as they are, without encryption.
#[derive(Debug)]
pub struct PlainRtpSocket {
    socket: std::net::UdpSocket,
}

impl PlainRtpSocket {
    /// Opens a socket on `local`; its family must be the receivers' family.
    ///
    /// # Errors
    /// Where the socket can't be opened or marked.
    pub fn bind(local: SocketAddr) -> Result<Self, ListenError> {
        match open(local) {
            Ok(socket) => Ok(Self { socket }),
            Err(source) => Err(ListenError { address: local, source }),
        }
    }

    /// The address it sends from.
    ///
    /// # Errors
    /// Where the kernel doesn't tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends a packet; never waits. `false` where the socket's buffer is full and the packet was dropped.
    ///
    /// # Errors
    /// Where it can't leave this machine. That nothing listens there isn't one: receivers come and go.
    pub fn send(&self, packet: &[u8], receiver: SocketAddr) -> io::Result<bool> {
        match self.socket.send_to(packet, receiver) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn open(local: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    let tos = u32::from(Marking::Audio.tos());
    match local {
        SocketAddr::V4(_) => socket.set_tos_v4(tos)?,
        SocketAddr::V6(_) => set_traffic_class(&socket, tos)?,
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

#[cfg(unix)]
fn set_traffic_class(socket: &Socket, byte: u32) -> io::Result<()> {
    socket.set_tclass_v6(byte)
}

#[cfg(not(unix))]
fn set_traffic_class(_socket: &Socket, _byte: u32) -> io::Result<()> {
    Ok(())
}

//! The UDP socket under QUIC: marks every packet with its DSCP, keeps segmentation offload, and notices at once where
//! nothing listens.
//!
//! quinn's own socket sends a ToS of its own with every packet, which overrides the socket's; so sending is done here,
//! with the control messages of ip(7), ipv6(7) and udp(7). Receiving stays with quinn.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::sync::Notify;

use crate::settings::{Marking, Settings, Side};
use crate::unreachable;

/// Opens a socket. That of a dialling side, which talks to one server only, is told where nothing listens.
pub(crate) fn open(local: SocketAddr, side: Side, settings: &Settings) -> io::Result<MarkedSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel may grant less (net.core.rmem_max); that is no reason to fail.
    let _ = socket.set_recv_buffer_size(settings.socket_buffer);
    let _ = socket.set_send_buffer_size(settings.socket_buffer);
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    if side == Side::Dialling {
        unreachable::report(&socket, local.is_ipv6())?;
    }
    MarkedSocket::new(socket.into(), settings.marking)
}

pub(crate) struct MarkedSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    tos: u8,
    #[cfg(target_os = "linux")]
    offload: linux::Offload,
    refused: Arc<Notify>,
}

impl MarkedSocket {
    fn new(socket: UdpSocket, marking: Marking) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            offload: linux::Offload::new(state.max_gso_segments()),
            state,
            io: tokio::net::UdpSocket::from_std(socket)?,
            tos: marking.tos(),
            refused: Arc::default(),
        })
    }

    fn note(&self, error: &io::Error) {
        unreachable::discard(&self.io);
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.refused.notify_waiters();
        }
    }

    /// Notified when an ICMP message said that nothing listens at the other end.
    pub(crate) fn refused(&self) -> Arc<Notify> {
        Arc::clone(&self.refused)
    }
}

impl fmt::Debug for MarkedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MarkedSocket({:?}, ToS {:#04x})", self.io.local_addr(), self.tos)
    }
}

impl AsyncUdpSocket for MarkedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            socket: self,
            waiting: None,
        })
    }

    #[cfg(target_os = "linux")]
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.io.try_io(Interest::WRITABLE, || {
            linux::send(&self.io, transmit, self.tos, &self.offload)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            // Nothing listens there, too long for this path (a probe of the MTU), no route just now: lost, as on the
            // way.
            Err(error) => {
                self.note(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io
            .try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self
                .io
                .try_io(Interest::READABLE, || self.state.recv((&self.io).into(), buffers, meta));
            match received {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.note(&error),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    #[cfg(target_os = "linux")]
    fn max_transmit_segments(&self) -> usize {
        self.offload.segments()
    }

    #[cfg(not(target_os = "linux"))]
    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits until the socket takes packets again.
struct Writable {
    socket: Arc<MarkedSocket>,
    waiting: Option<Waiting>,
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writable")
    }
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Arc::clone(&self.socket);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(async move { socket.io.writable().await }));
        let ready = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(ready)
    }
}

/// Sending with a ToS byte and segmentation offload of our own.
#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use quinn::udp::Transmit;
    use socket2::{MsgHdr, SockAddr, SockRef};

    /// How many segments the kernel takes at once; one after a network card's driver refused them.
    pub(super) struct Offload(AtomicUsize);

    impl Offload {
        pub(super) fn new(segments: usize) -> Self {
            Self(AtomicUsize::new(segments))
        }

        pub(super) fn segments(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        fn give_up(&self) {
            self.0.store(1, Ordering::Relaxed);
        }
    }

    pub(super) fn send(
        socket: &tokio::net::UdpSocket,
        transmit: &Transmit<'_>,
        tos: u8,
        offload: &Offload,
    ) -> io::Result<()> {
        let mut control = Control::new();
        let ecn = transmit.ecn.map_or(0, |ecn| ecn as u8);
        control.push_traffic_class(transmit.destination.ip(), tos | ecn);
        let segment = transmit.segment_size.filter(|&size| size < transmit.contents.len());
        if let Some(size) = segment.and_then(|size| u16::try_from(size).ok()) {
            control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
        }
        if let Some(source) = transmit.src_ip {
            control.push_source(source);
        }
        let destination = SockAddr::from(transmit.destination);
        let contents = [IoSlice::new(transmit.contents)];
        let message = MsgHdr::new()
            .with_addr(&destination)
            .with_buffers(&contents)
            .with_control(control.as_bytes());
        loop {
            let Err(error) = SockRef::from(socket).sendmsg(&message, 0) else {
                return Ok(());
            };
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            // Some drivers can't segment and say so with EIO or EINVAL; the packets of this batch are lost.
            if segment.is_some() && matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) {
                offload.give_up();
            }
            return Err(error);
        }
    }

    /// Ancillary data of one message: `struct cmsghdr` and its data, each aligned to a word (cmsg(3)).
    struct Control {
        bytes: [u8; 128],
        length: usize,
    }

    const WORD: usize = size_of::<usize>();
    const HEADER: usize = WORD + 2 * size_of::<libc::c_int>();

    impl Control {
        const fn new() -> Self {
            Self {
                bytes: [0; 128],
                length: 0,
            }
        }

        fn push_traffic_class(&mut self, destination: IpAddr, byte: u8) {
            let value = libc::c_int::from(byte).to_ne_bytes();
            // An IPv4 address mapped into IPv6 leaves as IPv4.
            match destination.to_canonical() {
                IpAddr::V4(_) => self.push(libc::IPPROTO_IP, libc::IP_TOS, &value),
                IpAddr::V6(_) => self.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value),
            }
        }

        /// `struct in_pktinfo` or `struct in6_pktinfo`: answers leave from the address that was asked.
        fn push_source(&mut self, source: IpAddr) {
            match source {
                IpAddr::V4(ip) => {
                    let mut info = [0; 12];
                    info[4..8].copy_from_slice(&ip.octets());
                    self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
                }
                IpAddr::V6(ip) => {
                    let mut info = [0; 20];
                    info[..16].copy_from_slice(&ip.octets());
                    self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
                }
            }
        }

        fn push(&mut self, level: libc::c_int, kind: libc::c_int, value: &[u8]) {
            let start = self.length;
            let length = HEADER + value.len();
            let Some(space) = self.bytes.get_mut(start..start + length.next_multiple_of(WORD)) else {
                return;
            };
            let (header, rest) = space.split_at_mut(HEADER);
            let (size, words) = header.split_at_mut(WORD);
            let (first, second) = words.split_at_mut(size_of::<libc::c_int>());
            size.copy_from_slice(&length.to_ne_bytes());
            first.copy_from_slice(&level.to_ne_bytes());
            second.copy_from_slice(&kind.to_ne_bytes());
            if let Some(place) = rest.get_mut(..value.len()) {
                place.copy_from_slice(value);
            }
            self.length += length.next_multiple_of(WORD);
        }

        fn as_bytes(&self) -> &[u8] {
            self.bytes.get(..self.length).unwrap_or_default()
        }
    }
}

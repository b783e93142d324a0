//! Learning from ICMP that nothing listens at the other end, on a socket that isn't tied to one address.
//!
//! A connected UDP socket would report it, too, but keeps the local address it was connected from: a laptop that moves
//! to another network could no longer take its QUIC connection along (RFC 9000 section 9).

use std::io;

use socket2::Socket;

/// Makes the kernel report ICMP errors on this socket (ip(7), `IP_RECVERR`). Where it can't, nothing is reported.
#[cfg(target_os = "linux")]
pub(crate) fn report(socket: &Socket, ipv6: bool) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    #[allow(unsafe_code)]
    // SAFETY: the descriptor is open while `socket` is borrowed; the option's value is a C int that outlives the call,
    // and its true length is given.
    let failed = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn report(_socket: &Socket, _ipv6: bool) -> io::Result<()> {
    Ok(())
}

/// Throws away the details of the errors reported so far, which would fill the receive buffer.
#[cfg(target_os = "linux")]
pub(crate) fn discard(socket: &tokio::net::UdpSocket) {
    use std::mem::MaybeUninit;
    let mut buffer = [MaybeUninit::uninit(); 64];
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    while socket2::SockRef::from(socket)
        .recv_with_flags(&mut buffer, flags)
        .is_ok()
    {}
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn discard(_socket: &tokio::net::UdpSocket) {}

//! What the engine wants sent, over which connection, and how much each path must carry.

use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use silentmon_capture_core::cluster::PeerLink;
use silentmon_capture_core::engine::{ConnectionId, Transmit};
use silentmon_proto::ids::{Leg, SessionId};
use silentmon_proto::relay::AudioHeader;
use silentmon_transport::PlainRtpSocket;

use super::Service;

impl Service {
    pub(super) fn change_filter(&mut self) {
        let monitored = self.engine.monitored().with_signalling(self.signalling.clone());
        let watched = self.engine.watched().with_signalling(self.signalling.clone());
        let wanted = if self.capture.counts_in_kernel() {
            &monitored
        } else {
            &watched
        };
        // Before the kernel's, so that nothing it lets through is turned away behind it.
        self.filter.store(Arc::new(wanted.clone()));
        self.capture.watch(&monitored, &watched);
    }

    /// Lets each connection carry what its sessions need.
    pub(super) fn fit_paths(&self) {
        for &id in self.connections.keys() {
            self.fit_path(id);
        }
        self.fit_members();
    }

    /// The same for members, whose connections may give way to others.
    pub(super) fn fit_members(&self) {
        for link in self.peers.links() {
            self.peers.set_streams(link, self.engine.streams_to(link));
        }
    }

    pub(super) fn fit_path(&self, connection: ConnectionId) {
        if let Some(output) = self.connections.get(&connection) {
            output.set_streams(self.engine.streams_over(connection));
        }
    }

    pub(super) fn transmit(&mut self, transmit: Transmit) {
        match transmit {
            Transmit::Message { connection, message } => {
                if let Some(output) = self.connections.get(&connection) {
                    output.send(*message);
                }
            }
            Transmit::Audio {
                connection,
                session,
                datagram,
            } => self.send_audio(connection, session, datagram),
            Transmit::PeerDatagram {
                link,
                session,
                datagram,
            } => self.send_to_member(link, session, datagram),
            Transmit::PlainRtp { receiver, packet } => self.send_plain_rtp(receiver, &packet),
            Transmit::Close { connection } => {
                // Dropping the output lets its task write what is queued and then close.
                self.connections.remove(&connection);
            }
        }
    }

    fn send_audio(&mut self, connection: ConnectionId, session: SessionId, datagram: Vec<u8>) {
        let Some(output) = self.connections.get(&connection) else {
            return;
        };
        let leg = AudioHeader::parse(&datagram).map_or(Leg::Agent, |(header, _)| header.leg);
        let shed = output.send_datagram(Bytes::from(datagram));
        if shed > 0 {
            self.engine.handle_shed(session, leg, shed);
        }
    }

    fn send_to_member(&mut self, link: PeerLink, session: SessionId, datagram: Vec<u8>) {
        let audio = AudioHeader::parse(&datagram).map(|(header, _)| header);
        let shed = self.peers.send_datagram(link, Bytes::from(datagram));
        if let (Ok(header), 1..) = (audio, shed) {
            self.engine.handle_shed(session, header.leg, shed);
        }
    }

    fn send_plain_rtp(&mut self, receiver: SocketAddr, packet: &[u8]) {
        let socket = match self.plain_rtp.entry(receiver.is_ipv6()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(vacant) => match PlainRtpSocket::bind(any_address(receiver)) {
                Ok(socket) => vacant.insert(socket),
                Err(error) => return tracing::warn!(%error, "no socket for plain RTP"),
            },
        };
        if !matches!(socket.send(packet, receiver), Ok(true)) {
            self.plain_rtp_failures += 1;
            tracing::debug!(failures = self.plain_rtp_failures, "plain RTP not sent");
        }
    }
}

/// Any address of this machine, of the receiver's family.
fn any_address(receiver: SocketAddr) -> SocketAddr {
    match receiver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

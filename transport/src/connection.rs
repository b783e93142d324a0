//! One authenticated connection: who is there, datagrams, statistics, and a clean end.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{SendDatagramError, VarInt};
use rustls::pki_types::CertificateDer;
use silentmon_certs::{CertificateProblem, Identity, chain_end, peer_identity};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::backlog::Backlog;
use crate::congestion::Demand;
use crate::error::{Closed, SendError};

/// How long somebody whose certificate is good no longer may still be told so.
const FAREWELL: Duration = Duration::from_secs(1);

/// A datagram that says nothing: QUIC acknowledges it where the other program lives.
pub(crate) const ARE_YOU_THERE: &[u8] = &[0, 0];

/// Why a connection is closed, as a number for the other program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// Everything was said.
    Done,
    /// This program stops.
    Stopping,
    /// The other side didn't keep to the protocol.
    Protocol,
    /// Nothing came from the other side for too long.
    Silence,
    /// Authority was withdrawn.
    Denied,
}

impl CloseCode {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Stopping => 1,
            Self::Protocol => 2,
            Self::Silence => 3,
            Self::Denied => 4,
        }
    }
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// It is on its way, or next in line.
    Sent,
    /// It is on its way or in line, but since the last call so many older ones had to go because the path is too
    /// narrow.
    Shed(usize),
}

/// A connection's path, measured by QUIC (RFC 9002), as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathStatistics {
    /// Smoothed round-trip time.
    pub round_trip: Duration,
    /// Shortest round-trip time seen.
    pub shortest_round_trip: Duration,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// QUIC packets that the other side never acknowledged.
    pub packets_lost: u64,
    /// Congestion window in bytes.
    pub congestion_window: u64,
    /// Times the path was congested.
    pub congestion_events: u64,
    /// Longest UDP payload that fits the path, in bytes.
    pub mtu: u16,
    /// UDP datagrams sent.
    pub udp_sent: u64,
    /// System calls that sent them; fewer than datagrams where the kernel segments.
    pub send_calls: u64,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// Audio datagrams shed here because the path was too narrow.
    pub datagrams_shed: u64,
}

/// An authenticated connection. Clones are the same connection; it is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    quinn: quinn::Connection,
    /// Of a dialling side, which has a socket for each connection.
    endpoint: Option<quinn::Endpoint>,
    peer: Identity,
    chain: Vec<CertificateDer<'static>>,
    /// When the first of these ends.
    chain_end: Option<OffsetDateTime>,
    withdrawn: watch::Sender<Option<CertificateProblem>>,
    demand: Arc<Demand>,
    backlog: Arc<Backlog>,
}

impl Connection {
    pub(crate) fn new(
        quinn: quinn::Connection,
        endpoint: Option<quinn::Endpoint>,
        demand: Arc<Demand>,
    ) -> Result<Self, CertificateProblem> {
        let chain = chain(&quinn)?;
        let peer = peer_identity(&chain)?;
        let backlog = Arc::<Backlog>::default();
        tokio::spawn({
            let (quinn, backlog, demand) = (quinn.clone(), Arc::clone(&backlog), Arc::clone(&demand));
            async move { backlog.run(&quinn, || demand.streams()).await }
        });
        Ok(Self {
            inner: Arc::new(Inner {
                quinn,
                endpoint,
                peer,
                chain_end: chain_end(&chain),
                chain,
                withdrawn: watch::Sender::new(None),
                demand,
                backlog,
            }),
        })
    }

    /// The connection, as long as somebody else holds it.
    pub(crate) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.inner))
    }

    pub(crate) fn quinn(&self) -> quinn::Connection {
        self.inner.quinn.clone()
    }

    /// Who is there, by the verified certificate.
    pub fn peer(&self) -> &Identity {
        &self.inner.peer
    }

    /// His certificates: his own first, without the root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.inner.chain
    }

    /// Whether a certificate of his chain, or one of the revocation lists, which end at `lists_end`, has ended: as long as
    /// these lists and the authorities are the same, only dates can make bad what was good.
    pub fn is_out_of_date(&self, lists_end: Option<OffsetDateTime>) -> bool {
        let first = self.inner.chain_end.into_iter().chain(lists_end).min();
        first.is_some_and(|end| end < OffsetDateTime::now_utc())
    }

    /// Says that his certificate is good no longer. Whoever holds the connection has a moment to tell him; then it is
    /// closed in any case. Must be called within a tokio runtime.
    pub(crate) fn withdraw(&self, problem: CertificateProblem) {
        let sentence = problem.to_holder();
        let first = self.inner.withdrawn.send_replace(Some(problem)).is_none();
        if !first {
            return;
        }
        let quinn = self.inner.quinn.clone();
        tokio::spawn(async move {
            let over = tokio::time::timeout(FAREWELL, quinn.closed()).await.is_ok();
            if !over {
                quinn.close(VarInt::from_u32(CloseCode::Denied.number()), sentence.as_bytes());
            }
        });
    }

    /// Waits until his certificate is good no longer, and says why.
    pub async fn withdrawn(&self) -> CertificateProblem {
        let mut withdrawn = self.inner.withdrawn.subscribe();
        match withdrawn.wait_for(Option::is_some).await.map(|found| found.clone()) {
            Ok(Some(problem)) => problem,
            // The sender lives as long as this connection.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Where he is; may change when he moves to another network.
    pub fn remote_address(&self) -> SocketAddr {
        self.inner.quinn.remote_address()
    }

    /// Says how many audio streams are sent on this connection from now on (two for a call). The congestion window
    /// and the backlog follow.
    pub fn set_audio_streams(&self, streams: usize) {
        self.inner.demand.set_streams(streams);
    }

    /// Sends a datagram; never waits.
    ///
    /// # Errors
    /// Where it is longer than [`max_datagram_size`](Self::max_datagram_size), or the connection is over.
    pub fn send_datagram(&self, datagram: Bytes) -> Result<SendOutcome, SendError> {
        let (length, inner) = (datagram.len(), &self.inner);
        if let Some(over) = inner.quinn.close_reason() {
            return Err(SendError::Closed(Closed::from_connection(over)));
        }
        let limit = inner.quinn.max_datagram_size().unwrap_or(0);
        if length > limit {
            return Err(SendError::TooLarge { length, limit });
        }
        match inner
            .backlog
            .send(&inner.quinn, datagram, inner.demand.streams(), Instant::now())
        {
            Ok(0) => Ok(SendOutcome::Sent),
            Ok(shed) => Ok(SendOutcome::Shed(shed)),
            Err(SendDatagramError::ConnectionLost(over)) => Err(SendError::Closed(Closed::from_connection(over))),
            Err(_) => Err(SendError::TooLarge { length, limit }),
        }
    }

    /// Waits for the next datagram. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Where the connection is over.
    pub async fn receive_datagram(&self) -> Result<Bytes, Closed> {
        loop {
            let datagram = self.inner.quinn.read_datagram().await;
            let datagram = datagram.map_err(Closed::from_connection)?;
            // QUIC has answered it.
            if datagram != ARE_YOU_THERE {
                return Ok(datagram);
            }
        }
    }

    /// Waits for the next datagram as long as it takes, for ever once the connection is over: of that the control stream
    /// tells, after everything that was said on it. Whoever waits for both and went by this one's end would lose the other
    /// side's last words. Dropping the future loses nothing.
    pub async fn next_datagram(&self) -> Bytes {
        match self.receive_datagram().await {
            Ok(datagram) => datagram,
            Err(_) => std::future::pending().await,
        }
    }

    /// Longest datagram that can be sent now, in bytes: 1,162 at first, 1,414 once the path's MTU is known to be 1,500.
    pub fn max_datagram_size(&self) -> usize {
        self.inner.quinn.max_datagram_size().unwrap_or(0)
    }

    /// What is known of the path.
    pub fn statistics(&self) -> PathStatistics {
        let found = self.inner.quinn.stats();
        PathStatistics {
            round_trip: found.path.rtt,
            shortest_round_trip: self.inner.quinn.min_rtt(),
            packets_sent: found.path.sent_packets,
            packets_lost: found.path.lost_packets,
            congestion_window: found.path.cwnd,
            congestion_events: found.path.congestion_events,
            mtu: found.path.current_mtu,
            udp_sent: found.udp_tx.datagrams,
            send_calls: found.udp_tx.ios,
            bytes_sent: found.udp_tx.bytes,
            bytes_received: found.udp_rx.bytes,
            datagrams_shed: self.inner.backlog.shed(),
        }
    }

    /// Waits until the connection is over.
    pub async fn closed(&self) -> Closed {
        Closed::from_connection(self.inner.quinn.closed().await)
    }

    /// How the connection ended, if it did.
    pub fn close_reason(&self) -> Option<Closed> {
        self.inner.quinn.close_reason().map(Closed::from_connection)
    }

    /// Ends the connection at once: what wasn't delivered yet is lost, so let the control stream be delivered first.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.inner
            .quinn
            .close(VarInt::from_u32(code.number()), reason.as_bytes());
    }

    /// Ends the connection and waits, at most half a second, until the other side knows.
    pub async fn close_and_wait(&self, code: CloseCode, reason: &str) {
        self.close(code, reason);
        if let Some(endpoint) = &self.inner.endpoint {
            let _ = tokio::time::timeout(Duration::from_millis(500), endpoint.wait_idle()).await;
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WeakConnection(Weak<Inner>);

impl WeakConnection {
    pub(crate) fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(|inner| Connection { inner })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.quinn.close(VarInt::from_u32(CloseCode::Done.number()), b"");
    }
}

fn chain(quinn: &quinn::Connection) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let chain = quinn
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    chain.map(|chain| *chain).ok_or(CertificateProblem::Missing)
}

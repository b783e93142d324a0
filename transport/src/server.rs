//! The dialled side: handshakes run beside each other, each with a time limit; accepted connections come out in order.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Incoming, ServerConfig, TokioRuntime, VarInt};
use silentmon_certs::{ServerTls, Verdict};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::Channel;
use crate::congestion::Demand;
use crate::connection::{CloseCode, Connection, WeakConnection};
use crate::control::{ControlReceiver, ControlSender};
use crate::error::{ControlError, HandshakeError, ListenError};
use crate::reset;
use crate::settings::{Settings, Side};
use crate::socket;

/// Handshakes that run beside each other; whoever comes then has to prove his address first (RFC 9000 section 8.1.2).
const UNPROVEN_HANDSHAKES: usize = 64;
/// Handshakes that run beside each other at most.
const HANDSHAKES: usize = 512;

/// Somebody who dialled and wasn't let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where he is.
    pub remote: SocketAddr,
    /// Why.
    pub error: HandshakeError,
}

/// A UDP socket on which others dial us. Dropping it ends all its connections.
#[derive(Debug)]
pub struct ServerEndpoint {
    endpoint: Endpoint,
    arrivals: mpsc::Receiver<Result<Channel, Refused>>,
    tls: Arc<Mutex<ServerTls>>,
    guests: Guests,
    address: SocketAddr,
}

/// Connections that are open, to be looked through when certificates are revoked.
type Guests = Arc<Mutex<Vec<WeakConnection>>>;

impl ServerEndpoint {
    /// Listens on a UDP address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the socket can't be opened.
    pub fn bind(address: SocketAddr, tls: ServerTls, settings: Settings) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let socket = Arc::new(socket::open(address, Side::Dialled, &settings).map_err(failed)?);
        let bound = quinn::AsyncUdpSocket::local_addr(socket.as_ref()).map_err(failed)?;
        // Without a server configuration the endpoint would refuse; each connection gets its own when it is accepted.
        let template =
            configuration(&tls, &settings).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        let config = reset::configuration(tls.reset_secret(), bound);
        let endpoint = Endpoint::new_with_abstract_socket(config, Some(template.0), socket, Arc::new(TokioRuntime))
            .map_err(failed)?;
        let (arrived, arrivals) = mpsc::channel(64);
        let tls = Arc::new(Mutex::new(tls));
        let guests = Guests::default();
        let doorkeeper = Doorkeeper {
            endpoint: endpoint.clone(),
            tls: Arc::clone(&tls),
            guests: Arc::clone(&guests),
            settings: Arc::new(settings),
            arrived,
            places: Arc::new(Semaphore::new(HANDSHAKES)),
        };
        tokio::spawn(doorkeeper.run());
        Ok(Self {
            endpoint,
            arrivals,
            tls,
            guests,
            address: bound,
        })
    }

    /// The address it listens on, with the port that the kernel chose where none was given.
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection, or for the next one that was refused; `None` once the endpoint is closed.
    /// Dropping the future loses nothing.
    pub async fn accept(&mut self) -> Option<Result<Channel, Refused>> {
        self.arrivals.recv().await
    }

    /// Uses other certificates or revocation lists from now on, and looks at everybody who is connected as a new
    /// handshake would. Those who would be refused are told ([`Connection::withdrawn`]) and closed within a second; gives
    /// back how many. Must be called within a tokio runtime.
    pub fn replace_tls(&self, tls: ServerTls) -> usize {
        let Ok(mut slot) = self.tls.lock() else { return 0 };
        *slot = tls;
        self.withdraw(&slot, |_| true)
    }

    /// Looks for those whose certificate ended while they were connected, as
    /// [`replace_tls`](Self::replace_tls) does.
    pub fn withdraw_expired(&self) -> usize {
        let Ok(tls) = self.tls.lock() else { return 0 };
        let lists_end = tls.lists_end();
        self.withdraw(&tls, |guest| guest.is_out_of_date(lists_end))
    }

    fn withdraw(&self, tls: &ServerTls, suspected: impl Fn(&Connection) -> bool) -> usize {
        let Ok(mut guests) = self.guests.lock() else { return 0 };
        guests.retain(|guest| guest.upgrade().is_some_and(|guest| guest.close_reason().is_none()));
        let open = guests.iter().filter_map(WeakConnection::upgrade);
        let mut refused = 0;
        for guest in open.filter(suspected) {
            if let Err(problem) = tls.recheck(guest.chain()) {
                guest.withdraw(problem);
                refused += 1;
            }
        }
        refused
    }

    /// Connections that are open or being closed.
    pub fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// Ends all connections and waits until the other sides know, at most half a second.
    pub async fn close(&self, reason: &str) {
        self.endpoint.close(VarInt::from_u32(1), reason.as_bytes());
        let _ = timeout(std::time::Duration::from_millis(500), self.endpoint.wait_idle()).await;
    }
}

impl Drop for ServerEndpoint {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(1), b"");
    }
}

struct Doorkeeper {
    endpoint: Endpoint,
    tls: Arc<Mutex<ServerTls>>,
    guests: Guests,
    settings: Arc<Settings>,
    arrived: mpsc::Sender<Result<Channel, Refused>>,
    places: Arc<Semaphore>,
}

impl Doorkeeper {
    async fn run(self) {
        while let Some(incoming) = self.endpoint.accept().await {
            if self.arrived.is_closed() {
                return;
            }
            self.admit(incoming);
        }
    }

    fn admit(&self, incoming: Incoming) {
        let running = HANDSHAKES - self.places.available_permits();
        if running >= UNPROVEN_HANDSHAKES && incoming.may_retry() && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            incoming.refuse();
            return;
        };
        let Some(current) = self.tls.lock().ok().map(|tls| tls.clone()) else {
            return;
        };
        let (settings, arrived) = (Arc::clone(&self.settings), self.arrived.clone());
        let (guests, tls) = (Arc::clone(&self.guests), Arc::clone(&self.tls));
        tokio::spawn(async move {
            let remote = incoming.remote_address();
            let outcome = handshake(incoming, &current, &settings).await;
            drop(place);
            let outcome = outcome.and_then(|channel| remember(channel, &guests, &tls));
            let _ = arrived.send(outcome.map_err(|error| Refused { remote, error })).await;
        });
    }
}

/// Notes who came in, and looks once more whether he may: revocation lists may have changed during the handshake.
fn remember(channel: Channel, guests: &Guests, tls: &Mutex<ServerTls>) -> Result<Channel, HandshakeError> {
    if let Ok(mut guests) = guests.lock() {
        // Doubling before looking for those that left keeps the cost per arrival constant.
        if guests.len() == guests.capacity() {
            guests.retain(|guest| guest.upgrade().is_some());
        }
        guests.push(channel.connection.downgrade());
    }
    let current = tls.lock().map(|tls| tls.clone());
    if let Ok(Err(problem)) = current.map(|tls| tls.recheck(channel.connection.chain())) {
        channel.connection.close(CloseCode::Denied, &problem.to_holder());
        return Err(HandshakeError::Certificate(problem));
    }
    Ok(channel)
}

async fn handshake(incoming: Incoming, tls: &ServerTls, settings: &Settings) -> Result<Channel, HandshakeError> {
    let limit = settings.handshake_limit;
    let (config, verdict, demand) = configuration(tls, settings)?;
    let explain = |error| HandshakeError::explain(error, &verdict, limit);
    let connecting = incoming.accept_with(Arc::new(config)).map_err(explain)?;
    let shaking = async {
        let quinn = connecting.await.map_err(explain)?;
        let (send, receive) = quinn.accept_bi().await.map_err(explain)?;
        let connection = Connection::new(quinn, None, demand).map_err(HandshakeError::Certificate)?;
        let mut channel = Channel {
            connection,
            sender: ControlSender::new(send),
            receiver: ControlReceiver::new(receive),
        };
        match greet(&mut channel).await {
            Ok(()) => Ok(channel),
            Err(error) => {
                channel.connection.close(CloseCode::Protocol, "expected a greeting");
                Err(HandshakeError::Failed(error.to_string()))
            }
        }
    };
    timeout(limit, shaking)
        .await
        .unwrap_or(Err(HandshakeError::TimedOut(limit)))
}

async fn greet(channel: &mut Channel) -> Result<(), ControlError> {
    channel.receiver.greeting().await?;
    channel.sender.greet().await
}

type Configuration = (ServerConfig, Verdict, Arc<Demand>);

/// Each connection has a configuration of its own: where its certificate check leaves its verdict, and what its
/// congestion controller knows of its streams.
fn configuration(tls: &ServerTls, settings: &Settings) -> Result<Configuration, HandshakeError> {
    let failed = |problem: String| HandshakeError::Failed(problem);
    let (config, verdict) = tls.for_connection().map_err(|error| failed(error.to_string()))?;
    let crypto = QuicServerConfig::try_from(config).map_err(|error| failed(error.to_string()))?;
    let demand = Arc::new(Demand::new(settings.stream_rate));
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(settings.transport(&demand, Side::Dialled)));
    Ok((config, verdict, demand))
}

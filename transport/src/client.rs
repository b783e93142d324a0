//! The dialling side: a socket of its own for each connection, every address of the server's name tried in turn.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime, VarInt};
use silentmon_certs::{ClientTls, Verdict};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::Channel;
use crate::address::ServerAddress;
use crate::congestion::Demand;
use crate::connection::{ARE_YOU_THERE, CloseCode, Connection};
use crate::control::{ControlReceiver, ControlSender};
use crate::error::{ConnectError, ControlError, HandshakeError};
use crate::settings::{Settings, Side};
use crate::socket;

/// How long a server is suspected from which a packet came back, until something else does.
const SUSPECTED_FOR: Duration = Duration::from_secs(1);
/// How often it is looked whether it answers.
const LOOK: Duration = Duration::from_millis(20);
/// Within what time a server that lives answers, or three round trips where that is longer.
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);

/// Dials a server. The connection is there when both sides accepted each other's certificate.
///
/// # Errors
/// Where the name has no address, or none of its addresses leads to a server that both knows us and is who we dialled;
/// of several addresses the last one's error is given, unless an earlier one was about a certificate.
pub async fn connect(server: &ServerAddress, tls: &ClientTls, settings: &Settings) -> Result<Channel, ConnectError> {
    let mut outcome = Err(ConnectError::Resolve {
        server: server.clone(),
        problem: "it has no address".to_owned(),
    });
    for address in resolve(server).await? {
        let attempt = connect_to(server, address, tls, settings).await;
        let Err(error) = attempt else { return attempt };
        if !outcome.as_ref().is_err_and(about_certificate) {
            outcome = Err(error);
        }
    }
    outcome
}

fn about_certificate(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Handshake {
            error: HandshakeError::Certificate(_),
            ..
        }
    )
}

async fn resolve(server: &ServerAddress) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = tokio::net::lookup_host((server.host(), server.port())).await;
    let addresses = found.map_err(|error| ConnectError::Resolve {
        server: server.clone(),
        problem: error.to_string(),
    })?;
    Ok(addresses.collect())
}

async fn connect_to(
    server: &ServerAddress,
    address: SocketAddr,
    tls: &ClientTls,
    settings: &Settings,
) -> Result<Channel, ConnectError> {
    let local = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket_failed = |error: std::io::Error| ConnectError::Socket {
        server: server.clone(),
        problem: error.to_string(),
    };
    let socket = Arc::new(socket::open(local, Side::Dialling, settings).map_err(socket_failed)?);
    let refused = socket.refused();
    let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
        .map_err(socket_failed)?;
    let limit = settings.handshake_limit;
    let shaking = handshake(&endpoint, server, address, tls, settings);
    let outcome = tokio::select! {
        biased;
        outcome = timeout(limit, shaking) => outcome.unwrap_or(Err(HandshakeError::TimedOut(limit))),
        () = nothing_listens(&refused) => Err(HandshakeError::NothingListens),
    };
    let channel = outcome.map_err(|error| ConnectError::Handshake {
        server: server.clone(),
        error,
    })?;
    tokio::spawn(watch(channel.connection.quinn(), refused));
    Ok(channel)
}

async fn nothing_listens(refused: &Notify) {
    refused.notified().await;
}

/// Ends a connection whose server's program died: nothing listens there, and what was asked since isn't answered. An ICMP
/// message alone proves nothing; anybody can forge it.
async fn watch(connection: quinn::Connection, refused: Arc<Notify>) {
    loop {
        tokio::select! {
            _ = connection.closed() => return,
            () = refused.notified() => {}
        }
        if is_dead(&connection).await {
            tracing::info!(server = %connection.remote_address(), "nothing listens there any longer");
            connection.close(VarInt::from_u32(CloseCode::Silence.number()), b"nothing listens there");
            return;
        }
    }
}

/// Whether a server from which a packet came back answers nothing any more.
async fn is_dead(connection: &quinn::Connection) -> bool {
    let before = connection.stats();
    // Where the path is full, or the server takes no datagrams, QUIC repeats what it said before.
    let _ = connection.send_datagram(Bytes::from_static(ARE_YOU_THERE));
    let mut asked = None;
    let suspected = Instant::now();
    while suspected.elapsed() < SUSPECTED_FOR {
        tokio::time::sleep(LOOK).await;
        let stats = connection.stats();
        if stats.udp_rx.datagrams != before.udp_rx.datagrams {
            return false;
        }
        if asked.is_none() && questions(&stats) != questions(&before) {
            asked = Some(Instant::now());
        }
        if asked.is_some_and(|asked| asked.elapsed() >= ANSWERED_WITHIN.max(connection.rtt() * 3)) {
            return true;
        }
    }
    false
}

/// Frames that the other side has to acknowledge, of those that a supervisor's program sends (RFC 9000 section 13.2.1).
const fn questions(stats: &quinn::ConnectionStats) -> u64 {
    let frames = &stats.frame_tx;
    frames.ping + frames.immediate_ack + frames.stream + frames.datagram + frames.max_data + frames.max_stream_data
}

async fn handshake(
    endpoint: &Endpoint,
    server: &ServerAddress,
    address: SocketAddr,
    tls: &ClientTls,
    settings: &Settings,
) -> Result<Channel, HandshakeError> {
    let (config, verdict, demand) = configuration(tls, settings)?;
    let explain = |error| HandshakeError::explain(error, &verdict, settings.handshake_limit);
    let connecting = endpoint
        .connect_with(config, address, server.host())
        .map_err(|error| HandshakeError::Failed(error.to_string()))?;
    let quinn = connecting.await.map_err(explain)?;
    let (send, receive) = quinn.open_bi().await.map_err(explain)?;
    let mut sender = ControlSender::new(send);
    let mut receiver = ControlReceiver::new(receive);
    if let Err(error) = greet(&mut sender, &mut receiver).await {
        return Err(match quinn.close_reason() {
            Some(reason) => explain(reason),
            None => HandshakeError::Failed(error.to_string()),
        });
    }
    let connection = Connection::new(quinn, Some(endpoint.clone()), demand).map_err(HandshakeError::Certificate)?;
    Ok(Channel {
        connection,
        sender,
        receiver,
    })
}

async fn greet(sender: &mut ControlSender, receiver: &mut ControlReceiver) -> Result<(), ControlError> {
    sender.greet().await?;
    receiver.greeting().await
}

type Configuration = (ClientConfig, Verdict, Arc<Demand>);

fn configuration(tls: &ClientTls, settings: &Settings) -> Result<Configuration, HandshakeError> {
    let failed = |problem: String| HandshakeError::Failed(problem);
    let (config, verdict) = tls.for_connection().map_err(|error| failed(error.to_string()))?;
    let crypto = QuicClientConfig::try_from(config).map_err(|error| failed(error.to_string()))?;
    let demand = Arc::new(Demand::new(settings.stream_rate));
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(settings.transport(&demand, Side::Dialling)));
    Ok((config, verdict, demand))
}

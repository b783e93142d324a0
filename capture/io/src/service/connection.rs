//! One supervisor's connection: a task that reads his messages, a task that writes the answers, datagrams straight out.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use silentmon_capture_core::engine::ConnectionId;
use silentmon_capture_core::policy::{Means, Principal, Role};
use silentmon_certs::{CertificateProblem, Identity, Role as CertificateRole, ServerTls};
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::relay::{ClientMessage, RepairRequest, ServerMessage};
use silentmon_transport::{Channel, CloseCode, Connection, ControlError, ControlReceiver, ServerEndpoint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guests::{DoorCounts, Guests, Stay, Turned};
use super::output::{FINISH_LIMIT, Output};
use super::refusals::Refusals;

/// How often it is looked who is connected with a certificate that ended meanwhile.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Messages that may wait for a slow supervisor before he is cut off.
const OUTPUT_QUEUE: usize = 256;
/// How long a connection may be silent: requirements section 3, session time-out.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// Repair requests taken of one connection in a second: ten sessions that lose every tenth packet ask for less.
const REQUESTS_IN_A_SECOND: u32 = 500;

/// The supervisors' door.
pub struct Door {
    /// Already bound.
    pub endpoint: ServerEndpoint,
    /// Certificates and revocation lists that replace those in use.
    pub renewals: mpsc::Receiver<ServerTls>,
    /// Who was turned away is counted here.
    pub refusals: Refusals,
}

/// What connections tell the event loop.
pub(super) enum ConnectionInput {
    /// A supervisor is there.
    Opened {
        /// Number of the connection.
        id: ConnectionId,
        /// Who he is, by his certificate.
        principal: Principal,
        /// Where to send.
        output: ConnectionOutput,
    },
    /// He said something.
    Message {
        /// Number of the connection.
        id: ConnectionId,
        /// What.
        message: ClientMessage,
    },
    /// His program lost packets and asks for them again.
    Repair {
        /// Number of the connection.
        id: ConnectionId,
        /// What it asks for.
        request: RepairRequest,
        /// Shortest round trip to it.
        round_trip: Duration,
    },
    /// His certificate is good no longer.
    Withdrawn {
        /// Number of the connection.
        id: ConnectionId,
        /// Why.
        problem: CertificateProblem,
    },
    /// He is gone.
    Closed {
        /// Number of the connection.
        id: ConnectionId,
    },
}

/// The sending half of a supervisor's connection.
pub(super) type ConnectionOutput = Output<ServerMessage>;

/// Lets supervisors in until `shutdown`, by the newest certificates.
pub(super) async fn serve_endpoint(
    door: Door,
    inputs: mpsc::Sender<ConnectionInput>,
    counts: Arc<DoorCounts>,
    shutdown: CancellationToken,
) {
    let Door {
        mut endpoint,
        mut renewals,
        refusals,
    } = door;
    let tasks = TaskTracker::new();
    let guests = Guests::default();
    let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
    let mut next = 0;
    loop {
        let arrived = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(tls) = renewals.recv() => {
                let refused = endpoint.replace_tls(tls);
                tracing::info!(refused, "new certificates and revocation lists are in use");
                continue;
            }
            _ = expiry.tick() => {
                endpoint.withdraw_expired();
                continue;
            }
            arrived = endpoint.accept() => arrived,
        };
        match arrived {
            Some(Ok(channel)) => {
                let name = SupervisorName::new(channel.connection.peer().name.as_str());
                let Some(stay) = guests.enter(&name, tokio::time::Instant::now()) else {
                    refusals.count("quic", "too_many_connections");
                    channel.connection.close(CloseCode::Protocol, "too many connections");
                    continue;
                };
                next += 1;
                let guest = Guest {
                    id: ConnectionId(next),
                    stay,
                    counts: Arc::clone(&counts),
                };
                tasks.spawn(serve_connection(guest, channel, inputs.clone()));
            }
            Some(Err(refused)) => {
                let why = refused.error.word();
                refusals.count("quic", why);
                tracing::warn!(why, error = %refused.error, "a connection was refused");
                tracing::debug!(remote = %refused.remote, "where it came from");
            }
            None => break,
        }
    }
    tasks.close();
    drop(inputs);
    // The event loop says goodbye and closes each connection; their tasks end by that. Late is better than never.
    let _ = tokio::time::timeout(FINISH_LIMIT * 2, tasks.wait()).await;
    endpoint.close("the server stops").await;
}

/// A connection that was let in.
struct Guest {
    id: ConnectionId,
    stay: Stay,
    counts: Arc<DoorCounts>,
}

async fn serve_connection(guest: Guest, channel: Channel, inputs: mpsc::Sender<ConnectionInput>) {
    let id = guest.id;
    let Channel {
        connection,
        sender,
        receiver,
    } = channel;
    let remote = connection.remote_address();
    let Some(principal) = principal(connection.peer(), remote.ip()) else {
        return connection.close(CloseCode::Denied, "a capture server is no supervisor");
    };
    let output = ConnectionOutput::start(connection.clone(), sender, OUTPUT_QUEUE);
    tracing::info!(connection = id.0, "a supervisor connected");
    tracing::debug!(connection = id.0, %remote, "where he is");
    if inputs
        .send(ConnectionInput::Opened { id, principal, output })
        .await
        .is_err()
    {
        return;
    }
    let (code, why) = tokio::select! {
        end = read_messages(&guest, receiver, &inputs) => end,
        never = read_requests(&guest, &connection, &inputs) => match never {},
        end = await_withdrawal(id, &connection, &inputs) => end,
    };
    connection.close(code, &why);
    tracing::info!(connection = id.0, why, "a supervisor's connection ended");
    // The event loop is gone only when the service stops.
    let _ = inputs.send(ConnectionInput::Closed { id }).await;
}

/// Who a certificate says that somebody is; nobody, where it is another server's or an agent's.
fn principal(peer: &Identity, from: IpAddr) -> Option<Principal> {
    let role = match peer.role {
        CertificateRole::Capture | CertificateRole::Desktop => return None,
        CertificateRole::Supervisor => Role::Supervisor,
        CertificateRole::Admin => Role::Administrator,
    };
    Some(Principal {
        name: SupervisorName::new(peer.name.as_str()),
        role,
        from: from.to_canonical(),
        means: Means::Certificate,
    })
}

/// Waits until his certificate is good no longer, and until he was told so.
async fn await_withdrawal(
    id: ConnectionId,
    connection: &Connection,
    inputs: &mpsc::Sender<ConnectionInput>,
) -> (CloseCode, String) {
    let problem = connection.withdrawn().await;
    tracing::warn!(connection = id.0, why = problem.word(), %problem, "a supervisor's certificate is good no longer");
    let why = problem.to_holder();
    if inputs.send(ConnectionInput::Withdrawn { id, problem }).await.is_ok() {
        connection.closed().await;
    }
    (CloseCode::Denied, why)
}

/// Reads until the connection ends, and says why it did.
async fn read_messages(
    guest: &Guest,
    mut receiver: ControlReceiver,
    inputs: &mpsc::Sender<ConnectionInput>,
) -> (CloseCode, String) {
    loop {
        let message = match tokio::time::timeout(SILENCE_LIMIT, receiver.receive::<ClientMessage>()).await {
            Err(_) => {
                return (
                    CloseCode::Silence,
                    format!("nothing heard for {} s", SILENCE_LIMIT.as_secs()),
                );
            }
            Ok(Err(error)) => {
                if !matches!(error, ControlError::Closed(_)) {
                    guest.counts.count(Turned::Message);
                }
                return (CloseCode::Protocol, error.to_string());
            }
            Ok(Ok(None)) => return (CloseCode::Done, "closed by the supervisor".to_owned()),
            Ok(Ok(Some(message))) => message,
        };
        let wait = guest.stay.charge(&message, tokio::time::Instant::now());
        if !wait.is_zero() {
            guest.counts.count(Turned::Delayed);
            tokio::time::sleep(wait).await;
        }
        let input = ConnectionInput::Message { id: guest.id, message };
        if inputs.send(input).await.is_err() {
            return (CloseCode::Stopping, "the service stops".to_owned());
        }
    }
}

/// Reads datagrams. Those that come too fast, or are no requests, are counted and ignored.
async fn read_requests(guest: &Guest, connection: &Connection, inputs: &mpsc::Sender<ConnectionInput>) -> Infallible {
    let (mut second, mut taken) = (tokio::time::Instant::now(), 0);
    loop {
        let datagram = connection.next_datagram().await;
        let Ok(request) = RepairRequest::parse(&datagram) else {
            guest.counts.count(Turned::Datagram);
            continue;
        };
        if second.elapsed() >= Duration::from_secs(1) {
            (second, taken) = (tokio::time::Instant::now(), 0);
        }
        taken += 1;
        let round_trip = connection.statistics().shortest_round_trip;
        let input = ConnectionInput::Repair {
            id: guest.id,
            request,
            round_trip,
        };
        // What comes while the event loop is behind would be answered too late.
        if taken > REQUESTS_IN_A_SECOND || inputs.try_send(input).is_err() {
            guest.counts.count(Turned::Request);
        }
    }
}

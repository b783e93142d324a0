//! The tasks: one at the door, one that dials each member, one that watches over it, one for each connection.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use silentmon_capture_core::cluster::{Dialled, PeerLink};
use silentmon_capture_core::link::backoff::Backoff;
use silentmon_certs::ClientTls;
use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::PeerMessage;
use silentmon_transport::{
    Channel, CloseCode, Connection, ControlReceiver, Refused, ServerAddress, ServerEndpoint, nothing_listens_any_longer,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::dial;
use super::{PeerDoor, PeerInput, PeerOutput, PeerTls};
use crate::service::output::FINISH_LIMIT;

/// Messages that may wait for a slow member before it is cut off; a snapshot of 10,000 agents is a hundred.
const OUTPUT_QUEUE: usize = 16_384;
/// How often it is looked whether certificates are still good.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What all tasks share.
#[derive(Clone)]
pub(super) struct House {
    pub inputs: mpsc::Sender<PeerInput>,
    pub dialling: Arc<ArcSwap<ClientTls>>,
    pub next_link: Arc<AtomicU64>,
    pub dropped: Arc<AtomicU64>,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
}

impl House {
    /// Lets members in until the service stops, by the newest certificates, and dials them.
    pub(super) async fn run(
        self,
        door: PeerDoor,
        members: watch::Receiver<BTreeSet<ServerName>>,
        mut wanted: mpsc::UnboundedReceiver<(ServerName, ServerAddress)>,
    ) {
        let PeerDoor {
            mut endpoint,
            mut renewals,
            refusals,
            peers,
            seed,
            ..
        } = door;
        for (number, (peer, address)) in (0..).zip(peers) {
            let backoff = Backoff::new(seed.wrapping_add(number));
            let (house, shutdown) = (self.clone(), self.shutdown.clone());
            let watching = house.watch_over(peer.clone(), address.clone(), members.clone());
            self.tasks
                .spawn(async move { shutdown.run_until_cancelled(watching).await });
            let dialling = self.clone().dial_on(peer, address, members.clone(), backoff);
            self.tasks.spawn(dialling);
        }
        let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
        let mut reaching = HashMap::new();
        loop {
            let arrived = tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(PeerTls { dialled, dialling }) = renewals.recv() => {
                    if let Some(endpoint) = &endpoint {
                        endpoint.replace_tls(dialled);
                    }
                    self.dialling.store(Arc::new(dialling));
                    continue;
                }
                Some((peer, address)) = wanted.recv() => {
                    reaching.retain(|_, task: &mut JoinHandle<()>| !task.is_finished());
                    if !members.borrow().contains(&peer) {
                        let task = || self.tasks.spawn(self.clone().reach(peer.clone(), address, members.clone()));
                        reaching.entry(peer.clone()).or_insert_with(task);
                    }
                    continue;
                }
                _ = recheck.tick() => {
                    if let Some(endpoint) = &endpoint {
                        endpoint.withdraw_expired();
                    }
                    continue;
                }
                arrived = arrival(&mut endpoint) => arrived,
            };
            match arrived {
                Some(Ok(channel)) => {
                    self.tasks.spawn(self.clone().serve(channel, None));
                }
                Some(Err(refused)) => {
                    let why = refused.error.word();
                    refusals.count("peer", why);
                    tracing::warn!(why, error = %refused.error, "a member's connection was refused");
                    tracing::debug!(remote = %refused.remote, "where it came from");
                }
                None => break,
            }
        }
        self.tasks.close();
        let Self { inputs, tasks, .. } = self;
        drop(inputs);
        let _ = tokio::time::timeout(FINISH_LIMIT * 2, tasks.wait()).await;
        if let Some(endpoint) = endpoint {
            endpoint.close("the server stops").await;
        }
    }

    /// Dials a member once, and watches over it as long as the connection lasts.
    async fn reach(self, peer: ServerName, address: ServerAddress, members: watch::Receiver<BTreeSet<ServerName>>) {
        let watching = self.clone().watch_over(peer.clone(), address.clone(), members);
        let mut backoff = Backoff::new(0);
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            _ = watching => {}
            _ = self.dial_once(&peer, &address, &mut backoff) => {}
        }
    }

    /// Dials a member whenever it isn't there.
    async fn dial_on(
        self,
        peer: ServerName,
        address: ServerAddress,
        mut members: watch::Receiver<BTreeSet<ServerName>>,
        mut backoff: Backoff,
    ) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                absent = members.wait_for(|members| !members.contains(&peer)) => {
                    if absent.is_err() {
                        return;
                    }
                }
            }
            let pause = tokio::select! {
                () = self.shutdown.cancelled() => return,
                pause = self.dial_once(&peer, &address, &mut backoff) => pause,
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Notices at once that a member's program has died, whoever dialled.
    async fn watch_over(
        self,
        peer: ServerName,
        address: ServerAddress,
        mut members: watch::Receiver<BTreeSet<ServerName>>,
    ) -> Option<()> {
        loop {
            members.wait_for(|members| members.contains(&peer)).await.ok()?;
            tokio::select! {
                absent = members.wait_for(|members| !members.contains(&peer)) => {
                    absent.ok()?;
                    continue;
                }
                () = nothing_listens_any_longer(&address) => {}
            }
            self.inputs.send(PeerInput::Died { peer: peer.clone() }).await.ok()?;
            members.wait_for(|members| !members.contains(&peer)).await.ok()?;
        }
    }

    /// Dials once and serves the connection. Answers how long to wait before the next attempt.
    async fn dial_once(&self, peer: &ServerName, address: &ServerAddress, backoff: &mut Backoff) -> Duration {
        let tls = self.dialling.load_full();
        let unreached = match dial(peer, address, &tls).await {
            Ok(channel) => {
                self.clone().serve(channel, Some(address)).await;
                return backoff.broke();
            }
            Err(unreached) => unreached,
        };
        let input = PeerInput::Unreached {
            peer: peer.clone(),
            reason: unreached,
        };
        // The event loop is gone only when the service stops.
        let _ = self.inputs.send(input).await;
        backoff.failed()
    }

    /// Serves a connection to its end; `dialled` where we dialled it.
    async fn serve(self, channel: Channel, dialled: Option<&ServerAddress>) {
        let link = PeerLink(self.next_link.fetch_add(1, Ordering::Relaxed));
        let Channel {
            connection,
            sender,
            receiver,
        } = channel;
        let peer = ServerName::new(connection.peer().name.as_str());
        let output = PeerOutput::start(connection.clone(), sender, OUTPUT_QUEUE);
        let by = if dialled.is_some() {
            Dialled::ByUs
        } else {
            Dialled::ByThem
        };
        let opened = PeerInput::Opened {
            link,
            dialled: by,
            peer,
            output,
        };
        if self.inputs.send(opened).await.is_err() {
            return connection.close(CloseCode::Stopping, "the server stops");
        }
        let (code, why) = tokio::select! {
            end = read_messages(link, receiver, &self.inputs) => end,
            never = read_datagrams(link, &connection, &self.inputs, &self.dropped) => match never {},
            end = self.watch_certificate(&connection, dialled) => end,
        };
        connection.close(code, &why);
        let _ = self.inputs.send(PeerInput::Closed { link, why }).await;
    }

    /// Waits until the other side's certificate is good no longer.
    async fn watch_certificate(&self, connection: &Connection, dialled: Option<&ServerAddress>) -> (CloseCode, String) {
        let Some(address) = dialled else {
            // The endpoint looks after those who dialled us.
            return (CloseCode::Denied, connection.withdrawn().await.to_holder());
        };
        let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
        let mut checked_by = None;
        loop {
            recheck.tick().await;
            let tls = self.dialling.load_full();
            let same = checked_by.as_ref().is_some_and(|by| Arc::ptr_eq(by, &tls));
            if same && !connection.is_out_of_date(tls.lists_end()) {
                continue;
            }
            if let Err(problem) = tls.recheck(connection.chain(), address.host()) {
                return (CloseCode::Denied, problem.to_holder());
            }
            checked_by = Some(tls);
        }
    }
}

/// Whoever dials next; never, where there is no door.
async fn arrival(endpoint: &mut Option<ServerEndpoint>) -> Option<Result<Channel, Refused>> {
    match endpoint {
        Some(endpoint) => endpoint.accept().await,
        None => std::future::pending().await,
    }
}

/// Reads until the connection ends, and says why it did.
async fn read_messages(
    link: PeerLink,
    mut receiver: ControlReceiver,
    inputs: &mpsc::Sender<PeerInput>,
) -> (CloseCode, String) {
    loop {
        let message = match receiver.receive::<PeerMessage>().await {
            Ok(Some(message)) => Box::new(message),
            Ok(None) => return (CloseCode::Done, "it was closed".to_owned()),
            Err(error) => return (CloseCode::Protocol, error.to_string()),
        };
        if inputs.send(PeerInput::Message { link, message }).await.is_err() {
            return (CloseCode::Stopping, "the server stops".to_owned());
        }
    }
}

/// Reads them. What comes while the event loop is behind would be too late.
async fn read_datagrams(
    link: PeerLink,
    connection: &Connection,
    inputs: &mpsc::Sender<PeerInput>,
    dropped: &AtomicU64,
) -> Infallible {
    loop {
        let datagram = connection.next_datagram().await;
        if inputs.try_send(PeerInput::Datagram { link, datagram }).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

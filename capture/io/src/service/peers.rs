//! Connections with the other members of the cluster: a door at which they dial us, a task that dials each of them while
//! it isn't there, and a task for each connection.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use silentmon_capture_core::cluster::{Dialled, PeerLink, PeerTransmit};
use silentmon_capture_core::link::backoff::Backoff;
use silentmon_certs::{ClientTls, ServerTls};
use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::PeerMessage;
use silentmon_proto::reason::{Code, Reason};
use silentmon_transport::{
    Channel, CloseCode, Connection, ControlReceiver, ControlSender, SendOutcome, ServerAddress, ServerEndpoint,
    Settings, connect, nothing_listens_any_longer,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::refusals::Refusals;

/// Messages and datagrams of all members that may wait for the event loop.
const INPUT_QUEUE: usize = 4096;
/// Messages that may wait for a slow member before it is cut off; a snapshot of 10,000 agents is a hundred.
const OUTPUT_QUEUE: usize = 16_384;
/// How often it is looked whether certificates are still good.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the last messages may take to leave.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// Certificates and revocation lists, of one reading of their files.
#[derive(Debug, Clone)]
pub struct PeerTls {
    /// For those who dial.
    pub dialled: ServerTls,
    /// For dialling.
    pub dialling: ClientTls,
}

/// The way to the other members.
pub struct PeerDoor {
    /// Where they dial us; already bound.
    pub endpoint: ServerEndpoint,
    /// How we prove who we are to those we dial.
    pub dialling: ClientTls,
    /// The other members, and where they answer.
    pub peers: Vec<(ServerName, ServerAddress)>,
    /// Certificates and revocation lists that replace those in use.
    pub renewals: mpsc::Receiver<PeerTls>,
    /// Who was turned away is counted here.
    pub refusals: Refusals,
    /// A random number, so that members don't dial in step.
    pub seed: u64,
}

/// What connections with members tell the event loop.
pub(super) enum PeerInput {
    /// A connection is there.
    Opened {
        /// Its number.
        link: PeerLink,
        /// Who dialled.
        dialled: Dialled,
        /// The name in the other side's certificate.
        peer: ServerName,
        /// Where to send.
        output: PeerOutput,
    },
    /// The other side said something.
    Message {
        /// Number of the connection.
        link: PeerLink,
        /// What.
        message: Box<PeerMessage>,
    },
    /// The other side sent sound, or asks for some again.
    Datagram {
        /// Number of the connection.
        link: PeerLink,
        /// The bytes.
        datagram: Bytes,
    },
    /// A server can't be reached, or isn't who it should be.
    Unreached {
        /// Which.
        peer: ServerName,
        /// Why.
        reason: Reason,
    },
    /// A member was dialled for somebody who asks whether it is reached.
    Probed {
        /// Who asks.
        link: PeerLink,
        /// Why it isn't.
        unreached: Option<Reason>,
    },
    /// A member's program isn't there any longer, whatever its connection says.
    Died {
        /// Which.
        peer: ServerName,
    },
    /// The connection is gone.
    Closed {
        /// Its number.
        link: PeerLink,
        /// Why.
        why: String,
    },
}

/// The sending half of a connection.
pub(super) struct PeerOutput {
    connection: Connection,
    messages: mpsc::Sender<PeerMessage>,
    finished: tokio::task::JoinHandle<()>,
}

/// The event loop's side of all connections with members.
pub(super) struct Peers {
    inputs: mpsc::Receiver<PeerInput>,
    outputs: HashMap<PeerLink, PeerOutput>,
    members: watch::Sender<BTreeSet<ServerName>>,
    dropped: Arc<AtomicU64>,
    /// Dials a member once, where there is a cluster.
    prober: Option<Prober>,
    door: Option<tokio::task::JoinHandle<()>>,
}

impl Peers {
    /// Opens the door, where there is one, and dials until `shutdown`. Must be called within a tokio runtime.
    pub(super) fn start(door: Option<PeerDoor>, shutdown: &CancellationToken) -> Self {
        let (sender, inputs) = mpsc::channel(INPUT_QUEUE);
        let (members, present) = watch::channel(BTreeSet::new());
        let mut prober = None;
        let dropped = Arc::<AtomicU64>::default();
        let door = door.map(|door| {
            let dialling = Arc::new(ArcSwap::from_pointee(door.dialling.clone()));
            prober = Some(Prober {
                addresses: door.peers.iter().cloned().collect(),
                dialling: Arc::clone(&dialling),
                inputs: sender.downgrade(),
            });
            let house = House {
                inputs: sender,
                dialling,
                next_link: Arc::default(),
                dropped: Arc::clone(&dropped),
                shutdown: shutdown.clone(),
                tasks: TaskTracker::new(),
            };
            tokio::spawn(house.run(door, present))
        });
        Self {
            inputs,
            outputs: HashMap::new(),
            members,
            dropped,
            prober,
            door,
        }
    }

    /// What happens next. Never, where the server is in no cluster. Safe to be given up in a `select`.
    pub(super) async fn next(&mut self) -> Option<PeerInput> {
        self.inputs.recv().await
    }

    /// Datagrams of members that came while the event loop was behind.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Dials a member for somebody who asks whether it is reached.
    pub(super) fn probe(&self, link: PeerLink, peer: ServerName) {
        if let Some(prober) = self.prober.clone() {
            tokio::spawn(prober.probe(link, peer));
        }
    }

    pub(super) fn opened(&mut self, link: PeerLink, output: PeerOutput) {
        self.outputs.insert(link, output);
    }

    pub(super) fn closed(&mut self, link: PeerLink) {
        self.outputs.remove(&link);
    }

    /// Who is there needn't be dialled.
    pub(super) fn joined(&self, server: ServerName) {
        self.members.send_modify(|members| {
            members.insert(server);
        });
    }

    pub(super) fn left(&self, server: &ServerName) {
        self.members.send_modify(|members| {
            members.remove(server);
        });
    }

    pub(super) fn transmit(&mut self, transmit: PeerTransmit) {
        match transmit {
            PeerTransmit::Message { link, message } => {
                if let Some(output) = self.outputs.get(&link) {
                    output.send(*message);
                }
            }
            PeerTransmit::Close { link } => {
                // Dropping the output lets its task write what is queued and then close.
                self.outputs.remove(&link);
            }
        }
    }

    /// Sends a datagram; answers how many were kept back because the path is too narrow.
    pub(super) fn send_datagram(&self, link: PeerLink, datagram: Bytes) -> u64 {
        let Some(output) = self.outputs.get(&link) else {
            return 1;
        };
        match output.connection.send_datagram(datagram) {
            Ok(SendOutcome::Sent) => 0,
            Ok(SendOutcome::Shed(datagrams)) => datagrams as u64,
            Err(_) => 1,
        }
    }

    /// Says how many audio streams' worth the path to a member must carry.
    pub(super) fn set_streams(&self, link: PeerLink, streams: usize) {
        if let Some(output) = self.outputs.get(&link) {
            output.connection.set_audio_streams(streams);
        }
    }

    /// Links to members that are open.
    pub(super) fn links(&self) -> impl Iterator<Item = PeerLink> {
        self.outputs.keys().copied()
    }

    /// Lets what was said arrive, and waits until the door is closed.
    pub(super) async fn finish(&mut self) {
        for (_, output) in self.outputs.drain() {
            output.finish().await;
        }
        self.inputs.close();
        if let Some(door) = self.door.take() {
            // Late is better than never.
            let _ = tokio::time::timeout(FINISH_LIMIT * 2, door).await;
        }
    }
}

impl PeerOutput {
    /// Queues a message; a member that doesn't read is cut off.
    fn send(&self, message: PeerMessage) {
        if self.messages.try_send(message).is_err() {
            self.connection
                .close(CloseCode::Protocol, "messages are not being read");
        }
    }

    async fn finish(self) {
        drop(self.messages);
        let _ = tokio::time::timeout(FINISH_LIMIT, self.finished).await;
    }
}

/// See [`Peers::probe`].
#[derive(Clone)]
struct Prober {
    addresses: HashMap<ServerName, ServerAddress>,
    dialling: Arc<ArcSwap<ClientTls>>,
    inputs: mpsc::WeakSender<PeerInput>,
}

impl Prober {
    async fn probe(self, link: PeerLink, peer: ServerName) {
        let unreached = match self.addresses.get(&peer) {
            None => Some(Reason::new(
                Code::ForeignMember,
                format!("{peer} is not among the peers."),
            )),
            Some(address) => {
                let tls = self.dialling.load_full();
                dial(&peer, address, &tls).await.map(|channel| hang_up(&channel)).err()
            }
        };
        // The event loop is gone only when the service stops.
        if let Some(inputs) = self.inputs.upgrade() {
            let _ = inputs.send(PeerInput::Probed { link, unreached }).await;
        }
    }
}

fn hang_up(channel: &Channel) {
    channel
        .connection
        .close(CloseCode::Done, "only asked whether you are reached");
}

/// Dials a member, and looks whether it is the one.
async fn dial(peer: &ServerName, address: &ServerAddress, tls: &ClientTls) -> Result<Channel, Reason> {
    match connect(address, tls, &Settings::server()).await {
        Ok(channel) if channel.connection.peer().name.as_str() == peer.as_str() => Ok(channel),
        Ok(channel) => {
            let name = &channel.connection.peer().name;
            let text = format!("{peer} was dialled at {address}, where {name} answers.");
            channel
                .connection
                .close(CloseCode::Denied, "another member was dialled");
            Err(Reason::new(Code::CertificateRefused, text))
        }
        Err(error) => {
            let Reason { code, text, .. } = error.reason();
            Err(Reason::new(code, format!("{peer}: {text}.")))
        }
    }
}

/// What all tasks share.
#[derive(Clone)]
struct House {
    inputs: mpsc::Sender<PeerInput>,
    dialling: Arc<ArcSwap<ClientTls>>,
    next_link: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl House {
    /// Lets members in until the service stops, by the newest certificates, and dials them.
    async fn run(self, door: PeerDoor, members: watch::Receiver<BTreeSet<ServerName>>) {
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
        loop {
            let arrived = tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(PeerTls { dialled, dialling }) = renewals.recv() => {
                    endpoint.replace_tls(dialled);
                    self.dialling.store(Arc::new(dialling));
                    continue;
                }
                _ = recheck.tick() => {
                    endpoint.withdraw_expired();
                    continue;
                }
                arrived = endpoint.accept() => arrived,
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
        endpoint.close("the server stops").await;
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
        let (messages, queue) = mpsc::channel(OUTPUT_QUEUE);
        let finished = tokio::spawn(write_messages(connection.clone(), sender, queue));
        let output = PeerOutput {
            connection: connection.clone(),
            messages,
            finished,
        };
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
            end = read_datagrams(link, &connection, &self.inputs, &self.dropped) => end,
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
        loop {
            recheck.tick().await;
            let tls = self.dialling.load();
            if let Err(problem) = tls.recheck(connection.chain(), address.host()) {
                return (CloseCode::Denied, problem.to_holder());
            }
        }
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

/// Reads until the connection ends. What comes while the event loop is behind would be too late.
async fn read_datagrams(
    link: PeerLink,
    connection: &Connection,
    inputs: &mpsc::Sender<PeerInput>,
    dropped: &AtomicU64,
) -> (CloseCode, String) {
    let closed = loop {
        match connection.receive_datagram().await {
            Ok(datagram) => {
                if inputs.try_send(PeerInput::Datagram { link, datagram }).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(closed) => break closed,
        }
    };
    // The end of the control stream may still say something.
    let reason = closed.to_string();
    tokio::time::sleep(Duration::from_millis(50)).await;
    (CloseCode::Done, reason)
}

/// Writes until nobody queues any more, then closes the connection once everything has arrived.
async fn write_messages(connection: Connection, mut sender: ControlSender, mut queue: mpsc::Receiver<PeerMessage>) {
    while let Some(message) = queue.recv().await {
        if let Err(error) = sender.send(&message).await {
            tracing::debug!(%error, "a message to a member was not sent");
            return;
        }
    }
    sender.finish();
    // Closing late is better than not at all.
    let _ = tokio::time::timeout(FINISH_LIMIT, sender.delivered()).await;
    connection.close(CloseCode::Done, "goodbye");
}

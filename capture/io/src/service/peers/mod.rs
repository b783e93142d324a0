//! Connections with the other members of the cluster: a door at which they dial us, a task that dials each of those
//! configured while it isn't there, and a task for each connection.
//!
//! `mod` is the event loop's side, `house` the tasks, `dial` one attempt to reach a member.

mod dial;
mod house;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use silentmon_capture_core::cluster::{Dialled, PeerLink, PeerTransmit};
use silentmon_capture_core::engine::Engine;
use silentmon_certs::{ClientTls, ServerTls};
use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::PeerMessage;
use silentmon_proto::reason::Reason;
use silentmon_proto::time::Instant;
use silentmon_transport::{ServerAddress, ServerEndpoint};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::dial::Prober;
use self::house::House;
use super::output::{FINISH_LIMIT, Output};
use super::refusals::Refusals;

/// Messages and datagrams of all members that may wait for the event loop.
const INPUT_QUEUE: usize = 4096;

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
    /// Where they dial us; already bound. Nobody dials a leaf.
    pub endpoint: Option<ServerEndpoint>,
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

/// The sending half of a member's connection.
pub(super) type PeerOutput = Output<Arc<PeerMessage>>;

/// The event loop's side of all connections with members.
pub(super) struct Peers {
    inputs: mpsc::Receiver<PeerInput>,
    outputs: HashMap<PeerLink, PeerOutput>,
    members: watch::Sender<BTreeSet<ServerName>>,
    /// Members that are to be dialled once.
    wanted: mpsc::UnboundedSender<(ServerName, ServerAddress)>,
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
        let (wanted, wanted_now) = mpsc::unbounded_channel();
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
            tokio::spawn(house.run(door, present, wanted_now))
        });
        Self {
            inputs,
            outputs: HashMap::new(),
            members,
            wanted,
            dropped,
            prober,
            door,
        }
    }

    /// What happens next. Never, where the server is in no cluster. Safe to be given up in a `select`.
    pub(super) async fn next(&mut self) -> Option<PeerInput> {
        self.inputs.recv().await
    }

    /// Lets the engine know what a connection told.
    pub(super) fn take(&mut self, input: PeerInput, engine: &mut Engine, now: Instant) {
        match input {
            PeerInput::Opened {
                link,
                dialled,
                peer,
                output,
            } => {
                self.outputs.insert(link, output);
                engine.handle_peer_connected(link, dialled, peer, now);
            }
            PeerInput::Message { link, message } => engine.handle_peer_message(link, *message, now),
            PeerInput::Datagram { link, datagram } => engine.handle_peer_datagram(link, &datagram, now),
            PeerInput::Unreached { peer, reason } => engine.handle_peer_refused(&peer, reason),
            PeerInput::Probed { link, unreached } => engine.handle_probed(link, unreached),
            PeerInput::Died { peer } => engine.handle_peer_died(&peer, now),
            PeerInput::Closed { link, why } => {
                self.outputs.remove(&link);
                engine.handle_peer_disconnected(link, &why, now);
            }
        }
    }

    /// Datagrams of members that came while the event loop was behind.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Dials a member for somebody who asks whether it is reached; `address` where it isn't among those configured.
    pub(super) fn probe(&self, link: PeerLink, peer: ServerName, address: Option<String>) {
        if let Some(prober) = self.prober.clone() {
            tokio::spawn(prober.probe(link, peer, address));
        }
    }

    /// Dials a member that is needed, unless that is going on.
    pub(super) fn want(&self, server: ServerName, address: &str) {
        match address.parse() {
            // The door is gone only when the service stops.
            Ok(address) => {
                let _ = self.wanted.send((server, address));
            }
            Err(error) => tracing::warn!(%server, address, "a member can't be dialled: {error}"),
        }
    }

    /// Who is connected needn't be dialled.
    pub(super) fn linked(&self, server: ServerName) {
        self.members.send_modify(|members| {
            members.insert(server);
        });
    }

    pub(super) fn unlinked(&self, server: &ServerName) {
        self.members.send_modify(|members| {
            members.remove(server);
        });
    }

    pub(super) fn transmit(&mut self, transmit: PeerTransmit) {
        match transmit {
            PeerTransmit::Message { link, message } => {
                if let Some(output) = self.outputs.get(&link) {
                    output.send(message);
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
        self.outputs
            .get(&link)
            .map_or(1, |output| output.send_datagram(datagram))
    }

    /// Says how many audio streams' worth the path to a member must carry.
    pub(super) fn set_streams(&self, link: PeerLink, streams: usize) {
        if let Some(output) = self.outputs.get(&link) {
            output.set_streams(streams);
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

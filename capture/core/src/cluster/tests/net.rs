//! Members, the network between them and their clocks, in one thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::{Fact, PeerMessage, Role};
use silentmon_proto::reason::Reason;
use silentmon_proto::time::Instant;

use crate::cluster::{Cluster, ClusterEvent, ClusterSettings, Dialled, Directory, HoldsCti, PeerLink, PeerTransmit};
use crate::directory::AgentDirectory;

/// How long a message is on its way.
const DELAY: Duration = Duration::from_millis(1);
/// How often a member dials those it doesn't reach.
const REDIAL: Duration = Duration::from_secs(2);

pub struct Node<D = Cluster> {
    pub cluster: D,
    pub directory: AgentDirectory,
    pub holds: bool,
    pub log: Vec<ClusterEvent>,
    pub sent: u64,
}

/// Both ends of a connection.
#[derive(Clone)]
struct Wire {
    dialler: usize,
    dialled: usize,
    open: bool,
}

enum Parcel {
    Message(usize, PeerLink, Arc<PeerMessage>),
    Broken(usize, PeerLink),
}

pub struct Net {
    pub now: Instant,
    pub nodes: Vec<Option<Node>>,
    settings: Vec<ClusterSettings>,
    wires: BTreeMap<PeerLink, Wire>,
    parcels: VecDeque<(Instant, Parcel)>,
    /// Pairs between which nothing passes, and nobody says so.
    silent: BTreeSet<(usize, usize)>,
    /// Messages of this kind are lost, once.
    pub lose: Option<fn(&PeerMessage) -> bool>,
    next_link: u64,
    next_dial: Instant,
}

pub fn name(number: usize) -> ServerName {
    ServerName::new(format!("gw{number:03}"))
}

pub fn settings(number: usize, of: usize) -> ClusterSettings {
    ClusterSettings {
        server: name(number),
        cluster: "north".into(),
        run: 1,
        service_port: 42228,
        software: "a test".to_owned(),
        peers: (0..of).filter(|other| *other != number).map(name).collect(),
        role: Role::Member,
        has_cti: true,
        heartbeat: Duration::from_secs(5),
        retries: 3,
        store: None,
    }
}

impl Net {
    pub fn of(settings: Vec<ClusterSettings>) -> Self {
        let now = Instant::from_parts(1_000, 0);
        let mut net = Self {
            now,
            nodes: settings.iter().map(|_| None).collect(),
            settings,
            wires: BTreeMap::new(),
            parcels: VecDeque::new(),
            silent: BTreeSet::new(),
            lose: None,
            next_link: 0,
            next_dial: now,
        };
        for number in 0..net.nodes.len() {
            net.start(number);
        }
        net
    }

    pub fn mesh(of: usize) -> Self {
        Self::of((0..of).map(|number| settings(number, of)).collect())
    }

    pub fn node(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().expect("runs")
    }

    pub fn start(&mut self, number: usize) {
        let settings = &mut self.settings[number];
        settings.run += 1;
        self.nodes[number] = Some(Node::new(Cluster::new(settings.clone(), self.now)));
    }

    /// The program is gone; with `loudly` the others' sockets say so.
    pub fn kill(&mut self, number: usize, loudly: bool) {
        self.nodes[number] = None;
        for (link, wire) in self.wires.clone() {
            if wire.open && (wire.dialler == number || wire.dialled == number) {
                let other = if wire.dialler == number {
                    wire.dialled
                } else {
                    wire.dialler
                };
                self.wires.get_mut(&link).expect("known").open = false;
                if loudly {
                    self.parcels.push_back((self.now + DELAY, Parcel::Broken(other, link)));
                }
            }
        }
    }

    /// Nothing passes between two members any more, or again.
    pub fn cut(&mut self, one: usize, other: usize, cut: bool) {
        let pair = (one.min(other), one.max(other));
        if cut {
            self.silent.insert(pair);
        } else {
            self.silent.remove(&pair);
        }
    }

    pub fn is_cut(&self, one: usize, other: usize) -> bool {
        self.silent.contains(&(one.min(other), one.max(other)))
    }

    /// A CTI source tells a member something.
    pub fn tell(&mut self, number: usize, event: &CtiEvent) {
        let now = self.now;
        self.node(number).tell(event, now);
        self.settle(number);
    }

    /// Lets time pass.
    pub fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.step(end) {}
        self.now = end;
    }

    fn step(&mut self, end: Instant) -> bool {
        let parcel = self.parcels.front().map(|(at, _)| *at);
        let timers = self
            .nodes
            .iter()
            .flatten()
            .filter_map(|node| node.cluster.poll_timeout());
        let next = timers
            .chain(parcel)
            .chain([self.next_dial])
            .min()
            .expect("dialling goes on");
        if next > end {
            return false;
        }
        self.now = self.now.max(next);
        while self.parcels.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, parcel) = self.parcels.pop_front().expect("there");
            self.deliver(parcel);
        }
        if self.now >= self.next_dial {
            self.next_dial = self.now + REDIAL;
            self.dial();
        }
        for number in 0..self.nodes.len() {
            let now = self.now;
            if let Some(node) = &mut self.nodes[number]
                && node.cluster.poll_timeout().is_some_and(|due| due <= now)
            {
                node.cluster.handle_timeout(now);
                self.settle(number);
            }
        }
        true
    }

    fn dial(&mut self) {
        for dialler in 0..self.nodes.len() {
            for dialled in 0..self.nodes.len() {
                let configured = self.settings[dialler].peers.contains(&self.settings[dialled].server);
                let both_run = self.nodes[dialler].is_some() && self.nodes[dialled].is_some();
                let connected = self
                    .wires
                    .values()
                    .any(|wire| wire.open && wire.dialler == dialler && wire.dialled == dialled);
                let met = self.nodes[dialler].as_ref().is_some_and(|node| {
                    let peer = &self.settings[dialled].server;
                    node.cluster.members().any(|name| name == peer)
                });
                if dialler != dialled && configured && both_run && !connected && !met && !self.is_cut(dialler, dialled)
                {
                    self.connect(dialler, dialled);
                }
            }
        }
    }

    pub fn connect(&mut self, from: usize, to: usize) {
        self.next_link += 1;
        let link = PeerLink(self.next_link);
        let wire = Wire {
            dialler: from,
            dialled: to,
            open: true,
        };
        self.wires.insert(link, wire);
        let now = self.now;
        let names = [to, from].map(|number| self.settings[number].server.clone());
        let ends = [(from, Dialled::ByUs), (to, Dialled::ByThem)];
        for ((number, by), peer) in ends.into_iter().zip(names) {
            self.node(number).cluster.handle_connected(link, by, peer, now);
            self.settle(number);
        }
    }

    fn deliver(&mut self, parcel: Parcel) {
        let now = self.now;
        let (to, link) = match &parcel {
            Parcel::Message(to, link, _) | Parcel::Broken(to, link) => (*to, *link),
        };
        let Some(node) = &mut self.nodes[to] else { return };
        match parcel {
            Parcel::Message(_, _, message) => {
                if !self.wires[&link].open {
                    return;
                }
                // Through JSON, as on the wire.
                let json = serde_json::to_string(&message).expect("JSON");
                let message = serde_json::from_str(&json).expect("the same");
                node.cluster.handle_message(link, message, now);
            }
            Parcel::Broken(..) => {
                self.wires.get_mut(&link).expect("known").open = false;
                node.cluster.handle_disconnected(link, "reset", now);
            }
        }
        self.settle(to);
    }

    fn settle(&mut self, number: usize) {
        let now = self.now;
        loop {
            let node = self.node(number);
            node.take_up(now);
            let Some(transmit) = node.cluster.poll_transmit() else {
                break;
            };
            node.sent += 1;
            self.send(number, transmit);
        }
    }

    fn send(&mut self, from: usize, transmit: PeerTransmit) {
        let (PeerTransmit::Message { link, .. } | PeerTransmit::Close { link }) = &transmit;
        let wire = self.wires[link].clone();
        let to = if wire.dialler == from {
            wire.dialled
        } else {
            wire.dialler
        };
        if !wire.open {
            return;
        }
        if self.is_cut(from, to) {
            // Who closes dials anew later, whatever the other side knows of it.
            if matches!(transmit, PeerTransmit::Close { .. }) {
                self.wires.get_mut(link).expect("known").open = false;
            }
            return;
        }
        let at = self.now + DELAY;
        match transmit {
            PeerTransmit::Message { link, message } => {
                if self.lose.is_some_and(|lose| lose(&message)) {
                    self.lose = None;
                    return;
                }
                self.parcels.push_back((at, Parcel::Message(to, link, message)));
            }
            PeerTransmit::Close { link } => {
                // What was sent before arrives before.
                self.parcels.push_back((at, Parcel::Broken(to, link)));
            }
        }
    }
}

impl<D: Directory> Node<D> {
    pub fn new(cluster: D) -> Self {
        Self {
            cluster,
            directory: AgentDirectory::default(),
            holds: false,
            log: Vec::new(),
            sent: 0,
        }
    }

    /// A CTI source tells it something.
    pub fn tell(&mut self, event: &CtiEvent, now: Instant) {
        self.directory.handle_event(event, now);
        self.cluster.tell(&Fact::Cti {
            link: None,
            event: event.clone(),
        });
    }

    /// Takes up all that its cluster has to say.
    pub fn take_up(&mut self, now: Instant) {
        while let Some(event) = self.cluster.poll_event() {
            self.take(&event, now);
            self.log.push(event);
        }
    }

    fn take(&mut self, event: &ClusterEvent, now: Instant) {
        match event {
            ClusterEvent::SnapshotWanted => {
                let known = if self.cluster.tells_cti() {
                    let events = self.directory.retell().into_iter();
                    events.map(|event| Fact::Cti { link: None, event }).collect()
                } else {
                    Vec::new()
                };
                self.cluster.give_snapshot(known);
            }
            ClusterEvent::Told(_, Fact::Cti { event, .. }) => {
                self.directory.handle_event(event, now);
            }
            ClusterEvent::ToldAll { facts, instead, .. } => {
                let event = |fact: &Fact| match fact {
                    Fact::Cti { event, .. } => Some(event.clone()),
                    Fact::Sees { .. }
                    | Fact::Session(_)
                    | Fact::SessionOver { .. }
                    | Fact::Desk { .. }
                    | Fact::Pause(_)
                    | Fact::PauseOver { .. }
                    | Fact::Fed { .. }
                    | Fact::Controls { .. }
                    | Fact::Sighted { .. }
                    | Fact::Unknown => None,
                };
                let events: Vec<CtiEvent> = facts.iter().filter_map(event).collect();
                self.directory.handle_retelling(&events, now);
                if *instead {
                    let after = now + Duration::from_nanos(events.len() as u64);
                    self.directory.end_untold_but(&BTreeSet::new(), now, after);
                }
            }
            ClusterEvent::ToldAllOf { facts, agents, .. } => {
                let event = |fact: &Fact| match fact {
                    Fact::Cti { event, .. } => Some(event.clone()),
                    _ => None,
                };
                let events: Vec<CtiEvent> = facts.iter().filter_map(event).collect();
                self.directory.handle_retelling_of(agents, &events, now);
            }
            ClusterEvent::Cti(holds) => self.holds = *holds == HoldsCti::Yes,
            _ => {}
        }
    }

    /// Agents, and where their phones' media are.
    pub fn media(&self) -> BTreeMap<String, Vec<String>> {
        let media = |id| {
            self.directory
                .media(id)
                .iter()
                .map(|leg| leg.address.to_string())
                .collect()
        };
        self.directory
            .agents()
            .map(|(id, _)| (id.to_string(), media(id)))
            .collect()
    }

    pub fn members(&self) -> Vec<String> {
        self.cluster.members().map(ToString::to_string).collect()
    }

    pub fn reasons(&self) -> Vec<Reason> {
        let reason = |event: &ClusterEvent| match event {
            ClusterEvent::Refused(_, reason) | ClusterEvent::Left(_, reason) => Some(reason.clone()),
            _ => None,
        };
        self.log.iter().filter_map(reason).collect()
    }
}

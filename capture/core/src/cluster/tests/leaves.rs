//! Hubs and leaves in virtual time: what a leaf's loss and a hub's means, and what 500 sites with 10,000 agents cost.
#![allow(clippy::print_stderr, reason = "figures that a script asks for")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use silentmon_proto::peer::Role;

use super::net::{Node, settings};
use super::*;

/// How long a message is on its way between sites.
const DELAY: Duration = Duration::from_millis(20);
/// How soon a leaf dials a hub again.
const REDIAL: Duration = Duration::from_secs(2);

/// Hubs, then leaves.
struct Sites {
    now: Instant,
    hubs: usize,
    nodes: Vec<Option<Node>>,
    settings: Vec<ClusterSettings>,
    /// Both ends of each open connection: who dialled, who was dialled.
    wires: HashMap<PeerLink, (usize, usize)>,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    parcels: HashMap<u64, Parcel>,
    /// For when each node's timer is set.
    timers: Vec<Option<Instant>>,
    next: u64,
    /// Messages and bytes (as JSON) that each hub sent and got, and each leaf sent.
    traffic: Vec<(u64, u64)>,
}

enum Parcel {
    Message(usize, PeerLink, Arc<PeerMessage>),
    Broken(usize, PeerLink),
    Timer(usize),
    Dial(usize, usize),
}

impl Sites {
    /// Each leaf dials `dials` of the hubs.
    fn new(hubs: usize, leaves: usize, dials: usize) -> Self {
        let count = hubs + leaves;
        let setting = |number: usize| {
            let mut all = settings(number, hubs);
            all.has_cti = number >= hubs;
            if number < hubs {
                all.role = Role::Hub;
            } else {
                all.role = Role::Leaf;
                let first = number % hubs;
                all.peers = (0..dials).map(|other| net::name((first + other) % hubs)).collect();
            }
            all
        };
        let mut sites = Self {
            now: Instant::from_parts(1_000, 0),
            hubs,
            nodes: (0..count).map(|_| None).collect(),
            settings: (0..count).map(setting).collect(),
            wires: HashMap::new(),
            due: BinaryHeap::new(),
            parcels: HashMap::new(),
            timers: vec![None; count],
            next: 0,
            traffic: vec![(0, 0); count],
        };
        for number in 0..count {
            sites.start(number);
        }
        sites
    }

    fn start(&mut self, number: usize) {
        self.settings[number].run += 1;
        let settings = self.settings[number].clone();
        self.nodes[number] = Some(Node::new(Cluster::new(settings.clone(), self.now)));
        for hub in 0..self.hubs {
            if hub < number && settings.peers.contains(&net::name(hub)) {
                self.later(Duration::from_millis(number as u64 % 1_000), Parcel::Dial(number, hub));
            }
        }
        // A hub that was away is dialled by those that knew it.
        for other in number + 1..self.nodes.len() {
            if number < self.hubs && self.settings[other].peers.contains(&net::name(number)) {
                self.later(REDIAL, Parcel::Dial(other, number));
            }
        }
        self.settle(number);
    }

    fn kill(&mut self, number: usize) {
        self.nodes[number] = None;
        let broken = self
            .wires
            .iter()
            .filter(|(_, (one, other))| [one, other].contains(&&number));
        for (link, (one, other)) in broken.map(|(link, ends)| (*link, *ends)).collect::<Vec<_>>() {
            self.wires.remove(&link);
            let left = if one == number { other } else { one };
            self.later(DELAY, Parcel::Broken(left, link));
        }
    }

    /// A connection breaks, and its dialler dials again unless `forgets`.
    fn cut(&mut self, leaf: usize, hub: usize) {
        let wire = self.wires.iter().find(|(_, ends)| **ends == (leaf, hub));
        let link = *wire.expect("connected").0;
        self.wires.remove(&link);
        self.later(DELAY, Parcel::Broken(leaf, link));
        self.later(DELAY, Parcel::Broken(hub, link));
    }

    fn later(&mut self, delay: Duration, parcel: Parcel) {
        self.next += 1;
        self.due.push(Reverse((self.now + delay, self.next)));
        self.parcels.insert(self.next, parcel);
    }

    fn node(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().expect("runs")
    }

    fn tell(&mut self, number: usize, events: &[CtiEvent]) {
        let now = self.now;
        for event in events {
            self.node(number).tell(event, now);
        }
        self.settle(number);
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(Reverse((at, id))) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= end) {
            self.due.pop();
            self.now = self.now.max(at);
            if let Some(parcel) = self.parcels.remove(&id) {
                self.deliver(parcel);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, parcel: Parcel) {
        let now = self.now;
        let (Parcel::Message(number, ..) | Parcel::Broken(number, _) | Parcel::Timer(number) | Parcel::Dial(number, _)) =
            parcel;
        if matches!(parcel, Parcel::Timer(_)) {
            self.timers[number] = None;
        }
        let Some(node) = &mut self.nodes[number] else { return };
        match parcel {
            Parcel::Message(_, link, message) => {
                if self.wires.contains_key(&link) {
                    node.cluster.handle_message(link, Arc::unwrap_or_clone(message), now);
                }
            }
            Parcel::Broken(_, link) => node.cluster.handle_disconnected(link, "reset", now),
            Parcel::Timer(_) => {
                if node.cluster.poll_timeout().is_some_and(|due| due <= now) {
                    node.cluster.handle_timeout(now);
                }
            }
            Parcel::Dial(_, hub) => return self.dial(number, hub),
        }
        self.settle(number);
    }

    fn dial(&mut self, number: usize, hub: usize) {
        if self.nodes[hub].is_none() || self.wires.values().any(|ends| *ends == (number, hub)) {
            return;
        }
        self.next += 1;
        let link = PeerLink(self.next);
        self.wires.insert(link, (number, hub));
        let now = self.now;
        for (end, other, by) in [(number, hub, Dialled::ByUs), (hub, number, Dialled::ByThem)] {
            self.node(end).cluster.handle_connected(link, by, net::name(other), now);
            self.settle(end);
        }
    }

    fn settle(&mut self, number: usize) {
        let now = self.now;
        loop {
            let node = self.node(number);
            node.take_up(now);
            let Some(transmit) = node.cluster.poll_transmit() else {
                break;
            };
            match transmit {
                PeerTransmit::Message { link, message } => self.send(number, link, message),
                PeerTransmit::Close { link } => {
                    if let Some((one, other)) = self.wires.remove(&link) {
                        let left = if one == number { other } else { one };
                        self.later(DELAY, Parcel::Broken(left, link));
                    }
                }
            }
        }
        let due = self.node(number).cluster.poll_timeout();
        if let Some(due) = due.filter(|due| self.timers[number].is_none_or(|set| *due < set)) {
            self.timers[number] = Some(due);
            let delay = due.saturating_since(now);
            self.later(delay, Parcel::Timer(number));
        }
    }

    fn send(&mut self, from: usize, link: PeerLink, message: Arc<PeerMessage>) {
        let Some(&(one, other)) = self.wires.get(&link) else {
            return;
        };
        let to = if one == from { other } else { one };
        let bytes = serde_json::to_vec(&message).expect("JSON").len() as u64;
        for end in [from, to] {
            self.traffic[end].0 += 1;
            self.traffic[end].1 += bytes;
        }
        self.later(DELAY, Parcel::Message(to, link, message));
    }

    /// Agents with media that a hub knows, and how many of them it knows who sees.
    fn known(&mut self, hub: usize) -> (usize, usize) {
        let media = self.node(hub).media();
        let talking = media.iter().filter(|(_, media)| !media.is_empty());
        let agents: Vec<AgentId> = talking.map(|(agent, _)| agent.as_str().into()).collect();
        let node = self.node(hub);
        let seen = agents
            .iter()
            .filter(|agent| node.cluster.seen_by(agent).next().is_some());
        (agents.len(), seen.count())
    }

    /// An agent of a leaf's talks, and it sees both legs.
    fn talk(&mut self, leaf: usize, agent: usize, call: usize) {
        self.node(leaf)
            .cluster
            .handle_sees(&AgentId::new(format!("{agent}")), [true; 2]);
        self.tell(leaf, &talks(agent, call));
    }

    fn ways(&mut self, hub: usize, to: usize) -> Vec<ServerName> {
        let to = net::name(to);
        self.node(hub).cluster.ways_to(&to).cloned().collect()
    }

    fn left(&mut self, hub: usize) -> Vec<ServerName> {
        let left = |event: &ClusterEvent| match event {
            ClusterEvent::Left(name, _) => Some(name.clone()),
            _ => None,
        };
        self.node(hub).log.iter().filter_map(left).collect()
    }
}

#[test]
fn a_leaf_is_known_to_all_hubs_and_is_told_nothing_of_others() {
    let mut sites = Sites::new(3, 2, 1);
    sites.run(3.0);
    sites.talk(3, 1, 1);
    sites.talk(4, 2, 1);
    sites.run(1.0);
    for hub in 0..3 {
        assert_eq!(sites.known(hub), (2, 2), "{hub}");
    }
    assert_eq!(sites.ways(1, 3), [net::name(0)], "by the hub that it dialled");
    assert_eq!(sites.ways(0, 3), [net::name(3)], "straight");
    assert_eq!(sites.ways(0, 1), [net::name(1)]);
    let counts = sites.node(0).cluster.leaf_counts();
    assert_eq!((counts.here, counts.elsewhere, counts.lost), (1, 1, 0));
    assert_eq!(sites.node(3).media().len(), 1, "its own agent alone");
    sites.tell(3, &[hangs_up(1, 1)]);
    sites.run(1.0);
    for hub in 0..3 {
        assert_eq!(sites.known(hub).0, 1, "{hub}");
    }
    assert!(
        sites.node(3).holds && sites.node(4).holds,
        "a leaf's sources are its own"
    );
}

#[test]
fn a_leaf_that_one_hub_loses_is_known_by_the_others_and_nothing_counts_twice() {
    let mut sites = Sites::new(3, 1, 2);
    sites.run(3.0);
    sites.talk(3, 1, 1);
    sites.run(1.0);
    let told = |node: &Node| {
        node.log
            .iter()
            .filter(|event| matches!(event, ClusterEvent::Told(..)))
            .count()
    };
    assert_eq!(told(sites.node(2)), 3, "by two hubs, and taken once");
    sites.cut(3, 0);
    sites.run(30.0);
    for hub in 0..3 {
        assert_eq!((sites.known(hub), sites.left(hub)), ((1, 1), vec![]), "{hub}");
    }
    assert_eq!(sites.ways(0, 3), [net::name(1)]);
    sites.talk(3, 2, 1);
    sites.run(1.0);
    sites.kill(1);
    sites.run(1.0);
    assert_eq!(sites.known(2), (2, 0), "nobody reaches it now");
    sites.run(20.0);
    for hub in [0, 2] {
        assert_eq!(sites.known(hub), (0, 0), "no ghosts");
        assert!(sites.left(hub).contains(&net::name(3)));
    }
}

#[test]
fn who_takes_no_leaves_refuses_them() {
    let mut sites = Sites::new(1, 1, 1);
    sites.settings[0].role = Role::Member;
    sites.start(0);
    sites.run(5.0);
    let reasons = sites.node(0).reasons();
    assert!(
        reasons.iter().any(|reason| reason.code == Code::ForeignMember),
        "{reasons:?}"
    );
    assert_eq!(sites.node(0).members().len(), 0);
}

/// Sites, hubs, agents of each site and calls an hour of each agent, and for how long that goes on.
struct Load {
    hubs: usize,
    sites: usize,
    agents: usize,
    calls_an_hour: f64,
    seconds: usize,
}

/// All sites come, then calls begin and end, then a hub dies.
fn measure(load: &Load) {
    let mut sites = Sites::new(load.hubs, load.sites, 2);
    sites.run(5.0);
    for leaf in 0..load.sites {
        for agent in 0..load.agents {
            sites.talk(load.hubs + leaf, leaf * load.agents + agent, 0);
        }
    }
    sites.run(1.0);
    let all = load.sites * load.agents;
    for hub in 0..load.hubs {
        assert_eq!(sites.known(hub), (all, all), "{hub}");
    }
    let before = sites.traffic.clone();
    let a_second = all as f64 * load.calls_an_hour / 3_600.0;
    let mut owed = 0.0;
    let mut next = 0;
    for second in 0..load.seconds {
        owed += a_second;
        while owed >= 1.0 {
            owed -= 1.0;
            // Spread over all sites: the next one's next agent.
            let (leaf, agent) = (next % load.sites, next / load.sites % load.agents);
            let agent = leaf * load.agents + agent;
            sites.tell(load.hubs + leaf, &[hangs_up(agent, 0), hangs_up(agent, second)]);
            sites.talk(load.hubs + leaf, agent, second + 1);
            next += 1;
        }
        sites.run(1.0);
    }
    let seconds = load.seconds as f64;
    let rate = |number: usize| {
        let (messages, bytes) = (
            sites.traffic[number].0 - before[number].0,
            sites.traffic[number].1 - before[number].1,
        );
        (messages as f64 / seconds, bytes as f64 / seconds / 1_000.0)
    };
    let (hub, leaf) = (rate(0), rate(load.hubs));
    eprintln!(
        "{} sites, {} agents, {} hubs, {a_second:.1} calls/s: a hub {:.0} messages/s {:.0} kB/s, a site {:.1} messages/s {:.2} kB/s",
        load.sites, all, load.hubs, hub.0, hub.1, leaf.0, leaf.1
    );
    // A hub dies: what its leaves told is known by the others, and nobody is lost.
    sites.kill(0);
    sites.run(0.05);
    let mut waited = 0.05;
    while (1..load.hubs).any(|hub| sites.node(hub).cluster.leaves.in_step() < load.sites) {
        sites.run(0.05);
        waited += 0.05;
        assert!(waited < 10.0, "{:?}", sites.known(1));
    }
    for hub in 1..load.hubs {
        assert_eq!(sites.known(hub), (all, all), "{hub}");
    }
    for hub in 1..load.hubs {
        assert!(sites.left(hub).iter().all(|name| *name == net::name(0)), "{hub}");
    }
    let dead = sites.traffic[1].1;
    sites.start(0);
    let mut back = 0.0;
    while sites.known(0) != (all, all) {
        sites.run(0.1);
        back += 0.1;
        assert!(back < 30.0, "{:?}", sites.known(0));
    }
    eprintln!(
        "a hub dies: the others have asked again and know all after {waited:.2} s; it comes back and knows all after {back:.1} s, for which another sent and got {:.1} MB",
        (sites.traffic[1].1 - dead) as f64 / 1e6
    );
    assert!(hub.1 < 5_000.0 && leaf.1 < 10.0 * load.agents as f64 / 20.0 + 5.0);
}

#[test]
fn fifty_sites_and_their_agents_are_known_to_all_hubs_when_one_dies() {
    measure(&Load {
        hubs: 4,
        sites: 50,
        agents: 4,
        calls_an_hour: 20.0,
        seconds: 20,
    });
}

/// The long form: `cargo nextest run -p silentmon-capture-core --release --run-ignored all --no-capture five_hundred`
#[test]
#[ignore = "takes a minute: scripts/bench-cluster runs it"]
fn five_hundred_sites_and_ten_thousand_agents_are_known_to_all_hubs_when_one_dies() {
    measure(&Load {
        hubs: 4,
        sites: 500,
        agents: 20,
        calls_an_hour: 20.0,
        seconds: 60,
    });
    measure(&Load {
        hubs: 4,
        sites: 5_000,
        agents: 1,
        calls_an_hour: 20.0,
        seconds: 20,
    });
}

//! Members, the network between them, their mirrors, phones and supervisors' programs, in one thread and in virtual time.
//! Whatever a program hears is checked: by whom it was said, and that both journals had the session on disk before.

mod post;
mod programs;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::{PeerMessage, Role};

use super::super::*;
use super::mirror::Mirror;
use crate::cluster::{ClusterSettings, Dialled, Directory, PeerLink, PeerTransmit};
use crate::link::LinkCommand;

use self::post::{Due, Parcel, Wire};
pub use self::programs::Program;

/// How long a record takes to be on disk.
const DISK: Duration = Duration::from_millis(3);
/// Between two packets of a phone.
const PACKET: Duration = Duration::from_millis(20);
/// How often a member dials those it doesn't reach, and a program the next member.
const REDIAL: Duration = Duration::from_millis(500);
/// How often the counts of a member's mirror are read.
const HEALTH: Duration = Duration::from_secs(1);
/// One member.
pub struct Member {
    pub engine: Engine,
    /// Its clock less the true time.
    ahead: Duration,
    mirror: Mirror,
    /// What it wrote down, in order.
    pub journal: Vec<EngineEvent>,
    /// What its CTI links were asked to do.
    pub commands: Vec<LinkCommand>,
    /// Sessions whose start, or going on, is on disk.
    on_disk: BTreeSet<SessionId>,
    sessions_of: BTreeMap<ConnectionId, usize>,
}

/// A call: its agent's phone, and who sees which leg of it.
pub struct Call {
    pub agent: usize,
    pub ssrc: u32,
    pub number: u16,
    pub seen_by: BTreeMap<usize, [bool; 2]>,
    /// Of so many packets each member's mirror loses one; none with 0.
    pub mirror_loses: u16,
}

/// What is done again and again.
struct Every {
    period: Duration,
    next: Instant,
}

impl Every {
    const fn new(period: Duration, now: Instant) -> Self {
        Self { period, next: now }
    }

    /// Whether it is time, as it will be again a period later.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + self.period;
        }
        is_due
    }
}

pub struct Net {
    pub now: Instant,
    pub members: Vec<Option<Member>>,
    pub calls: Vec<Call>,
    pub programs: Vec<Program>,
    runs: Vec<u64>,
    policies: Vec<Policy>,
    /// What each is to the others, and whom it dials.
    plan: Vec<(Role, Vec<usize>)>,
    /// Whose CTI source tells; that of whoever holds the sessions, where it isn't said.
    pub source: Option<usize>,
    wires: BTreeMap<PeerLink, Wire>,
    parcels: BinaryHeap<Reverse<Due>>,
    cuts: BTreeSet<(usize, usize)>,
    fresh: u64,
    packets: Every,
    dials: Every,
    health: Every,
    looks: Every,
    /// Of so many datagrams between members one is lost; none with 0.
    pub members_lose: u64,
    lost: u64,
    /// Datagrams of audio between members.
    pub relayed: u64,
    /// Numbers of calls: each has SSRCs of its own.
    next_call: u32,
}

pub fn server(number: usize) -> ServerName {
    ServerName::new(format!("gw{number}"))
}

pub fn agent(number: usize) -> AgentId {
    AgentId::new(format!("47{number:02}"))
}

fn phone(agent: usize) -> String {
    format!("10.1.{agent}.20:24678")
}

/// Speech that says who says it.
fn payload(ssrc: u32, number: u16) -> Vec<u8> {
    let mut payload = speech(number);
    payload[..4].copy_from_slice(&ssrc.to_be_bytes());
    payload[4..6].copy_from_slice(&number.to_be_bytes());
    payload
}

impl Net {
    pub fn of(count: usize) -> Self {
        Self::with_policy(count, |_| {})
    }

    pub fn with_policy(count: usize, change: impl Fn(&mut Policy)) -> Self {
        let mesh = |number: usize| (Role::Member, (0..count).filter(|other| *other != number).collect());
        Self::planned((0..count).map(mesh).collect(), change)
    }

    /// Hubs, then leaves, each of which dials these hubs; each leaf has CTI sources of its own.
    pub fn of_hubs(hubs: usize, leaves: &[&[usize]]) -> Self {
        let mesh = (0..hubs).map(|number| (0..hubs).filter(|other| *other != number).collect());
        let hubs = mesh.map(|peers| (Role::Hub, peers));
        let leaves = leaves.iter().map(|dials| (Role::Leaf, dials.to_vec()));
        Self::planned(hubs.chain(leaves).collect(), |_| {})
    }

    fn planned(plan: Vec<(Role, Vec<usize>)>, change: impl Fn(&mut Policy)) -> Self {
        let count = plan.len();
        let mut policy = Policy {
            who: Who::AnySupervisor,
            ..Policy::new(Disclosure::Never)
        };
        change(&mut policy);
        let now = Instant::from_parts(1_000, 0);
        let mut net = Self {
            now,
            members: (0..count).map(|_| None).collect(),
            calls: Vec::new(),
            programs: Vec::new(),
            runs: vec![0; count],
            policies: vec![policy; count],
            plan,
            source: None,
            wires: BTreeMap::new(),
            parcels: BinaryHeap::new(),
            cuts: BTreeSet::new(),
            fresh: 0,
            packets: Every::new(PACKET, now),
            dials: Every::new(REDIAL, now),
            health: Every::new(HEALTH, now),
            looks: Every::new(LOOK, now),
            members_lose: 0,
            lost: 0,
            relayed: 0,
            next_call: 0,
        };
        for number in 0..count {
            net.start(number);
        }
        net.run(2.0);
        net
    }

    /// Other rules at one member, for it and its next runs.
    pub fn change_policy(&mut self, number: usize, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policies[number]);
        let policy = self.policies[number].clone();
        self.on(number, |engine, now| engine.handle_policy(policy, BTreeMap::new(), now));
    }

    pub fn start(&mut self, number: usize) {
        self.runs[number] += 1;
        let (role, peers) = self.plan[number].clone();
        let cluster = ClusterSettings {
            server: server(number),
            cluster: "north".into(),
            run: self.runs[number],
            service_port: 42228,
            software: "a test".to_owned(),
            peers: peers.into_iter().map(server).collect(),
            role,
            has_cti: role != Role::Hub,
            heartbeat: Duration::from_secs(5),
            retries: 3,
            store: None,
        };
        let settings = EngineSettings {
            server: server(number),
            software: "a test".into(),
            source: "test".into(),
            policy: self.policies[number].clone(),
            devices: BTreeMap::new(),
            resolvers: MediaOrigin::ALL.to_vec(),
            cluster: Some(cluster),
        };
        // Clocks that are a little, and a lot, apart.
        let ahead = Duration::from_millis([0, 37, 4_100][number % 3]);
        self.members[number] = Some(Member {
            engine: Engine::new(settings, self.now + ahead),
            ahead,
            mirror: Mirror::default(),
            journal: Vec::new(),
            commands: Vec::new(),
            on_disk: BTreeSet::new(),
            sessions_of: BTreeMap::new(),
        });
    }

    pub fn member(&self, number: usize) -> &Member {
        self.members[number].as_ref().expect("runs")
    }

    pub fn is_up(&self, number: usize) -> bool {
        self.members[number].is_some()
    }

    /// The program is gone; with `loudly` the others' sockets say so at once.
    pub fn kill(&mut self, number: usize, loudly: bool) {
        self.members[number] = None;
        let open: Vec<_> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.open && wire.ends.contains(&number))
            .map(|(&link, wire)| (link, *wire))
            .collect();
        for (link, wire) in open {
            self.close(link);
            let other = if wire.ends[0] == number {
                wire.ends[1]
            } else {
                wire.ends[0]
            };
            if loudly && !self.is_cut(number, other) {
                self.post(Parcel::Broken(other, link));
            }
        }
        for at in 0..self.programs.len() {
            if self.programs[at].connection.is_some_and(|(member, _)| member == number) && loudly {
                self.lose_connection(at);
            }
        }
    }

    /// Nothing passes between two members any more, or again; nobody says so.
    pub fn cut(&mut self, one: usize, other: usize, cut: bool) {
        let pair = (one.min(other), one.max(other));
        if cut {
            self.cuts.insert(pair);
        } else {
            self.cuts.remove(&pair);
        }
    }

    pub fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
    }

    /// An agent takes a call that these members see.
    pub fn talks(&mut self, number: usize, seen_by: &[(usize, [bool; 2])]) {
        self.next_call += 1;
        let call = format!("call {}", self.next_call);
        let id = agent(number);
        let update = AgentUpdate::new(id.clone(), AgentState::Talking);
        self.cti(&update.into());
        let event = CallEvent::of_agent(id.clone(), call.as_str(), CallEventKind::Established);
        self.cti(
            &CallEvent {
                acd: Some(true),
                ..event
            }
            .into(),
        );
        let media = MediaStarted::at(phone(number).parse().expect("an address"));
        let (told, of) = (Some(id), Some(call.as_str().into()));
        self.cti(
            &MediaStarted {
                agent: told,
                call: of,
                ..media
            }
            .into(),
        );
        self.calls.retain(|call| call.agent != number);
        self.calls.push(Call {
            agent: number,
            ssrc: self.next_call * 100 + u32::try_from(number).expect("small"),
            number: 65_400,
            seen_by: seen_by.iter().copied().collect(),
            mirror_loses: 0,
        });
    }

    pub fn hangs_up(&mut self, number: usize) {
        self.calls.retain(|call| call.agent != number);
        self.cti(&CtiEvent::from(MediaStopped {
            agent: Some(agent(number)),
            device: None,
            call: None,
            address: None,
            direction: None,
        }));
    }

    pub fn call(&mut self, number: usize) -> &mut Call {
        self.calls.iter_mut().find(|call| call.agent == number).expect("a call")
    }

    /// The CTI source tells whoever holds the session with it.
    pub fn cti(&mut self, event: &CtiEvent) {
        let holds = |member: &&usize| {
            let cluster = self.member(**member).engine.cluster().expect("a member");
            cluster.holder() == Some(&server(**member))
        };
        let known = |number: &usize| self.is_up(*number) && self.source.is_none_or(|source| source == *number);
        let up: Vec<usize> = (0..self.members.len()).filter(known).collect();
        let told: Vec<usize> = up.iter().filter(holds).copied().collect();
        for member in if told.is_empty() { up } else { told } {
            self.on(member, |engine, now| {
                engine.handle_link_cti(&"source".into(), event, now);
            });
        }
    }

    /// Lets a member do something, and carries out what it wants.
    pub fn on<T>(&mut self, number: usize, act: impl FnOnce(&mut Engine, Instant) -> T) -> Option<T> {
        let now = self.now;
        let member = self.members[number].as_mut()?;
        let done = act(&mut member.engine, now + member.ahead);
        self.settle(number);
        Some(done)
    }

    fn settle(&mut self, number: usize) {
        let Some(mut member) = self.members[number].take() else {
            return;
        };
        let mut filter_changed = false;
        while let Some(event) = member.engine.poll_event() {
            filter_changed |= event == EngineEvent::FilterChanged;
            if let EngineEvent::PhonesCame(phones) = &event {
                member.mirror.count(phones.clone());
            }
            if let EngineEvent::SessionStarted(record) | EngineEvent::SessionMoved { session: record, .. } = &event {
                self.post(Parcel::OnDisk(number, self.runs[number], record.session));
            }
            if let EngineEvent::Command { command, .. } = &event {
                member.commands.push(command.clone());
            }
            if event.is_audited() {
                member.journal.push(event);
            }
        }
        if filter_changed {
            member.mirror.change(&member.engine);
        }
        while let Some(transmit) = member.engine.poll_transmit() {
            match transmit {
                Transmit::Message { connection, message } => {
                    self.post(Parcel::ToSupervisor(number, connection, message));
                }
                Transmit::Audio {
                    connection,
                    session,
                    datagram,
                } => {
                    assert!(
                        member.on_disk.contains(&session),
                        "gw{number} lets {session} hear before it is on disk"
                    );
                    self.post(Parcel::Audio(number, connection, datagram));
                }
                Transmit::PeerDatagram {
                    link,
                    session,
                    datagram,
                } => {
                    if AudioHeader::parse(&datagram).is_ok() {
                        assert!(
                            member.on_disk.contains(&session),
                            "gw{number} relays {session} before it is on disk"
                        );
                        self.relayed += 1;
                    }
                    self.send_datagram(number, link, datagram);
                }
                Transmit::PlainRtp { .. } | Transmit::Close { .. } => {}
            }
        }
        while let Some(transmit) = member.engine.poll_peer_transmit() {
            self.send_peer(number, transmit);
        }
        self.members[number] = Some(member);
    }

    pub fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        loop {
            let timers = self.members.iter().flatten();
            let timers = timers.map(|member| member.engine.poll_timeout().saturating_back(member.ahead));
            let parcel = self.parcels.peek().map(|Reverse(due)| due.0);
            let next = timers
                .chain(parcel)
                .chain([&self.packets, &self.dials, &self.health, &self.looks].map(|every| every.next))
                .min()
                .expect("packets go on");
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while self.parcels.peek().is_some_and(|Reverse(due)| due.0 <= self.now) {
            if let Some(Reverse(Due(_, _, parcel))) = self.parcels.pop() {
                self.deliver(parcel);
            }
        }
        if self.packets.is_due(self.now) {
            self.send_packets();
        }
        if self.dials.is_due(self.now) {
            self.dial();
        }
        if self.health.is_due(self.now) {
            self.read_health();
        }
        if self.looks.is_due(self.now) {
            self.look_for_phones();
        }
        for at in 0..self.programs.len() {
            self.look_after_program(at);
        }
        for number in 0..self.members.len() {
            let now = self.now;
            let due = |member: &Member| member.engine.poll_timeout() <= now + member.ahead;
            if self.members[number].as_ref().is_some_and(due) {
                self.on(number, Engine::handle_timeout);
            }
        }
    }

    fn send_packets(&mut self) {
        for at in 0..self.calls.len() {
            let call = &mut self.calls[at];
            call.number = call.number.wrapping_add(1);
            let (own, number, loses, seen_by) = (call.agent, call.number, call.mirror_loses, call.seen_by.clone());
            let gateway = "10.9.0.2:16384".to_owned();
            for (leg, ssrc) in Leg::BOTH.into_iter().zip([call.ssrc, call.ssrc + 50]) {
                let (source, destination) = match leg {
                    Leg::Agent => (phone(own), gateway.clone()),
                    Leg::Customer => (gateway.clone(), phone(own)),
                };
                let mut packet = rtp(0, number, &payload(ssrc, number));
                packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
                for (&member, legs) in &seen_by {
                    let lost = loses > 0 && number.wrapping_add(7 * u16::try_from(member).expect("few")) % loses == 0;
                    if legs[leg.index()] && !lost {
                        self.capture(member, &source, &destination, &packet);
                    }
                }
            }
        }
    }

    fn read_health(&mut self) {
        for number in 0..self.members.len() {
            let now = self.now;
            if let Some(member) = &mut self.members[number] {
                let now = now + member.ahead;
                let health = CaptureHealth {
                    last_frame: Some(now),
                    ..CaptureHealth::default()
                };
                member.engine.handle_capture_health(health, now);
                member.mirror.tell(&mut member.engine, |_| true, now);
                self.settle(number);
            }
        }
    }

    fn look_for_phones(&mut self) {
        for number in 0..self.members.len() {
            let now = self.now;
            let member = self.members[number].as_mut();
            if let Some(member) = member.filter(|member| member.engine.awaits_phones()) {
                let awaited = member.engine.phones_awaited();
                let now = now + member.ahead;
                member.mirror.tell(&mut member.engine, |ip| awaited.contains(ip), now);
                member.engine.handle_looked(now);
                self.settle(number);
            }
        }
    }

    fn capture(&mut self, member: usize, source: &str, destination: &str, packet: &[u8]) {
        let (source, destination) = (
            source.parse().expect("an address"),
            destination.parse().expect("an address"),
        );
        let mirror = self.members[member].as_mut().map(|member| &mut member.mirror);
        if !mirror.is_some_and(|mirror| mirror.shows(source, destination)) {
            return;
        }
        self.on(member, |engine, now| {
            let datagram = Datagram {
                captured: now,
                vlan: VlanStack::default(),
                tunnel: None,
                source,
                destination,
                payload: packet,
                truncated: false,
            };
            engine.handle_datagram(&datagram, |_| None);
        });
    }
}

impl Member {
    pub fn count(&self, is_it: impl Fn(&EngineEvent) -> bool) -> usize {
        self.journal.iter().filter(|event| is_it(event)).count()
    }
}

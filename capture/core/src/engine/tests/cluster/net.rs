//! Members, the network between them, their mirrors, phones and supervisors' programs, in one thread and in virtual time.
//! Whatever a program hears is checked: by whom it was said, and that both journals had the session on disk before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::{PeerMessage, Role};

use super::super::*;
use super::mirror::Mirror;
use crate::cluster::{ClusterSettings, Dialled, Directory, PeerTransmit};
use crate::link::LinkCommand;

/// How long a message is on its way.
const DELAY: Duration = Duration::from_millis(1);
/// How long a record takes to be on disk.
const DISK: Duration = Duration::from_millis(3);
/// Between two packets of a phone.
const PACKET: Duration = Duration::from_millis(20);
/// How often a member dials those it doesn't reach, and a program the next member.
const REDIAL: Duration = Duration::from_millis(500);
/// How often the counts of a member's mirror are read.
const HEALTH: Duration = Duration::from_secs(1);
/// How long a program hears nothing before it gives a member up (requirements section 3).
const SILENCE: Duration = Duration::from_secs(15);

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

/// A supervisor's program.
pub struct Program {
    pub supervisor: &'static str,
    pub agent: usize,
    pub servers: Vec<usize>,
    pub current: usize,
    pub connection: Option<(usize, ConnectionId)>,
    next_try: Instant,
    last_heard: Instant,
    last_said: Instant,
    pub session: Option<SessionId>,
    pub sessions: BTreeSet<SessionId>,
    channel: Option<u16>,
    pub status: Option<SessionStatus>,
    pub refusals: Vec<Reason>,
    /// Packets heard, by call and leg: numbers.
    pub heard: BTreeMap<(u32, usize), Vec<u16>>,
    /// When each packet was heard first.
    pub times: Vec<Instant>,
    relay_sequence: [Option<u32>; 2],
    pub wants: bool,
    /// What became of a wish to be brought into the call.
    pub supervised: Option<(u32, Result<(), String>)>,
}

enum Parcel {
    ToMember(usize, PeerLink, Arc<PeerMessage>),
    Datagram(usize, PeerLink, Vec<u8>),
    Broken(usize, PeerLink),
    ToSupervisor(usize, ConnectionId, Box<ServerMessage>),
    Audio(usize, ConnectionId, Vec<u8>),
    ToServer(usize, ConnectionId, Box<ClientMessage>),
    Hangup(usize, ConnectionId),
    OnDisk(usize, u64, SessionId),
}

struct Due(Instant, u64, Parcel);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
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

#[derive(Clone, Copy)]
struct Wire {
    ends: [usize; 2],
    runs: [u64; 2],
    open: bool,
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

    /// A supervisor's program listens, and tries these members in turn.
    pub fn listen(&mut self, supervisor: &'static str, agent: usize, servers: &[usize]) -> usize {
        self.programs.push(Program {
            supervisor,
            agent,
            servers: servers.to_vec(),
            current: 0,
            connection: None,
            next_try: self.now,
            last_heard: self.now,
            last_said: self.now,
            session: None,
            sessions: BTreeSet::new(),
            channel: None,
            status: None,
            refusals: Vec::new(),
            heard: BTreeMap::new(),
            times: Vec::new(),
            relay_sequence: [None; 2],
            wants: true,
            supervised: None,
        });
        self.programs.len() - 1
    }

    pub fn stop(&mut self, program: usize) {
        self.programs[program].wants = false;
        let Program {
            connection, session, ..
        } = self.programs[program];
        if let (Some((member, id)), Some(session)) = (connection, session) {
            self.post(Parcel::ToServer(
                member,
                id,
                Box::new(ClientMessage::StopMonitor { session }),
            ));
        }
    }

    /// A program says something about its session.
    pub fn say(&mut self, program: usize, message: impl FnOnce(SessionId) -> ClientMessage) {
        let Program {
            connection, session, ..
        } = self.programs[program];
        if let (Some((member, id)), Some(session)) = (connection, session) {
            self.post(Parcel::ToServer(member, id, Box::new(message(session))));
        }
    }

    /// A program's connection breaks.
    pub fn lose_connection(&mut self, at: usize) {
        let program = &mut self.programs[at];
        program.next_try = self.now + REDIAL;
        program.channel = None;
        if let Some((member, id)) = program.connection.take() {
            program.current = (program.current + 1) % program.servers.len();
            self.post(Parcel::Hangup(member, id));
        }
    }

    fn post(&mut self, parcel: Parcel) {
        let delay = if matches!(parcel, Parcel::OnDisk(..)) {
            DISK
        } else {
            DELAY
        };
        self.fresh += 1;
        self.parcels.push(Reverse(Due(self.now + delay, self.fresh, parcel)));
    }

    fn close(&mut self, link: PeerLink) {
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.open = false;
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

    /// The connection of two members.
    pub fn link(&self, one: usize, other: usize) -> Option<PeerLink> {
        let joins = |wire: &Wire| wire.open && wire.ends.contains(&one) && wire.ends.contains(&other);
        self.wires.iter().find(|(_, wire)| joins(wire)).map(|(&link, _)| link)
    }

    fn other_end(&self, number: usize, link: PeerLink) -> Option<usize> {
        let wire = self.wires.get(&link).filter(|wire| wire.open)?;
        Some(if wire.ends[0] == number {
            wire.ends[1]
        } else {
            wire.ends[0]
        })
    }

    fn send_datagram(&mut self, number: usize, link: PeerLink, datagram: Vec<u8>) {
        let Some(to) = self.other_end(number, link).filter(|&to| !self.is_cut(number, to)) else {
            return;
        };
        self.lost += 1;
        if self.members_lose == 0 || !self.lost.is_multiple_of(self.members_lose) {
            self.post(Parcel::Datagram(to, link, datagram));
        }
    }

    fn send_peer(&mut self, number: usize, transmit: PeerTransmit) {
        let (PeerTransmit::Message { link, .. } | PeerTransmit::Close { link }) = &transmit;
        let link = *link;
        let Some(to) = self.other_end(number, link) else { return };
        let cut = self.is_cut(number, to);
        match transmit {
            PeerTransmit::Message { message, .. } if !cut => self.post(Parcel::ToMember(to, link, message)),
            PeerTransmit::Message { .. } => {}
            PeerTransmit::Close { .. } if cut => self.close(link),
            PeerTransmit::Close { .. } => self.post(Parcel::Broken(to, link)),
        }
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

    fn dial(&mut self) {
        for (from, (_, peers)) in self.plan.clone().into_iter().enumerate() {
            for to in peers {
                let met = |member: &Member| {
                    let mut members = member.engine.cluster().expect("a member").members();
                    members.any(|name| *name == server(to))
                };
                let dialled = self.wires.values().any(|wire| wire.open && wire.ends == [from, to]);
                let dials = self.members[from].as_ref().is_some_and(|member| !met(member));
                if dials && self.is_up(to) && !dialled && !self.is_cut(from, to) {
                    self.connect(from, to);
                }
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.fresh += 1;
        let link = PeerLink(self.fresh);
        let wire = Wire {
            ends: [from, to],
            runs: [self.runs[from], self.runs[to]],
            open: true,
        };
        self.wires.insert(link, wire);
        for (number, dialled, peer) in [(from, Dialled::ByUs, to), (to, Dialled::ByThem, from)] {
            self.on(number, |engine, now| {
                engine.handle_peer_connected(link, dialled, server(peer), now);
            });
        }
    }

    fn look_after_program(&mut self, at: usize) {
        let now = self.now;
        let program = &self.programs[at];
        if program.connection.is_some() && now.saturating_since(program.last_heard) >= SILENCE {
            self.lose_connection(at);
        }
        let program = &mut self.programs[at];
        if let Some((member, id)) = program.connection
            && now.saturating_since(program.last_said) >= Duration::from_secs(5)
        {
            program.last_said = now;
            self.post(Parcel::ToServer(
                member,
                id,
                Box::new(ClientMessage::Heartbeat { sent: now }),
            ));
        }
        let program = &mut self.programs[at];
        if program.connection.is_some() || now < program.next_try || !program.wants {
            return;
        }
        let number = program.servers[program.current];
        if self.members[number].is_none() {
            program.current = (program.current + 1) % program.servers.len();
            program.next_try = now + PACKET;
            return;
        }
        self.fresh += 1;
        let id = ConnectionId(self.fresh);
        program.connection = Some((number, id));
        program.last_heard = now;
        program.relay_sequence = [None; 2];
        let (name, wanted, resume) = (program.supervisor, agent(program.agent), program.session);
        if let Some(member) = self.members[number].as_mut() {
            member.sessions_of.insert(id, at);
        }
        self.on(number, |engine, _| engine.handle_connected(id, supervisor(name)));
        let start = ClientMessage::StartMonitor {
            request: 1,
            agent: wanted,
            resume,
            purpose: None,
            output: OutputKind::Play,
        };
        self.post(Parcel::ToServer(number, id, Box::new(start)));
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::ToMember(to, link, message) => {
                if self.other_end(to, link).is_some() {
                    // Through JSON, as on the wire.
                    let json = serde_json::to_string(&*message).expect("JSON");
                    let message = serde_json::from_str(&json).expect("the same");
                    self.on(to, |engine, now| engine.handle_peer_message(link, message, now));
                }
            }
            Parcel::Datagram(to, link, datagram) => {
                self.on(to, |engine, now| engine.handle_peer_datagram(link, &datagram, now));
            }
            Parcel::Broken(to, link) => {
                self.close(link);
                let current = self.wires[&link].ends.iter().zip(self.wires[&link].runs);
                if current.into_iter().any(|(&end, run)| end == to && self.runs[to] == run) {
                    self.on(to, |engine, now| engine.handle_peer_disconnected(link, "reset", now));
                }
            }
            Parcel::ToServer(to, id, message) => {
                self.fresh += 1;
                let fresh = SessionId(self.fresh);
                self.on(to, |engine, now| engine.handle_message(id, *message, fresh, now));
            }
            Parcel::Hangup(to, id) => {
                self.on(to, |engine, now| engine.handle_disconnected(id, now));
            }
            Parcel::OnDisk(number, run, session) => {
                if self.runs[number] == run
                    && let Some(member) = self.members[number].as_mut()
                {
                    member.on_disk.insert(session);
                    self.on(number, |engine, now| engine.handle_recorded(session, now));
                }
            }
            Parcel::ToSupervisor(from, id, message) => self.tell_program(from, id, *message),
            Parcel::Audio(from, id, datagram) => self.hear(from, id, &datagram),
        }
    }

    fn program_at(&mut self, from: usize, id: ConnectionId) -> Option<&mut Program> {
        let now = self.now;
        let at = *self.members[from].as_ref()?.sessions_of.get(&id)?;
        let program = &mut self.programs[at];
        program.last_heard = now;
        (program.connection == Some((from, id))).then_some(program)
    }

    fn tell_program(&mut self, from: usize, id: ConnectionId, message: ServerMessage) {
        let now = self.now;
        let Some(program) = self.program_at(from, id) else {
            return;
        };
        match message {
            ServerMessage::MonitorStarted { session, channel, .. } => {
                program.session = Some(session);
                program.sessions.insert(session);
                program.channel = Some(channel);
            }
            ServerMessage::MonitorRefused { reason, .. } | ServerMessage::MonitorStopped { reason, .. } => {
                program.refusals.push(reason);
                program.session = None;
                program.connection = None;
                program.next_try = now + Duration::from_secs(1);
            }
            ServerMessage::SessionStatus(status) => program.status = Some(status),
            ServerMessage::Supervised { request, result } => program.supervised = Some((request, result)),
            _ => {}
        }
    }

    fn hear(&mut self, from: usize, id: ConnectionId, datagram: &[u8]) {
        let now = self.now;
        let Some(program) = self.program_at(from, id) else {
            return;
        };
        let (header, packet) = AudioHeader::parse(datagram).expect("audio");
        assert_eq!(Some(header.channel), program.channel, "of the session that was started");
        let next = program.relay_sequence[header.leg.index()].map_or(header.relay_sequence, |last| last + 1);
        assert_eq!(header.relay_sequence, next, "the relay's own numbers have no gaps");
        program.relay_sequence[header.leg.index()] = Some(next);
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().expect("four bytes"));
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        let agent = usize::try_from(ssrc % 50).expect("small");
        assert_eq!(agent, program.agent, "what another agent's call says");
        assert_eq!(usize::from(ssrc % 100 >= 50), header.leg.index(), "the other leg");
        if header.kind == AudioKind::Rtp {
            assert_eq!(packet[12..], payload(ssrc, number), "byte by byte");
            program
                .heard
                .entry((ssrc, header.leg.index()))
                .or_default()
                .push(number);
            program.times.push(now);
        } else {
            assert_eq!(packet.len(), 12, "what is kept back is kept back whole");
        }
    }
}

impl Program {
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// Whether any packet was heard twice.
    pub fn heard_twice(&self) -> bool {
        self.heard.values().any(|numbers| {
            let once: BTreeSet<_> = numbers.iter().collect();
            once.len() < numbers.len()
        })
    }

    /// The longest time without a packet, since a time.
    pub fn longest_gap(&self, since: Instant, until: Instant) -> Duration {
        let times = self.times.iter().copied().filter(|&at| at >= since);
        let ends: Vec<Instant> = [since].into_iter().chain(times).chain([until]).collect();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Member {
    pub fn count(&self, is_it: impl Fn(&EngineEvent) -> bool) -> usize {
        self.journal.iter().filter(|event| is_it(event)).count()
    }
}

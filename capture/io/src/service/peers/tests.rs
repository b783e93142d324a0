//! Members over real QUIC on loopback, with certificates of their own: how soon all know all agents after the start, how
//! soon each change, and what that costs. Engines and connections are the service's; mirrors and supervisors there are none.
#![allow(clippy::print_stderr, reason = "figures that a script asks for")]

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant as Moment};

use silentmon_capture_core::cluster::ClusterSettings;
use silentmon_capture_core::engine::{EngineEvent, EngineSettings};
use silentmon_capture_core::policy::{Disclosure, Policy};
use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, Credentials, KeyAlgorithm, Password, RequestOptions,
    Role as CertificateRole, SignOptions, SubjectName, Trust,
};
use silentmon_proto::cti::{AgentState, AgentUpdate, CallEnded, CallEvent, CallEventKind, CtiEvent, MediaStarted};
use silentmon_proto::ids::{AgentId, CallId, LinkName};
use silentmon_proto::peer::{ALPN, HEARTBEAT, RETRIES, Role};
use silentmon_proto::relay::MediaOrigin;
use silentmon_transport::{ListenError, Settings};

use super::*;
use crate::clock::Clock;

/// Who has the certificates made.
struct Pki {
    folder: tempfile::TempDir,
    authority: CertificateAuthority,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = AuthorityOptions {
            name: SubjectName::new("Test CA").expect("a name"),
            days: 10,
            algorithm: KeyAlgorithm::default(),
        };
        let password = Password::chosen("correct horse").expect("long enough");
        let authority = CertificateAuthority::create(&folder.path().join("ca"), &options, &password).expect("made");
        Self { folder, authority }
    }

    fn tls(&self, name: &str) -> PeerTls {
        let request = RequestOptions {
            role: CertificateRole::Capture,
            name: SubjectName::new(name).expect("a name"),
            hosts: vec!["127.0.0.1".parse().expect("a host")],
        };
        let issued: PathBuf = self
            .authority
            .issue(self.folder.path(), &request, &SignOptions::default())
            .expect("issued");
        let own = Credentials::load(&issued, None).expect("loads");
        let ca: &Path = &self.folder.path().join("ca");
        let trust = Trust::load(&ca.join("ca.pem"), Some(&ca.join("crl.pem"))).expect("loads");
        PeerTls {
            dialled: ServerTls::new(&own, &trust, &[CertificateRole::Capture], &[ALPN]).expect("usable"),
            dialling: ClientTls::new(&own, &trust, &[ALPN]).expect("usable"),
        }
    }
}

fn name(number: usize) -> ServerName {
    ServerName::new(format!("gw{number:02}"))
}

/// The CTI source of the first.
fn source() -> LinkName {
    LinkName::new("cisco")
}

fn call(agent: usize, number: usize) -> CallId {
    CallId::new(format!("{agent}-{number}"))
}

/// An agent takes a call, with its media.
fn talks(agent: usize, number: usize) -> [CtiEvent; 3] {
    let (id, call) = (AgentId::new(format!("{}", 10_000 + agent)), call(agent, number));
    let address = format!("10.{}.{}.20:{}", agent / 250, agent % 250, 20_000 + agent % 1_000);
    [
        AgentUpdate {
            extension: Some(format!("x{agent}").as_str().into()),
            ..AgentUpdate::new(id.clone(), AgentState::Talking)
        }
        .into(),
        CallEvent::of_agent(id.clone(), call.as_str(), CallEventKind::Established).into(),
        MediaStarted {
            agent: Some(id),
            call: Some(call),
            ..MediaStarted::at(address.parse().expect("an address"))
        }
        .into(),
    ]
}

/// What a member tells of its progress.
enum Report {
    /// It is connected with all others and knows all agents.
    InStep(Moment),
    /// It was told of a call's end.
    Ended(CallId, Moment),
    /// It has stopped.
    Stopped(Stopped),
}

/// What a member that has stopped says of itself.
#[derive(Clone, Copy)]
struct Stopped {
    number: usize,
    /// Bytes that it had sent.
    sent: u64,
    /// How long its loop stood still at most for one thing.
    longest: Duration,
}

/// A service, as far as other members are concerned.
struct Member {
    number: usize,
    engine: Engine,
    peers: Peers,
    shutdown: CancellationToken,
    clock: Clock,
    /// Agents that there are, until it knows them all.
    awaits: Option<usize>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Member {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<CtiEvent>) {
        let mut longest = Duration::ZERO;
        loop {
            let wake = self.clock.deadline(self.engine.poll_timeout());
            let began = tokio::select! {
                order = orders.recv() => {
                    let Some(event) = order else { break };
                    let began = Moment::now();
                    self.engine.handle_link_cti(&source(), &event, self.clock.now());
                    began
                }
                Some(input) = self.peers.next() => {
                    let began = Moment::now();
                    self.peers.take(input, &mut self.engine, self.clock.now());
                    began
                }
                () = tokio::time::sleep_until(wake) => {
                    let began = Moment::now();
                    self.engine.handle_timeout(self.clock.now());
                    began
                }
            };
            self.drain();
            longest = longest.max(began.elapsed());
        }
        let sent = self.peers.outputs.values().map(PeerOutput::bytes_sent).sum();
        self.engine.stop(self.clock.now());
        self.drain();
        self.shutdown.cancel();
        self.peers.finish().await;
        let number = self.number;
        self.report(Report::Stopped(Stopped { number, sent, longest }));
    }

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                EngineEvent::MemberLinked(server) => self.peers.linked(server),
                EngineEvent::MemberUnlinked(server) => self.peers.unlinked(&server),
                // The first knows by itself.
                EngineEvent::CallEnded { call, .. } if self.number > 0 => {
                    self.report(Report::Ended(call, Moment::now()));
                }
                _ => {}
            }
        }
        while let Some(transmit) = self.engine.poll_peer_transmit() {
            self.peers.transmit(transmit);
        }
        if let Some(agents) = self.awaits {
            let status = self.engine.cluster_status().expect("in a cluster");
            if status.agents == agents && status.members.iter().all(|member| member.since.is_some()) {
                self.awaits = None;
                self.report(Report::InStep(Moment::now()));
            }
        }
    }

    fn report(&self, report: Report) {
        // The test has failed where nobody listens.
        let _ = self.reports.send(report);
    }
}

/// How many members and agents there are, what happens and for how long. The first member holds the CTI sessions.
#[derive(Clone, Copy)]
struct Load {
    members: usize,
    agents: usize,
    calls_a_second: f64,
    calls: usize,
    /// How long what comes of the start may take, and what comes of a change.
    settles: Duration,
}

/// What was measured.
#[derive(Debug)]
struct Measured {
    /// From the start until every member knew all agents and all members.
    in_step: Duration,
    /// From the start of a member that the others went on without until it did.
    rejoined: Duration,
    /// From a call's end at the first member to each other's knowing it; sorted.
    news: Vec<Duration>,
    /// What a bare datagram took on loopback meanwhile, there and back between two threads; sorted.
    echoes: Vec<Duration>,
    /// Processor time of a member while calls went on, in parts of one core.
    cores: f64,
    /// How long a member's loop stood still at most for one thing.
    longest: Duration,
    /// Bytes a second that a member sent, that of the CTI sessions and another one.
    bytes_a_second: [f64; 2],
    /// Memory that a member took.
    memory: u64,
}

/// In milliseconds.
fn quantile(sorted: &[Duration], quantile: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = (quantile * (sorted.len() - 1) as f64) as usize;
    sorted[at].as_secs_f64() * 1e3
}

/// Has datagrams go there and back until `over`, a hundred a second: what the machine itself takes.
fn echo_until(over: &CancellationToken) -> std::io::Result<Vec<Duration>> {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.recv(&mut byte).is_ok() && byte != [0] && far.send(&byte).is_ok() {}
    });
    let mut took = Vec::new();
    while !over.is_cancelled() {
        std::thread::sleep(Duration::from_millis(10));
        let began = Moment::now();
        near.send(&[1])?;
        near.recv(&mut [0])?;
        took.push(began.elapsed());
    }
    near.send(&[0])?;
    echo.join().expect("ends");
    took.sort();
    Ok(took)
}

/// Processor time of this process.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .expect("a number")
    };
    Duration::from_millis((ticks() + ticks()) * 10)
}

/// Memory of this process, in bytes.
fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .expect("a number");
    pages * 4096
}

fn engine(number: usize, run: u64, members: usize, now: Instant) -> Engine {
    let cluster = ClusterSettings {
        server: name(number),
        cluster: "north".into(),
        run,
        service_port: 42228,
        software: "a test".to_owned(),
        role: Role::Member,
        peers: (0..members).filter(|other| *other != number).map(name).collect(),
        has_cti: number == 0,
        heartbeat: HEARTBEAT,
        retries: RETRIES,
        store: None,
    };
    let settings = EngineSettings {
        server: name(number),
        software: "a test".into(),
        source: "test".into(),
        policy: Policy::new(Disclosure::Never),
        devices: BTreeMap::new(),
        resolvers: MediaOrigin::ALL.to_vec(),
        cluster: Some(cluster),
    };
    Engine::new(settings, now)
}

/// Where members answer, with certificates of one authority, and what they share in this process.
struct Mesh {
    tls: Vec<PeerTls>,
    places: Vec<SocketAddr>,
    agents: usize,
    clock: Clock,
    reports: mpsc::UnboundedSender<Report>,
}

impl Mesh {
    fn new(load: &Load, reports: mpsc::UnboundedSender<Report>) -> (Self, Vec<ServerEndpoint>) {
        let pki = Pki::new();
        let mut mesh = Self {
            tls: (0..load.members).map(|number| pki.tls(name(number).as_str())).collect(),
            places: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); load.members],
            agents: load.agents,
            clock: Clock::start(),
            reports,
        };
        let doors: Vec<_> = (0..load.members)
            .map(|number| mesh.door(number).expect("listens"))
            .collect();
        mesh.places = doors.iter().map(ServerEndpoint::local_address).collect();
        (mesh, doors)
    }

    fn engine(&self, number: usize, run: u64) -> Engine {
        engine(number, run, self.places.len(), self.clock.now())
    }

    fn door(&self, number: usize) -> Result<ServerEndpoint, ListenError> {
        let tls = self.tls[number].dialled.clone();
        ServerEndpoint::bind(self.places[number], tls, Settings::server())
    }

    /// The door of a member that has stopped, once its connections are forgotten.
    async fn door_again(&self, number: usize) -> ServerEndpoint {
        let again = async {
            loop {
                match self.door(number) {
                    Ok(door) => return door,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again)
            .await
            .expect("in time")
    }

    /// Lets a member run, until nobody gives orders any more.
    fn start(&self, number: usize, engine: Engine, endpoint: ServerEndpoint) -> mpsc::UnboundedSender<CtiEvent> {
        let places = self.places.iter().enumerate();
        let others = places.filter(|(other, _)| *other != number);
        let door = PeerDoor {
            endpoint: Some(endpoint),
            dialling: self.tls[number].dialling.clone(),
            peers: others.map(|(other, place)| (name(other), (*place).into())).collect(),
            renewals: mpsc::channel(1).1,
            refusals: Refusals::default(),
            seed: number as u64,
        };
        let shutdown = CancellationToken::new();
        let member = Member {
            number,
            engine,
            peers: Peers::start(Some(door), &shutdown),
            shutdown,
            clock: self.clock,
            awaits: Some(self.agents),
            reports: self.reports.clone(),
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(member.run(receiver));
        sender
    }
}

/// Waits for what a member tells.
async fn told<T>(reports: &mut mpsc::UnboundedReceiver<Report>, wanted: impl Fn(&Report) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = wanted(&reports.recv().await.expect("members run")) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), search)
        .await
        .expect("in time")
}

fn is_in_step(report: &Report) -> Option<Moment> {
    match report {
        Report::InStep(at) => Some(*at),
        Report::Ended(..) | Report::Stopped(_) => None,
    }
}

fn has_stopped(report: &Report) -> Option<Stopped> {
    match report {
        Report::Stopped(stopped) => Some(*stopped),
        Report::Ended(..) | Report::InStep(_) => None,
    }
}

/// Has calls come and go at the first member, in step; when each ended.
async fn tell_calls(load: &Load, first: &mpsc::UnboundedSender<CtiEvent>) -> HashMap<CallId, Moment> {
    let mut calls_at = HashMap::new();
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / load.calls_a_second));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0..load.calls {
        pace.tick().await;
        let (agent, round) = (number % load.agents, number / load.agents);
        calls_at.insert(call(agent, round), Moment::now());
        for event in talks(agent, round + 1) {
            first.send(event).expect("runs");
        }
        let ended = CallEnded {
            call: call(agent, round),
            controlling_party: None,
        };
        first.send(ended.into()).expect("runs");
    }
    calls_at
}

async fn measure(load: Load) -> Measured {
    let (reports, mut reported) = mpsc::unbounded_channel();
    let before = memory();
    let (mesh, doors) = Mesh::new(&load, reports);
    let mut engines: Vec<_> = (0..load.members).map(|number| mesh.engine(number, 1)).collect();
    for event in (0..load.agents).flat_map(|agent| talks(agent, 0)) {
        engines[0].handle_link_cti(&source(), &event, mesh.clock.now());
    }

    let began = Moment::now();
    let members = engines.into_iter().zip(doors).enumerate();
    let mut orders: Vec<_> = members
        .map(|(number, (engine, door))| mesh.start(number, engine, door))
        .collect();
    let mut in_step = began;
    for _ in 0..load.members {
        in_step = in_step.max(told(&mut reported, is_in_step).await);
    }
    // The holder of the CTI sessions is found, and asked for everything once more.
    tokio::time::sleep(load.settles).await;
    let memory = memory().saturating_sub(before) / load.members as u64;

    let calls_over = CancellationToken::new();
    let echoes = tokio::task::spawn_blocking({
        let over = calls_over.clone();
        move || echo_until(&over)
    });
    let (used, calls_began) = (processor(), Moment::now());
    let calls_at = tell_calls(&load, &orders[0]).await;
    let lasted = calls_began.elapsed().as_secs_f64();
    let cores = processor().saturating_sub(used).as_secs_f64() / lasted / load.members as f64;
    let mut news = Vec::new();
    while news.len() < load.calls * (load.members - 1) {
        match tokio::time::timeout(load.settles * 2, reported.recv()).await {
            Ok(Some(Report::Ended(call, at))) => news.push(at - calls_at[&call]),
            Ok(_) => {}
            // What came in a snapshot was no news.
            Err(_) => break,
        }
    }
    news.sort();
    calls_over.cancel();
    let echoes = echoes.await.expect("ends").expect("loopback");
    let ran = began.elapsed().as_secs_f64();

    let last = load.members - 1;
    orders.pop();
    let mut stopped = vec![told(&mut reported, has_stopped).await];
    let (engine, door) = (mesh.engine(last, 2), mesh.door_again(last).await);
    let came_back = Moment::now();
    orders.push(mesh.start(last, engine, door));
    let rejoined = told(&mut reported, is_in_step).await - came_back;

    drop(orders);
    for _ in 0..load.members {
        stopped.push(told(&mut reported, has_stopped).await);
    }
    let bytes_a_second = |number| {
        let first_run = stopped.iter().find(|stopped| stopped.number == number);
        first_run.map_or(0.0, |stopped| stopped.sent as f64 / ran)
    };
    Measured {
        in_step: in_step - began,
        rejoined,
        news,
        echoes,
        cores,
        longest: stopped.iter().map(|stopped| stopped.longest).max().unwrap_or_default(),
        bytes_a_second: [0, last].map(bytes_a_second),
        memory,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_over_quic_soon_know_all_agents_and_hear_of_each_change() {
    let measured = measure(Load {
        members: 4,
        agents: 400,
        calls_a_second: 100.0,
        calls: 50,
        settles: Duration::from_secs(1),
    })
    .await;
    let told = measured.news.len();
    assert!(
        (130..=50 * 3).contains(&told),
        "{told}: each of them, at each other member"
    );
    assert!(measured.in_step < Duration::from_secs(10), "{measured:?}");
    assert!(measured.rejoined < Duration::from_secs(10), "{measured:?}");
}

/// Two, four and sixteen members in one process: `scripts/bench-cluster`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and measures in a release build alone"]
async fn meshes_with_ten_thousand_agents() {
    for members in [2, 4, 16, 16, 16] {
        let measured = measure(Load {
            members,
            agents: 10_000,
            // 20 calls an hour and agent.
            calls_a_second: 10_000.0 * 20.0 / 3_600.0,
            calls: 1_667,
            settles: Duration::from_secs(5),
        })
        .await;
        eprintln!(
            "{members} members, 10,000 agents with a call each: all in step after {:.0} ms, one that was started \
             again after {:.0} ms; a change is known \
             elsewhere after {:.2} ms (median), {:.2} ms (99 %), {:.1} ms (longest), while a bare datagram there and back \
             took {:.2} ms (median), {:.2} ms (99 %); a loop stood still for {:.0} ms at most; a member takes {:.2} % of a core, \
             {:.0} MB, sends {:.0} kB/s (with the CTI sessions) or {:.1} kB/s",
            measured.in_step.as_secs_f64() * 1e3,
            measured.rejoined.as_secs_f64() * 1e3,
            quantile(&measured.news, 0.5),
            quantile(&measured.news, 0.99),
            quantile(&measured.news, 1.0),
            quantile(&measured.echoes, 0.5),
            quantile(&measured.echoes, 0.99),
            measured.longest.as_secs_f64() * 1e3,
            measured.cores * 100.0,
            measured.memory as f64 / 1e6,
            measured.bytes_a_second[0] / 1e3,
            measured.bytes_a_second[1] / 1e3,
        );
    }
}

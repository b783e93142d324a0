//! Members that learn of each other by NATS JetStream: three real servers on loopback, with TLS and credentials, the
//! bucket on all of them. Skipped where no `nats-server` is installed (`SILENTMON_NATS_SERVER` names another one).
#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on panics")]

#[path = "../../../tests/common/nats.rs"]
mod servers;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use silentmon_capture_core::cluster::{ClusterEvent, ClusterSettings, Directory, HoldsCti, StoreDirectory, StoreInput};
use silentmon_capture_core::directory::AgentDirectory;
use silentmon_capture_io::cluster::nats::{NatsCredentials, NatsSettings, Store};
use silentmon_proto::cti::{AgentState, AgentUpdate, CallEvent, CallEventKind, CtiEvent, MediaStarted};
use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::peer::{Fact, Role};
use silentmon_proto::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use servers::{PASSWORD, Servers, binary};

/// What members need of servers.
trait ForMembers {
    fn settings(&self, name: &str, credentials: NatsCredentials) -> NatsSettings;
    fn password(&self, name: &str) -> NatsSettings;
    fn nkey(&self, name: &str) -> NatsSettings;
    /// Which server leads the bucket's stream.
    async fn leader(&self) -> usize;
}

impl ForMembers for Servers {
    fn settings(&self, name: &str, credentials: NatsCredentials) -> NatsSettings {
        NatsSettings {
            servers: self.addresses(),
            ca: self.folder.path().join("ca.pem"),
            credentials,
            cluster: "north".into(),
            name: name.into(),
            replicas: u8::try_from(self.ports.len()).expect("few"),
        }
    }

    fn password(&self, name: &str) -> NatsSettings {
        let (user, password) = ("silentmon".to_owned(), PASSWORD.to_owned());
        self.settings(name, NatsCredentials::Password { user, password })
    }

    fn nkey(&self, name: &str) -> NatsSettings {
        self.settings(name, NatsCredentials::NkeySeed(self.nkey.seed().expect("a seed")))
    }

    async fn leader(&self) -> usize {
        let client = async_nats::ConnectOptions::with_user_and_password("silentmon".to_owned(), PASSWORD.to_owned())
            .require_tls(true)
            .add_root_certificates(self.folder.path().join("ca.pem"))
            .connect(self.addresses())
            .await
            .expect("connects");
        let subject = "$JS.API.STREAM.INFO.KV_silentmon-north";
        let answer = client.request(subject, "".into()).await.expect("answers");
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let leader = answer["cluster"]["leader"].as_str().expect("a leader").to_owned();
        leader[1..].parse().expect("a number")
    }
}

/// How things look to a member.
#[derive(Debug, Clone, Default)]
struct View {
    members: BTreeSet<ServerName>,
    /// Agents whose media are known.
    agents: BTreeSet<AgentId>,
    holds: bool,
    /// Members that left.
    left: Vec<ServerName>,
    seen: usize,
    open: bool,
}

struct Member {
    view: watch::Receiver<View>,
    orders: mpsc::UnboundedSender<Order>,
    shutdown: CancellationToken,
}

enum Order {
    Tell(Vec<CtiEvent>),
    Sees(AgentId),
}

impl Member {
    fn start(settings: &NatsSettings, run: u64) -> Self {
        let shutdown = CancellationToken::new();
        let (views, view) = watch::channel(View::default());
        let (orders, given) = mpsc::unbounded_channel();
        let member = ClusterSettings {
            server: settings.name.clone(),
            cluster: settings.cluster.clone(),
            run,
            service_port: 42_228,
            software: "a test".to_owned(),
            peers: Vec::new(),
            role: Role::Member,
            has_cti: true,
            heartbeat: Duration::from_secs(5),
            retries: 3,
            store: Some("127.0.0.1:42029".to_owned()),
        };
        let store = Store::start(settings).expect("settings");
        tokio::spawn(Running::new(member).serve(store, given, views, shutdown.clone()));
        Self { view, orders, shutdown }
    }

    async fn until(&mut self, what: &str, condition: impl Fn(&View) -> bool) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.view.wait_for(condition))
            .await
            .is_ok();
        if !reached {
            let mut view = self.view.borrow().clone();
            let agents = std::mem::take(&mut view.agents).len();
            panic!("{what} in 30 s; {agents} agents, {view:?}");
        }
    }

    fn talk(&self, agents: std::ops::Range<usize>) {
        for agent in agents {
            self.orders.send(Order::Tell(talks(agent))).expect("runs");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Instant::from_parts(since.as_secs(), since.subsec_nanos())
}

fn talks(agent: usize) -> Vec<CtiEvent> {
    let id = AgentId::new(format!("{agent}"));
    let call = format!("c{agent}");
    let address = format!("10.{}.{}.20:20000", agent / 250, agent % 250);
    vec![
        AgentUpdate {
            extension: Some(format!("x{agent}").as_str().into()),
            ..AgentUpdate::new(id.clone(), AgentState::Talking)
        }
        .into(),
        CallEvent::of_agent(id.clone(), call.as_str(), CallEventKind::Established).into(),
        MediaStarted {
            agent: Some(id),
            call: Some(call.as_str().into()),
            ..MediaStarted::at(address.parse().expect("an address"))
        }
        .into(),
    ]
}

/// A member with a directory, as the engine drives one.
struct Running {
    cluster: StoreDirectory,
    directory: AgentDirectory,
    view: View,
}

impl Running {
    fn new(settings: ClusterSettings) -> Self {
        Self {
            cluster: StoreDirectory::new(settings, "127.0.0.1:42029".to_owned()),
            directory: AgentDirectory::default(),
            view: View::default(),
        }
    }

    async fn serve(
        mut self,
        mut store: Store,
        mut orders: mpsc::UnboundedReceiver<Order>,
        views: watch::Sender<View>,
        shutdown: CancellationToken,
    ) {
        loop {
            let due = self.cluster.poll_timeout().map(|due| due.saturating_since(now()));
            tokio::select! {
                () = shutdown.cancelled() => return,
                input = store.next() => match input {
                    Some(input) => self.take_input(input),
                    None => return,
                },
                order = orders.recv() => match order {
                    Some(Order::Tell(events)) => self.tell(events),
                    Some(Order::Sees(agent)) => self.cluster.handle_sees(&agent, [true; 2]),
                    None => return,
                },
                () = tokio::time::sleep(due.unwrap_or(Duration::from_secs(60))) => self.cluster.handle_timeout(now()),
            }
            self.settle();
            while let Some(transmit) = self.cluster.poll_transmit() {
                store.order(transmit);
            }
            self.look();
            views.send_replace(self.view.clone());
        }
    }

    fn take_input(&mut self, input: StoreInput) {
        match input {
            StoreInput::Available => self.cluster.handle_available(),
            StoreInput::Unavailable(_) => self.cluster.handle_unavailable(),
            StoreInput::Missed(_) => self.cluster.handle_missed(),
            StoreInput::Change { key, value, revision } => {
                self.cluster.handle_change(&key, value.as_deref(), revision, now());
            }
            StoreInput::CaughtUp => self.cluster.handle_caught_up(now()),
            StoreInput::Outcome(outcome) => self.cluster.handle_outcome(outcome, now()),
        }
    }

    fn tell(&mut self, events: Vec<CtiEvent>) {
        for event in events {
            self.directory.handle_event(&event, now());
            self.cluster.tell(&Fact::Cti { link: None, event });
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.cluster.poll_event() {
            match event {
                ClusterEvent::SnapshotWanted => {
                    let known = if self.cluster.tells_cti() {
                        self.directory.retell()
                    } else {
                        Vec::new()
                    };
                    let facts = known.into_iter().map(|event| Fact::Cti { link: None, event });
                    self.cluster.give_snapshot(facts.collect());
                }
                ClusterEvent::Told(_, Fact::Cti { event, .. }) => {
                    self.directory.handle_event(&event, now());
                }
                ClusterEvent::ToldAll { facts, instead, .. } => {
                    let events: Vec<CtiEvent> = facts
                        .into_iter()
                        .filter_map(|fact| match fact {
                            Fact::Cti { event, .. } => Some(event),
                            _ => None,
                        })
                        .collect();
                    let before = now();
                    self.directory.handle_retelling(&events, before);
                    if instead {
                        let after = before + Duration::from_nanos(events.len() as u64);
                        self.directory.end_untold_but(&BTreeSet::new(), before, after);
                    }
                }
                ClusterEvent::Cti(holds) => self.view.holds = holds == HoldsCti::Yes,
                ClusterEvent::Left(name, _) => self.view.left.push(name),
                _ => {}
            }
        }
    }

    fn look(&mut self) {
        self.view.open = self.cluster.is_open();
        self.view.members = self.cluster.members().cloned().collect();
        let talking = self
            .directory
            .agents()
            .filter(|(id, _)| !self.directory.media(id).is_empty());
        self.view.agents = talking.map(|(id, _)| id.clone()).collect();
        self.view.seen = self.cluster.seen_by(&"1".into()).count();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_one_killed_in_mid_run_and_no_agent_and_no_member_is_lost() {
    let Some(binary) = binary() else { return };
    let mut servers = Servers::start(binary, 3);
    let mut members = vec![
        Member::start(&servers.password("gw0"), 1),
        Member::start(&servers.nkey("gw1"), 2),
        Member::start(&servers.password("gw2"), 3),
    ];
    for member in &mut members {
        member.until("meets the others", |view| view.members.len() == 2).await;
    }
    let holders = |members: &[Member]| -> Vec<usize> {
        let numbers = 0..members.len();
        numbers.filter(|number| members[*number].view.borrow().holds).collect()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while holders(&members).len() != 1 {
        assert!(std::time::Instant::now() < deadline, "nobody holds the CTI sessions");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let first = holders(&members)[0];
    members[(first + 1) % 3]
        .orders
        .send(Order::Sees("1".into()))
        .expect("runs");
    members[first].talk(0..300);
    members[first].until("sees who sees", |view| view.seen == 1).await;
    for member in &mut members {
        member.until("knows 300 agents", |view| view.agents.len() == 300).await;
    }

    // The leader of the stream: nothing can be written until another one is elected.
    let leader = servers.leader().await;
    servers.kill(leader);
    members[first].talk(300..400);
    for member in &mut members {
        member.until("knows 400 agents", |view| view.agents.len() == 400).await;
    }
    servers.run(leader);

    // A follower, once the former leader is back: no quorum before.
    let mut known = 400;
    let next = loop {
        let next = servers.leader().await;
        if next != leader {
            break next;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let follower = (0..3).find(|number| ![next, leader].contains(number)).expect("a third");
    members[first].talk(known..known + 50);
    known += 50;
    for member in &mut members {
        member.until("knows 450 agents", |view| view.agents.len() == 450).await;
    }
    servers.kill(follower);
    members[first].talk(known..known + 50);
    for member in &mut members {
        member.until("knows 500 agents", |view| view.agents.len() == 500).await;
    }
    for member in &members {
        assert_eq!(member.view.borrow().left, [], "nobody was lost");
    }
    assert_eq!(holders(&members), [first], "who holds the CTI sessions goes on");

    let mut newcomer = Member::start(&servers.password("gw3"), 4);
    newcomer
        .until("knows all", |view| view.agents.len() == 500 && view.members.len() == 3)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_only_server_is_away_nobody_is_lost_and_it_is_told_everything_again() {
    let Some(binary) = binary() else { return };
    let mut servers = Servers::start(binary, 1);
    let mut one = Member::start(&servers.password("gw0"), 1);
    one.until("holds", |view| view.holds).await;
    let mut other = Member::start(&servers.password("gw1"), 2);
    one.talk(0..100);
    other.until("knows 100 agents", |view| view.agents.len() == 100).await;
    one.until("meets the other", |view| view.members.len() == 1).await;
    servers.kill(0);
    other.until("notices", |view| !view.open).await;
    one.until("notices", |view| !view.open).await;
    one.talk(100..200);
    // It comes back with nothing: what it had was in memory.
    servers.run(0);
    other.until("knows 200 agents", |view| view.agents.len() == 200).await;
    for member in [&one, &other] {
        assert_eq!(member.view.borrow().left, [], "nobody was lost");
    }
    assert!(one.view.borrow().holds && !other.view.borrow().holds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_authority_or_password_there_is_no_store() {
    let Some(binary) = binary() else { return };
    let servers = Servers::start(binary, 1);
    let mut good = Member::start(&servers.password("gw0"), 1);
    good.until("reaches the store", |view| view.open).await;
    let wrong_password = servers.settings(
        "gw1",
        NatsCredentials::Password {
            user: "silentmon".to_owned(),
            password: "wrong".to_owned(),
        },
    );
    let mut wrong_authority = servers.password("gw2");
    wrong_authority.ca = servers.folder.path().join("other.pem");
    for (run, settings) in [(2, wrong_password), (3, wrong_authority)] {
        let name = settings.name.clone();
        let mut bad = Member::start(&settings, run);
        let opened = tokio::time::timeout(Duration::from_secs(2), bad.view.wait_for(|view| view.open)).await;
        assert!(opened.is_err(), "{name} reaches the store");
    }
    assert_eq!(good.view.borrow().members.len(), 0);
}

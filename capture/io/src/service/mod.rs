//! The capture service's event loop: captured datagrams, CTI events and supervisors' messages go into the engine, what
//! it wants sent goes out. One task owns the engine; capture runs on its own thread, each connection on its own task.

mod connection;
mod guests;
mod journal;
mod log;
mod orders;
mod output;
mod parts;
mod peers;
mod questions;
mod refusals;
mod sending;
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use silentmon_capture_core::cluster::HoldsCti;
use silentmon_capture_core::engine::{ConnectionId, Engine, EngineEvent, LOOK};
use silentmon_capture_core::filter::{MediaFilter, SignallingPorts};
use silentmon_capture_core::link::{LinkCommand, LinkEvent};
use silentmon_capture_core::policy::Principal;
use silentmon_capture_core::resolver::Resolver;
use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{AgentId, LinkName, SessionId};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;
use silentmon_transport::PlainRtpSocket;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use self::connection::Door;
use self::connection::{ConnectionInput, ConnectionOutput, serve_endpoint};
use self::guests::DoorCounts;
pub use self::guests::DoorFigures;
use self::journal::{JournalThread, Written};
use self::orders::Desks;
pub use self::orders::{Notice, Notices, Order};
pub use self::parts::{Former, FormerSignIn, Journal, LocalTime, Reload, ServiceFigures, ServiceParts, StartLinks};
pub use self::peers::{PeerDoor, PeerTls};
use self::peers::{PeerInput, Peers};
pub use self::questions::{Answer, Question};
pub use self::refusals::Refusals;
pub use crate::clock::Clock;
use crate::cluster::nats::Store;
use crate::cti::script::ScriptCursor;
use crate::cti::{CtiSources, Told};
use crate::feed::{Batch, CaptureEnd, CaptureHandle};

/// Waiting inputs of all connections together before a talkative one has to wait.
const INPUT_QUEUE: usize = 1024;
/// How often the capture threads' figures are read.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The running service.
pub struct Service {
    engine: Engine,
    clock: Clock,
    local_time: LocalTime,
    capture: CaptureHandle,
    filter: Arc<ArcSwap<MediaFilter>>,
    script: ScriptCursor,
    journal: JournalThread,
    sources: CtiSources,
    start_links: StartLinks,
    signalling: SignallingPorts,
    resolver: Resolver,
    door: Arc<DoorCounts>,
    connections: HashMap<ConnectionId, ConnectionOutput>,
    peers: Peers,
    store: Option<Store>,
    plain_rtp: HashMap<bool, PlainRtpSocket>,
    plain_rtp_failures: u64,
    desks: Desks,
    figures: watch::Sender<Option<ServiceFigures>>,
}

impl Service {
    /// Serves until `shutdown`; then says goodbye to everyone.
    ///
    /// # Errors
    /// Where the capture source breaks while it is live.
    pub async fn run(
        parts: ServiceParts,
        mut reloads: mpsc::Receiver<Reload>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let (input_sender, mut inputs) = mpsc::channel(INPUT_QUEUE);
        let (written_sender, mut written) = mpsc::unbounded_channel();
        let journal = JournalThread::start(parts.journal, written_sender)?;
        let counts = Arc::<DoorCounts>::default();
        let door = parts.door.map(|door| {
            let serving = serve_endpoint(door, input_sender, Arc::clone(&counts), shutdown.clone());
            tokio::spawn(serving)
        });
        let peers = Peers::start(parts.peers, &shutdown);
        let clock = parts.sources.clock();
        let mut questions = parts.questions;
        let mut orders = parts.orders;
        let (desk_closed, mut closed_desks) = mpsc::unbounded_channel();
        let mut service = Self {
            engine: Engine::new(parts.engine, clock.now()),
            local_time: parts.local_time,
            script: ScriptCursor::new(parts.script, parts.capture.is_file(), clock.now()),
            clock,
            capture: parts.capture,
            filter: parts.filter,
            journal,
            sources: parts.sources,
            start_links: parts.start_links,
            resolver: Resolver::new(parts.signalling.clone(), clock.now()),
            signalling: parts.signalling,
            door: counts,
            connections: HashMap::new(),
            peers,
            store: parts.store,
            plain_rtp: HashMap::new(),
            plain_rtp_failures: 0,
            desks: Desks::new(desk_closed),
            figures: parts.figures,
        };
        service.tell_links();
        service.take_up(parts.former);
        service.tell_local_time();
        service.change_filter();
        let mut batches = service.capture.batches();
        let mut health = tokio::time::interval(HEALTH_INTERVAL);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut source_ended = false;
        let mut broken = Ok(());
        while broken.is_ok() {
            let wake = service.clock.deadline(service.next_wake());
            tokio::select! {
                () = shutdown.cancelled() => break,
                batch = batches.recv(), if !source_ended => {
                    source_ended = batch.is_none();
                    broken = service.handle_batch_or_end(batch);
                }
                Some(input) = inputs.recv() => service.handle_input(input),
                Some(input) = service.peers.next() => service.handle_peer(input),
                Some(input) = store::next_of(&mut service.store) => service.handle_store(input),
                Some(told) = service.sources.next() => service.handle_told(told),
                Some(written) = written.recv() => service.handle_written(written),
                Some(question) = questions.recv() => service.answer(question),
                Some(order) = orders.recv() => service.handle_order(order),
                Some(agent) = closed_desks.recv() => {
                    service.desks.close(&agent, &mut service.engine, service.clock.now());
                }
                Some(reload) = reloads.recv() => service.handle_reload(reload),
                _ = health.tick() => service.read_health(),
                _ = looks.tick(), if service.engine.awaits_phones() => service.look_for_phones(),
                () = tokio::time::sleep_until(wake) => service.handle_wake(),
            }
            service.drain();
        }
        // Supervisors are told and the journal is completed whatever the end; the door ends with the service.
        shutdown.cancel();
        service.stop().await;
        let Self { sources, .. } = service;
        sources.finish().await;
        if let Some(door) = door {
            door.await?;
        }
        broken
    }

    /// Lock-outs and pauses outlive a restart.
    fn take_up(&mut self, former: Former) {
        for FormerSignIn { name, from, at, failed } in &former.sign_ins {
            if *failed {
                self.engine.handle_former_failure(name, *from, *at);
            } else {
                self.engine.handle_former_unlock(name, *from, *at);
            }
        }
        for pause in former.pauses {
            self.engine.handle_former_pause(pause, self.clock.now());
        }
    }

    fn next_wake(&self) -> Instant {
        let machines = self.engine.poll_timeout().min(self.resolver.poll_timeout());
        self.script.due().map_or(machines, |due| due.min(machines))
    }

    fn handle_batch_or_end(&mut self, batch: Option<Batch>) -> anyhow::Result<()> {
        match batch {
            Some(batch) => self.handle_batch(batch),
            None => self.handle_source_end()?,
        }
        Ok(())
    }

    /// 1. Captured datagrams. A script that runs in a file's time is advanced between them.
    fn handle_batch(&mut self, batch: Batch) {
        for signalling in batch.signalling() {
            self.resolver.handle_signalling(&signalling);
            self.take_sightings(signalling.captured);
        }
        for datagram in batch.datagrams() {
            self.script.begin(batch.round(), datagram.captured);
            self.run_script(datagram.captured);
            let resolver = &self.resolver;
            self.engine.handle_datagram(&datagram, |payload_type| {
                let at = |address| resolver.codec(address, payload_type);
                at(datagram.destination).or_else(|| at(datagram.source))
            });
        }
        self.capture.recycle(batch);
    }

    /// Media that signalling in the mirror shows.
    fn take_sightings(&mut self, at: Instant) {
        while let Some((origin, event)) = self.resolver.poll_event() {
            self.engine.handle_sighting(origin, &event, at);
        }
    }

    /// The source has no more frames: a file's end is no failure, a live interface's is.
    fn handle_source_end(&mut self) -> anyhow::Result<()> {
        match self.capture.end() {
            CaptureEnd::EndOfFile | CaptureEnd::Stopped => {
                tracing::info!("the capture source has ended; serving on without it");
                Ok(())
            }
            CaptureEnd::Failed(error) => Err(error.into()),
        }
    }

    /// 2. Supervisors.
    fn handle_input(&mut self, input: ConnectionInput) {
        let now = self.clock.now();
        match input {
            ConnectionInput::Opened { id, principal, output } => {
                self.connections.insert(id, output);
                self.engine.handle_connected(id, principal);
            }
            ConnectionInput::Message { id, message } => {
                self.engine.handle_message(id, message, SessionId(fresh_id()), now);
            }
            ConnectionInput::Repair {
                id,
                request,
                round_trip,
            } => self.engine.handle_repair_request(id, &request, round_trip, now),
            ConnectionInput::Withdrawn { id, problem } => {
                let reason = Reason::in_words(Code::CertificateRefused, &problem.to_holder());
                self.engine.handle_withdrawn(id, reason, now);
            }
            ConnectionInput::Closed { id } => {
                self.connections.remove(&id);
                self.engine.handle_disconnected(id, now);
            }
        }
    }

    /// 3. Other members of the cluster.
    fn handle_peer(&mut self, input: PeerInput) {
        self.peers.take(input, &mut self.engine, self.clock.now());
    }

    /// 4. CTI sources.
    fn handle_told(&mut self, told: Told) {
        let now = self.clock.now();
        match told {
            Told::Link { link, event } => self.handle_link_event(&link, event, now),
            Told::Phones(phones) => self.engine.handle_devices(MediaOrigin::RisPort, phones, now),
        }
    }

    /// What the links can do for a supervisor.
    fn tell_links(&mut self) {
        for (link, controls) in self.sources.links() {
            self.engine.handle_link_controls(link, controls);
        }
    }

    /// One member of a cluster holds the CTI sessions.
    fn hold_sources(&mut self, holds: HoldsCti) {
        for link in self.sources.stop_links() {
            self.engine.handle_link_controls(&link, &[]);
        }
        if holds == HoldsCti::No {
            return;
        }
        if let Err(error) = (self.start_links)(&mut self.sources) {
            tracing::error!("the CTI sources can't be started: {error:#}");
        }
        self.tell_links();
    }

    fn handle_link_event(&mut self, link: &LinkName, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Cti(event) => {
                if let CtiEvent::Link(update) = &event {
                    log::link(update);
                }
                self.engine.handle_link_cti(link, &event, now);
            }
            LinkEvent::Done { number, result } => self.engine.handle_link_done(number, result, now),
        }
    }

    /// 5. New rules.
    fn handle_reload(&mut self, reload: Reload) {
        self.local_time = reload.local_time;
        self.tell_local_time();
        self.engine
            .handle_policy(reload.policy, reload.devices, self.clock.now());
        self.desks.tell_all(&self.engine);
        tracing::info!("configuration reloaded: policy, teams and devices");
    }

    /// 6. The capture threads' figures.
    fn read_health(&mut self) {
        self.tell_local_time();
        let stats = self.capture.stats();
        let now = self.clock.now();
        self.engine.handle_capture_health(stats.health(), now);
        for count in self.capture.address_counts() {
            self.engine.handle_address_count(count.ip, count.from, count.to, now);
        }
        self.fit_members();
        if self.sources.looks_up() {
            self.sources.want_phones(self.engine.unresolved(now));
        }
        // Who doesn't serve metrics has dropped the other end.
        if self.figures.receiver_count() > 0 {
            self.figures.send_replace(Some(ServiceFigures {
                engine: self.engine.figures(now),
                reasons: self.engine.reasons(now),
                door: self.door.figures(),
                capture: stats,
                member_datagrams_dropped: self.peers.dropped(),
                plain_rtp_failures: self.plain_rtp_failures,
            }));
        }
    }

    /// Whether phones whose media are new are in the mirror: another member may have somebody who listens.
    fn look_for_phones(&mut self) {
        let now = self.clock.now();
        for count in self.capture.address_counts_of(&self.engine.phones_awaited()) {
            self.engine.handle_address_count(count.ip, count.from, count.to, now);
        }
        self.engine.handle_looked(now);
    }

    /// 7. The HTTPS interface.
    fn answer(&mut self, question: Question) {
        let now = self.clock.now();
        // Whoever asked has gone away where sending fails.
        match question {
            Question::Diagnosis { asks, agent, answer } => {
                let _ = answer.send(self.diagnosis(asks.as_ref(), agent.as_ref(), now));
            }
            Question::Agents { asks, answer } => {
                let notice = asks.as_ref().and_then(|asks| self.engine.notice(asks, now));
                let _ = answer.send((self.engine.agent_rows(asks.as_ref(), now), notice));
            }
            Question::SignInAttempt { name, from, answer } => {
                let _ = answer.send(self.engine.handle_sign_in_attempt(&name, from, now));
            }
            Question::SignIn { principal, outcome } => self.engine.handle_sign_in(&principal, outcome, now),
        }
    }

    fn diagnosis(&self, asks: Option<&Principal>, agent: Option<&AgentId>, now: Instant) -> Answer {
        let (agents, sessions) = match agent {
            Some(_) => Default::default(),
            None => (
                self.engine.diagnose_all(asks, now),
                self.engine.diagnose_sessions(asks, now),
            ),
        };
        Answer {
            hops: self.engine.examine(agent, asks, now),
            agents,
            sessions,
        }
    }

    /// The hours of listening begin and end on the operator's wall.
    fn tell_local_time(&mut self) {
        let now = self.clock.now();
        self.engine.handle_local_time((self.local_time)(now), now);
    }

    /// 8. What the HTTPS interface has done. Whoever asked has gone away where the answer can't be given.
    fn handle_order(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Pause { request, answer } => {
                let _ = answer.send(self.engine.handle_pause(request, now));
            }
            Order::Resume { kind, of, by, answer } => {
                let _ = answer.send(self.engine.handle_resume(kind, &of, &by, now));
            }
            Order::ListPauses { answer } => {
                let _ = answer.send((now, self.engine.pauses().collect()));
            }
            Order::OpenDesk { agent, answer } => {
                let _ = answer.send(self.desks.open(agent, &mut self.engine, now));
            }
        }
    }

    /// 9. Time.
    fn handle_wake(&mut self) {
        let now = self.clock.now();
        self.run_script(now);
        self.resolver.handle_timeout(now);
        self.take_sightings(now);
        self.engine.handle_timeout(now);
    }

    fn run_script(&mut self, now: Instant) {
        while let Some(event) = self.script.next(now) {
            self.engine.handle_cti(&event, now);
        }
    }

    /// Carries out what the engine wants: first what must be written down, then what is sent.
    fn drain(&mut self) {
        let now = self.clock.now();
        let mut filter_changed = false;
        while let Some(event) = self.engine.poll_event() {
            filter_changed |= event == EngineEvent::FilterChanged;
            log::event(&event);
            match event {
                EngineEvent::PhonesCame(phones) => self.capture.count(&phones),
                EngineEvent::Command { link, command } => self.command(&link, command, now),
                EngineEvent::DemandChanged { connection } => self.fit_path(connection),
                EngineEvent::ListeningChanged { agent } => self.desks.tell(&agent, &self.engine),
                EngineEvent::Cti(holds) => self.hold_sources(holds),
                EngineEvent::ProbeWanted { link, peer, address } => self.peers.probe(link, peer, address),
                EngineEvent::DialWanted { server, address } => self.peers.want(server, &address),
                EngineEvent::MemberLinked(server) => self.peers.linked(server),
                EngineEvent::MemberUnlinked(server) => self.peers.unlinked(&server),
                audited if audited.is_audited() => self.journal.record(audited, now),
                _ => {}
            }
        }
        if filter_changed {
            self.change_filter();
            self.fit_paths();
        }
        while let Some(transmit) = self.engine.poll_transmit() {
            self.transmit(transmit);
        }
        while let Some(transmit) = self.engine.poll_peer_transmit() {
            self.peers.transmit(transmit);
        }
        self.drain_store();
    }

    /// A command that its link can't take has failed.
    fn command(&mut self, link: &LinkName, command: LinkCommand, now: Instant) {
        let number = match &command {
            LinkCommand::Supervise(supervise) => Some(supervise.number),
            LinkCommand::Hoteling(request) => Some(request.number),
            LinkCommand::SnapshotDevice(_) | LinkCommand::Reconnect => None,
        };
        let Err(why) = self.sources.command(link, command) else {
            return;
        };
        tracing::warn!(%link, "a command was not taken: {why}");
        if let Some(number) = number {
            self.engine.handle_link_done(number, Err(why), now);
        }
    }

    /// A session that was written down may be heard; one that couldn't be doesn't happen.
    fn handle_written(&mut self, (session, result): Written) {
        let now = self.clock.now();
        match result {
            Ok(()) => self.engine.handle_recorded(session, now),
            Err(error) => {
                let reason = Reason::new(Code::AuditUnwritable, format!("{error}; listening is refused."));
                self.engine.handle_unrecorded(session, reason, now);
            }
        }
    }

    async fn stop(&mut self) {
        self.engine.stop(self.clock.now());
        self.drain();
        self.journal.finish();
        self.capture.stop();
        for (_, output) in self.connections.drain() {
            output.finish().await;
        }
        self.peers.finish().await;
        if let Some(store) = self.store.take() {
            store.finish().await;
        }
    }
}

/// A session's id is not to be guessed by others, so it is random.
fn fresh_id() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(error) => {
            tracing::error!(%error, "no random numbers; session ids can be guessed");
            std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0_u8)
        }
    }
}

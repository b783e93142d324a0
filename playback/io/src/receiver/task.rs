//! The receiver's shell: one task that owns connection, clock and sink, and does what the machine says.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use silentmon_certs::ClientTls;
use silentmon_playback_core::repair::RepairReport;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{AudioHeader, ServerMessage};
use silentmon_proto::time::Instant;
use silentmon_transport::{
    Channel, CloseCode, ConnectError, Connection, ControlError, ControlReceiver, ServerAddress, connect,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock;

use super::machine::{Action, HEARTBEAT, Machine};
use super::repairs::Repairs;
use super::{MonitorRequest, ReceiverEvent, ReceiverSettings, ReceiverSink, RequestId, SuperviseWish};

/// Packets kept that came before the message that says whose they are: a second of both legs.
const EARLY: usize = 100;
/// How often the server's certificate is looked at again: dates pass in mid connection.
const RECHECK: Duration = Duration::from_secs(1);
/// How long the other side may take to receive what was said before a clean close.
const DELIVERY: Duration = Duration::from_millis(500);

/// A supervisor's connection to the capture servers, with its sessions. Dropping it ends it without a goodbye; the
/// server keeps the sessions for a while.
#[derive(Debug)]
pub struct Receiver {
    commands: mpsc::UnboundedSender<Command>,
    next_request: AtomicU32,
    statistics: Arc<Counters>,
    task: JoinHandle<()>,
}

/// What arrived so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverStatistics {
    /// Audio datagrams of sessions that run.
    pub packets: u64,
    /// Datagrams that are no audio datagrams.
    pub malformed: u64,
    /// Audio datagrams of sessions that don't run, or no longer.
    pub unclaimed: u64,
    /// What became of packets that the relay lost, both legs and all sessions together.
    pub repairs: RepairReport,
}

#[derive(Debug, Default)]
struct Counters {
    repairs: Mutex<RepairReport>,
    packets: AtomicU64,
    malformed: AtomicU64,
    unclaimed: AtomicU64,
}

/// Given by people, so few that their queue needs no bound.
#[derive(Debug)]
enum Command {
    Start(RequestId, MonitorRequest),
    Stop(RequestId),
    Supervise(RequestId, SuperviseWish),
    Confirm(RequestId),
    Watch,
    UseTls(Box<ClientTls>),
    Close,
}

impl Receiver {
    /// Starts dialling. Must be called within a tokio runtime.
    pub fn start(settings: ReceiverSettings, tls: ClientTls, sink: Box<dyn ReceiverSink>) -> Self {
        let (commands, orders) = mpsc::unbounded_channel();
        let statistics = Arc::<Counters>::default();
        let transport = settings.transport.clone();
        let task = Task {
            machine: Machine::new(settings, seed(), clock::now()),
            tls,
            dialled: None,
            transport,
            sink,
            orders,
            channel: None,
            dialling: None,
            early: VecDeque::new(),
            repairs: Repairs::default(),
            statistics: Arc::clone(&statistics),
            next_path: clock::now(),
            next_recheck: clock::now(),
        };
        Self {
            commands,
            next_request: AtomicU32::new(1),
            statistics,
            task: tokio::spawn(task.run()),
        }
    }

    /// Monitors an agent, now or as soon as there is a connection, until the request is stopped or refused.
    pub fn start_monitor(&self, wish: MonitorRequest) -> RequestId {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        self.give(Command::Start(request, wish));
        request
    }

    /// Stops monitoring; [`ReceiverEvent::MonitorStopped`] follows.
    pub fn stop_monitor(&self, request: RequestId) {
        self.give(Command::Stop(request));
    }

    /// Says that the supervisor still listens, where the server asked.
    pub fn confirm(&self, request: RequestId) {
        self.give(Command::Confirm(request));
    }

    /// Asks to be brought into the call that is monitored; [`ReceiverEvent::Supervised`] follows.
    pub fn supervise(&self, request: RequestId, wish: SuperviseWish) {
        self.give(Command::Supervise(request, wish));
    }

    /// Asks for all agents, and for every change from now on.
    pub fn watch_agents(&self) {
        self.give(Command::Watch);
    }

    /// Dials with other certificates from now on, and leaves a server that they don't accept.
    pub fn use_tls(&self, tls: ClientTls) {
        self.give(Command::UseTls(Box::new(tls)));
    }

    /// Stops all sessions, says goodbye and ends; [`ReceiverEvent::Closed`] is the last event.
    pub fn close(&self) {
        self.give(Command::Close);
    }

    /// Closes and waits until it is over, at most three seconds or so.
    pub async fn close_and_wait(mut self) {
        self.close();
        let _ = (&mut self.task).await;
    }

    /// Waits until the receiver gave up or was closed.
    pub async fn ended(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// What arrived so far.
    pub fn statistics(&self) -> ReceiverStatistics {
        ReceiverStatistics {
            packets: self.statistics.packets.load(Ordering::Relaxed),
            malformed: self.statistics.malformed.load(Ordering::Relaxed),
            unclaimed: self.statistics.unclaimed.load(Ordering::Relaxed),
            repairs: *self.statistics.repairs.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// A receiver that is over needs no commands.
    fn give(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Different for each receiver: the order of servers and the waits are to differ between programs.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

type Dialled = (ServerAddress, Result<Channel, ConnectError>);
type Dialling = Pin<Box<dyn Future<Output = Dialled> + Send>>;

struct Task {
    machine: Machine,
    tls: ClientTls,
    /// The server that is talked to, or was last.
    dialled: Option<ServerAddress>,
    transport: silentmon_transport::Settings,
    sink: Box<dyn ReceiverSink>,
    orders: mpsc::UnboundedReceiver<Command>,
    channel: Option<Channel>,
    dialling: Option<Dialling>,
    early: VecDeque<(Instant, AudioHeader, Bytes)>,
    repairs: Repairs,
    statistics: Arc<Counters>,
    next_path: Instant,
    next_recheck: Instant,
}

enum Input {
    Order(Option<Command>),
    Dialled(Box<Dialled>),
    Message(Box<Result<Option<ServerMessage>, ControlError>>),
    Datagram(Bytes),
    Timeout,
}

impl Task {
    async fn run(mut self) {
        loop {
            // 1. Say, report and do what was decided.
            if self.obey().await {
                return;
            }
            // 2. Ask for what the relay lost.
            self.repair(clock::now());
            // 3. Wait for whatever comes first.
            let input = self.input().await;
            // 4. Let the machine decide.
            let now = clock::now();
            match input {
                Input::Order(order) => self.order(order, now),
                Input::Dialled(dialled) => self.dialled(dialled.0, dialled.1, now),
                Input::Message(message) => self.message(*message, now),
                Input::Datagram(datagram) => self.datagram(&datagram, now),
                Input::Timeout => self.timeout(now),
            }
        }
    }

    async fn input(&mut self) -> Input {
        let connected = self.channel.as_ref().map(|_| self.next_path.min(self.next_recheck));
        let deadlines = [self.machine.poll_timeout(), self.repairs.poll_timeout(), connected];
        let deadline = deadlines.into_iter().flatten().min();
        let (messages, connection) = match &mut self.channel {
            Some(channel) => (Some(&mut channel.receiver), Some(&channel.connection)),
            None => (None, None),
        };
        let message = or_never(messages.map(ControlReceiver::receive));
        let datagram = or_never(connection.map(Connection::next_datagram));
        let timeout = or_never(deadline.map(|at| tokio::time::sleep_until(clock::deadline(at))));
        tokio::select! {
            order = self.orders.recv() => Input::Order(order),
            outcome = or_never(self.dialling.as_mut()) => Input::Dialled(Box::new(outcome)),
            message = message => Input::Message(Box::new(message)),
            datagram = datagram => Input::Datagram(datagram),
            () = timeout => Input::Timeout,
        }
    }

    /// Whether everything is done.
    async fn obey(&mut self) -> bool {
        while let Some(message) = self.machine.poll_transmit() {
            self.say(message).await;
        }
        self.report();
        let mut ended = false;
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Dial(server) => self.dial(server),
                Action::StopDialling => self.dialling = None,
                Action::HangUp(code, reason) => self.hang_up(code, &reason).await,
                Action::End => ended = true,
            }
        }
        ended
    }

    async fn say(&mut self, message: silentmon_proto::relay::ClientMessage) {
        let Some(channel) = &mut self.channel else { return };
        // A server that reads nothing for so long is as good as gone.
        let sending = tokio::time::timeout(HEARTBEAT, channel.sender.send(&message));
        let problem = match sending.await {
            // What was said before the end is still to be read; after that the control stream tells of it, too.
            Ok(Ok(()) | Err(ControlError::Closed(_))) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it reads nothing".to_owned(),
        };
        self.lost(&problem, clock::now());
    }

    fn report(&mut self) {
        let now = clock::now();
        while let Some(event) = self.machine.poll_event() {
            let mut started = false;
            if let ReceiverEvent::MonitorStarted { request, .. } | ReceiverEvent::MonitorStopped { request, .. } = event
            {
                started = matches!(event, ReceiverEvent::MonitorStarted { .. });
                self.repairs.forget(request, self.sink.as_mut());
            }
            self.sink.event(now, event);
            if started {
                self.claim_early();
            }
        }
    }

    fn dial(&mut self, server: ServerAddress) {
        let (tls, transport) = (self.tls.clone(), self.transport.clone());
        self.dialling = Some(Box::pin(async move {
            let outcome = connect(&server, &tls, &transport).await;
            (server, outcome)
        }));
    }

    async fn hang_up(&mut self, code: CloseCode, reason: &str) {
        self.early.clear();
        self.repairs.clear(self.sink.as_mut());
        let Some(mut channel) = self.channel.take() else { return };
        if code == CloseCode::Silence {
            channel.connection.close(code, reason);
            return;
        }
        channel.sender.finish();
        let _ = tokio::time::timeout(DELIVERY, channel.sender.delivered()).await;
        channel.connection.close_and_wait(code, reason).await;
    }

    fn order(&mut self, order: Option<Command>, now: Instant) {
        match order {
            Some(Command::Start(request, wish)) => self.machine.start_monitor(request, wish, now),
            Some(Command::Stop(request)) => self.machine.stop_monitor(request, now),
            Some(Command::Supervise(request, wish)) => self.machine.supervise(request, wish, now),
            Some(Command::Confirm(request)) => self.machine.confirm(request, now),
            Some(Command::Watch) => self.machine.watch_agents(now),
            Some(Command::UseTls(tls)) => self.use_tls(*tls, now),
            Some(Command::Close) | None => self.machine.close(now),
        }
    }

    fn use_tls(&mut self, tls: ClientTls, now: Instant) {
        self.tls = tls;
        self.recheck(now);
    }

    /// Leaves a server that a new handshake would refuse.
    fn recheck(&mut self, now: Instant) {
        self.next_recheck = now + RECHECK;
        let (Some(channel), Some(server)) = (&self.channel, &self.dialled) else {
            return;
        };
        if let Err(problem) = self.tls.recheck(channel.connection.chain(), server.host()) {
            tracing::warn!(why = problem.word(), %problem, "the server can't be trusted any more");
            channel.connection.close(CloseCode::Denied, &problem.to_holder());
            let text = format!("{server} can't be trusted any more: {problem}.");
            self.lose(Reason::new(Code::CertificateRefused, text), now);
        }
    }

    fn dialled(&mut self, server: ServerAddress, outcome: Result<Channel, ConnectError>, now: Instant) {
        self.dialling = None;
        match outcome {
            Ok(channel) => {
                self.dialled = Some(server);
                if let Some(silent) = self.channel.replace(channel) {
                    silent
                        .connection
                        .close(CloseCode::Silence, "another server answered first");
                    self.early.clear();
                    self.repairs.clear(self.sink.as_mut());
                }
                self.next_path = now + HEARTBEAT;
                self.next_recheck = now + RECHECK;
                self.machine.handle_connected(now);
            }
            Err(error) => self.machine.handle_dial_failed(error.reason(), now),
        }
    }

    fn message(&mut self, message: Result<Option<ServerMessage>, ControlError>, now: Instant) {
        match message {
            Ok(Some(message)) => self.machine.handle_message(message, now),
            Ok(None) => self.lost("the server ended the conversation", now),
            // A newer server may say more than this program knows.
            Err(ControlError::Unknown { found, problem }) => tracing::debug!(found, problem, "unknown message"),
            Err(ControlError::Closed(closed)) if closed.is(CloseCode::Denied) => {
                let reason = Reason::in_words(Code::CertificateRefused, &closed.reason);
                self.machine.handle_dismissed(reason, now);
            }
            Err(error) => self.lost(&error.to_string(), now),
        }
    }

    fn datagram(&mut self, datagram: &Bytes, now: Instant) {
        let Ok((header, _)) = AudioHeader::parse(datagram) else {
            self.statistics.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let rtp = datagram.slice(AudioHeader::LEN..);
        match self.machine.handle_datagram(header.channel, now) {
            Some(request) => self.play(now, request, &header, &rtp),
            None => self.keep_early(now, header, rtp),
        }
    }

    fn play(&mut self, now: Instant, request: RequestId, header: &AudioHeader, rtp: &[u8]) {
        self.statistics.packets.fetch_add(1, Ordering::Relaxed);
        let channel = self.channel.as_ref();
        let round_trip = || channel.map_or(Duration::ZERO, |channel| channel.connection.statistics().round_trip);
        if self.repairs.handle_packet(now, request, header, round_trip) {
            self.sink.packet(now, request, header, rtp);
        }
    }

    /// Requests are small and may be lost like any datagram; what isn't answered is asked for anew.
    fn repair(&mut self, now: Instant) {
        let Some(channel) = self.channel.as_ref() else { return };
        if self.repairs.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let round_trip = channel.connection.statistics().round_trip;
        self.repairs.handle_timeout(now, round_trip, self.sink.as_mut());
        while let Some(request) = self.repairs.poll_transmit() {
            if let Err(error) = channel
                .connection
                .send_datagram(Bytes::copy_from_slice(&request.to_bytes()))
            {
                tracing::debug!(%error, "a repair request was not sent");
            }
        }
        *self.statistics.repairs.lock().unwrap_or_else(PoisonError::into_inner) = self.repairs.report();
    }

    /// Datagrams may overtake the control message that announces them.
    fn keep_early(&mut self, now: Instant, header: AudioHeader, rtp: Bytes) {
        if self.early.len() == EARLY {
            self.early.pop_front();
            self.statistics.unclaimed.fetch_add(1, Ordering::Relaxed);
        }
        self.early.push_back((now, header, rtp));
    }

    fn claim_early(&mut self) {
        let now = clock::now();
        for (arrived, header, rtp) in std::mem::take(&mut self.early) {
            match self.machine.handle_datagram(header.channel, now) {
                Some(request) => self.play(arrived, request, &header, &rtp),
                None => self.early.push_back((arrived, header, rtp)),
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        if self.channel.is_some() && now >= self.next_recheck {
            self.recheck(now);
        }
        if let Some(channel) = self.channel.as_ref().filter(|_| now >= self.next_path) {
            self.next_path = now + HEARTBEAT;
            self.sink
                .event(now, ReceiverEvent::Path(channel.connection.statistics()));
        }
        self.machine.handle_timeout(now);
    }

    fn lost(&mut self, problem: &str, now: Instant) {
        let text = format!("The connection was lost: {problem}.");
        self.lose(Reason::new(Code::NoCaptureServer, text), now);
    }

    fn lose(&mut self, reason: Reason, now: Instant) {
        self.channel = None;
        self.early.clear();
        self.repairs.clear(self.sink.as_mut());
        self.machine.handle_lost(reason, now);
    }
}

/// Waits for a future that may not be there.
async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

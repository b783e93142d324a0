//! The one task that owns a simulator: it drives the machine, plays the script and does the faults of connections.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use silentmon_proto::cti::CtiEvent;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::Writer;
use super::listener::Listener;
use super::{ConnectionId, Machine, Note, Outbox, Output};
use crate::fault::Seconds;
use crate::handle::{Counters, Handle};
use crate::scenario::{Action, Step};
use crate::{CloseHow, Common, Fault, SeenRequest, Side, Start};

/// What connections may have waiting for the hub.
const QUEUE: usize = 1024;
/// How many requests are kept for tests to read.
const REQUESTS_KEPT: usize = 100_000;
/// How long clients may take to be sent what was said before the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that begin no message: as a length they are absurd, and they are no XML.
const GARBAGE: [u8; 24] = [0xa5; 24];

/// What happens to the hub.
#[derive(Debug)]
pub(super) enum Input {
    Connected(ConnectionId, Writer),
    Bytes(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
}

struct Hub<M> {
    machine: M,
    listeners: Vec<Listener>,
    connections: BTreeMap<ConnectionId, Connection>,
    start: Start,
    clock: Option<Instant>,
    steps: VecDeque<Step>,
    /// Sides that listen again at these times.
    up_again: BTreeMap<usize, Instant>,
    /// Sides that are down, and how connections end there.
    down: BTreeMap<usize, CloseHow>,
    delay: Option<Delay>,
    duplicate: u32,
    reorder: Reorder,
    counters: watch::Sender<Counters>,
    requests: mpsc::UnboundedSender<SeenRequest>,
}

struct Connection {
    writer: Writer,
    silent: bool,
}

struct Delay {
    by: Duration,
    until: Option<Instant>,
}

#[derive(Default)]
struct Reorder {
    wanted: usize,
    held: Vec<Vec<Output>>,
}

/// Opens all sides and starts to play.
///
/// # Errors
/// Where an address can't be listened on.
pub(crate) fn start<M: Machine>(machine: M, sides: &[SocketAddr], common: Common) -> io::Result<Handle> {
    let (hub_input, inputs) = mpsc::channel(QUEUE);
    let (orders, actions) = mpsc::unbounded_channel();
    let (counters, watched) = watch::channel(Counters::default());
    let (requests, seen) = mpsc::unbounded_channel();
    let acceptor = common.tls.as_ref().map(crate::Tls::acceptor);
    let open =
        |(side, address): (usize, &SocketAddr)| Listener::start(side, *address, acceptor.clone(), hub_input.clone());
    let listeners: Vec<Listener> = sides.iter().enumerate().map(open).collect::<io::Result<_>>()?;
    let addresses = listeners.iter().map(|listener| listener.address).collect();
    let hub = Hub {
        machine,
        listeners,
        connections: BTreeMap::new(),
        start: common.start,
        clock: None,
        steps: common.scenario.steps.into(),
        up_again: BTreeMap::new(),
        down: BTreeMap::new(),
        delay: None,
        duplicate: 0,
        reorder: Reorder::default(),
        counters,
        requests,
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(hub.run(inputs, actions, stop.clone()));
    Ok(Handle::new(addresses, orders, watched, seen, stop, task))
}

impl<M: Machine> Hub<M> {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut actions: mpsc::UnboundedReceiver<Action>,
        stop: CancellationToken,
    ) {
        if self.start == Start::Immediately {
            self.start_clock();
        }
        loop {
            self.play_due();
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(input) = inputs.recv() => self.handle_input(input),
                Some(action) = actions.recv() => self.act(action),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.handle_timeout(),
            }
        }
        for connection in self.connections.values() {
            connection.writer.close(Instant::now(), CloseHow::Fin);
        }
        // A client that doesn't read keeps nobody.
        let _ = timeout(FAREWELL, self.farewell(&mut inputs)).await;
    }

    /// Until every connection has sent what it still had to send.
    async fn farewell(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        while !self.connections.is_empty() {
            match inputs.recv().await {
                Some(Input::Closed(id)) => drop(self.connections.remove(&id)),
                Some(Input::Connected(..) | Input::Bytes(..)) => {}
                None => return,
            }
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let script = self.clock.zip(self.steps.front()).map(|(clock, step)| clock + step.at);
        let up_again = self.up_again.values().min().copied();
        [self.machine.poll_timeout(), script, up_again]
            .into_iter()
            .flatten()
            .min()
    }

    fn start_clock(&mut self) {
        self.clock = Some(Instant::now());
        self.count_steps();
    }

    fn count_steps(&self) {
        let finished = self.clock.is_some() && self.steps.is_empty();
        self.counters.send_if_modified(|counters| {
            let changed = counters.script_finished != finished;
            counters.script_finished = finished;
            changed
        });
    }

    fn play_due(&mut self) {
        let Some(clock) = self.clock else { return };
        while self.steps.front().is_some_and(|step| clock + step.at <= Instant::now()) {
            if let Some(step) = self.steps.pop_front() {
                self.act(step.action);
            }
        }
        self.count_steps();
    }

    fn handle_input(&mut self, input: Input) {
        let mut out = Outbox::default();
        let now = Instant::now();
        match input {
            Input::Connected(id, writer) => {
                self.counters.send_modify(|counters| counters.connections += 1);
                if let Some(how) = self.down.get(&id.side) {
                    // It was being accepted while its side went down.
                    writer.close(now, *how);
                } else {
                    self.connections.insert(id, Connection { writer, silent: false });
                    self.machine.handle_connected(id, now);
                }
            }
            Input::Bytes(id, bytes) if self.hears(id) => self.machine.handle_bytes(id, &bytes, now, &mut out),
            Input::Bytes(..) => {}
            Input::Closed(id) => {
                self.connections.remove(&id);
                self.machine.handle_closed(id);
                self.counters.send_modify(|counters| counters.connections_closed += 1);
            }
        }
        self.deliver(out);
    }

    fn hears(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| !connection.silent)
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        for (side, listener) in self.listeners.iter().enumerate() {
            if self.up_again.get(&side).is_some_and(|at| *at <= now) {
                self.up_again.remove(&side);
                self.down.remove(&side);
                listener.accept(true);
            }
        }
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            let mut out = Outbox::default();
            self.machine.handle_timeout(now, &mut out);
            self.deliver(out);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Event(event) => self.play(event),
            Action::Fault(fault) => {
                tracing::info!(?fault, "fault");
                self.counters.send_modify(|counters| counters.faults += 1);
                self.fault(fault);
            }
        }
    }

    fn play(&mut self, event: CtiEvent) {
        let mut out = Outbox::default();
        self.machine.handle_event(event, Instant::now(), &mut out);
        self.counters.send_modify(|counters| counters.events_played += 1);
        self.note(out.notes);
        let mut outputs = out.outputs;
        if self.duplicate > 0 && !outputs.is_empty() {
            self.duplicate -= 1;
            outputs.extend(outputs.clone());
        }
        if self.reorder.wanted == 0 || outputs.is_empty() {
            return self.transmit(outputs);
        }
        self.reorder.held.push(outputs);
        if self.reorder.held.len() >= self.reorder.wanted {
            self.reorder.wanted = 0;
            for outputs in std::mem::take(&mut self.reorder.held).into_iter().rev() {
                self.transmit(outputs);
            }
        }
    }

    fn deliver(&mut self, out: Outbox) {
        self.note(out.notes);
        self.transmit(out.outputs);
    }

    fn transmit(&mut self, outputs: Vec<Output>) {
        let due = self.due();
        for output in outputs {
            match output {
                Output::Send(id, bytes) => self.send(id, bytes, due),
                Output::Close(id, how) => {
                    if let Some(connection) = self.connections.get(&id).filter(|connection| !connection.silent) {
                        connection.writer.close(due, how);
                    }
                }
            }
        }
    }

    fn send(&mut self, id: ConnectionId, bytes: Vec<u8>, due: Instant) {
        let Some(connection) = self.connections.get(&id).filter(|connection| !connection.silent) else {
            return;
        };
        if connection.writer.send(due, bytes) {
            self.counters.send_modify(|counters| counters.messages_sent += 1);
        } else {
            tracing::warn!(side = id.side, "the client reads too slowly: connection dropped");
            self.connections.remove(&id);
            self.machine.handle_closed(id);
        }
    }

    fn due(&mut self) -> Instant {
        let now = Instant::now();
        if self
            .delay
            .as_ref()
            .and_then(|delay| delay.until)
            .is_some_and(|until| until <= now)
        {
            self.delay = None;
        }
        self.delay.as_ref().map_or(now, |delay| now + delay.by)
    }

    fn note(&mut self, notes: Vec<Note>) {
        for note in notes {
            if matches!(note, Note::SessionOpened(_)) && self.clock.is_none() {
                self.start_clock();
            }
            if let Note::Request(request) = &note
                && self.counters.borrow().requests < REQUESTS_KEPT
            {
                // Before it is counted, so that whoever waits for the count finds it. Nobody may be reading them.
                let _ = self.requests.send(request.clone());
            }
            self.counters.send_modify(|counters| counters.note(&note));
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Close { side, how } => self.close(side, how),
            Fault::Down { side, seconds, how } => {
                self.refuse(side, seconds);
                for place in self.sides(side) {
                    self.down.insert(place, how);
                }
                self.close(side, how);
            }
            Fault::Refuse { side, seconds } => self.refuse(side, seconds),
            Fault::Up { side } => {
                for side in self.sides(side) {
                    self.up_again.remove(&side);
                    self.down.remove(&side);
                    self.listeners[side].accept(true);
                }
            }
            Fault::HalfOpen { side } => {
                let meant = self.connections.iter_mut().filter(|(id, _)| concerns(side, id.side));
                meant.for_each(|(_, connection)| connection.silent = true);
            }
            Fault::Garbage { side, hex } => {
                let bytes = hex.map_or_else(|| GARBAGE.to_vec(), |hex| hex.0);
                let ids: Vec<_> = self.connections.keys().copied().collect();
                let meant = ids.into_iter().filter(|id| concerns(side, id.side));
                self.transmit(meant.map(|id| Output::Send(id, bytes.clone())).collect());
            }
            Fault::Delay { seconds, period } => {
                let until = period.map(|period| Instant::now() + period.0);
                self.delay = Some(Delay { by: seconds.0, until });
            }
            Fault::Duplicate { count } => self.duplicate = count,
            Fault::Reorder { count } => self.reorder.wanted = count as usize,
            of_the_protocol => {
                let mut out = Outbox::default();
                self.machine.handle_fault(&of_the_protocol, Instant::now(), &mut out);
                self.deliver(out);
            }
        }
    }

    fn sides(&self, side: Option<Side>) -> Vec<usize> {
        (0..self.listeners.len())
            .filter(|place| concerns(side, *place))
            .collect()
    }

    fn close(&mut self, side: Option<Side>, how: CloseHow) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        let meant = ids.into_iter().filter(|id| concerns(side, id.side));
        self.transmit(meant.map(|id| Output::Close(id, how)).collect());
    }

    fn refuse(&mut self, side: Option<Side>, seconds: Option<Seconds>) {
        for side in self.sides(side) {
            self.listeners[side].accept(false);
            self.up_again.remove(&side);
            if let Some(seconds) = seconds {
                self.up_again.insert(side, Instant::now() + seconds.0);
            }
        }
    }
}

fn concerns(wanted: Option<Side>, side: usize) -> bool {
    wanted.is_none_or(|wanted| wanted.0 == side)
}

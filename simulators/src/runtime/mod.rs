//! What all simulators have in common: listening sockets, the script's clock, faults of the connection, counters.
//! Each protocol is a [`Machine`] without sockets; the [`hub`] drives it.

mod connection;
mod hub;
mod listener;

use silentmon_proto::cti::CtiEvent;
use tokio::time::Instant;

use crate::{CloseHow, Fault, SeenRequest};

pub(crate) use hub::start;

/// A connection, by the side it came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId {
    pub side: usize,
    pub number: u64,
}

/// One protocol's server, told what arrives and what happens; what it wants sent goes to the [`Outbox`].
pub(crate) trait Machine: Send + 'static {
    fn handle_connected(&mut self, connection: ConnectionId, now: Instant);
    fn handle_bytes(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant, out: &mut Outbox);
    fn handle_closed(&mut self, connection: ConnectionId);
    fn handle_event(&mut self, event: CtiEvent, now: Instant, out: &mut Outbox);
    /// A fault of this protocol; those of the connection never come here.
    fn handle_fault(&mut self, fault: &Fault, now: Instant, out: &mut Outbox);
    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox);
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What a machine wants done, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub outputs: Vec<Output>,
    pub notes: Vec<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Send(ConnectionId, Vec<u8>),
    Close(ConnectionId, CloseHow),
}

/// What a machine wants counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    SessionOpened(usize),
    SessionRefused,
    Heartbeat,
    Ack,
    Request(SeenRequest),
    Bad,
}

impl Outbox {
    pub fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        self.outputs.push(Output::Send(connection, bytes));
    }

    pub fn close(&mut self, connection: ConnectionId, how: CloseHow) {
        self.outputs.push(Output::Close(connection, how));
    }

    pub fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    pub fn request<const N: usize>(&mut self, side: usize, name: &str, details: [(&str, String); N]) {
        let details = details
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let name = name.to_owned();
        self.note(Note::Request(SeenRequest { side, name, details }));
    }
}

//! CTI links: one state machine a kind of source, from connecting to what its events mean in [`CtiEvent`]s.
//!
//! A link knows no sockets. Its shell opens what [`StreamOutput`] or [`HttpOutput`] asks for, tells what became of it
//! and what arrived, and hands [`LinkEvent`]s to the engine. Nothing outside a link's module knows its source's words.

pub mod backoff;
pub mod broadworks;
pub mod cisco;
pub mod csta;

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::ids::{AgentId, CallId, Extension};
pub use silentmon_proto::relay::SuperviseAction;
use silentmon_proto::time::Instant;
use thiserror::Error;

/// What a link tells the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The source said something; also that the link came up or broke ([`CtiEvent::Link`]).
    Cti(CtiEvent),
    /// What became of a [`LinkCommand`].
    Done {
        /// The command's number.
        number: u64,
        /// Why it failed, in words.
        result: Result<(), String>,
    },
}

/// What the engine asks of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkCommand {
    /// Brings a supervisor into an agent's call (requirements S5).
    Supervise(Supervise),
    /// Asks for a device's calls anew; the answer is a [`CtiEvent::DeviceSnapshot`].
    SnapshotDevice(Extension),
    /// Signs a guest in at another subscriber's phone, or out of it (requirements C10).
    Hoteling(HotelingRequest),
    /// Ends the session with the source and opens it anew.
    Reconnect,
}

/// See [`LinkCommand::Supervise`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervise {
    /// Stands in [`LinkEvent::Done`].
    pub number: u64,
    /// What is asked for.
    pub action: SuperviseAction,
    /// The agent.
    pub agent: AgentId,
    /// The agent's device.
    pub device: Extension,
    /// The call.
    pub call: CallId,
    /// The supervisor's phone.
    pub supervisor_device: Extension,
}

/// See [`LinkCommand::Hoteling`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotelingRequest {
    /// Stands in [`LinkEvent::Done`].
    pub number: u64,
    /// What is asked for.
    pub action: HotelingAction,
    /// The agent who is the guest.
    pub guest: AgentId,
    /// The host's phone.
    pub host: Extension,
}

/// What a [`HotelingRequest`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotelingAction {
    /// The guest signs in at the host's phone.
    Login,
    /// The guest signs out of it.
    Logout,
}

/// One of the places where a link's source answers, by its position in the configuration (side A is 0, side B is 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(pub usize);

/// Why a connection isn't there, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Closed {
    /// It couldn't be opened.
    #[error("{0}")]
    Unreachable(String),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The TLS handshake was answered in plain text, with these first bytes.
    #[error("the TLS handshake was answered by a plain port (first bytes {0:02x?})")]
    PlainPort(Vec<u8>),
    /// The source closed it.
    #[error("the source closed the connection")]
    ByPeer,
    /// It broke.
    #[error("{0}")]
    Broken(String),
}

/// What every link has, whatever carries it.
pub trait Link {
    /// What it can do for a supervisor in an agent's call.
    fn controls(&self) -> &'static [SuperviseAction];
    /// The engine wants something.
    fn handle_command(&mut self, command: LinkCommand, now: Instant);
    /// Time has come to [`Self::poll_timeout`].
    fn handle_timeout(&mut self, now: Instant);
    /// Ends the session in good order: outputs that are still to come say goodbye and disconnect.
    fn close(&mut self, now: Instant);
    /// The next thing to be told.
    fn poll_event(&mut self) -> Option<LinkEvent>;
    /// When [`Self::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// A link over a stream of bytes (TCP or TLS): Cisco CTI Server, CSTA.
pub trait StreamLink: Link {
    /// The connection asked for is open.
    fn handle_connected(&mut self, endpoint: Endpoint, now: Instant);
    /// Bytes came, in whatever portions.
    fn handle_bytes(&mut self, endpoint: Endpoint, bytes: &[u8], now: Instant);
    /// The connection couldn't be opened, or is gone. Not called after [`StreamOutput::Disconnect`].
    fn handle_closed(&mut self, endpoint: Endpoint, why: Closed, now: Instant);
    /// The next thing to be done; in order.
    fn poll_output(&mut self) -> Option<StreamOutput>;
}

/// What a [`StreamLink`] wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamOutput {
    /// Open a connection; answered by `handle_connected` or `handle_closed`.
    Connect(Endpoint),
    /// Send these bytes.
    Send(Endpoint, Vec<u8>),
    /// Reset the connection at once (`SO_LINGER` 0) or give up opening it.
    Disconnect(Endpoint),
}

/// A link over HTTP: BroadWorks Xsi-Events.
pub trait HttpLink: Link {
    /// The status line and headers of an answer came; for a request without `streaming`, with its whole body.
    fn handle_response(&mut self, request: HttpRequestId, status: u16, body: &[u8], now: Instant);
    /// A piece of a streaming answer's body came, in whatever portions.
    fn handle_body(&mut self, request: HttpRequestId, bytes: &[u8], now: Instant);
    /// A request failed, or a streaming answer ended. Not called after [`HttpOutput::Cancel`].
    fn handle_ended(&mut self, request: HttpRequestId, why: Closed, now: Instant);
    /// The next thing to be done; in order.
    fn poll_output(&mut self) -> Option<HttpOutput>;
}

/// A request of an [`HttpLink`], numbered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpRequestId(pub u64);

/// What an [`HttpLink`] wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpOutput {
    /// Send a request. The shell adds host, authorisation and the cookies that this endpoint set.
    Request(HttpRequest),
    /// Drop a request or a streaming answer.
    Cancel(HttpRequestId),
}

/// See [`HttpOutput::Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Its number.
    pub id: HttpRequestId,
    /// To which server.
    pub endpoint: Endpoint,
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The body, of type `text/xml`; empty for none.
    pub body: String,
    /// Whether the answer's body is handed over as it comes (it may never end).
    pub streaming: bool,
}

//! QUIC (RFC 9000) between silentmon's programs, with mutual TLS 1.3: one control stream of length-prefixed JSON
//! messages, and unreliable datagrams (RFC 9221) for audio.
//!
//! A connection comes with both as a [`Channel`], from [`ServerEndpoint::accept`] or [`connect`]. Audio is marked EF,
//! isn't throttled below what its streams need, and is shed oldest first where the path is too narrow. Plain RTP to a
//! standard receiver goes through [`PlainRtpSocket`].

mod address;
mod backlog;
mod client;
mod congestion;
mod connection;
mod control;
mod error;
mod plain_rtp;
mod reset;
mod sentinel;
mod server;
mod settings;
mod socket;
mod unreachable;

pub use address::{BadServerAddress, ServerAddress};
pub use client::connect;
pub use connection::{CloseCode, Connection, PathStatistics, SendOutcome};
pub use control::{ControlReceiver, ControlSender};
pub use error::{Closed, ConnectError, ControlError, HandshakeError, ListenError, SendError};
pub use plain_rtp::PlainRtpSocket;
pub use sentinel::nothing_listens_any_longer;
pub use server::{Refused, ServerEndpoint};
pub use settings::{Marking, Settings};

/// A connection with its control channel.
#[derive(Debug)]
pub struct Channel {
    /// The connection: who is there, datagrams, statistics, close.
    pub connection: Connection,
    /// Control messages to the other side.
    pub sender: ControlSender,
    /// Control messages from the other side.
    pub receiver: ControlReceiver,
}

//! The protocol of the Cisco CTI Server ("GED-188"), bytes to messages and back; no connection, no clock.
//!
//! Numbers, names and sizes: protocol sheet 1. What a session does with the messages lives in the link, not here.

mod codes;
mod error;
mod floating;
mod framer;
mod ids;
mod message;
mod message_type;
mod tag;
mod version;
mod wire;

pub use codes::*;
pub use error::{DecodeError, EncodeError};
pub use floating::{Entry, Field, Floating};
pub use framer::{Frame, Framer, HEADER_SIZE, MAX_BODY, OutOfSync};
pub use ids::{ConnectionCallId, IcmAgentId, InvokeId, MonitorId, MrdId, PeripheralId, SessionId, TeamId};
pub use message::*;
pub use message_type::MessageType;
pub use tag::Tag;
pub use version::ProtocolVersion;
pub use wire::Wire;

//! CSTA phase III in XML over TCP: services of ECMA-269 in the schema of ECMA-323, sessions of ECMA-354.
//!
//! Elements are matched by local name: real peers write them without a namespace, with a prefix, or with the default one
//! of their edition (protocol sheet 2.1). What isn't known is ignored; what is missing and needed is an error.

mod device;
mod error;
mod event;
mod framing;
mod message;
mod request;
mod response;

pub use device::normalize;
pub use error::{CstaError, MessageError};
pub use event::{
    AgentEvent, AgentEventKind, CallCleared, CallInformation, ConnectionEvent, ConnectionId, ConnectionListItem, Event,
    LocalConnectionState, MergeEvent, MergeKind, MonitorCrossRefId,
};
pub use framing::{EVENT_INVOKE_ID, Frame, FrameError, Framer, InvokeId, MAX_DOCUMENT};
pub use message::Message;
pub use request::{LoginShape, Request, SessionLogin, StartApplicationSession};
pub use response::{AgentEntry, Response, SessionGranted, SnapshotContent, SnapshotEntry, SystemStatus};

/// Namespace and protocol version of ECMA-323's fourth edition.
pub const EDITION_4: &str = "http://www.ecma-international.org/standards/ecma-323/csta/ed4";

/// Namespace of the session services (ECMA-354).
pub const SESSION_NAMESPACE: &str = "http://www.ecma-international.org/standards/ecma-354/appl_session";

#[cfg(test)]
mod tests;

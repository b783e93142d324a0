//! BroadWorks Xtended Services Interface: the event stream and the requests around it (protocol sheet 3).
//!
//! Events come as XML documents one after the other in an HTTP answer that never ends: [`StreamReader`] cuts them apart,
//! [`StreamItem`] is what one says. What we send is composed by [`request`].

pub mod call;
pub mod event;
pub mod request;
pub mod stream;
#[cfg(test)]
mod tests;

pub use call::{AcdCallInfo, Call, CallState, Conference, Personality, RemoteParty, XsiReleasingParty};
pub use event::{
    AgentAcdState, AgentStateInfo, CallEventType, CallSubscription, Channel, ConferenceEventType, Event, EventData,
    EventKind, HookStatus, Hoteling, QueueEntry, QueueEventType, StreamItem, Subscription, XsiError,
};
pub use stream::{Oversized, StreamReader};

/// Namespace of every document.
pub const NAMESPACE: &str = "http://schema.broadsoft.com/xsi";

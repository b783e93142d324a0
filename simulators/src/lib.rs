//! Simulated CTI sources: a Cisco CTI Server, a CSTA switch, a BroadWorks server, each playing a script.
//!
//! For tests and lab rehearsals. Their encoders are written from the protocols' description and share nothing with the
//! program's own codecs, so that a mistake in one isn't hidden by the same mistake in the other. Of `silentmon-proto` they
//! use only the script's vocabulary.

mod broadworks;
mod csta;
mod cti_server;
mod fault;
mod handle;
mod runtime;
mod scenario;
mod tls;
mod world;
mod xml;

pub use broadworks::{BroadWorks, BroadWorksOptions};
pub use csta::{Csta, CstaOptions, Dialect};
pub use cti_server::{CtiServer, CtiServerOptions};
pub use fault::{CloseHow, Fault, HexBytes, Seconds, Side};
pub use handle::{Counters, Handle, SeenRequest};
pub use scenario::{Action, Scenario, ScenarioError, Step};
pub use tls::{Tls, TlsError};

/// When the script's clock starts. It runs on across reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// When the first client's session is open.
    #[default]
    Open,
    /// With the simulator.
    Immediately,
}

/// What all simulators take.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// What is played.
    pub scenario: Scenario,
    /// From when on.
    pub start: Start,
    /// TLS from the first byte; plain TCP without.
    pub tls: Option<Tls>,
}

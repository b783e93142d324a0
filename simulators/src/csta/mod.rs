//! A simulated CSTA III switch: XML over TCP in 8-byte frames, ECMA-354 session (protocol sheet, section 2).

mod events;
mod frame;
mod requests;
mod switch;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{Common, Handle, runtime};

/// A simulated CSTA switch.
#[derive(Debug)]
pub struct Csta;

/// How a switch writes its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// A default namespace at the root.
    #[default]
    Default,
    /// A prefix before each name.
    Prefix,
    /// No namespace at all.
    Bare,
}

/// What a [`Csta`] switch is.
#[derive(Debug, Clone)]
pub struct CstaOptions {
    /// Where it listens, by side. Port 0 takes a free one.
    pub sides: Vec<SocketAddr>,
    /// How it writes.
    pub dialect: Dialect,
    /// Whether device ids come decorated: `N<3001>;noa=nk`.
    pub decorated: bool,
    /// The longest session it grants.
    pub session_duration: Duration,
    /// Who may log in: user and password, wherever they stand in applicationInfo; anybody without.
    pub login: Option<(String, String)>,
    /// How often it asks by SystemStatus whether the client is alive. It drops one that doesn't answer.
    pub system_status: Option<Duration>,
    /// How long a client may take to answer it.
    pub answer_limit: Duration,
    /// What all simulators take.
    pub common: Common,
}

impl Default for CstaOptions {
    fn default() -> Self {
        Self {
            sides: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            dialect: Dialect::Default,
            decorated: true,
            session_duration: Duration::from_secs(600),
            login: None,
            system_status: Some(Duration::from_secs(30)),
            answer_limit: Duration::from_secs(10),
            common: Common::default(),
        }
    }
}

impl Csta {
    /// Listens and plays. Needs a tokio runtime with time and IO.
    ///
    /// # Errors
    /// Where an address can't be listened on.
    pub fn start(options: CstaOptions) -> io::Result<Handle> {
        let sides = options.sides.clone();
        let common = options.common.clone();
        runtime::start(switch::Switch::new(options), &sides, common)
    }
}

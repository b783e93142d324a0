//! A simulated Cisco CTI Server: GED-188 with its two sides (protocol sheet, section 1). Events leave in the order in
//! which a Unified CCE peripheral sends them. What the sheet gives no layout for (CALL_QUEUED_EVENT,
//! CALL_REACHED_NETWORK_EVENT) is not sent.

mod events;
mod numbers;
mod requests;
mod server;
mod session;
mod tell;
#[cfg(test)]
mod tests;
mod wire;
mod words;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use crate::{Common, Handle, runtime};

/// A simulated Cisco CTI Server.
#[derive(Debug)]
pub struct CtiServer;

/// What a [`CtiServer`] is.
#[derive(Debug, Clone)]
pub struct CtiServerOptions {
    /// Where its sides listen; A first. Port 0 takes a free one.
    pub sides: Vec<SocketAddr>,
    /// The highest protocol version it takes.
    pub maximum_version: u32,
    /// The lowest.
    pub minimum_version: u32,
    /// The one ClientID that may come in; any without.
    pub client_id: Option<String>,
    /// Its password; any without.
    pub client_password: Option<String>,
    /// PeripheralID of all agents and calls.
    pub peripheral_id: u32,
    /// The voice skill groups of each agent: one AGENT_STATE_EVENT each.
    pub skill_groups: Vec<u32>,
    /// Whether side A is active and side B standby. A client of version 24 that asks for it may open a session at the
    /// standby side; others are refused there.
    pub active_standby: bool,
    /// What all simulators take.
    pub common: Common,
}

impl Default for CtiServerOptions {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            sides: vec![any, any],
            maximum_version: 24,
            minimum_version: 9,
            client_id: None,
            client_password: None,
            peripheral_id: 5000,
            skill_groups: vec![5001],
            active_standby: false,
            common: Common::default(),
        }
    }
}

impl CtiServer {
    /// Opens its sides and plays. Needs a tokio runtime with time and IO.
    ///
    /// # Errors
    /// Where an address can't be listened on.
    pub fn start(options: CtiServerOptions) -> io::Result<Handle> {
        let sides = options.sides.clone();
        let common = options.common.clone();
        runtime::start(server::Server::new(options), &sides, common)
    }
}

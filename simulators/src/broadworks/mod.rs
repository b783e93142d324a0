//! A simulated BroadWorks: Xsi-Events over HTTP/1.1 on one or more XSPs, and of Xsi-Actions what hoteling needs
//! (protocol sheet, section 3).

mod channels;
mod events;
mod halves;
mod http;
mod requests;
mod server;
#[cfg(test)]
mod tests;
mod timers;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{Common, Handle, runtime};

/// A simulated BroadWorks server.
#[derive(Debug)]
pub struct BroadWorks;

/// What a [`BroadWorks`] server is.
#[derive(Debug, Clone)]
pub struct BroadWorksOptions {
    /// Where its XSPs listen. They share channel sets and subscriptions. Port 0 takes a free one.
    pub xsps: Vec<SocketAddr>,
    /// The domain of user ids: extension 3001 is `3001@DOMAIN`. A user id's part before the `@` names the agent, the
    /// extension or the device.
    pub domain: String,
    /// What is granted to channels and subscriptions, whatever is asked; what is asked without.
    pub granted: Option<Duration>,
    /// How often the stream carries a ChannelHeartBeat.
    pub stream_heartbeat: Duration,
    /// How long a channel lives without a heartbeat of the client.
    pub heartbeat_limit: Duration,
    /// How long an event may wait for its acknowledgement before its subscription ends.
    pub ack_limit: Duration,
    /// User and password of HTTP's basic authentication; anybody may come in without.
    pub login: Option<(String, String)>,
    /// What all simulators take.
    pub common: Common,
}

impl Default for BroadWorksOptions {
    fn default() -> Self {
        Self {
            xsps: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            domain: "example.com".to_owned(),
            granted: None,
            stream_heartbeat: Duration::from_secs(15),
            heartbeat_limit: Duration::from_secs(60),
            ack_limit: Duration::from_secs(30),
            login: None,
            common: Common::default(),
        }
    }
}

impl BroadWorks {
    /// Listens and plays. Needs a tokio runtime with time and IO.
    ///
    /// # Errors
    /// Where an address can't be listened on.
    pub fn start(options: BroadWorksOptions) -> io::Result<Handle> {
        let sides = options.xsps.clone();
        let common = options.common.clone();
        runtime::start(server::Server::new(options), &sides, common)
    }
}

//! `[cluster]`: which servers listen together.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use silentmon_proto::ids::{ClusterName, ServerName};
use silentmon_proto::peer::PEER_PORT;
use silentmon_transport::ServerAddress;

use super::Complaint;
use super::values::HostPort;

/// `[cluster]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// The cluster's name, the same in all members.
    pub cluster: ClusterName,
    /// This server's name: that of its certificate, where there are peers.
    pub name: ServerName,
    /// Where peers connect.
    pub listen: SocketAddr,
    /// The other members.
    pub peers: Vec<PeerTable>,
}

/// One of `peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTable {
    /// Its name.
    pub name: ServerName,
    /// Its address, `HOST:PORT`.
    pub address: HostPort,
}

impl PeerTable {
    /// Where it answers.
    ///
    /// # Errors
    /// What is expected of an address.
    pub fn server(&self) -> Result<ServerAddress, String> {
        self.address
            .to_string()
            .parse()
            .map_err(|error: silentmon_transport::BadServerAddress| error.to_string())
    }
}

impl ClusterSection {
    /// Whether there are other members.
    pub const fn is_shared(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The other members' addresses.
    pub fn places(&self) -> impl Iterator<Item = &HostPort> {
        self.peers.iter().map(|peer| &peer.address)
    }

    /// Looks for members that can't be.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), Complaint> {
        let key = "cluster.peers";
        for (at, peer) in self.peers.iter().enumerate() {
            if peer.name == self.name {
                let expected = format!(
                    "expected the other members, found \"{}\", this server's own name",
                    peer.name
                );
                return Err(Complaint { key, expected });
            }
            let twin = |other: &PeerTable| other.name == peer.name || other.address == peer.address;
            if self.peers[..at].iter().any(twin) {
                let expected = format!(
                    "expected each member once, found \"{}\" at {} again",
                    peer.name, peer.address
                );
                return Err(Complaint { key, expected });
            }
            peer.server().map_err(|expected| Complaint { key, expected })?;
        }
        Ok(())
    }
}

impl Default for ClusterSection {
    fn default() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "silentmon".to_owned());
        Self {
            cluster: "silentmon".into(),
            name: name.trim().into(),
            listen: SocketAddr::from(([0, 0, 0, 0], PEER_PORT)),
            peers: Vec::new(),
        }
    }
}

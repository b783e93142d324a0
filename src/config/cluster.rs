//! `[cluster]`: which servers listen together, and what this one is to the others.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use silentmon_proto::ids::{ClusterName, ServerName};
use silentmon_proto::peer::{PEER_PORT, Role};
use silentmon_transport::ServerAddress;

use super::Complaint;
use super::values::HostPort;

/// Hubs that a leaf dials at most.
const MOST_HUBS: usize = 16;

/// `[cluster]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// The cluster's name, the same in all members.
    pub cluster: ClusterName,
    /// This server's name: that of its certificate, where there are peers.
    pub name: ServerName,
    /// What this server is to the others.
    pub role: Role,
    /// Where peers connect; a leaf is dialled by nobody.
    pub listen: SocketAddr,
    /// The other members; of a leaf, the hubs that it dials.
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
    /// Whether there are other members, or may be: a hub is dialled by leaves that it doesn't know beforehand.
    pub fn is_shared(&self) -> bool {
        !self.peers.is_empty() || self.role == Role::Hub
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
        if self.role == Role::Leaf && !(1..=MOST_HUBS).contains(&self.peers.len()) {
            let expected = format!(
                "expected 1 to {MOST_HUBS} hubs that this leaf dials, found {}",
                self.peers.len()
            );
            return Err(Complaint { key, expected });
        }
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
            role: Role::default(),
            listen: SocketAddr::from(([0, 0, 0, 0], PEER_PORT)),
            peers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> ClusterSection {
        toml::from_str(text).expect("readable")
    }

    fn peers(count: usize) -> String {
        let peer = |number| format!("{{ name = \"hub{number}\", address = \"10.0.0.{number}:42029\" }}");
        (1..=count).map(peer).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_leaf_dials_one_to_sixteen_hubs() {
        for (count, good) in [(0, false), (1, true), (16, true), (17, false)] {
            let section = section(&format!("role = \"leaf\"\npeers = [{}]", peers(count)));
            let outcome = section.check();
            assert_eq!(outcome.is_ok(), good, "{count}");
            if let Err(complaint) = outcome {
                let found = format!("expected 1 to 16 hubs that this leaf dials, found {count}");
                assert_eq!((complaint.key, complaint.expected), ("cluster.peers", found));
            }
        }
    }

    #[test]
    fn a_hub_without_peers_is_in_a_cluster_and_a_member_without_them_is_alone() {
        for (text, shared) in [("", false), ("role = \"member\"", false), ("role = \"hub\"", true)] {
            let section = section(text);
            section.check().expect("good");
            assert_eq!(section.is_shared(), shared, "{text}");
        }
    }

    #[test]
    fn an_unknown_role_is_told_which_there_are() {
        let error = toml::from_str::<ClusterSection>("role = \"root\"").expect_err("no role");
        for role in ["member", "hub", "leaf"] {
            assert!(error.to_string().contains(role), "{error}");
        }
    }
}

//! `[cluster]`: which servers listen together, and what this one is to the others.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use silentmon_proto::ids::{ClusterName, ServerName};
use silentmon_proto::peer::{PEER_PORT, Role};
use silentmon_transport::ServerAddress;

use super::Complaint;
use super::nats::{NatsSection, NatsServers};
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
    /// The store by which members learn of each other, instead of `peers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<NatsServers>,
    /// Where the others reach this member, with `directory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<HostPort>,
    /// How the store is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsSection>,
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
        !self.peers.is_empty() || self.directory.is_some() || self.role == Role::Hub
    }

    /// Calls `visit` with every path.
    pub fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        if let Some(nats) = &mut self.nats {
            nats.visit_paths(visit);
        }
    }

    /// Where the service connects over TCP.
    pub fn dialled(&self) -> impl Iterator<Item = HostPort> {
        let servers = self.directory.iter().flat_map(NatsServers::places);
        servers.cloned()
    }

    /// Whether names of hosts have to be looked up.
    pub fn has_names(&self) -> bool {
        let is_name = |place: &HostPort| place.host.parse::<IpAddr>().is_err();
        // Members that a store tells of may have any.
        self.directory.is_some() || self.peers.iter().any(|peer| is_name(&peer.address))
    }

    /// Looks for members that can't be.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), Complaint> {
        self.check_directory()?;
        let key = "cluster.peers";
        if self.role == Role::Leaf && !(1..=MOST_HUBS).contains(&self.peers.len()) {
            let expected = format!(
                "expected 1 to {MOST_HUBS} hubs that this leaf dials, found {}",
                self.peers.len()
            );
            return Complaint::about(key, expected);
        }
        for (at, peer) in self.peers.iter().enumerate() {
            if peer.name == self.name {
                let expected = format!(
                    "expected the other members, found \"{}\", this server's own name",
                    peer.name
                );
                return Complaint::about(key, expected);
            }
            let twin = |other: &PeerTable| other.name == peer.name || other.address == peer.address;
            if self.peers[..at].iter().any(twin) {
                let expected = format!(
                    "expected each member once, found \"{}\" at {} again",
                    peer.name, peer.address
                );
                return Complaint::about(key, expected);
            }
            peer.server().map_err(|expected| Complaint { key, expected })?;
        }
        Ok(())
    }

    fn check_directory(&self) -> Result<(), Complaint> {
        match (&self.directory, &self.address, &self.nats) {
            (None, None, None) => Ok(()),
            (None, ..) => Complaint::about(
                "cluster.directory",
                "expected the NATS servers, as cluster.address and cluster.nats are for members that learn of each other there",
            ),
            (Some(_), ..) if self.role != Role::Member => Complaint::about(
                "cluster.role",
                "expected \"member\", which every server is that learns of the others by a directory",
            ),
            (Some(_), ..) if !self.peers.is_empty() => Complaint::about(
                "cluster.directory",
                "expected either the other members in cluster.peers or a directory that knows them",
            ),
            (Some(_), None, _) => Complaint::about(
                "cluster.address",
                "expected \"HOST:PORT\", where the other members reach this one",
            ),
            (Some(_), _, None) => Complaint::about(
                "cluster.nats",
                "expected [cluster.nats] with ca and credentials for the directory",
            ),
            (Some(_), Some(_), Some(nats)) => nats.check(),
        }
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
            directory: None,
            address: None,
            nats: None,
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

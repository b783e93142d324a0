//! What a member knows of itself at its start, and by that who else may be one.

use std::time::Duration;

use silentmon_proto::ids::{ClusterName, ServerName};
use silentmon_proto::peer::{Hello, OLDEST_VERSION, Role, VERSION};
use silentmon_proto::reason::{Code, Reason};

/// What a member needs to know at its start.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Its name.
    pub server: ServerName,
    /// The cluster's name.
    pub cluster: ClusterName,
    /// A random number of this run.
    pub run: u64,
    /// The port of the supervisors' door; 0 of a leaf without one.
    pub service_port: u16,
    /// Program and version.
    pub software: String,
    /// What this server is to the others.
    pub role: Role,
    /// The other members, as configured; of a leaf, the hubs.
    pub peers: Vec<ServerName>,
    /// Whether CTI sources are configured.
    pub has_cti: bool,
    /// Between two heartbeats (requirements section 3: 5 s).
    pub heartbeat: Duration,
    /// Heartbeats that may stay unanswered (requirements section 3: 3).
    pub retries: u32,
    /// Where other members reach this one, `HOST:PORT`, where they learn of each other by a store: what a connection is
    /// for is sound then.
    pub store: Option<String>,
}

impl ClusterSettings {
    /// Who this member is.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            oldest: OLDEST_VERSION,
            cluster: self.cluster.clone(),
            server: self.server.clone(),
            run: self.run,
            service_port: self.service_port,
            software: self.software.clone(),
            role: self.role,
        }
    }

    /// Whether a server may be a member of the mesh, or a leaf of this hub.
    pub(super) fn admit(&self, certificate: &ServerName, hello: &Hello) -> Result<(), Reason> {
        self.objections(certificate, hello)
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }

    /// Everything that keeps a server from being a member, what matters most first.
    pub fn objections(&self, certificate: &ServerName, hello: &Hello) -> Vec<Reason> {
        let mut objections = self.foreign(certificate, hello);
        objections.extend(self.unlisted(hello));
        objections.extend(self.unequal(hello));
        objections
    }

    /// Whether a server isn't who it says, or of another cluster.
    fn foreign(&self, certificate: &ServerName, hello: &Hello) -> Vec<Reason> {
        let mut objections = Vec::new();
        if hello.server != *certificate || hello.server == self.server {
            let text = format!(
                "A server says that its name is {}; its certificate says {certificate}, and this server is {}.",
                hello.server, self.server
            );
            objections.push(Reason::new(Code::CertificateRefused, text));
        }
        if hello.cluster != self.cluster {
            let text = format!(
                "{} is of cluster {}, {} of {}.",
                hello.server, hello.cluster, self.server, self.cluster
            );
            objections.push(Reason::new(Code::ForeignMember, text));
        }
        objections
    }

    /// Whether a server isn't among those configured, nor a leaf of this hub. A store knows others.
    fn unlisted(&self, hello: &Hello) -> Option<Reason> {
        if self.store.is_some() {
            return None;
        }
        let text = match (self.role, hello.role) {
            (Role::Hub, Role::Leaf) if !self.peers.contains(&hello.server) => return None,
            (Role::Hub, Role::Leaf) => format!(
                "{} says that it is a leaf, and is among the peers of {}: a hub lists other hubs alone.",
                hello.server, self.server
            ),
            (Role::Leaf, Role::Member | Role::Leaf) | (Role::Member, Role::Leaf) => format!(
                "Leaves dial hubs: {} is a {:?}, {} a {:?}.",
                hello.server, hello.role, self.server, self.role
            ),
            (Role::Leaf, Role::Hub) | (Role::Member | Role::Hub, Role::Member | Role::Hub) => {
                if self.peers.contains(&hello.server) {
                    return None;
                }
                format!("{} is not among the peers of {}.", hello.server, self.server)
            }
        };
        Some(Reason::new(Code::ForeignMember, text))
    }

    /// Whether a server doesn't speak as this one does, or listens elsewhere.
    fn unequal(&self, hello: &Hello) -> Vec<Reason> {
        let mut objections = Vec::new();
        if hello.version < OLDEST_VERSION || hello.oldest > VERSION {
            let text = format!(
                "{} speaks versions {} to {} of the peers' messages, {} speaks {OLDEST_VERSION} to {VERSION}.",
                hello.server, hello.oldest, hello.version, self.server
            );
            objections.push(Reason::new(Code::ForeignMember, text));
        }
        let doorless = |role: Role, port: u16| role == Role::Leaf && port == 0;
        let none = doorless(self.role, self.service_port) || doorless(hello.role, hello.service_port);
        if hello.service_port != self.service_port && !none {
            let text = format!(
                "{} listens on {}, {} on {}: all members must use one service port.",
                hello.server, hello.service_port, self.server, self.service_port
            );
            objections.push(Reason::new(Code::ServicePortMismatch, text));
        }
        objections
    }
}

//! Who asks: his name, in which role, from where, and how he proved it.

use std::fmt;
use std::net::IpAddr;

use crate::ids::SupervisorName;
use serde::{Deserialize, Serialize};

/// Somebody who proved who he is. The means is part of it: what one proved by a password is not taken up with another's
/// certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// His name.
    pub name: SupervisorName,
    /// What he may be.
    pub role: Role,
    /// The address he asks from.
    pub from: IpAddr,
    /// How he proved it.
    pub means: Means,
}

/// What somebody who asks may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Hears the agents of his own teams.
    Supervisor,
    /// Hears the teams that policy names for quality management.
    Quality,
    /// Sees how things stand; hears nobody unless policy says so.
    Administrator,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Quality => "quality",
            Self::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a principal proved who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// By the key of his certificate.
    Certificate,
    /// By a password.
    Password,
    /// By an ID token of the house's identity provider (OpenID Connect).
    Oidc,
}

impl Principal {
    /// Whether both are the same person, in the same role and by the same means; where from doesn't matter.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.role == other.role && self.means == other.means
    }
}

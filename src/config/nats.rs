//! `[cluster] directory` and `[cluster.nats]`: the store by which members learn of each other.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Complaint;
use super::values::HostPort;
use crate::secret::Secret;

/// What stands before each server.
const SCHEME: &str = "nats://";
/// The port of NATS servers, where none is named.
const PORT: u16 = 4222;

/// `nats://HOST[:PORT]`, several with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServers(Vec<HostPort>);

impl NatsServers {
    /// Where they answer.
    pub fn places(&self) -> &[HostPort] {
        &self.0
    }

    /// Each as an address of its own.
    pub fn addresses(&self) -> Vec<String> {
        self.0.iter().map(|place| format!("{SCHEME}{place}")).collect()
    }
}

impl FromStr for NatsServers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = |server: &str| {
            let place = server.trim().strip_prefix(SCHEME)?;
            let with_port = || format!("{place}:{PORT}").parse().ok();
            place.parse().ok().or_else(with_port)
        };
        let places: Option<Vec<HostPort>> = text.split(',').map(place).collect();
        places.map(Self).ok_or_else(|| {
            format!("expected \"nats://HOST[:PORT]\", several with commas between them, found \"{text}\"")
        })
    }
}

impl fmt::Display for NatsServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addresses().join(","))
    }
}

impl Serialize for NatsServers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NatsServers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// `[cluster.nats]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsSection {
    /// Certificates of the authorities that may have issued the servers' (PEM).
    pub ca: PathBuf,
    /// On how many servers the bucket is kept, where this member makes it.
    #[serde(default = "three")]
    pub replicas: u8,
    /// The members' user, with a password.
    pub user: Option<String>,
    /// His password.
    pub password: Option<Secret>,
    /// A file with it.
    pub password_file: Option<PathBuf>,
    /// A file with the seed of an nkey.
    pub nkey_file: Option<PathBuf>,
    /// A credentials file: a JWT and the seed that belongs to it.
    pub credentials_file: Option<PathBuf>,
}

const fn three() -> u8 {
    3
}

impl NatsSection {
    /// Calls `visit` with every path.
    pub fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        visit(&mut self.ca);
        let files = [&mut self.password_file, &mut self.nkey_file, &mut self.credentials_file];
        files.into_iter().flatten().for_each(visit);
    }

    /// Looks for credentials that can't be.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self) -> Result<(), Complaint> {
        let ways = [
            self.user.is_some(),
            self.nkey_file.is_some(),
            self.credentials_file.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Complaint::about(
                "cluster.nats.user",
                "expected one of user (with its password), nkey_file and credentials_file",
            );
        }
        let passwords = usize::from(self.password.is_some()) + usize::from(self.password_file.is_some());
        if passwords != usize::from(self.user.is_some()) {
            return Complaint::about(
                "cluster.nats.password",
                "expected either password or password_file with a user, and none without",
            );
        }
        if !(1..=5).contains(&self.replicas) {
            return Complaint::about("cluster.nats.replicas", "expected 1 to 5 servers");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_and_without_ports() {
        let servers: NatsServers = "nats://n1, nats://[::1]:4333".parse().expect("servers");
        assert_eq!(servers.to_string(), "nats://n1:4222,nats://[::1]:4333");
        for wrong in ["", "n1:4222", "nats://", "nats://n1,", "tls://n1"] {
            let said = wrong.parse::<NatsServers>().expect_err("no servers");
            assert!(said.contains("expected \"nats://HOST[:PORT]\""), "{said}");
        }
    }

    #[test]
    fn credentials_are_of_one_kind() {
        let section = |text: &str| toml::from_str::<NatsSection>(&format!("ca = \"ca.pem\"\n{text}")).expect("reads");
        for fine in [
            "user = \"a\"\npassword_file = \"p\"",
            "nkey_file = \"n\"",
            "credentials_file = \"c\"",
        ] {
            assert!(section(fine).check().is_ok(), "{fine}");
        }
        for wrong in [
            "",
            "user = \"a\"",
            "user = \"a\"\npassword = \"p\"\npassword_file = \"p\"",
            "nkey_file = \"n\"\npassword = \"p\"",
            "user = \"a\"\npassword = \"p\"\nnkey_file = \"n\"",
            "nkey_file = \"n\"\nreplicas = 0",
        ] {
            assert!(section(wrong).check().is_err(), "{wrong}");
        }
    }
}

//! `[oidc]`: people who sign in where the house's identity provider vouches for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silentmon_capture_core::policy::Role;

use super::Complaint;
use super::values::{HostPort, Seconds};

/// Longest time that one ID token may be good for.
const MOST_LASTING: Duration = Duration::from_secs(12 * 3600);

/// `[oidc]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSection {
    /// The issuer as its tokens name it, `https://HOST[:PORT][/PATH]`.
    pub issuer: String,
    /// The name under which the issuer knows this service: its tokens have to be for it.
    pub client_id: String,
    /// The authority of the issuer's HTTPS certificate, or that certificate itself: its keys are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Its keys (JWKS), where it can't be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// The claim that holds the supervisor's name.
    #[serde(default = "default_name_claim")]
    pub name_claim: String,
    /// The claim that says what he may be: a text or a list of them, with dots where it stands inside another.
    #[serde(default = "default_role_claim")]
    pub role_claim: String,
    /// What that claim's values mean here. Who has none of them isn't let in.
    pub roles: BTreeMap<String, Role>,
    /// How long a sign-in is good; then the issuer has to vouch again.
    #[serde(default = "default_lasting")]
    pub longest_s: Seconds,
}

fn default_name_claim() -> String {
    "preferred_username".to_owned()
}

fn default_role_claim() -> String {
    "roles".to_owned()
}

const fn default_lasting() -> Seconds {
    Seconds(Duration::from_secs(3600))
}

impl OidcSection {
    /// Where it is dialled, if it is.
    pub fn dialled(&self) -> Option<HostPort> {
        self.ca.as_ref().and_then(|_| HostPort::of_https(&self.issuer))
    }

    pub(super) fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        self.ca.iter_mut().for_each(&mut *visit);
        self.keys_file.iter_mut().for_each(visit);
    }

    pub(super) fn check(&self) -> Result<(), Complaint> {
        if !self.issuer.starts_with("https://") || HostPort::of_https(&self.issuer).is_none() {
            return Complaint::about("oidc.issuer", "expected \"https://HOST[:PORT][/PATH]\"");
        }
        if self.ca.is_some() == self.keys_file.is_some() {
            return Complaint::about(
                "oidc.ca",
                "expected either `ca`, the authority of the issuer's certificate, or `keys_file`, a file with its keys",
            );
        }
        if self.client_id.is_empty() {
            return Complaint::about(
                "oidc.client_id",
                "expected the name under which the issuer knows this service",
            );
        }
        if self.roles.is_empty() {
            return Complaint::about(
                "oidc.roles",
                "expected at least one value of the role claim and what it means",
            );
        }
        let Seconds(lasting) = self.longest_s;
        if lasting.is_zero() || lasting > MOST_LASTING {
            return Complaint::about("oidc.longest_s", "expected 1 to 43200 seconds");
        }
        Ok(())
    }
}

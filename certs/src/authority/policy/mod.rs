//! What an authority may sign: `policy.toml` in its folder, which holds for every certificate, whoever asks for it.
//!
//! A rule that isn't there restricts nothing; only authorities below must be allowed, because no other rule binds those.
//! Without the file all is signed that the operator grants.

mod pattern;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
    SubjectPublicKeyInfo,
};
use serde::{Deserialize, Serialize};

pub use self::pattern::{BadHostPattern, HostPattern, NamePattern};
use super::SignOptions;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::request::SubjectHost;
use crate::role::{Role, SubjectName};

const FILE: &str = "policy.toml";

/// The rules of `policy.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuingPolicy {
    /// Roles that it may give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Role>>,
    /// Names that holders may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<NamePattern>>,
    /// Hosts that may stand in a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostPattern>>,
    /// Most days for which a holder's certificate is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_days: Option<u32>,
    /// Kinds of keys that get a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<KeyKind>>,
    /// Whether there may be authorities below.
    #[serde(default)]
    pub intermediates: bool,
    #[serde(skip)]
    path: PathBuf,
}

/// What a certificate's public key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// ECDSA over P-256.
    EcdsaP256,
    /// ECDSA over P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits and more.
    Rsa,
}

impl KeyKind {
    fn of(key: &SubjectPublicKeyInfo) -> Self {
        let kinds: [(&SignatureAlgorithm, Self); 3] = [
            (&PKCS_ECDSA_P256_SHA256, Self::EcdsaP256),
            (&PKCS_ECDSA_P384_SHA384, Self::EcdsaP384),
            (&PKCS_ED25519, Self::Ed25519),
        ];
        let known = kinds.into_iter().find(|(algorithm, _)| *algorithm == key.algorithm());
        known.map_or(Self::Rsa, |(_, kind)| kind)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }
}

impl Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl IssuingPolicy {
    /// The policy of the authority in `directory`; `None` where it has none.
    ///
    /// # Errors
    /// Where the file can't be read, every user of the machine may change it, or it isn't a policy.
    pub fn load(directory: &Path) -> Result<Option<Self>, CertsError> {
        let path = directory.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        files::check_unchangeable(&path)?;
        Self::read(&path).map(Some)
    }

    /// Reads a policy and puts it into force for the authority in `directory`, in the place of the one before.
    ///
    /// # Errors
    /// Where it isn't a policy, there is no authority, or the file can't be written.
    pub fn adopt(directory: &Path, source: &Path) -> Result<Self, CertsError> {
        Self::read(source)?;
        let text = files::read(source)?;
        // Comments say why a rule is there: they come along.
        files::require_authority(directory)?;
        let _turn = files::lock(directory)?;
        let path = directory.join(FILE);
        files::write(&path, &text, Readers::All, Existing::Replaced)?;
        Self::read(&path)
    }

    /// Reads a policy that isn't in force yet.
    ///
    /// # Errors
    /// Where the file can't be read, or isn't a policy.
    pub fn read(path: &Path) -> Result<Self, CertsError> {
        let bytes = files::read(path)?;
        let wrong = |found: String| CertsError::Content {
            path: path.to_owned(),
            expected: "the policy of an authority",
            found: format!("found something else: {found}"),
        };
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
        let mut policy: Self = toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        if let Some(days) = policy.longest_days
            && !(1..=36_500).contains(&days)
        {
            return Err(wrong(format!("longest_days = {days}, expected 1 to 36500")));
        }
        path.clone_into(&mut policy.path);
        Ok(policy)
    }

    /// For how many days a certificate is good that `from` asks for: the usual time where nothing is said.
    pub(crate) fn days(&self, from: &str, asked: Option<u32>) -> Result<u32, CertsError> {
        let longest = self.longest_days.unwrap_or(u32::MAX);
        match asked {
            None => Ok(longest.min(SignOptions::DEFAULT_DAYS)),
            Some(days) if days <= longest => Ok(days),
            Some(days) => Err(self.refusal(from, format!("{days} days"), "longest_days", longest.to_string())),
        }
    }

    /// Checks what a holder is to be.
    pub(crate) fn check_holder(
        &self,
        from: &str,
        role: Role,
        name: &SubjectName,
        hosts: &[SubjectHost],
    ) -> Result<(), CertsError> {
        if let Some(roles) = &self.roles
            && !roles.contains(&role)
        {
            return Err(self.refusal(from, format!("role {role}"), "roles", list(roles)));
        }
        if let Some(names) = &self.names
            && !names.iter().any(|pattern| pattern.covers(name))
        {
            return Err(self.refusal(from, format!("the name {name}"), "names", list(names)));
        }
        if let Some(allowed) = &self.hosts
            && let Some(host) = hosts
                .iter()
                .find(|host| !allowed.iter().any(|pattern| pattern.covers(host)))
        {
            return Err(self.refusal(from, format!("the host {host}"), "hosts", list(allowed)));
        }
        Ok(())
    }

    /// Checks for what kind of key a certificate is to be.
    pub(crate) fn check_key(&self, from: &str, key: &SubjectPublicKeyInfo) -> Result<(), CertsError> {
        let kind = KeyKind::of(key);
        match &self.keys {
            Some(kinds) if !kinds.contains(&kind) => Err(self.refusal(
                from,
                format!("a certificate for a key of kind {kind}"),
                "keys",
                list(kinds),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks whether there may be an authority below.
    pub(crate) fn check_intermediate(&self, from: &str) -> Result<(), CertsError> {
        if self.intermediates {
            return Ok(());
        }
        Err(self.refusal(
            from,
            "the rights of an authority".to_owned(),
            "intermediates",
            String::new(),
        ))
    }

    fn refusal(&self, from: &str, asked: String, rule: &'static str, allowed: String) -> CertsError {
        CertsError::Forbidden {
            from: from.to_owned(),
            asked,
            rule,
            policy: self.path.clone(),
            allowed: if allowed.is_empty() { "none".to_owned() } else { allowed },
        }
    }
}

fn list<T: Display>(allowed: &[T]) -> String {
    let words: Vec<_> = allowed.iter().map(ToString::to_string).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<IssuingPolicy, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("draft.toml");
        std::fs::write(&path, text).expect("written");
        IssuingPolicy::read(&path).map_err(|error| error.to_string())
    }

    fn name(text: &str) -> SubjectName {
        SubjectName::new(text).expect("a name")
    }

    fn hosts(texts: &[&str]) -> Vec<SubjectHost> {
        texts.iter().map(|text| text.parse().expect("a host")).collect()
    }

    #[test]
    fn a_rule_that_is_not_there_restricts_nothing_but_authorities_below() {
        let policy = policy("").expect("a policy");
        assert!(
            policy
                .check_holder("x", Role::Admin, &name("root"), &hosts(&["gw1.example"]))
                .is_ok()
        );
        assert_eq!(policy.days("x", Some(3000)).ok(), Some(3000));
        assert!(policy.check_intermediate("x").is_err());
    }

    #[test]
    fn each_rule_names_itself_and_what_it_allows() {
        let text = "roles = [\"capture\"]\nnames = [\"gw-*\"]\nhosts = [\"*.calls.example\", \"10.20.0.0/16\"]\nlongest_days = 90";
        let policy = policy(text).expect("a policy");
        let said = |role, who: &str, where_: &[&str]| {
            let checked = policy.check_holder("the request", role, &name(who), &hosts(where_));
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(said(Role::Capture, "gw-1", &["gw1.calls.example", "10.20.3.4"]), Ok(()));
        for (outcome, words) in [
            (
                said(Role::Admin, "gw-1", &[]),
                ["asks for role admin", "`roles`", "allows capture"],
            ),
            (
                said(Role::Capture, "root", &[]),
                ["asks for the name root", "`names`", "allows gw-*"],
            ),
            (
                said(Role::Capture, "gw-1", &["10.20.3.4", "10.21.0.1"]),
                ["the host 10.21.0.1", "`hosts`", "allows *.calls.example, 10.20.0.0/16"],
            ),
            (
                policy
                    .days("the request", Some(91))
                    .map(drop)
                    .map_err(|error| error.to_string()),
                ["asks for 91 days", "`longest_days`", "allows 90"],
            ),
        ] {
            let sentence = outcome.expect_err("refused");
            assert!(
                words.iter().all(|word| sentence.contains(word)),
                "{words:?}: {sentence}"
            );
        }
        assert_eq!(policy.days("x", None).ok(), Some(90), "as many as may be");
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let policy = policy("hosts = []").expect("a policy");
        let error = policy.check_holder("x", Role::Capture, &name("gw"), &hosts(&["a"]));
        assert!(error.expect_err("refused").to_string().contains("allows none"));
        assert!(policy.check_holder("x", Role::Admin, &name("root"), &[]).is_ok());
    }

    #[test]
    fn what_is_no_policy_is_said_where_it_stands() {
        for (text, words) in [
            ("role = [\"admin\"]", "role"),
            ("roles = [\"boss\"]", "boss"),
            ("hosts = [\"10.20.0.1/16\"]", "10.20.0.1/16"),
            ("longest_days = 0", "longest_days = 0"),
            ("keys = [\"dsa\"]", "dsa"),
        ] {
            let error = policy(text).expect_err("refused");
            assert!(error.contains("draft.toml") && error.contains(words), "{text}: {error}");
        }
    }
}

//! The authority's list of tokens, `tokens.json`: for whom, until when, whether used. Secrets aren't in it.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::token::{ID, SECRET, Token};
use crate::authority::IssuingPolicy;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::identity::Fingerprint;
use crate::pem::{Sections, encode};
use crate::request::{SubjectHost, distinguished_name};
use crate::role::{Role, SubjectName};

/// What asks, in the words of a refusal.
const FROM: &str = "the token";
/// Failed tries until a token is void (requirements section 3).
const MOST_FAILURES: u32 = 3;
/// Tokens that are over are kept so long, so that it can be seen what became of them.
const KEPT: Duration = Duration::days(90);

/// Who is to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The role he gets.
    pub role: Role,
    /// The name he gets.
    pub name: SubjectName,
    /// The hosts he is dialled by.
    pub hosts: Vec<SubjectHost>,
    /// Days for which his certificate is good; the usual time, where nothing is said.
    pub days: Option<u32>,
}

impl Invitation {
    /// Refuses at once what the authority's policy wouldn't have signed later.
    fn within(mut self, policy: Option<&IssuingPolicy>) -> Result<Self, CertsError> {
        if let Some(policy) = policy {
            policy.check_holder(FROM, self.role, &self.name, &self.hosts)?;
            self.days = Some(policy.days(FROM, self.days)?);
        }
        Ok(self)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    id: [u8; ID],
    hash: [u8; 32],
    invitation: Invitation,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    failures: u32,
    #[serde(with = "time::serde::rfc3339::option")]
    used: Option<OffsetDateTime>,
}

impl Entry {
    fn is_open(&self, now: OffsetDateTime) -> bool {
        self.used.is_none() && self.failures < MOST_FAILURES && now < self.until
    }
}

/// Why a token isn't good; whoever shows an unknown one learns nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("this token isn't known here")]
    Unknown,
    #[error("this token was used already")]
    Used,
    #[error("this token is over; a new one is needed")]
    Over,
    #[error("this token is void after {MOST_FAILURES} failed tries; a new one is needed")]
    Void,
}

/// Makes a token for somebody, good for so long.
///
/// # Errors
/// Where the authority's directory can't be read or written, or its policy allows no such certificate.
pub fn invite(directory: &Path, invitation: Invitation, valid: std::time::Duration) -> Result<Token, CertsError> {
    files::require_authority(directory)?;
    let invitation = invitation.within(IssuingPolicy::load(directory)?.as_ref())?;
    let pin = ServiceIdentity::open_or_make(directory)?.fingerprint();
    let random = |bytes: &mut [u8]| {
        getrandom::fill(bytes).map_err(|error| CertsError::crypto("drawing random numbers")(error.to_string()))
    };
    let (mut id, mut secret) = ([0; ID], Zeroizing::new([0; SECRET]));
    random(&mut id)?;
    random(&mut secret[..])?;
    let now = OffsetDateTime::now_utc();
    let entry = Entry {
        id,
        hash: Token::hash(&secret[..]),
        invitation,
        until: now.saturating_add(valid.try_into().unwrap_or(Duration::MAX)),
        failures: 0,
        used: None,
    };
    Ledger::at(directory).change(|entries| {
        entries.retain(|entry| now - entry.until < KEPT);
        entries.push(entry);
    })?;
    Ok(Token { id, secret, pin })
}

/// The list on disk. Each change is made under the directory's lock.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    directory: PathBuf,
}

impl Ledger {
    pub(super) fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Whom a token is for. A wrong secret counts.
    pub(super) fn check(&self, id: &[u8], secret: &[u8]) -> Result<Result<Invitation, Refusal>, CertsError> {
        if !self.read()?.iter().any(|entry| entry.id == id) {
            return Ok(Err(Refusal::Unknown));
        }
        let now = OffsetDateTime::now_utc();
        self.change(|entries| {
            let entry = entry_of(entries, id)?;
            if entry.failures >= MOST_FAILURES {
                return Err(Refusal::Void);
            }
            if !bool::from(entry.hash.ct_eq(&Token::hash(secret))) {
                entry.failures += 1;
                return Err(Refusal::Unknown);
            }
            match entry {
                Entry { used: Some(_), .. } => Err(Refusal::Used),
                entry if entry.until <= now => Err(Refusal::Over),
                entry => Ok(entry.invitation.clone()),
            }
        })
    }

    /// Takes a token for used, before anything is signed for it: a crash uses it up.
    pub(super) fn take(&self, id: &[u8]) -> Result<Result<(), Refusal>, CertsError> {
        let now = OffsetDateTime::now_utc();
        self.change(|entries| {
            let entry = entry_of(entries, id)?;
            if !entry.is_open(now) {
                return Err(Refusal::Used);
            }
            entry.used = Some(now);
            Ok(())
        })
    }

    /// Gives a token back for which nothing was signed; the try counts.
    pub(super) fn give_back(&self, id: &[u8]) -> Result<(), CertsError> {
        self.change(|entries| {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) {
                entry.used = None;
                entry.failures += 1;
            }
        })
    }

    /// How many tokens wait to be used.
    pub(super) fn open(&self) -> Result<usize, CertsError> {
        let now = OffsetDateTime::now_utc();
        Ok(self.read()?.iter().filter(|entry| entry.is_open(now)).count())
    }

    fn path(&self) -> PathBuf {
        self.directory.join("tokens.json")
    }

    fn read(&self) -> Result<Vec<Entry>, CertsError> {
        let path = self.path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        files::check_secret(&path)?;
        serde_json::from_slice(&files::read(&path)?).map_err(|error| CertsError::Content {
            path,
            expected: "the list of tokens",
            found: format!("found something else ({error})"),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> Result<T, CertsError> {
        let _turn = files::lock(&self.directory)?;
        let mut entries = self.read()?;
        let outcome = change(&mut entries);
        let failed = |error: serde_json::Error| CertsError::crypto("writing the list of tokens")(error.to_string());
        let text = serde_json::to_vec_pretty(&entries).map_err(failed)?;
        files::write(&self.path(), &text, Readers::Owner, Existing::Replaced)?;
        Ok(outcome)
    }
}

fn entry_of<'a>(entries: &'a mut [Entry], id: &[u8]) -> Result<&'a mut Entry, Refusal> {
    let entry = entries.iter_mut().find(|entry| entry.id == id);
    entry.ok_or(Refusal::Unknown)
}

/// Certificate and key of the enrolment service, `enrolment.pem` and `enrolment.key`. Nobody vouches for it but the
/// tokens that name it.
pub(super) struct ServiceIdentity {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: rustls::pki_types::PrivateKeyDer<'static>,
}

impl ServiceIdentity {
    pub(super) fn open_or_make(directory: &Path) -> Result<Self, CertsError> {
        let (certificate, key) = (directory.join("enrolment.pem"), directory.join("enrolment.key"));
        let _turn = files::lock(directory)?;
        if !certificate.exists() {
            make(&certificate, &key)?;
        }
        files::check_secret(&key)?;
        let damaged = |path: &Path| CertsError::Content {
            path: path.to_owned(),
            expected: "what the enrolment service made",
            found: "found something else".to_owned(),
        };
        let found = Sections::read(&certificate)?.certificates.pop();
        let section = Sections::read(&key)?.keys.pop();
        Ok(Self {
            certificate: found.ok_or_else(|| damaged(&certificate))?,
            key: section.ok_or_else(|| damaged(&key))?.open(&key, None)?,
        })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }
}

fn make(certificate_path: &Path, key_path: &Path) -> Result<(), CertsError> {
    let crypto = |error: rcgen::Error| CertsError::crypto("making the enrolment service's key")(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&SubjectName::new("silentmon enrolment")?);
    let certificate = params.self_signed(&key).map_err(crypto)?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    files::write(key_path, key_pem.as_bytes(), Readers::Owner, Existing::Replaced)?;
    let text = encode("CERTIFICATE", certificate.der())?;
    files::write(certificate_path, text.as_bytes(), Readers::All, Existing::Kept)
}

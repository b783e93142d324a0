//! Our own certificate chain and private key, from one file in any order or from `NAME.pem` with `NAME.key` beside it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use crate::Password;
use crate::error::CertsError;
use crate::expiry::Expiry;
use crate::files;
use crate::identity::{Identity, peer_identity};
use crate::pem::{KeySection, Sections};
use crate::tls::provider;

/// Certificate chain and private key of this program.
#[derive(Debug, Clone)]
pub struct Credentials {
    certified: Arc<CertifiedKey>,
    identity: Identity,
    path: PathBuf,
    reset_secret: ResetSecret,
}

/// A secret that is the same each time the program starts with the same private key, from which nothing follows about
/// the key: what QUIC needs to say after a restart that it knows a connection no longer (RFC 9000 section 10.3.2).
#[derive(Clone)]
pub struct ResetSecret(Zeroizing<[u8; 32]>);

impl ResetSecret {
    fn of(key: &PrivateKeyDer<'_>) -> Self {
        let digest = Sha256::new_with_prefix("silentmon stateless reset\0").chain_update(key.secret_der());
        Self(Zeroizing::new(digest.finalize().into()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ResetSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetSecret")
    }
}

impl Credentials {
    /// Reads a PEM file with the chain and the key in any order. Where the file holds no key, it is taken from the
    /// file of the same name that ends in `.key`. `password` is needed where the key is encrypted.
    ///
    /// # Errors
    /// Where a file is missing, unreadable or open to other users, the key is missing, encrypted under another password
    /// or no certificate's, or the certificate carries no role.
    pub fn load(path: &Path, password: Option<&Password>) -> Result<Self, CertsError> {
        let (certificates, key) = read_parts(path, password)?;
        let reset_secret = ResetSecret::of(&key);
        let certified = assemble(path, &certificates, key)?;
        let identity = identity_in(path, &certified)?;
        Ok(Self {
            certified: Arc::new(certified),
            identity,
            path: path.to_owned(),
            reset_secret,
        })
    }

    /// Who the certificate says we are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificates that go over the wire: ours first, without the root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// Until when the certificate and those between it and its root are good.
    pub fn expiries(&self) -> Vec<Expiry> {
        let path = self.path.display();
        let own = Expiry {
            kind: "certificate",
            what: format!("the certificate in {path}"),
            end: self.identity.not_after,
        };
        let above = self.chain().iter().skip(1).filter_map(|certificate| {
            let (_, parsed) = X509Certificate::from_der(certificate.as_ref()).ok()?;
            Some(Expiry {
                kind: "chain",
                what: format!("the certificate of {} in {path}", parsed.subject()),
                end: parsed.validity().not_after.to_datetime(),
            })
        });
        std::iter::once(own).chain(above).collect()
    }

    /// What an operator should know about them at `now`, one sentence each: expired or soon to be, not yet valid.
    pub fn warnings(&self, now: OffsetDateTime) -> Vec<String> {
        let expiries = self.expiries();
        let mut warnings: Vec<_> = expiries.iter().filter_map(|expiry| expiry.warning(now)).collect();
        if now < self.identity.not_before {
            let (path, from) = (self.path.display(), self.identity.not_before.date());
            warnings.push(format!("the certificate in {path} is valid only from {from} on"));
        }
        warnings
    }

    pub(crate) const fn reset_secret(&self) -> &ResetSecret {
        &self.reset_secret
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// Chain and key of a file that another authority's tools made: no role is asked for.
///
/// # Errors
/// As [`Credentials::load`].
pub(crate) fn certified_key(path: &Path, password: Option<&Password>) -> Result<CertifiedKey, CertsError> {
    let (certificates, key) = read_parts(path, password)?;
    assemble(path, &certificates, key)
}

/// Whose certificate a file holds, and the key to it.
///
/// # Errors
/// As [`Credentials::load`].
pub(crate) fn holder_and_key(path: &Path) -> Result<(Identity, PrivateKeyDer<'static>), CertsError> {
    let (certificates, key) = read_parts(path, None)?;
    let certified = assemble(path, &certificates, key.clone_key())?;
    Ok((identity_in(path, &certified)?, key))
}

fn identity_in(path: &Path, certified: &CertifiedKey) -> Result<Identity, CertsError> {
    peer_identity(&certified.cert).map_err(|problem| {
        content(
            path,
            "a certificate with a silentmon role and name",
            problem.to_string(),
        )
    })
}

type Parts = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Certificates and key.
fn read_parts(path: &Path, password: Option<&Password>) -> Result<Parts, CertsError> {
    let mut sections = Sections::read(path)?;
    if sections.certificates.is_empty() {
        return Err(content(path, "a certificate", "found none"));
    }
    let (key_path, section) = match single_key(path, &mut sections)? {
        Some(section) => (path.to_owned(), section),
        None => key_beside(path)?,
    };
    files::check_secret(&key_path)?;
    let key = section.open(&key_path, password)?;
    Ok((sections.certificates, key))
}

fn assemble(
    path: &Path,
    certificates: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, CertsError> {
    let signing_key = provider().key_provider.load_private_key(key).map_err(|error| {
        content(
            path,
            "a private key that can sign",
            format!("found one that can't: {error}"),
        )
    })?;
    let public_key = signing_key.public_key();
    let leaf = certificates.iter().find(|certificate| {
        public_key
            .as_ref()
            .is_some_and(|key| public_key_of(certificate) == Some(key.as_ref()))
    });
    let Some(leaf) = leaf else {
        return Err(CertsError::KeyMismatch {
            path: path.to_owned(),
            certificates: certificates.len(),
        });
    };
    Ok(CertifiedKey::new(chain_from(leaf, certificates), signing_key))
}

fn content(path: &Path, expected: &'static str, found: impl Into<String>) -> CertsError {
    CertsError::Content {
        path: path.to_owned(),
        expected,
        found: found.into(),
    }
}

fn single_key(path: &Path, sections: &mut Sections) -> Result<Option<KeySection>, CertsError> {
    let key = sections.keys.pop();
    if sections.keys.is_empty() {
        Ok(key)
    } else {
        Err(content(
            path,
            "one private key",
            format!("found {}", sections.keys.len() + 1),
        ))
    }
}

fn key_beside(path: &Path) -> Result<(PathBuf, KeySection), CertsError> {
    let sibling = path.with_extension("key");
    let missing = || CertsError::KeyMissing {
        path: path.to_owned(),
        sibling: sibling.clone(),
    };
    if sibling == path || !sibling.exists() {
        return Err(missing());
    }
    let key = single_key(&sibling, &mut Sections::read(&sibling)?)?.ok_or_else(missing)?;
    Ok((sibling, key))
}

pub(crate) fn public_key_of<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    Some(parsed.tbs_certificate.subject_pki.raw)
}

/// Puts the chain in order, from the leaf to the last certificate that isn't self-issued: the other side has the root.
pub(crate) fn chain_from(
    leaf: &CertificateDer<'static>,
    certificates: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf.clone()];
    while let Some(issuer) = chain.last().and_then(issuer_name) {
        let next = certificates.iter().find(|candidate| {
            subject_name(candidate) == Some(issuer)
                && issuer_name(candidate) != Some(issuer)
                && !chain.contains(candidate)
        });
        let Some(next) = next.cloned() else { break };
        chain.push(next);
    }
    chain
}

fn issuer_name<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    Some(parsed.tbs_certificate.issuer.as_raw())
}

fn subject_name<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    Some(parsed.tbs_certificate.subject.as_raw())
}

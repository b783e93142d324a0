//! Certificates of silentmon: a certificate authority, requests, stores, and the TLS 1.3 configurations everything uses.
//!
//! A certificate says who its holder is by two URIs among its subject alternative names: `urn:silentmon:role:ROLE` and
//! `urn:silentmon:name:NAME` ([`Role`], [`SubjectName`]). Nothing here falls back to plain text, to an unchecked
//! certificate or to an older TLS; only telephony systems may be dialled with TLS 1.2.

mod authority;
mod credentials;
mod csr;
mod cti;
mod enrol;
mod error;
mod expiry;
mod files;
mod identity;
mod import;
mod inspect;
mod pem;
mod problem;
mod request;
mod revocation;
mod role;
mod tls;
mod trust;
mod verify;

pub use authority::{
    AuthorityOptions, BadHostPattern, CertificateAuthority, HostPattern, IntermediateOptions, Issued, IssuingPolicy,
    KeyAlgorithm, KeyKind, ListAbove, NamePattern, SignOptions,
};
pub use credentials::{Credentials, ResetSecret};
pub use csr::SigningRequest;
pub use cti::cti_client_tls;
pub use enrol::{BadToken, Enrolled, EnrolmentServer, Invitation, Occurrence, Token, enrol, invite};
pub use error::CertsError;
pub use expiry::{Expiry, Nearness};
pub use identity::{Fingerprint, Identity, Serial, chain_end, peer_identity};
pub use import::{Import, import};
pub use inspect::{CertificateSummary, Inspection, RequestSummary, inspect};
pub use problem::{CertificateProblem, PeerRefusal, TlsProblem};
pub use request::{RenewedKey, RequestOptions, SubjectHost, create_renewal, create_request};
pub use revocation::RevokedEntry;
pub use role::{BadSubjectName, Role, SubjectName, UnknownRole};
pub use tls::{ClientTls, ServerTls, Verdict};
pub use trust::Trust;

/// The password that protects a private key; wiped from memory when dropped.
#[derive(Clone)]
pub struct Password(zeroize::Zeroizing<String>);

impl Password {
    /// Fewest characters of a new password (requirements section 3).
    pub const MIN_CHARACTERS: usize = 8;
    /// Most characters of a password.
    pub const MAX_CHARACTERS: usize = 1023;

    /// Takes the password of an existing key; nothing is asked of its length.
    pub fn existing(text: impl Into<String>) -> Self {
        Self(zeroize::Zeroizing::new(text.into()))
    }

    /// Takes the password for a new key.
    ///
    /// # Errors
    /// [`CertsError::PasswordLength`] where it has fewer than 8 or more than 1023 characters.
    pub fn chosen(text: impl Into<String>) -> Result<Self, CertsError> {
        let password = Self::existing(text);
        let characters = password.0.chars().count();
        if (Self::MIN_CHARACTERS..=Self::MAX_CHARACTERS).contains(&characters) {
            Ok(password)
        } else {
            Err(CertsError::PasswordLength { characters })
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

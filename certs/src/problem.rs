//! Why a certificate was refused, ours or the other side's, each reason with its own sentence.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use thiserror::Error;
use time::{Date, OffsetDateTime};

use crate::role::Role;

/// Why a certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Its validity is over.
    #[error("its certificate expired on {not_after}")]
    Expired {
        /// Last day of its validity (UTC).
        not_after: Date,
    },
    /// Its validity hasn't begun; often a clock is wrong.
    #[error("its certificate is valid only from {not_before} on (is a clock wrong?)")]
    NotYetValid {
        /// First day of its validity (UTC).
        not_before: Date,
    },
    /// No trusted authority issued it.
    #[error("its certificate was issued by an authority that isn't trusted here")]
    UnknownAuthority,
    /// Its own key signed it, and no authority.
    #[error("its certificate is signed by itself; an authority that is trusted here has to sign it")]
    SelfSigned,
    /// A revocation list names the authority that issued it.
    #[error("the authority that issued its certificate has been revoked")]
    IssuerRevoked,
    /// The revocation list names it.
    #[error("its certificate has been revoked")]
    Revoked,
    /// A revocation list is configured, but none covers its issuer.
    #[error("no revocation list covers the issuer of its certificate")]
    RevocationUnknown,
    /// The revocation list is too old to be believed (RFC 5280 section 6.3.3).
    #[error("the revocation list was to be replaced by {next_update}; fetch the authority's current crl.pem")]
    RevocationListExpired {
        /// Day by which a new list was promised (UTC).
        next_update: Date,
    },
    /// Its role may not do this.
    #[error("its certificate has role {found}; {} needed here", roles(accepted))]
    WrongRole {
        /// The role it has.
        found: Role,
        /// The roles that may.
        accepted: Vec<Role>,
    },
    /// It has no silentmon role, or more than one.
    #[error("its certificate carries no single silentmon role and name: {0}")]
    NoRole(String),
    /// It belongs to another host.
    #[error("its certificate is for {}, not for {dialled}", hosts(presented))]
    WrongName {
        /// Host name or address that was dialled.
        dialled: String,
        /// Host names and addresses in the certificate.
        presented: Vec<String>,
    },
    /// Its key usages exclude this.
    #[error("its certificate may not be used for this end of a connection (extended key usage)")]
    WrongPurpose,
    /// It sent none.
    #[error("it sent no certificate")]
    Missing,
    /// It can't be understood, or a signature is wrong.
    #[error("its certificate can't be verified: {0}")]
    Unverifiable(String),
    /// The other side refused ours.
    #[error("it refused our certificate: {0}")]
    RefusedByPeer(PeerRefusal),
}

/// What the other side said about our certificate (TLS alert, RFC 8446 section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeerRefusal {
    /// certificate_expired (45).
    #[error("expired, or not yet valid")]
    Expired,
    /// certificate_revoked (44).
    #[error("revoked")]
    Revoked,
    /// unknown_ca (48).
    #[error("issued by an authority that isn't trusted there, or not covered by a current revocation list")]
    UnknownAuthority,
    /// access_denied (49).
    #[error("its role may not do this")]
    WrongRole,
    /// unsupported_certificate (43).
    #[error("its key usages exclude this end of a connection")]
    WrongPurpose,
    /// certificate_required (116).
    #[error("none was sent")]
    Missing,
    /// bad_certificate (42).
    #[error("it is damaged, or for another host")]
    Bad,
    /// certificate_unknown (46), decrypt_error (51).
    #[error("it can't be verified")]
    Unverifiable,
}

impl PeerRefusal {
    /// The meaning of a TLS alert; `None` where it isn't about certificates.
    pub const fn from_alert(alert: u8) -> Option<Self> {
        Some(match alert {
            42 => Self::Bad,
            43 => Self::WrongPurpose,
            44 => Self::Revoked,
            45 => Self::Expired,
            46 | 51 => Self::Unverifiable,
            48 => Self::UnknownAuthority,
            49 => Self::WrongRole,
            116 => Self::Missing,
            _ => return None,
        })
    }
}

impl CertificateProblem {
    /// One word for it, the same in every version: for labels and records.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::UnknownAuthority => "unknown_authority",
            Self::SelfSigned => "self_signed",
            Self::IssuerRevoked => "issuer_revoked",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::RevocationListExpired { .. } => "revocation_list_expired",
            Self::WrongRole { .. } => "wrong_role",
            Self::NoRole(_) => "no_role",
            Self::WrongName { .. } => "wrong_name",
            Self::WrongPurpose => "wrong_purpose",
            Self::Missing => "missing",
            Self::Unverifiable(_) => "unverifiable",
            Self::RefusedByPeer(_) => "refused_by_peer",
        }
    }

    /// The sentence, said to the certificate's holder.
    pub fn to_holder(&self) -> String {
        self.to_string().replacen("its certificate", "your certificate", 1)
    }

    /// What a TLS library's error says about the other side's certificate; `None` where it is about something else.
    pub(crate) fn from_tls(error: &TlsError) -> Option<Self> {
        match error {
            TlsError::NoCertificatesPresented => Some(Self::Missing),
            TlsError::InvalidCertRevocationList(_) => Some(Self::RevocationUnknown),
            TlsError::InvalidCertificate(error) => Some(Self::from_certificate_error(error)),
            _ => None,
        }
    }

    fn from_certificate_error(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::ExpiredContext { not_after, .. } => Self::Expired {
                not_after: date(*not_after),
            },
            E::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                not_before: date(*not_before),
            },
            // Two authorities may bear one name; then the signature tells them apart.
            E::UnknownIssuer | E::BadSignature => Self::UnknownAuthority,
            E::Revoked => Self::Revoked,
            E::UnknownRevocationStatus => Self::RevocationUnknown,
            E::ExpiredRevocationListContext { next_update, .. } => Self::RevocationListExpired {
                next_update: date(*next_update),
            },
            E::NotValidForNameContext { expected, presented } => Self::WrongName {
                dialled: expected.to_str().into_owned(),
                presented: presented.clone(),
            },
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::WrongPurpose,
            other => Self::Unverifiable(other.to_string()),
        }
    }
}

/// Why a TLS handshake over TCP failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// A certificate was refused, by us or by the other side.
    #[error("{0}")]
    Certificate(CertificateProblem),
    /// No version of TLS that both sides speak.
    #[error("it doesn't speak TLS 1.3, and nothing older is spoken here")]
    OldVersion,
    /// What came is no TLS.
    #[error("what it sent isn't TLS; plain text isn't answered")]
    NotTls,
    /// Something else went wrong.
    #[error("{0}")]
    Other(String),
}

impl TlsProblem {
    /// One word for it, as [`CertificateProblem::word`].
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Certificate(problem) => problem.word(),
            Self::OldVersion => "old_version",
            Self::NotTls => "not_tls",
            Self::Other(_) => "other",
        }
    }

    /// What the error of a TLS stream means, where our own check of the other side's certificate found nothing.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            return Self::Other(error.to_string());
        };
        if let Some(problem) = CertificateProblem::from_tls(tls) {
            return Self::Certificate(problem);
        }
        match tls {
            TlsError::PeerIncompatible(_) | TlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
                Self::OldVersion
            }
            TlsError::InvalidMessage(_) => Self::NotTls,
            TlsError::AlertReceived(alert) => match PeerRefusal::from_alert(u8::from(*alert)) {
                Some(refusal) => Self::Certificate(CertificateProblem::RefusedByPeer(refusal)),
                None => Self::Other(tls.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}

fn date(at: UnixTime) -> Date {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date)
}

fn roles(accepted: &[Role]) -> String {
    let names: Vec<_> = accepted.iter().map(|role| role.name()).collect();
    format!("role {} is", names.join(" or "))
}

fn hosts(presented: &[String]) -> String {
    if presented.is_empty() {
        "no host at all".to_owned()
    } else {
        presented.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_alert_and_sentence() {
        let refusals: Vec<_> = [42, 43, 44, 45, 46, 48, 49, 116]
            .into_iter()
            .filter_map(PeerRefusal::from_alert)
            .collect();
        let mut sentences: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        sentences.sort();
        sentences.dedup();
        assert_eq!(sentences.len(), 8);
        assert_eq!(PeerRefusal::from_alert(120), None);
    }
}

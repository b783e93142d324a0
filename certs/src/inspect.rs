//! What stands in a certificate file, for people: certificates of any kind, and requests.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use serde::Serialize;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::csr::SigningRequest;
use crate::error::CertsError;
use crate::expiry::Expiry;
use crate::identity::{Fingerprint, Serial, common_name, peer_identity};
use crate::pem::Sections;
use crate::role::{Role, SubjectName};

/// What a file holds, section by section.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Its certificates, in the file's order.
    pub certificates: Vec<CertificateSummary>,
    /// Its requests, in the file's order.
    pub requests: Vec<RequestSummary>,
    /// How many private keys it holds.
    pub private_keys: usize,
    /// How many revocation lists it holds.
    pub revocation_lists: usize,
}

/// A certificate, whether it has a silentmon role or not.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateSummary {
    /// Distinguished name of its holder.
    pub subject: String,
    /// Distinguished name of who issued it.
    pub issuer: String,
    /// Whether it may issue certificates.
    pub authority: bool,
    /// The silentmon role, if it has one.
    pub role: Option<Role>,
    /// The silentmon name, if it has one.
    pub name: Option<SubjectName>,
    /// The common name, where it could be a silentmon name.
    #[serde(skip)]
    pub common_name: Option<SubjectName>,
    /// Host names and addresses it is good for.
    pub hosts: Vec<String>,
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// Begin of its validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of its validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
}

impl CertificateSummary {
    /// The silentmon name, else the distinguished name.
    pub fn holder(&self) -> &str {
        self.name.as_ref().map_or(self.subject.as_str(), SubjectName::as_str)
    }

    /// Until when it is good.
    pub fn expiry(&self) -> Expiry {
        Expiry {
            kind: if self.authority { "authority" } else { "certificate" },
            what: format!("the certificate of {}", self.holder()),
            end: self.not_after,
        }
    }
}

/// A request whose signature is its own key's.
#[derive(Debug, Clone, Serialize)]
pub struct RequestSummary {
    /// The role it asks for.
    pub role: Option<Role>,
    /// The name it asks for.
    pub name: Option<SubjectName>,
    /// The hosts it asks for.
    pub hosts: Vec<String>,
    /// Whether it asks for the rights of an authority.
    pub authority: bool,
    /// What it asks for and won't get.
    pub ignored: Vec<String>,
}

/// Reads a PEM file.
///
/// # Errors
/// Where it can't be read, holds nothing of a certificate's kind, or a section is damaged.
pub fn inspect(path: &Path) -> Result<Inspection, CertsError> {
    let sections = Sections::read(path)?;
    let damaged = |found: String| CertsError::Content {
        path: path.to_owned(),
        expected: "certificates",
        found,
    };
    let certificates: Result<Vec<_>, _> = sections.certificates.iter().map(summarise).collect();
    let requests: Result<Vec<_>, _> = sections.requests.iter().map(|der| request(der)).collect();
    let inspection = Inspection {
        certificates: certificates.map_err(damaged)?,
        requests: requests.map_err(damaged)?,
        private_keys: sections.keys.len(),
        revocation_lists: sections.revocation_lists.len(),
    };
    let sum = inspection.certificates.len()
        + inspection.requests.len()
        + inspection.private_keys
        + inspection.revocation_lists;
    if sum == 0 {
        Err(damaged("found none, nor a request, key or revocation list".to_owned()))
    } else {
        Ok(inspection)
    }
}

pub(crate) fn summarise(der: &CertificateDer<'_>) -> Result<CertificateSummary, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| format!("found a damaged one ({error})"))?;
    let identity = peer_identity(std::slice::from_ref(der)).ok();
    Ok(CertificateSummary {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        authority: parsed.is_ca(),
        role: identity.as_ref().map(|identity| identity.role),
        name: identity.as_ref().map(|identity| identity.name.clone()),
        common_name: common_name(&parsed),
        hosts: identity.map(|identity| identity.hosts).unwrap_or_default(),
        serial: Serial::from_bytes(parsed.raw_serial()),
        fingerprint: Fingerprint::of(der),
        not_before: parsed.validity().not_before.to_datetime(),
        not_after: parsed.validity().not_after.to_datetime(),
    })
}

fn request(der: &[u8]) -> Result<RequestSummary, String> {
    let request = SigningRequest::parse(der)?;
    Ok(RequestSummary {
        role: request.role,
        name: request.name,
        hosts: request.hosts.iter().map(ToString::to_string).collect(),
        authority: request.authority,
        ignored: request.ignored,
    })
}

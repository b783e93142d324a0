//! Whom we believe: authorities, and the revocation lists that take single certificates back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::error::CertsError;
use crate::expiry::Expiry;
use crate::files;
use crate::identity::{Identity, Serial, issuer_and_serial};
use crate::pem::Sections;

/// Authorities and revocation lists.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    pub(crate) revoked: Revoked,
    expiries: Vec<Expiry>,
}

impl Trust {
    /// Reads the trusted authorities from a PEM file and, where there is one, the revocation lists from another.
    ///
    /// Where the file holds roots, only those are trusted: the authorities between them and a holder come with his chain,
    /// and can be taken back. Without a root the authorities in the file are trusted themselves.
    ///
    /// With a revocation list, every certificate whose issuer no list covers is refused, and so is everything once the
    /// list is older than it promised to become.
    ///
    /// # Errors
    /// Where a file is missing, unreadable, or without what belongs in it.
    pub fn load(authorities: &Path, revocations: Option<&Path>) -> Result<Self, CertsError> {
        let sections = files::check_unchangeable(authorities).and_then(|()| Sections::read(authorities))?;
        let content = |path: &Path, expected, found: String| CertsError::Content {
            path: path.to_owned(),
            expected,
            found,
        };
        let mut trust = Self {
            roots: Arc::new(RootCertStore::empty()),
            revocation_lists: Vec::new(),
            revoked: Revoked::default(),
            expiries: Vec::new(),
        };
        let wrong = |found: String| content(authorities, "certificates of authorities", found);
        let mut found = Vec::new();
        for certificate in sections.certificates {
            found.push((authority(&certificate).map_err(wrong)?, certificate));
        }
        let has_root = found.iter().any(|(authority, _)| authority.is_root);
        let mut roots = RootCertStore::empty();
        for (authority, certificate) in found {
            if has_root && !authority.is_root {
                continue;
            }
            trust.expiries.push(authority.expiry);
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(content(
                authorities,
                "a certificate of an authority",
                "found none".to_owned(),
            ));
        }
        trust.roots = Arc::new(roots);
        if let Some(path) = revocations {
            files::check_unchangeable(path)?;
            trust.take_revocations(Sections::read(path)?, path, content)?;
        }
        Ok(trust)
    }

    fn take_revocations(
        &mut self,
        sections: Sections,
        path: &Path,
        content: impl Fn(&Path, &'static str, String) -> CertsError,
    ) -> Result<(), CertsError> {
        if sections.revocation_lists.is_empty() {
            return Err(content(path, "a revocation list (X509 CRL)", "found none".to_owned()));
        }
        for list in sections.revocation_lists {
            let end = list_end(&list).map_err(|found| content(path, "revocation lists", found))?;
            self.expiries.extend(end);
            Arc::make_mut(&mut self.revoked.0).extend(entries(&list));
            self.revocation_lists.push(list);
        }
        Ok(())
    }

    /// Whether a revocation list names a certificate whose holder is already connected.
    pub fn is_revoked(&self, holder: &Identity) -> bool {
        self.revoked.0.contains(&(holder.issuer.clone(), holder.serial.clone()))
    }

    /// How many certificates the revocation lists name.
    pub fn revoked(&self) -> usize {
        self.revoked.0.len()
    }

    /// When the first of the revocation lists ends.
    pub(crate) fn lists_end(&self) -> Option<OffsetDateTime> {
        let lists = self.expiries.iter().filter(|expiry| expiry.kind == LIST);
        lists.map(|expiry| expiry.end).min()
    }

    /// Until when authorities and revocation lists are good.
    pub fn expiries(&self) -> &[Expiry] {
        &self.expiries
    }

    /// What an operator should know at `now`, one sentence each: authorities and lists that expired or soon will.
    pub fn warnings(&self, now: OffsetDateTime) -> Vec<String> {
        self.expiries.iter().filter_map(|expiry| expiry.warning(now)).collect()
    }
}

/// What the revocation lists name: issuer and serial number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revoked(Arc<HashSet<(String, Serial)>>);

impl Revoked {
    /// Whether they name this certificate.
    pub(crate) fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        issuer_and_serial(certificate).is_some_and(|key| self.0.contains(&key))
    }
}

const LIST: &str = "revocation_list";

struct Authority {
    expiry: Expiry,
    is_root: bool,
}

fn authority(certificate: &[u8]) -> Result<Authority, String> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| format!("found a damaged one ({error})"))?;
    if !parsed.is_ca() {
        return Err(format!("found {}, which is none", parsed.subject()));
    }
    let expiry = Expiry {
        kind: "authority",
        what: format!("the authority {}", parsed.subject()),
        end: parsed.validity().not_after.to_datetime(),
    };
    let is_root = parsed.subject() == parsed.issuer();
    Ok(Authority { expiry, is_root })
}

fn entries(list: &[u8]) -> Vec<(String, Serial)> {
    let Ok((_, parsed)) = CertificateRevocationList::from_der(list) else {
        return Vec::new();
    };
    let issuer = parsed.issuer().to_string();
    let entries = parsed.iter_revoked_certificates();
    entries
        .map(|entry| (issuer.clone(), Serial::from_bytes(entry.raw_serial())))
        .collect()
}

fn list_end(list: &[u8]) -> Result<Option<Expiry>, String> {
    let (_, parsed) =
        CertificateRevocationList::from_der(list).map_err(|error| format!("found a damaged one ({error})"))?;
    Ok(parsed.next_update().map(|end| Expiry {
        kind: LIST,
        what: format!("the revocation list of {}", parsed.issuer()),
        end: end.to_datetime(),
    }))
}

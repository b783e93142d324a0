//! Whom we believe: authorities, and the revocation lists that take single certificates back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::error::CertsError;
use crate::identity::{Identity, Serial};
use crate::pem::Sections;

/// Authorities and revocation lists.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    revoked: Arc<HashSet<(String, Serial)>>,
    authorities_end: Vec<(String, OffsetDateTime)>,
    lists_end: Vec<(String, OffsetDateTime)>,
}

impl Trust {
    /// Reads the trusted authorities from a PEM file and, where there is one, the revocation lists from another.
    ///
    /// With a revocation list, every certificate whose issuer no list covers is refused, and so is everything once the
    /// list is older than it promised to become.
    ///
    /// # Errors
    /// Where a file is missing, unreadable, or without what belongs in it.
    pub fn load(authorities: &Path, revocations: Option<&Path>) -> Result<Self, CertsError> {
        let sections = Sections::read(authorities)?;
        let content = |path: &Path, expected, found: String| CertsError::Content {
            path: path.to_owned(),
            expected,
            found,
        };
        let mut trust = Self {
            roots: Arc::new(RootCertStore::empty()),
            revocation_lists: Vec::new(),
            revoked: Arc::default(),
            authorities_end: Vec::new(),
            lists_end: Vec::new(),
        };
        let mut roots = RootCertStore::empty();
        for certificate in sections.certificates {
            trust.authorities_end.push(
                authority(&certificate).map_err(|found| content(authorities, "certificates of authorities", found))?,
            );
            roots
                .add(certificate)
                .map_err(|error| content(authorities, "certificates of authorities", error.to_string()))?;
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
            self.lists_end.extend(end);
            Arc::make_mut(&mut self.revoked).extend(entries(&list));
            self.revocation_lists.push(list);
        }
        Ok(())
    }

    /// Whether a revocation list names a certificate whose holder is already connected.
    pub fn is_revoked(&self, holder: &Identity) -> bool {
        self.revoked.contains(&(holder.issuer.clone(), holder.serial.clone()))
    }

    /// What an operator should know at `now`, one sentence each: authorities and lists that expired or soon will.
    pub fn warnings(&self, now: OffsetDateTime) -> Vec<String> {
        let authorities = self.authorities_end.iter().map(|(name, end)| ("authority", name, *end));
        let lists = self
            .lists_end
            .iter()
            .map(|(name, end)| ("revocation list of", name, *end));
        let ends = authorities
            .chain(lists)
            .filter(|(_, _, end)| *end - now < Duration::days(30));
        ends.map(|(what, name, end)| {
            let verb = if end < now { "expired" } else { "expires" };
            format!("the {what} {name} {verb} on {}", end.date())
        })
        .collect()
    }
}

fn authority(certificate: &[u8]) -> Result<(String, OffsetDateTime), String> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| format!("found a damaged one ({error})"))?;
    if !parsed.is_ca() {
        return Err(format!("found {}, which is none", parsed.subject()));
    }
    Ok((parsed.subject().to_string(), parsed.validity().not_after.to_datetime()))
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

fn list_end(list: &[u8]) -> Result<Option<(String, OffsetDateTime)>, String> {
    let (_, parsed) =
        CertificateRevocationList::from_der(list).map_err(|error| format!("found a damaged one ({error})"))?;
    Ok(parsed
        .next_update()
        .map(|end| (parsed.issuer().to_string(), end.to_datetime())))
}

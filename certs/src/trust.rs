//! Whom we believe: authorities, and the revocation lists that take single certificates back.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::num_bigint::BigUint;
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
    // Each connection takes a copy of what it is checked by, and lists may be long.
    pub(crate) revocation_lists: Arc<Vec<CertificateRevocationListDer<'static>>>,
    pub(crate) revoked: Revoked,
    expiries: Arc<Vec<Expiry>>,
}

impl Trust {
    /// Reads the trusted authorities from a PEM file and, where there is one, the revocation lists from another.
    ///
    /// Where the file holds roots, only those are trusted: the authorities between them and a holder come with his chain,
    /// and can be taken back. Without a root the authorities in the file are trusted themselves.
    ///
    /// With a revocation list, every certificate whose issuer no list covers is refused, and so is everything once the
    /// list is older than it promised to become. Of several lists of one authority the newest counts.
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
            revocation_lists: Arc::default(),
            revoked: Revoked::default(),
            expiries: Arc::default(),
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
            Arc::make_mut(&mut trust.expiries).push(authority.expiry);
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
        let wrong = |found: String| content(path, "revocation lists", found);
        let mut newest: BTreeMap<String, List> = BTreeMap::new();
        for der in sections.revocation_lists {
            let list = List::read(der).map_err(wrong)?;
            let known = newest.get(&list.issuer);
            if known.is_none_or(|known| known.made < list.made) {
                newest.insert(list.issuer.clone(), list);
            }
        }
        for list in newest.into_values() {
            Arc::make_mut(&mut self.expiries).extend(list.expiry);
            Arc::make_mut(&mut self.revoked.0).extend(list.entries);
            Arc::make_mut(&mut self.revocation_lists).push(list.der);
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

/// A revocation list, and what is asked of it.
pub(crate) struct List {
    pub(crate) der: CertificateRevocationListDer<'static>,
    pub(crate) issuer: String,
    /// Its date, and its number (RFC 5280 section 5.2.3) where two were made within a second.
    pub(crate) made: (OffsetDateTime, Option<BigUint>),
    pub(crate) expiry: Option<Expiry>,
    pub(crate) entries: Vec<(String, Serial)>,
}

impl List {
    pub(crate) fn read(der: CertificateRevocationListDer<'static>) -> Result<Self, String> {
        let (_, parsed) =
            CertificateRevocationList::from_der(&der).map_err(|error| format!("found a damaged one ({error})"))?;
        let issuer = parsed.issuer().to_string();
        let revoked = parsed.iter_revoked_certificates();
        let entries = revoked.map(|entry| (issuer.clone(), Serial::from_bytes(entry.raw_serial())));
        let expiry = parsed.next_update().map(|end| Expiry {
            kind: LIST,
            what: format!("the revocation list of {issuer}"),
            end: end.to_datetime(),
        });
        Ok(Self {
            made: (parsed.last_update().to_datetime(), parsed.crl_number().cloned()),
            entries: entries.collect(),
            expiry,
            issuer,
            der,
        })
    }
}

//! The revocation lists of the authorities above, `crl-above.pem`: taken when their signature, date and number are right,
//! and warned of before they end, for whoever checks this authority's certificates needs them, too.

use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use time::OffsetDateTime;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::below::parse;
use super::{CertificateAuthority, content};
use crate::error::CertsError;
use crate::expiry::Expiry;
use crate::files::{self, Existing, Readers};
use crate::identity::issuer_and_serial;
use crate::inspect::summarise;
use crate::pem::{Sections, encode};
use crate::trust::List;

const FILE: &str = "crl-above.pem";

/// Lists of authorities above that were just taken: whose, and until when each is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAbove {
    /// Distinguished name of the authority.
    pub issuer: String,
    /// When a new one is promised.
    pub until: Option<OffsetDateTime>,
}

/// The file.
pub(super) struct ListsAbove {
    path: PathBuf,
}

impl ListsAbove {
    pub(super) fn at(directory: &Path) -> Self {
        Self {
            path: directory.join(FILE),
        }
    }

    pub(super) fn replace(&self, lists: &str) -> Result<(), CertsError> {
        files::write(&self.path, lists.as_bytes(), Readers::All, Existing::Replaced)
    }

    /// What is in it.
    pub(super) fn load(&self) -> Result<Vec<List>, CertsError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let lists = Sections::read(&self.path)?.revocation_lists;
        lists.into_iter().map(|der| self.read(der)).collect()
    }

    fn read(&self, der: CertificateRevocationListDer<'static>) -> Result<List, CertsError> {
        List::read(der).map_err(|found| content(&self.path, "revocation lists", found))
    }

    /// What the file will hold, in PEM, with those of the lists in `source` that authorities of this chain signed, and that
    /// aren't older than what is there: an answer may have been under way for a while.
    pub(super) fn taken(
        &self,
        chain: &[CertificateDer<'static>],
        lists: Vec<CertificateRevocationListDer<'static>>,
        source: &Path,
    ) -> Result<String, CertsError> {
        let mut kept = self.load()?;
        let is_old = |der: &CertificateRevocationListDer<'static>| {
            let newer = |list: &List| {
                let mut known = kept.iter().filter(|known| known.issuer == list.issuer);
                known.any(|known| known.made > list.made)
            };
            List::read(der.clone()).is_ok_and(|list| newer(&list))
        };
        let lists = lists.into_iter().filter(|der| !is_old(der)).collect();
        self.take(&mut kept, chain, lists, source)?;
        kept.iter().map(|list| encode("X509 CRL", &list.der)).collect()
    }

    /// Puts newer lists in the place of older ones; those that were taken.
    fn take(
        &self,
        kept: &mut Vec<List>,
        chain: &[CertificateDer<'static>],
        lists: Vec<CertificateRevocationListDer<'static>>,
        source: &Path,
    ) -> Result<Vec<ListAbove>, CertsError> {
        let wrong = |found: String| content(source, "current revocation lists of the authorities above", found);
        let mut taken = Vec::new();
        for der in lists {
            if !is_by_one_of(chain.get(1..).unwrap_or_default(), &der).map_err(wrong)? {
                continue;
            }
            let list = List::read(der).map_err(wrong)?;
            let now = OffsetDateTime::now_utc();
            if let Some(expiry) = list.expiry.as_ref().filter(|expiry| expiry.end <= now) {
                let (issuer, day) = (&list.issuer, expiry.end.date());
                return Err(wrong(format!("found one of {issuer} that was to be replaced by {day}")));
            }
            let known = kept.iter_mut().find(|known| known.issuer == list.issuer);
            taken.push(ListAbove {
                issuer: list.issuer.clone(),
                until: list.expiry.as_ref().map(|expiry| expiry.end),
            });
            match known {
                Some(known) if known.made > list.made => {
                    let (issuer, day) = (&list.issuer, list.made.0.date());
                    let found = format!(
                        "found one of {issuer} of {day} that is older than the one in {}",
                        self.path.display()
                    );
                    return Err(wrong(found));
                }
                Some(known) => *known = list,
                None => kept.push(list),
            }
        }
        Ok(taken)
    }
}

/// Whether one of these authorities signed a list. One that bears an authority's name and not its signature is an error.
fn is_by_one_of(authorities: &[CertificateDer<'_>], der: &[u8]) -> Result<bool, String> {
    let damaged = |error| format!("found a damaged one ({error})");
    let (_, list) = CertificateRevocationList::from_der(der).map_err(damaged)?;
    let mut named = false;
    for authority in authorities {
        let authority = parse(authority)?;
        if authority.subject() != list.issuer() {
            continue;
        }
        if list.verify_signature(authority.public_key()).is_ok() {
            return Ok(true);
        }
        named = true;
    }
    if named {
        Err(format!(
            "found one in the name of {} that it didn't sign",
            list.issuer()
        ))
    } else {
        Ok(false)
    }
}

impl CertificateAuthority {
    /// Takes current revocation lists of the authorities above the one in `directory`, from a file, or from the folder of
    /// the authority above. Needs no password. Lists of others in the file are passed over.
    ///
    /// # Errors
    /// Where no list is of an authority above, one isn't signed by it, is older than the one that is there or too old to
    /// be believed, or a file can't be read or written.
    pub fn refresh_lists_above(directory: &Path, source: &Path) -> Result<Vec<ListAbove>, CertsError> {
        let chain = Sections::read(&directory.join("ca.pem"))?.certificates;
        let mut lists = Vec::new();
        if source.is_dir() {
            lists.extend(Sections::read(&source.join("crl.pem"))?.revocation_lists);
            lists.extend(ListsAbove::at(source).load()?.into_iter().map(|list| list.der));
        } else {
            lists = Sections::read(source)?.revocation_lists;
        }
        let _turn = files::lock(directory)?;
        let above = ListsAbove::at(directory);
        let mut kept = above.load()?;
        let taken = above.take(&mut kept, &chain, lists, source)?;
        if taken.is_empty() {
            let expected = "current revocation lists of the authorities above";
            return Err(content(source, expected, "found none of theirs".to_owned()));
        }
        let text: Result<String, _> = kept.iter().map(|list| encode("X509 CRL", &list.der)).collect();
        above.replace(&text?)?;
        Ok(taken)
    }

    /// What an operator should know at `now` of the authority in `directory`, one sentence each: certificates and lists,
    /// its own and those above, that ended or soon will, lists that are missing, authorities that were revoked.
    ///
    /// # Errors
    /// Where a file is missing or damaged.
    pub fn warnings(directory: &Path, now: OffsetDateTime) -> Result<Vec<String>, CertsError> {
        let path = directory.join("ca.pem");
        let chain = Sections::read(&path)?.certificates;
        let own_path = directory.join("crl.pem");
        let mut lists = ListsAbove::at(directory).load()?;
        for der in Sections::read(&own_path)?.revocation_lists {
            lists.push(List::read(der).map_err(|found| content(&own_path, "revocation lists", found))?);
        }
        let mut warnings = Vec::new();
        for (place, der) in chain.iter().enumerate() {
            let who = summarise(der).map_err(|found| content(&path, "certificates of authorities", found))?;
            warnings.extend(who.expiry().warning(now));
            let list = lists.iter().find(|list| list.issuer == who.subject);
            if list.is_none() && place > 0 {
                warnings.push(format!(
                    "no revocation list of {} is beside the authority: `silentmon certs crl --ca {} --above FILE` takes one",
                    who.subject,
                    directory.display()
                ));
            }
            if lists.iter().any(|list| list.names(der)) {
                warnings.push(format!("the authority {} has been revoked", who.subject));
            }
        }
        warnings.extend(
            lists
                .iter()
                .filter_map(|list| list.expiry.as_ref())
                .filter_map(|expiry: &Expiry| expiry.warning(now)),
        );
        Ok(warnings)
    }
}

impl List {
    fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        issuer_and_serial(certificate).is_some_and(|key| self.entries.contains(&key))
    }
}

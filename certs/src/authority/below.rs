//! An authority below another one: made beside it in one go, or asked for on a machine of its own, signed where the other
//! one lives, and put together from the answer.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::lists_above::ListsAbove;
use super::policy::IssuingPolicy;
use super::{
    AuthorityOptions, CertificateAuthority, KeyAlgorithm, ROOT_PATH_LENGTH, authority_params, content, crypto, key,
};
use crate::Password;
use crate::credentials::public_key_of;
use crate::csr::SigningRequest;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::inspect::{CertificateSummary, summarise};
use crate::pem::{Sections, encode};
use crate::request::distinguished_name;
use crate::revocation::RevocationList;
use crate::role::SubjectName;

/// Most authorities in a chain that is put together.
const LONGEST_CHAIN: usize = 8;

/// What the operator grants an authority below.
#[derive(Debug, Clone, Default)]
pub struct IntermediateOptions {
    /// How long it is good: [`AuthorityOptions::DEFAULT_DAYS`], where nothing is said; never longer than this authority.
    pub days: Option<u32>,
    /// The name to grant: a request for another one is refused.
    pub name: Option<SubjectName>,
    /// How many authorities may stand between it and a holder: one fewer than below this one, where nothing is said.
    pub path_length: Option<u8>,
}

impl CertificateAuthority {
    /// Makes an authority below this one in `directory`: its root may stay in a safe from then on, and it can be
    /// revoked.
    ///
    /// # Errors
    /// As [`create`](Self::create), and where this authority's certificate or policy allows none below it.
    pub fn create_below(
        &self,
        directory: &Path,
        options: &AuthorityOptions,
        password: &Password,
    ) -> Result<Self, CertsError> {
        let below = self.path_length_below(None)?;
        if let Some(policy) = IssuingPolicy::load(&self.directory)? {
            policy.check_intermediate(options.name.as_str())?;
        }
        let key = key::generate(options.algorithm)?;
        let params = self.params_below(options, below)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| crypto(&error))?;
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.certificates.iter().cloned());
        let below = Self::found(directory, chain, key, password)?;
        ListsAbove::at(directory).replace(&self.revocation_lists()?)?;
        let _turn = files::lock(&self.directory)?;
        self.file_copy(certificate.der())?;
        Ok(below)
    }

    /// Signs the request of an authority on another machine into `out`: its certificate, those above it, and the
    /// revocation lists of those above it, which is all that [`take_answer`](Self::take_answer) needs there.
    ///
    /// # Errors
    /// Where it isn't a request for the rights of an authority, this authority's certificate or policy doesn't allow
    /// what is asked, or a file can't be written.
    pub fn sign_intermediate(
        &self,
        request_path: &Path,
        options: &IntermediateOptions,
        out: &Path,
    ) -> Result<CertificateSummary, CertsError> {
        let request = SigningRequest::load(request_path)?;
        let from = request_path.display().to_string();
        let name = asked_name(&request, &from, options)?;
        let path_length = self.path_length_below(options.path_length)?;
        if let Some(policy) = IssuingPolicy::load(&self.directory)? {
            policy.check_intermediate(&from)?;
            policy.check_key(&from, &request.public_key)?;
        }
        let granted = AuthorityOptions {
            name,
            days: options.days.unwrap_or(AuthorityOptions::DEFAULT_DAYS),
            algorithm: KeyAlgorithm::default(),
        };
        let params = self.params_below(&granted, path_length)?;
        let _turn = files::lock(&self.directory)?;
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|error| crypto(&error))?;
        let mut text = self.file_copy(certificate.der())?;
        for authority in &self.certificates {
            text.push_str(&encode("CERTIFICATE", authority)?);
        }
        text.push_str(&self.revocation_lists()?);
        files::write(out, text.as_bytes(), Readers::All, Existing::Replaced)?;
        summarise(certificate.der()).map_err(CertsError::crypto("signing"))
    }

    fn path_length_below(&self, asked: Option<u8>) -> Result<u8, CertsError> {
        let most = match self.limits.path_length {
            None => None,
            Some(0) => return Err(CertsError::PathLength(self.directory.clone())),
            Some(length) => Some(u8::try_from(length - 1).unwrap_or(u8::MAX)),
        };
        match (asked, most) {
            (Some(asked), Some(most)) if asked > most => Err(CertsError::PathLengthTooLong { asked, most }),
            (Some(asked), _) => Ok(asked),
            (None, most) => Ok(most.unwrap_or(ROOT_PATH_LENGTH - 1)),
        }
    }

    fn params_below(&self, options: &AuthorityOptions, path_length: u8) -> Result<CertificateParams, CertsError> {
        // Of two authorities with one name in a chain the lower would look like a root: issued by itself.
        let taken = |der: &CertificateDer<'_>| {
            summarise(der).is_ok_and(|above| above.common_name.as_ref() == Some(&options.name))
        };
        if self.certificates.iter().any(taken) {
            return Err(CertsError::NameAbove(options.name.clone()));
        }
        let mut params = authority_params(options, OffsetDateTime::now_utc(), path_length)?;
        params.not_after = params.not_after.min(self.limits.not_after);
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// Makes the key of an authority, `ca.key`, and a request for its certificate, `ca.csr`, which an authority elsewhere
    /// is to sign. Where the key is there already it is asked for once more: to replace its certificate before that
    /// expires. Gives back the request's path.
    ///
    /// # Errors
    /// Where the password doesn't open the key that is there, the authority has another name, or a file can't be written.
    pub fn request(
        directory: &Path,
        name: &SubjectName,
        algorithm: KeyAlgorithm,
        password: &Password,
    ) -> Result<PathBuf, CertsError> {
        files::create_directory(directory)?;
        let _turn = files::lock(directory)?;
        let (key_path, certificate_path) = (directory.join("ca.key"), directory.join("ca.pem"));
        let key = if key_path.exists() {
            key::open(&key_path, password)?
        } else if certificate_path.exists() {
            return Err(CertsError::Exists { path: certificate_path });
        } else {
            let key = key::generate(algorithm)?;
            let encrypted = key::encrypt(&key, password)?;
            files::write(&key_path, encrypted.as_bytes(), Readers::Owner, Existing::Kept)?;
            key
        };
        let crypto = |error: rcgen::Error| CertsError::crypto("making a request")(error.to_string());
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let request = params.serialize_request(&key).map_err(crypto)?.pem().map_err(crypto)?;
        let path = directory.join("ca.csr");
        files::write(&path, request.as_bytes(), Readers::All, Existing::Replaced)?;
        Ok(path)
    }

    /// The name of the authority in `directory`, where it has a certificate already.
    ///
    /// # Errors
    /// Where that can't be read.
    pub fn name_in(directory: &Path) -> Result<Option<SubjectName>, CertsError> {
        let path = directory.join("ca.pem");
        if !path.exists() {
            return Ok(None);
        }
        let certificates = Sections::read(&path)?.certificates;
        let own = certificates.first().and_then(|own| summarise(own).ok());
        Ok(own.and_then(|own| own.common_name))
    }

    /// Makes a working authority of a key that [`request`](Self::request) made and the answer to its request: the
    /// certificate, those of the authorities above it up to a root, and their revocation lists, in any order in `sources`.
    ///
    /// # Errors
    /// Where the key's certificate is no authority's or isn't good now, an authority above is missing, a signature is
    /// wrong, the authority had another name before, or a file can't be written.
    pub fn take_answer(directory: &Path, sources: &[PathBuf], password: &Password) -> Result<Self, CertsError> {
        let key = key::open(&directory.join("ca.key"), password)?;
        let mut answer = Sections::default();
        for source in sources {
            let sections = Sections::read(source)?;
            answer.certificates.extend(sections.certificates);
            answer.revocation_lists.extend(sections.revocation_lists);
        }
        let first = sources.first().map_or(directory, PathBuf::as_path);
        let chain = chain_of(&key, &answer.certificates, first)?;
        let certificate_path = directory.join("ca.pem");
        refuse_other_name(&certificate_path, &chain)?;
        let _turn = files::lock(directory)?;
        let authority = Self::assemble(directory, chain, key)?;
        let above = ListsAbove::at(directory).taken(&authority.certificates, answer.revocation_lists, first)?;
        let text: Result<String, _> = authority
            .certificates
            .iter()
            .map(|certificate| encode("CERTIFICATE", certificate))
            .collect();
        files::write(&certificate_path, text?.as_bytes(), Readers::All, Existing::Replaced)?;
        ListsAbove::at(directory).replace(&above)?;
        let list_path = authority.revocation_list_path();
        let list = if list_path.exists() {
            RevocationList::load(&list_path)?
        } else {
            RevocationList::default()
        };
        list.write(&list_path, &authority.issuer, OffsetDateTime::now_utc())?;
        Ok(authority)
    }
}

fn asked_name(request: &SigningRequest, from: &str, options: &IntermediateOptions) -> Result<SubjectName, CertsError> {
    let refused = |problem: String| CertsError::Grant {
        from: from.to_owned(),
        problem,
    };
    if !request.authority {
        return Err(refused(
            "no rights of an authority (basicConstraints CA:TRUE), so it gets none: sign it without --intermediate"
                .to_owned(),
        ));
    }
    if let Some(role) = request.role {
        return Err(refused(format!(
            "role {role} and for the rights of an authority; there is no certificate for both"
        )));
    }
    match (&request.name, &options.name) {
        (Some(asked), Some(granted)) if asked != granted => {
            Err(refused(format!("the name {asked}, but {granted} was to be granted")))
        }
        (Some(name), _) | (None, Some(name)) => Ok(name.clone()),
        (None, None) => Err(refused("no usable name".to_owned())),
    }
}

/// The key's own certificate, then each issuer's, to a root; each signature verified.
fn chain_of(
    key: &KeyPair,
    certificates: &[CertificateDer<'static>],
    source: &Path,
) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    let wrong = |found: String| {
        content(
            source,
            "an authority's certificate and those above it, up to a root",
            found,
        )
    };
    let own = certificates
        .iter()
        .find(|der| public_key_of(der) == Some(key.subject_public_key_info().as_slice()));
    let own = own.ok_or_else(|| CertsError::KeyMismatch {
        path: source.to_owned(),
        certificates: certificates.len(),
    })?;
    let mut chain = vec![own.clone()];
    for depth in 0..LONGEST_CHAIN {
        let Some(last) = chain.last() else { break };
        let parsed = parse(last).map_err(wrong)?;
        check_authority(&parsed, depth).map_err(wrong)?;
        if parsed.subject() == parsed.issuer() {
            parsed
                .verify_signature(None)
                .map_err(|_| wrong(format!("found a root {} that didn't sign itself", parsed.subject())))?;
            return if depth == 0 {
                Err(wrong("found one that is signed by itself".to_owned()))
            } else {
                Ok(chain)
            };
        }
        let signed_it = |candidate: &&CertificateDer<'static>| {
            parse(candidate).is_ok_and(|above| {
                above.subject() == parsed.issuer() && parsed.verify_signature(Some(above.public_key())).is_ok()
            })
        };
        let issuer = certificates.iter().find(signed_it).cloned();
        let issuer = issuer.ok_or_else(|| {
            wrong(format!(
                "found none of {} who signed that of {}",
                parsed.issuer(),
                parsed.subject()
            ))
        })?;
        chain.push(issuer);
    }
    Err(wrong(format!("found more than {LONGEST_CHAIN}")))
}

/// Whether a certificate is good for an authority with so many authorities below it.
fn check_authority(certificate: &X509Certificate<'_>, below: usize) -> Result<(), String> {
    let who = certificate.subject();
    if !certificate.is_ca() {
        return Err(format!("found one of {who} without the rights of an authority"));
    }
    let may_sign = match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign() && (below > 0 || usage.value.crl_sign()),
        Ok(None) => true,
        Err(_) => false,
    };
    if !may_sign {
        return Err(format!("found one of {who} that may not sign certificates and lists"));
    }
    let limit = certificate.basic_constraints().ok().flatten();
    let limit = limit.and_then(|found| found.value.path_len_constraint);
    if limit.is_some_and(|limit| below > usize::try_from(limit).unwrap_or(usize::MAX)) {
        return Err(format!(
            "found one of {who} that may have fewer authorities below it (its path length)"
        ));
    }
    if certificate.validity().is_valid() {
        Ok(())
    } else {
        Err(format!("found one of {who} that isn't valid now"))
    }
}

/// What was issued until now names its issuer: a new certificate under another name would orphan it.
fn refuse_other_name(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(), CertsError> {
    if !path.exists() {
        return Ok(());
    }
    let before = Sections::read(path)?.certificates;
    let subject = |chain: &[CertificateDer<'_>]| {
        let own = chain.first().and_then(|own| summarise(own).ok());
        own.map(|own| own.subject)
    };
    match (subject(&before), subject(chain)) {
        (Some(before), Some(now)) if before != now => Err(content(
            path,
            "an answer for the same authority",
            format!("found {now} in place of {before}"),
        )),
        _ => Ok(()),
    }
}

pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(format!("found a damaged one ({error})")),
    }
}

//! The certificate authority in a directory: `ca.pem`, `ca.key` (encrypted), `crl.pem`, `issued/`, `policy.toml`.
//!
//! What a certificate may be used for is decided here, not by the request: no CA rights, key usages by role, our own
//! serial number and validity (RFC 5280 sections 4.1 and 4.2).

mod below;
mod grant;
mod key;
mod lists_above;
mod policy;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

pub use self::below::IntermediateOptions;
use self::grant::Grant;
pub use self::grant::SignOptions;
pub use self::lists_above::ListAbove;
use self::lists_above::ListsAbove;
pub use self::policy::{BadHostPattern, HostPattern, IssuingPolicy, KeyKind, NamePattern};
use crate::Password;
use crate::csr::SigningRequest;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::identity::{Fingerprint, Identity, Serial, is_self_issued, issuer_and_serial, peer_identity};
use crate::inspect::{CertificateSummary, inspect};
use crate::pem::{Sections, encode};
use crate::request::{RequestOptions, alternative_names, create_request, distinguished_name};
use crate::revocation::{RevocationList, RevokedEntry};
use crate::role::{Role, SubjectName};

/// Clocks of machines differ; a certificate is good from a little earlier on.
const BACKDATED: Duration = Duration::hours(1);

/// A new authority.
#[derive(Debug, Clone)]
pub struct AuthorityOptions {
    /// Its common name.
    pub name: SubjectName,
    /// How long it is good; never longer than the authority above it.
    pub days: u32,
    /// What its key is for.
    pub algorithm: KeyAlgorithm,
}

/// What an authority signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyAlgorithm {
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5).
    #[default]
    EcdsaP256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl AuthorityOptions {
    /// Ten years.
    pub const DEFAULT_DAYS: u32 = 3650;
}

/// A certificate that was just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// What it says.
    pub identity: Identity,
    /// Alternative names of the request that it doesn't carry.
    pub ignored: Vec<String>,
}

/// A certificate authority whose key is open.
pub struct CertificateAuthority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificates: Vec<CertificateDer<'static>>,
    limits: Limits,
}

/// What an authority's own certificate allows it.
#[derive(Debug, Clone, Copy)]
struct Limits {
    not_after: OffsetDateTime,
    /// How many authorities may stand between it and a holder (RFC 5280 section 4.2.1.9); any number, where none.
    path_length: Option<u32>,
}

/// Authorities that may stand between a new root and a holder.
const ROOT_PATH_LENGTH: u8 = 1;

impl CertificateAuthority {
    /// Makes a key, a self-signed certificate and an empty revocation list in `directory`.
    ///
    /// # Errors
    /// Where there is an authority already, or a file can't be written.
    pub fn create(directory: &Path, options: &AuthorityOptions, password: &Password) -> Result<Self, CertsError> {
        let key = key::generate(options.algorithm)?;
        let params = authority_params(options, OffsetDateTime::now_utc(), ROOT_PATH_LENGTH)?;
        let root = params.self_signed(&key).map_err(|error| crypto(&error))?;
        Self::found(directory, vec![root.der().clone()], key, password)
    }

    /// Writes a new authority down.
    fn found(
        directory: &Path,
        chain: Vec<CertificateDer<'static>>,
        key: KeyPair,
        password: &Password,
    ) -> Result<Self, CertsError> {
        let encrypted = key::encrypt(&key, password)?;
        let text: String = chain
            .iter()
            .map(|certificate| encode("CERTIFICATE", certificate))
            .collect::<Result<_, _>>()?;
        files::create_directory(directory)?;
        let _turn = files::lock(directory)?;
        let (certificate_path, key_path) = (directory.join("ca.pem"), directory.join("ca.key"));
        let authority = Self::assemble(directory, chain, key)?;
        let list_path = authority.revocation_list_path();
        if let Some(path) = [&certificate_path, &list_path].into_iter().find(|path| path.exists()) {
            return Err(CertsError::Exists { path: path.clone() });
        }
        files::write(&key_path, encrypted.as_bytes(), Readers::Owner, Existing::Kept)?;
        files::write(&certificate_path, text.as_bytes(), Readers::All, Existing::Kept)?;
        RevocationList::default().write(&list_path, &authority.issuer, OffsetDateTime::now_utc())?;
        Ok(authority)
    }

    /// Opens the authority in `directory`. `ca.pem` starts with its own certificate; those of the authorities above
    /// it, if any, follow.
    ///
    /// # Errors
    /// Where a file is missing or damaged, its policy among them, or the password is wrong.
    pub fn open(directory: &Path, password: &Password) -> Result<Self, CertsError> {
        let (certificate_path, key_path) = (directory.join("ca.pem"), directory.join("ca.key"));
        let certificates = Sections::read(&certificate_path)?.certificates;
        IssuingPolicy::load(directory)?;
        let key = key::open(&key_path, password)?;
        Self::assemble(directory, certificates, key)
    }

    fn assemble(
        directory: &Path,
        certificates: Vec<CertificateDer<'static>>,
        key: KeyPair,
    ) -> Result<Self, CertsError> {
        let damaged = |found: String| {
            content(
                &directory.join("ca.pem"),
                "the authority's own certificate first",
                found,
            )
        };
        let own = certificates.first().ok_or_else(|| damaged("found none".to_owned()))?;
        let limits = key::limits(own, &key).map_err(damaged)?;
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            directory: directory.to_owned(),
            issuer,
            certificates,
            limits,
        })
    }

    /// Signs a request into `out`: the new certificate, then the authority's. A copy goes to `issued/`.
    ///
    /// # Errors
    /// Where the request asks for what isn't to be granted, the validity isn't one, or a file can't be written.
    pub fn sign(&self, request_path: &Path, options: &SignOptions, out: &Path) -> Result<Issued, CertsError> {
        let request = SigningRequest::load(request_path)?;
        let (issued, chain) = self.grant(&request, &request_path.display().to_string(), options)?;
        files::write(out, chain.as_bytes(), Readers::All, Existing::Replaced)?;
        Ok(issued)
    }

    /// Signs a request, named `from` in errors, and gives back the chain in PEM.
    pub(crate) fn grant(
        &self,
        request: &SigningRequest,
        from: &str,
        options: &SignOptions,
    ) -> Result<(Issued, String), CertsError> {
        // Read each time: what changes in it holds for an enrolment service that runs.
        let policy = IssuingPolicy::load(&self.directory)?;
        let Grant {
            role,
            name,
            hosts,
            days,
        } = Grant::of(request, from, options, policy.as_ref())?;
        let mut params = self.leaf_params(role, days, OffsetDateTime::now_utc())?;
        params.distinguished_name = distinguished_name(&name);
        params.subject_alt_names = alternative_names(role, &name, &hosts)?;
        let _turn = files::lock(&self.directory)?;
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|error| crypto(&error))?;
        let identity = peer_identity(std::slice::from_ref(certificate.der()))
            .map_err(|problem| CertsError::crypto("signing")(problem.to_string()))?;
        // First the copy: a certificate that nobody can look up can't be revoked by name.
        let mut text = self.file_copy(certificate.der())?;
        for authority in &self.certificates {
            text.push_str(&encode("CERTIFICATE", authority)?);
        }
        let ignored = request.ignored.clone();
        Ok((Issued { identity, ignored }, text))
    }

    /// Whom to trust, in PEM: the root; where it isn't there, the topmost authority that is.
    pub(crate) fn root_pem(&self) -> Result<String, CertsError> {
        self.root()
            .map_or_else(|| Ok(String::new()), |root| encode("CERTIFICATE", root))
    }

    /// SHA-256 of the root: what people compare before they trust it.
    pub fn root_fingerprint(&self) -> String {
        self.root()
            .map(|root| Fingerprint::of(root).to_string())
            .unwrap_or_default()
    }

    fn root(&self) -> Option<&CertificateDer<'static>> {
        let root = self.certificates.iter().find(|certificate| is_self_issued(certificate));
        root.or_else(|| self.certificates.last())
    }

    /// Where it lives.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes key, request and certificate in one go, where authority and holder are one machine: a demonstration, a
    /// test. Gives back the path of `NAME.pem`; `NAME.key` lies beside it.
    ///
    /// # Errors
    /// As [`create_request`] and [`sign`](Self::sign).
    pub fn issue(
        &self,
        directory: &Path,
        request: &RequestOptions,
        options: &SignOptions,
    ) -> Result<PathBuf, CertsError> {
        let (_, request_path) = create_request(directory, request)?;
        let out = request_path.with_extension("pem");
        self.sign(&request_path, options, &out)?;
        Ok(out)
    }

    fn leaf_params(&self, role: Role, days: u32, now: OffsetDateTime) -> Result<CertificateParams, CertsError> {
        let mut params = CertificateParams::default();
        params.not_before = now - BACKDATED;
        params.not_after = (now + validity(days)?).min(self.limits.not_after);
        params.serial_number = Some(key::random_serial()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            // A capture server is dialled by supervisors and dials its peers.
            Role::Capture => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Role::Supervisor | Role::Admin | Role::Desktop => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// Keeps a copy of what was issued, and gives it back in PEM.
    fn file_copy(&self, certificate: &CertificateDer<'_>) -> Result<String, CertsError> {
        let unreadable = || CertsError::crypto("signing")("the new certificate can't be read".to_owned());
        let (_, serial) = issuer_and_serial(certificate).ok_or_else(unreadable)?;
        let text = encode("CERTIFICATE", certificate)?;
        let issued = self.directory.join("issued");
        files::create_directory(&issued)?;
        let copy = issued.join(format!("{serial}.pem"));
        files::write(&copy, text.as_bytes(), Readers::All, Existing::Kept)?;
        Ok(text)
    }

    /// Takes a certificate back, named by its file, or by its serial number in hexadecimal digits. Twice is once.
    ///
    /// # Errors
    /// Where this authority issued no such certificate, or the list can't be written.
    pub fn revoke(&self, certificate: &str) -> Result<RevokedEntry, CertsError> {
        let serial = self.find(certificate)?;
        let _turn = files::lock(&self.directory)?;
        let mut list = RevocationList::load(&self.revocation_list_path())?;
        let now = OffsetDateTime::now_utc();
        let entry = RevokedEntry {
            serial,
            revoked_at: now,
        };
        if !list.contains(&entry.serial) {
            list.entries.push(entry.clone());
        }
        list.write(&self.revocation_list_path(), &self.issuer, now)?;
        Ok(entry)
    }

    fn find(&self, certificate: &str) -> Result<Serial, CertsError> {
        let unknown = || CertsError::UnknownCertificate(certificate.to_owned());
        let path = Path::new(certificate);
        let serial = if path.is_file() {
            let chain = Sections::read(path)?.certificates;
            let (_, serial) = chain.first().and_then(issuer_and_serial).ok_or_else(unknown)?;
            serial
        } else {
            Serial::from_hex(certificate).ok_or_else(unknown)?
        };
        let issued = self.directory.join("issued").join(format!("{serial}.pem"));
        if issued.is_file() { Ok(serial) } else { Err(unknown()) }
    }

    /// Signs the revocation list again with a later end.
    ///
    /// # Errors
    /// Where it is damaged or can't be written.
    pub fn renew_revocation_list(&self) -> Result<(), CertsError> {
        let _turn = files::lock(&self.directory)?;
        let list = RevocationList::load(&self.revocation_list_path())?;
        list.write(&self.revocation_list_path(), &self.issuer, OffsetDateTime::now_utc())
    }

    /// The revocation lists that whoever checks its certificates needs, in PEM: its own, and those of the authorities
    /// above it as they were put beside it in `crl-above.pem`.
    pub(crate) fn revocation_lists(&self) -> Result<String, CertsError> {
        let mut lists = Sections::read(&self.revocation_list_path())?.revocation_lists;
        lists.extend(ListsAbove::at(&self.directory).load()?.into_iter().map(|list| list.der));
        lists.iter().map(|list| encode("X509 CRL", list)).collect()
    }

    fn revocation_list_path(&self) -> PathBuf {
        self.directory.join("crl.pem")
    }

    /// Every certificate the authority in `directory` issued, by name, with the time it was revoked, if it was. Needs
    /// no password.
    ///
    /// # Errors
    /// Where a file is missing or damaged.
    pub fn list(directory: &Path) -> Result<Vec<(CertificateSummary, Option<OffsetDateTime>)>, CertsError> {
        let revoked = RevocationList::load(&directory.join("crl.pem"))?;
        let issued = directory.join("issued");
        let Ok(entries) = fs::read_dir(&issued) else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            for certificate in inspect(&path)?.certificates {
                let entry = revoked.entries.iter().find(|entry| entry.serial == certificate.serial);
                rows.push((certificate, entry.map(|entry| entry.revoked_at)));
            }
        }
        let key = |row: &CertificateSummary| (row.holder().to_owned(), row.not_before, row.serial.clone());
        rows.sort_by_cached_key(|(row, _)| key(row));
        Ok(rows)
    }
}

fn crypto(error: &rcgen::Error) -> CertsError {
    CertsError::crypto("making a certificate")(error.to_string())
}

fn content(path: &Path, expected: &'static str, found: String) -> CertsError {
    CertsError::Content {
        path: path.to_owned(),
        expected,
        found,
    }
}

fn authority_params(
    options: &AuthorityOptions,
    now: OffsetDateTime,
    path_length: u8,
) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&options.name);
    params.not_before = now - BACKDATED;
    params.not_after = now + validity(options.days)?;
    params.serial_number = Some(key::random_serial()?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn validity(days: u32) -> Result<Duration, CertsError> {
    if (1..=36_500).contains(&days) {
        Ok(Duration::days(i64::from(days)))
    } else {
        Err(CertsError::Days(days))
    }
}

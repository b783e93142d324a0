//! The certificate authority in a directory: `ca.pem`, `ca.key` (encrypted), `crl.pem`, `issued/`.
//!
//! What a certificate may be used for is decided here, not by the request: no CA rights, key usages by role, our own
//! serial number and validity (RFC 5280 sections 4.1 and 4.2).

use std::fs;
use std::path::{Path, PathBuf};

use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{LineEnding, PrivateKeyInfo};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::Password;
use crate::csr::SigningRequest;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::identity::{Identity, Serial, peer_identity};
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
    /// How long it is good.
    pub days: u32,
}

impl AuthorityOptions {
    /// Ten years.
    pub const DEFAULT_DAYS: u32 = 3650;
}

/// What the operator grants.
#[derive(Debug, Clone)]
pub struct SignOptions {
    /// How long the certificate is good; never longer than the authority itself.
    pub days: u32,
    /// The role to grant: needed where the request names none, refused where it names another.
    pub role: Option<Role>,
}

impl SignOptions {
    /// 825 days, the longest that common TLS implementations accept.
    pub const DEFAULT_DAYS: u32 = 825;
}

impl Default for SignOptions {
    fn default() -> Self {
        Self {
            days: Self::DEFAULT_DAYS,
            role: None,
        }
    }
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
    not_after: OffsetDateTime,
}

impl CertificateAuthority {
    /// Makes an ECDSA P-256 key, a self-signed certificate and an empty revocation list in `directory`.
    ///
    /// # Errors
    /// Where there is an authority already, or a file can't be written.
    pub fn create(directory: &Path, options: &AuthorityOptions, password: &Password) -> Result<Self, CertsError> {
        let crypto = |error: rcgen::Error| CertsError::crypto("making an authority")(error.to_string());
        let now = OffsetDateTime::now_utc();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let encrypted = encrypt(&key, password)?;
        let root = root_params(options, now)?.self_signed(&key).map_err(crypto)?;
        let text = encode("CERTIFICATE", root.der())?;

        files::create_directory(directory)?;
        let _turn = files::lock(directory)?;
        let (certificate_path, key_path) = (directory.join("ca.pem"), directory.join("ca.key"));
        let authority = Self::assemble(directory, vec![root.der().clone()], key)?;
        let list_path = authority.revocation_list_path();
        if let Some(path) = [&certificate_path, &list_path].into_iter().find(|path| path.exists()) {
            return Err(CertsError::Exists { path: path.clone() });
        }
        files::write(&key_path, encrypted.as_bytes(), Readers::Owner, Existing::Kept)?;
        files::write(&certificate_path, text.as_bytes(), Readers::All, Existing::Kept)?;
        RevocationList::default().write(&list_path, &authority.issuer, now)?;
        Ok(authority)
    }

    /// Opens the authority in `directory`. `ca.pem` starts with its own certificate; those of the authorities above
    /// it, if any, follow.
    ///
    /// # Errors
    /// Where a file is missing or damaged, or the password is wrong.
    pub fn open(directory: &Path, password: &Password) -> Result<Self, CertsError> {
        let (certificate_path, key_path) = (directory.join("ca.pem"), directory.join("ca.key"));
        let certificates = Sections::read(&certificate_path)?.certificates;
        files::check_secret(&key_path)?;
        let no_key = || content(&key_path, "the authority's private key", "found none".to_owned());
        let section = Sections::read(&key_path)?.keys.pop().ok_or_else(no_key)?;
        let key = KeyPair::try_from(&section.open(&key_path, Some(password))?)
            .map_err(|error| content(&key_path, "a private key that can sign", error.to_string()))?;
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
        let not_after = authority_end(own, &key).map_err(damaged)?;
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            directory: directory.to_owned(),
            issuer,
            certificates,
            not_after,
        })
    }

    /// Signs a request into `out`: the new certificate, then the authority's. A copy goes to `issued/`.
    ///
    /// # Errors
    /// Where the role isn't clear, the validity isn't one, or a file can't be written.
    pub fn sign(&self, request_path: &Path, options: &SignOptions, out: &Path) -> Result<Issued, CertsError> {
        let request = SigningRequest::load(request_path)?;
        let role = granted_role(request_path, request.role, options.role)?;
        let name = request.name.clone().ok_or_else(|| CertsError::Request {
            path: request_path.to_owned(),
            problem: "it carries no usable name".to_owned(),
        })?;
        let _turn = files::lock(&self.directory)?;
        let mut params = self.leaf_params(role, options.days, OffsetDateTime::now_utc())?;
        params.distinguished_name = distinguished_name(&name);
        params.subject_alt_names = alternative_names(role, &name, &request.hosts)?;
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|error| CertsError::crypto("signing")(error.to_string()))?;
        let identity = peer_identity(std::slice::from_ref(certificate.der()))
            .map_err(|problem| CertsError::crypto("signing")(problem.to_string()))?;
        self.file(certificate.der(), &identity, out)?;
        Ok(Issued {
            identity,
            ignored: request.ignored,
        })
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
        params.not_after = (now + validity(days)?).min(self.not_after);
        params.serial_number = Some(random_serial()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            // A capture server is dialled by supervisors and dials its peers.
            Role::Capture => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Role::Supervisor | Role::Admin => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// Files the copy first: a certificate that nobody can look up can't be revoked by name.
    fn file(&self, certificate: &CertificateDer<'_>, identity: &Identity, out: &Path) -> Result<(), CertsError> {
        let mut text = encode("CERTIFICATE", certificate)?;
        let issued = self.directory.join("issued");
        files::create_directory(&issued)?;
        let copy = issued.join(format!("{}.pem", identity.serial));
        files::write(&copy, text.as_bytes(), Readers::All, Existing::Kept)?;
        for authority in &self.certificates {
            text.push_str(&encode("CERTIFICATE", authority)?);
        }
        files::write(out, text.as_bytes(), Readers::All, Existing::Replaced)
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
            peer_identity(&chain).map_err(|_| unknown())?.serial
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

    fn revocation_list_path(&self) -> PathBuf {
        self.directory.join("crl.pem")
    }

    /// Every certificate the authority in `directory` issued, by name, with the time it was revoked, if it was. Needs
    /// no password.
    ///
    /// # Errors
    /// Where a file is missing or damaged.
    pub fn list(directory: &Path) -> Result<Vec<(Identity, Option<OffsetDateTime>)>, CertsError> {
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
            let chain = Sections::read(&path)?.certificates;
            let identity = peer_identity(&chain).map_err(|problem| CertsError::Content {
                path: path.clone(),
                expected: "an issued certificate",
                found: problem.to_string(),
            })?;
            let entry = revoked.entries.iter().find(|entry| entry.serial == identity.serial);
            rows.push((identity, entry.map(|entry| entry.revoked_at)));
        }
        rows.sort_by(|(a, _), (b, _)| (&a.name, a.not_before, &a.serial).cmp(&(&b.name, b.not_before, &b.serial)));
        Ok(rows)
    }
}

fn content(path: &Path, expected: &'static str, found: String) -> CertsError {
    CertsError::Content {
        path: path.to_owned(),
        expected,
        found,
    }
}

fn root_params(options: &AuthorityOptions, now: OffsetDateTime) -> Result<CertificateParams, CertsError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, options.name.as_str());
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - BACKDATED;
    params.not_after = now + validity(options.days)?;
    params.serial_number = Some(random_serial()?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
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

/// Sixteen random bytes, positive as RFC 5280 section 4.1.2.2 wants it.
fn random_serial() -> Result<SerialNumber, CertsError> {
    let mut bytes = random::<16>()?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random<const N: usize>() -> Result<[u8; N], CertsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| CertsError::crypto("drawing random numbers")(error.to_string()))?;
    Ok(bytes)
}

/// PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914). N = 2^14, r = 8, p = 5 costs an attacker as much as the usual
/// N = 2^17, p = 1, but stays below the 32 MiB that OpenSSL allows, so that `openssl pkey` opens the key, too.
fn encrypt(key: &KeyPair, password: &Password) -> Result<Zeroizing<String>, CertsError> {
    let failed = |error: String| CertsError::crypto("encrypting the authority's key")(error);
    let der = Zeroizing::new(key.serialize_der());
    let (salt, iv) = (random::<16>()?, random::<16>()?);
    let cost = scrypt::Params::new(14, 8, 5, 32).map_err(|error| failed(error.to_string()))?;
    let params = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv).map_err(|error| failed(error.to_string()))?;
    let info = PrivateKeyInfo::try_from(der.as_slice()).map_err(|error| failed(error.to_string()))?;
    let document = info
        .encrypt_with_params(params, password.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    document
        .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        .map_err(|error| failed(error.to_string()))
}

fn authority_end(certificate: &CertificateDer<'_>, key: &KeyPair) -> Result<OffsetDateTime, String> {
    use rcgen::PublicKeyData;
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if parsed.tbs_certificate.subject_pki.raw != key.subject_public_key_info() {
        return Err("found another key's".to_owned());
    }
    Ok(parsed.validity().not_after.to_datetime())
}

fn granted_role(path: &Path, requested: Option<Role>, wanted: Option<Role>) -> Result<Role, CertsError> {
    match (requested, wanted) {
        (Some(requested), Some(wanted)) if requested != wanted => Err(CertsError::RequestRole {
            path: path.to_owned(),
            requested,
            wanted,
        }),
        (Some(role), _) | (None, Some(role)) => Ok(role),
        (None, None) => Err(CertsError::RequestWithoutRole { path: path.to_owned() }),
    }
}

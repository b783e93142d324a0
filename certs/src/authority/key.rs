//! The authority's key: made, encrypted under its password, opened, and matched with the authority's certificate.

use std::path::Path;

use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{LineEnding, PrivateKeyInfo};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SerialNumber};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{KeyAlgorithm, Limits, content};
use crate::Password;
use crate::error::CertsError;
use crate::files;
use crate::pem::Sections;

pub(super) fn generate(algorithm: KeyAlgorithm) -> Result<KeyPair, CertsError> {
    let algorithm = match algorithm {
        KeyAlgorithm::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::Ed25519 => &PKCS_ED25519,
    };
    KeyPair::generate_for(algorithm).map_err(|error| super::crypto(&error))
}

/// Sixteen random bytes, positive as RFC 5280 section 4.1.2.2 wants it.
pub(super) fn random_serial() -> Result<SerialNumber, CertsError> {
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
pub(super) fn encrypt(key: &KeyPair, password: &Password) -> Result<Zeroizing<String>, CertsError> {
    let failed = |error: String| CertsError::crypto("encrypting the authority's key")(error);
    let der = Zeroizing::new(key.serialize_der());
    let (salt, iv) = (random::<16>()?, random::<16>()?);
    let cost = scrypt::Params::new(14, 8, 5, 32).map_err(|error| failed(error.to_string()))?;
    let params = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv).map_err(|error| failed(error.to_string()))?;
    let info = PrivateKeyInfo::try_from(der.as_slice()).map_err(|error| failed(error.to_string()))?;
    // Without the public key that ring puts beside an Ed25519 key (RFC 8410 section 7): OpenSSL doesn't read that.
    let info = PrivateKeyInfo::new(info.algorithm, info.private_key);
    let document = info
        .encrypt_with_params(params, password.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    document
        .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        .map_err(|error| failed(error.to_string()))
}

/// Opens the key that [`encrypt`] wrote.
pub(super) fn open(path: &Path, password: &Password) -> Result<KeyPair, CertsError> {
    files::check_secret(path)?;
    let no_key = || content(path, "the authority's private key", "found none".to_owned());
    let section = Sections::read(path)?.keys.pop().ok_or_else(no_key)?;
    KeyPair::try_from(&section.open(path, Some(password))?)
        .map_err(|error| content(path, "a private key that can sign", error.to_string()))
}

/// What the certificate allows, which must be this key's.
pub(super) fn limits(certificate: &CertificateDer<'_>, key: &KeyPair) -> Result<Limits, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if parsed.tbs_certificate.subject_pki.raw != key.subject_public_key_info() {
        return Err("found another key's".to_owned());
    }
    let constraints = parsed.basic_constraints().map_err(|error| error.to_string())?;
    Ok(Limits {
        not_after: parsed.validity().not_after.to_datetime(),
        path_length: constraints.and_then(|found| found.value.path_len_constraint),
    })
}

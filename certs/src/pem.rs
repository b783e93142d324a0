//! PEM files (RFC 7468): sections with any label, in any order, text between them ignored.

use std::path::Path;

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer,
    PrivateSec1KeyDer,
};
use x509_parser::pem::Pem;
use zeroize::Zeroize;

use crate::Password;
use crate::error::CertsError;
use crate::files;

/// What a PEM file holds.
#[derive(Default)]
pub(crate) struct Sections {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<KeySection>,
    pub(crate) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    pub(crate) requests: Vec<Vec<u8>>,
}

/// A private key as it stands in a file.
pub(crate) enum KeySection {
    Plain(PrivateKeyDer<'static>),
    /// `EncryptedPrivateKeyInfo` (RFC 5958 section 3).
    Encrypted(Vec<u8>),
}

/// Header of a private key that is encrypted with a password as PEM did it first (RFC 1421 section 4.6.1.1).
const OLD_ENCRYPTION: &[u8] = b"Proc-Type: 4,ENCRYPTED";

impl Sections {
    pub(crate) fn read(path: &Path) -> Result<Self, CertsError> {
        let mut bytes = files::read(path)?;
        let sections = Self::parse(&bytes).map_err(|found| CertsError::Content {
            path: path.to_owned(),
            expected: "PEM sections",
            found,
        });
        bytes.zeroize();
        sections
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut sections = Self::default();
        if bytes
            .windows(OLD_ENCRYPTION.len())
            .any(|window| window == OLD_ENCRYPTION)
        {
            return Err(
                "found a key encrypted in the way before PKCS #8: convert it with `openssl pkcs8 -topk8`".to_owned(),
            );
        }
        for section in Pem::iter_from_buffer(bytes) {
            let section = section.map_err(|error| format!("found a damaged section ({error})"))?;
            sections.take(&section.label, section.contents);
        }
        Ok(sections)
    }

    fn take(&mut self, label: &str, contents: Vec<u8>) {
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" => self.certificates.push(contents.into()),
            "X509 CRL" => self.revocation_lists.push(contents.into()),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => self.requests.push(contents),
            "PRIVATE KEY" => self
                .keys
                .push(KeySection::Plain(PrivatePkcs8KeyDer::from(contents).into())),
            "RSA PRIVATE KEY" => self
                .keys
                .push(KeySection::Plain(PrivatePkcs1KeyDer::from(contents).into())),
            "EC PRIVATE KEY" => self
                .keys
                .push(KeySection::Plain(PrivateSec1KeyDer::from(contents).into())),
            "ENCRYPTED PRIVATE KEY" => self.keys.push(KeySection::Encrypted(contents)),
            _ => {}
        }
    }
}

impl KeySection {
    /// The key itself, decrypted where it has to be.
    pub(crate) fn open(self, path: &Path, password: Option<&Password>) -> Result<PrivateKeyDer<'static>, CertsError> {
        let encrypted = match self {
            Self::Plain(key) => return Ok(key),
            Self::Encrypted(encrypted) => encrypted,
        };
        let Some(password) = password else {
            return Err(CertsError::PasswordNeeded { path: path.to_owned() });
        };
        let info =
            pkcs8::EncryptedPrivateKeyInfo::try_from(encrypted.as_slice()).map_err(|error| CertsError::Content {
                path: path.to_owned(),
                expected: "a PKCS #8 key encrypted with AES (RFC 8018)",
                found: format!("found something else ({error}): convert it with `openssl pkcs8 -topk8`"),
            })?;
        match info.decrypt(password.as_bytes()) {
            Ok(document) => Ok(PrivatePkcs8KeyDer::from(document.as_bytes().to_vec()).into()),
            Err(_) => Err(CertsError::WrongPassword { path: path.to_owned() }),
        }
    }
}

/// One PEM section.
pub(crate) fn encode(label: &str, der: &[u8]) -> Result<String, CertsError> {
    pkcs8::der::pem::encode_string(label, pkcs8::LineEnding::LF, der)
        .map_err(|error| CertsError::crypto("writing PEM")(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_sections_in_any_order_with_text_between_them() {
        let certificate = encode("CERTIFICATE", &[1, 2]).expect("PEM");
        let key = encode("PRIVATE KEY", &[3]).expect("PEM");
        for text in [
            format!("{key}some text\n{certificate}"),
            format!("{certificate}\n\n{key}"),
        ] {
            let sections = Sections::parse(text.as_bytes()).expect("sections");
            assert_eq!(sections.certificates, [CertificateDer::from(vec![1, 2])]);
            assert_eq!(sections.keys.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Sections::parse(&bytes);
            let mut text = b"-----BEGIN CERTIFICATE-----\n".to_vec();
            text.extend_from_slice(&bytes);
            let _ = Sections::parse(&text);
        }
    }
}

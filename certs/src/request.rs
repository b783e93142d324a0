//! Making a key and a certificate request where the certificate will be used: the key never travels.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::credentials;
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::role::{Role, SubjectName};

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct RequestOptions {
    /// The role.
    pub role: Role,
    /// The name; also that of the files.
    pub name: SubjectName,
    /// Host names and addresses under which others dial the holder.
    pub hosts: Vec<SubjectHost>,
}

/// A host in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SubjectHost {
    /// A DNS name; may start with `*.` for one label.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

impl FromStr for SubjectHost {
    type Err = CertsError;

    /// Reads an IP address, else a host name (RFC 1123 section 2.1).
    fn from_str(text: &str) -> Result<Self, CertsError> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let labels = text.strip_prefix("*.").unwrap_or(text);
        let good = labels.len() <= 253 && labels.split('.').all(is_label);
        if good {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(CertsError::Host(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SubjectHost {
    type Error = CertsError;

    fn try_from(text: String) -> Result<Self, CertsError> {
        text.parse()
    }
}

impl From<SubjectHost> for String {
    fn from(host: SubjectHost) -> Self {
        host.to_string()
    }
}

fn is_label(label: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
}

impl fmt::Display for SubjectHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The key that a renewed certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewedKey {
    /// The one in use: only the certificate's file changes.
    Same,
    /// A new one.
    New,
}

/// Makes a request for the same role, name and hosts as a certificate in use, `NAME.csr` in `directory`. With a new key
/// that is written there too, as `NAME.key`. Gives back the key's path, where there is a new one, and the request's.
///
/// # Errors
/// Where certificate or key can't be read, the key is of a kind that can't sign requests, or as [`create_request`].
pub fn create_renewal(
    identity: &Path,
    key: RenewedKey,
    directory: &Path,
) -> Result<(Option<PathBuf>, PathBuf), CertsError> {
    let (holder, key_der) = credentials::holder_and_key(identity)?;
    let hosts: Result<_, _> = holder.hosts.iter().map(|host| host.parse()).collect();
    let options = RequestOptions {
        role: holder.role,
        name: holder.name,
        hosts: hosts?,
    };
    match key {
        RenewedKey::New => create_request(directory, &options).map(|(key, request)| (Some(key), request)),
        RenewedKey::Same => {
            let key = KeyPair::try_from(&key_der).map_err(|error| CertsError::Content {
                path: identity.to_owned(),
                expected: "a private key in PKCS#8 that can sign a request",
                found: format!("found one that can't ({error}); renew with a new key"),
            })?;
            files::create_directory(directory)?;
            Ok((None, write_request(directory, &options, &key)?))
        }
    }
}

/// Makes an ECDSA P-256 key and a request signed with it: `NAME.key` (mode 0600) and `NAME.csr` in `directory`.
/// Gives back the two paths in this order.
///
/// # Errors
/// Where a key of that name is there already, or a file can't be written.
pub fn create_request(directory: &Path, options: &RequestOptions) -> Result<(PathBuf, PathBuf), CertsError> {
    let key = new_key()?;
    files::create_directory(directory)?;
    let key_path = directory.join(format!("{}.key", options.name));
    write_key(&key_path, &key)?;
    Ok((key_path, write_request(directory, options, &key)?))
}

pub(crate) fn new_key() -> Result<KeyPair, CertsError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| CertsError::crypto("making a key")(error.to_string()))
}

/// Never in another key's place.
pub(crate) fn write_key(path: &Path, key: &KeyPair) -> Result<(), CertsError> {
    let pem = Zeroizing::new(key.serialize_pem());
    files::write(path, pem.as_bytes(), Readers::Owner, Existing::Kept)
}

/// A request in PEM.
pub(crate) fn request_pem(options: &RequestOptions, key: &KeyPair) -> Result<String, CertsError> {
    let crypto = |error: rcgen::Error| CertsError::crypto("making a request")(error.to_string());
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&options.name);
    params.subject_alt_names = alternative_names(options.role, &options.name, &options.hosts)?;
    params.serialize_request(key).map_err(crypto)?.pem().map_err(crypto)
}

fn write_request(directory: &Path, options: &RequestOptions, key: &KeyPair) -> Result<PathBuf, CertsError> {
    let request = request_pem(options, key)?;
    let path = directory.join(format!("{}.csr", options.name));
    files::write(&path, request.as_bytes(), Readers::All, Existing::Replaced)?;
    Ok(path)
}

pub(crate) fn distinguished_name(common_name: &SubjectName) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name.as_str());
    name
}

pub(crate) fn alternative_names(
    role: Role,
    name: &SubjectName,
    hosts: &[SubjectHost],
) -> Result<Vec<SanType>, CertsError> {
    let host_text = |text: &str| CertsError::Host(text.to_owned());
    let uri = |text: String| text.clone().try_into().map(SanType::URI).map_err(|_| host_text(&text));
    let mut names = vec![uri(role.to_uri())?, uri(name.to_uri())?];
    for host in hosts {
        names.push(match host {
            SubjectHost::Address(address) => SanType::IpAddress(*address),
            SubjectHost::Name(text) => SanType::DnsName(text.clone().try_into().map_err(|_| host_text(text))?),
        });
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_host_names_from_addresses() {
        assert_eq!(
            "10.1.1.5".parse::<SubjectHost>().expect("good"),
            SubjectHost::Address([10, 1, 1, 5].into())
        );
        assert_eq!("[::1]".parse::<SubjectHost>().expect("good").to_string(), "::1");
        assert_eq!(
            "GW1.example.org".parse::<SubjectHost>().expect("good"),
            SubjectHost::Name("gw1.example.org".into())
        );
        for bad in ["", "a..b", "-a", "a b", "ä.example", "http://x"] {
            assert!(bad.parse::<SubjectHost>().is_err(), "{bad:?}");
        }
    }
}

//! Certificate requests (PKCS #10, RFC 2986) as material to judge: only the public key, the host names and addresses,
//! the role and the name are taken out of them, and whether an authority asks.
//!
//! Everything else a request may ask for (key usages, unknown extensions) is passed over, so that requests made by other
//! tools with extensions of their own can be signed, too. CA rights are passed over but where the operator says that it is
//! an authority's request.

use std::net::IpAddr;
use std::path::Path;

use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::error::CertsError;
use crate::identity::address;
use crate::pem::Sections;
use crate::request::SubjectHost;
use crate::role::{Role, SubjectName};

/// Fewest bits of an RSA key that gets a certificate (NIST SP 800-57 part 1, 112 bits of security).
const MIN_RSA_BITS: usize = 2048;

/// A request whose signature was verified.
#[derive(Debug, Clone)]
pub struct SigningRequest {
    pub(crate) public_key: SubjectPublicKeyInfo,
    /// The role it asks for, if any.
    pub role: Option<Role>,
    /// The name it asks for: its URI, else its common name.
    pub name: Option<SubjectName>,
    /// The hosts it asks for.
    pub hosts: Vec<SubjectHost>,
    /// Whether it asks for the rights of an authority, which only [`sign_intermediate`] gives.
    ///
    /// [`sign_intermediate`]: crate::CertificateAuthority::sign_intermediate
    pub authority: bool,
    /// Alternative names of other kinds, which no certificate will carry.
    pub ignored: Vec<String>,
}

impl SigningRequest {
    /// Reads and verifies a request in PEM.
    ///
    /// # Errors
    /// Where the file can't be read, holds no or several requests, the request isn't signed with its own key, or the
    /// key is of no accepted kind (ECDSA P-256 or P-384, Ed25519, RSA of at least 2048 bits).
    pub fn load(path: &Path) -> Result<Self, CertsError> {
        let requests = Sections::read(path)?.requests;
        let [request] = requests.as_slice() else {
            return Err(CertsError::Content {
                path: path.to_owned(),
                expected: "one certificate request",
                found: format!("found {}", requests.len()),
            });
        };
        Self::parse(request).map_err(|problem| CertsError::Request {
            path: path.to_owned(),
            problem,
        })
    }

    pub(crate) fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, request) = X509CertificationRequest::from_der(der).map_err(|error| error.to_string())?;
        let info = &request.certification_request_info;
        refuse_weak_key(&info.subject_pki.parsed().map_err(|error| error.to_string())?)?;
        request
            .verify_signature()
            .map_err(|_| "its signature isn't by its own key".to_owned())?;
        let public_key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
            .map_err(|_| "its key is neither ECDSA P-256 or P-384, Ed25519 nor RSA".to_owned())?;
        let mut parsed = Self {
            public_key,
            role: None,
            name: None,
            hosts: Vec::new(),
            authority: asks_for_authority(&request),
            ignored: Vec::new(),
        };
        for name in alternative_names(&request) {
            parsed.take(name)?;
        }
        if parsed.name.is_none() {
            let common_name = info
                .subject
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok());
            parsed.name = common_name.and_then(|text| SubjectName::new(text).ok());
        }
        Ok(parsed)
    }

    fn take(&mut self, name: &GeneralName<'_>) -> Result<(), String> {
        match name {
            GeneralName::URI(uri) => self.take_uri(uri),
            GeneralName::DNSName(host) => {
                let host = host.parse().map_err(|error: CertsError| error.to_string())?;
                self.hosts.push(host);
                Ok(())
            }
            GeneralName::IPAddress(bytes) => {
                let ip: IpAddr = address(bytes).ok_or("it holds an IP address of neither 4 nor 16 bytes")?;
                self.hosts.push(SubjectHost::Address(ip));
                Ok(())
            }
            other => {
                self.ignored.push(other.to_string());
                Ok(())
            }
        }
    }

    fn take_uri(&mut self, uri: &str) -> Result<(), String> {
        if let Some(role) = Role::from_uri(uri) {
            let role = role.map_err(|error| error.to_string())?;
            if self.role.replace(role).is_some() {
                return Err("it asks for more than one role".to_owned());
            }
        } else if let Some(name) = SubjectName::from_uri(uri) {
            let name = name.map_err(|error| error.to_string())?;
            if self.name.replace(name).is_some() {
                return Err("it asks for more than one name".to_owned());
            }
        } else {
            self.ignored.push(uri.to_owned());
        }
        Ok(())
    }
}

fn asks_for_authority(request: &X509CertificationRequest<'_>) -> bool {
    let asks =
        |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::BasicConstraints(found) if found.ca);
    request
        .requested_extensions()
        .is_some_and(|mut extensions| extensions.any(asks))
}

fn alternative_names<'a>(request: &'a X509CertificationRequest<'a>) -> Vec<&'a GeneralName<'a>> {
    let Some(extensions) = request.requested_extensions() else {
        return Vec::new();
    };
    extensions
        .filter_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.iter()),
            _ => None,
        })
        .flatten()
        .collect()
}

fn refuse_weak_key(key: &PublicKey<'_>) -> Result<(), String> {
    match key {
        PublicKey::RSA(rsa) if rsa.key_size() < MIN_RSA_BITS => Err(format!(
            "its RSA key has {} bits, at least {MIN_RSA_BITS} are needed",
            rsa.key_size()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_no_request_but_never_a_panic(bytes: Vec<u8>) {
            prop_assert!(SigningRequest::parse(&bytes).is_err());
        }
    }
}

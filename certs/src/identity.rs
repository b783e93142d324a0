//! Who a certificate says its holder is.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::problem::CertificateProblem;
use crate::role::{Role, SubjectName};

/// Holder of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What he may be.
    pub role: Role,
    /// His name.
    pub name: SubjectName,
    /// The certificate's serial number.
    pub serial: Serial,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// Begin of its validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of its validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Host names and IP addresses it is good for.
    pub hosts: Vec<String>,
    /// Distinguished name of who issued it.
    pub issuer: String,
}

/// Serial number of a certificate (RFC 5280 section 4.1.2.2), written in hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Takes the number as big-endian bytes; leading zeros don't count.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
        Self(bytes.get(first..).unwrap_or_default().to_vec())
    }

    /// Reads hexadecimal digits, with or without colons between them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<_> = text.chars().filter(|&c| c != ':').collect();
        if digits.is_empty() || digits.len() > 64 {
            return None;
        }
        let nibbles: Option<Vec<_>> = digits.iter().map(|c| c.to_digit(16)).collect();
        let mut nibbles = nibbles?;
        if nibbles.len() % 2 == 1 {
            nibbles.insert(0, 0);
        }
        let bytes: Vec<_> = nibbles
            .chunks_exact(2)
            .filter_map(|pair| u8::try_from(pair.iter().fold(0, |sum, nibble| sum << 4 | nibble)).ok())
            .collect();
        Some(Self::from_bytes(&bytes))
    }

    /// The number as big-endian bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// SHA-256 of a certificate, written in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The hash itself.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The fingerprint of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes, written in hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who the first certificate of a chain says its holder is. The chain must have been verified already.
///
/// # Errors
/// [`CertificateProblem`] where the chain is empty, unreadable, or without exactly one role and one name.
pub fn peer_identity(chain: &[CertificateDer<'_>]) -> Result<Identity, CertificateProblem> {
    let leaf = chain.first().ok_or(CertificateProblem::Missing)?;
    let certificate = parse(leaf)?;
    let names = alternative_names(&certificate);
    Ok(Identity {
        role: role(&names)?,
        name: name(&certificate, &names)?,
        serial: Serial::from_bytes(certificate.raw_serial()),
        fingerprint: Fingerprint::of(leaf),
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        hosts: names.iter().copied().filter_map(host).collect(),
        issuer: certificate.issuer().to_string(),
    })
}

/// When the first certificate of a chain ends.
pub fn chain_end(chain: &[CertificateDer<'_>]) -> Option<OffsetDateTime> {
    let ends = chain.iter().filter_map(|certificate| parse(certificate).ok());
    ends.map(|certificate| certificate.validity().not_after.to_datetime())
        .min()
}

/// The hosts alone, likewise.
pub(crate) fn hosts_of(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = parse(leaf) else { return Vec::new() };
    alternative_names(&parsed).into_iter().filter_map(host).collect()
}

/// Whether holder and issuer are one, as far as a certificate says.
pub(crate) fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    parse(certificate).is_ok_and(|parsed| parsed.subject() == parsed.issuer())
}

/// Who issued a certificate, and its number: what revocation lists name it by.
pub(crate) fn issuer_and_serial(certificate: &CertificateDer<'_>) -> Option<(String, Serial)> {
    let parsed = parse(certificate).ok()?;
    Some((parsed.issuer().to_string(), Serial::from_bytes(parsed.raw_serial())))
}

/// The role alone, for a certificate that failed otherwise.
pub(crate) fn role_of(leaf: &CertificateDer<'_>) -> Result<Role, CertificateProblem> {
    role(&alternative_names(&parse(leaf)?))
}

fn parse<'a>(leaf: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateProblem> {
    match X509Certificate::from_der(leaf.as_ref()) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(CertificateProblem::Unverifiable(error.to_string())),
    }
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a GeneralName<'a>> {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().collect(),
        Ok(None) | Err(_) => Vec::new(),
    }
}

fn uris<'a>(names: &'a [&GeneralName<'_>]) -> impl Iterator<Item = &'a str> {
    names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}

fn role(names: &[&GeneralName<'_>]) -> Result<Role, CertificateProblem> {
    let no_role = |text: String| CertificateProblem::NoRole(text);
    let mut found = uris(names).filter_map(Role::from_uri);
    let Some(role) = found.next() else {
        return Err(no_role("no URI urn:silentmon:role:…".to_owned()));
    };
    if found.next().is_some() {
        return Err(no_role("more than one role".to_owned()));
    }
    role.map_err(|error| no_role(error.to_string()))
}

fn name(certificate: &X509Certificate<'_>, names: &[&GeneralName<'_>]) -> Result<SubjectName, CertificateProblem> {
    let no_name = |text: String| CertificateProblem::NoRole(text);
    let mut found = uris(names).filter_map(SubjectName::from_uri);
    let Some(name) = found.next() else {
        return common_name(certificate).ok_or_else(|| no_name("no name".to_owned()));
    };
    if found.next().is_some() {
        return Err(no_name("more than one name".to_owned()));
    }
    name.map_err(|error| no_name(error.to_string()))
}

/// Third-party authorities may not copy the name's URI; the common name has to do then.
pub(crate) fn common_name(certificate: &X509Certificate<'_>) -> Option<SubjectName> {
    let text = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    SubjectName::new(text).ok()
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string()),
        _ => None,
    }
}

/// The address in an iPAddress name: four or sixteen bytes (RFC 5280 section 4.2.1.6).
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_serial_number_reads_back_with_colons_and_odd_digits() {
        let serial = Serial::from_bytes(&[0, 0x0a, 0xff]);
        assert_eq!(serial.to_string(), "0aff");
        for text in ["0aff", "aff", "0A:FF", "000aff"] {
            assert_eq!(Serial::from_hex(text), Some(serial.clone()), "{text}");
        }
        assert_eq!(Serial::from_hex("xyz"), None);
        assert_eq!(Serial::from_hex(""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_certificate_but_never_a_panic(bytes: Vec<u8>) {
            prop_assert!(peer_identity(&[CertificateDer::from(bytes)]).is_err());
        }
    }
}

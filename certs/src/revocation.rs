//! The authority's revocation list (RFC 5280 section 5): read, extended, signed again.

use std::path::Path;

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::identity::Serial;
use crate::pem::{Sections, encode};

/// How long a list is good. Each signing and each revocation writes a new one.
const VALIDITY: Duration = Duration::days(825);

/// A certificate that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Its serial number.
    pub serial: Serial,
    /// When it was taken back.
    pub revoked_at: OffsetDateTime,
}

/// The list as it stands in a file: its number and its entries.
#[derive(Debug, Default)]
pub(crate) struct RevocationList {
    number: Vec<u8>,
    pub(crate) entries: Vec<RevokedEntry>,
}

impl RevocationList {
    pub(crate) fn load(path: &Path) -> Result<Self, CertsError> {
        let damaged = |found: String| CertsError::Content {
            path: path.to_owned(),
            expected: "the authority's revocation list",
            found,
        };
        let lists = Sections::read(path)?.revocation_lists;
        let [list] = lists.as_slice() else {
            return Err(damaged(format!("found {}", lists.len())));
        };
        let (_, parsed) = CertificateRevocationList::from_der(list).map_err(|error| damaged(error.to_string()))?;
        let entries = parsed.iter_revoked_certificates().map(|entry| RevokedEntry {
            serial: Serial::from_bytes(entry.raw_serial()),
            revoked_at: entry.revocation_date.to_datetime(),
        });
        Ok(Self {
            number: parsed
                .crl_number()
                .map(x509_parser::num_bigint::BigUint::to_bytes_be)
                .unwrap_or_default(),
            entries: entries.collect(),
        })
    }

    pub(crate) fn contains(&self, serial: &Serial) -> bool {
        self.entries.iter().any(|entry| entry.serial == *serial)
    }

    /// Signs the list under the next number and replaces the file.
    pub(crate) fn write(
        &self,
        path: &Path,
        issuer: &Issuer<'_, KeyPair>,
        now: OffsetDateTime,
    ) -> Result<(), CertsError> {
        let crypto = |error: rcgen::Error| CertsError::crypto("signing the revocation list")(error.to_string());
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: now + VALIDITY,
            crl_number: SerialNumber::from(successor(&self.number)),
            issuing_distribution_point: None,
            revoked_certs: self.entries.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(issuer).map_err(crypto)?;
        let text = encode("X509 CRL", list.der())?;
        files::write(path, text.as_bytes(), Readers::All, Existing::Replaced)
    }
}

fn revoked(entry: &RevokedEntry) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(entry.serial.as_bytes()),
        revocation_time: entry.revoked_at,
        reason_code: Some(RevocationReason::Unspecified),
        invalidity_date: None,
    }
}

/// The number after a big-endian number.
fn successor(number: &[u8]) -> Vec<u8> {
    let mut next = number.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return next;
        }
    }
    next.insert(0, 1);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lists_count_on_over_bytes() {
        assert_eq!(successor(&[]), [1]);
        assert_eq!(successor(&[1]), [2]);
        assert_eq!(successor(&[0xff]), [1, 0]);
        assert_eq!(successor(&[1, 0xff]), [2, 0]);
    }
}

//! The token: what it is called, its secret, and whom to trust with it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::identity::Fingerprint;

/// Bytes of a token's name.
pub(super) const ID: usize = 8;
/// Bytes of its secret: nobody guesses 128 random bits, so a plain hash keeps it.
pub(super) const SECRET: usize = 16;
/// Bytes of the fingerprint.
const PIN: usize = 32;
/// What a token begins with, so that it is recognised where it was pasted to.
const PREFIX: &str = "smt1_";

/// A one-time token: `smt1_` and 56 bytes in base64url (RFC 4648 section 5).
#[derive(Clone)]
pub struct Token {
    pub(super) id: [u8; ID],
    pub(super) secret: Zeroizing<[u8; SECRET]>,
    /// The enrolment service's certificate.
    pub(super) pin: Fingerprint,
}

/// A text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an enrolment token, {PREFIX} and 75 letters and digits, as `silentmon certs token` shows it")]
pub struct BadToken;

impl Token {
    /// What is kept of a secret.
    pub(super) fn hash(secret: &[u8]) -> [u8; 32] {
        Sha256::digest(secret).into()
    }

    /// The token as it is handed over; a secret.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ID + SECRET + PIN));
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.secret[..]);
        bytes.extend_from_slice(self.pin.as_bytes());
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes[..])))
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(BadToken)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadToken)?);
        let (id, rest) = bytes.split_first_chunk::<ID>().ok_or(BadToken)?;
        let (secret, rest) = rest.split_first_chunk::<SECRET>().ok_or(BadToken)?;
        let pin = <[u8; PIN]>::try_from(rest).map_err(|_| BadToken)?;
        Ok(Self {
            id: *id,
            secret: Zeroizing::new(*secret),
            pin: Fingerprint::from(pin),
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_reads_back_and_is_not_shown_by_accident() {
        let token = Token {
            id: [1; ID],
            secret: Zeroizing::new([2; SECRET]),
            pin: Fingerprint::from([3; PIN]),
        };
        let text = token.expose();
        let read: Token = text.parse().expect("a token");
        assert_eq!((read.id, *read.secret, read.pin), (token.id, *token.secret, token.pin));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(smt1_)?[A-Za-z0-9_-]{0,90}") {
            if let Ok(token) = text.parse::<Token>() {
                let again = token.expose();
                prop_assert_eq!(again.as_str(), text.as_str());
            }
        }
    }
}

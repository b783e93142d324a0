//! Numbers used once: an ID token has to carry one that this service gave away lately, and is taken once. What is given away
//! isn't kept, but signed, so that nobody fills a table; what was used is kept until it would be too old.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

/// For how many seconds one is good: as long as somebody may take to sign in at the issuer.
pub const LASTING: u64 = 600;
/// Most that are kept as used.
const MOST_USED: usize = 16_384;
const RANDOM: usize = 16;
const TIME: usize = 8;
const TAG: usize = 32;

/// Why a nonce isn't good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadNonce {
    /// It was never given away, or is too old.
    Unknown,
    /// Its token was used already.
    Used,
    /// Too many were used lately.
    TooMany,
}

/// See the module.
pub struct Nonces {
    key: hmac::Key,
    used: Mutex<HashMap<[u8; RANDOM], u64>>,
}

impl Nonces {
    /// With a key of its own.
    ///
    /// # Errors
    /// Where there are no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            used: Mutex::default(),
        })
    }

    /// Gives one away at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Where there are no random numbers.
    pub fn issue(&self, now: u64) -> Result<String, getrandom::Error> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random)?;
        let body = [&random[..], &now.to_be_bytes()].concat();
        let tag = hmac::sign(&self.key, &body);
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&body, tag.as_ref()].concat()))
    }

    /// Takes one for used.
    ///
    /// # Errors
    /// Why it isn't good.
    pub fn take(&self, text: &str, now: u64) -> Result<(), BadNonce> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BadNonce::Unknown)?;
        let bytes: &[u8; RANDOM + TIME + TAG] = bytes.as_slice().try_into().map_err(|_| BadNonce::Unknown)?;
        let (body, tag) = bytes.split_at(RANDOM + TIME);
        hmac::verify(&self.key, body, tag).map_err(|_| BadNonce::Unknown)?;
        let (Some((random, rest)), mut used) = (
            body.split_first_chunk::<RANDOM>(),
            self.used.lock().unwrap_or_else(PoisonError::into_inner),
        ) else {
            return Err(BadNonce::Unknown);
        };
        let issued = rest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        if now.saturating_sub(issued) >= LASTING {
            return Err(BadNonce::Unknown);
        }
        if used.contains_key(random) {
            return Err(BadNonce::Used);
        }
        if used.len() >= MOST_USED {
            used.retain(|_, issued| now.saturating_sub(*issued) < LASTING);
        }
        if used.len() >= MOST_USED {
            return Err(BadNonce::TooMany);
        }
        used.insert(*random, issued);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_here_and_for_its_time() {
        let (nonces, other) = (Nonces::new().expect("made"), Nonces::new().expect("made"));
        let [first, second, third] = [(); 3].map(|()| nonces.issue(1000).expect("issued"));
        assert_eq!(nonces.take(&first, 1599), Ok(()));
        assert_eq!(nonces.take(&first, 1599), Err(BadNonce::Used));
        assert_eq!(nonces.take(&second, 1600), Err(BadNonce::Unknown));
        assert_eq!(other.take(&third, 1001), Err(BadNonce::Unknown));
        for forged in [
            "",
            "AA",
            &third[1..],
            &format!("{third}AA"),
            &third.replace(&third[..4], "AAAA"),
        ] {
            assert_eq!(nonces.take(forged, 1001), Err(BadNonce::Unknown), "{forged}");
        }
        assert_eq!(nonces.take(&third, 1001), Ok(()));
    }
}

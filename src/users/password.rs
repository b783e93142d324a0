//! Hashes of passwords: Argon2id with the second recommended option of RFC 9106 section 4 (3 passes over 64 MiB in 4
//! lanes, a salt of 128 bits, a tag of 256).

use std::fmt;
use std::sync::LazyLock;

use argon2::password_hash::{PasswordHash as Parsed, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;
const SALT_BYTES: usize = 16;
/// No hash may cost more to check than this many times what ours costs: the file is the operator's, and may be wrong.
const MOST_MEMORY_KIB: u32 = 4 * MEMORY_KIB;
const MOST_PASSES: u32 = 16;

/// A password's hash, in the PHC string format. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password with a salt of its own. Takes a tenth of a second or more, and 64 MiB.
    ///
    /// # Errors
    /// Where there are no random numbers or not enough memory.
    pub fn of(password: &str) -> anyhow::Result<Self> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        let wrong = |error| anyhow::anyhow!("the password can't be hashed: {error}");
        let salt = SaltString::encode_b64(&salt).map_err(wrong)?;
        let hash = hasher().hash_password(password.as_bytes(), &salt).map_err(wrong)?;
        Ok(Self(hash.to_string()))
    }

    /// Whether this is the password. Takes as long as hashing it.
    pub fn is_of(&self, password: &str) -> bool {
        let Ok(parsed) = Parsed::new(&self.0) else { return false };
        hasher().verify_password(password.as_bytes(), &parsed).is_ok()
    }

    /// What tells this hash from that of another password.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The hash that a password is checked against where nobody has the name: it takes as long, and nobody knows the password.
pub fn unknown() -> Option<&'static PasswordHash> {
    static UNKNOWN: LazyLock<Option<PasswordHash>> = LazyLock::new(|| {
        let password = Secret::random().ok()?;
        PasswordHash::of(password.expose()).ok()
    });
    UNKNOWN.as_ref()
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl TryFrom<String> for PasswordHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected = || "expected an Argon2id hash in the PHC string format".to_owned();
        let parsed = Parsed::new(&text).map_err(|_| expected())?;
        let params = Params::try_from(&parsed).map_err(|_| expected())?;
        let bearable = params.m_cost() <= MOST_MEMORY_KIB && params.t_cost() <= MOST_PASSES;
        if parsed.algorithm != argon2::ARGON2ID_IDENT || parsed.hash.is_none() || !bearable {
            return Err(expected());
        }
        Ok(Self(text))
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let hash = PasswordHash::of("correct horse").expect("hashes");
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=65536,t=3,p=4$"),
            "{}",
            hash.as_str()
        );
        assert!(hash.is_of("correct horse"));
        assert!(!hash.is_of("correct horsf") && !hash.is_of(""));
        assert_ne!(
            hash,
            PasswordHash::of("correct horse").expect("hashes"),
            "each has a salt of its own"
        );
        assert!(!format!("{hash:?}").contains("argon2id"));
    }

    #[test]
    fn what_is_no_bearable_argon2id_hash_is_none() {
        let hash = PasswordHash::of("correct horse").expect("hashes").0;
        let bad = [
            "",
            "hunter2",
            "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &hash.replace("m=65536", "m=4194304"),
            &hash.replace("t=3", "t=4000000"),
            hash.rsplit_once('$').expect("parts").0,
        ];
        for bad in bad {
            assert!(PasswordHash::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(PasswordHash::try_from(hash).is_ok());
    }
}

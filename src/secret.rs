//! Passwords and tokens: made, compared, never shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// A password or token. Neither logs nor `config print` show it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Random bytes of the system's, 256 bits, as hexadecimal digits.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let digits = |text: String, byte: &u8| text + &format!("{byte:02x}");
        Ok(Self(bytes.iter().fold(String::new(), digits)))
    }

    /// What is secret.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is it; takes the same time wherever the difference is.
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::from("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).expect("writes").contains("hunter2"));
    }

    #[test]
    fn a_secret_is_compared_in_full() {
        let secret = Secret::from("hunter2");
        assert!(secret.is(b"hunter2"));
        assert!(!secret.is(b"hunter") && !secret.is(b"hunter22") && !secret.is(b"Hunter2"));
    }
}

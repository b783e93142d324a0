//! Role and name of a certificate's holder, and the URIs that carry them (RFC 5280 section 4.2.1.6,
//! uniformResourceIdentifier).
//!
//! `urn:silentmon:role:capture` and `urn:silentmon:name:gw1`; in the name all bytes but unreserved ones (RFC 3986
//! section 2.3) are percent-encoded. A certificate has one of each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const ROLE_PREFIX: &str = "urn:silentmon:role:";
const NAME_PREFIX: &str = "urn:silentmon:name:";

/// What the holder of a certificate may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A capture server; the only role accepted from whoever is dialled.
    Capture,
    /// A supervisor's program.
    Supervisor,
    /// An administrator's program.
    Admin,
    /// A program at an agent's desk; its name is the agent's id.
    Desktop,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Capture, Self::Supervisor, Self::Admin, Self::Desktop];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Supervisor => "supervisor",
            Self::Admin => "admin",
            Self::Desktop => "desktop",
        }
    }

    /// The URI that says so in a certificate.
    pub fn to_uri(self) -> String {
        format!("{ROLE_PREFIX}{}", self.name())
    }

    /// The role that a URI names; `None` where the URI is about something else.
    pub fn from_uri(uri: &str) -> Option<Result<Self, UnknownRole>> {
        uri.strip_prefix(ROLE_PREFIX).map(str::parse)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected role desktop, capture, supervisor or admin, found \"{0}\"")]
pub struct UnknownRole(String);

/// The name in a certificate: 1 to 64 characters (RFC 5280 appendix A, ub-common-name), usable as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectName(String);

impl TryFrom<String> for SubjectName {
    type Error = BadSubjectName;

    fn try_from(text: String) -> Result<Self, BadSubjectName> {
        Self::new(text)
    }
}

impl From<SubjectName> for String {
    fn from(name: SubjectName) -> Self {
        name.0
    }
}

impl SubjectName {
    /// Takes a name.
    ///
    /// # Errors
    /// Where it is empty, longer than 64 characters, starts with a dot or a hyphen, or holds a control character, a
    /// slash or a backslash.
    pub fn new(text: impl Into<String>) -> Result<Self, BadSubjectName> {
        let text = text.into();
        let characters = text.chars().count();
        let forbidden = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
        let good = (1..=64).contains(&characters)
            && !text.starts_with(['.', '-'])
            && text.trim() == text
            && !text.contains(forbidden);
        if good {
            Ok(Self(text))
        } else {
            Err(BadSubjectName(text))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI that carries it in a certificate.
    pub fn to_uri(&self) -> String {
        let mut uri = NAME_PREFIX.to_owned();
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                uri.push(char::from(byte));
            } else {
                let digit = |nibble: u8| {
                    char::from_digit(u32::from(nibble), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase()
                };
                uri.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
            }
        }
        uri
    }

    /// The name that a URI carries; `None` where the URI is about something else.
    pub fn from_uri(uri: &str) -> Option<Result<Self, BadSubjectName>> {
        let encoded = uri.strip_prefix(NAME_PREFIX)?;
        let bad = || BadSubjectName(encoded.to_owned());
        Some(percent_decode(encoded).ok_or_else(bad).and_then(Self::new))
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SubjectName {
    type Err = BadSubjectName;

    fn from_str(text: &str) -> Result<Self, BadSubjectName> {
        Self::new(text)
    }
}

/// A text that can't be the name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "expected a name of 1 to 64 characters without slash, backslash, colon, control character or leading dot, found {0:?}"
)]
pub struct BadSubjectName(String);

fn percent_decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (
            char::from(rest.next()?).to_digit(16)?,
            char::from(rest.next()?).to_digit(16)?,
        );
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_role_reads_back_from_its_uri() {
        for role in Role::ALL {
            assert_eq!(Role::from_uri(&role.to_uri()), Some(Ok(role)));
        }
        assert_eq!(Role::from_uri("urn:other:role:capture"), None);
        assert!(matches!(Role::from_uri("urn:silentmon:role:root"), Some(Err(_))));
    }

    #[test]
    fn a_name_that_could_leave_its_directory_is_refused() {
        for bad in [
            "",
            "../x",
            "a/b",
            "a\\b",
            ".hidden",
            "-rf",
            " x",
            "a\nb",
            &"x".repeat(65),
        ] {
            assert!(SubjectName::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back_from_its_uri(text in "\\PC{1,64}") {
            if let Ok(name) = SubjectName::new(text) {
                prop_assert!(name.to_uri().is_ascii());
                prop_assert_eq!(SubjectName::from_uri(&name.to_uri()), Some(Ok(name)));
            }
        }

        #[test]
        fn any_uri_is_read_without_panic(text in "urn:silentmon:name:\\PC*") {
            let _ = SubjectName::from_uri(&text);
        }
    }
}

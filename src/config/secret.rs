//! Passwords and tokens: from the environment, a file of their own or the configuration itself; never shown again.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};
use silentmon_proto::ids::LinkName;

use super::ENVIRONMENT_PREFIX;
use crate::exit::{ExitKind, Failure};

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
        let known = self.0.as_bytes();
        known.len() == shown.len() && known.iter().zip(shown).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
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

/// The environment variable that names a secret of a CTI source: `SILENTMON_CTI_` and the source's name and the key,
/// in capitals, anything but letters and digits as `_`.
fn variable(source: &LinkName, key: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = format!("{source}_{key}").chars().map(plain).collect();
    format!("{ENVIRONMENT_PREFIX}CTI_{name}")
}

/// The secret that a CTI source calls `key`: from the environment, else the file, else as the configuration itself has
/// it. A file's last line break is no part of it.
///
/// # Errors
/// `BadConfig` where the file can't be read or is empty.
pub fn of_source(
    source: &LinkName,
    key: &str,
    file: Option<&Path>,
    inline: Option<&Secret>,
) -> anyhow::Result<Option<Secret>> {
    if let Ok(value) = std::env::var(variable(source, key)) {
        return Ok(Some(Secret(value)));
    }
    find(file, inline)
}

/// The secret in the file, else as the configuration itself has it.
///
/// # Errors
/// As [`of_source`].
pub fn find(file: Option<&Path>, inline: Option<&Secret>) -> anyhow::Result<Option<Secret>> {
    match file {
        Some(path) => read(path).map(Some),
        None => Ok(inline.cloned()),
    }
}

fn read(path: &Path) -> anyhow::Result<Secret> {
    let complain = |what: String| Failure::error(ExitKind::BadConfig, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| complain(format!("can't read the secret: {error}")))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(complain("expected a password or token, found nothing".to_owned()));
    }
    Ok(Secret(text.to_owned()))
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

    #[test]
    fn a_sources_variable_is_named_after_it() {
        assert_eq!(variable(&"csta-1".into(), "password"), "SILENTMON_CTI_CSTA_1_PASSWORD");
    }

    #[test]
    fn the_line_break_at_a_files_end_is_no_part_of_the_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2 \r\n").expect("writes");
        let found = find(Some(&path), None).expect("reads");
        assert_eq!(found, Some(Secret::from("hunter2 ")));
        std::fs::write(&path, "\n").expect("writes");
        assert!(find(Some(&path), None).is_err());
    }
}

//! How records hang together: a number that counts on, and the hash of the line before.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::mark;

/// No record is longer, in bytes.
pub const LONGEST: usize = 16 << 20;

/// SHA-256 of a line without its line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first record of all carries.
    pub const FIRST: Self = Self([0; 32]);

    /// The hash of a line.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected 64 hexadecimal digits, found \"{text}\"");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in the chain: a record's number and the hash of its line. Written `17:ab12…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The record's number; the first of all is 1, and 0 is before it.
    pub n: u64,
    /// The hash of its line.
    pub hash: Hash,
}

impl Link {
    /// Before the first record.
    pub const BEGIN: Self = Self {
        n: 0,
        hash: Hash::FIRST,
    };
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.hash)
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected NUMBER:HASH as `audit verify` prints it, found \"{text}\"");
        let (n, hash) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            n: n.parse().map_err(|_| wrong())?,
            hash: hash.parse()?,
        })
    }
}

/// What every record has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Its number.
    pub n: u64,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The hash of the line before it.
    pub previous: Hash,
    /// What happened.
    pub event: String,
}

impl Record {
    /// Reads a line.
    ///
    /// # Errors
    /// Where it isn't a record, with what was expected.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Its place in the chain; `line` is what it was read from.
    pub fn link(&self, line: &[u8]) -> Link {
        Link {
            n: self.n,
            hash: Hash::of(line),
        }
    }
}

/// The file beside a journal that says which record is the last.
pub fn head_path(journal: &Path) -> PathBuf {
    mark::beside(journal, ".head")
}

/// What the head beside a journal says; `None` where there is none.
///
/// # Errors
/// Where it can't be read, or says something else.
pub fn read_head(journal: &Path) -> io::Result<Option<Link>> {
    mark::read(&head_path(journal))
}

//! What the members of a cluster keep in a key-value store, where they learn of each other by one.
//!
//! A member keeps a [`MemberRecord`], which it renews, and a log of what it knows itself: numbered [`NewsRecord`]s in a
//! ring of slots, and from time to time a snapshot in [`PageRecord`]s, kept in two sets in turn so that one is whole.
//! Who holds the CTI sessions is one [`TermRecord`], which members replace only as they read it. Values are JSON.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{ClusterName, ServerName};
use crate::peer::{CtiDuty, Fact, Hello};

/// Slots of a member's ring of news.
pub const NEWS_SLOTS: u64 = 32_768;
/// Most pages of a snapshot.
pub const MOST_PAGES: u32 = 8_192;
/// Facts of one page, as JSON.
const MOST_BYTES_IN_A_PAGE: usize = 128 * 1024;

/// Under which key a record stands, written `news.gw1.17`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKey {
    /// A [`MemberRecord`].
    Member(ServerName),
    /// The [`TermRecord`].
    Term,
    /// A [`NewsRecord`].
    News {
        /// Whose.
        origin: ServerName,
        /// Its number modulo [`NEWS_SLOTS`].
        slot: u64,
    },
    /// A [`PageRecord`].
    Page {
        /// Whose.
        origin: ServerName,
        /// Which of the two sets.
        set: PageSet,
        /// From 0.
        page: u32,
    },
}

/// One of two sets of pages: while a snapshot is written into one, the other is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageSet {
    /// The one.
    Even,
    /// The other.
    Odd,
}

impl PageSet {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// The name of a cluster's bucket: letters, digits, hyphens and underscores.
pub fn bucket(cluster: &ClusterName) -> String {
    format!("silentmon-{}", escape(cluster.as_str()))
}

/// Patterns of the keys under which a member tells what it knows, `*` standing for one token and `>` for the rest.
pub fn keys_of(origin: &ServerName) -> [String; 2] {
    ["news", "page"].map(|kind| format!("{kind}.{}.>", escape(origin.as_str())))
}

/// A key that no member writes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a key such as member.gw1, term, news.gw1.17 or page.gw1.even.3, found \"{0}\"")]
pub struct BadStoreKey(String);

impl StoreKey {
    /// Whose record it is; none where it belongs to all.
    pub const fn origin(&self) -> Option<&ServerName> {
        match self {
            Self::Member(origin) | Self::News { origin, .. } | Self::Page { origin, .. } => Some(origin),
            Self::Term => None,
        }
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(origin) => write!(f, "member.{}", escape(origin.as_str())),
            Self::Term => f.write_str("term"),
            Self::News { origin, slot } => write!(f, "news.{}.{slot}", escape(origin.as_str())),
            Self::Page { origin, set, page } => {
                let set = match set {
                    PageSet::Even => "even",
                    PageSet::Odd => "odd",
                };
                write!(f, "page.{}.{set}.{page}", escape(origin.as_str()))
            }
        }
    }
}

impl FromStr for StoreKey {
    type Err = BadStoreKey;

    fn from_str(text: &str) -> Result<Self, BadStoreKey> {
        let bad = || BadStoreKey(text.to_owned());
        let tokens: Vec<&str> = text.split('.').collect();
        let origin = |token: &str| unescape(token).ok_or_else(bad);
        Ok(match tokens[..] {
            ["term"] => Self::Term,
            ["member", name] => Self::Member(origin(name)?),
            ["news", name, slot] => Self::News {
                origin: origin(name)?,
                slot: number(slot).filter(|slot| *slot < NEWS_SLOTS).ok_or_else(bad)?,
            },
            ["page", name, set, page] => Self::Page {
                origin: origin(name)?,
                set: match set {
                    "even" => PageSet::Even,
                    "odd" => PageSet::Odd,
                    _ => return Err(bad()),
                },
                page: number(page)
                    .and_then(|page| u32::try_from(page).ok())
                    .filter(|page| *page < MOST_PAGES)
                    .ok_or_else(bad)?,
            },
            _ => return Err(bad()),
        })
    }
}

/// Digits alone, without leading zeros.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A name as one token of a key: what isn't a letter, digit or hyphen is written `_2e_`.
fn escape(name: &str) -> String {
    let mut token = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            token.push(char::from(byte));
        } else {
            // Nothing is refused by a String.
            let _ = write!(token, "_{byte:02x}_");
        }
    }
    token
}

fn unescape(token: &str) -> Option<ServerName> {
    let mut bytes = Vec::new();
    for (place, piece) in token.split('_').enumerate() {
        if place % 2 == 0 {
            bytes.extend(piece.bytes());
        } else {
            bytes.push(u8::from_str_radix(piece, 16).ok()?);
        }
    }
    let name = ServerName::new(String::from_utf8(bytes).ok()?);
    // Each name has one key.
    (!token.is_empty() && escape(name.as_str()) == token).then_some(name)
}

/// A member, as long as it renews this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Who it is.
    pub hello: Hello,
    /// Where other members reach it.
    pub address: String,
    /// How it stands to the CTI sources.
    pub cti: CtiDuty,
    /// Counts the renewals.
    pub beat: u64,
}

/// Who holds the CTI sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermRecord {
    /// Which member.
    pub holder: ServerName,
    /// Counts the holders.
    pub term: u64,
}

/// Facts in pages that stay well below what stores take as one value (1 MiB).
pub fn pages(facts: Vec<Fact>) -> Vec<Vec<Fact>> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for fact in facts {
        let length = encode(&fact).len();
        if bytes + length > MOST_BYTES_IN_A_PAGE {
            pages.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(page) = pages.last_mut() {
            page.push(fact);
        }
    }
    pages
}

/// A record as the value that is kept.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    // What has text for its keys is always JSON.
    serde_json::to_vec(record).unwrap_or_default()
}

/// A value as the record that it is.
///
/// # Errors
/// What is wrong with it, in words.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

/// Something changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewsRecord {
    /// The run of the program that tells it.
    pub run: u64,
    /// One more than that of the record before it.
    pub number: u64,
    /// What, in order.
    pub facts: Vec<Fact>,
}

/// Some of what a member knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageRecord {
    /// The run of the program that tells it.
    pub run: u64,
    /// Number of the newest news that it holds.
    pub number: u64,
    /// How many pages there are.
    pub pages: u32,
    /// The term in which it holds the CTI sessions: it knows all agents and calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// What.
    pub facts: Vec<Fact>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_of_characters_that_any_store_takes() {
        let key = StoreKey::News {
            origin: "gw_1.example.com".into(),
            slot: 17,
        };
        assert_eq!(key.to_string(), "news.gw_5f_1_2e_example_2e_com.17");
        let wrong = [
            "",
            "member.",
            "member.a.b",
            "news.a.x",
            "news.a.01",
            "news.a.32768",
            "page.a.both.1",
            "member._61_",
        ];
        for text in wrong {
            assert_eq!(text.parse::<StoreKey>(), Err(BadStoreKey(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn pages_are_small_enough_for_a_store() {
        let fact = |agent: usize| Fact::Sees {
            agent: format!("{agent}").as_str().into(),
            legs: [true, false],
        };
        let facts: Vec<Fact> = (0..10_000).map(fact).collect();
        let pages = pages(facts.clone());
        assert!(pages.len() > 3 && pages.iter().all(|page| encode(page).len() < 200_000));
        assert_eq!(pages.concat(), facts);
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(name in ".{1,20}", slot in 0..NEWS_SLOTS, page in 0..MOST_PAGES) {
            let origin = ServerName::new(name);
            let page = StoreKey::Page { origin: origin.clone(), set: PageSet::Odd, page };
            for key in [StoreKey::Member(origin.clone()), StoreKey::Term, StoreKey::News { origin, slot }, page] {
                let text = key.to_string();
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
                prop_assert_eq!(text.parse(), Ok(key));
            }
        }

        #[test]
        fn any_text_is_a_key_or_none(text in ".*") {
            if let Ok(key) = text.parse::<StoreKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}

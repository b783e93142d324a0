//! Patterns of names and hosts in an authority's policy.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::request::SubjectHost;
use crate::role::SubjectName;

/// Names of holders; `*` stands for any characters, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether a name is meant.
    pub fn covers(&self, name: &SubjectName) -> bool {
        matches(&self.0, name.as_str(), |_| true)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hosts in certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// `*.calls.example`: every name below it, as a permitted subtree is (RFC 5280 section 4.2.1.10).
    Below(String),
    /// A name; `*` stands for any characters but a dot.
    Name(String),
    /// `10.20.0.0/16`: its addresses. A single address is a network of all its bits.
    Network {
        /// Its first address.
        address: IpAddr,
        /// How many bits all its addresses have in common.
        bits: u8,
    },
}

/// A text that is no pattern of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "expected a host name, with * for any characters or *. for every name below, an IP address, or a network such as \
     10.20.0.0/16; found \"{0}\""
)]
pub struct BadHostPattern(String);

impl HostPattern {
    /// Whether a host is meant.
    pub fn covers(&self, host: &SubjectHost) -> bool {
        match (self, host) {
            (Self::Below(end), SubjectHost::Name(name)) => name
                .strip_suffix(end.as_str())
                .is_some_and(|start| start.ends_with('.')),
            (Self::Name(pattern), SubjectHost::Name(name)) => matches(pattern, name, |c| c != '.'),
            (Self::Network { address, bits }, SubjectHost::Address(host)) => {
                let host = host.to_canonical();
                host.is_ipv4() == address.is_ipv4() && first_of(host, *bits) == *address
            }
            (Self::Below(_) | Self::Name(_), SubjectHost::Address(_))
            | (Self::Network { .. }, SubjectHost::Name(_)) => false,
        }
    }

    fn network(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(all), |bits| bits.parse().ok())?;
        let good = bits <= all && first_of(address, bits) == address;
        good.then_some(Self::Network { address, bits })
    }
}

/// The first address of the network of so many bits in which an address lies.
fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl FromStr for HostPattern {
    type Err = BadHostPattern;

    fn from_str(text: &str) -> Result<Self, BadHostPattern> {
        if let Some(network) = Self::network(text) {
            return Ok(network);
        }
        let lower = text.to_ascii_lowercase();
        let good = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
            let labelled = name.split('.').all(|label| !label.is_empty());
            labelled && name.len() <= 253 && name.chars().all(plain)
        };
        match lower.strip_prefix("*.") {
            Some(end) if good(end) && !end.contains('*') => Ok(Self::Below(end.to_owned())),
            None if good(&lower) => Ok(Self::Name(lower)),
            Some(_) | None => Err(BadHostPattern(text.to_owned())),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = BadHostPattern;

    fn try_from(text: String) -> Result<Self, BadHostPattern> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(end) => write!(f, "*.{end}"),
            Self::Name(name) => f.write_str(name),
            Self::Network { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

/// Whether a text is what a pattern says, whose stars stand for characters that `free` lets pass. Linear but for the
/// last star seen, which alone is ever widened.
fn matches(pattern: &str, text: &str, free: impl Fn(char) -> bool) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut star: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix('*') {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        let (mut wanted, mut found) = (pattern.chars(), text.chars());
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted_first), Some(found_first)) if wanted_first == found_first => {
                (pattern, text) = (wanted.as_str(), found.as_str());
            }
            _ => {
                let Some((rest, from)) = star else { return false };
                let mut taken = from.chars();
                if !taken.next().is_some_and(&free) {
                    return false;
                }
                star = Some((rest, taken.as_str()));
                (pattern, text) = (rest, taken.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(pattern: &str, host: &str) -> bool {
        let pattern: HostPattern = pattern.parse().expect(pattern);
        pattern.covers(&host.parse().expect(host))
    }

    #[test]
    fn names_below_are_meant_and_others_that_end_alike_are_not() {
        assert!(covers("*.calls.example", "gw1.calls.example"));
        assert!(covers("*.calls.example", "a.b.calls.example"));
        assert!(
            covers("*.calls.example", "*.calls.example"),
            "a certificate for all of them"
        );
        for other in ["calls.example", "evilcalls.example", "calls.example.evil", "10.0.0.1"] {
            assert!(!covers("*.calls.example", other), "{other}");
        }
    }

    #[test]
    fn a_star_within_a_name_stands_for_no_dot() {
        assert!(covers("gw*.calls.example", "GW12.calls.example"));
        assert!(covers("gw*.calls.example", "gw.calls.example"));
        assert!(!covers("gw*.calls.example", "gw1.evil.calls.example"));
        assert!(!covers("gw*.calls.example", "*.calls.example"));
        assert!(!covers("*", "*.example"));
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        assert!(covers("10.20.0.0/16", "10.20.255.1"));
        assert!(covers("10.20.0.0/16", "::ffff:10.20.0.1"));
        assert!(covers("0.0.0.0/0", "192.0.2.1"));
        assert!(covers("2001:db8::/32", "2001:db8:1::1"));
        assert!(covers("192.0.2.1", "192.0.2.1"));
        for (pattern, other) in [
            ("10.20.0.0/16", "10.21.0.0"),
            ("0.0.0.0/0", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.2"),
            ("10.20.0.0/16", "gw1.example"),
        ] {
            assert!(!covers(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "10.20.0.1/16",
            "10.20.0.0/33",
            "a..b",
            "http://x",
            "*.",
            "*.*.x",
            "a b",
            "/8",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad:?}");
        }
        for good in ["*.calls.example", "gw*.example", "10.20.0.0/16", "2001:db8::/32"] {
            assert_eq!(good.parse::<HostPattern>().expect("good").to_string(), good);
        }
    }

    proptest! {
        #[test]
        fn a_pattern_without_stars_is_the_text_itself(text in "[a-z.]{0,12}", other in "[a-z.]{0,12}") {
            prop_assert!(matches(&text, &text, |_| false));
            prop_assert_eq!(matches(&text, &other, |_| true), text == other);
        }

        #[test]
        fn stars_match_as_every_way_to_split_the_text_says(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text, |_| true), by_trying(&pattern, &text));
        }
    }

    fn by_trying(pattern: &str, text: &str) -> bool {
        match pattern.chars().next() {
            None => text.is_empty(),
            Some('*') => (0..=text.len()).any(|at| by_trying(&pattern[1..], &text[at..])),
            Some(c) => text.starts_with(c) && by_trying(&pattern[1..], &text[1..]),
        }
    }
}

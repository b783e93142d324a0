//! Lists of telephone numbers: patterns, and the numbers of calls as they are looked up in them.
//!
//! Looking one up costs the same for ten patterns as for a hundred thousand. A rule is named by its place, because its text
//! may be the very number that nobody is to learn.

use std::fmt;
use std::str::FromStr;

use foldhash::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest number that is read: E.164 allows 15 digits; extensions and access codes may come on top.
const MOST_BYTES: usize = 64;

/// A telephone number as it is compared: without separators (RFC 3966 section 5.1.1), URI scheme, domain and parameters, and
/// with `+` for a leading `00`. A name that a PBX gives to a device counts as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Reads a number as a CTI source writes it; nothing where it tells none (`anonymous`, an empty text).
    pub fn read(text: &str) -> Option<Self> {
        let number = bare(text)?;
        Some(Self(match number.strip_prefix("00") {
            Some(rest) => format!("+{rest}"),
            None => number,
        }))
    }

    /// Its digits, as [`Self::read`] takes them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which numbers a rule means: a whole number, or `*` for any beginning or any end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NumberPattern {
    kind: PatternKind,
    digits: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PatternKind {
    Whole,
    Beginning,
    End,
}

/// A text that is no pattern of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "expected a number, with * as its end or its beginning for any, such as \"+49301234*\" or \"*4711\"; found \"{0}\""
)]
pub struct BadPattern(String);

impl FromStr for NumberPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let bad = || BadPattern(text.to_owned());
        let trimmed = text.trim();
        let (kind, rest) = match (trimmed.strip_suffix('*'), trimmed.strip_prefix('*')) {
            (Some(rest), _) => (PatternKind::Beginning, rest),
            (None, Some(rest)) => (PatternKind::End, rest),
            (None, None) => (PatternKind::Whole, trimmed),
        };
        let digits = match kind {
            PatternKind::Whole | PatternKind::Beginning => PhoneNumber::read(rest).map(|PhoneNumber(digits)| digits),
            PatternKind::End => bare(rest),
        };
        let digits = digits.ok_or_else(bad)?;
        let plain = |character: char| character.is_ascii_alphanumeric() || "+_#".contains(character);
        if digits.chars().all(plain) {
            Ok(Self { kind, digits })
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PatternKind::Whole => f.write_str(&self.digits),
            PatternKind::Beginning => write!(f, "{}*", self.digits),
            PatternKind::End => write!(f, "*{}", self.digits),
        }
    }
}

impl Serialize for NumberPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NumberPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a rule stands: the list's name, and its place in it, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRule {
    /// `policy.private_numbers`, or the name of a file.
    pub list: String,
    /// Entry of a list, line of a file.
    pub place: usize,
}

impl fmt::Display for NumberRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, no. {}", self.list, self.place)
    }
}

/// Patterns under the names of the lists they came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NumberList {
    lists: Vec<String>,
    whole: HashMap<String, Place>,
    beginnings: HashMap<String, Place>,
    ends: HashMap<String, Place>,
}

/// Index of the list, and the place in it.
type Place = (usize, usize);

impl NumberList {
    /// Adds the patterns of one list, each with its place. Of two alike the first counts.
    pub fn add(&mut self, list: impl Into<String>, patterns: impl IntoIterator<Item = (usize, NumberPattern)>) {
        let index = self.lists.len();
        self.lists.push(list.into());
        for (place, NumberPattern { kind, digits }) in patterns {
            let patterns = match kind {
                PatternKind::Whole => &mut self.whole,
                PatternKind::Beginning => &mut self.beginnings,
                PatternKind::End => &mut self.ends,
            };
            patterns.entry(digits).or_insert((index, place));
        }
    }

    /// Whether no number is in it.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty() && self.ends.is_empty()
    }

    /// The rule that means a number: the whole number, else the longest beginning, else the longest end.
    pub fn find(&self, PhoneNumber(number): &PhoneNumber) -> Option<NumberRule> {
        let cuts = || number.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
        let beginning = || {
            let mut longest_first = cuts().rev().filter_map(|at| number.get(..at));
            let whole = self.beginnings.get(number);
            whole.or_else(|| longest_first.find_map(|part| self.beginnings.get(part)))
        };
        let end = || {
            let mut longest_first = cuts().filter_map(|at| number.get(at..));
            let whole = self.ends.get(number);
            whole.or_else(|| longest_first.find_map(|part| self.ends.get(part)))
        };
        let (list, place) = *self.whole.get(number).or_else(beginning).or_else(end)?;
        Some(NumberRule {
            list: self.lists.get(list)?.clone(),
            place,
        })
    }
}

/// The characters that count, if they tell a number.
fn bare(text: &str) -> Option<String> {
    let text = text.trim();
    let after = |scheme: &str| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    };
    let address = ["tel:", "sips:", "sip:"].into_iter().find_map(after).unwrap_or(text);
    let user = address.split(['@', ';']).next().unwrap_or_default();
    let separators = [' ', '-', '.', '/', '(', ')'];
    let number: String = user
        .chars()
        .filter(|character| !separators.contains(character))
        .collect();
    let says = number.chars().any(|character| character.is_ascii_digit());
    (says && number.len() <= MOST_BYTES).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(patterns: &[&str]) -> NumberList {
        let patterns = patterns.iter().map(|text| text.parse().expect(text));
        let mut list = NumberList::default();
        list.add("policy.private_numbers", (1..).zip(patterns));
        list
    }

    fn found(list: &NumberList, number: &str) -> Option<usize> {
        list.find(&PhoneNumber::read(number)?).map(|rule| rule.place)
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let numbers = list(&["+49 (30) 1234-56", "0049 40 77*", "3001"]);
        for (text, rule) in [
            ("+493012345 6", Some(1)),
            ("00493012345-6", Some(1)),
            ("tel:+49-30-123456;phone-context=x", Some(1)),
            ("SIP:+4930123456@pbx.example", Some(1)),
            ("+4940770", Some(2)),
            ("3001", Some(3)),
            ("30011", None),
            ("+4930123", None),
        ] {
            assert_eq!(found(&numbers, text), rule, "{text}");
        }
    }

    #[test]
    fn the_whole_number_counts_before_the_longest_beginning_and_that_before_an_end() {
        let numbers = list(&["*56", "+49*", "+4930*", "+493056"]);
        assert_eq!(found(&numbers, "+493056"), Some(4));
        assert_eq!(found(&numbers, "+4930156"), Some(3));
        assert_eq!(found(&numbers, "+491"), Some(2));
        assert_eq!(found(&numbers, "56"), Some(1));
        assert_eq!(found(&numbers, "0156"), Some(1));
        assert_eq!(found(&numbers, "57"), None);
        assert_eq!(found(&list(&["*0056"]), "+490056"), Some(1));
    }

    #[test]
    fn a_rule_is_named_by_its_place_and_not_by_the_number() {
        let rule = list(&["1", "+49301234*"]).find(&PhoneNumber::read("+493012345").expect("a number"));
        assert_eq!(rule.expect("listed").to_string(), "policy.private_numbers, no. 2");
    }

    #[test]
    fn what_tells_no_number_is_none() {
        for text in [
            "",
            "anonymous",
            "Unavailable",
            "sip:anonymous@anonymous.invalid",
            "*",
            "+",
        ] {
            assert_eq!(PhoneNumber::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*", "+49*30*", "4*7", "**1", "1!", "anna"] {
            assert!(text.parse::<NumberPattern>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_a_pattern_finds_what_it_was_made_of(text in ".{0,48}", digits in "[+]?[1-9][0-9]{3,14}", cut in 2_usize..5) {
            let _ = (PhoneNumber::read(&text), text.parse::<NumberPattern>());
            let number = PhoneNumber::read(&digits).expect("digits");
            for pattern in [digits.clone(), format!("{}*", &digits[..cut]), format!("*{}", &digits[cut - 1..])] {
                let read: NumberPattern = pattern.parse().expect("a pattern");
                prop_assert_eq!(read.to_string(), pattern.clone());
                prop_assert!(list(&[&pattern]).find(&number).is_some(), "{}", pattern);
            }
        }
    }
}

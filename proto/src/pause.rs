//! Pauses, in which nothing of a call is heard: the words that servers, their journals and members of a cluster share.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, CallId, Extension};
use crate::time::Instant;

/// What a pause is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseKind {
    /// The customer tells how he pays.
    Payment,
    /// The call is none of the house's business.
    Private,
}

impl PauseKind {
    /// The kind in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Payment => "payment pause",
            Self::Private => "marked private",
        }
    }
}

/// Whose pause it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseOf {
    /// An agent's.
    Agent(AgentId),
    /// That of whoever sits at a device.
    Extension(Extension),
    /// That of everybody on a call.
    Call(CallId),
}

const ASKED: &str = "asked for by ";
const VARIABLE: &str = "call variable ";
const DIGITS: &str = "digits keyed by the customer";

/// What began a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseSource {
    /// Somebody asked for it.
    Request,
    /// A call variable.
    Variable,
    /// Digits that the customer keyed.
    Digits,
}

impl PauseSource {
    /// What began it, in words; `by` is who asked, or the name of the variable.
    pub fn words(self, by: &str) -> String {
        match self {
            Self::Request => format!("{ASKED}{by}"),
            Self::Variable => format!("{VARIABLE}{by}"),
            Self::Digits => DIGITS.to_owned(),
        }
    }

    /// What [`words`](Self::words) say: what began a pause, and who asked or which variable it was.
    pub fn from_words(text: &str) -> Option<(Self, String)> {
        if let Some(by) = text.strip_prefix(ASKED) {
            return Some((Self::Request, by.to_owned()));
        }
        if let Some(name) = text.strip_prefix(VARIABLE) {
            return Some((Self::Variable, name.to_owned()));
        }
        (text == DIGITS).then(|| (Self::Digits, String::new()))
    }
}

/// A pause, as one server tells another of it. Each finds out for itself whose calls it holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldPause {
    /// What for.
    pub kind: PauseKind,
    /// Whose.
    pub of: PauseOf,
    /// What began it.
    pub source: PauseSource,
    /// Who or what that was, in his own words.
    pub by: String,
    /// Since when.
    pub since: Instant,
    /// Until when at the latest.
    pub until: Instant,
    /// When it was asked for last: who ended it before didn't mean this. `since`, where an older version tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Instant>,
}

//! One hop of the way from authority to loudspeaker, as it was examined: what a server answers and `silentmon doctor` shows.

use serde::{Deserialize, Serialize};

use super::{Code, Evidence, Reason};

/// How a hop stands, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is wrong here.
    Ok,
    /// Something is wrong, but sound gets through.
    Warning,
    /// Nothing is wrong, but there is nothing to be heard now.
    Waiting,
    /// No sound gets through, or only half of it.
    Broken,
    /// It couldn't be examined; the sentence says why.
    NotChecked,
}

impl Outcome {
    /// Whether the way ends here.
    pub const fn stops(self) -> bool {
        match self {
            Self::Broken | Self::Waiting => true,
            Self::Ok | Self::Warning | Self::NotChecked => false,
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Waiting => "waiting",
            Self::Broken => "BROKEN",
            Self::NotChecked => "not checked",
        }
    }
}

/// A hop as it was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Its name ([`Code::hop`]).
    pub hop: String,
    /// How it stands.
    pub result: Outcome,
    /// What is wrong, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in a sentence; why it wasn't checked; empty where all is well and nothing needs saying.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sentence: String,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Hop {
    /// A hop where nothing is wrong.
    pub fn ok(hop: &str, evidence: Evidence) -> Self {
        Self::new(hop, Outcome::Ok, evidence)
    }

    /// A hop that couldn't be examined.
    pub fn not_checked(hop: &str, why: impl Into<String>) -> Self {
        Self {
            sentence: why.into(),
            ..Self::new(hop, Outcome::NotChecked, Evidence::new())
        }
    }

    /// A hop where something is wrong, as bad as its code says.
    pub fn amiss(hop: &str, reason: Reason) -> Self {
        Self {
            code: Some(reason.code),
            sentence: reason.text,
            fix: reason.code.fix().to_owned(),
            ..Self::new(hop, reason.code.outcome(), reason.evidence)
        }
    }

    fn new(hop: &str, result: Outcome, evidence: Evidence) -> Self {
        Self {
            hop: hop.to_owned(),
            result,
            code: None,
            sentence: String::new(),
            evidence,
            fix: String::new(),
        }
    }
}

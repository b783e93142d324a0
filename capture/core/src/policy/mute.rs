//! Why nothing of an agent's call may be heard: rules on the call itself, and pauses.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::numbers::{NumberList, NumberRule};
use super::pause::{Pause, PauseKind, PauseSource};
use super::{HeardCalls, Policy};
use crate::directory::{Agent, Call, MediaLeg};

/// A call variable that means something while it has one of these values, without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableRule {
    /// Its name, as the CTI source writes it: `CallVariable7`, an ECC variable's name.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}

impl VariableRule {
    /// Whether the variables of a call say so.
    pub fn holds(&self, variables: &BTreeMap<String, String>) -> bool {
        let value = variables.get(&self.name).map(|value| value.trim());
        value.is_some_and(|value| self.values.iter().any(|wanted| wanted.eq_ignore_ascii_case(value)))
    }
}

/// Which calls are private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateCalls {
    /// Those with one of these numbers on either side.
    pub numbers: NumberList,
    /// Those whose other side's number nobody tells.
    pub unknown_numbers: UnknownNumbers,
    /// Those that a variable says it of.
    pub variable: Option<VariableRule>,
    /// How long a call that the agent marks stays private at most.
    pub longest: Duration,
}

impl Default for PrivateCalls {
    fn default() -> Self {
        Self {
            numbers: NumberList::default(),
            unknown_numbers: UnknownNumbers::default(),
            variable: None,
            longest: Duration::from_secs(3600),
        }
    }
}

/// What becomes of calls whose other side's number nobody tells, while there are private numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownNumbers {
    /// They may be heard.
    #[default]
    Heard,
    /// They count as private.
    Private,
}

/// What becomes of an agent's calls while no desktop of his can be told that somebody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undisclosed {
    /// They may be heard.
    #[default]
    Heard,
    /// Nothing of them is.
    Muted,
}

/// Why nothing of an agent is heard by rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mute {
    /// A payment pause, or the agent's mark that his call is private.
    Paused {
        /// Which of the two.
        kind: PauseKind,
        /// What began it.
        source: PauseSource,
        /// Who or what that was, in his own words.
        by: String,
        /// Since when.
        since: Instant,
    },
    /// The call isn't known to have come through the queue.
    NotAcd,
    /// A number of the call is private.
    PrivateNumber(NumberRule),
    /// Nobody tells the number of the other side.
    UnknownNumber,
    /// The variable of this name says that the call is private.
    PrivateVariable(String),
    /// No desktop of the agent can be told that somebody listens.
    Undisclosed,
}

impl From<&Pause> for Mute {
    fn from(pause: &Pause) -> Self {
        Self::Paused {
            kind: pause.kind,
            source: pause.source,
            by: pause.by.clone(),
            since: pause.since,
        }
    }
}

impl Mute {
    /// The rule, as the audit names it. It names no number.
    pub fn rule(&self) -> String {
        match self {
            Self::Paused { kind, source, by, .. } => format!("{}: {}", kind.words(), source.words(by)),
            Self::NotAcd => "policy.acd_only".to_owned(),
            Self::PrivateNumber(rule) => rule.to_string(),
            Self::UnknownNumber => "policy.unknown_numbers".to_owned(),
            Self::PrivateVariable(name) => format!("policy.private_variable: {name}"),
            Self::Undisclosed => "policy.disclosure_required".to_owned(),
        }
    }

    /// The same in a sentence for the supervisor: `SM-5001` for a payment pause, else `SM-1003`.
    pub fn reason(&self) -> Reason {
        let excluded = |text: String| Reason::new(Code::ExcludedByPolicy, text);
        match self {
            Self::Paused {
                kind,
                source,
                by,
                since,
            } => {
                let (clock, by) = (time_of_day(*since), source.words(by));
                match kind {
                    PauseKind::Payment => Reason::new(
                        Code::PaymentPause,
                        format!("Muted by payment pause since {clock} ({by}); it ends by itself."),
                    ),
                    PauseKind::Private => excluded(format!("The call is marked private since {clock} ({by}).")),
                }
            }
            Self::NotAcd => {
                excluded("This call is excluded from listening (not known to be an ACD call; acd_only).".to_owned())
            }
            Self::PrivateNumber(rule) => excluded(format!("This call is private: its number is on the list {rule}.")),
            Self::UnknownNumber => excluded(
                "This call counts as private: nobody tells the other side's number (policy.unknown_numbers)."
                    .to_owned(),
            ),
            Self::PrivateVariable(name) => excluded(format!(
                "This call is private: variable {name} says so (policy.private_variable)."
            )),
            Self::Undisclosed => excluded(
                "The agent can't be told that somebody listens: no desktop of his takes notices \
                 (policy.disclosure_required)."
                    .to_owned(),
            ),
        }
    }
}

impl Policy {
    /// Why a leg of an agent's media may not be heard, by the rules on calls.
    pub fn exclusion(&self, agent: &Agent, leg: &MediaLeg) -> Option<Mute> {
        // Media of a nailed-up line belong to no call of their own: they count as the call they carry.
        let call = agent.call_on(leg);
        if self.calls == HeardCalls::AcdOnly && !call.is_some_and(Call::counts_as_acd) {
            return Some(Mute::NotAcd);
        }
        self.private_calls.exclusion(call)
    }

    /// Those of an agent's media that may be heard.
    pub fn admit_media(&self, agent: &Agent, media: Vec<MediaLeg>) -> Vec<MediaLeg> {
        let admitted = |leg: &MediaLeg| self.exclusion(agent, leg).is_none();
        media.into_iter().filter(admitted).collect()
    }

    /// Whether a variable of this name means anything: others aren't kept.
    pub fn names_variable(&self, name: &str) -> bool {
        let rules = [&self.payment_pauses.variable, &self.private_calls.variable];
        rules.into_iter().flatten().any(|rule| rule.name == name)
    }
}

impl PrivateCalls {
    fn exclusion(&self, call: Option<&Call>) -> Option<Mute> {
        let content = call.map(|call| &call.content);
        let listed = content.and_then(|content| content.numbers().find_map(|number| self.numbers.find(number)));
        if let Some(rule) = listed {
            return Some(Mute::PrivateNumber(rule));
        }
        let variable = self.variable.as_ref();
        if let Some(rule) = variable.filter(|rule| content.is_some_and(|content| rule.holds(&content.variables))) {
            return Some(Mute::PrivateVariable(rule.name.clone()));
        }
        let unknown = content.is_none_or(|content| content.other_side().is_none());
        (unknown && self.unknown_numbers == UnknownNumbers::Private).then_some(Mute::UnknownNumber)
    }
}

/// `12:03:05 UTC`.
fn time_of_day(at: Instant) -> String {
    let seconds = at.as_nanos() / 1_000_000_000 % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_counts_by_its_value_without_regard_to_case_or_blanks() {
        let rule = VariableRule {
            name: "CallVariable7".to_owned(),
            values: vec!["PAY".to_owned()],
        };
        let with = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        assert!(rule.holds(&with("CallVariable7", " pay ")));
        assert!(!rule.holds(&with("CallVariable7", "PAYED")));
        assert!(!rule.holds(&with("CallVariable8", "PAY")));
        assert!(!rule.holds(&BTreeMap::new()));
    }

    #[test]
    fn a_pause_is_told_with_since_when_and_by_whom() {
        let mute = Mute::Paused {
            kind: PauseKind::Payment,
            source: PauseSource::Request,
            by: "desktop".to_owned(),
            since: Instant::from_parts(86_400 + 3_723, 0),
        };
        let reason = mute.reason();
        assert_eq!(reason.code, Code::PaymentPause);
        let text = "Muted by payment pause since 01:02:03 UTC (asked for by desktop); it ends by itself.";
        assert_eq!(reason.text, text);
    }
}

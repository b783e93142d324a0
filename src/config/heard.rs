//! The keys of `[policy]` that say what of a call is heard: payment pauses, private calls, disclosure.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silentmon_capture_core::policy::{
    DigitBurst, Disclosure, NumberList, NumberPattern, PaymentPauses, PrivateCalls, Undisclosed, VariableRule,
};

use super::Complaint;
use super::capture::PolicySection;
use super::values::Seconds;
use crate::exit::{ExitKind, Failure};

/// `[policy.payment_pause]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaymentPauseTable {
    /// How long a pause lasts at most.
    pub max_seconds: Seconds,
    /// A call variable that begins one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Its values that do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Values>,
    /// So many digits keyed by the customer begin one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<NonZeroUsize>,
    /// Within so many seconds.
    pub digits_within: Seconds,
}

impl Default for PaymentPauseTable {
    fn default() -> Self {
        Self {
            max_seconds: Seconds(PaymentPauses::default().longest),
            variable: None,
            value: None,
            digits: None,
            digits_within: Seconds(Duration::from_secs(10)),
        }
    }
}

/// `[policy.private_call]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivateCallTable {
    /// How long a call that the agent marks stays private at most.
    pub max_seconds: Seconds,
    /// A call variable that says that a call is private.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Its values that do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Values>,
}

impl Default for PrivateCallTable {
    fn default() -> Self {
        Self {
            max_seconds: Seconds(PrivateCalls::default().longest),
            variable: None,
            value: None,
        }
    }
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or an array of texts")]
pub enum Values {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Values {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Several(values) => values.clone(),
        }
    }
}

fn variable_rule(variable: Option<&String>, value: Option<&Values>) -> Option<VariableRule> {
    Some(VariableRule {
        name: variable?.clone(),
        values: value?.list(),
    })
}

impl PolicySection {
    /// When payment pauses begin and end.
    pub fn payment_pauses(&self) -> PaymentPauses {
        let table = &self.payment_pause;
        PaymentPauses {
            longest: table.max_seconds.0,
            variable: variable_rule(table.variable.as_ref(), table.value.as_ref()),
            digits: table.digits.map(|digits| DigitBurst {
                digits,
                within: table.digits_within.0,
            }),
        }
    }

    /// Which calls are private.
    ///
    /// # Errors
    /// `BadConfig` where the file of numbers can't be read, with the line where it is wrong.
    pub fn private_calls(&self) -> anyhow::Result<PrivateCalls> {
        let mut numbers = NumberList::default();
        numbers.add(
            "policy.private_numbers",
            (1..).zip(self.private_numbers.iter().cloned()),
        );
        if let Some(path) = &self.private_numbers_file {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            numbers.add(name, read_numbers(path)?);
        }
        let table = &self.private_call;
        Ok(PrivateCalls {
            numbers,
            unknown_numbers: self.unknown_numbers,
            variable: variable_rule(table.variable.as_ref(), table.value.as_ref()),
            longest: table.max_seconds.0,
        })
    }

    /// What becomes of calls of agents who can't be told.
    pub const fn undisclosed(&self) -> Undisclosed {
        if self.disclosure_required {
            Undisclosed::Muted
        } else {
            Undisclosed::Heard
        }
    }

    /// Whether a call variable means anything.
    pub const fn names_variables(&self) -> bool {
        self.payment_pause.variable.is_some() || self.private_call.variable.is_some()
    }

    /// Looks after what the shape alone doesn't say.
    pub(super) fn check_heard(&self) -> Result<(), Complaint> {
        let (payment, private) = (&self.payment_pause, &self.private_call);
        if payment.variable.is_some() != payment.value.is_some() {
            return Complaint::about(
                "policy.payment_pause.value",
                "expected both variable and value: the value of the variable that begins a pause",
            );
        }
        if private.variable.is_some() != private.value.is_some() {
            return Complaint::about(
                "policy.private_call.value",
                "expected both variable and value: the value of the variable that says that a call is private",
            );
        }
        if self.disclosure_required && self.disclosure == Some(Disclosure::Never) {
            return Complaint::about(
                "policy.disclosure_required",
                "expected false, or another policy.disclosure than \"never\": who is never told can't be told",
            );
        }
        Ok(())
    }
}

/// Patterns of numbers, one a line, with their lines. Blank lines and lines that begin with `#` are skipped.
fn read_numbers(path: &Path) -> anyhow::Result<Vec<(usize, NumberPattern)>> {
    let bad = |what: String| Failure::error(ExitKind::BadConfig, format!("{}{what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| bad(format!(": can't read the numbers: {error}")))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.parse() {
            Ok(pattern) => Ok((number, pattern)),
            Err(error) => Err(bad(format!(":{number}: {error}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use silentmon_capture_core::policy::{PhoneNumber, UnknownNumbers};

    use super::super::capture::CaptureConfig;
    use super::super::parse;
    use super::*;

    fn read(policy: &str) -> Result<CaptureConfig, String> {
        let text = format!("schema = 1\n[capture]\nsource = {{ interface = \"ens224\" }}\n[policy]\n{policy}\n");
        parse(&text, Path::new("/etc/silentmon/capture.toml"), &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_without_these_keys_means_what_it_meant() {
        let config = read("disclosure = \"always\"").expect("good");
        let rules = config.rules().expect("no file");
        assert_eq!(
            (rules.payment_pauses.variable, rules.payment_pauses.digits),
            (None, None)
        );
        assert!(rules.private_calls.numbers.is_empty());
        assert_eq!(rules.private_calls.unknown_numbers, UnknownNumbers::Heard);
        assert_eq!(rules.undisclosed, Undisclosed::Heard);
    }

    #[test]
    fn pauses_and_private_calls_are_read() {
        let config = read(
            "disclosure = \"while-listening\"\ndisclosure_required = true\nunknown_numbers = \"private\"\n\
             private_numbers = [\"+49 30 1234*\", \"3001\"]\n\
             [policy.payment_pause]\nvariable = \"CallVariable7\"\nvalue = \"PAY\"\ndigits = 6\nmax_seconds = 120\n\
             [policy.private_call]\nvariable = \"user.private\"\nvalue = [\"1\", \"yes\"]\n",
        );
        let rules = config.expect("good").rules().expect("no file");
        let pauses = rules.payment_pauses;
        assert_eq!(pauses.longest, Duration::from_secs(120));
        assert_eq!(pauses.variable.map(|rule| rule.values), Some(vec!["PAY".to_owned()]));
        assert_eq!(pauses.digits.map(|burst| burst.digits.get()), Some(6));
        let listed = PhoneNumber::read("3001").and_then(|number| rules.private_calls.numbers.find(&number));
        assert_eq!(
            listed.map(|rule| rule.to_string()),
            Some("policy.private_numbers, no. 2".to_owned())
        );
        assert_eq!(rules.private_calls.variable.map(|rule| rule.values.len()), Some(2));
        assert_eq!(rules.undisclosed, Undisclosed::Muted);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_where_it_stands() {
        for (policy, expected) in [
            (
                "disclosure = \"never\"\ndisclosure_required = true",
                "capture.toml:6:1: policy.disclosure_required",
            ),
            (
                "disclosure = \"never\"\n[policy.payment_pause]\nvariable = \"CallVariable7\"",
                "capture.toml:6:1: policy.payment_pause.value",
            ),
            (
                "disclosure = \"never\"\nprivate_numbers = [\"anna\"]",
                "capture.toml:6:19: expected a number",
            ),
        ] {
            let error = read(policy).expect_err(policy);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_wrong_line_in_the_file_of_numbers_is_told_by_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("private.txt");
        std::fs::write(&path, "# the works council\n+49301*\n\nx\n").expect("written");
        let mut config = read("disclosure = \"never\"").expect("good");
        config.policy.private_numbers_file = Some(path.clone());
        let error = config.rules().expect_err("a wrong line").to_string();
        assert!(error.contains("private.txt:4: expected a number"), "{error}");
        std::fs::write(&path, "# the works council\n+49301*\n").expect("written");
        let rules = config.rules().expect("good");
        let rule = PhoneNumber::read("+493015").and_then(|number| rules.private_calls.numbers.find(&number));
        assert_eq!(rule.map(|rule| rule.to_string()), Some("private.txt, no. 2".to_owned()));
    }
}

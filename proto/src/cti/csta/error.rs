//! What a switch refuses, and what can't be understood, in words.

use std::fmt;

use thiserror::Error;

use crate::cti::xml::{Element, XmlError};

/// A refusal: `CSTAErrorCode` (ECMA-323) or the `errorCode` of a session's negative response (ECMA-354).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct CstaError {
    /// What kind of refusal: `operation`, `security`, `stateIncompatibility`, `definedError`, …
    pub class: String,
    /// Which one: `invalidDeviceID`, `requestIncompatibleWithObject`, …; empty where the switch doesn't say.
    pub value: String,
}

impl CstaError {
    /// Reads the refusal that stands in this element, at whatever depth: the first element with a text, or the first
    /// without one where none has.
    pub(super) fn of(element: &Element) -> Self {
        let leaf = told(element).or_else(|| element.children.first());
        leaf.map_or_else(Self::silent, |leaf| Self {
            class: leaf.name.clone(),
            value: leaf.text.clone(),
        })
    }

    fn silent() -> Self {
        Self {
            class: "unspecified".into(),
            value: String::new(),
        }
    }
}

fn told(element: &Element) -> Option<&Element> {
    element.children.iter().find_map(|child| {
        if child.text.is_empty() {
            told(child)
        } else {
            Some(child)
        }
    })
}

impl fmt::Display for CstaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(class_in_words(&self.class))?;
        if self.value.is_empty() {
            return Ok(());
        }
        write!(f, ": {} ({})", value_in_words(&self.value), self.value)
    }
}

/// ECMA-269 clause 11: the categories of errors.
fn class_in_words(class: &str) -> &str {
    match class {
        "operation" => "the switch refuses the operation",
        "security" => "the switch refuses it for security",
        "stateIncompatibility" => "the object is in the wrong state",
        "systemResourceAvailability" => "the switch lacks a resource",
        "subscribedResourceAvailability" => "a subscribed resource is exhausted",
        "performanceManagement" => "the switch is asked too often",
        "privateData" | "privateDataInfoError" | "privateErrorCode" => "the switch refuses it for a reason of its own",
        "definedError" | "error" => "the switch refuses the session",
        "unspecified" | "unspecifiedError" => "the switch refuses it and doesn't say why",
        other => other,
    }
}

/// The values a monitor meets; any other is split at its capitals.
fn value_in_words(value: &str) -> String {
    let known = match value {
        "invalidDeviceID" | "invalidCalledDeviceID" | "invalidCallingDeviceID" => "it doesn't know this device",
        "invalidCallID" | "invalidConnectionID" | "invalidConnectionIdentifier" => "it doesn't know this call",
        "invalidMonitorCrossRefID" | "invalidCrossRefID" => "it doesn't know this monitor",
        "invalidMonitorObject" | "monitorObjectInvalid" => "this object can't be monitored",
        "serviceNotSupported" | "functionNotSupported" | "featureNotSupported" => "it doesn't offer this service",
        "objectMonitorLimitExceeded" | "overallMonitorLimitExceeded" => "there are too many monitors",
        "requestIncompatibleWithObject" => "the request doesn't fit the object",
        "requestIncompatibleWithCalledDevice" => "the request doesn't fit the called device",
        "privilegeViolationSpecifiedDevice" => "the application has no right to this device",
        "invalidAccountCode" | "invalidPassword" | "invalidUserInfo" | "invalidApplicationInfo" => {
            "user or password is wrong"
        }
        "requestedProtocolVersionNotSupported" => "it doesn't speak this protocol version",
        "maxNumberOfSessionsReached" => "there are too many sessions",
        "invalidSessionID" => "it doesn't know this session",
        "serverCannotProvideSession" => "it can't give a session now",
        "notKnown" | "generic" | "unspecified" => "no reason given",
        other => return split_at_capitals(other),
    };
    known.to_owned()
}

fn split_at_capitals(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    let mut after_lower = false;
    for character in name.chars() {
        if character.is_uppercase() && after_lower {
            words.push(' ');
            words.extend(character.to_lowercase());
        } else {
            words.push(character);
        }
        after_lower = character.is_lowercase();
    }
    words
}

/// A document that isn't understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It can't be read at all.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// Something is missing that it can't do without.
    #[error("expected {missing} in {message}")]
    Missing {
        /// The message.
        message: String,
        /// The element.
        missing: &'static str,
    },
}

impl MessageError {
    pub(super) fn missing(message: &Element, missing: &'static str) -> Self {
        Self::Missing {
            message: message.name.chars().take(64).collect(),
            missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cti::xml;

    fn error(text: &str) -> CstaError {
        CstaError::of(&xml::parse(text.as_bytes()).expect("well-formed"))
    }

    #[test]
    fn class_and_value_are_told_in_words() {
        let refused = error("<CSTAErrorCode><operation>invalidDeviceID</operation></CSTAErrorCode>");
        assert_eq!(
            refused.to_string(),
            "the switch refuses the operation: it doesn't know this device (invalidDeviceID)"
        );
        let refused = error("<CSTAErrorCode><stateIncompatibility>noActiveCall</stateIncompatibility></CSTAErrorCode>");
        assert_eq!(
            refused.to_string(),
            "the object is in the wrong state: no active call (noActiveCall)"
        );
    }

    #[test]
    fn a_refusal_is_found_at_any_depth_and_without_a_value() {
        let refused = error("<X><errorCode><definedError>invalidSessionID</definedError></errorCode></X>");
        assert_eq!(refused.value, "invalidSessionID");
        assert_eq!(
            error("<CSTAErrorCode><unspecified/></CSTAErrorCode>").to_string(),
            "the switch refuses it and doesn't say why"
        );
        assert_eq!(error("<CSTAErrorCode/>").class, "unspecified");
    }
}

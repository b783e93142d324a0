//! Why a side's session isn't there, in words, and what follows for the next attempt.

use std::time::Duration;

use silentmon_proto::cti::ged188::{Reaction, Status};
use silentmon_proto::reason::Code;

use crate::link::Closed;

/// Why a side's session isn't there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) text: String,
    pub(super) retry: Retry,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The same side at once, one version lower.
    LowerVersion,
    /// As the back-off says, the other side first.
    Soon,
    /// In a minute: until somebody changes something, the answer will be the same.
    Slowly,
}

impl Failure {
    pub(super) fn unreachable(text: String) -> Self {
        Self {
            code: Code::CtiLinkDown,
            text,
            retry: Retry::Soon,
        }
    }

    /// A session that was open broke.
    pub(super) fn broken(text: String) -> Self {
        Self::unreachable(text)
    }

    pub(super) fn misconfigured(text: impl Into<String>) -> Self {
        Self {
            code: Code::CtiRefused,
            text: text.into(),
            retry: Retry::Slowly,
        }
    }

    /// The CTI Server refused or ended the session.
    pub(super) fn of_status(status: Status) -> Self {
        let words = status.words().trim_end_matches('.');
        let text = format!("{words} (status {})", status.0);
        let (code, retry) = match (status, status.reaction()) {
            (Status::INCONSISTENT_AGENT_DATA, _) | (_, Reaction::Misconfigured) => (Code::CtiRefused, Retry::Slowly),
            (_, Reaction::SessionTaken) => {
                return Self::misconfigured(format!("another instance holds the session: {text}"));
            }
            (_, Reaction::LowerVersion) => (Code::CtiRefused, Retry::LowerVersion),
            (_, Reaction::OtherSide | Reaction::Retry) => (Code::CtiLinkDown, Retry::Soon),
        };
        Self { code, text, retry }
    }

    /// The connection couldn't be opened or is gone; `when` is appended.
    pub(super) fn of_closed(why: &Closed, when: &str) -> Self {
        let code = match why {
            Closed::PlainPort(_) => Code::CtiPortIsPlain,
            Closed::Unreachable(_) | Closed::Tls(_) | Closed::ByPeer | Closed::Broken(_) => Code::CtiLinkDown,
        };
        Self {
            code,
            text: format!("{why}{when}"),
            retry: Retry::Soon,
        }
    }
}

/// A duration for people.
pub(super) fn after(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

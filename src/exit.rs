//! How the program ends: sysexits codes, and failures that carry one.

use std::fmt;
use std::process::ExitCode;

/// Why a command ended without doing what it was asked (command-line contract, exit codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// The answer is no.
    No = 1,
    /// Wrong command line.
    Usage = 64,
    /// Input data are damaged or not what was expected.
    BadData = 65,
    /// A server, device or file can't be had.
    Unavailable = 69,
    /// Rights are missing, or a server refused.
    NotPermitted = 77,
    /// The configuration is wrong.
    BadConfig = 78,
}

/// A failure with the exit code it leads to and one clear sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: ExitKind,
    sentence: String,
}

impl Failure {
    /// A failure in one sentence.
    pub fn new(kind: ExitKind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
        }
    }

    /// The same as an error to return with `?`.
    pub fn error(kind: ExitKind, sentence: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self::new(kind, sentence))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error: that of the failure in it, else `Unavailable`.
pub fn code(error: &anyhow::Error) -> ExitCode {
    let kind = error
        .downcast_ref::<Failure>()
        .map_or(ExitKind::Unavailable, |failure| failure.kind);
    ExitCode::from(kind as u8)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_keeps_its_code_under_context() {
        let error = Err::<(), _>(Failure::error(ExitKind::BadConfig, "no"))
            .context("reading it")
            .expect_err("fails");
        assert_eq!(code(&error), ExitCode::from(78));
        assert_eq!(code(&anyhow::anyhow!("anything")), ExitCode::from(69));
    }
}

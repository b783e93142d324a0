//! How much listening there may be at a time, and for how long.

use std::num::NonZeroUsize;
use std::time::Duration;

/// See the module; nothing is limited unless it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How long a session may go on before its supervisor has to say that he still listens.
    pub session: Option<SessionLimit>,
    /// Supervisors who hear one agent.
    pub supervisors_per_agent: Option<NonZeroUsize>,
    /// Sessions of one supervisor.
    pub sessions_per_supervisor: Option<NonZeroUsize>,
}

/// How long a session may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimit {
    /// From its start, or since its supervisor last said that he still listens.
    pub longest: Duration,
    /// So long before that he is asked.
    pub ask_before: Duration,
}

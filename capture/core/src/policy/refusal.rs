//! Why a supervisor may not: the rule that says so, and the reason he is told.

use silentmon_proto::reason::{Code, Evidence, Reason};

/// A rule that stands against what somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// What he is told.
    pub reason: Reason,
}

/// What can stand against listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No CTI event has named the agent.
    UnknownAgent,
    /// Too many failed sign-ins.
    LockOut,
    /// Administrators see and don't listen.
    Administrators,
    /// Quality management hears only some teams.
    QualityTeams,
    /// A supervisor hears his own teams.
    Teams,
    /// The agent is excluded.
    ExcludedAgents,
    /// The agent's phone is excluded.
    ExcludedDevices,
    /// Nobody listens at this hour.
    Hours,
    /// Enough supervisors hear the agent.
    SupervisorsPerAgent,
    /// The supervisor has enough sessions.
    SessionsPerSupervisor,
    /// A purpose is to be named.
    Purposes,
    /// The session is too long, and nobody said that he still listens.
    SessionLimit,
    /// What is heard isn't to be written to files.
    Recording,
    /// The receiver isn't listed.
    RtpReceivers,
}

impl Rule {
    /// Where an operator finds it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownAgent => "the CTI source's agents",
            Self::LockOut => "lock-out",
            Self::Administrators => "policy.administrators",
            Self::QualityTeams => "policy.quality_teams",
            Self::Teams => "policy.who",
            Self::ExcludedAgents => "policy.excluded_agents",
            Self::ExcludedDevices => "policy.excluded_devices",
            Self::Hours => "policy.hours",
            Self::SupervisorsPerAgent => "policy.supervisors_per_agent",
            Self::SessionsPerSupervisor => "policy.sessions_per_supervisor",
            Self::Purposes => "policy.purposes",
            Self::SessionLimit => "policy.session_limit",
            Self::Recording => "policy.recording",
            Self::RtpReceivers => "policy.rtp_receivers",
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::UnknownAgent => Code::AgentNotSignedIn,
            Self::LockOut => Code::LockedOut,
            Self::Administrators | Self::QualityTeams | Self::Teams | Self::ExcludedAgents | Self::ExcludedDevices => {
                Code::NotAuthorised
            }
            Self::Hours
            | Self::SupervisorsPerAgent
            | Self::SessionsPerSupervisor
            | Self::Purposes
            | Self::SessionLimit
            | Self::Recording
            | Self::RtpReceivers => Code::ExcludedByPolicy,
        }
    }

    /// Whether what it rests on is told in several messages, so that it may stand against a session for a moment only.
    pub const fn may_be_passing(self) -> bool {
        matches!(self, Self::UnknownAgent | Self::Teams | Self::QualityTeams)
    }

    /// A refusal by this rule.
    pub fn refuses(self, text: impl Into<String>) -> Refusal {
        Refusal {
            rule: self,
            reason: Reason::new(self.code(), text).with_evidence(Evidence::new().with("rule", self.name())),
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        refusal.reason
    }
}

//! What is written down, and in which words.

use std::net::IpAddr;

use serde::Serialize;
use silentmon_capture_core::engine::{EngineEvent, PauseRecord, SessionRecord};
use silentmon_capture_core::policy::{Means, PauseKind, PauseOf, Principal, Role};
use silentmon_capture_core::session::Disclosed;
use silentmon_proto::ids::{AgentId, ServerName};
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::SuperviseAction;
use silentmon_proto::time::Instant;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chain::Link;

/// Who asked, as every record says it that is about somebody.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Who<'a> {
    /// His name.
    pub supervisor: &'a str,
    /// In which role.
    pub role: Role,
    /// From where.
    pub from: IpAddr,
    /// How he proved it.
    pub by: Means,
}

impl Who<'static> {
    /// Anna, a supervisor.
    #[cfg(test)]
    pub const ANNA: Self = Self {
        supervisor: "anna",
        role: Role::Supervisor,
        from: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        by: Means::Certificate,
    };
}

impl<'a> Who<'a> {
    fn of(principal: &'a Principal) -> Self {
        Self {
            supervisor: principal.name.as_str(),
            role: principal.role,
            from: principal.from,
            by: principal.means,
        }
    }
}

/// A pause, whether anybody listens or not.
#[derive(Debug, Serialize)]
pub struct PauseEntry<'a> {
    kind: PauseKind,
    /// Whose it is, as it was asked for.
    of: &'a PauseOf,
    /// The agents it hits.
    agents: &'a [AgentId],
    /// What began it.
    source: String,
}

impl<'a> PauseEntry<'a> {
    fn of(PauseRecord { pause, agents }: &'a PauseRecord) -> Self {
        Self {
            kind: pause.kind,
            of: &pause.of,
            agents,
            source: pause.source.words(&pause.by),
        }
    }
}

/// What a record says; `event` names it.
#[derive(Debug, Serialize)]
#[serde(tag = "event")]
pub enum Event<'a> {
    /// A supervisor listens from now on.
    #[serde(rename = "session_started")]
    Started {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<&'a str>,
        /// The member of the cluster that he talks to, where it isn't this server.
        #[serde(skip_serializing_if = "Option::is_none")]
        home: Option<&'a str>,
    },
    /// A session goes on here, or is heard by another member for him than before.
    #[serde(rename = "session_moved")]
    Moved {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<&'a str>,
        /// The member that he talked to before.
        former_home: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        home: Option<&'a str>,
        /// When it started, wherever that was.
        #[serde(skip_serializing_if = "Option::is_none")]
        started: Option<String>,
    },
    /// He listens no more.
    #[serde(rename = "session_stopped")]
    Stopped {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        audible_s: u64,
        /// Whether the agent was told, and when.
        disclosure: &'static str,
        #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
        disclosed_at: Option<OffsetDateTime>,
        reason: String,
    },
    /// The agent of a session was told that somebody listens.
    #[serde(rename = "disclosure_shown")]
    Disclosed {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
    },
    /// Nothing of a session's agent is heard from now on, by rule.
    #[serde(rename = "session_muted")]
    Muted {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        rule: String,
    },
    /// That is over.
    #[serde(rename = "session_unmuted")]
    Unmuted {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        rule: String,
        muted_s: u64,
    },
    /// A payment pause or a private call began.
    #[serde(rename = "pause_started")]
    PauseStarted {
        #[serde(flatten)]
        pause: PauseEntry<'a>,
        /// When it ends by itself: a restart doesn't end it before.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// It was asked for again, and ends later.
    #[serde(rename = "pause_prolonged")]
    PauseProlonged {
        #[serde(flatten)]
        pause: PauseEntry<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// It ended.
    #[serde(rename = "pause_ended")]
    PauseEnded {
        #[serde(flatten)]
        pause: PauseEntry<'a>,
        lasted_s: u64,
        reason: String,
    },
    /// He was not allowed to.
    #[serde(rename = "session_refused")]
    Refused {
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        reason: String,
    },
    /// He said that he still listens, when he was asked.
    #[serde(rename = "session_confirmed")]
    Confirmed {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
    },
    /// Somebody signed in by password.
    #[serde(rename = "signed_in")]
    SignedIn {
        #[serde(flatten)]
        who: Who<'a>,
    },
    /// Somebody tried to.
    #[serde(rename = "sign_in_failed")]
    SignInFailed {
        supervisor: &'a str,
        from: IpAddr,
        #[serde(skip_serializing_if = "Option::is_none")]
        locked_until: Option<String>,
    },
    /// An administrator ended a lock-out.
    #[serde(rename = "unlocked")]
    Unlocked {
        #[serde(flatten)]
        who: Who<'a>,
        unlocked: &'a str,
        source: String,
        failures: u32,
    },
    /// He wanted to be in the call.
    #[serde(rename = "supervise_requested")]
    Supervise {
        session: String,
        #[serde(flatten)]
        who: Who<'a>,
        agent: &'a str,
        action: SuperviseAction,
        device: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        home: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<&'a str>,
    },
    /// His certificate was good no longer; his sessions ended before.
    #[serde(rename = "connection_withdrawn")]
    Withdrawn {
        #[serde(flatten)]
        who: Who<'a>,
        reason: String,
    },
    /// Other certificates or revocation lists hold from now on.
    #[serde(rename = "certificates_changed")]
    CertificatesChanged {
        name: &'a str,
        serial: String,
        fingerprint: String,
        until: String,
        revoked: usize,
    },
    /// The capture service runs, under these rules.
    #[serde(rename = "service_started")]
    ServiceStarted {
        server: &'a str,
        version: &'a str,
        policy: serde_json::Value,
    },
    /// It ended as it should.
    #[serde(rename = "service_stopped")]
    ServiceStopped { server: &'a str },
    /// Other rules hold from now on.
    #[serde(rename = "policy_changed")]
    PolicyChanged { policy: serde_json::Value },
    /// A crash had left the begin of a record, which was taken away.
    #[serde(rename = "journal_mended")]
    Mended { bytes: u64 },
    /// The journal didn't end as its head said.
    #[serde(rename = "journal_damaged")]
    Damaged { expected: Link, found: Link },
}

impl<'a> Event<'a> {
    /// What there is to write about an event of the engine; `None` where it concerns nobody's listening.
    pub fn of(event: &'a EngineEvent) -> Option<Self> {
        match event {
            EngineEvent::FilterChanged
            | EngineEvent::PhonesCame(_)
            | EngineEvent::ListeningChanged { .. }
            | EngineEvent::DemandChanged { .. }
            | EngineEvent::MemberLinked(_)
            | EngineEvent::MemberUnlinked(_)
            | EngineEvent::DialWanted { .. }
            | EngineEvent::MemberJoined(_)
            | EngineEvent::MemberLeft { .. }
            | EngineEvent::MemberRefused { .. }
            | EngineEvent::ProbeWanted { .. }
            | EngineEvent::Cti(_)
            | EngineEvent::Command { .. }
            | EngineEvent::Resynchronised(_)
            | EngineEvent::Released(_)
            | EngineEvent::CallEnded { .. } => None,
            EngineEvent::SessionMuted { session, rule } => Some(Self::Muted {
                session: session.session.to_string(),
                who: Who::of(&session.principal),
                agent: session.agent.as_str(),
                rule: rule.rule(),
            }),
            EngineEvent::SessionUnmuted { session, rule, lasted } => Some(Self::Unmuted {
                session: session.session.to_string(),
                who: Who::of(&session.principal),
                agent: session.agent.as_str(),
                rule: rule.rule(),
                muted_s: lasted.as_secs(),
            }),
            EngineEvent::Disclosed(session) => Some(Self::Disclosed {
                session: session.session.to_string(),
                who: Who::of(&session.principal),
                agent: session.agent.as_str(),
            }),
            EngineEvent::PauseStarted(record) => Some(Self::PauseStarted {
                pause: PauseEntry::of(record),
                until: in_words(record.pause.until),
            }),
            EngineEvent::PauseProlonged(record) => Some(Self::PauseProlonged {
                pause: PauseEntry::of(record),
                until: in_words(record.pause.until),
            }),
            EngineEvent::PauseEnded { record, end, lasted } => Some(Self::PauseEnded {
                pause: PauseEntry::of(record),
                lasted_s: lasted.as_secs(),
                reason: end.words(),
            }),
            EngineEvent::SessionConfirmed(record) => Some(Self::Confirmed {
                session: record.session.to_string(),
                who: Who::of(&record.principal),
                agent: record.agent.as_str(),
            }),
            EngineEvent::SignedIn(principal) => Some(Self::SignedIn {
                who: Who::of(principal),
            }),
            EngineEvent::SignInFailed { name, from, locked } => Some(Self::SignInFailed {
                supervisor: name.as_str(),
                from: *from,
                locked_until: locked.as_ref().and_then(|locked| in_words(locked.until)),
            }),
            EngineEvent::Unlocked { principal, locked } => Some(Self::Unlocked {
                who: Who::of(principal),
                unlocked: locked.name.as_str(),
                source: locked.source.to_string(),
                failures: locked.failures,
            }),
            EngineEvent::ConnectionWithdrawn { principal, reason } => Some(Self::Withdrawn {
                who: Who::of(principal),
                reason: reason.to_string(),
            }),
            EngineEvent::SuperviseRequested(record) => Some(Self::Supervise {
                session: record.session.to_string(),
                who: Who::of(&record.principal),
                agent: record.agent.as_str(),
                action: record.action,
                device: record.device.as_str(),
                home: record.home.as_ref().map(ServerName::as_str),
                refused: record.refused.as_deref(),
            }),
            EngineEvent::SessionStarted(record) => Some(Self::Started {
                session: record.session.to_string(),
                who: Who::of(&record.principal),
                agent: record.agent.as_str(),
                purpose: record.purpose.as_deref(),
                home: record.home.as_ref().map(ServerName::as_str),
            }),
            EngineEvent::SessionMoved { session, former } => Some(Self::moved(session, former)),
            EngineEvent::SessionStopped(record, reason) => Some(Self::stopped(record, reason)),
            EngineEvent::SessionRefused {
                principal,
                agent,
                reason,
            } => Some(Self::Refused {
                who: Who::of(principal),
                agent: agent.as_str(),
                reason: reason.to_string(),
            }),
        }
    }

    fn moved(session: &'a SessionRecord, former_home: &'a ServerName) -> Self {
        Self::Moved {
            session: session.session.to_string(),
            who: Who::of(&session.principal),
            agent: session.agent.as_str(),
            purpose: session.purpose.as_deref(),
            former_home: former_home.as_str(),
            home: session.home.as_ref().map(ServerName::as_str),
            started: in_words(session.started),
        }
    }

    fn stopped(record: &'a SessionRecord, reason: &Reason) -> Self {
        Self::Stopped {
            session: record.session.to_string(),
            who: Who::of(&record.principal),
            agent: record.agent.as_str(),
            audible_s: record.audible.as_secs(),
            disclosure: match record.disclosed {
                Disclosed::NotRequired => "none_required",
                Disclosed::NotShown => "not_shown",
                Disclosed::Shown(_) => "shown",
            },
            disclosed_at: match record.disclosed {
                Disclosed::Shown(at) => OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos().into()).ok(),
                Disclosed::NotRequired | Disclosed::NotShown => None,
            },
            reason: reason.to_string(),
        }
    }
}

/// A time as records have it.
fn in_words(at: Instant) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos().into()).ok()?;
    at.format(&Rfc3339).ok()
}

//! Who may hear whom, and what may become of the sound.

mod authority;
mod hours;
mod limits;
mod lockout;
mod mute;
mod numbers;
mod pause;
mod refusal;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use silentmon_proto::ids::{AgentId, SupervisorName, TeamName};
pub use silentmon_proto::principal::{Means, Principal, Role};
use silentmon_proto::relay::OutputKind;

pub use self::authority::{Administrators, AllTeams, DirectoryView, Excluded, QualityTeams, Roles};
pub use self::hours::{BadWindow, Hours, WeekMinute, Window};
pub use self::limits::{Limits, SessionLimit};
pub use self::lockout::{LockOut, Locked, REMEMBERED_FOR, SignInOutcome, Source};
pub use self::mute::{Mute, PrivateCalls, Undisclosed, UnknownNumbers, VariableRule};
pub use self::numbers::{BadPattern, NumberList, NumberPattern, NumberRule, PhoneNumber};
pub(crate) use self::pause::WORTH_WRITING;
pub use self::pause::{
    Begun, DigitBurst, KeyedDigits, Pause, PauseEnd, PauseKind, PauseOf, PauseSource, Pauses, PaymentPauses,
    TooManyPauses,
};
pub use self::refusal::{Refusal, Rule};

/// The operator's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether agents are told that someone listens.
    pub disclosure: Disclosure,
    /// What becomes of calls of agents who can't be told.
    pub undisclosed: Undisclosed,
    /// Which supervisors may hear an agent.
    pub who: Who,
    /// Which calls may be heard.
    pub calls: HeardCalls,
    /// Which calls are private.
    pub private_calls: PrivateCalls,
    /// When payment pauses begin and end.
    pub payment_pauses: PaymentPauses,
    /// Whether a supervisor's program may write what it hears to a file.
    pub recording: Recording,
    /// Whether a supervisor's program may have packets sent twice.
    pub copies: Copies,
    /// Standard RTP receivers to which plain RTP may be sent.
    pub rtp_receivers: Vec<IpAddr>,
    /// Supervisors of each team.
    pub teams: BTreeMap<TeamName, Vec<SupervisorName>>,
    /// As which agent the CTI source knows a supervisor, where not by the name in his certificate.
    pub supervisors: BTreeMap<SupervisorName, AgentId>,
    /// Who is more than his certificate says.
    pub roles: Roles,
    /// Whether administrators listen.
    pub administrators: Administrators,
    /// Whom quality management hears.
    pub quality_teams: QualityTeams,
    /// Whom nobody hears.
    pub excluded: Excluded,
    /// When listening is allowed.
    pub hours: Hours,
    /// How much of it, and for how long.
    pub limits: Limits,
    /// What one may listen for; anything where the list is empty.
    pub purposes: Vec<String>,
    /// Which agents a supervisor is shown.
    pub directory: DirectoryView,
}

/// Whether agents are told that someone listens. There is no default: the operator must choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disclosure {
    /// Agents are not told.
    Never,
    /// Agents are told while someone listens.
    WhileListening,
    /// Agents are told that someone may listen at any time.
    Always,
}

/// Which supervisors may hear an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Those of the agent's team.
    #[default]
    Team,
    /// Anyone with a supervisor's certificate.
    AnySupervisor,
}

/// Which calls may be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeardCalls {
    /// Only those known to have come through the queue.
    #[default]
    AcdOnly,
    /// All.
    All,
}

/// Whether what is heard may be written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recording {
    /// No.
    #[default]
    Refused,
    /// Yes.
    Allowed,
}

/// Whether packets may be sent twice to a supervisor whose path loses much: that doubles what it must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copies {
    /// Yes, where his program asks for it.
    #[default]
    Allowed,
    /// No; what was lost may still be sent again.
    Refused,
}

impl Policy {
    /// The strictest rules there are, with the one that has no default.
    pub fn new(disclosure: Disclosure) -> Self {
        Self {
            disclosure,
            undisclosed: Undisclosed::default(),
            who: Who::default(),
            calls: HeardCalls::default(),
            private_calls: PrivateCalls::default(),
            payment_pauses: PaymentPauses::default(),
            recording: Recording::default(),
            copies: Copies::default(),
            rtp_receivers: Vec::new(),
            teams: BTreeMap::new(),
            supervisors: BTreeMap::new(),
            roles: Roles::default(),
            administrators: Administrators::default(),
            quality_teams: QualityTeams::default(),
            excluded: Excluded::default(),
            hours: Hours::default(),
            limits: Limits::default(),
            purposes: Vec::new(),
            directory: DirectoryView::default(),
        }
    }

    /// Whether the sound may become what the supervisor wants to make of it.
    ///
    /// # Errors
    /// `SM-1003` where policy refuses recording or the RTP receiver.
    pub fn admit_output(&self, output: OutputKind) -> Result<(), Refusal> {
        match output {
            OutputKind::Play => Ok(()),
            OutputKind::Record if self.recording == Recording::Allowed => Ok(()),
            OutputKind::Record => {
                Err(Rule::Recording.refuses("Recording is refused: policy.recording is \"refused\" on this server."))
            }
            OutputKind::PlainRtp { receiver } if self.rtp_receivers.contains(&receiver.ip()) => Ok(()),
            OutputKind::PlainRtp { receiver } => Err(Rule::RtpReceivers.refuses(format!(
                "Plain RTP to {} is refused: policy.rtp_receivers doesn't name it.",
                receiver.ip()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use silentmon_proto::cti::{AgentState, AgentUpdate, CallEvent, CallEventKind, CtiEvent, MediaStarted};
    use silentmon_proto::reason::Code;
    use silentmon_proto::time::Instant;

    use super::*;
    use crate::directory::AgentDirectory;

    fn policy() -> Policy {
        Policy {
            rtp_receivers: vec![IpAddr::from([127, 0, 0, 1])],
            ..Policy::new(Disclosure::Never)
        }
    }

    fn directory(acd: Option<bool>) -> AgentDirectory {
        let mut directory = AgentDirectory::default();
        let (agent, team) = (AgentId::from("4711"), Some("claims".into()));
        let events: [CtiEvent; 3] = [
            AgentUpdate {
                team,
                ..AgentUpdate::new(agent.clone(), AgentState::Talking)
            }
            .into(),
            CallEvent {
                acd,
                ..CallEvent::of_agent(agent.clone(), "81", CallEventKind::Established)
            }
            .into(),
            MediaStarted {
                agent: Some(agent),
                ..MediaStarted::at("10.1.1.20:24678".parse().expect("an address"))
            }
            .into(),
        ];
        for event in &events {
            directory.handle_event(event, Instant::EPOCH);
        }
        directory
    }

    #[test]
    fn only_calls_known_to_come_through_the_queue_are_heard() {
        for (acd, heard) in [(Some(true), 1), (Some(false), 0), (None, 0)] {
            let directory = directory(acd);
            let agent = directory.agent(&"4711".into()).expect("known");
            let media = directory.media(&"4711".into());
            assert_eq!(policy().admit_media(agent, media.clone()).len(), heard, "{acd:?}");
            let all = Policy {
                calls: HeardCalls::All,
                ..policy()
            };
            assert_eq!(all.admit_media(agent, media).len(), 1);
        }
    }

    #[test]
    fn recording_and_plain_rtp_need_a_rule_that_allows_them() {
        let to = |ip: [u8; 4]| OutputKind::PlainRtp {
            receiver: (ip, 39200).into(),
        };
        assert_eq!(policy().admit_output(OutputKind::Play), Ok(()));
        assert_eq!(policy().admit_output(to([127, 0, 0, 1])), Ok(()));
        for refused in [OutputKind::Record, to([10, 0, 0, 1])] {
            let refusal = policy().admit_output(refused).expect_err("refused");
            assert_eq!(refusal.reason.code, Code::ExcludedByPolicy);
        }
    }
}

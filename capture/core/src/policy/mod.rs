//! Who may hear whom, and what may become of the sound.

mod principal;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use silentmon_proto::ids::{AgentId, SupervisorName, TeamName};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::OutputKind;

use crate::directory::{Agent, AgentDirectory, Call, MediaLeg};

pub use self::principal::{Means, Principal, Role};

/// The operator's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether agents are told that someone listens.
    pub disclosure: Disclosure,
    /// Which supervisors may hear an agent.
    pub who: Who,
    /// Which calls may be heard.
    pub calls: HeardCalls,
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
            who: Who::default(),
            calls: HeardCalls::default(),
            recording: Recording::default(),
            copies: Copies::default(),
            rtp_receivers: Vec::new(),
            teams: BTreeMap::new(),
            supervisors: BTreeMap::new(),
        }
    }

    /// Whether `supervisor` may have a session on `agent`.
    ///
    /// # Errors
    /// The reason for the refusal: `SM-1210` for an agent nobody spoke of, `SM-1001` for another team's.
    pub fn authorise(
        &self,
        supervisor: &SupervisorName,
        agent: &AgentId,
        directory: &AgentDirectory,
    ) -> Result<(), Reason> {
        let Some(known) = directory.agent(agent) else {
            return Err(Reason::new(
                Code::AgentNotSignedIn,
                format!("Agent {agent} is not known here: no CTI event has named him yet."),
            ));
        };
        let leads = || self.leads_team_of(supervisor, agent, known, directory);
        if self.who == Who::AnySupervisor || leads() {
            return Ok(());
        }
        let team = directory
            .team(agent, known)
            .map_or_else(|| "no team".to_owned(), |team| format!("team \"{team}\""));
        Err(Reason::new(
            Code::NotAuthorised,
            format!("You may not listen to agent {agent} ({team})."),
        ))
    }

    /// Whether the sound may become what the supervisor wants to make of it.
    ///
    /// # Errors
    /// `SM-1003` where policy refuses recording or the RTP receiver.
    pub fn admit_output(&self, output: OutputKind) -> Result<(), Reason> {
        let text = match output {
            OutputKind::Play => return Ok(()),
            OutputKind::Record if self.recording == Recording::Allowed => return Ok(()),
            OutputKind::Record => "Recording is refused: policy.recording is \"refused\" on this server.".to_owned(),
            OutputKind::PlainRtp { receiver } if self.rtp_receivers.contains(&receiver.ip()) => return Ok(()),
            OutputKind::PlainRtp { receiver } => {
                format!(
                    "Plain RTP to {} is refused: policy.rtp_receivers doesn't name it.",
                    receiver.ip()
                )
            }
        };
        Err(Reason::new(Code::ExcludedByPolicy, text))
    }

    /// Those of an agent's media that may be heard.
    pub fn admit_media(&self, agent: &Agent, media: Vec<MediaLeg>) -> Vec<MediaLeg> {
        match self.calls {
            HeardCalls::All => media,
            HeardCalls::AcdOnly => media.into_iter().filter(|leg| is_acd(agent, leg)).collect(),
        }
    }

    /// By `[teams]`, or because the CTI source flags him as supervisor of a team of the agent's.
    fn leads_team_of(
        &self,
        supervisor: &SupervisorName,
        agent: &AgentId,
        known: &Agent,
        directory: &AgentDirectory,
    ) -> bool {
        let listed = |team| self.teams.get(team).is_some_and(|leaders| leaders.contains(supervisor));
        let as_agent = self
            .supervisors
            .get(supervisor)
            .cloned()
            .unwrap_or_else(|| AgentId::new(supervisor.as_str()));
        directory.teams(agent, known).any(listed) || directory.supervises(&as_agent, agent, known)
    }
}

/// Media of a nailed-up line belong to no call of their own: they count as the call they carry.
fn is_acd(agent: &Agent, leg: &MediaLeg) -> bool {
    agent.call_on(leg).is_some_and(Call::counts_as_acd)
}

#[cfg(test)]
mod tests {
    use silentmon_proto::cti::{
        AgentState, AgentUpdate, CallEvent, CallEventKind, CtiEvent, MediaStarted, TeamMember, TeamOperation,
        TeamUpdate,
    };
    use silentmon_proto::time::Instant;

    use super::*;

    fn policy() -> Policy {
        Policy {
            rtp_receivers: vec![IpAddr::from([127, 0, 0, 1])],
            teams: [("claims".into(), vec!["anna".into()])].into(),
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
    fn a_supervisor_hears_only_his_own_teams_unless_anyone_may() {
        let (directory, agent) = (directory(None), "4711".into());
        assert_eq!(policy().authorise(&"anna".into(), &agent, &directory), Ok(()));
        let refused = policy()
            .authorise(&"bert".into(), &agent, &directory)
            .expect_err("another team");
        assert_eq!(refused.code, Code::NotAuthorised);
        assert!(refused.text.contains("claims"), "{refused}");
        let open = Policy {
            who: Who::AnySupervisor,
            ..policy()
        };
        assert_eq!(open.authorise(&"bert".into(), &agent, &directory), Ok(()));
    }

    #[test]
    fn an_agent_nobody_spoke_of_is_refused_by_his_own_code() {
        let refused = policy()
            .authorise(&"anna".into(), &"9".into(), &directory(None))
            .expect_err("unknown");
        assert_eq!(refused.code, Code::AgentNotSignedIn);
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
    fn a_supervisor_whom_the_cti_source_knows_hears_his_team_under_whatever_name() {
        let mut directory = directory(None);
        let team = TeamUpdate {
            team: "claims".into(),
            operation: TeamOperation::Replace,
            members: vec![TeamMember {
                agent: "9001".into(),
                supervisor: true,
            }],
        };
        directory.handle_event(&team.into(), Instant::EPOCH);
        let agent = "4711".into();
        assert_eq!(policy().authorise(&"9001".into(), &agent, &directory), Ok(()));
        assert!(policy().authorise(&"carla".into(), &agent, &directory).is_err());
        let mapped = Policy {
            supervisors: [("carla".into(), "9001".into())].into(),
            ..policy()
        };
        assert_eq!(mapped.authorise(&"carla".into(), &agent, &directory), Ok(()));
    }

    #[test]
    fn recording_and_plain_rtp_need_a_rule_that_allows_them() {
        let to = |ip: [u8; 4]| OutputKind::PlainRtp {
            receiver: (ip, 39200).into(),
        };
        assert_eq!(policy().admit_output(OutputKind::Play), Ok(()));
        assert_eq!(policy().admit_output(to([127, 0, 0, 1])), Ok(()));
        for refused in [OutputKind::Record, to([10, 0, 0, 1])] {
            let reason = policy().admit_output(refused).expect_err("refused");
            assert_eq!(reason.code, Code::ExcludedByPolicy);
        }
    }
}

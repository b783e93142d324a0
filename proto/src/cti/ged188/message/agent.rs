//! Events of agents and teams (protocol sheet 1.5).

use super::fixed::messages;
use crate::cti::ged188::{
    AgentAvailabilityStatus, AgentFlags, AgentState, CallDirection, ConfigOperation, Entry, Floating, IcmAgentId,
    InvokeId, MonitorId, MrdId, PeripheralId, PeripheralType, SessionId, Tag, TeamId,
};

messages! {
    /// An agent's state changed; comes once for each of his skill groups. Floating: AGENT_ID, AGENT_EXTENSION,
    /// AGENT_INSTRUMENT.
    AgentStateEvent {
        monitor_id: MonitorId;
        peripheral_id: Option<PeripheralId>;
        session_id: SessionId;
        peripheral_type: Option<PeripheralType>;
        skill_group_state: AgentState;
        /// Seconds.
        state_duration: u32;
        skill_group_number: Option<u32>;
        skill_group_id: Option<u32>;
        skill_group_priority: Option<u16>;
        /// His state in all.
        agent_state: AgentState;
        event_reason_code: u16;
        mrd_id: MrdId;
        num_tasks: u32;
        /// Whether calls are routed to him.
        agent_mode: bool;
        max_task_limit: u32;
        icm_agent_id: IcmAgentId;
        agent_availability_status: AgentAvailabilityStatus;
        num_skill_groups: u16;
        department_id: u32, since 19;
    }

    /// Who belongs to a team. Several may follow each other; see [`AgentTeamConfigEvent::agents`].
    AgentTeamConfigEvent {
        peripheral_id: Option<PeripheralId>;
        team_id: TeamId;
        number_of_agents: u16;
        config_operation: ConfigOperation;
        department_id: u32, since 19;
    }

    /// Asks for the teams of a supervisor.
    ListAgentTeamReq {
        invoke_id: InvokeId;
        /// The supervisor's skill target id.
        supervisor_id: IcmAgentId;
    }

    /// A supervisor's teams, in segments; see [`ListAgentTeamConf::teams`].
    ListAgentTeamConf {
        invoke_id: InvokeId;
        number_of_agent_teams: u16;
        segment_number: u16;
        more: bool;
    }

    /// Asks for the events of a team's agents.
    MonitorAgentTeamStartReq {
        invoke_id: InvokeId;
        team_id: TeamId;
    }

    /// The team is monitored.
    MonitorAgentTeamStartConf {
        invoke_id: InvokeId;
        monitor_id: MonitorId;
    }

    /// Ends the monitoring of a team.
    MonitorAgentTeamStopReq {
        invoke_id: InvokeId;
        monitor_id: MonitorId;
    }

    /// The team is no longer monitored.
    MonitorAgentTeamStopConf {
        invoke_id: InvokeId;
    }
}

/// One skill group of an agent's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillGroup {
    /// Its number at the peripheral.
    pub number: Option<u32>,
    /// Its id in the system.
    pub id: Option<u32>,
    /// The agent's priority in it.
    pub priority: Option<u16>,
    /// The agent's state in it.
    pub state: Option<AgentState>,
}

/// The skill groups of a floating part.
pub(super) fn skill_groups(floating: &Floating) -> Vec<SkillGroup> {
    let group = |entry: &Entry<'_>| SkillGroup {
        number: entry.value(Tag::SKILL_GROUP_NUMBER).unwrap_or_default(),
        id: entry.value(Tag::SKILL_GROUP_ID).unwrap_or_default(),
        priority: entry.value(Tag::SKILL_GROUP_PRIORITY).unwrap_or_default(),
        state: entry.value(Tag::SKILL_GROUP_STATE),
    };
    floating.entries(Tag::SKILL_GROUP_NUMBER).iter().map(group).collect()
}

impl AgentStateEvent {
    /// The state in each of the agent's skill groups.
    pub fn skill_groups(&self) -> Vec<SkillGroup> {
        skill_groups(&self.floating)
    }

    /// The direction of the call he talks on, from version 16.
    pub fn direction(&self) -> Option<CallDirection> {
        self.floating.uint(Tag::DIRECTION).map(CallDirection)
    }
}

/// One agent of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamAgent {
    /// The id he signs in with.
    pub agent_id: String,
    /// What he is in the team.
    pub flags: AgentFlags,
    /// His state.
    pub state: Option<AgentState>,
    /// Seconds he has been in it.
    pub state_duration: Option<u32>,
}

impl AgentTeamConfigEvent {
    /// The agents named.
    pub fn agents(&self) -> Vec<TeamAgent> {
        let agent = |entry: &Entry<'_>| {
            Some(TeamAgent {
                agent_id: entry.text(Tag::ATC_AGENT_ID)?,
                flags: entry.value(Tag::AGENT_FLAGS).unwrap_or_default(),
                state: entry.value(Tag::ATC_AGENT_STATE),
                state_duration: entry.value(Tag::ATC_STATE_DURATION),
            })
        };
        let entries = self.floating.entries(Tag::ATC_AGENT_ID);
        entries.iter().filter_map(agent).collect()
    }

    /// The team's name, from version 16.
    pub fn team_name(&self) -> Option<String> {
        self.floating.text(Tag::AGENT_TEAM_NAME)
    }
}

impl ListAgentTeamConf {
    /// The teams of this segment.
    pub fn teams(&self) -> Vec<TeamId> {
        let teams = self.floating.iter().filter(|(tag, _)| *tag == Tag::LIST_TEAM_ID);
        teams
            .filter_map(|(_, data)| crate::cti::ged188::floating::value(data))
            .collect()
    }
}

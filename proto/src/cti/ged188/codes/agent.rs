//! What agents are and do.

use crate::cti;
use crate::cti::ged188::wire::{mask, number};

number! {
    /// State of an agent, in all or in one skill group.
    AgentState: u16 {
        LOGIN = 0, LOGOUT = 1, NOT_READY = 2, AVAILABLE = 3, TALKING = 4, WORK_NOT_READY = 5, WORK_READY = 6,
        BUSY_OTHER = 7, RESERVED = 8, UNKNOWN = 9, HOLD = 10, ACTIVE = 11, PAUSED = 12, INTERRUPTED = 13,
        NOT_ACTIVE = 14,
    }
}

/// The states of tasks other than calls (ACTIVE, PAUSED, INTERRUPTED) are `BusyOther`.
impl From<AgentState> for cti::AgentState {
    fn from(state: AgentState) -> Self {
        match state {
            AgentState::LOGIN => Self::Login,
            AgentState::LOGOUT => Self::Logout,
            AgentState::NOT_READY => Self::NotReady,
            AgentState::AVAILABLE => Self::Available,
            AgentState::TALKING => Self::Talking,
            AgentState::WORK_NOT_READY => Self::WorkNotReady,
            AgentState::WORK_READY => Self::WorkReady,
            AgentState::BUSY_OTHER | AgentState::ACTIVE | AgentState::PAUSED | AgentState::INTERRUPTED => {
                Self::BusyOther
            }
            AgentState::RESERVED => Self::Reserved,
            AgentState::HOLD => Self::Hold,
            _ => Self::Unknown,
        }
    }
}

impl From<cti::AgentState> for AgentState {
    fn from(state: cti::AgentState) -> Self {
        match state {
            cti::AgentState::Login => Self::LOGIN,
            cti::AgentState::Logout => Self::LOGOUT,
            cti::AgentState::NotReady => Self::NOT_READY,
            cti::AgentState::Available => Self::AVAILABLE,
            cti::AgentState::Talking => Self::TALKING,
            cti::AgentState::WorkNotReady => Self::WORK_NOT_READY,
            cti::AgentState::WorkReady => Self::WORK_READY,
            cti::AgentState::BusyOther => Self::BUSY_OTHER,
            cti::AgentState::Reserved => Self::RESERVED,
            cti::AgentState::Unknown => Self::UNKNOWN,
            cti::AgentState::Hold => Self::HOLD,
        }
    }
}

number! {
    /// Whether an agent can be given work, and by whom.
    AgentAvailabilityStatus: u32 {
        NOT_AVAILABLE = 0, ICM_AVAILABLE = 1, APPLICATION_AVAILABLE = 2,
    }
}

number! {
    /// Direction of the call an agent talks on (tag `DIRECTION`).
    CallDirection: u32 {
        NONE = 0, IN = 1, OUT = 2, OTHER_IN = 3, OTHER_OUT = 4, OUTBOUND_RESERVE = 5, OUTBOUND_PREVIEW = 6,
        OUTBOUND_PREDICTIVE = 7,
    }
}

mask! {
    /// What an agent is in a team (tag `AGENT_FLAGS`); no bit for a plain agent.
    AgentFlags: u16 {
        PRIMARY_SUPERVISOR = 1, TEMPORARY_AGENT = 2, SUPERVISOR = 4,
    }
}

impl AgentFlags {
    /// Whether he supervises the team.
    pub const fn is_supervisor(self) -> bool {
        self.contains(Self::PRIMARY_SUPERVISOR) || self.contains(Self::SUPERVISOR)
    }
}

number! {
    /// What an AGENT_TEAM_CONFIG_EVENT does.
    ConfigOperation: u16 {
        RESTORE_PERMANENT = 0, ADD_AGENT = 1, REMOVE_AGENT = 2,
    }
}

//! What the HTTPS interface asks, and the answers.

use std::net::IpAddr;

use silentmon_capture_core::diagnosis::Diagnosis;
use silentmon_capture_core::policy::{Principal, SignInOutcome};
use silentmon_proto::ids::{AgentId, SessionId, SupervisorName};
use silentmon_proto::reason::{Hop, Reason};
use silentmon_proto::relay::AgentRow;
use tokio::sync::oneshot;

/// What the HTTPS interface asks of the engine. Answers say what `asks` may see; everything, where nobody is named.
#[derive(Debug)]
pub enum Question {
    /// How things stand.
    Diagnosis {
        /// Who asks.
        asks: Option<Principal>,
        /// The agent whose hops are wanted; none for those of the house, with every agent and session in short.
        agent: Option<AgentId>,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// The list of agents, and why whoever asks may listen to none of them now.
    Agents {
        /// Who asks.
        asks: Option<Principal>,
        /// Where the answer goes.
        answer: oneshot::Sender<(Vec<AgentRow>, Option<Reason>)>,
    },
    /// Whether somebody may try to sign in; `SignIn` has to follow.
    SignInAttempt {
        /// As whom.
        name: SupervisorName,
        /// From where.
        from: IpAddr,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<(), Reason>>,
    },
    /// A sign-in was tried.
    SignIn {
        /// By whom, as he says.
        principal: Principal,
        /// How it ended.
        outcome: SignInOutcome,
    },
}

/// How things stand.
#[derive(Debug)]
pub struct Answer {
    /// Every hop of the agent asked for, or of the house.
    pub hops: Vec<Hop>,
    /// Every agent, where none was asked for.
    pub agents: Vec<(AgentId, Diagnosis)>,
    /// Every session, likewise.
    pub sessions: Vec<(SessionId, AgentId, Diagnosis)>,
}

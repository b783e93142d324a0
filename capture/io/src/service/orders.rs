//! What the HTTPS interface has done: pauses that begin and end, and notices for agents' desktops.

use std::collections::HashMap;

use serde::Serialize;
use silentmon_capture_core::engine::{Desk, Engine, PauseGranted, PauseRecord, PauseRequest};
use silentmon_capture_core::policy::{Disclosure, PauseKind, PauseOf, TooManyPauses};
use silentmon_proto::ids::AgentId;
use silentmon_proto::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Most desktops that take notices at a time.
const MOST_DESKS: usize = 10_000;

/// Something to be done, with the place where the answer goes.
#[derive(Debug)]
pub enum Order {
    /// Begins a pause.
    Pause {
        /// Which.
        request: PauseRequest,
        /// What it does.
        answer: oneshot::Sender<Result<PauseGranted, TooManyPauses>>,
    },
    /// Ends pauses.
    Resume {
        /// Of which kind.
        kind: PauseKind,
        /// Whose.
        of: PauseOf,
        /// Who asks.
        by: String,
        /// How many ended.
        answer: oneshot::Sender<usize>,
    },
    /// Lists the pauses that run.
    ListPauses {
        /// They, and the time at which that was so.
        answer: oneshot::Sender<(Instant, Vec<PauseRecord>)>,
    },
    /// A program at an agent's desk takes notices.
    OpenDesk {
        /// Whose.
        agent: AgentId,
        /// The notices; nothing where there are too many desktops.
        answer: oneshot::Sender<Option<Notices>>,
    },
}

/// What an agent is told about listening. It never says who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Whether and when agents are told.
    pub disclosure: Disclosure,
    /// Whether somebody listens now; absent where agents aren't told that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listened: Option<bool>,
    /// The same in a sentence that can be shown.
    pub text: &'static str,
}

impl Notice {
    /// The notice for an agent, as rules and sessions are.
    fn of(agent: &AgentId, engine: &Engine) -> Self {
        let disclosure = engine.disclosure();
        let (listened, text) = match disclosure {
            Disclosure::Never => (None, "Agents are not told here whether somebody listens."),
            Disclosure::Always => (None, "Somebody may listen to your calls at any time."),
            Disclosure::WhileListening if engine.is_listened_to(agent) => {
                (Some(true), "Somebody listens to your calls.")
            }
            Disclosure::WhileListening => (Some(false), "Nobody listens to your calls."),
        };
        Self {
            disclosure,
            listened,
            text,
        }
    }
}

/// The notices for one desktop, which counts as there until this is dropped.
#[derive(Debug)]
pub struct Notices {
    /// The newest notice.
    pub newest: watch::Receiver<Notice>,
    agent: AgentId,
    closed: mpsc::UnboundedSender<AgentId>,
}

impl Drop for Notices {
    fn drop(&mut self) {
        // The event loop is gone only when the service stops. The queue holds one entry for each open desktop at most.
        let _ = self.closed.send(self.agent.clone());
    }
}

/// All desktops that take notices.
#[derive(Debug)]
pub(super) struct Desks {
    open: HashMap<AgentId, (watch::Sender<Notice>, usize)>,
    count: usize,
    closed: mpsc::UnboundedSender<AgentId>,
}

impl Desks {
    /// Without a desktop; closed ones are told to `closed`.
    pub(super) fn new(closed: mpsc::UnboundedSender<AgentId>) -> Self {
        Self {
            open: HashMap::new(),
            count: 0,
            closed,
        }
    }

    /// A desktop more, if there is room.
    pub(super) fn open(&mut self, agent: AgentId, engine: &mut Engine, now: Instant) -> Option<Notices> {
        if self.count >= MOST_DESKS {
            return None;
        }
        let notice = Notice::of(&agent, engine);
        let (sender, desktops) = self
            .open
            .entry(agent.clone())
            .or_insert_with(|| (watch::Sender::new(notice), 0));
        self.count += 1;
        *desktops += 1;
        let newest = sender.subscribe();
        engine.handle_desk(&agent, Desk::Opened, now);
        let closed = self.closed.clone();
        Some(Notices { newest, agent, closed })
    }

    /// A desktop less.
    pub(super) fn close(&mut self, agent: &AgentId, engine: &mut Engine, now: Instant) {
        let Some((_, desktops)) = self.open.get_mut(agent) else {
            return;
        };
        self.count -= 1;
        *desktops -= 1;
        if *desktops == 0 {
            self.open.remove(agent);
        }
        engine.handle_desk(agent, Desk::Closed, now);
    }

    /// Tells an agent's desktops what is new.
    pub(super) fn tell(&self, agent: &AgentId, engine: &Engine) {
        if let Some((sender, _)) = self.open.get(agent) {
            let notice = Notice::of(agent, engine);
            sender.send_if_modified(|told| std::mem::replace(told, notice) != notice);
        }
    }

    /// Tells everybody, after the rules changed.
    pub(super) fn tell_all(&self, engine: &Engine) {
        for agent in self.open.keys() {
            self.tell(agent, engine);
        }
    }
}

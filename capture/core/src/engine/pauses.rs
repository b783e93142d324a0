//! What keeps calls from being heard by rule, as it begins and ends: pauses, mutes of sessions, and desktops of agents that
//! are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use silentmon_proto::cti::{AgentState, CallVariables, CtiEvent};
use silentmon_proto::ids::{AgentId, CallId, Extension, SessionId};
use silentmon_proto::time::Instant;

use super::control::record;
use super::{Engine, EngineEvent, SessionRecord};
use crate::directory::Agent;
use crate::policy::{
    Begun, Disclosure, Mute, Pause, PauseEnd, PauseKind, PauseOf, PauseSource, TooManyPauses, Undisclosed,
};
use crate::session::{Admission, Disclosed, MonitorSession};

/// Longest value of a call variable that is kept, in bytes (GED-188 NAMEDVAR: 210).
const MOST_VALUE: usize = 210;

/// What somebody asks for who knows that nothing of a call may be heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseRequest {
    /// What for.
    pub kind: PauseKind,
    /// Whose calls.
    pub of: PauseOf,
    /// Who asks, in his own words.
    pub by: String,
    /// For how long; as long as policy allows without it, and never longer.
    pub lasting: Option<Duration>,
}

/// What a pause does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseGranted {
    /// The agents of whom nothing is heard now; none where nobody is known by that name yet: the pause waits for him.
    pub agents: Vec<AgentId>,
    /// For how long at the most.
    pub lasting: Duration,
    /// Whether it began, or ran already.
    pub begun: Begun,
}

/// What the audit wants to know of a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseRecord {
    /// The pause.
    pub pause: Pause,
    /// The agents of whom nothing is heard, or was.
    pub agents: Vec<AgentId>,
}

impl Engine {
    /// Begins a pause, or lets it last longer.
    ///
    /// # Errors
    /// There are too many.
    pub fn handle_pause(&mut self, request: PauseRequest, now: Instant) -> Result<PauseGranted, TooManyPauses> {
        let longest = self.longest(request.kind);
        let lasting = request.lasting.unwrap_or(longest).min(longest);
        let pause = Pause {
            kind: request.kind,
            calls: self.calls_of(&request.of),
            of: request.of,
            source: PauseSource::Request,
            by: request.by,
            since: now,
            until: now + lasting,
            asked: now,
        };
        let begun = self.begin_pause(pause.clone(), now)?;
        self.tell_pause(&pause);
        Ok(PauseGranted {
            agents: self.agents_hit(&pause),
            lasting,
            begun,
        })
    }

    /// Ends every pause of a kind that hits somebody, whatever began it. Answers how many.
    pub fn handle_resume(&mut self, kind: PauseKind, of: &PauseOf, by: &str, now: Instant) -> usize {
        self.tell_pause_over(kind, of, by, now);
        self.resume(kind, of, by, now, now)
    }

    /// The same, wherever and whenever that was asked for: what was asked for after it goes on.
    pub(super) fn resume(&mut self, kind: PauseKind, of: &PauseOf, by: &str, at: Instant, now: Instant) -> usize {
        self.resumed.note(kind, of, by, at);
        let hit = self.hit_by(kind, of);
        let ended = self
            .pauses
            .end(|pause| pause.asked <= at && hit.holds(pause, &self.directory));
        let count = ended.len();
        for pause in ended {
            self.pause_ended(pause, PauseEnd::Requested { by: by.to_owned() }, now);
        }
        count
    }

    /// The pauses that run.
    pub fn pauses(&self) -> impl Iterator<Item = PauseRecord> {
        self.pauses.iter().map(|pause| PauseRecord {
            pause: pause.clone(),
            agents: self.agents_hit(pause),
        })
    }

    /// A customer keyed many digits: what follows may be said instead.
    pub(super) fn pause_for_digits(&mut self, agent: &AgentId, now: Instant) {
        let of = PauseOf::Agent(agent.clone());
        let pause = Pause {
            kind: PauseKind::Payment,
            calls: self.calls_of(&of),
            of,
            source: PauseSource::Digits,
            by: String::new(),
            since: now,
            until: now + self.longest(PauseKind::Payment),
            asked: now,
        };
        self.tell_pause(&pause);
        // Only pauses that were asked for can be too many.
        let _ = self.begin_pause(pause, now);
    }

    /// What of an event may be kept: variables that no rule names are nobody's business. `None`: nothing.
    pub(super) fn without_foreign_variables(&self, told: &CallVariables) -> Option<CtiEvent> {
        let rules = &self.settings.policy;
        let kept = told
            .variables
            .iter()
            .filter(|(name, value)| rules.names_variable(name) && value.len() <= MOST_VALUE);
        let variables: BTreeMap<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        let call = told.call.clone();
        (!variables.is_empty()).then(|| CallVariables { call, variables }.into())
    }

    /// Pauses as they follow from what is known of some agents now.
    pub(super) fn follow_pauses(&mut self, agents: &BTreeSet<AgentId>, now: Instant) {
        for agent in agents {
            self.follow_variables(agent, now);
        }
        if !self.pauses.is_empty() {
            self.adopt_calls();
            self.end_pauses_of_old_calls(now);
        }
    }

    /// Ends what has lasted long enough, and what has no call any more.
    pub(super) fn expire_pauses(&mut self, now: Instant) {
        for pause in self.pauses.end(|pause| pause.until <= now) {
            if pause.source == PauseSource::Variable {
                pause.calls.iter().for_each(|call| self.pauses.spend(call.clone()));
            }
            self.pause_ended(pause, PauseEnd::Limit, now);
        }
        self.end_pauses_of_old_calls(now);
        let longest = self.longest(PauseKind::Payment).max(self.longest(PauseKind::Private));
        self.resumed.expire(now.saturating_back(longest));
        let directory = &self.directory;
        self.pauses.keep_spent(|call| directory.is_in_progress(call));
        let sessions_on = &self.sessions_on;
        self.digits.retain(|agent, _| sessions_on.contains_key(agent));
        self.tones.expire(now);
    }

    /// Ends all of them, because the server stops.
    pub(super) fn end_pauses(&mut self, now: Instant) {
        for pause in self.pauses.end(|_| true) {
            self.pause_ended(pause, PauseEnd::ServerStops, now);
        }
    }

    /// Why nothing of an agent is heard by rule, whether anybody listens or not.
    pub(super) fn mute_of(&self, id: &AgentId) -> Option<Mute> {
        if let Some(pause) = self.pause_of(id) {
            return Some(pause.into());
        }
        let agent = self.directory.agent(id)?;
        let talks = agent.state == AgentState::Talking;
        let media = self.directory.media(id);
        // A nailed-up line without a call waits for one.
        let sounding = media
            .iter()
            .filter(|leg| agent.sounds(leg) && (talks || agent.call_on(leg).is_some()));
        let mut first = None;
        for leg in sounding {
            let exclusion = if self.is_undisclosed(id) {
                Some(Mute::Undisclosed)
            } else {
                self.settings.policy.exclusion(agent, leg)
            };
            first = first.or(Some(exclusion?));
        }
        first
    }

    /// The pause that hits an agent: one for payment before others, then the oldest.
    pub(super) fn pause_of(&self, id: &AgentId) -> Option<&Pause> {
        if self.pauses.is_empty() {
            return None;
        }
        let agent = self.directory.agent(id);
        let calls: Vec<&CallId> = agent
            .iter()
            .flat_map(|agent| agent.calls())
            .map(|call| &call.id)
            .collect();
        let devices = self.directory.devices(id);
        let hit = |pause: &&Pause| match &pause.of {
            _ if !pause.calls.is_empty() => {
                let on = |call: &CallId| calls.contains(&&self.directory.goes_on_as(call));
                pause.calls.iter().any(on)
            }
            PauseOf::Agent(agent) => agent == id,
            PauseOf::Extension(device) => devices.contains(device),
            PauseOf::Call(call) => calls.contains(&&self.directory.goes_on_as(call)),
        };
        self.pauses
            .iter()
            .filter(hit)
            .min_by_key(|pause| (pause.kind, pause.since))
    }

    /// Lets the sessions on an agent have sound or none, as the rules are, and writes down what changed.
    pub(super) fn mute_sessions(&mut self, agent: &AgentId, now: Instant) {
        let mute = self.mute_of(agent);
        if matches!(mute, Some(Mute::Paused { .. })) {
            self.silenced.insert(agent.clone());
        } else {
            self.silenced.remove(agent);
        }
        for id in self.sessions_on(agent) {
            let admitted = |session: &&mut MonitorSession| session.admission == Admission::Admitted;
            let Some(session) = self.sessions.get_mut(&id).filter(admitted) else {
                continue;
            };
            let Some(former) = session.mute(mute.clone(), now) else {
                continue;
            };
            let session = record(session);
            if let Some((rule, since)) = former {
                self.session_unmuted(session.clone(), rule, now - since);
            }
            if let Some(rule) = mute.clone() {
                self.events.push_back(EngineEvent::SessionMuted { session, rule });
            }
        }
    }

    /// A session that ends ends its mute, too.
    pub(super) fn unmute_at_last(&mut self, id: SessionId, now: Instant) {
        let session = self.sessions.get_mut(&id);
        let ended = session.and_then(|session| Some((session.muted.take()?, record(session))));
        if let Some(((rule, since), session)) = ended {
            self.session_unmuted(session, rule, now - since);
        }
    }

    fn session_unmuted(&mut self, session: SessionRecord, rule: Mute, lasted: Duration) {
        self.events
            .push_back(EngineEvent::SessionUnmuted { session, rule, lasted });
    }

    pub(super) const fn longest(&self, kind: PauseKind) -> Duration {
        match kind {
            PauseKind::Payment => self.settings.policy.payment_pauses.longest,
            PauseKind::Private => self.settings.policy.private_calls.longest,
        }
    }

    /// A pause holds from the next packet on.
    pub(super) fn begin_pause(&mut self, pause: Pause, now: Instant) -> Result<Begun, TooManyPauses> {
        let begun = self.pauses.begin(pause.clone())?;
        let agents = self.agents_hit(&pause);
        let record = PauseRecord {
            pause,
            agents: agents.clone(),
        };
        match begun {
            Begun::New => {
                self.events.push_back(EngineEvent::PauseStarted(record));
                self.follow_all(agents.into_iter().collect(), now);
            }
            Begun::Prolonged => self.events.push_back(EngineEvent::PauseProlonged(record)),
            Begun::Renewed => {}
        }
        Ok(begun)
    }

    fn pause_ended(&mut self, pause: Pause, end: PauseEnd, now: Instant) {
        let agents = self.agents_hit(&pause);
        let lasted = now - pause.since;
        let concerned: BTreeSet<AgentId> = self.silenced.iter().chain(&agents).cloned().collect();
        self.events.push_back(EngineEvent::PauseEnded {
            record: PauseRecord { pause, agents },
            end,
            lasted,
        });
        self.follow_all(concerned, now);
    }

    /// The calls that are in progress of whoever a pause is of.
    pub(super) fn calls_of(&self, of: &PauseOf) -> Vec<CallId> {
        let of_agents = |agents: &[AgentId]| {
            let agents = agents.iter().filter_map(|id| self.directory.agent(id));
            agents.flat_map(Agent::calls).map(|call| call.id.clone()).collect()
        };
        match of {
            PauseOf::Agent(agent) => of_agents(std::slice::from_ref(agent)),
            PauseOf::Extension(device) => of_agents(self.agents_at(device)),
            PauseOf::Call(call) if self.directory.is_in_progress(call) => vec![self.directory.goes_on_as(call)],
            PauseOf::Call(_) => Vec::new(),
        }
    }

    fn agents_at(&self, device: &Extension) -> &[AgentId] {
        self.directory.agents_at(device)
    }

    fn agents_hit(&self, pause: &Pause) -> Vec<AgentId> {
        if !pause.calls.is_empty() {
            let agents = pause.calls.iter().flat_map(|call| self.directory.agents_on(call));
            return agents.collect::<BTreeSet<_>>().into_iter().collect();
        }
        match &pause.of {
            PauseOf::Agent(agent) => self.directory.agent(agent).map(|_| agent.clone()).into_iter().collect(),
            PauseOf::Extension(device) => self.agents_at(device).to_vec(),
            PauseOf::Call(call) => self.directory.agents_on(call),
        }
    }

    /// A pause that was asked for before its call was told of is one of that call from now on. One that a variable began
    /// before a restart waits until that is told again: that it isn't told doesn't mean that it changed.
    fn adopt_calls(&mut self) {
        let waits = |pause: &Pause| pause.calls.is_empty() && pause.source != PauseSource::Variable;
        let waiting = self.pauses.iter().filter(|pause| waits(pause));
        let waiting: Vec<PauseOf> = waiting.map(|pause| pause.of.clone()).collect();
        for of in waiting {
            let calls = self.calls_of(&of);
            for pause in self.pauses.iter_mut().filter(|pause| pause.of == of && waits(pause)) {
                pause.calls.clone_from(&calls);
            }
        }
    }

    fn end_pauses_of_old_calls(&mut self, now: Instant) {
        let directory = &self.directory;
        let over =
            |pause: &Pause| !pause.calls.is_empty() && !pause.calls.iter().any(|call| directory.is_in_progress(call));
        for pause in self.pauses.end(over) {
            self.pause_ended(pause, PauseEnd::CallOver, now);
        }
    }

    /// Begins and ends the pauses that variables of an agent's calls mean.
    fn follow_variables(&mut self, agent: &AgentId, now: Instant) {
        let Some(rule) = self.settings.policy.payment_pauses.variable.clone() else {
            return;
        };
        let Some(agent) = self.directory.agent(agent) else {
            return;
        };
        let told = agent.calls().iter();
        let told: Vec<(CallId, bool)> = told
            .map(|call| (call.id.clone(), rule.holds(&call.content.variables)))
            .collect();
        for (call, holds) in told {
            if !holds {
                self.end_variable_pause(&call, now);
                continue;
            }
            let is_this = |id: &CallId| self.directory.goes_on_as(id) == call;
            let runs = |pause: &Pause| pause.source == PauseSource::Variable && pause.calls.iter().any(is_this);
            if !self.pauses.iter().any(runs) && !self.pauses.is_spent(is_this) {
                let pause = Pause {
                    kind: PauseKind::Payment,
                    of: PauseOf::Call(call.clone()),
                    source: PauseSource::Variable,
                    by: rule.name.clone(),
                    since: now,
                    until: now + self.longest(PauseKind::Payment),
                    asked: now,
                    calls: vec![call],
                };
                // Only pauses that were asked for can be too many.
                let _ = self.begin_pause(pause, now);
            }
        }
    }

    fn end_variable_pause(&mut self, call: &CallId, now: Instant) {
        let directory = &self.directory;
        let is_this = |id: &CallId| directory.goes_on_as(id) == *call;
        self.pauses.keep_spent(|id| !is_this(id));
        let ended = self
            .pauses
            .end(|pause| pause.source == PauseSource::Variable && pause.calls.iter().any(is_this));
        for pause in ended {
            self.pause_ended(pause, PauseEnd::VariableChanged, now);
        }
    }

    /// A program at an agent's desk takes notices from now on, or no longer.
    pub fn handle_desk(&mut self, agent: &AgentId, desk: Desk, now: Instant) {
        match desk {
            Desk::Opened => *self.desks.entry(agent.clone()).or_default() += 1,
            Desk::Closed => {
                if let Some(open) = self.desks.get_mut(agent) {
                    *open -= 1;
                    if *open == 0 {
                        self.desks.remove(agent);
                    }
                }
            }
        }
        let open = self.desks.contains_key(agent);
        if let Some(cluster) = self.membership.directory_mut() {
            cluster.handle_desk(agent, open);
        }
        self.disclose(agent, now);
        self.follow_all([agent.clone()].into(), now);
    }

    /// Whether a program at an agent's desk takes notices, from this server or another member of its cluster.
    fn has_desk(&self, agent: &AgentId) -> bool {
        let directory = self.membership.directory();
        let elsewhere = || directory.is_some_and(|directory| directory.has_desk_elsewhere(agent));
        self.desks.contains_key(agent) || elsewhere()
    }

    /// Whether somebody listens to an agent, here or at another member of the cluster.
    pub fn is_listened_to(&self, agent: &AgentId) -> bool {
        let sessions = self.sessions_on.get(agent).into_iter().flatten();
        let mut sessions = sessions.filter_map(|id| self.sessions.get(id));
        sessions.any(|session| session.admission == Admission::Admitted)
            || self.sessions_elsewhere().any(|session| session.agent == *agent)
    }

    /// Whether agents are told, and when.
    pub const fn disclosure(&self) -> Disclosure {
        self.settings.policy.disclosure
    }

    /// Says that an agent is listened to, or no longer, and notes for each session that he was told.
    pub(super) fn disclose(&mut self, agent: &AgentId, now: Instant) {
        self.events
            .push_back(EngineEvent::ListeningChanged { agent: agent.clone() });
        if self.disclosure() == Disclosure::Never {
            return;
        }
        let told = self.has_desk(agent);
        for id in self.sessions_on(agent) {
            let admitted = |session: &&mut MonitorSession| session.admission == Admission::Admitted;
            let Some(session) = self.sessions.get_mut(&id).filter(admitted) else {
                continue;
            };
            match session.disclosed {
                Disclosed::Shown(_) => {}
                Disclosed::NotRequired | Disclosed::NotShown if told => {
                    session.disclosed = Disclosed::Shown(now);
                    let session = record(session);
                    self.events.push_back(EngineEvent::Disclosed(session));
                }
                Disclosed::NotRequired | Disclosed::NotShown => session.disclosed = Disclosed::NotShown,
            }
        }
    }

    /// Whether an agent would have to be told, and can't be.
    pub(super) fn is_undisclosed(&self, agent: &AgentId) -> bool {
        let rules = &self.settings.policy;
        rules.undisclosed == Undisclosed::Muted && rules.disclosure != Disclosure::Never && !self.has_desk(agent)
    }
}

/// What a program at an agent's desk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desk {
    /// It takes notices.
    Opened,
    /// It is gone.
    Closed,
}

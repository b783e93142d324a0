//! Who may start a session, and go on with it: policy's rules with what only the engine knows, the other sessions, the
//! hour and what is locked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use silentmon_proto::ids::{AgentId, SessionId, SupervisorName};
use silentmon_proto::peer::HomeSession;
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::relay::{LockRow, ServerMessage};
use silentmon_proto::time::Instant;

use super::control::record;
use super::{AUTHORITY_GRACE, ConnectionId, Engine, EngineEvent};
use crate::policy::{Locked, Principal, Refusal, Role, Rule, SignInOutcome, WeekMinute};
use crate::session::SessionRequest;

/// A message about a session, or a right, that its sender doesn't have. Refused, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForeignRequest {
    /// To stop another's session.
    Stop,
    /// To be brought into a call by another's session.
    Supervise,
    /// To take up another's session.
    Resume,
    /// To diagnose another's session.
    Diagnose,
    /// To go on with another's session.
    Confirm,
    /// To have packets of another's session sent again.
    Repair,
    /// To see or change what only an administrator may.
    Administer,
}

impl ForeignRequest {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Supervise => "supervise",
            Self::Resume => "resume",
            Self::Diagnose => "diagnose",
            Self::Confirm => "confirm",
            Self::Repair => "repair",
            Self::Administer => "administer",
        }
    }
}

/// As what a session is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As a new one.
    New,
    /// As one that runs already, here or at another member.
    Runs,
    /// By another member, which has admitted it.
    Relayed,
}

/// How many of each there were.
pub type ForeignRequests = BTreeMap<ForeignRequest, u64>;

impl Engine {
    /// Takes the minute of the week where the hours are said. To be told before the first session and once a minute.
    pub fn handle_local_time(&mut self, local: WeekMinute, now: Instant) {
        let hours = &self.settings.policy.hours;
        let opened = hours.allow(self.local) != hours.allow(Some(local));
        self.local = Some(local);
        if opened {
            let agents = self.directory.agents().map(|(id, _)| id.clone());
            self.changed_agents.extend(agents);
            self.tell_changed_agents(now);
        }
    }

    /// Somebody is about to show a password; [`Self::handle_sign_in`] says how that ended.
    ///
    /// # Errors
    /// `SM-1002` while his name or source is locked.
    pub fn handle_sign_in_attempt(&mut self, name: &SupervisorName, from: IpAddr, now: Instant) -> Result<(), Reason> {
        Ok(self.lock_out.handle_attempt(name, from, now)?)
    }

    /// A password was looked at.
    pub fn handle_sign_in(&mut self, principal: &Principal, outcome: SignInOutcome, now: Instant) {
        let (name, from) = (&principal.name, principal.from);
        let locked = self.lock_out.handle_outcome(name, from, outcome, now);
        let event = match outcome {
            SignInOutcome::NotChecked => return,
            SignInOutcome::Succeeded => EngineEvent::SignedIn(principal.clone()),
            SignInOutcome::Failed => EngineEvent::SignInFailed {
                name: name.clone(),
                from,
                locked,
            },
        };
        self.events.push_back(event);
    }

    /// A sign-in had failed before the start, as the journal has it.
    pub fn handle_former_failure(&mut self, name: &SupervisorName, from: IpAddr, at: Instant) {
        self.lock_out.handle_failure(name, from, at);
    }

    /// A sign-in had succeeded before the start, or a name was unlocked, as the journal has it.
    pub fn handle_former_unlock(&mut self, name: &SupervisorName, from: IpAddr, at: Instant) {
        self.lock_out.unlock(name, Some(from), at);
    }

    /// What is locked now.
    pub fn locks(&self, now: Instant) -> Vec<LockRow> {
        self.lock_out.locked(now).map(row).collect()
    }

    /// Messages refused because their sender has no right to what they are about.
    pub const fn foreign_requests(&self) -> &ForeignRequests {
        &self.foreign_requests
    }

    pub(super) fn count_foreign(&mut self, request: ForeignRequest) {
        *self.foreign_requests.entry(request).or_default() += 1;
    }

    /// Whether somebody may start a session of his own now, whatever the others.
    pub(super) fn admit(&self, principal: &Principal, agent: &AgentId, now: Instant) -> Result<(), Refusal> {
        self.lock_out.admit(&principal.name, principal.from, now)?;
        let rules = &self.settings.policy;
        rules.authorise(principal, agent, &self.directory, self.local)
    }

    /// Whether a request may be met, one that takes up a session or a new one.
    pub(super) fn admit_request(
        &self,
        principal: &Principal,
        wanted: &SessionRequest,
        standing: Standing,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.admit(principal, &wanted.agent, now)?;
        let rules = &self.settings.policy;
        rules.admit_output(wanted.output)?;
        rules.admit_purpose(wanted.purpose.as_deref())?;
        match standing {
            Standing::Runs => Ok(()),
            Standing::New => self.admit_one_more(principal, &wanted.agent, self.sessions_elsewhere().collect()),
            // Whose turn it is among sessions of other members, they have found out already.
            Standing::Relayed => self.admit_one_more(principal, &wanted.agent, Vec::new()),
        }
    }

    /// Whether there may be one more session of this supervisor on this agent, besides those here and `elsewhere`.
    fn admit_one_more(
        &self,
        principal: &Principal,
        agent: &AgentId,
        elsewhere: Vec<&HomeSession>,
    ) -> Result<(), Refusal> {
        let limits = self.settings.policy.limits;
        if let Some(most) = limits.sessions_per_supervisor {
            let sessions = self.sessions.values().map(|session| &session.principal);
            let all = sessions.chain(elsewhere.iter().map(|session| &session.principal));
            if all.filter(|own| own.name == principal.name).count() >= most.get() {
                let text = format!("You have {most} sessions already, and may have no more.");
                return Err(Rule::SessionsPerSupervisor.refuses(text));
            }
        }
        if let Some(most) = limits.supervisors_per_agent {
            let sessions = self.sessions_on(agent).into_iter();
            let listeners = sessions.filter_map(|id| Some(&self.sessions.get(&id)?.principal.name));
            let elsewhere = elsewhere.into_iter().filter(|session| session.agent == *agent);
            let listeners = listeners.chain(elsewhere.map(|session| &session.principal.name));
            let others: BTreeSet<_> = listeners.filter(|name| **name != principal.name).collect();
            if others.len() >= most.get() {
                let text = format!("{} others listen to agent {agent}, and no more may.", others.len());
                return Err(Rule::SupervisorsPerAgent.refuses(text));
            }
        }
        Ok(())
    }

    /// Why nobody may listen to an agent now, whoever asks.
    pub(super) fn refusal_to_all(&self, agent: &AgentId) -> Option<Refusal> {
        let rules = &self.settings.policy;
        let admitted = rules.admit_agent(agent, &self.directory);
        admitted.and_then(|()| rules.admit_hour(self.local)).err()
    }

    /// Why somebody may listen to nobody now.
    pub fn notice(&self, principal: &Principal, now: Instant) -> Option<Reason> {
        let locked = self.lock_out.admit(&principal.name, principal.from, now);
        let hour = || self.settings.policy.admit_hour(self.local);
        locked.and_then(|()| hour()).err().map(Reason::from)
    }

    /// The rule that no longer allows a session, if so.
    pub(super) fn objection(&self, id: SessionId) -> Option<Refusal> {
        let session = self.sessions.get(&id)?;
        let rules = &self.settings.policy;
        let admitted = rules.authorise(&session.principal, &session.agent, &self.directory, self.local);
        admitted.and_then(|()| rules.admit_output(session.output)).err()
    }

    /// Why a session is to end by itself, if so: nobody came back to it, authority was withdrawn, or nobody said that he
    /// still listens.
    pub(super) fn is_over(&mut self, id: SessionId, now: Instant) -> Option<Reason> {
        if let Some(reason) = self.sessions.get(&id)?.is_abandoned(now) {
            return Some(reason);
        }
        if let Some(refusal) = self.unconfirmed(id, now) {
            return Some(refusal.reason);
        }
        let Some(refusal) = self.objection(id) else {
            self.unauthorised.remove(&id);
            return None;
        };
        let since = *self.unauthorised.entry(id).or_insert(now);
        let over = !refusal.rule.may_be_passing() || now - since >= AUTHORITY_GRACE;
        over.then_some(refusal.reason)
    }

    fn unconfirmed(&self, id: SessionId, now: Instant) -> Option<Refusal> {
        self.unconfirmed_since(self.sessions.get(&id)?.confirmed, now)
    }

    /// Why a session is over whose supervisor last said at this time that he listens, if so.
    pub(super) fn unconfirmed_since(&self, confirmed: Instant, now: Instant) -> Option<Refusal> {
        let limit = self.settings.policy.limits.session?;
        (now - confirmed >= limit.longest).then(|| {
            let minutes = limit.longest.as_secs().div_ceil(60);
            Rule::SessionLimit.refuses(format!(
                "The session ended after {minutes} min: nobody said that he still listens."
            ))
        })
    }

    /// Asks the supervisor of a session that will end by its limit.
    pub(super) fn ask_whether_he_listens(&mut self, id: SessionId, now: Instant) {
        let Some(limit) = self.settings.policy.limits.session else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let remaining = limit.longest.saturating_sub(now - session.confirmed);
        let Some(connection) = session
            .connection()
            .filter(|_| !session.asked && remaining <= limit.ask_before)
        else {
            return;
        };
        session.asked = true;
        let within_s = u32::try_from(remaining.as_secs()).unwrap_or(u32::MAX);
        self.send(connection, ServerMessage::ConfirmListening { session: id, within_s });
    }

    /// A supervisor still listens. What he says before he is asked doesn't count: a program could say it all the time.
    pub(super) fn confirm(&mut self, from: ConnectionId, id: SessionId, now: Instant) {
        let own = self
            .sessions
            .get_mut(&id)
            .filter(|session| session.connection() == Some(from));
        let Some(session) = own else {
            return self.count_foreign(ForeignRequest::Confirm);
        };
        if std::mem::take(&mut session.asked) {
            session.confirmed = now;
            let record = record(session);
            self.events.push_back(EngineEvent::SessionConfirmed(record));
            self.tell_of_session(id);
        }
    }

    pub(super) fn list_locks(&mut self, from: ConnectionId, request: u32, now: Instant) {
        let result = self.administrator(from).map(|_| self.locks(now));
        self.send(from, ServerMessage::Locks { request, result });
    }

    pub(super) fn unlock(
        &mut self,
        from: ConnectionId,
        request: u32,
        (name, source): (SupervisorName, Option<IpAddr>),
        now: Instant,
    ) {
        let result = self.administrator(from).map(|principal| {
            let unlocked = self.lock_out.unlock(&name, source, now);
            for locked in &unlocked {
                let (principal, locked) = (principal.clone(), locked.clone());
                self.events.push_back(EngineEvent::Unlocked { principal, locked });
            }
            unlocked.into_iter().map(row).collect()
        });
        self.send(from, ServerMessage::Locks { request, result });
    }

    /// The administrator at a connection.
    pub(super) fn administrator(&mut self, from: ConnectionId) -> Result<Principal, Reason> {
        let principal = self.connections.get(&from).map(|connection| &connection.principal);
        match principal {
            Some(principal) if self.settings.policy.role_of(principal) == Role::Administrator => Ok(principal.clone()),
            _ => {
                self.count_foreign(ForeignRequest::Administer);
                Err(Reason::new(Code::NotAuthorised, "Only an administrator may do that."))
            }
        }
    }
}

fn row(locked: Locked) -> LockRow {
    LockRow {
        name: locked.name,
        source: locked.source.to_string(),
        failures: locked.failures,
        until: locked.until,
    }
}

// Withdrawn authority ends a session within a heartbeat (requirements section 3).
const _: () = assert!(AUTHORITY_GRACE.as_nanos() + super::TICK.as_nanos() < Duration::from_secs(5).as_nanos());

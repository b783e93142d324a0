//! Supervisors who are brought into the calls they hear (requirements S5), by the CTI link of this server or of the member of
//! the cluster that holds the CTI sessions. Authority is judged at both, and both write it down.

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::ids::{AgentId, Extension, LinkName, ServerName, SessionId};
use silentmon_proto::peer::{HomeSession, RelayMessage, SuperviseWanted};
use silentmon_proto::relay::{ServerMessage, SuperviseAction};
use silentmon_proto::time::Instant;

use super::authority::Standing;
use super::{ConnectionId, Engine, EngineEvent, ForeignRequest};
use crate::link::{LinkCommand, Supervise};
use crate::policy::Principal;
use crate::session::SessionRequest;

/// How long a link may take to answer a command.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Most commands under way.
const MAX_COMMANDS: usize = 256;

/// A supervisor asked to be brought into an agent's call; for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperviseRecord {
    /// His session.
    pub session: SessionId,
    /// Who asked.
    pub principal: Principal,
    /// Whose call.
    pub agent: AgentId,
    /// What he asked for.
    pub action: SuperviseAction,
    /// His phone.
    pub device: Extension,
    /// The member that he talks to, where that isn't this one.
    pub home: Option<ServerName>,
    /// Why it was refused; nothing where the link was asked.
    pub refused: Option<String>,
}

/// Commands under way.
#[derive(Debug, Default)]
pub(super) struct Commands {
    running: BTreeMap<u64, Command>,
    last: u64,
}

#[derive(Debug)]
struct Command {
    asker: Asker,
    /// The member that was asked, where that isn't this one's link.
    asked_of: Option<ServerName>,
    asked: Instant,
}

/// Who wants to know what became of a command.
#[derive(Debug, Clone)]
enum Asker {
    /// A supervisor, by the number of his request.
    Supervisor(ConnectionId, u32),
    /// Another member, by the number of its command.
    Member(ServerName, u64),
}

impl Commands {
    fn begin(&mut self, command: Command) -> Result<u64, String> {
        if self.running.len() >= MAX_COMMANDS {
            return Err("Too many requests are under way.".to_owned());
        }
        self.last += 1;
        self.running.insert(self.last, command);
        Ok(self.last)
    }
}

impl Engine {
    /// A link carried a command out, or couldn't.
    pub fn handle_link_done(&mut self, number: u64, result: Result<(), String>, _now: Instant) {
        let running = &mut self.links.commands.running;
        if running.get(&number).is_some_and(|command| command.asked_of.is_none())
            && let Some(command) = running.remove(&number)
        {
            self.answer_supervise(command.asker, result);
        }
    }

    /// The member that was asked says what became of it.
    pub(super) fn handle_supervised(&mut self, from: &ServerName, number: u64, result: Result<(), String>) {
        let running = &mut self.links.commands.running;
        if running
            .get(&number)
            .is_some_and(|command| command.asked_of.as_ref() == Some(from))
            && let Some(command) = running.remove(&number)
        {
            self.answer_supervise(command.asker, result);
        }
    }

    fn answer_supervise(&mut self, asker: Asker, result: Result<(), String>) {
        match asker {
            Asker::Supervisor(connection, request) => {
                if self.connections.contains_key(&connection) {
                    self.send(connection, ServerMessage::Supervised { request, result });
                }
            }
            Asker::Member(member, number) => self.say(&member, RelayMessage::Supervised { number, result }),
        }
    }

    /// What the link of an agent can do for a supervisor.
    pub(super) fn controls(&self, agent: &AgentId) -> Vec<SuperviseAction> {
        let link = self.supervising_link(agent);
        link.map_or(&[][..], |link| self.controls_of(link)).to_vec()
    }

    /// The link that the agent's events come from or, where that isn't known, the only one that can do anything.
    fn supervising_link(&self, agent: &AgentId) -> Option<&LinkName> {
        if let Some(link) = self.link_of.get(agent) {
            return Some(link);
        }
        let mut able = self.links.names().filter(|link| !self.controls_of(link).is_empty());
        let only = able.next()?;
        able.next().is_none().then_some(only)
    }

    fn controls_of(&self, link: &LinkName) -> &[SuperviseAction] {
        let holder = self.membership.directory().and_then(|directory| directory.holder());
        self.links.controls(link, holder)
    }

    /// A supervisor wants to be brought into the call he listens to.
    pub(super) fn supervise(
        &mut self,
        from: ConnectionId,
        request: u32,
        session: SessionId,
        (action, device): (SuperviseAction, Extension),
        now: Instant,
    ) {
        let asker = Asker::Supervisor(from, request);
        let own = self
            .sessions
            .get(&session)
            .filter(|session| session.connection() == Some(from));
        let Some(session) = own else {
            self.count_foreign(ForeignRequest::Supervise);
            return self.answer_supervise(asker, Err("No such session of yours.".to_owned()));
        };
        let record = SuperviseRecord {
            session: session.id,
            principal: session.principal.clone(),
            agent: session.agent.clone(),
            action,
            device,
            home: None,
            refused: None,
        };
        let begun = match self.holder_to_ask(&record) {
            Some(holder) => self.ask_holder(&record, asker.clone(), &holder, now),
            None => self.ask_link(&record, asker.clone(), now),
        };
        self.note_supervise(record, asker, begun);
    }

    /// Another member's supervisor wants to be brought into the call that he listens to.
    pub(super) fn supervise_for_member(&mut self, from: &ServerName, wanted: SuperviseWanted, now: Instant) {
        let asker = Asker::Member(from.clone(), wanted.number);
        let HomeSession {
            session,
            agent,
            principal,
            purpose,
            output,
            confirmed,
            ..
        } = wanted.session;
        let request = SessionRequest {
            number: 0,
            agent: agent.clone(),
            purpose,
            output,
        };
        let over = self.unconfirmed_since(confirmed, now);
        let admitted = over.map_or(Ok(()), Err);
        let admitted = admitted.and_then(|()| self.admit_request(&principal, &request, Standing::Runs, now));
        let record = SuperviseRecord {
            session,
            principal,
            agent,
            action: wanted.action,
            device: wanted.device,
            home: Some(from.clone()),
            refused: None,
        };
        let begun = match admitted {
            Ok(()) => self.ask_link(&record, asker.clone(), now),
            Err(refusal) => Err(refusal.reason.text),
        };
        self.note_supervise(record, asker, begun);
    }

    /// Writes down what was asked, then lets it be done; or says why not.
    fn note_supervise(&mut self, mut record: SuperviseRecord, asker: Asker, begun: Result<Vec<EngineEvent>, String>) {
        match begun {
            Ok(events) => {
                self.events.push_back(EngineEvent::SuperviseRequested(record));
                self.events.extend(events);
            }
            Err(why) => {
                record.refused = Some(why.clone());
                self.events.push_back(EngineEvent::SuperviseRequested(record));
                self.answer_supervise(asker, Err(why));
            }
        }
    }

    /// The member that can do what this server's links can't.
    fn holder_to_ask(&self, record: &SuperviseRecord) -> Option<ServerName> {
        let link = self.supervising_link(&record.agent)?;
        let holder = self.membership.directory()?.holder()?;
        let elsewhere = *holder != self.settings.server && !self.links.controls_here(link).contains(&record.action);
        elsewhere.then(|| holder.clone())
    }

    fn ask_holder(
        &mut self,
        record: &SuperviseRecord,
        asker: Asker,
        holder: &ServerName,
        now: Instant,
    ) -> Result<Vec<EngineEvent>, String> {
        if !self.controls(&record.agent).contains(&record.action) {
            return Err(no_way());
        }
        let there = self.cluster().is_some_and(|cluster| cluster.link_to(holder).is_some());
        if !there {
            self.dial(holder);
            return Err(format!("{holder}, which holds the CTI sessions, can't be reached."));
        }
        let Some(session) = self.home_session(record.session) else {
            return Err("The session hasn't begun yet.".to_owned());
        };
        let number = self.links.commands.begin(Command {
            asker,
            asked_of: Some(holder.clone()),
            asked: now,
        })?;
        let wanted = SuperviseWanted {
            number,
            session,
            action: record.action,
            device: record.device.clone(),
        };
        self.say(holder, RelayMessage::Supervise(Box::new(wanted)));
        Ok(Vec::new())
    }

    fn ask_link(&mut self, record: &SuperviseRecord, asker: Asker, now: Instant) -> Result<Vec<EngineEvent>, String> {
        let (link, command) = self.supervise_command(record)?;
        let number = self.links.commands.begin(Command {
            asker,
            asked_of: None,
            asked: now,
        })?;
        let command = LinkCommand::Supervise(Supervise { number, ..command });
        Ok(vec![EngineEvent::Command { link, command }])
    }

    /// The command, yet without its number, and the link it goes to.
    fn supervise_command(&self, record: &SuperviseRecord) -> Result<(LinkName, Supervise), String> {
        let id = &record.agent;
        let able = |link: &&LinkName| self.links.controls_here(link).contains(&record.action);
        let link = self.supervising_link(id).filter(able).ok_or_else(no_way)?;
        let heard = self.audible_media(id);
        let agent = self.directory.agent(id);
        let call = agent.and_then(|agent| heard.iter().find_map(|leg| agent.call_on(leg)));
        let Some(call) = call else {
            return Err(format!("Agent {id} is on no call that you may hear."));
        };
        let devices = self.directory.devices(id);
        let Some(device) = devices.into_iter().next() else {
            return Err(format!("The phone of agent {id} is not known."));
        };
        let command = Supervise {
            number: 0,
            action: record.action,
            agent: id.clone(),
            device,
            call: call.id.clone(),
            supervisor_device: record.device.clone(),
        };
        Ok((link.clone(), command))
    }

    /// Gives up commands that nobody answered.
    pub(super) fn expire_commands(&mut self, now: Instant) {
        let running = &mut self.links.commands.running;
        let overdue = |command: &Command| now.saturating_since(command.asked) >= ANSWERED_WITHIN;
        let late: Vec<u64> = running
            .iter()
            .filter(|(_, command)| overdue(command))
            .map(|(&number, _)| number)
            .collect();
        let late: Vec<Command> = late.iter().filter_map(|number| running.remove(number)).collect();
        for command in late {
            let who = command
                .asked_of
                .map_or("The CTI link".to_owned(), |member| member.to_string());
            let text = format!("{who} didn't answer within {} s.", ANSWERED_WITHIN.as_secs());
            self.answer_supervise(command.asker, Err(text));
        }
    }
}

fn no_way() -> String {
    "The CTI link can't bring a supervisor into a call in this way.".to_owned()
}

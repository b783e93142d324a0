//! CTI links: which are up, what they can do, and what supervisors ask of them (requirements S5, C2).

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::ids::{AgentId, Extension, Leg, LinkName, SessionId};
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::{ServerMessage, SuperviseAction};
use silentmon_proto::time::Instant;

use super::{ConnectionId, Engine, EngineEvent, ForeignRequest};
use crate::diagnosis::LinkState;
use crate::link::{LinkCommand, Supervise};
use crate::policy::Principal;

/// How long after a link came back media told before are kept without a packet and without being told again.
pub const RESYNCHRONISED_WITHIN: Duration = Duration::from_secs(60);
/// How long a link may take to answer a command.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Most links kept, and most commands under way.
const MAX_LINKS: usize = 64;
const MAX_COMMANDS: usize = 256;

/// What is known of the links.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_name: BTreeMap<LinkName, Link>,
    states: BTreeMap<LinkName, LinkState>,
    commands: BTreeMap<u64, Command>,
    next_command: u64,
}

#[derive(Debug, Default)]
struct Link {
    controls: &'static [SuperviseAction],
    /// When it last came back after it was down, until what was told before has been looked through.
    back: Option<Instant>,
}

/// A command under way.
#[derive(Debug)]
struct Command {
    connection: ConnectionId,
    request: u32,
    asked: Instant,
}

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
    /// Why it was refused; nothing where the link was asked.
    pub refused: Option<String>,
}

impl Links {
    /// How every link stands.
    pub(super) const fn states(&self) -> &BTreeMap<LinkName, LinkState> {
        &self.states
    }

    /// Takes how a link stands. Answers how it stood, if that changed.
    fn change(&mut self, name: &LinkName, down: Option<&Reason>, now: Instant) -> Option<LinkState> {
        let state = self.states.get_mut(name)?;
        if state.since.is_none() || state.down.is_some() != down.is_some() {
            state.since = Some(now);
        }
        if state.down.as_ref() == down {
            return None;
        }
        let before = state.clone();
        state.down = down.cloned();
        Some(before)
    }

    fn note_event(&mut self, name: &LinkName, now: Instant) {
        if let Some(state) = self.states.get_mut(name) {
            state.last_event = Some(now);
            state.events += 1;
        }
    }

    fn is_up(&self, name: &LinkName) -> bool {
        self.states.get(name).is_some_and(|link| link.down.is_none())
    }

    fn of_name(&mut self, name: &LinkName) -> Option<&mut Link> {
        if self.by_name.len() >= MAX_LINKS && !self.by_name.contains_key(name) {
            return None;
        }
        self.states.entry(name.clone()).or_default();
        Some(self.by_name.entry(name.clone()).or_default())
    }

    /// What a link can do for a supervisor now.
    fn controls(&self, name: &LinkName) -> &'static [SuperviseAction] {
        match self.by_name.get(name) {
            Some(link) if self.is_up(name) => link.controls,
            _ => &[],
        }
    }
}

impl Engine {
    /// Takes up what a link said. The agents it speaks of are its own from now on: commands for their calls go to it, and
    /// it is to blame where nothing is known of them.
    pub fn handle_link_cti(&mut self, link: &LinkName, event: &CtiEvent, now: Instant) {
        if !matches!(event, CtiEvent::Link(_)) {
            self.links.note_event(link, now);
        }
        let agents = self.take_up(event, now);
        for agent in &agents {
            self.link_of.insert(agent.clone(), link.clone());
        }
        self.fed.note(agents, Some(link), &self.settings.server);
        self.tell_cluster(Some(link), event);
    }

    /// Takes up what a link can do for a supervisor.
    pub fn handle_link_controls(&mut self, link: &LinkName, controls: &'static [SuperviseAction]) {
        if let Some(link) = self.links.of_name(link) {
            link.controls = controls;
        }
    }

    /// A link carried a command out, or couldn't.
    pub fn handle_link_done(&mut self, number: u64, result: Result<(), String>, _now: Instant) {
        let Some(command) = self.links.commands.remove(&number) else {
            return;
        };
        let request = command.request;
        if self.connections.contains_key(&command.connection) {
            self.send(command.connection, ServerMessage::Supervised { request, result });
        }
    }

    pub(super) fn handle_link(&mut self, update: &LinkUpdate, now: Instant) {
        if self.links.of_name(&update.link).is_none() {
            return;
        }
        let Some(before) = self.links.change(&update.link, update.down.as_ref(), now) else {
            return;
        };
        if let Some(link) = self.links.of_name(&update.link) {
            link.back = (before.down.is_some() && update.down.is_none()).then_some(now);
        }
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.refresh_session(id, now);
        }
        if self.is_watched() {
            self.changed_agents
                .extend(self.directory.agents().map(|(id, _)| id.clone()));
        }
        self.tell_changed_agents(now);
    }

    /// What the link of an agent can do for a supervisor.
    pub(super) fn controls(&self, agent: &AgentId) -> Vec<SuperviseAction> {
        let link = self.supervising_link(agent);
        link.map_or(&[][..], |link| self.links.controls(link)).to_vec()
    }

    /// The link that the agent's events come from or, where that isn't known, the only one that can do anything.
    fn supervising_link(&self, agent: &AgentId) -> Option<&LinkName> {
        if let Some(link) = self.link_of.get(agent) {
            return Some(link);
        }
        let links = self.links.by_name.keys();
        let mut able = links.filter(|link| !self.links.controls(link).is_empty());
        let only = able.next()?;
        able.next().is_none().then_some(only)
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
        let own = self
            .sessions
            .get(&session)
            .filter(|session| session.connection() == Some(from));
        let Some(session) = own else {
            self.count_foreign(ForeignRequest::Supervise);
            let result = Err("No such session of yours.".to_owned());
            return self.send(from, ServerMessage::Supervised { request, result });
        };
        let mut record = SuperviseRecord {
            session: session.id,
            principal: session.principal.clone(),
            agent: session.agent.clone(),
            action,
            device: device.clone(),
            refused: None,
        };
        match self.supervise_command(&record) {
            Ok((link, command)) => {
                let connection = from;
                let command_under_way = Command {
                    connection,
                    request,
                    asked: now,
                };
                self.links.commands.insert(command.number, command_under_way);
                self.links.next_command = command.number;
                self.events.push_back(EngineEvent::SuperviseRequested(record));
                let command = LinkCommand::Supervise(command);
                self.events.push_back(EngineEvent::Command { link, command });
            }
            Err(why) => {
                record.refused = Some(why.clone());
                self.events.push_back(EngineEvent::SuperviseRequested(record));
                let result = Err(why);
                self.send(from, ServerMessage::Supervised { request, result });
            }
        }
    }

    /// The command, and the link it goes to.
    fn supervise_command(&self, record: &SuperviseRecord) -> Result<(LinkName, Supervise), String> {
        let id = &record.agent;
        let able = |link: &&LinkName| self.links.controls(link).contains(&record.action);
        let Some(link) = self.supervising_link(id).filter(able) else {
            return Err("The CTI link can't bring a supervisor into a call in this way.".to_owned());
        };
        if self.links.commands.len() >= MAX_COMMANDS {
            return Err("Too many requests are under way.".to_owned());
        }
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
            number: self.links.next_command + 1,
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
        let overdue = |command: &Command| now - command.asked >= ANSWERED_WITHIN;
        let commands = self.links.commands.iter();
        let late: Vec<u64> = commands
            .filter(|(_, command)| overdue(command))
            .map(|(&number, _)| number)
            .collect();
        for number in late {
            let result = Err(format!(
                "The CTI link didn't answer within {} s.",
                ANSWERED_WITHIN.as_secs()
            ));
            self.handle_link_done(number, result, now);
        }
    }

    /// A while after a link came back: media told before it was that nobody told again and that carry no packets have
    /// ended while it was down.
    pub(super) fn drop_outdated_media(&mut self, now: Instant) {
        let due = |link: &Link| link.back.filter(|back| now - *back >= RESYNCHRONISED_WITHIN);
        let links: Vec<(LinkName, Instant)> = self
            .links
            .by_name
            .iter()
            .filter_map(|(name, link)| Some((name.clone(), due(link)?)))
            .collect();
        for (name, back) in links {
            if let Some(link) = self.links.by_name.get_mut(&name) {
                link.back = None;
            }
            let only = self.links.by_name.len() == 1;
            for (agent, address) in self.directory.media_told_before(back) {
                let its_own = self.link_of.get(&agent).map_or(only, |link| *link == name);
                let elsewhere = || Leg::BOTH.into_iter().any(|leg| self.is_seen_elsewhere(&agent, leg));
                if its_own && !self.is_alive(address, now) && !elsewhere() {
                    self.directory.drop_media(&agent, address, now);
                    self.follow(&agent, now);
                }
            }
        }
    }
}

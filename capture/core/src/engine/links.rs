//! CTI links: which are up, and what they can do (requirements C2).

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::ids::{Leg, LinkName, ServerName};
use silentmon_proto::peer::Fact;
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::SuperviseAction;
use silentmon_proto::time::Instant;

use super::Engine;
use super::supervise::Commands;
use crate::diagnosis::LinkState;

/// How long after a link came back media told before are kept without a packet and without being told again.
pub const RESYNCHRONISED_WITHIN: Duration = Duration::from_secs(60);
/// Most links kept.
const MAX_LINKS: usize = 64;

/// What is known of the links.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_name: BTreeMap<LinkName, Link>,
    states: BTreeMap<LinkName, LinkState>,
    pub(super) commands: Commands,
}

#[derive(Debug, Default)]
struct Link {
    controls: &'static [SuperviseAction],
    /// What it can do at other members.
    controls_elsewhere: BTreeMap<ServerName, Vec<SuperviseAction>>,
    /// When it last came back after it was down, until what was told before has been looked through.
    back: Option<Instant>,
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

    pub(super) fn names(&self) -> impl Iterator<Item = &LinkName> {
        self.by_name.keys()
    }

    /// What a link can do for a supervisor now, here.
    pub(super) fn controls_here(&self, name: &LinkName) -> &'static [SuperviseAction] {
        match self.by_name.get(name) {
            Some(link) if self.is_up(name) => link.controls,
            _ => &[],
        }
    }

    /// What it can do, here or at the member that holds the CTI sessions.
    pub(super) fn controls(&self, name: &LinkName, holder: Option<&ServerName>) -> &[SuperviseAction] {
        let here = self.controls_here(name);
        let link = self.by_name.get(name).filter(|_| here.is_empty() && self.is_up(name));
        let elsewhere = link.and_then(|link| link.controls_elsewhere.get(holder?));
        elsewhere.map_or(here, Vec::as_slice)
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
        let Some(known) = self.links.of_name(link) else { return };
        if std::mem::replace(&mut known.controls, controls) == controls {
            return;
        }
        if let Some(directory) = self.membership.directory_mut() {
            let (link, controls) = (link.clone(), controls.to_vec());
            directory.tell(&Fact::Controls { link, controls });
        }
    }

    /// What links can do for a supervisor here, for other members.
    pub(super) fn told_controls(&self) -> impl Iterator<Item = Fact> {
        let able = self.links.by_name.iter().filter(|(_, link)| !link.controls.is_empty());
        able.map(|(link, known)| Fact::Controls {
            link: link.clone(),
            controls: known.controls.to_vec(),
        })
    }

    /// Takes up what a link can do at another member.
    pub(super) fn take_controls(&mut self, from: &ServerName, link: &LinkName, controls: Vec<SuperviseAction>) {
        if let Some(link) = self.links.of_name(link) {
            link.controls_elsewhere.insert(from.clone(), controls);
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

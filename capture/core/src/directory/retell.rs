//! Telling what is known again, as events: to a member of the cluster who has just come, or was away.
//!
//! Events of calls and media are told in the order in which what they tell of began, so that who takes them up with a
//! clock that goes on knows which came first, too. Who left which call and which calls are over is told as long as it is
//! remembered, so that late events don't bring them back there either.

use std::collections::BTreeSet;
use std::time::Duration;

use silentmon_proto::cti::{
    AgentUpdate, CallEnded, CallEvent, CallEventKind, CallRenamed, CallVariables, CtiEvent, Hoteling, MediaDirection,
    MediaStarted,
};
use silentmon_proto::ids::{AgentId, CallId, Extension, ServerName};
use silentmon_proto::relay::MediaOrigin;
use silentmon_proto::time::Instant;

use super::AgentDirectory;
use super::calls::{Leaving, Party};
use super::line::{Call, CallState, Line, MediaLeg};
use super::seats::Seat;
use crate::policy::PhoneNumber;

impl AgentDirectory {
    /// Everything the CTI source told and that still holds, as events that a directory may take up by
    /// [`Self::handle_retelling`]. Walks over all agents.
    pub fn retell(&self) -> Vec<CtiEvent> {
        let mut events: Vec<CtiEvent> = self.teams.retell().map(CtiEvent::Team).collect();
        let hotelings = self.seats.associations().map(|(guest, host)| Hoteling {
            guest: guest.clone(),
            host: Some(host.clone()),
        });
        events.extend(hotelings.map(CtiEvent::Hoteling));
        let agents = self.agents.iter();
        events.extend(agents.map(|(id, agent)| self.retell_agent(id, agent).into()));
        let mut timed = Vec::new();
        let lines = self
            .agents
            .iter()
            .map(|(id, agent)| (Party::Agent(id.clone()), &agent.line));
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|(device, line)| (Party::Device(device.clone()), line));
        for (party, line) in lines.chain(waiting) {
            for call in &line.calls {
                // Merged calls are entered before they merge.
                let merged = call.merged.iter();
                events.extend(merged.map(|id| self.retell_call(&party, call, id, CallEventKind::Established).into()));
                timed.extend(self.retell_progress(&party, call));
            }
            timed.extend(line.media.iter().map(|leg| self.retell_media(&party, line, leg)));
        }
        for (call, record) in self.calls.records() {
            let renamed = record.aliases().iter().map(|from| CallRenamed {
                from: from.clone(),
                call: call.clone(),
            });
            events.extend(renamed.map(CtiEvent::from));
            events.extend(
                record
                    .left()
                    .iter()
                    .filter_map(|(party, leaving)| retell_leaving(call, party, *leaving)),
            );
            let controlling_party = record.releases.controlling().cloned();
            let ended = record.has_ended().then(|| CallEnded {
                call: call.clone(),
                controlling_party,
            });
            events.extend(ended.map(CtiEvent::from));
        }
        timed.sort_by_key(|(at, _)| *at);
        events.extend(timed.into_iter().map(|(_, event)| event));
        events
    }

    /// Takes up what another directory tells again, a nanosecond for each event. Names the agents concerned.
    pub fn handle_retelling(&mut self, events: &[CtiEvent], now: Instant) -> BTreeSet<AgentId> {
        let mut at = now;
        for event in events {
            at += Duration::from_nanos(1);
            self.take_up(event, at);
        }
        // They were news where they were first told.
        self.notices.clear();
        std::mem::take(&mut self.touched)
    }

    /// Ends calls and media that were told last until `before`, but those of some agents, of whom others know better. Names
    /// the agents concerned.
    pub fn end_untold_but(&mut self, kept: &BTreeSet<AgentId>, before: Instant, now: Instant) -> BTreeSet<AgentId> {
        self.drop_untold(
            before,
            now,
            |party| !matches!(party, Party::Agent(id) if kept.contains(id)),
        );
        self.notices.clear();
        std::mem::take(&mut self.touched)
    }

    /// Everything that [`Self::retell`] tells of some agents.
    pub fn retell_of(&self, agents: &BTreeSet<AgentId>) -> Vec<CtiEvent> {
        let known = agents.iter().filter_map(|id| self.agents.get(id));
        let calls: BTreeSet<&CallId> = known.flat_map(|agent| &agent.line.calls).map(|call| &call.id).collect();
        let mut events = self.retell();
        events.retain(|event| match event {
            CtiEvent::CallVariables(told) => calls.contains(&told.call),
            other => other.agent().is_some_and(|agent| agents.contains(agent)),
        });
        events
    }

    /// Media of devices, as signalling seen here shows them.
    pub fn retell_sightings(&self) -> Vec<(MediaOrigin, CtiEvent)> {
        let started = |leg: &MediaLeg| MediaStarted {
            device: leg.device.clone(),
            call: leg.call.clone(),
            remote: leg.remote,
            direction: leg.directions.told_as(),
            codec: leg.codec.clone(),
            encrypted: leg.encrypted,
            ..MediaStarted::at(leg.address)
        };
        let legs = self.resolvers.sighted_here();
        legs.map(|(origin, leg)| (origin, started(leg).into())).collect()
    }

    /// Takes up what another member's signalling shows, in place of all that it told before, and names the agents
    /// concerned.
    pub fn handle_sightings(
        &mut self,
        from: &ServerName,
        sightings: &[(MediaOrigin, CtiEvent)],
        now: Instant,
    ) -> BTreeSet<AgentId> {
        let told = sightings.iter().filter_map(|(origin, event)| match event {
            CtiEvent::MediaStarted(media) => Some((*origin, media.device.clone()?, media.address)),
            _ => None,
        });
        let gone = self.resolvers.keep_told(from, &told.collect());
        let mut agents = self.at_devices(gone.iter());
        for (origin, event) in sightings {
            agents.extend(self.handle_sighting_of(Some(from), *origin, event, now));
        }
        agents
    }

    /// Takes up what another directory tells again of some agents: of these, what it doesn't tell is over. Names the agents
    /// concerned.
    pub fn handle_retelling_of(
        &mut self,
        agents: &BTreeSet<AgentId>,
        events: &[CtiEvent],
        now: Instant,
    ) -> BTreeSet<AgentId> {
        let mut touched = self.handle_retelling(events, now);
        let at = now + Duration::from_nanos(events.len() as u64);
        self.drop_untold(
            now,
            at,
            |party| matches!(party, Party::Agent(id) if agents.contains(id)),
        );
        self.notices.clear();
        touched.append(&mut self.touched);
        touched
    }

    fn retell_agent(&self, id: &AgentId, agent: &super::Agent) -> AgentUpdate {
        let seat = self.seats.of(id).cloned().unwrap_or_default();
        AgentUpdate {
            agent: id.clone(),
            name: agent.name.clone(),
            extension: seat.extension,
            device: seat.device,
            team: agent.team.clone(),
            state: agent.state,
        }
    }

    /// How a call began, what numbers it had, where it stands since, and its variables.
    fn retell_progress(&self, party: &Party, call: &Call) -> impl Iterator<Item = (Instant, CtiEvent)> {
        let stands = match call.state {
            CallState::Dialling => CallEventKind::Originated,
            CallState::Alerting => CallEventKind::Delivered,
            CallState::Connected => CallEventKind::Established,
            CallState::Held => CallEventKind::Held,
        };
        let content = &call.content;
        let began = if content.outgoing {
            CallEventKind::Originated
        } else {
            CallEventKind::Delivered
        };
        let number = |number: &PhoneNumber| number.as_str().to_owned();
        let former = content.former.iter().map(|former| CallEvent {
            calling: Some(number(former)),
            ..self.retell_call(party, call, &call.id, began)
        });
        let began = (began != stands).then(|| self.retell_call(party, call, &call.id, began));
        let began = former.chain(began).map(|event| (call.since, event.into()));
        let stands = CallEvent {
            calling: content.calling.as_ref().map(number),
            called: content.called.as_ref().map(number),
            ..self.retell_call(party, call, &call.id, stands)
        };
        let variables = (!content.variables.is_empty()).then(|| CallVariables {
            call: call.id.clone(),
            variables: content.variables.clone(),
        });
        let now = [stands.into()].into_iter().chain(variables.map(CtiEvent::from));
        let events: Vec<_> = began.chain(now.map(|event| (call.state_since, event))).collect();
        events.into_iter()
    }

    /// A consult call counts as part of the call it was made in, so it is told as one that came through the queue.
    fn retell_call(&self, party: &Party, call: &Call, id: &CallId, kind: CallEventKind) -> CallEvent {
        let (agent, device) = self.named(party, call.named, call.device.as_ref());
        CallEvent {
            agent,
            device,
            acd: if call.counts_as_acd() { Some(true) } else { call.acd },
            ..CallEvent::of_device("", id.clone(), kind)
        }
    }

    fn retell_media(&self, party: &Party, line: &Line, leg: &MediaLeg) -> (Instant, CtiEvent) {
        let (agent, device) = self.named(party, leg.named, leg.device.as_ref());
        let media = MediaStarted {
            agent,
            device,
            call: leg
                .told_call
                .clone()
                .filter(|_| leg.call.is_some())
                .or_else(|| leg.call.clone()),
            remote: leg.remote,
            direction: leg.directions.told_as(),
            codec: leg.codec.clone(),
            encrypted: leg.encrypted,
            ..MediaStarted::at(leg.address)
        };
        let held = line.call_on(leg).is_some_and(|call| call.state == CallState::Held);
        (if held { leg.since } else { leg.opened }, media.into())
    }

    /// By whom an event must be told so that it is found to be about the same party.
    fn named(&self, party: &Party, named: bool, device: Option<&Extension>) -> (Option<AgentId>, Option<Extension>) {
        let device = device.cloned();
        match party {
            Party::Device(own) => (None, device.or_else(|| Some(own.clone()))),
            Party::Agent(id) => {
                let found = device.as_ref().and_then(|device| self.seats.occupant(device));
                let certain = !named && found == Some(id);
                ((!certain).then(|| id.clone()), device)
            }
        }
    }

    /// Ends calls and media of some parties that were last told before a time.
    fn drop_untold(&mut self, before: Instant, now: Instant, whose: impl Fn(&Party) -> bool) {
        let agents = self
            .agents
            .iter()
            .map(|(id, agent)| (Party::Agent(id.clone()), &agent.line));
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|(device, line)| (Party::Device(device.clone()), line));
        let mut outdated = Vec::new();
        for (party, line) in agents.chain(waiting).filter(|(party, _)| whose(party)) {
            let calls: Vec<CallId> = line
                .calls
                .iter()
                .filter(|call| call.told <= before)
                .map(|call| call.id.clone())
                .collect();
            if !calls.is_empty() || line.media.iter().any(|leg| leg.told <= before) {
                outdated.push((party, calls));
            }
        }
        for (party, calls) in outdated {
            for call in &calls {
                self.mark_left(call, &party, &Seat::default(), Leaving::SignedOut, now);
            }
            self.edit(&party, now, |line| {
                for call in &calls {
                    line.leave_call(call);
                }
                line.media.retain(|leg| leg.told > before);
            });
            if let Party::Agent(id) = party {
                self.touched.insert(id);
            }
        }
    }
}

/// Who signed out has left every call anyway.
fn retell_leaving(call: &CallId, party: &Party, leaving: Leaving) -> Option<CtiEvent> {
    let kind = match leaving {
        Leaving::Cleared => CallEventKind::ConnectionCleared,
        Leaving::Transferred => CallEventKind::Transferred,
        Leaving::SignedOut => return None,
    };
    let event = match party {
        Party::Agent(id) => CallEvent::of_agent(id.clone(), call.clone(), kind),
        Party::Device(device) => CallEvent::of_device(device.clone(), call.clone(), kind),
    };
    Some(event.into())
}

impl super::line::Directions {
    /// As an event names it; none: both.
    pub(super) const fn told_as(self) -> Option<MediaDirection> {
        match (self.receives(), self.sends()) {
            (true, false) => Some(MediaDirection::Receive),
            (false, true) => Some(MediaDirection::Send),
            _ => None,
        }
    }
}

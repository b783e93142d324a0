//! The link to a Cisco CTI Server (GED-188): a session with side A or side B, or with both where the version knows a
//! standby side; what is asked after each connection; and what the events mean.
//!
//! `side` is one session, `failover` decides which side is tried when, `asking` rebuilds what is known,
//! `normalise` turns events into [`CtiEvent`]s. Numbers: protocol sheet 1.
//!
//! Calls are named `PERIPHERAL/CALL` in decimal, agents and devices as the CTI Server names them.

mod agents;
mod asking;
mod calls;
mod failover;
mod failure;
mod media;
mod normalise;
mod requests;
mod settings;
mod side;
mod standby;
mod system;
mod teams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use silentmon_proto::cti::CtiEvent;
use silentmon_proto::cti::ged188::{InvokeId, Message, PeripheralId};
use silentmon_proto::reason::Reason;
use silentmon_proto::time::Instant;

use self::normalise::{Normaliser, Outcome};
use self::requests::Requests;
pub use self::settings::{Password, Settings, Sides};
use self::side::{Side, Step};
use super::{Closed, Endpoint, Link, LinkCommand, LinkEvent, StreamLink, StreamOutput, SuperviseAction};

/// A link to one CTI Server or a pair of them. It connects by itself and never gives up until it is closed.
#[derive(Debug)]
pub struct CiscoLink {
    settings: Settings,
    sides: Vec<Side>,
    normaliser: Normaliser,
    requests: Requests,
    events: VecDeque<LinkEvent>,
    last_invoke_id: u32,
    /// Peripherals that the CTI Server serves.
    served: Vec<PeripheralId>,
    /// No side is to be tried before.
    not_before: Instant,
    /// The side to be tried first, of those that may be tried at the same time.
    preferred: usize,
    /// What the engine was told of the link: nothing yet, that it is up, or why it is down.
    told: Option<Result<(), Reason>>,
    down_since: Instant,
    /// Until then the standby side is given time to take over.
    handover_until: Option<Instant>,
    closing: bool,
}

impl CiscoLink {
    /// A link that begins to connect now.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let sides = 0..settings.number_of_sides();
        let mut link = Self {
            sides: sides.map(|index| Side::new(index, &settings, now)).collect(),
            normaliser: Normaliser::new(settings.peripherals.clone(), settings.protocol_version),
            requests: Requests::default(),
            events: VecDeque::new(),
            last_invoke_id: 0,
            served: settings.peripherals.clone(),
            not_before: now,
            preferred: 0,
            told: None,
            down_since: now,
            handover_until: None,
            closing: false,
            settings,
        };
        link.settle(now);
        link
    }

    /// Never 0, and none that is outstanding: there are far fewer of those.
    fn next_invoke_id(&mut self) -> InvokeId {
        self.last_invoke_id = self.last_invoke_id.checked_add(1).unwrap_or(1);
        InvokeId(self.last_invoke_id)
    }

    fn handle_step(&mut self, index: usize, step: Step, now: Instant) {
        match step {
            Step::Done => {}
            Step::Opened(confirmed) => self.opened(index, &confirmed, now),
            Step::Proven => self.sides.iter_mut().for_each(|side| side.backoff.succeeded()),
            Step::Closed => self.closed(index, now),
            Step::Failed(failure) => self.lost(index, failure, now),
            Step::Passed(message) => self.handle_message(index, &message, now),
        }
    }

    fn handle_message(&mut self, index: usize, message: &Message, now: Instant) {
        match message {
            Message::StandbyActiveEvent(_) => self.took_over(index, now),
            Message::ActiveMaintenanceReq(request) => self.answer_maintenance(index, request),
            Message::ActiveMaintenanceEvent(event) => self.handle_maintenance(index, event, now),
            Message::SystemEvent(event) => self.handle_system_event(index, event),
            Message::FailureConf(_)
            | Message::ControlFailureConf(_)
            | Message::QueryAgentStateConf(_)
            | Message::SnapshotDeviceConf(_)
            | Message::SnapshotCallConf(_)
            | Message::ListAgentTeamConf(_)
            | Message::MonitorAgentTeamStartConf(_)
            | Message::SuperviseCallConf(_) => self.handle_answer(message),
            _ => {
                let outcome = self.normaliser.handle(message);
                self.take(outcome);
            }
        }
    }

    fn take(&mut self, outcome: Outcome) {
        for event in outcome.events {
            self.tell(event);
        }
        if self.may_ask() {
            outcome
                .requests
                .into_iter()
                .for_each(|request| self.requests.add(request));
        }
    }

    fn tell(&mut self, event: impl Into<CtiEvent>) {
        self.events.push_back(LinkEvent::Cti(event.into()));
    }

    /// What follows from whatever happened.
    fn settle(&mut self, now: Instant) {
        if self.closing {
            return;
        }
        self.schedule(now);
        self.leave_sides();
        self.tell_link(now);
        self.ask(now);
    }
}

impl Link for CiscoLink {
    fn controls(&self) -> &'static [SuperviseAction] {
        &[SuperviseAction::BargeIn, SuperviseAction::Intercept]
    }

    fn handle_command(&mut self, command: LinkCommand, now: Instant) {
        match command {
            LinkCommand::Supervise(supervise) => self.supervise(supervise),
            LinkCommand::SnapshotDevice(device) => self.snapshot_device(device),
            LinkCommand::Hoteling(request) => {
                let result = Err("A CTI Server knows no hoteling.".to_owned());
                let number = request.number;
                self.events.push_back(LinkEvent::Done { number, result });
            }
            LinkCommand::Reconnect => self.reconnect(now),
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.sides.len() {
            let invoke_id = self.next_invoke_id();
            let side = self.sides.get_mut(index);
            let step = side.and_then(|side| side.handle_timeout(invoke_id, &self.settings, now));
            if let Some(step) = step {
                self.handle_step(index, step, now);
            }
        }
        self.give_up_requests(now);
        self.handover_until = self.handover_until.filter(|until| *until > now);
        self.settle(now);
    }

    fn close(&mut self, now: Instant) {
        self.closing = true;
        self.handover_until = None;
        self.end_sessions(now);
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let sides = self.sides.iter().filter_map(Side::poll_timeout);
        sides
            .chain(self.requests.poll_timeout())
            .chain(self.handover_until)
            .min()
    }
}

impl StreamLink for CiscoLink {
    fn handle_connected(&mut self, endpoint: Endpoint, now: Instant) {
        let invoke_id = self.next_invoke_id();
        let Some(side) = self.sides.get_mut(endpoint.0) else {
            return;
        };
        if let Some(failure) = side.handle_connected(invoke_id, &self.settings) {
            self.lost(endpoint.0, failure, now);
        }
        self.settle(now);
    }

    fn handle_bytes(&mut self, endpoint: Endpoint, bytes: &[u8], now: Instant) {
        let Some(side) = self.sides.get_mut(endpoint.0) else {
            return;
        };
        side.handle_bytes(bytes);
        while let Some(side) = self.sides.get_mut(endpoint.0)
            && let Some(message) = side.poll_message()
        {
            let step = match message {
                Ok(message) => side.handle_message(message, &self.settings, now),
                Err(failure) => Step::Failed(failure),
            };
            self.handle_step(endpoint.0, step, now);
        }
        self.settle(now);
    }

    fn handle_closed(&mut self, endpoint: Endpoint, why: Closed, now: Instant) {
        let Some(side) = self.sides.get_mut(endpoint.0) else {
            return;
        };
        if let Some(step) = side.handle_closed(&why) {
            self.handle_step(endpoint.0, step, now);
        }
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<StreamOutput> {
        self.sides.iter_mut().find_map(Side::poll_output)
    }
}

//! What is asked of the CTI Server: agents and calls after each connection, and what the engine wants (protocol sheet
//! 1.5, queries and supervisor messages).

use silentmon_proto::cti::ged188::{
    ConnectionDeviceIdType, ControlFailureConf, FailureConf, InvokeId, ListAgentTeamConf, ListAgentTeamReq, Message,
    MonitorAgentTeamStartReq, MrdId, PeripheralId, QueryAgentStateConf, QueryAgentStateReq, ServiceMask,
    SnapshotCallReq, SnapshotDeviceReq, SnapshotDeviceType, Status, SuperviseCallReq, SupervisoryAction, Tag,
};
use silentmon_proto::ids::Extension;
use silentmon_proto::time::Instant;
use tracing::{debug, info};

use super::CiscoLink;
use super::agents::AgentKey;
use super::calls::CallKey;
use super::failure::after;
use super::requests::{ANSWER_TIMEOUT, Request};
use super::side::Role;
use crate::link::{LinkEvent, Supervise, SuperviseAction};

impl CiscoLink {
    fn active(&self) -> Option<usize> {
        (0..self.sides.len()).find(|index| self.role(*index) == Some(Role::Active))
    }

    fn is_granted(&self, service: ServiceMask) -> bool {
        let active = self.active().and_then(|index| self.sides.get(index));
        active.is_some_and(|side| side.granted().contains(service))
    }

    /// Queries and snapshots belong to the Client Control service.
    pub(super) fn may_ask(&self) -> bool {
        self.is_granted(ServiceMask::CLIENT_CONTROL)
    }

    /// Asks for all agents of `peripheral`, or of all, and for the devices configured; calls follow from the answers.
    pub(super) fn rebuild(&mut self, peripheral: Option<PeripheralId>) {
        if self.active().is_none() {
            return;
        }
        if !self.may_ask() {
            info!(link = %self.settings.link, "no Client Control service: agents are unknown until their next event");
            return;
        }
        self.requests.drop_rebuilding(peripheral);
        let configured = self.settings.agents.iter();
        let served = &self.served;
        let configured = configured.flat_map(|agent| {
            served.iter().map(|peripheral| AgentKey {
                peripheral: *peripheral,
                agent: agent.clone(),
            })
        });
        configured.for_each(|key| {
            self.normaliser.agents.expect(key);
        });
        for key in self.normaliser.agents.keys(peripheral) {
            self.requests.add(Request::QueryAgent(key.clone()));
        }
        for device in &self.settings.devices {
            let Some(asked) = self
                .served
                .first()
                .filter(|first| peripheral.is_none_or(|one| one == **first))
            else {
                continue;
            };
            self.requests.add(Request::SnapshotDevice {
                peripheral: *asked,
                device: device.clone(),
                reported: device.clone(),
            });
        }
    }

    pub(super) fn snapshot_device(&mut self, reported: Extension) {
        if !self.may_ask() {
            return;
        }
        let at_device = self.normaliser.agents.at_device(&reported);
        let known = at_device.and_then(|(key, agent)| Some((key.peripheral, agent.device()?.clone())));
        let unknown = || Some((*self.served.first()?, reported.clone()));
        if let Some((peripheral, device)) = known.or_else(unknown) {
            self.requests.add_first(Request::SnapshotDevice {
                peripheral,
                device,
                reported,
            });
        }
    }

    pub(super) fn supervise(&mut self, supervise: Supervise) {
        if self.active().is_none() {
            self.done(supervise.number, Err("The CTI link is down.".to_owned()));
        } else if self.may_ask() {
            self.requests.add_first(Request::Supervise(supervise));
        } else {
            let text = "The CTI Server doesn't grant the Client Control service, which joining a call needs.";
            self.done(supervise.number, Err(text.to_owned()));
        }
    }

    fn done(&mut self, number: u64, result: Result<(), String>) {
        self.events.push_back(LinkEvent::Done { number, result });
    }

    /// Sends as many requests as may be outstanding.
    pub(super) fn ask(&mut self, now: Instant) {
        let Some(active) = self.active() else { return };
        while let Some(request) = self.requests.next() {
            let invoke_id = self.next_invoke_id();
            let message = self.message(invoke_id, &request);
            let side = self.sides.get_mut(active);
            if side.is_some_and(|side| side.send(&message)) {
                self.requests.sent(invoke_id, request, now);
            } else {
                self.give_up(request, "The session's version can't carry the request.");
            }
        }
    }

    fn message(&self, invoke_id: InvokeId, request: &Request) -> Message {
        match request {
            Request::QueryAgent(key) => {
                let mut query = QueryAgentStateReq {
                    invoke_id,
                    peripheral_id: Some(key.peripheral),
                    mrd_id: MrdId::VOICE,
                    icm_agent_id: self.normaliser.agents.agent(key).and_then(|agent| agent.icm_agent_id),
                    ..QueryAgentStateReq::default()
                };
                query.floating.push_text(Tag::AGENT_ID, key.agent.as_str());
                query.into()
            }
            Request::SnapshotDevice { peripheral, device, .. } => {
                let mut snapshot = SnapshotDeviceReq {
                    invoke_id,
                    peripheral_id: Some(*peripheral),
                    snapshot_device_type: Some(SnapshotDeviceType::STATION),
                    ..SnapshotDeviceReq::default()
                };
                snapshot.floating.push_text(Tag::AGENT_INSTRUMENT, device.as_str());
                snapshot.into()
            }
            Request::SnapshotCall {
                call,
                connection,
                device_id_type,
            } => {
                let mut snapshot = SnapshotCallReq {
                    invoke_id,
                    peripheral_id: Some(call.peripheral),
                    connection_call_id: Some(call.call),
                    connection_device_id_type: *device_id_type,
                    ..SnapshotCallReq::default()
                };
                snapshot.floating.push_text(Tag::CONNECTION_DEVICE_ID, connection);
                snapshot.into()
            }
            Request::ListTeams(supervisor_id) => ListAgentTeamReq {
                invoke_id,
                supervisor_id: *supervisor_id,
                ..ListAgentTeamReq::default()
            }
            .into(),
            Request::MonitorTeam(team_id) => MonitorAgentTeamStartReq {
                invoke_id,
                team_id: *team_id,
                ..MonitorAgentTeamStartReq::default()
            }
            .into(),
            Request::Supervise(supervise) => self.supervise_message(invoke_id, supervise),
        }
    }

    /// A call of another source, or none that can be read, is the agent's active call.
    fn supervise_message(&self, invoke_id: InvokeId, supervise: &Supervise) -> Message {
        let call = CallKey::of(&supervise.call);
        let agent = self.normaliser.agents.find(&supervise.agent);
        let peripheral = call
            .map(|call| call.peripheral)
            .or(agent.map(|(key, _)| key.peripheral));
        let mut request = SuperviseCallReq {
            invoke_id,
            peripheral_id: peripheral.or(self.served.first().copied()),
            agent_connection_call_id: call.map(|call| call.call),
            supervisor_connection_call_id: None,
            agent_connection_device_id_type: call.map(|_| ConnectionDeviceIdType::STATIC),
            supervisor_connection_device_id_type: None,
            supervisory_action: match supervise.action {
                SuperviseAction::BargeIn => SupervisoryAction::BARGE_IN,
                SuperviseAction::Intercept => SupervisoryAction::INTERCEPT,
            },
            ..SuperviseCallReq::default()
        };
        request
            .floating
            .push_text(Tag::AGENT_CONNECTION_DEVICE_ID, supervise.device.as_str())
            .push_text(Tag::AGENT_ID, supervise.agent.as_str())
            .push_text(Tag::SUPERVISOR_INSTRUMENT, supervise.supervisor_device.as_str());
        request.into()
    }

    /// Takes the answer to a request.
    pub(super) fn handle_answer(&mut self, message: &Message) {
        match message {
            Message::FailureConf(failed) => self.refused(failed),
            Message::ControlFailureConf(failed) => self.refused_by_switch(failed),
            Message::QueryAgentStateConf(answer) => {
                if let Some(Request::QueryAgent(key)) = self.requests.answered(answer.invoke_id) {
                    self.handle_agent(&key, answer);
                }
            }
            Message::SnapshotDeviceConf(answer) => {
                let asked = self.requests.answered(answer.invoke_id);
                if let Some(Request::SnapshotDevice {
                    peripheral, reported, ..
                }) = asked
                {
                    let outcome = self.normaliser.device_snapshot((peripheral, &reported), answer);
                    self.take(outcome);
                }
            }
            Message::SnapshotCallConf(answer) => {
                if let Some(Request::SnapshotCall { call, .. }) = self.requests.answered(answer.invoke_id) {
                    let outcome = self.normaliser.call_snapshot(call, answer);
                    self.take(outcome);
                }
            }
            Message::ListAgentTeamConf(answer) => self.handle_teams(answer),
            Message::MonitorAgentTeamStartConf(answer) => {
                self.requests.answered(answer.invoke_id);
            }
            Message::SuperviseCallConf(answer) => {
                if let Some(Request::Supervise(supervise)) = self.requests.answered(answer.invoke_id) {
                    self.done(supervise.number, Ok(()));
                }
            }
            _ => {}
        }
    }

    fn handle_agent(&mut self, key: &AgentKey, answer: &QueryAgentStateConf) {
        if let Some(update) = self.normaliser.agents.handle_query(key, answer) {
            self.tell(update);
        }
        let agent = self.normaliser.agents.agent(key);
        if agent.is_some_and(super::agents::Agent::is_signed_in)
            && let Some(request) = self.normaliser.snapshot_of(key)
        {
            self.requests.add(request);
        }
        let supervisor = answer
            .icm_agent_id
            .filter(|_| self.normaliser.teams.is_supervisor(&key.agent));
        if let Some(supervisor) = supervisor
            && self.is_granted(ServiceMask::SUPERVISOR)
        {
            self.requests.add(Request::ListTeams(supervisor));
        }
    }

    fn handle_teams(&mut self, answer: &ListAgentTeamConf) {
        let Some(Request::ListTeams(_)) = self.requests.answered_in_part(answer.invoke_id) else {
            return;
        };
        for team in answer.teams() {
            self.requests.add(Request::MonitorTeam(team));
        }
        if !answer.more {
            self.requests.answered(answer.invoke_id);
        }
    }

    fn refused(&mut self, failed: &FailureConf) {
        let Some(request) = self.requests.answered(failed.invoke_id) else {
            return;
        };
        let status = failed.status;
        if let (Request::QueryAgent(key), Status::AGENT_NOT_LOGGED_ON) = (&request, status) {
            if let Some(update) = self.normaliser.agents.signed_out(key) {
                self.tell(update);
            }
            return;
        }
        let words = status.words().trim_end_matches('.');
        let error = peripheral_error(failed.peripheral_error_code.unwrap_or_default());
        self.give_up(request, &format!("{words} (status {}{error}).", status.0));
    }

    fn refused_by_switch(&mut self, failed: &ControlFailureConf) {
        let Some(request) = self.requests.answered(failed.invoke_id) else {
            return;
        };
        let code = failed.failure_code;
        let words = code
            .name()
            .unwrap_or("for a reason not documented")
            .replace('_', " ")
            .to_lowercase();
        let error = peripheral_error(failed.peripheral_error_code);
        let text = format!("The switch refused the request: {words} (failure {}{error}).", code.0);
        self.give_up(request, &text);
    }

    /// Gives up requests that weren't answered in time.
    pub(super) fn give_up_requests(&mut self, now: Instant) {
        while let Some(request) = self.requests.expired(now) {
            let text = format!("The CTI Server didn't answer within {}.", after(ANSWER_TIMEOUT));
            self.give_up(request, &text);
        }
    }

    /// The session in which requests were made is gone.
    pub(super) fn drop_requests(&mut self) {
        for request in self.requests.clear() {
            self.give_up(request, "The CTI link broke before there was an answer.");
        }
    }

    fn give_up(&mut self, request: Request, why: &str) {
        match request {
            Request::Supervise(supervise) => self.done(supervise.number, Err(why.to_owned())),
            other => debug!(request = ?std::mem::discriminant(&other), why, "gave up a request"),
        }
    }
}

fn peripheral_error(code: u32) -> String {
    match code {
        0 => String::new(),
        code => format!(", error {code} of the peripheral"),
    }
}

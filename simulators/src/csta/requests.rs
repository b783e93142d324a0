//! What a client asks: the session (ECMA-354), monitors, snapshots, agents, conference (protocol sheet 2.2, 2.3).

use std::time::Duration;

use silentmon_proto::cti::{AgentState, AgentUpdate, CallEvent, CallEventKind};
use silentmon_proto::ids::{AgentId, CallId, Extension};
use tokio::time::Instant;

use super::events::{agent_state_word, connection, state_word};
use super::switch::{Session, Switch};
use crate::runtime::{ConnectionId, Note, Outbox};
use crate::world::Told;
use crate::xml::Element;

impl Switch {
    pub(super) fn handle_request(
        &mut self,
        from: ConnectionId,
        invoke: u16,
        request: &Element,
        now: Instant,
        out: &mut Outbox,
    ) {
        let has_session = self.clients.get(&from).is_some_and(|client| client.session.is_some());
        match request.name.as_str() {
            "SystemStatusResponse" => self.answered(from, invoke, now, out),
            "StartApplicationSession" => self.start_session(from, invoke, request, now, out),
            "ResetApplicationSessionTimer" => self.reset_timer(from, invoke, request, now, out),
            "StopApplicationSession" => self.stop_session(from, invoke, out),
            _ if !has_session => {
                note(from, request, out);
                self.send(from, invoke, &error("stateIncompatibility/invalidObjectState"), out);
            }
            _ => {
                note(from, request, out);
                self.handle_service(from, invoke, request, out);
            }
        }
    }

    fn handle_service(&mut self, from: ConnectionId, invoke: u16, request: &Element, out: &mut Outbox) {
        let answer = match request.name.as_str() {
            "MonitorStart" => self.monitor_start(from, request),
            "MonitorStop" => self.monitor_stop(from, request),
            "SnapshotDevice" => Ok(self.snapshot_device(request)),
            "SnapshotCall" => self.snapshot_call(request),
            "GetAgentState" => Ok(self.agent_state(request)),
            "SystemStatus" => Ok(Element::new("SystemStatusResponse")),
            "RequestSystemStatus" => {
                out.note(Note::Heartbeat);
                Ok(Element::new("RequestSystemStatusResponse").with_text("systemStatus", "normal"))
            }
            "SystemRegister" => Ok(Element::new("SystemRegisterResponse").with_text("sysStatRegisterID", "1")),
            "SetAgentState" => return self.set_agent_state(from, invoke, request, out),
            "SingleStepConferenceCall" => return self.single_step_conference(from, invoke, request, out),
            _ => Err("operation/serviceNotSupported".to_owned()),
        };
        let answer = answer.unwrap_or_else(|class| error(&class));
        self.send(from, invoke, &answer, out);
    }

    fn start_session(&mut self, from: ConnectionId, invoke: u16, request: &Element, now: Instant, out: &mut Outbox) {
        note(from, request, out);
        if self.refuse_logins > 0 || !self.knows(request) {
            self.refuse_logins = self.refuse_logins.saturating_sub(1);
            out.note(Note::SessionRefused);
            let refused = negative("StartApplicationSession", "invalidApplicationInfo");
            return self.send(from, invoke, &refused, out);
        }
        let granted = self.granted(request);
        let session = Session {
            id: format!("session-{}", self.number()),
            expires: now + granted,
        };
        let asked = request.at(&["requestedProtocolVersions", "protocolVersion"]);
        let answer = Element::new("StartApplicationSessionPosResponse")
            .with_text("sessionID", &session.id)
            .with_text("actualProtocolVersion", asked.unwrap_or_default())
            .with_text("actualSessionDuration", granted.as_secs());
        self.send(from, invoke, &answer, out);
        self.session_opened(from, session, now, out);
    }

    /// Whether user and password stand anywhere in the request's applicationInfo.
    fn knows(&self, request: &Element) -> bool {
        let Some((user, password)) = &self.options.login else {
            return true;
        };
        let info = request.child("applicationInfo");
        let says = |wanted: &str| info.is_some_and(|info| anywhere(info, wanted));
        says(user) && says(password)
    }

    fn granted(&self, request: &Element) -> Duration {
        let longest = self.options.session_duration;
        let asked = request
            .at(&["requestedSessionDuration"])
            .and_then(|text| text.parse().ok());
        asked.map_or(longest, |seconds| longest.min(Duration::from_secs(seconds)))
    }

    fn number(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn reset_timer(&mut self, from: ConnectionId, invoke: u16, request: &Element, now: Instant, out: &mut Outbox) {
        out.note(Note::Heartbeat);
        let granted = self.granted(request);
        let session = self.clients.get_mut(&from).and_then(|client| client.session.as_mut());
        let own = session.filter(|session| Some(session.id.as_str()) == request.at(&["sessionID"]));
        let answer = match own {
            Some(session) => {
                session.expires = now + granted;
                Element::new("ResetApplicationSessionTimerPosResponse")
                    .with_text("actualSessionDuration", granted.as_secs())
            }
            None => negative("ResetApplicationSessionTimer", "invalidSessionID"),
        };
        self.send(from, invoke, &answer, out);
    }

    fn stop_session(&mut self, from: ConnectionId, invoke: u16, out: &mut Outbox) {
        out.request(from.side, "StopApplicationSession", []);
        if let Some(client) = self.clients.get_mut(&from) {
            client.session = None;
            client.monitors.clear();
        }
        self.send(from, invoke, &Element::new("StopApplicationSessionPosResponse"), out);
    }

    fn monitor_start(&mut self, from: ConnectionId, request: &Element) -> Result<Element, String> {
        let device = request.at(&["monitorObject", "deviceObject"]).map(bare);
        let device = device.ok_or("operation/invalidDeviceID")?;
        if let Some(refusal) = &mut self.refuse_monitor
            && refusal.left > 0
            && refusal.device.as_ref().is_none_or(|refused| *refused == device)
        {
            refusal.left -= 1;
            return Err(refusal.error.clone());
        }
        let monitor = self.number();
        if let Some(client) = self.clients.get_mut(&from) {
            client.monitors.insert(monitor, Extension::new(device));
        }
        Ok(Element::new("MonitorStartResponse").with_text("monitorCrossRefID", monitor))
    }

    fn monitor_stop(&mut self, from: ConnectionId, request: &Element) -> Result<Element, String> {
        let monitor = request
            .at(&["monitorCrossRefID"])
            .and_then(|text| text.parse::<u32>().ok());
        let client = self.clients.get_mut(&from);
        let stopped = monitor.and_then(|monitor| client?.monitors.remove(&monitor));
        stopped
            .map(|_| Element::new("MonitorStopResponse"))
            .ok_or_else(|| "operation/invalidMonitorCrossRefID".to_owned())
    }

    fn snapshot_device(&self, request: &Element) -> Element {
        let device = bare(request.at(&["snapshotObject"]).unwrap_or_default());
        let item = |told: Told| {
            let state = Element::new("compoundCallState")
                .with_text("localConnectionState", state_word(Some(told.connection.state)));
            Element::new("snapshotDeviceResponseInfo")
                .with(connection(
                    "connectionIdentifier",
                    &told.call,
                    told.party.extension.as_str(),
                ))
                .with(Element::new("localCallState").with(state))
        };
        let calls = self.world.calls_of(&Extension::new(device)).into_iter().map(item);
        let data = Element::new("snapshotData").with_all(calls);
        Element::new("SnapshotDeviceResponse").with(Element::new("crossRefIDorSnapshotData").with(data))
    }

    fn snapshot_call(&self, request: &Element) -> Result<Element, String> {
        let object = request.child("snapshotObject");
        let call = object.and_then(|object| object.at(&["callID"]).filter(|text| !text.is_empty()));
        let call = CallId::new(call.ok_or("operation/invalidCallID")?);
        let items: Vec<_> = self.world.connections(&call).collect();
        if items.is_empty() {
            return Err("operation/invalidCallID".to_owned());
        }
        let item = |(device, own): (&Extension, &crate::world::Connection)| {
            Element::new("snapshotCallResponseInfo")
                .with(self.devices().device("deviceOnCall", Some(device.as_str())))
                .with(connection("connectionIdentifier", &call, device.as_str()))
                .with_text("localConnectionInfo", state_word(Some(own.state)))
        };
        let data = Element::new("snapshotData").with_all(items.into_iter().map(item));
        Ok(Element::new("SnapshotCallResponse").with(Element::new("crossRefIDorSnapshotData").with(data)))
    }

    fn agent_state(&self, request: &Element) -> Element {
        let device = Extension::new(bare(request.at(&["device"]).unwrap_or_default()));
        let party = self.world.party(None, Some(&device));
        let known = party
            .agent
            .as_ref()
            .and_then(|id| self.world.agent(id).map(|agent| (id, agent)));
        let list = Element::new("agentStateList");
        let Some((id, agent)) = known else {
            return Element::new("GetAgentStateResponse").with(list);
        };
        let item = Element::new("agentInfoItem").with_text("agentState", agent_state_word(agent.state));
        let entry = Element::new("agentStateEntry")
            .with_text("agentID", id)
            .with_text("loggedOnState", agent.state.is_signed_in())
            .with(Element::new("agentInfo").with(item));
        Element::new("GetAgentStateResponse").with(list.with(entry))
    }

    fn set_agent_state(&mut self, from: ConnectionId, invoke: u16, request: &Element, out: &mut Outbox) {
        let device = Extension::new(bare(request.at(&["device"]).unwrap_or_default()));
        let state = match request.at(&["requestedAgentState"]) {
            Some("loggedOn") => AgentState::Login,
            Some("loggedOff") => AgentState::Logout,
            Some("notReady") => AgentState::NotReady,
            Some("ready") => AgentState::Available,
            Some("workingAfterCall") => AgentState::WorkNotReady,
            _ => return self.send(from, invoke, &error("operation/invalidAgentState"), out),
        };
        let named = request.at(&["agentID"]).map(AgentId::new);
        let Some(agent) = named.or(self.world.party(None, Some(&device)).agent) else {
            return self.send(from, invoke, &error("operation/invalidAgentID"), out);
        };
        self.send(from, invoke, &Element::new("SetAgentStateResponse"), out);
        let update = AgentUpdate {
            extension: Some(device),
            ..AgentUpdate::new(agent, state)
        };
        self.play(update.into(), out);
    }

    /// Answers; then the device that joins is told of as connected, and the call as a conference.
    fn single_step_conference(&mut self, from: ConnectionId, invoke: u16, request: &Element, out: &mut Outbox) {
        let call = request.at(&["activeCall", "callID"]).map(CallId::new);
        let joins = request.at(&["deviceToJoin"]).map(bare);
        let (Some(call), Some(joins)) = (call, joins) else {
            return self.send(from, invoke, &error("operation/invalidConnectionID"), out);
        };
        if self.world.connections(&call).next().is_none() {
            return self.send(from, invoke, &error("operation/invalidCallID"), out);
        }
        let conferenced = connection("conferencedCall", &call, &joins);
        let answer = Element::new("SingleStepConferenceCallResponse").with(conferenced);
        self.send(from, invoke, &answer, out);
        for kind in [CallEventKind::Established, CallEventKind::Conferenced] {
            self.play(CallEvent::of_device(joins.as_str(), call.clone(), kind).into(), out);
        }
    }
}

/// CSTAErrorCode with its class and value.
fn error(class_and_value: &str) -> Element {
    let (class, value) = class_and_value
        .split_once('/')
        .unwrap_or(("operation", class_and_value));
    Element::new("CSTAErrorCode").with_text(class, value)
}

fn negative(service: &str, code: &str) -> Element {
    let code = Element::new("errorCode").with_text("definedError", code);
    Element::new(&format!("{service}NegResponse")).with(code)
}

fn anywhere(element: &Element, wanted: &str) -> bool {
    element.text.trim() == wanted || element.children.iter().any(|child| anywhere(child, wanted))
}

/// A device id without what decorates it.
fn bare(id: &str) -> String {
    let id = id.trim();
    let inner = id
        .strip_prefix("N<")
        .and_then(|rest| rest.split_once('>'))
        .map_or(id, |(inner, _)| inner);
    let plain = inner
        .strip_prefix("tel:")
        .or_else(|| inner.strip_prefix("sip:"))
        .unwrap_or(inner);
    plain.split(';').next().unwrap_or_default().to_owned()
}

fn note(from: ConnectionId, request: &Element, out: &mut Outbox) {
    let text = |path: &[&str]| request.at(path).unwrap_or_default().to_owned();
    let details = [
        (
            "device",
            first_text(
                request,
                &[
                    &["monitorObject", "deviceObject"],
                    &["snapshotObject"],
                    &["device"],
                    &["deviceToJoin"],
                ],
            ),
        ),
        (
            "call",
            first_text(request, &[&["activeCall", "callID"], &["snapshotObject", "callID"]]),
        ),
        ("monitorCrossRefID", text(&["monitorCrossRefID"])),
    ];
    out.request(from.side, &request.name, details);
}

fn first_text(request: &Element, paths: &[&[&str]]) -> String {
    let found = paths
        .iter()
        .find_map(|path| request.at(path).filter(|text| !text.is_empty()));
    found.unwrap_or_default().to_owned()
}

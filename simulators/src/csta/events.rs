//! Event documents (protocol sheet 2.3), without namespaces: the dialect puts them on.

use silentmon_proto::cti::{AgentState, CallEventKind, ReleasingParty};
use silentmon_proto::ids::{AgentId, CallId, Extension};

use crate::world::{ConnectionState, Told};
use crate::xml::Element;

/// How device ids are written in `deviceIdentifier`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Devices {
    pub decorated: bool,
}

/// A monitor's view of a call event.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub monitor: u32,
    /// The state of the monitored device's own connection.
    pub local: Option<ConnectionState>,
    pub devices: Devices,
    pub told: &'a Told,
}

/// What else an event tells of a conference or transfer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge<'a> {
    pub gone: Option<&'a CallId>,
    pub parties: &'a [Extension],
}

impl Devices {
    /// A device in an element of its own, as subject of an event.
    pub fn device(self, element: &str, id: Option<&str>) -> Element {
        let Some(id) = id else {
            return Element::new(element).with(Element::new("notKnown"));
        };
        let written = if self.decorated {
            format!("N<{id}>;noa=nk")
        } else {
            id.to_owned()
        };
        Element::new(element).with_text("deviceIdentifier", written)
    }
}

/// A connection in an element of its own.
pub(super) fn connection(element: &str, call: &CallId, device: &str) -> Element {
    Element::new(element)
        .with_text("callID", call)
        .with_text("deviceID", device)
}

/// LocalConnectionState in words.
pub(super) const fn state_word(state: Option<ConnectionState>) -> &'static str {
    match state {
        None => "null",
        Some(ConnectionState::Initiated) => "initiated",
        Some(ConnectionState::Alerting) => "alerting",
        Some(ConnectionState::Connected) => "connected",
        Some(ConnectionState::Hold) => "hold",
        Some(ConnectionState::Queued) => "queued",
        Some(ConnectionState::Fail) => "fail",
    }
}

impl View<'_> {
    fn begin(&self, name: &str) -> Element {
        Element::new(name).with_text("monitorCrossRefID", self.monitor)
    }

    fn mine(&self, element: &str) -> Element {
        connection(element, &self.told.call, self.told.party.extension.as_str())
    }

    fn subject(&self, element: &str) -> Element {
        self.devices.device(element, Some(self.told.party.extension.as_str()))
    }

    fn calling(&self) -> Element {
        let own = self
            .told
            .connection
            .outgoing
            .then(|| self.told.party.extension.as_str());
        self.devices
            .device("callingDevice", own.or(self.told.connection.calling.as_deref()))
    }

    fn called(&self) -> Element {
        let own = (!self.told.connection.outgoing).then(|| self.told.party.extension.as_str());
        self.devices
            .device("calledDevice", self.told.connection.called.as_deref().or(own))
    }

    fn end(&self, event: Element, cause: &str) -> Element {
        let event = event
            .with_text("localConnectionInfo", state_word(self.local))
            .with_text("cause", cause);
        match self.told.connection.acd {
            Some(acd) => event.with(Element::new("callCharacteristics").with_text("acdCall", acd)),
            None => event,
        }
    }

    /// The event of a call; `None` for what CSTA doesn't tell.
    pub fn call_event(&self, kind: CallEventKind, released_by: Option<ReleasingParty>, merge: Merge<'_>) -> Element {
        match kind {
            CallEventKind::ServiceInitiated => {
                let event = self
                    .begin("ServiceInitiatedEvent")
                    .with(self.mine("initiatedConnection"));
                self.end(event.with(self.subject("initiatingDevice")), "makeCall")
            }
            CallEventKind::Originated => {
                let event = self.begin("OriginatedEvent").with(self.mine("originatedConnection"));
                self.end(event.with(self.calling()).with(self.called()), "newCall")
            }
            CallEventKind::NetworkReached => {
                let event = self.begin("NetworkReachedEvent").with(self.mine("outboundConnection"));
                self.end(event.with(self.calling()).with(self.called()), "newCall")
            }
            CallEventKind::Queued => {
                let event = self.begin("QueuedEvent").with(self.mine("queuedConnection"));
                let event = event
                    .with(self.subject("queue"))
                    .with(self.calling())
                    .with(self.called());
                self.end(event, "enteringDistribution")
            }
            CallEventKind::Delivered => {
                let event = self.begin("DeliveredEvent").with(self.mine("connection"));
                let event = event
                    .with(self.subject("alertingDevice"))
                    .with(self.calling())
                    .with(self.called());
                let last = Element::new("lastRedirectionDevice").with(Element::new("notRequired"));
                self.end(event.with(last), "newCall")
            }
            CallEventKind::Established => {
                let event = self.begin("EstablishedEvent").with(self.mine("establishedConnection"));
                let event = event
                    .with(self.subject("answeringDevice"))
                    .with(self.calling())
                    .with(self.called());
                self.end(event, "newCall")
            }
            CallEventKind::Held => {
                let event = self.begin("HeldEvent").with(self.mine("heldConnection"));
                self.end(event.with(self.subject("holdingDevice")), "normal")
            }
            CallEventKind::Retrieved => {
                let event = self.begin("RetrievedEvent").with(self.mine("retrievedConnection"));
                self.end(event.with(self.subject("retrievingDevice")), "normal")
            }
            CallEventKind::ConnectionCleared => {
                let event = self
                    .begin("ConnectionClearedEvent")
                    .with(self.mine("droppedConnection"));
                let releasing = releasing(self.told, released_by);
                self.end(
                    event.with(self.devices.device("releasingDevice", releasing)),
                    "normalClearing",
                )
            }
            CallEventKind::Failed => {
                let event = self.begin("FailedEvent").with(self.mine("failedConnection"));
                let event = event
                    .with(self.subject("failingDevice"))
                    .with(self.calling())
                    .with(self.called());
                self.end(event, "busy")
            }
            CallEventKind::Diverted => {
                let event = self.begin("DivertedEvent").with(self.mine("connection"));
                let event = event.with(self.subject("divertingDevice"));
                self.end(event.with(self.devices.device("newDestination", None)), "redirected")
            }
            CallEventKind::Conferenced => {
                let event = self.merged("ConferencedEvent", merge, "conferencingDevice", "addedParty");
                self.end(event.with(self.list("conferenceConnections", merge)), "conference")
            }
            CallEventKind::Transferred => {
                let event = self.merged("TransferedEvent", merge, "transferringDevice", "transferredToDevice");
                self.end(event.with(self.list("transferredConnections", merge)), "transfer")
            }
        }
    }

    fn merged(&self, name: &str, merge: Merge<'_>, controller: &str, other: &str) -> Element {
        let own = self.told.party.extension.as_str();
        let event = self.begin(name);
        let event = match merge.gone {
            Some(gone) => event
                .with(connection("primaryOldCall", gone, own))
                .with(self.mine("secondaryOldCall")),
            None => event.with(self.mine("primaryOldCall")),
        };
        let far = merge.parties.iter().map(Extension::as_str).find(|party| *party != own);
        event
            .with(self.subject(controller))
            .with(self.devices.device(other, far))
    }

    fn list(&self, name: &str, merge: Merge<'_>) -> Element {
        let item = |party: &Extension| {
            let item =
                Element::new("connectionListItem").with(connection("newConnection", &self.told.call, party.as_str()));
            match merge.gone {
                Some(gone) => item.with(connection("oldConnection", gone, party.as_str())),
                None => item,
            }
        };
        Element::new(name).with_all(merge.parties.iter().map(item))
    }

    /// A call under another id: a transfer by nobody that can be named.
    pub fn renamed(&self, from: &CallId) -> Element {
        let own = [self.told.party.extension.clone()];
        let merge = Merge {
            gone: Some(from),
            parties: &own,
        };
        let event = self.begin("TransferedEvent");
        let event = event.with(connection("primaryOldCall", from, own[0].as_str()));
        let event = event.with(self.devices.device("transferringDevice", None));
        let event = event.with(self.devices.device("transferredToDevice", Some(own[0].as_str())));
        self.end(event.with(self.list("transferredConnections", merge)), "transfer")
    }
}

/// The device that let go: this one or the far end.
fn releasing(told: &Told, by: Option<ReleasingParty>) -> Option<&str> {
    match by {
        Some(ReleasingParty::Local) => Some(told.party.extension.as_str()),
        Some(ReleasingParty::Remote) if told.connection.outgoing => told.connection.called.as_deref(),
        Some(ReleasingParty::Remote) => told.connection.calling.as_deref(),
        Some(ReleasingParty::Unknown) | None => None,
    }
}

/// The event of an agent's state; `None` where CSTA has none.
pub(super) fn agent_event(state: AgentState) -> Option<&'static str> {
    match state {
        AgentState::Login => Some("AgentLoggedOnEvent"),
        AgentState::Logout => Some("AgentLoggedOffEvent"),
        AgentState::NotReady => Some("AgentNotReadyEvent"),
        AgentState::Available => Some("AgentReadyEvent"),
        AgentState::Talking | AgentState::BusyOther | AgentState::Reserved | AgentState::Hold => Some("AgentBusyEvent"),
        AgentState::WorkNotReady | AgentState::WorkReady => Some("AgentWorkingAfterCallEvent"),
        AgentState::Unknown => None,
    }
}

/// The state in GetAgentStateResponse.
pub(super) const fn agent_state_word(state: AgentState) -> &'static str {
    match state {
        AgentState::Login | AgentState::NotReady => "agentNotReady",
        AgentState::Available => "agentReady",
        AgentState::Talking | AgentState::BusyOther | AgentState::Reserved | AgentState::Hold => "agentBusy",
        AgentState::WorkNotReady | AgentState::WorkReady => "agentWorkingAfterCall",
        AgentState::Logout | AgentState::Unknown => "agentNull",
    }
}

pub(super) fn agent(name: &str, monitor: u32, devices: Devices, device: &str, agent: &AgentId) -> Element {
    Element::new(name)
        .with_text("monitorCrossRefID", monitor)
        .with(devices.device("agentDevice", Some(device)))
        .with_text("agentID", agent)
}

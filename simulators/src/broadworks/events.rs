//! Documents of Xsi-Events (protocol sheet 3.1, 3.2).

use std::time::{SystemTime, UNIX_EPOCH};

use silentmon_proto::cti::{AgentState, CallEventKind, ReleasingParty};
use silentmon_proto::ids::CallId;

use crate::world::{ConnectionState, Told};
use crate::xml::Element;

const NAMESPACE: &str = "http://schema.broadsoft.com/xsi";
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// What stands around an event's data.
#[derive(Debug, Clone)]
pub(super) struct Envelope<'a> {
    pub event_type: &'static str,
    pub event_id: &'a str,
    pub sequence: u64,
    pub user: &'a str,
    pub application: &'a str,
    pub subscription: &'a str,
    pub channel: &'a str,
}

/// A document that isn't an event: default namespace.
pub(super) fn plain(element: Element) -> String {
    format!("{DECLARATION}{}", element.attribute("xmlns", NAMESPACE).write(""))
}

pub(super) fn heartbeat() -> String {
    Element::new("ChannelHeartBeat").attribute("xmlns", NAMESPACE).write("")
}

/// A whole `xsi:Event`; a SubscriptionTerminatedEvent has no data.
pub(super) fn event(envelope: &Envelope<'_>, data: Option<Element>) -> String {
    let event = root(envelope.event_type)
        .with_text("eventID", envelope.event_id)
        .with_text("sequenceNumber", envelope.sequence)
        .with_text("userId", envelope.user)
        .with_text("externalApplicationId", envelope.application)
        .with_text("subscriptionId", envelope.subscription)
        .with_text("channelId", envelope.channel)
        .with_text("targetId", envelope.user)
        .with_all(data);
    format!("{DECLARATION}{}", event.write("xsi:"))
}

pub(super) fn channel_terminated(event_id: &str, channel: &str) -> String {
    let event = root("ChannelTerminatedEvent")
        .with_text("eventID", event_id)
        .with_text("channelId", channel)
        .with_text("reason", "Terminated by the simulator");
    format!("{DECLARATION}{}", event.write("xsi:"))
}

fn root(event_type: &str) -> Element {
    Element::new("Event")
        .attribute("xmlns:xsi", NAMESPACE)
        .attribute("xmlns:xsi1", INSTANCE)
        .attribute("xsi1:type", format!("xsi:{event_type}"))
}

/// `eventData` of a type.
pub(super) fn data(data_type: &str) -> Element {
    Element::new("eventData").attribute("xsi1:type", format!("xsi:{data_type}"))
}

/// CallSubscriptionEvent or CallSubscriptionResyncEvent: all calls of a user.
pub(super) fn snapshot(data_type: &str, calls: &[Told], user: &str) -> Element {
    let data = data(data_type);
    let data = match calls {
        [] => data,
        calls => {
            let calls = calls.iter().map(|told| call(told, user, state(told.connection.state)));
            data.with(Element::new("calls").with_all(calls))
        }
    };
    data.with_text("hookStatus", hook(!calls.is_empty()))
}

pub(super) fn hook_status(off: bool) -> Element {
    data("HookStatusEvent").with_text("hookStatus", hook(off))
}

const fn hook(off: bool) -> &'static str {
    if off { "Off-Hook" } else { "On-Hook" }
}

/// The event of a call; `None` for what Xsi-Events doesn't tell to a user.
pub(super) fn call_event(
    told: &Told,
    user: &str,
    kind: CallEventKind,
    released_by: Option<ReleasingParty>,
) -> Option<Element> {
    if kind == CallEventKind::ConnectionCleared && told.connection.state == ConnectionState::Fail {
        // It was released when it failed.
        return None;
    }
    let (name, state) = match kind {
        CallEventKind::ServiceInitiated => ("CallOriginatingEvent", "Alerting"),
        CallEventKind::Originated => ("CallOriginatedEvent", "Alerting"),
        CallEventKind::NetworkReached => ("CallUpdatedEvent", "Alerting"),
        CallEventKind::Delivered => ("CallReceivedEvent", "Alerting"),
        CallEventKind::Established => ("CallAnsweredEvent", "Active"),
        CallEventKind::Held => ("CallHeldEvent", "Held"),
        CallEventKind::Retrieved => ("CallRetrievedEvent", "Active"),
        CallEventKind::Transferred => ("CallTransferredEvent", "Released"),
        CallEventKind::Diverted => ("CallRedirectedEvent", "Released"),
        CallEventKind::Failed | CallEventKind::ConnectionCleared => ("CallReleasedEvent", "Released"),
        CallEventKind::Conferenced | CallEventKind::Queued => return None,
    };
    let call = call(told, user, state);
    let releasing = match released_by {
        Some(ReleasingParty::Local) => Some("localRelease"),
        Some(ReleasingParty::Remote) => Some("remoteRelease"),
        Some(ReleasingParty::Unknown) | None => None,
    };
    let released = state == "Released";
    let call = call
        .maybe_text("releasingParty", releasing.filter(|_| released))
        .maybe_text("releaseTime", released.then(milliseconds));
    Some(data(name).with(call))
}

/// ConferenceStartedEvent: the calls that are in it.
pub(super) fn conference(told: &Told, user: &str, gone: Option<&CallId>) -> Element {
    let calls = [Some(&told.call), gone].into_iter().flatten();
    let participant = |call: &CallId| Element::new("conferenceParticipant").with_text("callId", call_id(call, user));
    let conference = Element::new("conference")
        .with_text("state", "Active")
        .with_text("appearance", 1)
        .with(Element::new("conferenceParticipantList").with_all(calls.map(participant)));
    data("ConferenceStartedEvent").with(conference)
}

/// ACDCallAddedEvent: a call waits in a queue.
pub(super) fn queued(told: &Told, user: &str) -> Element {
    let entry = Element::new("queueEntry")
        .with_text("callId", call_id(&told.call, user))
        .with_text("extTrackingId", format!("{}:1", told.call))
        .with(remote_party(told))
        .with_text("addTime", milliseconds());
    data("ACDCallAddedEvent").with(entry)
}

/// CallUpdatedEvent: the same half, whatever became of the call behind it.
pub(super) fn updated(told: &Told, user: &str) -> Element {
    data("CallUpdatedEvent").with(call(told, user, state(told.connection.state)))
}

/// A call's id is one of the user's half of it.
fn call_id(call: &CallId, user: &str) -> String {
    let half = user
        .bytes()
        .fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("callhalf-{call}.{}:0", half % 10_000)
}

fn call(told: &Told, user: &str, state: &str) -> Element {
    let outgoing = told.connection.outgoing;
    let endpoint = Element::new("endpoint")
        .attribute("xsi1:type", "xsi:AccessEndpoint")
        .with_text("addressOfRecord", user);
    let call = Element::new("call")
        .with_text("callId", call_id(&told.call, user))
        .with_text("extTrackingId", format!("{}:1", told.call))
        .with_text("networkCallId", format!("{}@network", told.call))
        .with_text("personality", if outgoing { "Originator" } else { "Terminator" })
        .with_text("state", state)
        .with(remote_party(told))
        .with(endpoint)
        .with_text("appearance", 1)
        .with_text("startTime", milliseconds());
    let answered = matches!(
        told.connection.state,
        ConnectionState::Connected | ConnectionState::Hold
    );
    let call = call.maybe_text("answerTime", answered.then(milliseconds));
    match told.connection.acd {
        Some(true) => call.with(acd_call(told)),
        Some(false) | None => call,
    }
}

fn acd_call(told: &Told) -> Element {
    let number = told.connection.called.clone().unwrap_or_default();
    Element::new("acdCallInfo")
        .with_text("acdUserId", format!("acd-{number}@example.com"))
        .with_text("acdName", "Queue")
        .with_text("acdNumber", format!("tel:{number}"))
        .with_text("numCallsInQueue", 0)
        .with_text("waitTime", 0)
}

fn remote_party(told: &Told) -> Element {
    let connection = &told.connection;
    let number = if connection.outgoing {
        &connection.called
    } else {
        &connection.calling
    };
    let party = Element::new("remoteParty");
    let party = match number {
        Some(number) => party.with(Element::text("address", format!("tel:{number}")).attribute("countryCode", 1)),
        None => party,
    };
    party.with_text("callType", "Network")
}

const fn state(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Initiated | ConnectionState::Alerting | ConnectionState::Queued => "Alerting",
        ConnectionState::Connected => "Active",
        ConnectionState::Hold => "Held",
        ConnectionState::Fail => "Released",
    }
}

/// AgentStateEvent, or AgentSubscriptionEvent with the state as it is.
pub(super) fn agent(data_type: &str, info: &str, state: Option<AgentState>) -> Element {
    let data = data(data_type);
    match state {
        None => data,
        Some(state) => data.with(
            Element::new(info)
                .with_text("state", agent_state(state))
                .with_text("stateTimestamp", milliseconds())
                .with_text("signInTimestamp", milliseconds())
                .with_text("totalAvailableTime", 0)
                .with_text("averageWrapUpTime", 0),
        ),
    }
}

/// ACD state in BroadWorks' words: calls don't change it.
pub(super) const fn agent_state(state: AgentState) -> &'static str {
    match state {
        AgentState::Login => "Sign-In",
        AgentState::Logout => "Sign-Out",
        AgentState::Available | AgentState::Talking | AgentState::Reserved | AgentState::Hold => "Available",
        AgentState::WorkNotReady | AgentState::WorkReady => "Wrap-Up",
        AgentState::NotReady | AgentState::BusyOther | AgentState::Unknown => "Unavailable",
    }
}

pub(super) fn hoteling(host: Option<&str>) -> Element {
    let info = Element::new("info")
        .with_text("active", host.is_some())
        .maybe_text("hostUserId", host);
    data("HotelingGuestEvent").with(info)
}

fn milliseconds() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

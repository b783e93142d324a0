//! What BroadWorks' events mean in CSTA's words (requirements C7, C8).
//!
//! The call id is `callId`: every document has it, it stays the same for as long as the user's half of the call lives,
//! and no two halves share it. `extTrackingId` would be one for both halves, but isn't in every event.

use silentmon_proto::cti::xsi::{
    AgentAcdState, Call, CallEventType, CallState, Personality, QueueEntry, QueueEventType, XsiReleasingParty,
};
use silentmon_proto::cti::{AgentState, CallEvent, CallEventKind, ReleasingParty, SnapshotCall};

use super::config::MonitoredUser;

/// What an event about a call says; `known` is how the call stood before.
pub(super) fn call_events(
    kind: CallEventType,
    call: &Call,
    known: Option<CallEventKind>,
    user: &MonitoredUser,
) -> Vec<CallEvent> {
    let kinds: &[CallEventKind] = match kind {
        CallEventType::Originating | CallEventType::Collecting => &[CallEventKind::ServiceInitiated],
        CallEventType::Originated => &[CallEventKind::Originated],
        CallEventType::Received => &[CallEventKind::Delivered],
        CallEventType::Held | CallEventType::Detached => &[CallEventKind::Held],
        CallEventType::Retrieved => &[CallEventKind::Retrieved],
        CallEventType::BargedIn => &[CallEventKind::Conferenced],
        CallEventType::Transferred => &[CallEventKind::Transferred],
        CallEventType::Forwarded | CallEventType::Redirected => &[CallEventKind::Diverted],
        // Somebody else took the ringing call, or this user took somebody else's.
        CallEventType::PickedUp if call.state == Some(CallState::Released) => &[CallEventKind::Diverted],
        CallEventType::Answered | CallEventType::PickedUp => &[CallEventKind::Established],
        CallEventType::Released if couldnt_be_completed(call) => {
            &[CallEventKind::Failed, CallEventKind::ConnectionCleared]
        }
        CallEventType::Released => &[CallEventKind::ConnectionCleared],
        CallEventType::Updated => return updated(call, known, user),
        CallEventType::Releasing | CallEventType::RecordingStarted | CallEventType::RecordingStopped => &[],
    };
    kinds.iter().map(|kind| call_event(*kind, call, user)).collect()
}

/// An update tells nothing new, unless what told it before was lost.
fn updated(call: &Call, known: Option<CallEventKind>, user: &MonitoredUser) -> Vec<CallEvent> {
    let same = |kind| {
        known.is_some_and(|known| {
            let is_up = |kind| matches!(kind, CallEventKind::Established | CallEventKind::Retrieved);
            known == kind || known == CallEventKind::Conferenced || (is_up(known) && is_up(kind))
        })
    };
    standing(call)
        .filter(|kind| !same(*kind))
        .map(|kind| call_event(kind, call, user))
        .into_iter()
        .collect()
}

/// A call as it stands in a snapshot; absent once it is released.
pub(super) fn snapshot_call(call: &Call) -> Option<SnapshotCall> {
    Some(SnapshotCall {
        call: call.call_id.as_str().into(),
        kind: standing(call)?,
        acd: Some(call.acd.is_some()),
    })
}

/// The event after which a call stands as this one does.
pub(super) fn standing(call: &Call) -> Option<CallEventKind> {
    match call.state? {
        CallState::Alerting if call.personality == Some(Personality::Terminator) => Some(CallEventKind::Delivered),
        CallState::Alerting => Some(CallEventKind::Originated),
        // Held by the other end: the agent still hears and is heard by whoever holds.
        CallState::Active | CallState::RemoteHeld => Some(CallEventKind::Established),
        CallState::Held | CallState::Detached => Some(CallEventKind::Held),
        CallState::Released => None,
    }
}

/// An event about a call whose document isn't at hand: a conference names its calls only.
pub(super) fn bare_event(kind: CallEventKind, call_id: &str, user: &MonitoredUser) -> CallEvent {
    CallEvent {
        agent: user.agent_id(),
        ..CallEvent::of_device(user.extension.as_str(), call_id, kind)
    }
}

fn call_event(kind: CallEventKind, call: &Call, user: &MonitoredUser) -> CallEvent {
    let remote = call
        .remote_party
        .address
        .clone()
        .or_else(|| call.remote_party.user_dn.clone());
    let own = Some(user.extension.as_str().to_owned());
    let (calling, called) = match call.personality {
        Some(Personality::Terminator) => {
            let acd = call.acd.as_ref();
            let calling = acd.and_then(|acd| acd.calling_address.clone()).or(remote);
            (calling, acd.and_then(|acd| acd.number.clone()).or(own))
        }
        Some(Personality::Originator | Personality::ClickToDial) => (own, remote),
        None => (None, None),
    };
    let ends = matches!(kind, CallEventKind::ConnectionCleared | CallEventKind::Failed);
    CallEvent {
        acd: Some(call.acd.is_some()),
        calling,
        called,
        released_by: ends.then(|| released_by(call)),
        ..bare_event(kind, &call.call_id, user)
    }
}

fn released_by(call: &Call) -> ReleasingParty {
    match call.releasing_party {
        Some(XsiReleasingParty::Local) => ReleasingParty::Local,
        Some(XsiReleasingParty::Remote) => ReleasingParty::Remote,
        None => ReleasingParty::Unknown,
    }
}

/// Busy, blocked, no such number: the caller's half ends with a cause and was never answered.
fn couldnt_be_completed(call: &Call) -> bool {
    call.internal_release_cause.is_some()
        && call.answer_time.is_none()
        && call.personality != Some(Personality::Terminator)
        && call.releasing_party != Some(XsiReleasingParty::Local)
}

/// What an event about a queue says about the call in it; the queue is the device.
pub(super) fn queue_event(kind: QueueEventType, entry: &QueueEntry, queue: &MonitoredUser) -> Option<CallEvent> {
    let kind = match kind {
        QueueEventType::Added => CallEventKind::Queued,
        QueueEventType::Abandoned => CallEventKind::ConnectionCleared,
        QueueEventType::AnsweredByAgent
        | QueueEventType::Overflowed
        | QueueEventType::Transferred
        | QueueEventType::Stranded => CallEventKind::Diverted,
        QueueEventType::OfferedToAgent | QueueEventType::Bounced => return None,
    };
    Some(CallEvent {
        acd: Some(true),
        calling: entry.remote_party.address.clone(),
        called: entry
            .acd_number
            .clone()
            .or_else(|| Some(queue.extension.as_str().to_owned())),
        // The caller gave up.
        released_by: (kind == CallEventKind::ConnectionCleared).then_some(ReleasingParty::Remote),
        ..bare_event(kind, entry.call_id.as_deref()?, queue)
    })
}

/// After-call work ends in Available by itself, if a timer is set.
pub(super) const fn agent_state(state: AgentAcdState) -> AgentState {
    match state {
        AgentAcdState::SignIn => AgentState::Login,
        AgentAcdState::SignOut => AgentState::Logout,
        AgentAcdState::Available => AgentState::Available,
        AgentAcdState::Unavailable => AgentState::NotReady,
        AgentAcdState::WrapUp => AgentState::WorkReady,
    }
}

//! Events of the stream: acknowledged, put in order, and told in CSTA's words.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use silentmon_proto::cti::xsi::{
    AgentStateInfo, Call, CallEventType, CallSubscription, Conference, ConferenceEventType, Event, EventData,
    EventKind, request,
};
use silentmon_proto::cti::{AgentUpdate, CallEvent, CallEventKind, DeviceSnapshot, Hoteling};
use silentmon_proto::ids::Extension;
use silentmon_proto::time::Instant;

use super::channel::{Channel, down};
use super::config::MonitoredUser;
use super::requests::Purpose;
use super::subscription::{Package, State};
use super::{BroadWorksLink, mapping};
use crate::link::Endpoint;

/// Events whose repetition is noticed.
const REMEMBERED: usize = 4096;
/// Calls of one user that are kept in mind.
const MOST_CALLS: usize = 64;

/// Event ids seen lately.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether the id is new.
    fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// A user's calls, each by the last thing that happened to it.
pub(super) type Calls = BTreeMap<String, CallEventKind>;

impl BroadWorksLink {
    pub(super) fn handle_event(&mut self, endpoint: Endpoint, event: &Event, now: Instant) {
        if let EventKind::ChannelTerminated { reason } = &event.kind {
            return self.channel_terminated(endpoint, event, reason.as_deref(), now);
        }
        if let Some(id) = &event.event_id {
            let path = ("POST", request::EVENT_RESPONSE.to_owned());
            self.send(Purpose::Acknowledge, endpoint, path, request::event_response(id), now);
            if !self.seen.insert(id) {
                return;
            }
        }
        match &event.kind {
            EventKind::Subscription(data) => {
                let Some(index) = self.subscription_of(event, data) else {
                    tracing::debug!(link = %self.config.link, "event of an unknown subscription");
                    return;
                };
                if self.is_in_sequence(index, event.sequence_number, data, now) {
                    self.apply(index, data, now);
                }
            }
            EventKind::SubscriptionTerminated { reason } => {
                tracing::debug!(link = %self.config.link, ?reason, "subscription ended by the server");
                let index = event
                    .subscription_id
                    .as_ref()
                    .and_then(|id| self.subscription_ids.get(id));
                if let Some(&index) = index {
                    self.subscribe_later(index, None, now);
                }
            }
            EventKind::ChannelTerminated { .. } | EventKind::Other(_) => {}
        }
    }

    fn channel_terminated(&mut self, endpoint: Endpoint, event: &Event, reason: Option<&str>, now: Instant) {
        let named = event.channel_id.as_deref();
        let ended = match named {
            Some(id) => self
                .channels
                .iter()
                .position(|channel| channel.channel_id() == Some(id)),
            None => Some(endpoint.0).filter(|&at| self.channels.get(at).is_some_and(Channel::is_open)),
        };
        if let Some(ended) = ended {
            let why = format!("the server ended the channel: {}", reason.unwrap_or("no reason given"));
            self.lose_channel(Endpoint(ended), down(why), now);
        }
    }

    /// The subscription an event belongs to: by its id, or as the first event of one that is being asked for.
    fn subscription_of(&mut self, event: &Event, data: &EventData) -> Option<usize> {
        let id = event.subscription_id.as_ref();
        if let Some(&index) = id.and_then(|id| self.subscription_ids.get(id)) {
            return Some(index);
        }
        let package = Package::of_data(data)?;
        let name = event.target_id.as_ref().or(event.user_id.as_ref())?;
        let user = self.user_by_id(name)?;
        let index = self.users.get(user)?.subscriptions.iter().copied().find(|&index| {
            self.subscriptions
                .get(index)
                .is_some_and(|one| one.package == package && one.state == State::Requested(None))
        })?;
        let id = id?.clone();
        self.subscriptions.get_mut(index)?.state = State::Requested(Some(id.clone()));
        self.subscription_ids.insert(id, index);
        Some(index)
    }

    /// Whether an event comes after those before it. After a gap, and where the count has begun anew, the user's state
    /// is asked for; what comes late is then of no use.
    fn is_in_sequence(&mut self, index: usize, number: Option<u64>, data: &EventData, now: Instant) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return false;
        };
        let Some(number) = number else {
            return true;
        };
        let Some(last) = subscription.sequence.replace(number) else {
            return true;
        };
        if number == last.saturating_add(1) || is_snapshot(data) {
            return true;
        }
        tracing::debug!(link = %self.config.link, last, number, "events lost or out of order");
        self.resync(index, now);
        number > last
    }

    fn apply(&mut self, index: usize, data: &EventData, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let user = subscription.user;
        match data {
            EventData::CallSubscription(snapshot) => {
                let asked = std::mem::replace(&mut subscription.awaits_snapshot, false);
                self.replace_calls(user, snapshot, asked && !snapshot.resync);
            }
            EventData::Call(kind, call) => self.call_event(user, *kind, call),
            EventData::Conference(kind, conference) => self.conference_event(user, *kind, conference),
            EventData::AgentSubscription(Some(info)) | EventData::AgentState(info) => self.agent_state(user, info),
            EventData::Queue(kind, entry) => {
                let told = self
                    .users
                    .get(user)
                    .and_then(|queue| mapping::queue_event(*kind, entry, &queue.config));
                if let Some(told) = told {
                    self.tell(told);
                }
            }
            EventData::Hoteling(told) => self.hoteling_event(user, told.active, told.host_user_id.as_deref(), now),
            EventData::AgentSubscription(None)
            | EventData::Hook(_)
            | EventData::AgentJoinUpdate
            | EventData::CallCenterMonitoring
            | EventData::Service { .. }
            | EventData::Other(_) => {}
        }
    }

    /// All calls of a user as they are: replaces what was known (requirements C9).
    fn replace_calls(&mut self, user: usize, snapshot: &CallSubscription, was_asked_for: bool) {
        let Some(known) = self.users.get_mut(user) else {
            return;
        };
        let calls: Vec<_> = snapshot.calls.iter().filter_map(mapping::snapshot_call).collect();
        let now_known: Calls = calls
            .iter()
            .take(MOST_CALLS)
            .map(|call| (call.call.as_str().to_owned(), call.kind))
            .collect();
        let before = std::mem::replace(&mut known.calls, now_known);
        let closed = before.keys().filter(|id| !known.calls.contains_key(*id)).count();
        let found = known.calls.keys().filter(|id| !before.contains_key(*id)).count();
        if !was_asked_for && closed + found > 0 {
            tracing::warn!(link = %self.config.link, closed, found, "a subscriber's calls were out of step; they are replaced");
            tracing::debug!(link = %self.config.link, user = known.config.user_id, "the subscriber out of step");
        }
        let device = known.config.extension.clone();
        self.tell(DeviceSnapshot { device, calls });
    }

    fn call_event(&mut self, user: usize, kind: CallEventType, call: &Call) {
        let Some(known) = self.users.get_mut(user) else {
            return;
        };
        let before = known.calls.get(&call.call_id).copied();
        let told = mapping::call_events(kind, call, before, &known.config);
        self.tell_calls(user, told);
    }

    fn conference_event(&mut self, user: usize, kind: ConferenceEventType, conference: &Conference) {
        let kind = match kind {
            ConferenceEventType::Started | ConferenceEventType::Updated => CallEventKind::Conferenced,
            ConferenceEventType::Held => CallEventKind::Held,
            ConferenceEventType::Retrieved => CallEventKind::Retrieved,
            // Its calls tell their own ends.
            ConferenceEventType::Released => return,
        };
        let Some(known) = self.users.get(user) else {
            return;
        };
        let told = conference
            .call_ids
            .iter()
            .filter(|id| known.calls.get(*id) != Some(&kind))
            .map(|id| mapping::bare_event(kind, id, &known.config))
            .collect();
        self.tell_calls(user, told);
    }

    fn tell_calls(&mut self, user: usize, told: Vec<CallEvent>) {
        for event in told {
            if let Some(known) = self.users.get_mut(user) {
                remember(&mut known.calls, &event);
            }
            self.tell(event);
        }
    }

    fn agent_state(&mut self, user: usize, info: &AgentStateInfo) {
        let Some(known) = self.users.get_mut(user) else {
            return;
        };
        let (Some(state), Some(agent)) = (info.state, known.config.agent_id()) else {
            return;
        };
        known.acd_state = Some(state);
        let update = AgentUpdate {
            extension: Some(known.config.extension.clone()),
            ..AgentUpdate::new(agent.as_str(), mapping::agent_state(state))
        };
        self.tell(update);
    }

    /// An association began or ended, whoever asked for it (requirements C10).
    fn hoteling_event(&mut self, guest: usize, is_active: bool, host_id: Option<&str>, now: Instant) {
        let Some(known) = self.users.get(guest) else {
            return;
        };
        let guest_device = known.config.extension.clone();
        let host_user = host_id.and_then(|id| self.user_by_id(id));
        let host = host_id
            .filter(|_| is_active)
            .map(|id| match host_user.and_then(|user| self.users.get(user)) {
                Some(host) => host.config.extension.clone(),
                None => Extension::new(id.split('@').next().unwrap_or(id)),
            });
        let is_associated = host.is_some();
        self.tell(Hoteling {
            guest: guest_device,
            host,
        });
        if let Some(host_user) = host_user.filter(|_| is_associated) {
            self.hoteling_associated(guest, host_user, now);
        }
    }

    /// The user of this id; ids differ in case without meaning it.
    pub(super) fn user_by_id(&self, id: &str) -> Option<usize> {
        self.user_ids.get(&id.to_ascii_lowercase()).copied()
    }

    pub(super) fn user_by_device(&self, device: &Extension) -> Option<usize> {
        self.users.iter().position(|user| user.config.extension == *device)
    }
}

fn remember(calls: &mut Calls, event: &CallEvent) {
    let id = event.call.as_str();
    match event.kind {
        CallEventKind::ConnectionCleared
        | CallEventKind::Failed
        | CallEventKind::Transferred
        | CallEventKind::Diverted => {
            calls.remove(id);
        }
        CallEventKind::ServiceInitiated
        | CallEventKind::Originated
        | CallEventKind::NetworkReached
        | CallEventKind::Queued
        | CallEventKind::Delivered
        | CallEventKind::Established
        | CallEventKind::Held
        | CallEventKind::Retrieved
        | CallEventKind::Conferenced => {
            if calls.len() < MOST_CALLS || calls.contains_key(id) {
                calls.insert(id.to_owned(), event.kind);
            }
        }
    }
}

/// Whether the data replace all that was told before.
const fn is_snapshot(data: &EventData) -> bool {
    matches!(
        data,
        EventData::CallSubscription(_) | EventData::AgentSubscription(_) | EventData::Hoteling(_)
    )
}

/// A user as the link knows him.
#[derive(Debug)]
pub(super) struct User {
    pub(super) config: MonitoredUser,
    pub(super) subscriptions: Vec<usize>,
    pub(super) calls: Calls,
    pub(super) acd_state: Option<silentmon_proto::cti::xsi::AgentAcdState>,
}

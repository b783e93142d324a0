//! The server: connections of all XSPs, their channels and subscriptions, and events as each user's subscriptions tell
//! them.

use std::collections::BTreeMap;

use silentmon_proto::cti::{AgentState, CallEventKind, CtiEvent, ReleasingParty};
use silentmon_proto::ids::{AgentId, CallId, Extension};
use tokio::time::Instant;

use super::BroadWorksOptions;
use super::channels::{Channel, Package, Random, Subscription, User};
use super::events::{self, Envelope};
use super::halves::Halves;
use super::http::{self, Framer};
use crate::runtime::{ConnectionId, Machine, Note, Outbox};
use crate::world::{Happening, Party, Told, World};
use crate::xml::Element;
use crate::{CloseHow, Fault};

/// See [`super::BroadWorks`].
#[derive(Debug)]
pub(super) struct Server {
    pub options: BroadWorksOptions,
    pub world: World,
    pub connections: BTreeMap<ConnectionId, Framer>,
    pub channels: BTreeMap<String, Channel>,
    pub subscriptions: BTreeMap<String, Subscription>,
    pub heartbeat_status: Option<(u16, u32)>,
    random: Option<Random>,
    ids: u64,
    lost: Option<(Option<String>, u32)>,
    halves: Halves,
}

impl Server {
    pub fn new(options: BroadWorksOptions) -> Self {
        Self {
            options,
            world: World::default(),
            connections: BTreeMap::new(),
            channels: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            heartbeat_status: None,
            random: None,
            ids: 0,
            lost: None,
            halves: Halves::default(),
        }
    }

    /// An id of the usual form.
    pub fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("5117e111-0000-4000-8000-{:012x}", self.ids)
    }

    /// The user that the subscriptions would name for a party.
    pub fn user_id(&self, name: &str) -> String {
        format!("{name}@{}", self.options.domain)
    }

    /// Writes an item to a channel's stream.
    pub fn write(&mut self, channel: &str, item: &str, now: Instant, out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(channel) else {
            return;
        };
        let chunks = channel.splitter.item(item, self.random.as_mut(), now);
        if !chunks.is_empty() {
            out.send(channel.connection, chunks);
        }
    }

    /// The channel of a set that delivers: the lowest priority, then the highest weight.
    fn delivering(&self, set: &str) -> Option<String> {
        let open = self.channels.iter().filter(|(_, channel)| channel.set == set);
        let best = open.min_by_key(|(_, channel)| (channel.priority, u32::MAX - channel.weight));
        best.map(|(id, _)| id.clone())
    }

    /// Tells a subscription; where its channel set has none left, the event is lost.
    pub fn tell_subscription(
        &mut self,
        id: &str,
        user: &User,
        event_type: &'static str,
        data: Option<Element>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let event_id = self.new_id();
        let ack_until = now + self.options.ack_limit;
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        subscription.sequence += 1;
        if self.loses(user) {
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let set = subscription.set.clone();
        subscription.unacknowledged.insert(event_id.clone(), ack_until);
        let (sequence, application) = (subscription.sequence, subscription.application.clone());
        let Some(channel) = self.delivering(&set) else {
            return;
        };
        let envelope = Envelope {
            event_type,
            event_id: &event_id,
            sequence,
            user: &user.0,
            application: &application,
            subscription: id,
            channel: &channel,
        };
        let item = events::event(&envelope, data);
        self.write(&channel, &item, now, out);
    }

    /// Whether the event is one of those that get lost.
    fn loses(&mut self, user: &User) -> bool {
        let Some((whose, left)) = &mut self.lost else {
            return false;
        };
        if *left == 0
            || whose
                .as_ref()
                .is_some_and(|whose| whose != user.name() && *whose != user.0)
        {
            return false;
        }
        *left -= 1;
        true
    }

    /// Subscriptions of one package for a party.
    fn subscribers(&self, package: Package, party: &Party) -> Vec<(String, User)> {
        let agent = party.agent.as_ref().map_or("", AgentId::as_str);
        let names = [party.extension.as_str(), party.instrument.as_str(), agent];
        let told = |(id, own): (&String, &Subscription)| {
            let user = if own.wide {
                User(self.user_id(party.extension.as_str()))
            } else {
                own.user.clone()
            };
            let mine = own.package == package && (own.wide || names.contains(&user.name()));
            mine.then(|| (id.clone(), user))
        };
        self.subscriptions.iter().filter_map(told).collect()
    }

    pub fn play(&mut self, event: CtiEvent, now: Instant, out: &mut Outbox) {
        for happening in self.world.apply(event) {
            self.tell(happening, now, out);
        }
    }

    fn tell(&mut self, happening: Happening, now: Instant, out: &mut Outbox) {
        match happening {
            Happening::Agent { party, state, .. } => {
                let write = |_: &str| Some(events::agent("AgentStateEvent", "agentStateInfo", Some(state)));
                self.tell_party(Package::Agent, &party, write, now, out);
            }
            Happening::Call {
                told,
                kind,
                released_by,
                merged,
                parties,
            } => {
                self.tell_call(&told, kind, released_by, merged.as_ref(), &parties, now, out);
            }
            Happening::CallRenamed { told, from } => {
                let parties: Vec<_> = self
                    .world
                    .connections(&told.call)
                    .map(|(device, _)| device.clone())
                    .collect();
                self.halves.merge(&from, &told.call, &parties);
                let half = self.halves.name(&told);
                self.tell_party(
                    Package::Call,
                    &told.party,
                    |user| Some(events::updated(&half, user)),
                    now,
                    out,
                );
            }
            Happening::Hoteling { guest, host, .. } => {
                let party = self.world.party(None, Some(&guest));
                let host = host.map(|host| self.user_id(host.as_str()));
                self.tell_party(
                    Package::Hoteling,
                    &party,
                    |_| Some(events::hoteling(host.as_deref())),
                    now,
                    out,
                );
            }
            Happening::Replaced(party) => self.tell_snapshot("CallSubscriptionEvent", &party, now, out),
            // Xsi-Events has no media, tells calls by their halves, and teams to nobody.
            Happening::MediaStarted(_)
            | Happening::MediaStopped(_)
            | Happening::CallBegan(_)
            | Happening::CallEnded { .. }
            | Happening::Team { .. } => {}
        }
    }

    fn tell_party(
        &mut self,
        package: Package,
        party: &Party,
        write: impl Fn(&str) -> Option<Element>,
        now: Instant,
        out: &mut Outbox,
    ) {
        for (id, user) in self.subscribers(package, party) {
            if let Some(data) = write(&user.0) {
                self.tell_subscription(&id, &user, "SubscriptionEvent", Some(data), now, out);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a call event says, and the two of every handler"
    )]
    fn tell_call(
        &mut self,
        told: &Told,
        kind: CallEventKind,
        released_by: Option<ReleasingParty>,
        merged: Option<&CallId>,
        parties: &[Extension],
        now: Instant,
        out: &mut Outbox,
    ) {
        let first = kind == CallEventKind::ServiceInitiated || kind == CallEventKind::Delivered;
        let was_idle = self.world.calls_of(&told.party.extension).len() <= 1;
        if first && was_idle && kind == CallEventKind::ServiceInitiated {
            self.tell_party(
                Package::Call,
                &told.party,
                |_| Some(events::hook_status(true)),
                now,
                out,
            );
        }
        if let Some(gone) = merged {
            self.halves.merge(gone, &told.call, parties);
        }
        let half = self.halves.name(told);
        let write = |user: &str| match kind {
            CallEventKind::Conferenced => Some(events::conference(&half, user, merged)),
            CallEventKind::Queued => Some(events::queued(&half, user)),
            kind => events::call_event(&half, user, kind, released_by),
        };
        self.tell_party(Package::Call, &told.party, write, now, out);
        if is_last(kind) {
            self.tell_released(told, kind, released_by, merged, now, out);
        }
    }

    /// What ends with a half: the one in a conference or transfer with it, and the hook status.
    fn tell_released(
        &mut self,
        told: &Told,
        kind: CallEventKind,
        released_by: Option<ReleasingParty>,
        merged: Option<&CallId>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let joined = self.halves.end(&told.party, &told.call);
        if let Some(call) = joined.as_ref().or(merged) {
            let other = Told {
                call: call.clone(),
                ..told.clone()
            };
            let write = |user: &str| events::call_event(&other, user, kind, released_by);
            self.tell_party(Package::Call, &told.party, write, now, out);
        }
        let calls = self.world.calls_of(&told.party.extension);
        if calls.iter().all(|other| other.call == told.call) {
            self.tell_party(
                Package::Call,
                &told.party,
                |_| Some(events::hook_status(false)),
                now,
                out,
            );
        }
    }

    /// All calls of a user, under the ids their halves have.
    pub fn snapshot(&mut self, data_type: &str, party: &Party, user: &str) -> Element {
        let calls = self.world.calls_of(&party.extension);
        let halves: Vec<_> = calls.iter().map(|told| self.halves.name(told)).collect();
        events::snapshot(data_type, &halves, user)
    }

    fn tell_snapshot(&mut self, data_type: &str, party: &Party, now: Instant, out: &mut Outbox) {
        for (id, user) in self.subscribers(Package::Call, party) {
            let data = self.snapshot(data_type, party, &user.0);
            self.tell_subscription(&id, &user, "SubscriptionEvent", Some(data), now, out);
        }
    }

    /// What a subscription begins with, and what it says anew when it is refreshed.
    pub fn tell_initially(&mut self, id: &str, now: Instant, out: &mut Outbox) {
        let Some(subscription) = self.subscriptions.get(id).filter(|own| !own.wide) else {
            return;
        };
        let (user, package) = (subscription.user.clone(), subscription.package);
        let party = self.party(&user);
        let data = match package {
            Package::Call => self.snapshot("CallSubscriptionEvent", &party, &user.0),
            Package::Agent => {
                let known = party.agent.as_ref().and_then(|agent| self.world.agent(agent));
                let state = known.map_or(AgentState::Logout, |agent| agent.state);
                events::agent("AgentSubscriptionEvent", "stateInfo", Some(state))
            }
            Package::Hoteling => {
                let host = self
                    .world
                    .host_of(&party.extension)
                    .map(|host| self.user_id(host.as_str()));
                events::hoteling(host.as_deref())
            }
            Package::Other => return,
        };
        self.tell_subscription(id, &user, "SubscriptionEvent", Some(data), now, out);
    }

    /// Who a user is in the script: an agent, or whoever sits at this extension or device.
    pub fn party(&self, user: &User) -> Party {
        let agent = AgentId::new(user.name());
        let named = self.world.agent(&agent).is_some().then_some(&agent);
        self.world
            .party(named, named.is_none().then(|| user.extension()).as_ref())
    }

    /// Ends a channel; with the last one of its set, the set's subscriptions end.
    pub fn end_channel(&mut self, id: &str, how: Option<CloseHow>, out: &mut Outbox) {
        let Some(channel) = self.channels.remove(id) else {
            return;
        };
        if let Some(how) = how {
            out.send(channel.connection, http::LAST_CHUNK.to_vec());
            out.close(channel.connection, how);
        }
        if !self.channels.values().any(|other| other.set == channel.set) {
            self.subscriptions
                .retain(|_, subscription| subscription.set != channel.set);
        }
    }

    fn subscriptions_of(&self, user: Option<&String>) -> Vec<String> {
        let meant = |own: &User| user.is_none_or(|user| user == own.name() || *user == own.0);
        let found = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| meant(&subscription.user));
        found.map(|(id, _)| id.clone()).collect()
    }

    pub fn end_subscription(&mut self, id: &str, now: Instant, out: &mut Outbox) {
        if let Some(user) = self.subscriptions.get(id).map(|own| own.user.clone()) {
            self.tell_subscription(id, &user, "SubscriptionTerminatedEvent", None, now, out);
            self.subscriptions.remove(id);
        }
    }

    fn terminate_channels(&mut self, side: Option<crate::Side>, now: Instant, out: &mut Outbox) {
        let meant = |channel: &Channel| side.is_none_or(|side| side.0 == channel.connection.side);
        let ended: Vec<_> = self
            .channels
            .iter()
            .filter(|(_, channel)| meant(channel))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            let item = events::channel_terminated(&self.new_id(), &id);
            self.write(&id, &item, now, out);
            self.flush(&id, out);
            self.end_channel(&id, Some(CloseHow::Fin), out);
        }
    }

    pub fn flush(&mut self, id: &str, out: &mut Outbox) {
        if let Some(channel) = self.channels.get_mut(id) {
            let held = channel.splitter.flush();
            if !held.is_empty() {
                out.send(channel.connection, held);
            }
        }
    }

    /// The application server's calls are gone, and it says so; or it only says again what is so.
    fn resync(&mut self, user: Option<&String>, forget: bool, now: Instant, out: &mut Outbox) {
        for id in self.subscriptions_of(user) {
            let narrow = |own: &&Subscription| own.package == Package::Call && !own.wide;
            let Some(subscription) = self.subscriptions.get(&id).filter(narrow) else {
                continue;
            };
            let user = subscription.user.clone();
            let party = self.party(&user);
            if forget {
                self.world.forget_calls(&party.extension);
            }
            let data_type = if forget {
                "CallSubscriptionEvent"
            } else {
                "CallSubscriptionResyncEvent"
            };
            let data = self.snapshot(data_type, &party, &user.0);
            self.tell_subscription(&id, &user, "SubscriptionEvent", Some(data), now, out);
        }
    }
}

impl Machine for Server {
    fn handle_connected(&mut self, connection: ConnectionId, _now: Instant) {
        self.connections.insert(connection, Framer::default());
    }

    fn handle_bytes(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        if let Some(framer) = self.connections.get_mut(&connection) {
            framer.push(bytes);
        }
        while let Some(framer) = self.connections.get_mut(&connection) {
            match framer.next() {
                Ok(Some(request)) => self.handle_request(connection, &request, now, out),
                Ok(None) => return,
                Err(bad) => {
                    out.note(Note::Bad);
                    out.send(connection, http::answer(bad.0, None, ""));
                    out.close(connection, CloseHow::Fin);
                    self.connections.remove(&connection);
                }
            }
        }
    }

    fn handle_closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        let gone = self
            .channels
            .iter()
            .find(|(_, channel)| channel.connection == connection);
        if let Some(id) = gone.map(|(id, _)| id.clone()) {
            self.end_channel(&id, None, &mut Outbox::default());
        }
    }

    fn handle_event(&mut self, event: CtiEvent, now: Instant, out: &mut Outbox) {
        self.play(event, now, out);
    }

    fn handle_fault(&mut self, fault: &Fault, now: Instant, out: &mut Outbox) {
        match fault {
            Fault::ChannelTerminated { side } => self.terminate_channels(*side, now, out),
            Fault::SubscriptionTerminated { user } => {
                for id in self.subscriptions_of(user.as_ref()) {
                    self.end_subscription(&id, now, out);
                }
            }
            Fault::SubscriptionExpired { user } => {
                for id in self.subscriptions_of(user.as_ref()) {
                    self.subscriptions.remove(&id);
                }
            }
            Fault::SequenceGap { user, count } => self.lost = Some((user.clone(), *count)),
            Fault::Failover { user } => self.resync(user.as_ref(), true, now, out),
            Fault::Resync { user } => self.resync(user.as_ref(), false, now, out),
            Fault::HeartbeatStatus { status, count } => self.heartbeat_status = Some((*status, *count)),
            Fault::Split { seed } => self.random = (*seed > 0).then(|| Random::from_seed(*seed)),
            other => tracing::warn!(?other, "a BroadWorks server knows no such fault"),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.look_after_channels(now, out);
        self.look_after_subscriptions(now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline()
    }
}

const fn is_last(kind: CallEventKind) -> bool {
    matches!(
        kind,
        CallEventKind::ConnectionCleared | CallEventKind::Diverted | CallEventKind::Transferred
    )
}

//! Requests of Xsi-Events and of those services of Xsi-Actions that hoteling needs.

use std::time::Duration;

use silentmon_proto::cti::{AgentState, AgentUpdate, Hoteling};
use silentmon_proto::ids::{AgentId, Extension};
use tokio::time::Instant;

use super::channels::{Channel, Package, Splitter, Subscription, User};
use super::events;
use super::http::{self, Request};
use super::server::Server;
use crate::CloseHow;
use crate::runtime::{ConnectionId, Note, Outbox};
use crate::xml::Element;

const ASYNC: &str = "com.broadsoft.async";
const EVENTS: &str = "com.broadsoft.xsi-events";
const ACTIONS: &str = "com.broadsoft.xsi-actions";
/// What is granted where nothing was asked.
const USUAL: u64 = 3600;

impl Server {
    pub(super) fn handle_request(&mut self, from: ConnectionId, request: &Request, now: Instant, out: &mut Outbox) {
        if let Some((user, password)) = &self.options.login
            && request.authorization.as_ref() != Some(&http::basic(user, password))
        {
            out.note(Note::SessionRefused);
            return out.send(from, http::answer(401, None, ""));
        }
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let body = Element::parse(&request.body);
        match (request.method.as_str(), path.as_slice()) {
            ("POST", [ASYNC, EVENTS, _, "channel"]) => self.open_channel(from, body.as_ref(), now, out),
            ("POST", [EVENTS, _, "channel", "eventresponse"]) => self.acknowledge(from, body.as_ref(), out),
            ("PUT", [EVENTS, _, "channel", id, "heartbeat"]) => self.heartbeat(from, id, now, out),
            ("PUT", [EVENTS, _, "channel", id]) => self.refresh_channel(from, id, body.as_ref(), now, out),
            ("DELETE", [EVENTS, _, "channel", id]) => self.delete_channel(from, id, out),
            ("GET", [EVENTS, _, "channelset", set]) => self.show_set(from, set, out),
            ("POST", [EVENTS, _, "user", user]) => self.subscribe(from, user, false, body.as_ref(), now, out),
            ("POST", [EVENTS, _, "serviceprovider" | "group", all, ..]) => {
                self.subscribe(from, all, true, body.as_ref(), now, out);
            }
            ("PUT", [EVENTS, _, "subscription", id]) => self.refresh_subscription(from, id, body.as_ref(), now, out),
            ("DELETE", [EVENTS, _, "subscription", id]) => self.unsubscribe(from, id, out),
            ("PUT", [ACTIONS, _, "user", user, "services", service]) => {
                self.modify(from, user, service, body.as_ref(), now, out);
            }
            _ => {
                out.request(from.side, "unknown", [("path", request.path.join("/"))]);
                out.send(from, http::answer(404, None, ""));
            }
        }
    }

    fn granted(&self, body: Option<&Element>) -> Duration {
        let asked = body
            .and_then(|body| body.at(&["expires"]))
            .and_then(|text| text.parse().ok());
        self.options
            .granted
            .unwrap_or(Duration::from_secs(asked.unwrap_or(USUAL)))
    }

    fn open_channel(&mut self, from: ConnectionId, body: Option<&Element>, now: Instant, out: &mut Outbox) {
        let text = |name: &str| body.and_then(|body| body.at(&[name])).unwrap_or_default();
        let set = text("channelSetId").to_owned();
        out.request(from.side, "OpenChannel", [("channelSetId", set.clone())]);
        if set.is_empty() {
            return out.send(from, http::answer(400, None, ""));
        }
        let granted = self.granted(body);
        let id = self.new_id();
        let channel = Channel {
            set,
            connection: from,
            priority: text("priority").parse().unwrap_or(1),
            weight: text("weight").parse().unwrap_or(50),
            expires: now + granted,
            heartbeat_until: now + self.options.heartbeat_limit,
            beat_at: now + self.options.stream_heartbeat,
            splitter: Splitter::default(),
        };
        out.send(from, http::stream(Some(&format!("xsp{}-{id}", from.side))));
        self.channels.insert(id.clone(), channel);
        let opened = Element::new("Channel")
            .with_text("channelId", &id)
            .with_text("expires", granted.as_secs());
        self.write(&id, &events::plain(opened), now, out);
        out.note(Note::SessionOpened(from.side));
    }

    fn heartbeat(&mut self, from: ConnectionId, id: &str, now: Instant, out: &mut Outbox) {
        out.note(Note::Heartbeat);
        let until = now + self.options.heartbeat_limit;
        let own = self
            .channels
            .get_mut(id)
            .filter(|channel| channel.connection.side == from.side);
        let status = match (&mut self.heartbeat_status, own) {
            (Some((status, left)), _) if *left > 0 => {
                *left -= 1;
                *status
            }
            (_, Some(channel)) => {
                channel.heartbeat_until = until;
                200
            }
            // Each XSP knows only its own channels.
            (_, None) => 404,
        };
        out.send(from, http::answer(status, None, ""));
        if matches!(status, 401 | 404) {
            self.end_channel(id, Some(CloseHow::Fin), out);
        }
    }

    fn refresh_channel(
        &mut self,
        from: ConnectionId,
        id: &str,
        body: Option<&Element>,
        now: Instant,
        out: &mut Outbox,
    ) {
        out.request(from.side, "RefreshChannel", [("channelId", id.to_owned())]);
        let granted = self.granted(body);
        let Some(channel) = self.channels.get_mut(id) else {
            return out.send(from, http::answer(404, None, ""));
        };
        channel.expires = now + granted;
        let document = Element::new("Channel")
            .with_text("channelId", id)
            .with_text("expires", granted.as_secs());
        out.send(from, http::answer(200, None, &events::plain(document)));
    }

    fn delete_channel(&mut self, from: ConnectionId, id: &str, out: &mut Outbox) {
        out.request(from.side, "DeleteChannel", [("channelId", id.to_owned())]);
        let status = if self.channels.contains_key(id) { 200 } else { 404 };
        out.send(from, http::answer(status, None, ""));
        self.end_channel(id, Some(CloseHow::Fin), out);
    }

    fn show_set(&self, from: ConnectionId, set: &str, out: &mut Outbox) {
        out.request(from.side, "ChannelSet", [("channelSetId", set.to_owned())]);
        let channels = self.channels.iter().filter(|(_, channel)| channel.set == set);
        let shown = channels.map(|(id, _)| Element::new("channel").with_text("channelId", id));
        let subscriptions = self.subscriptions.iter().filter(|(_, own)| own.set == set);
        let subscribed = subscriptions.map(|(id, _)| Element::new("subscription").with_text("subscriptionId", id));
        let document = Element::new("ChannelSet")
            .with_text("channelSetId", set)
            .with(Element::new("channels").with_all(shown))
            .with(Element::new("subscriptions").with_all(subscribed));
        out.send(from, http::answer(200, None, &events::plain(document)));
    }

    fn subscribe(
        &mut self,
        from: ConnectionId,
        user: &str,
        wide: bool,
        body: Option<&Element>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let text = |name: &str| body.and_then(|body| body.at(&[name])).unwrap_or_default().to_owned();
        let (package, set) = (text("event"), text("channelSetId"));
        out.request(
            from.side,
            "Subscribe",
            [("user", user.to_owned()), ("event", package.clone())],
        );
        if !self.channels.values().any(|channel| channel.set == set) {
            return out.send(from, http::answer(404, None, ""));
        }
        let granted = self.granted(body);
        let id = self.new_id();
        let subscription = Subscription {
            user: User(user.to_owned()),
            wide,
            package: Package::of(&package),
            set,
            application: text("applicationId"),
            expires: now + granted,
            sequence: 0,
            unacknowledged: std::collections::BTreeMap::new(),
        };
        self.subscriptions.insert(id.clone(), subscription);
        out.send(from, http::answer(200, None, &events::plain(shown(&id, granted))));
        self.tell_initially(&id, now, out);
    }

    fn refresh_subscription(
        &mut self,
        from: ConnectionId,
        id: &str,
        body: Option<&Element>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let user = self.subscriptions.get(id).map(|own| own.user.0.clone());
        out.request(from.side, "RefreshSubscription", [("user", user.unwrap_or_default())]);
        let granted = self.granted(body);
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return out.send(from, http::answer(404, None, ""));
        };
        subscription.expires = now + granted;
        out.send(from, http::answer(200, None, &events::plain(shown(id, granted))));
        self.tell_initially(id, now, out);
    }

    fn unsubscribe(&mut self, from: ConnectionId, id: &str, out: &mut Outbox) {
        let removed = self.subscriptions.remove(id);
        let user = removed.as_ref().map(|own| own.user.0.clone()).unwrap_or_default();
        out.request(from.side, "Unsubscribe", [("user", user)]);
        out.send(from, http::answer(if removed.is_some() { 200 } else { 404 }, None, ""));
    }

    fn acknowledge(&mut self, from: ConnectionId, body: Option<&Element>, out: &mut Outbox) {
        out.note(Note::Ack);
        let event = body.and_then(|body| body.at(&["eventID"])).unwrap_or_default();
        for subscription in self.subscriptions.values_mut() {
            subscription.unacknowledged.remove(event);
        }
        out.send(from, http::answer(200, None, ""));
    }

    /// A service of a user is changed, and those who listen are told.
    fn modify(
        &mut self,
        from: ConnectionId,
        user: &str,
        service: &str,
        body: Option<&Element>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let text = |name: &str| body.and_then(|body| body.at(&[name])).unwrap_or_default().to_owned();
        let user = User(user.to_owned());
        let own = ("user", user.0.clone());
        match service.to_ascii_lowercase().as_str() {
            "callcenter" => {
                let state = text("agentACDState");
                out.request(from.side, "SetAgentState", [own, ("state", state.clone())]);
                out.send(from, http::answer(200, None, ""));
                self.set_agent_state(&user, &state, now, out);
            }
            "callforwardingalways" => {
                let details = [
                    own,
                    ("active", text("active")),
                    ("address", text("forwardToPhoneNumber")),
                ];
                out.request(from.side, "ModifyCallForwardingAlways", details);
                out.send(from, http::answer(200, None, ""));
            }
            "hotelingguest" => {
                let (active, host) = (text("active"), text("hostUserId"));
                let details = [own, ("active", active.clone()), ("host", host.clone())];
                out.request(from.side, "ModifyHotelingGuest", details);
                out.send(from, http::answer(200, None, ""));
                let host = (active == "true").then(|| User(host).extension());
                let guest = user.extension();
                self.play(Hoteling { guest, host }.into(), now, out);
            }
            _ => {
                out.request(from.side, "unknown", [own, ("service", service.to_owned())]);
                out.send(from, http::answer(404, None, ""));
            }
        }
    }

    fn set_agent_state(&mut self, user: &User, state: &str, now: Instant, out: &mut Outbox) {
        let state = match state {
            "Sign-In" => AgentState::Login,
            "Sign-Out" => AgentState::Logout,
            "Available" => AgentState::Available,
            "Wrap-Up" => AgentState::WorkNotReady,
            _ => AgentState::NotReady,
        };
        let party = self.party(user);
        let update = AgentUpdate {
            extension: party.agent.is_none().then(|| Extension::new(user.name())),
            ..AgentUpdate::new(party.agent.unwrap_or_else(|| AgentId::new(user.name())), state)
        };
        self.play(update.into(), now, out);
    }
}

fn shown(id: &str, granted: Duration) -> Element {
    Element::new("Subscription")
        .with_text("subscriptionId", id)
        .with_text("expires", granted.as_secs())
}

//! The channels: one stream with each server, all of one channel set, kept alive by heartbeats.

use std::time::Duration;

use silentmon_proto::cti::xsi::{self, StreamItem, StreamReader, request};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use super::BroadWorksLink;
use super::requests::Purpose;
use super::timers::Timer;
use crate::link::backoff::Backoff;
use crate::link::{Closed, Endpoint, HttpRequestId};

/// How long a channel may take from its request to its id.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a heartbeat or refresh that failed without the channel being gone (protocol sheet 3.3).
pub(super) const RETRY: Duration = Duration::from_secs(10);
/// Shortest time from one refresh to the next, whatever the server grants.
const SHORTEST_REFRESH: Duration = Duration::from_secs(5);
/// Longest grant that is believed.
const LONGEST_GRANT: Duration = Duration::from_secs(30 * 86_400);

/// The channel with one server.
#[derive(Debug)]
pub(super) struct Channel {
    state: State,
    backoff: Backoff,
    /// Whether the last heartbeat went well: a stream may live on while its server takes no more requests.
    is_answered: bool,
    /// Why it isn't open.
    pub(super) failure: Option<Reason>,
}

#[derive(Debug)]
enum State {
    Closed,
    Opening(HttpRequestId, StreamReader),
    Open {
        stream: HttpRequestId,
        reader: StreamReader,
        channel_id: String,
    },
}

impl Channel {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: State::Closed,
            backoff: Backoff::new(seed),
            is_answered: true,
            failure: None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn channel_id(&self) -> Option<&str> {
        match &self.state {
            State::Open { channel_id, .. } => Some(channel_id),
            State::Closed | State::Opening(..) => None,
        }
    }

    fn stream(&self) -> Option<HttpRequestId> {
        match &self.state {
            State::Closed => None,
            State::Opening(stream, _) | State::Open { stream, .. } => Some(*stream),
        }
    }

    fn reader(&mut self) -> Option<&mut StreamReader> {
        match &mut self.state {
            State::Closed => None,
            State::Opening(_, reader) | State::Open { reader, .. } => Some(reader),
        }
    }
}

impl BroadWorksLink {
    /// Any server whose channel is open; one that answers is preferred, then the first of the configuration.
    pub(super) fn open_endpoint(&self) -> Option<Endpoint> {
        let channels = self.channels.iter().enumerate();
        let open = channels.filter(|(_, channel)| channel.is_open());
        open.min_by_key(|(_, channel)| !channel.is_answered)
            .map(|(at, _)| Endpoint(at))
    }

    pub(super) fn open_channel(&mut self, endpoint: Endpoint, now: Instant) {
        let priority = u32::try_from(endpoint.0).unwrap_or(u32::MAX).saturating_add(1);
        let config = &self.config;
        let expires = config.expires.as_secs();
        let body = request::open_channel(&config.channel_set_id(), priority, expires, &config.application_id);
        let path = ("POST", request::OPEN_CHANNEL.to_owned());
        let stream = self.send(Purpose::OpenChannel(endpoint), endpoint, path, body, now);
        if let Some(channel) = self.channels.get_mut(endpoint.0) {
            channel.state = State::Opening(stream, StreamReader::default());
        }
        self.timers.set(Timer::ChannelUnopened(endpoint), now + OPEN_LIMIT);
    }

    /// Status line and headers of a stream have come.
    pub(super) fn stream_begun(&mut self, endpoint: Endpoint, status: u16, now: Instant) {
        match status {
            200..=299 => {}
            401 | 403 => {
                let why = format!("the server refuses the channel with HTTP {status}: user or password is wrong");
                self.lose_channel(endpoint, Reason::new(Code::CtiRefused, why), now);
            }
            _ => self.lose_channel(endpoint, down(format!("asked for a channel, found HTTP {status}")), now),
        }
    }

    /// A part of a stream has come.
    pub(super) fn stream_bytes(&mut self, endpoint: Endpoint, bytes: &[u8], now: Instant) {
        let silence = self.config.heartbeat * self.config.silent_heartbeats.max(1);
        let Some(channel) = self.channels.get_mut(endpoint.0) else {
            return;
        };
        if channel.is_open() {
            self.timers.set(Timer::Silence(endpoint), now + silence);
        }
        let Some(reader) = channel.reader() else {
            return;
        };
        match reader.push(bytes) {
            Ok(documents) => {
                for document in documents {
                    self.handle_document(endpoint, &document, now);
                }
            }
            Err(oversized) => self.lose_channel(endpoint, down(oversized.to_string()), now),
        }
    }

    fn handle_document(&mut self, endpoint: Endpoint, document: &[u8], now: Instant) {
        // One before it may have ended the channel.
        let Some(channel) = self
            .channels
            .get(endpoint.0)
            .filter(|channel| channel.stream().is_some())
        else {
            return;
        };
        let is_open = channel.is_open();
        match StreamItem::parse(document) {
            Ok(StreamItem::Channel(granted)) if !is_open => self.channel_opened(endpoint, granted, now),
            Ok(StreamItem::Event(event)) => self.handle_event(endpoint, &event, now),
            Ok(StreamItem::Channel(_) | StreamItem::HeartBeat) => {}
            Ok(StreamItem::Other(name)) => tracing::debug!(link = %self.config.link, name, "unknown document"),
            Err(error) => {
                self.unreadable += 1;
                tracing::debug!(link = %self.config.link, %error, count = self.unreadable, "unreadable document");
            }
        }
    }

    fn channel_opened(&mut self, endpoint: Endpoint, granted: xsi::Channel, now: Instant) {
        let Some(channel) = self.channels.get_mut(endpoint.0) else {
            return;
        };
        if let State::Opening(stream, reader) = &mut channel.state {
            channel.state = State::Open {
                stream: *stream,
                reader: std::mem::take(reader),
                channel_id: granted.channel_id,
            };
        }
        channel.failure = None;
        channel.is_answered = true;
        let silence = self.config.heartbeat * self.config.silent_heartbeats.max(1);
        self.timers.clear(Timer::ChannelUnopened(endpoint));
        self.timers.set(Timer::Heartbeat(endpoint), now + self.config.heartbeat);
        self.timers.set(Timer::Silence(endpoint), now + silence);
        self.refresh_channel_later(endpoint, granted.expires, now);
        if self.channels.iter().filter(|channel| channel.is_open()).count() == 1 {
            self.subscribe_all(now);
        }
        self.update_status();
    }

    pub(super) fn send_heartbeat(&mut self, endpoint: Endpoint, now: Instant) {
        let Some(id) = self.channels.get(endpoint.0).and_then(Channel::channel_id) else {
            return;
        };
        let path = ("PUT", request::heartbeat(id));
        self.send(Purpose::Heartbeat(endpoint), endpoint, path, String::new(), now);
    }

    /// What became of a heartbeat; without a status it wasn't answered.
    pub(super) fn heartbeat_answered(&mut self, endpoint: Endpoint, status: Option<u16>, now: Instant) {
        match status {
            Some(200..=299) => {
                if let Some(channel) = self.channels.get_mut(endpoint.0) {
                    channel.backoff.succeeded();
                    channel.is_answered = true;
                }
                self.timers.set(Timer::Heartbeat(endpoint), now + self.config.heartbeat);
            }
            Some(status @ (401 | 404)) => {
                self.lose_channel(
                    endpoint,
                    down(format!("the channel is gone: HTTP {status} to its heartbeat")),
                    now,
                );
            }
            Some(_) | None => {
                if let Some(channel) = self.channels.get_mut(endpoint.0) {
                    channel.is_answered = false;
                }
                self.timers.set(Timer::Heartbeat(endpoint), now + RETRY);
            }
        }
    }

    pub(super) fn refresh_channel(&mut self, endpoint: Endpoint, now: Instant) {
        let Some(id) = self.channels.get(endpoint.0).and_then(Channel::channel_id) else {
            return;
        };
        let path = ("PUT", request::channel(id));
        let body = request::refresh_channel(self.config.expires.as_secs());
        self.send(Purpose::RefreshChannel(endpoint), endpoint, path, body, now);
    }

    /// What became of a refresh; without an answer the server said nothing.
    pub(super) fn channel_refreshed(&mut self, endpoint: Endpoint, answer: Option<(u16, &[u8])>, now: Instant) {
        match answer {
            Some((200..=299, body)) => self.refresh_channel_later(endpoint, xsi::event::granted(body), now),
            Some((status @ (401 | 404), _)) => {
                self.lose_channel(
                    endpoint,
                    down(format!("the channel is gone: HTTP {status} to its refresh")),
                    now,
                );
            }
            Some(_) | None => self.timers.set(Timer::RefreshChannel(endpoint), now + RETRY),
        }
    }

    fn refresh_channel_later(&mut self, endpoint: Endpoint, granted: Option<u64>, now: Instant) {
        let pause = half_of(granted, self.config.expires);
        self.timers.set(Timer::RefreshChannel(endpoint), now + pause);
    }

    /// A channel is of no more use: gives it up in good order and opens it anew after a pause.
    pub(super) fn lose_channel(&mut self, endpoint: Endpoint, why: Reason, now: Instant) {
        self.drop_channel(endpoint, now);
        let Some(channel) = self.channels.get_mut(endpoint.0) else {
            return;
        };
        tracing::debug!(link = %self.config.link, server = endpoint.0, %why, "channel lost");
        channel.failure = Some(why);
        let pause = channel.backoff.failed();
        self.timers.set(Timer::OpenChannel(endpoint), now + pause);
        self.update_status();
    }

    /// Ends a channel with all that is under way at its server. Subscriptions live as long as one channel does.
    pub(super) fn drop_channel(&mut self, endpoint: Endpoint, now: Instant) {
        for timer in [
            Timer::OpenChannel(endpoint),
            Timer::ChannelUnopened(endpoint),
            Timer::Heartbeat(endpoint),
            Timer::RefreshChannel(endpoint),
            Timer::Silence(endpoint),
        ] {
            self.timers.clear(timer);
        }
        let Some(channel) = self.channels.get_mut(endpoint.0) else {
            return;
        };
        let was = std::mem::replace(&mut channel.state, State::Closed);
        let given_up = self.requests.cancel_at(endpoint, &mut self.timers, now);
        if let State::Open { channel_id, .. } = was {
            let path = ("DELETE", request::channel(&channel_id));
            self.send(Purpose::DeleteChannel, endpoint, path, String::new(), now);
            if self.open_endpoint().is_none() {
                self.forget_subscriptions();
                self.fail_procedures();
            } else {
                // What it was about to deliver is lost, and a gap would show only with the next event.
                self.resync_all(now);
            }
        }
        for purpose in given_up {
            self.given_up(purpose, now);
        }
    }

    /// The stream ended, or couldn't be opened.
    pub(super) fn stream_ended(&mut self, endpoint: Endpoint, why: &Closed, now: Instant) {
        let code = match why {
            Closed::PlainPort(_) => Code::CtiPortIsPlain,
            Closed::Unreachable(_) | Closed::Tls(_) | Closed::ByPeer | Closed::Broken(_) => Code::CtiLinkDown,
        };
        self.lose_channel(endpoint, Reason::new(code, why.to_string()), now);
    }

    pub(super) fn channel_unopened(&mut self, endpoint: Endpoint, now: Instant) {
        let why = format!("no channel granted within {} s", OPEN_LIMIT.as_secs());
        self.lose_channel(endpoint, down(why), now);
    }

    pub(super) fn stream_silent(&mut self, endpoint: Endpoint, now: Instant) {
        let seconds = (self.config.heartbeat * self.config.silent_heartbeats.max(1)).as_secs();
        self.lose_channel(
            endpoint,
            down(format!("nothing came on the stream for {seconds} s")),
            now,
        );
    }
}

/// Half of what was granted, or else asked for.
pub(super) fn half_of(granted: Option<u64>, asked: Duration) -> Duration {
    let granted = granted.map_or(asked, Duration::from_secs);
    (granted.min(LONGEST_GRANT) / 2).max(SHORTEST_REFRESH)
}

pub(super) fn down(why: impl Into<String>) -> Reason {
    Reason::new(Code::CtiLinkDown, why)
}

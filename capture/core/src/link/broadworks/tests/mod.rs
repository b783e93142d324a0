//! The link against a server made of the protocol sheet's words, in virtual time.

mod calls;
mod channels;
mod hoteling;
mod subscriptions;

use std::collections::BTreeMap;
use std::time::Duration;

use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::reason::Code;
use silentmon_proto::time::Instant;

use super::{BroadWorksConfig, BroadWorksLink, MonitoredUser};
use crate::link::{Closed, Endpoint, HttpLink, HttpOutput, HttpRequest, HttpRequestId, Link, LinkCommand, LinkEvent};

const GRANTED: u64 = 600;

/// A link and the servers it speaks to.
struct Pair {
    link: BroadWorksLink,
    now: Instant,
    /// Requests that the test hasn't answered yet, oldest first.
    asked: Vec<HttpRequest>,
    cancelled: Vec<HttpRequestId>,
    /// The open stream of each server.
    streams: BTreeMap<Endpoint, HttpRequestId>,
    sequences: BTreeMap<String, u64>,
    events: u64,
}

impl Pair {
    fn of(endpoints: usize, users: Vec<MonitoredUser>) -> Self {
        let now = Instant::EPOCH + Duration::from_secs(1_000);
        let config = BroadWorksConfig::new("bw", endpoints, users, 7);
        let mut pair = Self {
            link: BroadWorksLink::new(config, now),
            now,
            asked: Vec::new(),
            cancelled: Vec::new(),
            streams: BTreeMap::new(),
            sequences: BTreeMap::new(),
            events: 0,
        };
        pair.collect();
        pair
    }

    /// One agent, one server, everything granted and its first events told.
    fn ready() -> Self {
        let mut pair = Self::of(1, vec![MonitoredUser::agent("mkern@d", "3001")]);
        pair.open(Endpoint(0));
        pair.grant_all();
        pair.told();
        pair
    }

    fn collect(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                HttpOutput::Request(request) => self.asked.push(request),
                HttpOutput::Cancel(id) => {
                    self.asked.retain(|request| request.id != id);
                    self.streams.retain(|_, stream| *stream != id);
                    self.cancelled.push(id);
                }
            }
        }
    }

    /// Takes the oldest request whose method and path contain these.
    fn take(&mut self, method: &str, path: &str) -> HttpRequest {
        let found = self
            .asked
            .iter()
            .position(|request| request.method == method && request.path.contains(path));
        let Some(at) = found else {
            panic!("no {method} {path} among {:#?}", self.asked);
        };
        self.asked.remove(at)
    }

    fn is_asked(&self, method: &str, path: &str) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|request| request.method == method && request.path.contains(path))
    }

    fn answer(&mut self, request: &HttpRequest, status: u16, body: &str) {
        self.link.handle_response(request.id, status, body.as_bytes(), self.now);
        self.collect();
    }

    fn fail(&mut self, request: &HttpRequest, why: Closed) {
        self.link.handle_ended(request.id, why, self.now);
        self.collect();
    }

    /// Lets a server grant its channel.
    fn open(&mut self, endpoint: Endpoint) {
        let at = self
            .asked
            .iter()
            .position(|request| request.streaming && request.endpoint == endpoint)
            .expect("a channel is asked for");
        let request = self.asked.remove(at);
        assert_eq!(
            request.path,
            "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel"
        );
        self.streams.insert(endpoint, request.id);
        self.answer(&request, 200, "");
        self.stream(
            endpoint,
            &format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Channel xmlns=\"http://schema.broadsoft.com/xsi\">\
                 <channelId>channel-{}</channelId><expires>{GRANTED}</expires></Channel>",
                endpoint.0
            ),
        );
    }

    /// Grants every subscription that is asked for: its id is user and package.
    fn grant_all(&mut self) {
        while self.is_asked("POST", "/user/") {
            let request = self.take("POST", "/user/");
            let id = subscription_id(&request);
            self.sequences.remove(&id);
            self.answer(&request, 200, &grant(&id));
        }
    }

    fn stream(&mut self, endpoint: Endpoint, text: &str) {
        let stream = self.streams[&endpoint];
        self.link.handle_body(stream, text.as_bytes(), self.now);
        self.collect();
    }

    /// An event of a subscription with the next sequence number, on the first server's stream.
    fn event(&mut self, subscription: &str, data_type: &str, data: &str) -> String {
        let number = self.sequences.get(subscription).copied().unwrap_or_default() + 1;
        self.numbered_event(subscription, number, data_type, data)
    }

    fn numbered_event(&mut self, subscription: &str, number: u64, data_type: &str, data: &str) -> String {
        self.sequences.insert(subscription.to_owned(), number);
        self.events += 1;
        let user = subscription.split('/').next().expect("a user");
        let text = format!(
            "<xsi:Event xmlns:xsi=\"http://schema.broadsoft.com/xsi\" \
             xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\" xsi1:type=\"xsi:SubscriptionEvent\">\
             <xsi:eventID>event-{}</xsi:eventID><xsi:sequenceNumber>{number}</xsi:sequenceNumber>\
             <xsi:userId>{user}</xsi:userId><xsi:subscriptionId>{subscription}</xsi:subscriptionId>\
             <xsi:targetId>{user}</xsi:targetId><xsi:eventData xsi1:type=\"xsi:{data_type}\">{data}</xsi:eventData>\
             </xsi:Event>",
            self.events
        );
        let endpoint = *self.streams.keys().next().expect("an open stream");
        self.stream(endpoint, &text);
        text
    }

    /// An event outside any subscription's sequence.
    fn outer_event(&mut self, kind: &str, content: &str) {
        self.events += 1;
        let text = format!(
            "<Event xmlns=\"http://schema.broadsoft.com/xsi\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" \
             i:type=\"{kind}\"><eventID>event-{}</eventID>{content}</Event>",
            self.events
        );
        let endpoint = *self.streams.keys().next().expect("an open stream");
        self.stream(endpoint, &text);
    }

    /// Time goes on, each deadline at its moment; the streams live and heartbeats are answered.
    fn pass(&mut self, seconds: u64) {
        self.pass_with(seconds, true);
    }

    /// Time goes on without a byte or an answer.
    fn pass_silently(&mut self, seconds: u64) {
        self.pass_with(seconds, false);
    }

    fn pass_with(&mut self, seconds: u64, lives: bool) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.link.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.link.handle_timeout(self.now);
            self.collect();
            while lives && self.is_asked("PUT", "/heartbeat") {
                let request = self.take("PUT", "/heartbeat");
                self.answer(&request, 200, "");
                self.stream(
                    request.endpoint,
                    "<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>",
                );
            }
        }
        self.now = end;
    }

    fn command(&mut self, command: LinkCommand) {
        self.link.handle_command(command, self.now);
        self.collect();
    }

    /// All that the link told since last asked.
    fn told(&mut self) -> Vec<LinkEvent> {
        std::iter::from_fn(|| self.link.poll_event()).collect()
    }

    /// The same, CTI events only.
    fn told_cti(&mut self) -> Vec<CtiEvent> {
        self.told()
            .into_iter()
            .filter_map(|event| match event {
                LinkEvent::Cti(event) => Some(event),
                LinkEvent::Done { .. } => None,
            })
            .collect()
    }

    /// Codes of the link's own events, `None` for up.
    fn told_status(&mut self) -> Vec<Option<Code>> {
        self.told_cti()
            .into_iter()
            .filter_map(|event| match event {
                CtiEvent::Link(LinkUpdate { down, .. }) => Some(down.map(|reason| reason.code)),
                _ => None,
            })
            .collect()
    }
}

fn subscription_id(request: &HttpRequest) -> String {
    let user = request.path.rsplit('/').next().expect("a user");
    let package = between(&request.body, "<event>", "</event>");
    format!("{user}/{package}")
}

fn grant(id: &str) -> String {
    format!(
        "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><subscriptionId>{id}</subscriptionId>\
         <expires>{GRANTED}</expires></Subscription>"
    )
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).expect("its beginning").1;
    rest.split_once(to).expect("its end").0
}

/// A `call` element.
fn call(id: &str, state: &str, more: &str) -> String {
    format!("<xsi:call><xsi:callId>{id}</xsi:callId><xsi:state>{state}</xsi:state>{more}</xsi:call>")
}

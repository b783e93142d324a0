//! BroadWorks Xsi-Events: a set of channels, one with each server, and a subscription for each user and package
//! (protocol sheet 3).
//!
//! What its events mean is told by `mapping`; the sequence of a guest's sign-in by `hoteling`.

mod channel;
mod config;
mod events;
mod hoteling;
mod mapping;
mod requests;
mod subscription;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use silentmon_proto::cti::{CtiEvent, LinkUpdate};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::time::Instant;

use self::channel::{Channel, down};
pub use self::config::{BroadWorksConfig, MonitoredUser, UserKind};
use self::events::{Seen, User};
use self::hoteling::Procedure;
use self::requests::{Purpose, Requests};
use self::subscription::{Package, Subscription};
use self::timers::{Timer, Timers};
use super::{Closed, Endpoint, HttpLink, HttpOutput, HttpRequestId, Link, LinkCommand, LinkEvent, SuperviseAction};

/// See the module.
#[derive(Debug)]
pub struct BroadWorksLink {
    config: BroadWorksConfig,
    channels: Vec<Channel>,
    users: Vec<User>,
    /// Users by id in lower case.
    user_ids: BTreeMap<String, usize>,
    subscriptions: Vec<Subscription>,
    subscription_ids: BTreeMap<String, usize>,
    /// Subscriptions without which the link is of no use: those not answered yet, and those in force.
    unanswered: BTreeSet<usize>,
    in_force: BTreeSet<usize>,
    /// HTTP status of the last refusal of such a one.
    refusal: Option<u16>,
    procedures: BTreeMap<u64, Procedure>,
    seen: Seen,
    requests: Requests,
    timers: Timers,
    events: VecDeque<LinkEvent>,
    status: Status,
    unreadable: u64,
    is_closing: bool,
}

/// What was last told of the link itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    Unknown,
    Up,
    Down(Code),
}

impl BroadWorksLink {
    /// A link that opens its channels at once.
    pub fn new(config: BroadWorksConfig, now: Instant) -> Self {
        let mut link = Self {
            channels: (0_u64..)
                .take(config.endpoints)
                .map(|number| Channel::new(config.instance ^ number.rotate_left(32)))
                .collect(),
            users: Vec::with_capacity(config.users.len()),
            user_ids: BTreeMap::new(),
            subscriptions: Vec::new(),
            subscription_ids: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            in_force: BTreeSet::new(),
            refusal: None,
            procedures: BTreeMap::new(),
            seen: Seen::default(),
            requests: Requests::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            status: Status::Unknown,
            unreadable: 0,
            is_closing: false,
            config,
        };
        link.add_users();
        link.forget_subscriptions();
        for endpoint in 0..link.channels.len() {
            link.open_channel(Endpoint(endpoint), now);
        }
        link
    }

    fn add_users(&mut self) {
        for config in self.config.users.clone() {
            let user = self.users.len();
            let first = self.subscriptions.len();
            for &package in Package::of_kind(config.kind) {
                let seed = self.config.instance.wrapping_add(self.subscriptions.len() as u64);
                self.subscriptions.push(Subscription::new(user, package, seed));
            }
            self.user_ids.insert(config.user_id.to_ascii_lowercase(), user);
            self.users.push(User {
                config,
                subscriptions: (first..self.subscriptions.len()).collect(),
                calls: BTreeMap::new(),
                acd_state: None,
            });
        }
    }

    /// Documents of the stream that couldn't be read.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn send(
        &mut self,
        purpose: Purpose,
        endpoint: Endpoint,
        path: (&'static str, String),
        body: String,
        now: Instant,
    ) -> HttpRequestId {
        let timing = (&mut self.timers, now);
        self.requests.send(purpose, endpoint, path, body, timing)
    }

    fn tell(&mut self, event: impl Into<CtiEvent>) {
        self.events.push_back(LinkEvent::Cti(event.into()));
    }

    /// Tells when the link comes up, breaks, or breaks for another reason.
    fn update_status(&mut self) {
        let Some(present) = self.present_status() else {
            return;
        };
        let status = match &present {
            Ok(()) => Status::Up,
            Err(reason) => Status::Down(reason.code),
        };
        if self.status != status {
            self.status = status;
            let link = self.config.link.clone();
            let down = present.err();
            self.tell(LinkUpdate { link, down });
        }
    }

    /// Whether events flow, and if not, why; nothing while that is open.
    fn present_status(&self) -> Option<Result<(), Reason>> {
        if self.open_endpoint().is_none() {
            let failures = self.channels.iter().filter_map(|channel| channel.failure.as_ref());
            return failures.max_by_key(|reason| reason.code).cloned().map(Err);
        }
        if !self.unanswered.is_empty() {
            return None;
        }
        if !self.in_force.is_empty() || self.users.is_empty() {
            return Some(Ok(()));
        }
        Some(Err(match self.refusal {
            Some(status) => {
                let why = format!("the server refuses every subscription, the last with HTTP {status}");
                Reason::new(Code::CtiRefused, why)
            }
            None => down("no subscription is in force"),
        }))
    }

    /// An answer came, with its body unless it streams.
    fn answered(&mut self, purpose: Purpose, status: u16, body: &[u8], now: Instant) {
        let answer = Some((status, body));
        match purpose {
            Purpose::OpenChannel(endpoint) => self.stream_begun(endpoint, status, now),
            Purpose::Heartbeat(endpoint) => self.heartbeat_answered(endpoint, Some(status), now),
            Purpose::RefreshChannel(endpoint) => self.channel_refreshed(endpoint, answer, now),
            Purpose::Subscribe(index) => self.subscribed(index, answer, now),
            Purpose::RefreshSubscription(index) => self.subscription_refreshed(index, answer, now),
            Purpose::Hoteling(number) => {
                let failed = (!(200..=299).contains(&status)).then(|| format!("HTTP {status}"));
                self.hoteling_answered(number, failed, now);
            }
            // Where the server misses an acknowledgement it ends the subscription, and says so.
            Purpose::DeleteChannel | Purpose::Acknowledge => {}
        }
    }

    /// No answer came, or a stream ended.
    fn failed(&mut self, purpose: Purpose, why: &Closed, now: Instant) {
        match purpose {
            Purpose::OpenChannel(endpoint) => self.stream_ended(endpoint, why, now),
            Purpose::Heartbeat(endpoint) => self.heartbeat_answered(endpoint, None, now),
            Purpose::RefreshChannel(endpoint) => self.channel_refreshed(endpoint, None, now),
            Purpose::Subscribe(index) => self.subscribed(index, None, now),
            Purpose::RefreshSubscription(index) => self.subscription_refreshed(index, None, now),
            Purpose::Hoteling(number) => self.hoteling_answered(number, Some(why.to_string()), now),
            Purpose::DeleteChannel | Purpose::Acknowledge => {}
        }
    }

    /// A request was given up because its server's channel is lost; another server may answer it.
    fn given_up(&mut self, purpose: Purpose, now: Instant) {
        let has_other = self.open_endpoint().is_some();
        match purpose {
            Purpose::Subscribe(index) if has_other => self.subscribed(index, None, now),
            Purpose::RefreshSubscription(index) if has_other => self.subscription_refreshed(index, None, now),
            Purpose::Hoteling(number) => {
                self.hoteling_answered(number, Some("the channel to the server was lost".to_owned()), now);
            }
            Purpose::Subscribe(_)
            | Purpose::RefreshSubscription(_)
            | Purpose::OpenChannel(_)
            | Purpose::Heartbeat(_)
            | Purpose::RefreshChannel(_)
            | Purpose::DeleteChannel
            | Purpose::Acknowledge => {}
        }
    }

    fn reconnect(&mut self, now: Instant) {
        for endpoint in (0..self.channels.len()).map(Endpoint) {
            self.lose_channel(endpoint, down("the session is being opened anew"), now);
            self.timers.set(Timer::OpenChannel(endpoint), now);
        }
    }

    fn handle_timer(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::OpenChannel(endpoint) => self.open_channel(endpoint, now),
            Timer::ChannelUnopened(endpoint) => self.channel_unopened(endpoint, now),
            Timer::Heartbeat(endpoint) => self.send_heartbeat(endpoint, now),
            Timer::RefreshChannel(endpoint) => self.refresh_channel(endpoint, now),
            Timer::Silence(endpoint) => self.stream_silent(endpoint, now),
            Timer::Subscription(index) => self.subscription_due(index, now),
            Timer::Request(id) => {
                if let Some(purpose) = self.requests.cancel(id, &mut self.timers, now)
                    && !self.is_closing
                {
                    let seconds = requests::ANSWER_LIMIT.as_secs();
                    self.failed(purpose, &Closed::Broken(format!("no answer within {seconds} s")), now);
                }
            }
            Timer::Hoteling(number) => self.hoteling_timed_out(number, now),
        }
    }
}

impl Link for BroadWorksLink {
    fn controls(&self) -> &'static [SuperviseAction] {
        &[]
    }

    fn handle_command(&mut self, command: LinkCommand, now: Instant) {
        match command {
            _ if self.is_closing => {}
            LinkCommand::Supervise(supervise) => {
                let why = "BroadWorks Xsi-Events has no request that brings a supervisor into a call; \
                           use Directed Call Pickup with Barge-in at the supervisor's phone";
                self.done(supervise.number, Err(why.to_owned()));
            }
            LinkCommand::SnapshotDevice(device) => {
                let user = self.user_by_device(&device).and_then(|user| self.users.get(user));
                let calls = user.and_then(|user| user.subscriptions.first().copied());
                if let Some(index) = calls {
                    self.resync(index, now);
                }
            }
            LinkCommand::Hoteling(request) => self.start_hoteling(&request, now),
            LinkCommand::Reconnect => self.reconnect(now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            self.handle_timer(timer, now);
        }
    }

    fn close(&mut self, now: Instant) {
        self.is_closing = true;
        for endpoint in (0..self.channels.len()).map(Endpoint) {
            self.drop_channel(endpoint, now);
        }
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}

impl HttpLink for BroadWorksLink {
    fn handle_response(&mut self, request: HttpRequestId, status: u16, body: &[u8], now: Instant) {
        let purpose = match self.requests.purpose(request) {
            // Its body is still to come.
            Some(purpose @ Purpose::OpenChannel(_)) => Some(purpose),
            _ => self.requests.finished(request, &mut self.timers, now),
        };
        if let Some(purpose) = purpose.filter(|_| !self.is_closing) {
            self.answered(purpose, status, body, now);
        }
    }

    fn handle_body(&mut self, request: HttpRequestId, bytes: &[u8], now: Instant) {
        if let Some(Purpose::OpenChannel(endpoint)) = self.requests.purpose(request) {
            self.stream_bytes(endpoint, bytes, now);
        }
    }

    fn handle_ended(&mut self, request: HttpRequestId, why: Closed, now: Instant) {
        let purpose = self.requests.finished(request, &mut self.timers, now);
        if let Some(purpose) = purpose.filter(|_| !self.is_closing) {
            self.failed(purpose, &why, now);
        }
    }

    fn poll_output(&mut self) -> Option<HttpOutput> {
        self.requests.poll_output()
    }
}

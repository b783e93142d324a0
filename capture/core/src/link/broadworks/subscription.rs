//! Subscriptions: one for each user and package, refreshed at half of what was granted, made anew when they end.

use std::time::Duration;

use silentmon_proto::cti::xsi::{self, EventData, request};
use silentmon_proto::cti::{AgentState, AgentUpdate};
use silentmon_proto::time::Instant;

use super::BroadWorksLink;
use super::channel::{RETRY, half_of};
use super::config::UserKind;
use super::requests::Purpose;
use super::timers::Timer;
use crate::link::backoff::Backoff;

/// The pause after a subscription was refused: the user doesn't exist, which somebody may change.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);
/// The same where the user lacks a service that few have.
const WITHOUT_SERVICE: Duration = Duration::from_secs(3600);
/// Shortest time from one request for a user's state to the next.
const BETWEEN_RESYNCS: Duration = Duration::from_secs(1);

/// What events a subscription is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    AdvancedCall,
    CallCenterAgent,
    HotelingGuest,
    CallCenterQueue,
}

impl Package {
    pub(super) const fn of_kind(kind: UserKind) -> &'static [Self] {
        match kind {
            UserKind::Agent => &[Self::AdvancedCall, Self::CallCenterAgent, Self::HotelingGuest],
            UserKind::Queue => &[Self::CallCenterQueue],
        }
    }

    /// The package that brings such data; absent where several could.
    pub(super) const fn of_data(data: &EventData) -> Option<Self> {
        Some(match data {
            EventData::CallSubscription(_) | EventData::Hook(_) | EventData::Call(..) | EventData::Conference(..) => {
                Self::AdvancedCall
            }
            EventData::AgentSubscription(_) | EventData::AgentState(_) | EventData::AgentJoinUpdate => {
                Self::CallCenterAgent
            }
            EventData::Hoteling(_) => Self::HotelingGuest,
            EventData::Queue(..) => Self::CallCenterQueue,
            EventData::CallCenterMonitoring | EventData::Service { .. } | EventData::Other(_) => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::AdvancedCall => "Advanced Call",
            Self::CallCenterAgent => "Call Center Agent",
            Self::HotelingGuest => "Hoteling Guest",
            Self::CallCenterQueue => "Call Center Queue",
        }
    }

    /// Whether the link is of use only with it.
    const fn is_essential(self) -> bool {
        matches!(self, Self::AdvancedCall | Self::CallCenterQueue)
    }
}

/// A subscription of a user to a package.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) user: usize,
    pub(super) package: Package,
    pub(super) state: State,
    /// Sequence number of its last event.
    pub(super) sequence: Option<u64>,
    /// A snapshot was asked for and hasn't come yet.
    pub(super) awaits_snapshot: bool,
    refresh: Refresh,
    last_refresh: Option<Instant>,
    backoff: Backoff,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// To be asked for once a channel is open and its pause is over.
    Wanted,
    /// Asked for; its first event may come before the answer, and tell its id.
    Requested(Option<String>),
    Granted(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    Idle,
    UnderWay,
    /// Under way, and wanted once more.
    Again,
}

impl Subscription {
    pub(super) fn new(user: usize, package: Package, seed: u64) -> Self {
        Self {
            user,
            package,
            state: State::Wanted,
            sequence: None,
            awaits_snapshot: false,
            refresh: Refresh::Idle,
            last_refresh: None,
            backoff: Backoff::new(seed),
        }
    }

    fn id(&self) -> Option<&str> {
        match &self.state {
            State::Wanted => None,
            State::Requested(id) => id.as_deref(),
            State::Granted(id) => Some(id),
        }
    }
}

impl BroadWorksLink {
    /// Asks for all that is wanted: the first channel is open.
    pub(super) fn subscribe_all(&mut self, now: Instant) {
        for index in 0..self.subscriptions.len() {
            let is_wanted = self
                .subscriptions
                .get(index)
                .is_some_and(|subscription| subscription.state == State::Wanted);
            if is_wanted {
                self.subscribe(index, now);
            }
        }
    }

    /// A subscription's time has come: asks for it, or refreshes it.
    pub(super) fn subscription_due(&mut self, index: usize, now: Instant) {
        match self.subscriptions.get(index).map(|subscription| &subscription.state) {
            Some(State::Wanted) => self.subscribe(index, now),
            Some(State::Granted(_)) => self.refresh_subscription(index, now),
            Some(State::Requested(_)) | None => {}
        }
    }

    fn subscribe(&mut self, index: usize, now: Instant) {
        let Some(endpoint) = self.open_endpoint() else {
            return;
        };
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let Some(user) = self.users.get(subscription.user) else {
            return;
        };
        subscription.state = State::Requested(None);
        subscription.sequence = None;
        subscription.awaits_snapshot = true;
        subscription.refresh = Refresh::Idle;
        let config = &self.config;
        let body = request::subscribe(
            subscription.package.name(),
            config.expires.as_secs(),
            &config.channel_set_id(),
            &config.application_id,
        );
        let path = ("POST", request::user(&user.config.user_id));
        self.timers.clear(Timer::Subscription(index));
        self.send(Purpose::Subscribe(index), endpoint, path, body, now);
    }

    /// What became of a request for a subscription; without an answer the server said nothing.
    pub(super) fn subscribed(&mut self, index: usize, answer: Option<(u16, &[u8])>, now: Instant) {
        if answer.is_some() {
            self.unanswered.remove(&index);
        }
        match answer {
            Some((200..=299, body)) => match xsi::Subscription::parse(body) {
                Ok(granted) => self.granted(index, granted, now),
                Err(error) => {
                    tracing::debug!(link = %self.config.link, %error, "unreadable grant of a subscription");
                    self.subscribe_later(index, None, now);
                }
            },
            Some((status @ 400..=499, _)) => {
                tracing::debug!(link = %self.config.link, status, "subscription refused");
                self.refused(index, status, now);
            }
            Some(_) | None => self.subscribe_later(index, None, now),
        }
        self.update_status();
    }

    fn granted(&mut self, index: usize, granted: xsi::Subscription, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        subscription.backoff.succeeded();
        subscription.last_refresh = Some(now);
        // What came early was then of an older subscription, which the server hadn't ended yet.
        if let Some(early) = subscription.id().filter(|early| *early != granted.subscription_id) {
            self.subscription_ids.remove(early);
            subscription.sequence = None;
        }
        self.subscription_ids.insert(granted.subscription_id.clone(), index);
        subscription.state = State::Granted(granted.subscription_id);
        if subscription.package.is_essential() {
            self.in_force.insert(index);
        }
        let again = std::mem::replace(&mut subscription.refresh, Refresh::Idle) == Refresh::Again;
        let pause = if again && subscription.awaits_snapshot {
            BETWEEN_RESYNCS
        } else {
            half_of(granted.expires, self.config.expires)
        };
        self.timers.set(Timer::Subscription(index), now + pause);
    }

    fn refused(&mut self, index: usize, status: u16, now: Instant) {
        let Some(subscription) = self.subscriptions.get(index) else {
            return;
        };
        let (package, user) = (subscription.package, subscription.user);
        let pause = if package.is_essential() {
            AFTER_REFUSAL
        } else {
            WITHOUT_SERVICE
        };
        if package.is_essential() {
            self.refusal = Some(status);
        }
        self.subscribe_later(index, Some(pause), now);
        let user = self.users.get(user).map(|user| &user.config);
        // Somebody without call centres has no state that would make him known.
        if let Some(user) = user.filter(|_| package == Package::CallCenterAgent)
            && let Some(agent) = user.agent_id()
        {
            self.tell(AgentUpdate {
                extension: Some(user.extension.clone()),
                ..AgentUpdate::new(agent.as_str(), AgentState::Unknown)
            });
        }
    }

    /// A subscription isn't in force: asks for it after `pause`, or else after a back-off.
    pub(super) fn subscribe_later(&mut self, index: usize, pause: Option<Duration>, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        if let Some(id) = subscription.id() {
            self.subscription_ids.remove(id);
        }
        subscription.state = State::Wanted;
        self.in_force.remove(&index);
        let pause = pause.unwrap_or_else(|| subscription.backoff.failed());
        self.timers.set(Timer::Subscription(index), now + pause);
        self.update_status();
    }

    /// Asks the server for the state of a subscription's user anew, by updating the subscription; not too often.
    pub(super) fn resync(&mut self, index: usize, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        // What is asked for already brings the state with it.
        if !matches!(subscription.state, State::Granted(_)) {
            return;
        }
        if subscription.refresh != Refresh::Idle {
            subscription.refresh = Refresh::Again;
            return;
        }
        let earliest = subscription.last_refresh.map_or(now, |last| last + BETWEEN_RESYNCS);
        if now < earliest {
            self.timers.set(Timer::Subscription(index), earliest);
        } else {
            self.refresh_subscription(index, now);
        }
    }

    /// Asks for the state of every subscription in force: one of the channels is gone, and what it was about to deliver.
    /// That may have been the first state of one that is being asked for.
    pub(super) fn resync_all(&mut self, now: Instant) {
        for index in 0..self.subscriptions.len() {
            if let Some(subscription) = self.subscriptions.get_mut(index)
                && matches!(subscription.state, State::Requested(_))
            {
                subscription.refresh = Refresh::Again;
            }
            self.resync(index, now);
        }
    }

    fn refresh_subscription(&mut self, index: usize, now: Instant) {
        let Some(endpoint) = self.open_endpoint() else {
            return;
        };
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let State::Granted(id) = &subscription.state else {
            return;
        };
        let path = ("PUT", request::subscription(id));
        subscription.refresh = Refresh::UnderWay;
        subscription.last_refresh = Some(now);
        subscription.awaits_snapshot = true;
        let body = request::refresh_subscription(self.config.expires.as_secs());
        self.timers.clear(Timer::Subscription(index));
        self.send(Purpose::RefreshSubscription(index), endpoint, path, body, now);
    }

    /// What became of a refresh; without an answer the server said nothing.
    pub(super) fn subscription_refreshed(&mut self, index: usize, answer: Option<(u16, &[u8])>, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let again = std::mem::replace(&mut subscription.refresh, Refresh::Idle) == Refresh::Again;
        // It may have ended meanwhile.
        if !matches!(subscription.state, State::Granted(_)) {
            return;
        }
        match answer {
            Some((200..=299, _)) if again => self.resync(index, now),
            Some((200..=299, body)) => {
                let pause = half_of(xsi::event::granted(body), self.config.expires);
                self.timers.set(Timer::Subscription(index), now + pause);
            }
            Some((400..=499, _)) => self.subscribe_later(index, None, now),
            Some(_) | None => self.timers.set(Timer::Subscription(index), now + RETRY),
        }
    }

    /// The last channel is gone, and with it every subscription.
    pub(super) fn forget_subscriptions(&mut self) {
        self.subscription_ids.clear();
        self.in_force.clear();
        self.unanswered.clear();
        self.refusal = None;
        for (index, subscription) in self.subscriptions.iter_mut().enumerate() {
            subscription.state = State::Wanted;
            subscription.refresh = Refresh::Idle;
            self.timers.clear(Timer::Subscription(index));
            if subscription.package.is_essential() {
                self.unanswered.insert(index);
            }
        }
    }
}

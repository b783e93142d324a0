//! What is to happen when.

use std::collections::{BTreeMap, BTreeSet};

use silentmon_proto::time::Instant;

use crate::link::{Endpoint, HttpRequestId};

/// What waits for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Open the channel.
    OpenChannel(Endpoint),
    /// Give up opening the channel.
    ChannelUnopened(Endpoint),
    Heartbeat(Endpoint),
    RefreshChannel(Endpoint),
    /// The stream counts as dead.
    Silence(Endpoint),
    /// Ask for the subscription, or refresh it.
    Subscription(usize),
    /// Give up a request.
    Request(HttpRequestId),
    /// Give up a hoteling procedure.
    Hoteling(u64),
}

/// See the module. Each timer has one time at most.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_timer: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.clear(timer);
        self.by_timer.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        (at <= now).then(|| {
            self.clear(timer);
            timer
        })
    }
}

//! Requests under way and waiting: heartbeats at once, acknowledgements before all else, no more at a time than a server
//! bears.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use silentmon_proto::time::Instant;

use super::timers::{Timer, Timers};
use crate::link::{Endpoint, HttpOutput, HttpRequest, HttpRequestId};

/// How long an answer may take.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Ordinary requests under way at a time.
const MOST_UNDER_WAY: usize = 16;
/// Acknowledgements that may wait; beyond, the oldest are dropped and the server ends the subscription, which is then
/// made anew.
const MOST_ACKNOWLEDGEMENTS: usize = 10_000;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    OpenChannel(Endpoint),
    Heartbeat(Endpoint),
    RefreshChannel(Endpoint),
    DeleteChannel,
    Acknowledge,
    Subscribe(usize),
    RefreshSubscription(usize),
    /// A step of the hoteling procedure of this number.
    Hoteling(u64),
}

impl Purpose {
    /// Whether the request goes out at once, whatever else is under way.
    const fn is_urgent(self) -> bool {
        matches!(
            self,
            Self::OpenChannel(_) | Self::Heartbeat(_) | Self::RefreshChannel(_) | Self::DeleteChannel
        )
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Requests {
    numbered: u64,
    under_way: BTreeMap<HttpRequestId, (Purpose, Endpoint)>,
    ordinary: usize,
    acknowledgements: VecDeque<(Purpose, HttpRequest)>,
    others: VecDeque<(Purpose, HttpRequest)>,
    outputs: VecDeque<HttpOutput>,
    dropped_acknowledgements: u64,
}

impl Requests {
    /// Sends a request as soon as may be.
    pub(super) fn send(
        &mut self,
        purpose: Purpose,
        endpoint: Endpoint,
        (method, path): (&'static str, String),
        body: String,
        (timers, now): (&mut Timers, Instant),
    ) -> HttpRequestId {
        self.numbered += 1;
        let id = HttpRequestId(self.numbered);
        let request = HttpRequest {
            id,
            endpoint,
            method,
            path,
            body,
            streaming: matches!(purpose, Purpose::OpenChannel(_)),
        };
        if purpose.is_urgent() {
            self.put_out(purpose, request, timers, now);
        } else if purpose == Purpose::Acknowledge {
            if self.acknowledgements.len() >= MOST_ACKNOWLEDGEMENTS {
                self.acknowledgements.pop_front();
                self.dropped_acknowledgements += 1;
                tracing::debug!(
                    dropped = self.dropped_acknowledgements,
                    "too many acknowledgements wait"
                );
            }
            self.acknowledgements.push_back((purpose, request));
        } else {
            self.others.push_back((purpose, request));
        }
        self.go_on(timers, now);
        id
    }

    /// The answer to a request has come, or won't: tells what it was for, unless it had been given up.
    pub(super) fn finished(&mut self, id: HttpRequestId, timers: &mut Timers, now: Instant) -> Option<Purpose> {
        let purpose = self.forget(id, timers)?;
        self.go_on(timers, now);
        Some(purpose)
    }

    /// What a request under way is for.
    pub(super) fn purpose(&self, id: HttpRequestId) -> Option<Purpose> {
        self.under_way.get(&id).map(|(purpose, _)| *purpose)
    }

    /// Gives up a request under way.
    pub(super) fn cancel(&mut self, id: HttpRequestId, timers: &mut Timers, now: Instant) -> Option<Purpose> {
        let purpose = self.forget(id, timers)?;
        self.outputs.push_back(HttpOutput::Cancel(id));
        self.go_on(timers, now);
        Some(purpose)
    }

    /// Gives up all that is under way or waits for a server, but its goodbyes, and tells what it was for.
    pub(super) fn cancel_at(&mut self, endpoint: Endpoint, timers: &mut Timers, now: Instant) -> Vec<Purpose> {
        let doomed: Vec<_> = self
            .under_way
            .iter()
            .filter(|(_, (purpose, at))| *at == endpoint && *purpose != Purpose::DeleteChannel)
            .map(|(id, _)| *id)
            .collect();
        let mut given_up = Vec::new();
        self.acknowledgements
            .retain(|(_, request)| request.endpoint != endpoint);
        self.others.retain(|(purpose, request)| {
            let stays = request.endpoint != endpoint;
            if !stays {
                given_up.push(*purpose);
            }
            stays
        });
        for id in doomed {
            given_up.extend(self.cancel(id, timers, now));
        }
        given_up
    }

    pub(super) fn poll_output(&mut self) -> Option<HttpOutput> {
        self.outputs.pop_front()
    }

    fn forget(&mut self, id: HttpRequestId, timers: &mut Timers) -> Option<Purpose> {
        let (purpose, _) = self.under_way.remove(&id)?;
        timers.clear(Timer::Request(id));
        if !purpose.is_urgent() {
            self.ordinary -= 1;
        }
        Some(purpose)
    }

    fn go_on(&mut self, timers: &mut Timers, now: Instant) {
        while self.ordinary < MOST_UNDER_WAY {
            let Some((purpose, request)) = self.acknowledgements.pop_front().or_else(|| self.others.pop_front()) else {
                return;
            };
            self.ordinary += 1;
            self.put_out(purpose, request, timers, now);
        }
    }

    fn put_out(&mut self, purpose: Purpose, request: HttpRequest, timers: &mut Timers, now: Instant) {
        self.under_way.insert(request.id, (purpose, request.endpoint));
        // A streaming answer never ends; how long it may take to begin is the channel's business.
        if !request.streaming {
            timers.set(Timer::Request(request.id), now + ANSWER_LIMIT);
        }
        self.outputs.push_back(HttpOutput::Request(request));
    }
}

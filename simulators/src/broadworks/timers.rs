//! What is due: heartbeats of streams, ends of what wasn't refreshed, beaten or acknowledged.

use tokio::time::Instant;

use super::channels::{Channel, Subscription};
use super::events;
use super::server::Server;
use crate::CloseHow;
use crate::runtime::Outbox;

impl Server {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_channel = |channel: &Channel| {
            let times = [channel.expires, channel.heartbeat_until, channel.beat_at];
            times.into_iter().chain(channel.splitter.flush_at).min()
        };
        let of_subscription = |subscription: &Subscription| {
            subscription
                .unacknowledged
                .values()
                .copied()
                .chain([subscription.expires])
                .min()
        };
        let channels = self.channels.values().filter_map(of_channel);
        channels
            .chain(self.subscriptions.values().filter_map(of_subscription))
            .min()
    }

    pub(super) fn look_after_channels(&mut self, now: Instant, out: &mut Outbox) {
        let ids: Vec<_> = self.channels.keys().cloned().collect();
        for id in ids {
            let Some(channel) = self.channels.get(&id) else {
                continue;
            };
            let (beat, flush) = (
                channel.beat_at <= now,
                channel.splitter.flush_at.is_some_and(|at| at <= now),
            );
            if channel.expires.min(channel.heartbeat_until) <= now {
                tracing::info!(channel = id, "no refresh or heartbeat came: channel ended");
                self.end_channel(&id, Some(CloseHow::Fin), out);
                continue;
            }
            if beat {
                self.write(&id, &events::heartbeat(), now, out);
                let next = now + self.options.stream_heartbeat;
                self.channels
                    .entry(id.clone())
                    .and_modify(|channel| channel.beat_at = next);
            }
            if flush {
                self.flush(&id, out);
            }
        }
    }

    pub(super) fn look_after_subscriptions(&mut self, now: Instant, out: &mut Outbox) {
        let unacknowledged = |own: &Subscription| own.unacknowledged.values().any(|until| *until <= now);
        let late: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|(_, own)| unacknowledged(own))
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            tracing::info!(subscription = id, "an event was not acknowledged: subscription ended");
            self.end_subscription(&id, now, out);
        }
        self.subscriptions.retain(|_, own| own.expires > now);
    }
}

//! The values of a bucket as they are, then their changes: an ordered push consumer (ADR-17), read anew from the start
//! where anything is missing.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use super::nats::api;

/// How often the server says that nothing happened.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(2);
/// Heartbeats that may be missing.
const MISSING_HEARTBEATS: u32 = 3;

/// See the module.
pub(super) struct Watch {
    client: Client,
    messages: Subscriber,
    prefix: String,
    /// The consumer's number of the newest message.
    newest: u64,
    /// Values that were there at the beginning and haven't come yet; none once that was told.
    missing: Option<u64>,
    waiting: VecDeque<Told>,
}

/// What a watch tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A key has this value now, or none.
    Change {
        key: String,
        value: Option<Bytes>,
        revision: u64,
    },
    /// All that was there has been told.
    CaughtUp,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    num_pending: u64,
}

impl Watch {
    pub async fn start(client: &Client, stream: &str, prefix: &str) -> anyhow::Result<Self> {
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await?;
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let request = json!({
            "stream_name": stream,
            "config": {
                "deliver_subject": inbox,
                "deliver_policy": "last_per_subject",
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "filter_subject": format!("{prefix}>"),
                "flow_control": true,
                "idle_heartbeat": nanoseconds(IDLE_HEARTBEAT),
                "inactive_threshold": nanoseconds(IDLE_HEARTBEAT * MISSING_HEARTBEATS),
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let answer = api(client, &format!("CONSUMER.CREATE.{stream}"), &request).await?;
        let info: ConsumerInfo = serde_json::from_slice(&answer).context("JetStream's answer names no consumer")?;
        let mut watch = Self {
            client: client.clone(),
            messages,
            prefix: prefix.to_owned(),
            newest: 0,
            missing: Some(info.num_pending),
            waiting: VecDeque::new(),
        };
        watch.note_missing();
        Ok(watch)
    }

    /// The next thing; an error where something is missing, or nothing comes. Safe to be given up in a `select`.
    pub async fn next(&mut self) -> anyhow::Result<Told> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Ok(told);
            }
            let patience = IDLE_HEARTBEAT * MISSING_HEARTBEATS;
            let message = tokio::time::timeout(patience, self.messages.next()).await;
            let message = message.context("nothing was heard of the changes, no heartbeat either")?;
            let message = message.context("the subscription to the changes ended")?;
            match message.status {
                Some(StatusCode::IDLE_HEARTBEAT) => self.take_heartbeat(message).await?,
                Some(status) => bail!("the changes ended with status {status}"),
                None => self.take_change(message)?,
            }
        }
    }

    /// A heartbeat, or the server's question whether it may send on.
    async fn take_heartbeat(&mut self, message: Message) -> anyhow::Result<()> {
        if let Some(reply) = message.reply {
            self.client.publish(reply, Bytes::new()).await?;
            return Ok(());
        }
        let headers = message.headers.unwrap_or_default();
        if let Some(stalled) = headers.get("Nats-Consumer-Stalled") {
            self.client.publish(stalled.to_string(), Bytes::new()).await?;
        }
        let newest = headers
            .get("Nats-Last-Consumer")
            .and_then(|number| number.as_str().parse().ok());
        if newest.is_some_and(|newest: u64| newest != self.newest) {
            bail!("changes were missed");
        }
        Ok(())
    }

    fn take_change(&mut self, message: Message) -> anyhow::Result<()> {
        let place = message.reply.as_deref().and_then(Place::read);
        let place = place.context("a change doesn't say where it stands")?;
        if place.number != self.newest + 1 {
            bail!("changes were missed");
        }
        self.newest = place.number;
        let headers = message.headers.unwrap_or_default();
        let operation = headers.get("KV-Operation").map_or("", |operation| operation.as_str());
        let removed = matches!(operation, "DEL" | "PURGE");
        if let Some(key) = message.subject.strip_prefix(&self.prefix) {
            self.waiting.push_back(Told::Change {
                key: key.to_owned(),
                value: (!removed).then_some(message.payload),
                revision: place.revision,
            });
        }
        if let Some(missing) = &mut self.missing {
            *missing = missing.saturating_sub(1).min(place.pending);
            self.note_missing();
        }
        Ok(())
    }

    fn note_missing(&mut self) {
        if self.missing == Some(0) {
            self.missing = None;
            self.waiting.push_back(Told::CaughtUp);
        }
    }
}

/// What the subject for acknowledgements says of a message (ADR-15).
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// The stream's number of it.
    revision: u64,
    /// The consumer's.
    number: u64,
    /// How many more wait.
    pending: u64,
}

impl Place {
    /// `$JS.ACK.STREAM.CONSUMER.DELIVERED.REVISION.NUMBER.TIME.PENDING`, or with domain and account before the stream
    /// and a token at the end.
    fn read(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.split('.').collect();
        let first = match tokens.len() {
            9 => 4,
            11.. => 6,
            _ => return None,
        };
        if tokens[..2] != ["$JS", "ACK"] {
            return None;
        }
        let number = |place: usize| tokens.get(first + place)?.parse().ok();
        Some(Self {
            revision: number(1)?,
            number: number(2)?,
            pending: number(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_a_messages_place_are_read() {
        let place = Place {
            revision: 57,
            number: 12,
            pending: 3,
        };
        for subject in [
            "$JS.ACK.KV_a.hWx.1.57.12.1700000000000000000.3",
            "$JS.ACK.hub.ACCOUNT.KV_a.hWx.1.57.12.1700000000000000000.3.token",
        ] {
            assert_eq!(Place::read(subject).as_ref(), Some(&place), "{subject}");
        }
        for subject in [
            "",
            "_INBOX.a.b",
            "$JS.FC.KV_a.x.y.1.2.3.4",
            "$JS.ACK.KV_a.hWx.1.57.x.1.3",
        ] {
            assert_eq!(Place::read(subject), None, "{subject}");
        }
    }
}

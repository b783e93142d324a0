//! The sending half of a connection, with a supervisor or with another member: control messages in their order, by a task;
//! datagrams straight out.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use silentmon_transport::{CloseCode, Connection, ControlSender, SendOutcome};
use tokio::sync::mpsc;

/// How long the last messages may take to leave.
pub(super) const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// Messages that wait and are sent in one go.
const SENT_AT_ONCE: usize = 16;

/// See the module; `M` is what is said.
pub(super) struct Output<M> {
    connection: Connection,
    messages: mpsc::Sender<M>,
    finished: tokio::task::JoinHandle<()>,
}

impl<M: Serialize + Send + Sync + 'static> Output<M> {
    /// Starts the task. So many messages may wait for a slow reader before he is cut off. Must be called within a tokio
    /// runtime.
    pub(super) fn start(connection: Connection, sender: ControlSender, waiting: usize) -> Self {
        let (messages, queue) = mpsc::channel(waiting);
        let finished = tokio::spawn(write_messages(connection.clone(), sender, queue));
        Self {
            connection,
            messages,
            finished,
        }
    }

    /// Queues a message; whoever doesn't read is cut off.
    pub(super) fn send(&self, message: M) {
        if self.messages.try_send(message).is_err() {
            self.connection
                .close(CloseCode::Protocol, "messages are not being read");
        }
    }

    /// Sends a datagram; answers how many were kept back: older ones that made room, or this one.
    pub(super) fn send_datagram(&self, datagram: Bytes) -> u64 {
        match self.connection.send_datagram(datagram) {
            Ok(SendOutcome::Sent) => 0,
            Ok(SendOutcome::Shed(datagrams)) => datagrams as u64,
            Err(_) => 1,
        }
    }

    /// Bytes that the connection sent.
    #[cfg(test)]
    pub(super) fn bytes_sent(&self) -> u64 {
        self.connection.statistics().bytes_sent
    }

    /// Says how many audio streams' worth the path must carry.
    pub(super) fn set_streams(&self, streams: usize) {
        self.connection.set_audio_streams(streams);
    }

    /// Sends what is queued, then closes.
    pub(super) async fn finish(self) {
        drop(self.messages);
        // Closing late is better than not at all.
        let _ = tokio::time::timeout(FINISH_LIMIT, self.finished).await;
    }
}

/// Writes until nobody queues any more, then closes the connection once everything has arrived.
async fn write_messages<M: Serialize>(connection: Connection, mut sender: ControlSender, mut queue: mpsc::Receiver<M>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, SENT_AT_ONCE).await > 0 {
        if let Err(error) = sender.send_all(&waiting).await {
            tracing::debug!(%error, "a message was not sent");
            return;
        }
        waiting.clear();
    }
    sender.finish();
    // Closing late is better than not at all.
    let _ = tokio::time::timeout(FINISH_LIMIT, sender.delivered()).await;
    connection.close(CloseCode::Done, "goodbye");
}

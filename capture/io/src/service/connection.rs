//! One supervisor's connection: a task that reads his messages, a task that writes the answers, datagrams straight out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use silentmon_capture_core::engine::ConnectionId;
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::relay::{ClientMessage, ServerMessage};
use silentmon_transport::{Connection, ControlReceiver, ControlSender, DatagramOutcome, ServerEndpoint};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages that may wait for a slow supervisor before he is cut off.
const OUTPUT_QUEUE: usize = 256;
/// How long a connection may be silent: requirements section 3, session time-out.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// How long the last messages may take to leave.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// What connections tell the event loop.
pub(super) enum ConnectionInput {
    /// A supervisor is there.
    Opened {
        /// Number of the connection.
        id: ConnectionId,
        /// The name in his certificate.
        name: SupervisorName,
        /// Where to send.
        output: ConnectionOutput,
    },
    /// He said something.
    Message {
        /// Number of the connection.
        id: ConnectionId,
        /// What.
        message: ClientMessage,
    },
    /// He is gone.
    Closed {
        /// Number of the connection.
        id: ConnectionId,
    },
}

/// The sending half of a connection.
pub(super) struct ConnectionOutput {
    connection: Arc<Connection>,
    messages: mpsc::Sender<ServerMessage>,
    finished: tokio::task::JoinHandle<()>,
}

impl ConnectionOutput {
    /// Queues a message; a supervisor who doesn't read is cut off.
    pub(super) fn send(&self, message: ServerMessage) {
        if self.messages.try_send(message).is_err() {
            self.connection.close(1, "messages are not being read");
        }
    }

    /// Sends an audio datagram; answers how many older ones made room for it or were lost.
    pub(super) fn send_audio(&self, datagram: Bytes) -> u64 {
        match self.connection.send_datagram(datagram) {
            DatagramOutcome::Sent => 0,
            DatagramOutcome::Shed(datagrams) => datagrams,
            DatagramOutcome::TooLarge | DatagramOutcome::Closed => 1,
        }
    }

    /// Sends what is queued, then closes.
    pub(super) async fn finish(self) {
        drop(self.messages);
        // Closing late is better than not at all.
        let _ = tokio::time::timeout(FINISH_LIMIT, self.finished).await;
    }
}

/// Lets supervisors in until `shutdown`.
pub(super) async fn serve_endpoint(
    endpoint: ServerEndpoint,
    inputs: mpsc::Sender<ConnectionInput>,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let mut next = 0;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = endpoint.accept() => accepted,
        };
        let Some(incoming) = accepted else { break };
        next += 1;
        let (id, inputs) = (ConnectionId(next), inputs.clone());
        tasks.spawn(async move {
            let remote = incoming.remote_address();
            match incoming.establish().await {
                Ok(connection) => serve_connection(id, connection, inputs).await,
                Err(error) => tracing::warn!(%error, %remote, "a connection was refused"),
            }
        });
    }
    tasks.close();
    // The event loop says goodbye and closes each connection; their tasks end by that.
    let _ = tokio::time::timeout(FINISH_LIMIT * 2, tasks.wait()).await;
    endpoint.close().await;
}

async fn serve_connection(id: ConnectionId, connection: Connection, inputs: mpsc::Sender<ConnectionInput>) {
    let remote = connection.remote_address();
    let control = tokio::time::timeout(SILENCE_LIMIT, connection.accept_control()).await;
    let Ok(Ok((sender, receiver))) = control else {
        connection.close(1, "no control stream");
        return;
    };
    let name = SupervisorName::new(connection.peer().name.as_str());
    let connection = Arc::new(connection);
    let (messages, queue) = mpsc::channel(OUTPUT_QUEUE);
    let finished = tokio::spawn(write_messages(connection.clone(), sender, queue));
    let output = ConnectionOutput { connection: connection.clone(), messages, finished };
    tracing::info!(connection = id.0, %remote, "a supervisor connected");
    if inputs.send(ConnectionInput::Opened { id, name, output }).await.is_err() {
        return;
    }
    let why = read_messages(id, receiver, &inputs).await;
    connection.close(0, &why);
    tracing::info!(connection = id.0, %remote, why, "a supervisor's connection ended");
    // The event loop is gone only when the service stops.
    let _ = inputs.send(ConnectionInput::Closed { id }).await;
}

/// Reads until the connection ends, and says why it did.
async fn read_messages(
    id: ConnectionId,
    mut receiver: ControlReceiver,
    inputs: &mpsc::Sender<ConnectionInput>,
) -> String {
    loop {
        let message = match tokio::time::timeout(SILENCE_LIMIT, receiver.receive::<ClientMessage>()).await {
            Err(_) => return format!("nothing heard for {} s", SILENCE_LIMIT.as_secs()),
            Ok(Err(error)) => return error.to_string(),
            Ok(Ok(None)) => return "closed by the supervisor".to_owned(),
            Ok(Ok(Some(message))) => message,
        };
        if inputs.send(ConnectionInput::Message { id, message }).await.is_err() {
            return "the service stops".to_owned();
        }
    }
}

/// Writes until nobody queues any more, then closes the connection once everything has arrived.
async fn write_messages(
    connection: Arc<Connection>,
    mut sender: ControlSender,
    mut queue: mpsc::Receiver<ServerMessage>,
) {
    while let Some(message) = queue.recv().await {
        if let Err(error) = sender.send(&message).await {
            tracing::debug!(%error, "a message was not sent");
            return;
        }
    }
    sender.finish().await;
    connection.close(0, "goodbye");
}

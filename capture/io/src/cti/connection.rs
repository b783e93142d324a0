//! One connection to a source, as a task: opens it, reads and writes until either side has enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use silentmon_capture_core::link::{Closed, Endpoint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dial::{StreamEndpoint, dial};

/// Bytes read at a time.
const PORTION: usize = 16 << 10;
/// How long the last bytes may take to leave once the link wants the connection gone.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the other side may take to hang up by itself before the connection is reset.
const FAREWELL: Duration = Duration::from_millis(250);

/// What happened to a connection.
pub(super) struct Report {
    pub(super) endpoint: Endpoint,
    /// Tells a connection from its predecessors.
    pub(super) generation: u64,
    pub(super) what: Happened,
}

pub(super) enum Happened {
    Connected,
    Bytes(Vec<u8>),
    Closed(Closed),
}

/// Opens a connection and carries bytes both ways, until it breaks or `outgoing` has no sender any more. `first` is
/// what is reported once it is open.
pub(super) async fn carry(
    place: Arc<StreamEndpoint>,
    first: Report,
    reports: mpsc::Sender<Report>,
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    closing: CancellationToken,
) {
    let (endpoint, generation) = (first.endpoint, first.generation);
    let report = |what| Report {
        endpoint,
        generation,
        what,
    };
    let opened = tokio::select! {
        () = closing.cancelled() => return,
        opened = dial(&place) => opened,
    };
    let wire = match opened {
        Ok(wire) => wire,
        // The link is gone only when the service stops.
        Err(why) => return drop(reports.send(report(Happened::Closed(why))).await),
    };
    if reports.send(first).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = tokio::io::split(wire);
    let broken = tokio::select! {
        why = read(&mut reader, |bytes| reports.send(report(Happened::Bytes(bytes)))) => why,
        why = write(&mut writer, &mut outgoing, &waiting) => why,
        () = async { closing.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => return,
    };
    match broken {
        Some(why) => drop(reports.send(report(Happened::Closed(why))).await),
        None => drop(tokio::time::timeout(FAREWELL, hang_up(reader, writer)).await),
    }
}

/// Reads until the connection ends, and says why it did; `None` where nobody wants the bytes.
async fn read<R, F, S>(reader: &mut R, report: impl Fn(Vec<u8>) -> S) -> Option<Closed>
where
    R: AsyncRead + Unpin,
    S: Future<Output = Result<(), F>>,
{
    let mut buffer = vec![0; PORTION];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => return Some(Closed::ByPeer),
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                report(bytes).await.ok()?;
            }
            Err(error) => return Some(Closed::Broken(error.to_string())),
        }
    }
}

/// Writes what is queued; `None` once nobody queues any more.
async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    outgoing: &mut mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: &AtomicUsize,
) -> Option<Closed> {
    while let Some(bytes) = outgoing.recv().await {
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if let Err(error) = written.await {
            return Some(Closed::Broken(error.to_string()));
        }
        waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
    None
}

/// Ends our half and waits for the other side to end its own: a reset right away could overtake the last words.
async fn hang_up<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(mut reader: R, mut writer: W) {
    if writer.shutdown().await.is_err() {
        return;
    }
    let mut rest = [0; 1024];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
}

//! The connection: dialled again and again, records written in order, and what may be lost sent again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use silentmon_capture_core::link::backoff::Backoff;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::reader::Reader;
use super::{Progress, Sink, message};
use crate::audit::chain::Link;
use crate::tls;

/// How long the receiver may take to answer to a dial, to a handshake, and to what was written before the connection
/// counts as broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// A record has arrived when the connection was still whole so long after it was written: by then the kernel would have
/// broken a connection whose other end doesn't answer (`TCP_USER_TIMEOUT` is half of it).
const ARRIVED_AFTER: Duration = Duration::from_secs(10);
/// How long the end of the service waits until the rest is sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// Sends until `shutdown`, and then for a short while what is left.
pub(super) async fn run(mut sink: Sink, progress: Progress, shutdown: CancellationToken) {
    let mut backoff = Backoff::new(seed());
    while !shutdown.is_cancelled() {
        let pause = match dial(&sink).await {
            Ok(stream) => {
                tracing::info!("audit.syslog takes records");
                backoff.succeeded();
                let broken = Wire::new(stream, &mut sink, &progress).serve(&shutdown).await;
                progress.connected(false, sink.position.number());
                match broken {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!("audit.syslog takes no more records: {error:#}");
                        backoff.failed()
                    }
                }
            }
            Err(error) => {
                tracing::warn!("audit.syslog takes no records: {error:#}");
                backoff.failed()
            }
        };
        let _ = timeout(pause, shutdown.cancelled()).await;
    }
}

/// Where the system gives no random numbers, servers may come back at the same moment.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Files are read anew for each connection, so that certificates may be renewed meanwhile.
async fn dial(sink: &Sink) -> anyhow::Result<TlsStream<TcpStream>> {
    let section = &sink.section;
    let name = section.server_name.as_ref().unwrap_or(&section.address.host);
    let name = tls::server_name(name)?;
    let config = tls::source(&section.ca, section.identity.as_deref())?;
    let address = &section.address;
    let unreachable = || format!("{address} can't be reached");
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let stream = timeout(PATIENCE, connect)
        .await
        .with_context(unreachable)?
        .with_context(unreachable)?;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(PATIENCE))?;
    let refused = || format!("no TLS with {address}");
    let greeting = TlsConnector::from(Arc::clone(&config)).connect(name, stream);
    timeout(PATIENCE, greeting)
        .await
        .with_context(refused)?
        .with_context(refused)
}

/// One connection.
struct Wire<'a> {
    stream: TlsStream<TcpStream>,
    sink: &'a mut Sink,
    progress: &'a Progress,
    reader: Reader,
    /// Records that were written and may not have arrived, oldest first: one a second is enough.
    under_way: VecDeque<(Instant, Link)>,
}

impl<'a> Wire<'a> {
    fn new(stream: TlsStream<TcpStream>, sink: &'a mut Sink, progress: &'a Progress) -> Self {
        let sent = sink.position.number();
        progress.connected(true, sent);
        Self {
            reader: Reader::behind(sink.journal.clone(), sent),
            stream,
            sink,
            progress,
            under_way: VecDeque::new(),
        }
    }

    /// Returns at the end of the service; a connection that breaks is an error.
    async fn serve(mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut sent = self.sink.position.number();
        let mut answer = [0; 64];
        loop {
            let arrival = self.next_arrival();
            tokio::select! {
                biased;
                () = self.progress.written_behind(sent) => sent = self.send(sent).await?,
                // A receiver never answers; this tells that it is gone.
                read = self.stream.read(&mut answer) => {
                    anyhow::ensure!(read? > 0, "the receiver has closed the connection");
                }
                () = tokio::time::sleep_until(arrival) => self.note_arrivals(),
                () = shutdown.cancelled() => return self.finish(sent).await,
            }
        }
    }

    /// Sends what is on disk behind `sent`; gives the number of the newest record that was.
    async fn send(&mut self, mut sent: u64) -> anyhow::Result<u64> {
        let newest = self.progress.newest();
        // After a restart a file of many MiB may have to be passed over.
        while let Some(line) = tokio::task::block_in_place(|| self.reader.next(newest))? {
            if line.record.n > sent + 1 {
                let (from, to) = (sent + 1, line.record.n - 1);
                tracing::error!(
                    from,
                    to,
                    "records were removed from the audit journal before audit.syslog had them"
                );
            }
            let frame = message::frame(&line.text, &line.record, &self.sink.server);
            timeout(PATIENCE, self.stream.write_all(&frame)).await??;
            sent = line.record.n;
            self.under_way(line.record.link(&line.text));
            self.progress.sent(sent);
            self.note_arrivals();
        }
        timeout(PATIENCE, self.stream.flush()).await??;
        anyhow::ensure!(sent >= newest, "record {newest} isn't in the journal");
        Ok(sent)
    }

    fn under_way(&mut self, link: Link) {
        let now = Instant::now();
        match self.under_way.back_mut() {
            // Within a second they arrive together, with the newest.
            Some((at, newest)) if now - *at < Duration::from_secs(1) => *newest = link,
            _ => self.under_way.push_back((now, link)),
        }
    }

    /// When the oldest record under way has arrived, unless the connection breaks before.
    fn next_arrival(&self) -> Instant {
        let oldest = self.under_way.front().map_or_else(Instant::now, |(at, _)| *at);
        oldest + ARRIVED_AFTER
    }

    fn note_arrivals(&mut self) {
        let now = Instant::now();
        while let Some((_, link)) = self
            .under_way
            .front()
            .copied()
            .filter(|(at, _)| now >= *at + ARRIVED_AFTER)
        {
            self.under_way.pop_front();
            self.sink.position.advance(link);
        }
    }

    /// The last records, and a goodbye; a receiver that answers it has them all.
    async fn finish(mut self, sent: u64) -> anyhow::Result<()> {
        let newest = self.progress.newest();
        let farewell = async {
            if newest > sent {
                self.send(sent).await?;
            }
            self.stream.shutdown().await?;
            let mut answer = Vec::new();
            match self.stream.read_to_end(&mut answer).await {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
                _ => anyhow::Ok(()),
            }
        };
        timeout(FAREWELL, farewell).await.context("no goodbye")??;
        if let Some((_, link)) = self.under_way.pop_back() {
            self.sink.position.advance(link);
        }
        Ok(())
    }
}

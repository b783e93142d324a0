//! Audio-like traffic: numbered and timed datagrams of 188 bytes, 50 a second and stream.

use std::time::{Duration, Instant};

use silentmon_transport::{Connection, SendOutcome};
use tokio::sync::oneshot;

/// Header of the relay (16), of RTP (12), and 20 ms of G.711 (160).
const LENGTH: usize = 188;

/// What became of the datagrams.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub sent: u64,
    pub shed: u64,
    pub received: u64,
    /// One-way delays, ascending.
    pub delays: Vec<Duration>,
}

impl Outcome {
    /// Share of the datagrams that never arrived.
    pub fn lost(&self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }

    /// The delay that this share of the datagrams didn't exceed.
    pub fn delay(&self, share: f64) -> Duration {
        let index = (self.delays.len() as f64 * share) as usize;
        self.delays
            .get(index.min(self.delays.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// Sends `streams` streams for `span` from one end to the other.
pub async fn run(from: &Connection, to: &Connection, streams: u64, span: Duration) -> Outcome {
    let begin = Instant::now();
    let (stop, stopped) = oneshot::channel();
    let receiving = tokio::spawn(receive(to.clone(), begin, stopped));
    let mut outcome = send_streams(from, streams, span, begin).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let _ = stop.send(());
    outcome.delays = receiving.await.expect("received");
    outcome.delays.sort();
    outcome.received = outcome.delays.len() as u64;
    outcome
}

/// The sending half.
pub async fn send_streams(from: &Connection, streams: u64, span: Duration, begin: Instant) -> Outcome {
    from.set_audio_streams(streams as usize);
    let mut outcome = Outcome::default();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let started = Instant::now();
    while started.elapsed() < span {
        tick.tick().await;
        let due = (started.elapsed().as_secs_f64() * 50.0 * streams as f64) as u64;
        while outcome.sent < due {
            outcome.shed += send(from, outcome.sent, begin);
            outcome.sent += 1;
        }
    }
    outcome
}

/// The receiving half: the delay of each datagram.
pub async fn receive(to: Connection, begin: Instant, mut stopped: oneshot::Receiver<()>) -> Vec<Duration> {
    let mut delays = Vec::new();
    loop {
        let datagram = tokio::select! {
            datagram = to.receive_datagram() => datagram,
            _ = &mut stopped => return delays,
        };
        let Ok(datagram) = datagram else { return delays };
        let sent_at = datagram[8..16].try_into().map_or(0, u64::from_be_bytes);
        delays.push(begin.elapsed().saturating_sub(Duration::from_nanos(sent_at)));
    }
}

fn send(from: &Connection, number: u64, begin: Instant) -> u64 {
    let mut datagram = vec![0; LENGTH];
    let sent_at = begin.elapsed().as_nanos() as u64;
    datagram[..8].copy_from_slice(&number.to_be_bytes());
    datagram[8..16].copy_from_slice(&sent_at.to_be_bytes());
    match from.send_datagram(datagram.into()) {
        Ok(SendOutcome::Shed(count)) => count as u64,
        Ok(SendOutcome::Sent) | Err(_) => 0,
    }
}

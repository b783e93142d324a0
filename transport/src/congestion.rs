//! Congestion control that never goes below what the audio needs.
//!
//! Audio has a fixed rate: throttling it below that rate doesn't relieve a path, it only makes every packet late
//! (Cubic at 1 % loss and 200 streams: 72 % of the audio lost). So while there is audio the window is what its streams
//! send in the shortest round trip and a little longer, repairs included, whatever is lost; not more either, or a path that is too
//! narrow would hold seconds of it. Without audio Cubic (RFC 9438) decides.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, CubicConfig};
use quinn_proto::RttEstimator;

/// Round trips may grow by this much over the shortest before the window holds audio back. Beyond it the path is too
/// narrow: packets wait in a queue on the way, and shedding here, oldest first, is better than filling it further.
const QUEUE_ALLOWANCE: Duration = Duration::from_millis(150);

/// Round trip assumed until one was measured.
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(600);

/// Smallest window in bytes: control messages get through beside a single stream.
const SMALLEST_WINDOW: u64 = 12 << 10;

/// Repairs may take so many tenths of the audio besides.
const REPAIRS: u64 = 3;

/// How much audio a connection carries; shared by its sender, its congestion controller and its backlog.
#[derive(Debug)]
pub(crate) struct Demand {
    streams: AtomicUsize,
    stream_rate: u32,
}

impl Demand {
    pub(crate) fn new(stream_rate: u32) -> Self {
        Self {
            streams: AtomicUsize::new(0),
            stream_rate,
        }
    }

    pub(crate) fn set_streams(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// The window for the audio; `None` where there is none.
    fn window(&self, round_trip: Duration) -> Option<u64> {
        let streams = u64::try_from(self.streams()).ok().filter(|&streams| streams > 0)?;
        let rate = u64::from(self.stream_rate).saturating_mul(streams) / 10 * (10 + REPAIRS);
        let span = u64::try_from((round_trip + QUEUE_ALLOWANCE).as_millis()).unwrap_or(u64::MAX);
        Some((rate.saturating_mul(span) / 1000).max(SMALLEST_WINDOW))
    }
}

/// Makes a controller for each path of one connection.
#[derive(Debug)]
pub(crate) struct AudioControllerFactory {
    demand: Arc<Demand>,
    without_audio: Arc<CubicConfig>,
}

impl AudioControllerFactory {
    pub(crate) fn new(demand: Arc<Demand>) -> Self {
        Self {
            demand,
            without_audio: Arc::default(),
        }
    }
}

impl ControllerFactory for AudioControllerFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(AudioController {
            demand: Arc::clone(&self.demand),
            without_audio: Arc::clone(&self.without_audio).build(now, current_mtu),
            round_trip: UNKNOWN_ROUND_TRIP,
        })
    }
}

struct AudioController {
    demand: Arc<Demand>,
    without_audio: Box<dyn Controller>,
    round_trip: Duration,
}

impl Controller for AudioController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.without_audio.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.round_trip = rtt.min();
        self.without_audio.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.without_audio
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.without_audio
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.without_audio.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let audio = self.demand.window(self.round_trip);
        audio.unwrap_or_else(|| self.without_audio.window().max(SMALLEST_WINDOW))
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            demand: Arc::clone(&self.demand),
            without_audio: self.without_audio.clone_box(),
            round_trip: self.round_trip,
        })
    }

    fn initial_window(&self) -> u64 {
        self.without_audio.initial_window().max(SMALLEST_WINDOW)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(streams: usize) -> Box<dyn Controller> {
        let demand = Arc::new(Demand::new(16_000));
        demand.set_streams(streams);
        Arc::new(AudioControllerFactory::new(demand)).build(Instant::now(), 1200)
    }

    #[test]
    fn losses_never_bring_the_window_below_what_the_streams_need() {
        let mut controller = controller(200);
        let now = Instant::now();
        for second in 0..100 {
            let at = now + Duration::from_secs(second);
            controller.on_congestion_event(at, at, true, 100_000);
        }
        assert_eq!(controller.window(), 200 * 16_000 * 3 / 4 * 13 / 10);
    }

    #[test]
    fn without_streams_the_window_is_that_of_an_ordinary_connection() {
        let controller = controller(0);
        assert_eq!(controller.window(), SMALLEST_WINDOW);
    }
}

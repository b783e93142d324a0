//! What became of a leg's packets: counters, delay and level, as the summary of a session shows them.

use std::time::Duration;

use serde::Serialize;
use silentmon_proto::codec::Codec;
use silentmon_proto::time::Instant;

use crate::quality::{Concealment, Figures, Impairment, LossCounts};

/// Level shown for digital silence, in dB relative to full scale.
pub const SILENCE_DBFS: f32 = -96.0;

/// How long packets took from the fastest possible arrival to the loudspeaker's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DelayReport {
    /// The mean.
    pub mean: Duration,
    /// 95 of 100 packets took no longer.
    pub p95: Duration,
}

/// What became of one leg, summed over the session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LegReport {
    /// The codec heard last.
    pub codec: Option<Codec>,
    /// Packets that came, duplicates not counted.
    pub received: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Missing by RTP sequence number, wherever they were lost.
    pub lost: u64,
    /// Missing by the relay's own numbers when they were due: lost between capture server and here, and not sent again
    /// in time.
    pub lost_on_relay: u64,
    /// Packets that came because they were sent again.
    pub repaired: u64,
    /// Packets that came after their time and weren't played.
    pub late: u64,
    /// Packets that couldn't be taken: more than the buffer holds, or no RTP.
    pub dropped: u64,
    /// Packets of a codec that isn't built in.
    pub undecodable: u64,
    /// Event packets (RFC 4733) that the server kept back.
    pub suppressed: u64,
    /// Times the time line began anew: another SSRC, a timestamp jump, a path that became slower.
    pub resyncs: u64,
    /// Time for which sound was missing and had to be made up, silence included.
    pub concealed: Duration,
    /// Time of decoded sound played.
    pub audible: Duration,
    /// Time left out to change the delay.
    pub shortened: Duration,
    /// Time added to change the delay.
    pub lengthened: Duration,
    /// By how many parts per million the sender's clock runs slower than the output's; made good by resampling. Zero where
    /// no drift is certain.
    pub drift_ppm: f64,
    /// How long the fastest packet is to wait now.
    pub target: Duration,
    /// When the first decoded sample was handed out.
    pub first_audio: Option<Instant>,
    /// Level of what plays now, in dB relative to a full-scale square wave.
    pub level_dbfs: f32,
    /// Delay by this player.
    pub delay: DelayReport,
    /// What filled the gaps.
    #[serde(skip)]
    pub concealment: Concealment,
    /// Sound in a packet.
    #[serde(skip)]
    pub packet_time: Duration,
    /// What the way from the capture server to the ear lost, and what came late.
    #[serde(skip)]
    pub copy: LossCounts,
    /// All that was missing at the ear, wherever it was lost.
    #[serde(skip)]
    pub heard: LossCounts,
}

impl LegReport {
    /// Mean opinion score of what was heard; the listener takes no part in the conversation, so its delay doesn't count.
    /// `None` before anything was heard, and where the codec can't be rated.
    pub fn mos(&self) -> Option<f64> {
        self.first_audio?;
        let impairment = Impairment::of(self.codec?, self.concealment)?;
        Some(impairment.rate(self.heard.packet_loss()).mos())
    }

    /// The quality of our copy: what the mirror lost (as the capture server tells), what the relay lost, what came late.
    pub fn copy_figures(&self, mirror: &LossCounts) -> Figures {
        let counts = self.copy.joined(mirror);
        Figures::of(&counts, self.codec, self.concealment, self.packet_time, None)
    }
}

/// Width of a histogram bin.
const BIN: Duration = Duration::from_millis(2);
/// Bins: up to two seconds, the last one for everything above.
const BINS: usize = 1000;

/// Playout delays, for mean and percentile without keeping each.
#[derive(Debug)]
pub(crate) struct DelayHistogram {
    bins: Box<[u64; BINS]>,
    packets: u64,
    total: Duration,
}

impl DelayHistogram {
    pub(crate) fn new() -> Self {
        Self {
            bins: Box::new([0; BINS]),
            packets: 0,
            total: Duration::ZERO,
        }
    }

    pub(crate) fn record(&mut self, delay: Duration) {
        let bin = usize::try_from(delay.as_nanos() / BIN.as_nanos()).unwrap_or(BINS);
        if let Some(count) = self.bins.get_mut(bin.min(BINS - 1)) {
            *count += 1;
        }
        self.packets += 1;
        self.total = self.total.saturating_add(delay);
    }

    pub(crate) fn report(&self) -> DelayReport {
        if self.packets == 0 {
            return DelayReport::default();
        }
        let mean = self.total.div_f64(self.packets as f64);
        let limit = self.packets - self.packets / 20;
        let mut seen = 0;
        let within = self.bins.iter().take_while(|&&count| {
            seen += count;
            seen < limit
        });
        let bin = u32::try_from(within.count()).unwrap_or(u32::MAX);
        DelayReport {
            mean,
            p95: BIN.saturating_mul(bin.saturating_add(1)),
        }
    }
}

/// Mean square of the sound, smoothed over about 100 ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    mean_square: f64,
    /// Weight of one sample.
    weight: f64,
}

impl Level {
    pub(crate) fn new(sample_rate: u32) -> Self {
        Self {
            mean_square: 0.0,
            weight: 10.0 / f64::from(sample_rate.max(1)),
        }
    }

    /// Takes the next samples, at full scale ±1.
    pub(crate) fn observe(&mut self, samples: &[f32]) {
        let weight = (self.weight * samples.len() as f64).min(1.0);
        self.mean_square += (mean_square(samples) - self.mean_square) * weight;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "decibels need no more than single precision"
    )]
    pub(crate) fn dbfs(self) -> f32 {
        let decibels = 10.0 * self.mean_square.max(1e-12).log10();
        (decibels as f32).max(SILENCE_DBFS)
    }
}

/// Mean of the squared samples.
fn mean_square(samples: &[f32]) -> f64 {
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    energy / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_summed_up_by_mean_and_percentile() {
        let mut histogram = DelayHistogram::new();
        for milliseconds in 1..=100 {
            histogram.record(Duration::from_millis(milliseconds));
        }
        let report = histogram.report();
        assert_eq!(report.mean, Duration::from_micros(50_500));
        assert_eq!(report.p95, Duration::from_millis(96));
        assert_eq!(DelayHistogram::new().report(), DelayReport::default());
    }

    #[test]
    fn full_scale_is_0_db_and_silence_is_the_floor() {
        let mut level = Level::new(8000);
        assert!(level.dbfs() <= SILENCE_DBFS);
        for _ in 0..200 {
            level.observe(&[-1.0; 80]);
        }
        assert!(level.dbfs().abs() < 0.1, "{}", level.dbfs());
    }
}

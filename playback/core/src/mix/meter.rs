//! How loud a leg is: mean over 100 ms, and the largest sample of the last 1.5 s.

use crate::report::SILENCE_DBFS;

/// The meter moves on every 10 ms.
const BLOCKS_PER_SECOND: u32 = 100;
/// Blocks of the mean: 100 ms.
const MEAN_BLOCKS: usize = 10;
/// Blocks of the peak: 1.5 s.
const PEAK_BLOCKS: usize = 150;

#[derive(Debug)]
pub(super) struct Meter {
    block: u32,
    /// Samples of the present block.
    observed: u32,
    energy: f64,
    peak: f32,
    energies: [f64; MEAN_BLOCKS],
    peaks: [f32; PEAK_BLOCKS],
    blocks: usize,
}

impl Meter {
    pub(super) fn new(sample_rate: u32) -> Self {
        Self {
            block: (sample_rate / BLOCKS_PER_SECOND).max(1),
            observed: 0,
            energy: 0.0,
            peak: 0.0,
            energies: [0.0; MEAN_BLOCKS],
            peaks: [0.0; PEAK_BLOCKS],
            blocks: 0,
        }
    }

    pub(super) fn observe(&mut self, sample: f32) {
        self.energy += f64::from(sample) * f64::from(sample);
        self.peak = self.peak.max(sample.abs());
        self.observed += 1;
        if self.observed == self.block {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        self.energies[self.blocks % MEAN_BLOCKS] = self.energy;
        self.peaks[self.blocks % PEAK_BLOCKS] = self.peak;
        self.blocks = (self.blocks + 1) % (MEAN_BLOCKS * PEAK_BLOCKS);
        self.observed = 0;
        self.energy = 0.0;
        self.peak = 0.0;
    }

    /// Root mean square of the last 100 ms.
    pub(super) fn rms_dbfs(&self) -> f32 {
        let mean = self.energies.iter().sum::<f64>() / (f64::from(self.block) * MEAN_BLOCKS as f64);
        dbfs(mean.sqrt())
    }

    /// Largest sample of the last 1.5 s.
    pub(super) fn peak_dbfs(&self) -> f32 {
        let peak = self.peaks.iter().fold(self.peak, |largest, &peak| largest.max(peak));
        dbfs(peak.into())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "decibels need no more than single precision"
)]
fn dbfs(amplitude: f64) -> f32 {
    let decibels = 20.0 * amplitude.max(1e-6).log10();
    (decibels as f32).max(SILENCE_DBFS)
}

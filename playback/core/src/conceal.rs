//! What fills the gap of a lost packet: the last pitch period again and again, fading. A simple stand-in for G.711
//! appendix I: it looks backwards only and adds no delay.

/// Samples remembered: two of the longest pitch periods, and a comparison stretch.
const HISTORY: usize = 400;
/// Pitch periods searched: 66 to 200 Hz (G.711 appendix I).
const SHORTEST: usize = 40;
const LONGEST: usize = 120;
/// Samples compared to find the period.
const COMPARED: usize = 160;
/// Full volume for 10 ms, silent after 100 ms.
const FULL: i64 = 80;
const SILENT: i64 = 800;
/// Samples over which the next packet takes over from the repetition: 4 ms.
const OVERLAP: i64 = 32;

/// Remembers what was played and continues it.
#[derive(Debug)]
pub(crate) struct Concealer {
    history: [i16; HISTORY],
    period: usize,
    /// Samples continued in this gap.
    continued: usize,
    /// Samples of the next packet still to be cross-faded.
    overlap: i64,
}

impl Concealer {
    pub(crate) const fn new() -> Self {
        Self {
            history: [0; HISTORY],
            period: LONGEST,
            continued: 0,
            overlap: 0,
        }
    }

    /// Fills `out` with the continuation of what was played.
    pub(crate) fn conceal(&mut self, out: &mut [i16]) {
        if self.continued == 0 {
            self.period = self.pitch();
        }
        for sample in out {
            *sample = self.next();
        }
        self.overlap = OVERLAP;
    }

    /// Remembers decoded samples; just after a gap it fades over to them.
    pub(crate) fn played(&mut self, samples: &mut [i16]) {
        if self.overlap > 0 {
            self.fade_over(samples);
        }
        if self.overlap == 0 {
            self.continued = 0;
        }
        self.remember(samples);
    }

    /// Remembers silence.
    pub(crate) fn silent(&mut self, length: usize) {
        self.continued = 0;
        self.overlap = 0;
        let kept = HISTORY - length.min(HISTORY);
        self.history.copy_within(HISTORY - kept.., 0);
        if let Some(rest) = self.history.get_mut(kept..) {
            rest.fill(0);
        }
    }

    fn remember(&mut self, samples: &[i16]) {
        let samples = samples.get(samples.len().saturating_sub(HISTORY)..).unwrap_or(samples);
        let kept = HISTORY - samples.len();
        self.history.copy_within(HISTORY - kept.., 0);
        if let Some(rest) = self.history.get_mut(kept..) {
            rest.copy_from_slice(samples);
        }
    }

    fn fade_over(&mut self, samples: &mut [i16]) {
        for sample in samples {
            if self.overlap == 0 {
                return;
            }
            let share = OVERLAP - self.overlap;
            let mixed = (i64::from(*sample) * share + i64::from(self.next()) * self.overlap) / OVERLAP;
            *sample = clamped(mixed);
            self.overlap -= 1;
        }
    }

    fn next(&mut self) -> i16 {
        let start = HISTORY - self.period;
        let source = self
            .history
            .get(start + self.continued % self.period)
            .copied()
            .unwrap_or(0);
        let position = i64::try_from(self.continued).unwrap_or(i64::MAX);
        self.continued = self.continued.saturating_add(1);
        let volume = (SILENT - position).clamp(0, SILENT - FULL);
        clamped(i64::from(source) * volume / (SILENT - FULL))
    }

    /// The lag at which the last samples resemble themselves most.
    fn pitch(&self) -> usize {
        let template = &self.history[HISTORY - COMPARED..];
        let mut best = (0.0, LONGEST);
        for lag in SHORTEST..=LONGEST {
            let shifted = &self.history[HISTORY - COMPARED - lag..HISTORY - lag];
            let likeness = likeness(template, shifted);
            if likeness > best.0 {
                best = (likeness, lag);
            }
        }
        best.1
    }
}

/// Normalised correlation.
fn likeness(one: &[i16], other: &[i16]) -> f64 {
    let mut product = 0_i64;
    let mut energy = 1_i64;
    for (&a, &b) in one.iter().zip(other) {
        product += i64::from(a) * i64::from(b);
        energy += i64::from(b) * i64::from(b);
    }
    product as f64 / (energy as f64).sqrt()
}

fn clamped(sample: i64) -> i16 {
    i16::try_from(sample.clamp(i64::from(i16::MIN), i64::from(i16::MAX))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "10,000 at most")]
    fn tone(from: usize, length: usize) -> Vec<i16> {
        // 100 Hz: a period of 80 samples.
        let sample = |n: usize| (f64::sin(n as f64 * std::f64::consts::TAU / 80.0) * 10_000.0) as i16;
        (from..from + length).map(sample).collect()
    }

    #[test]
    fn a_gap_in_a_tone_is_continued_in_phase() {
        let mut concealer = Concealer::new();
        concealer.played(&mut tone(0, 400));
        let mut gap = [0; 80];
        concealer.conceal(&mut gap);
        for (filled, original) in gap.iter().zip(tone(400, 80)) {
            assert!((filled - original).abs() < 300, "{filled} instead of {original}");
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence() {
        let mut concealer = Concealer::new();
        concealer.played(&mut tone(0, 400));
        let mut gap = [1; 1000];
        concealer.conceal(&mut gap);
        let loudest = |samples: &[i16]| samples.iter().map(|s| s.unsigned_abs()).max();
        assert!(loudest(&gap[400..480]) < loudest(&gap[..80]));
        assert_eq!(loudest(&gap[800..]), Some(0));
    }

    #[test]
    fn the_packet_after_a_gap_is_touched_for_4_ms_only() {
        let mut concealer = Concealer::new();
        concealer.played(&mut tone(0, 400));
        concealer.conceal(&mut [0; 160]);
        let mut next = [5000; 80];
        concealer.played(&mut next);
        assert_ne!(next[0], 5000);
        assert!(next[32..].iter().all(|&sample| sample == 5000));
    }

    #[test]
    fn without_a_gap_nothing_is_touched() {
        let mut concealer = Concealer::new();
        concealer.silent(80);
        let mut samples = tone(3, 480);
        concealer.played(&mut samples);
        assert_eq!(samples, tone(3, 480));
    }
}

//! Mutes in-band DTMF digits, so that what was keyed can't be read from the sound: up to 23 ms are heard until a digit is
//! certain, less than the 40 ms that a receiver needs.

use silentmon_proto::dtmf::{DtmfDetector, HOPS_PER_SECOND};

use super::ramp::Ramp;

/// Keeps a leg free of digits, where it is switched on.
#[derive(Debug)]
pub(super) struct Suppressor {
    sample_rate: u32,
    detector: Option<DtmfDetector>,
    gain: Ramp,
    digits: u64,
    muting: bool,
}

impl Suppressor {
    pub(super) const fn new(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            detector: None,
            gain: Ramp::new(
                1.0,
                if sample_rate < HOPS_PER_SECOND {
                    1
                } else {
                    sample_rate / HOPS_PER_SECOND
                },
            ),
            digits: 0,
            muting: false,
        }
    }

    pub(super) fn switch(&mut self, on: bool) {
        match (on, self.detector.is_some()) {
            (true, false) => self.detector = Some(DtmfDetector::new(self.sample_rate)),
            (false, true) => {
                self.detector = None;
                self.mute(false);
            }
            _ => {}
        }
    }

    pub(super) fn apply(&mut self, sample: f32) -> f32 {
        if let Some(heard) = self.detector.as_mut().and_then(|detector| detector.observe(sample)) {
            self.mute(heard);
        }
        self.gain.apply(sample)
    }

    fn mute(&mut self, muting: bool) {
        if muting != self.muting {
            self.muting = muting;
            self.digits += u64::from(muting);
            self.gain.set(if muting { 0.0 } else { 1.0 });
        }
    }

    /// Whether nothing is listened for and nothing muted any more.
    pub(super) fn is_off(&self) -> bool {
        self.detector.is_none() && self.gain.rests_at(1.0)
    }

    /// Digits muted so far.
    pub(super) const fn digits(&self) -> u64 {
        self.digits
    }
}

//! Keeps one ear within full scale: the gain falls at once where a sample would exceed it, and recovers slowly, so that
//! the peaks that follow keep their shape. Up to full scale nothing is changed, and nothing is ever delayed.

/// How long the gain stays down after the last peak.
const HOLDS_PER_SECOND: u32 = 100;
/// The gain's way back: 1/e in 150 ms.
const RELEASE_SECONDS: f32 = 0.15;
/// A gain this close to one becomes one.
const TRANSPARENT: f32 = 0.9999;

#[derive(Debug, Clone, Copy)]
pub(super) struct Limiter {
    gain: f32,
    hold: u32,
    held: u32,
    release: f32,
}

impl Limiter {
    pub(super) fn new(sample_rate: u32) -> Self {
        Self {
            gain: 1.0,
            hold: sample_rate / HOLDS_PER_SECOND,
            held: 0,
            release: 1.0 - (-1.0 / (RELEASE_SECONDS * sample_rate.max(1) as f32)).exp(),
        }
    }

    pub(super) fn is_transparent(&self) -> bool {
        self.gain >= 1.0
    }

    pub(super) fn limit(&mut self, sample: f32) -> f32 {
        let size = sample.abs();
        if size * self.gain > 1.0 {
            self.gain = 1.0 / size;
            self.held = self.hold;
        } else if self.held > 0 {
            self.held -= 1;
        } else if self.gain < 1.0 {
            self.gain += (1.0 - self.gain) * self.release;
            if self.gain > TRANSPARENT {
                self.gain = 1.0;
            }
        }
        // The division may round upwards.
        (sample * self.gain).clamp(-1.0, 1.0)
    }
}

//! A gain that changes in a straight line.

/// A gain on its way to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ramp {
    gain: f32,
    target: f32,
    step: f32,
    /// Samples until the target.
    left: u32,
    length: u32,
}

impl Ramp {
    /// A constant gain, whose changes take `length` samples.
    pub(super) const fn new(gain: f32, length: u32) -> Self {
        Self {
            gain,
            target: gain,
            step: 0.0,
            left: 0,
            length,
        }
    }

    pub(super) fn set(&mut self, target: f32) {
        self.target = target;
        self.left = self.length;
        self.step = (target - self.gain) / self.length as f32;
    }

    #[expect(clippy::float_cmp, reason = "the target is reached exactly")]
    pub(super) fn rests_at(&self, gain: f32) -> bool {
        self.left == 0 && self.gain == gain
    }

    pub(super) fn apply(&mut self, sample: f32) -> f32 {
        if self.left > 0 {
            self.left -= 1;
            self.gain = if self.left == 0 {
                self.target
            } else {
                self.gain + self.step
            };
        }
        sample * self.gain
    }
}

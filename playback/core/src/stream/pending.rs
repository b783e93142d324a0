//! Samples that are ready to be played before the cursor goes on: where the time scale was changed.

/// Longest change in milliseconds.
const LONGEST: u32 = 60;

#[derive(Debug)]
pub(crate) struct Pending {
    samples: Box<[f32]>,
    filled: usize,
    taken: usize,
}

impl Pending {
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            samples: vec![0.0; (rate * LONGEST / 1000) as usize].into_boxed_slice(),
            filled: 0,
            taken: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.samples.fill(0.0);
        self.filled = 0;
        self.taken = 0;
    }

    pub(crate) const fn len(&self) -> usize {
        self.filled - self.taken
    }

    /// Lets `write` fill the empty buffer; it answers how many samples it wrote.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut [f32]) -> usize) {
        self.taken = 0;
        self.filled = write(&mut self.samples).min(self.samples.len());
    }

    /// Moves samples to the front of `out`; answers how many.
    pub(crate) fn take(&mut self, out: &mut [f32]) -> usize {
        let length = self.len().min(out.len());
        let source = self.samples.get(self.taken..self.taken + length);
        if let (Some(source), Some(target)) = (source, out.get_mut(..length)) {
            target.copy_from_slice(source);
        }
        self.taken += length;
        length
    }
}

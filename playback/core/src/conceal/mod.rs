//! What fills the gap of a lost packet: the sound before it goes on, and meets the sound after it as soon as that is known.
//! Looks only at what was heard and at what has come; knows neither packets nor time.

/// What is known of the sound after a gap.
#[derive(Debug, Clone, Copy)]
pub struct Future<'a> {
    /// Samples from the next one to be concealed until the known sound begins.
    pub after: usize,
    /// As much of the known sound as has come, without a hole.
    pub samples: &'a [f32],
}

/// Remembers what was played and continues it through gaps. One for each stream; allocates only when made.
#[derive(Debug)]
pub struct Concealer {
    history: Vec<f32>,
    /// The history as it was when the gap began.
    before: Vec<f32>,
    shortest: usize,
    longest: usize,
    overlap: usize,
    /// Samples over which the sound fades to nothing, after as many at full volume as the overlap.
    fade: usize,
    period: usize,
    /// Samples continued in this gap.
    continued: usize,
    /// Samples of the sound after the gap still to be cross-faded.
    pending: usize,
}

impl Concealer {
    /// For a stream of so many samples per second.
    pub fn new(sample_rate: u32) -> Self {
        let scaled = |at_8000: usize| at_8000 * sample_rate as usize / 8000;
        Self {
            history: vec![0.0; scaled(600)],
            before: vec![0.0; scaled(600)],
            shortest: scaled(20),
            longest: scaled(160),
            overlap: scaled(40),
            fade: scaled(800),
            period: scaled(80),
            continued: 0,
            pending: 0,
        }
    }

    /// What was played last, the newest sample at the end: 75 ms.
    pub fn history(&self) -> &[f32] {
        &self.history
    }

    /// Remembers samples that were played as decoded.
    pub fn heard(&mut self, samples: &[f32]) {
        self.continued = 0;
        self.pending = 0;
        self.remember(samples);
    }

    /// The next samples of a gap, of any number. `future` is what has come of the sound after it by now.
    pub fn conceal(&mut self, future: Option<Future<'_>>, out: &mut [f32]) {
        if self.continued == 0 {
            self.period = self.pitch();
            self.before.copy_from_slice(&self.history);
        }
        for sample in out.iter_mut() {
            *sample = self.next();
        }
        self.pending = self.overlap;
        if let Some(future) = future {
            self.meet(future, out);
        }
        self.remember(out);
    }

    /// Takes the first decoded samples after a gap and fades over to them in place; then remembers them.
    pub fn resume(&mut self, samples: &mut [f32]) {
        for sample in samples.iter_mut().take(self.pending) {
            let share = self.pending as f32 / self.overlap as f32;
            *sample = *sample * (1.0 - share) + self.next() * share;
            self.pending -= 1;
        }
        if self.pending == 0 {
            self.continued = 0;
        }
        self.remember(samples);
    }

    /// Remembers a pause that isn't loss.
    pub fn silent(&mut self, samples: usize) {
        self.continued = 0;
        self.pending = 0;
        let samples = samples.min(self.history.len());
        let kept = self.history.len() - samples;
        self.history.rotate_left(samples);
        self.history[kept..].fill(0.0);
    }

    /// Puts right what was concealed: `samples`, which came too late, should have begun `ago` samples before the next.
    pub fn mend(&mut self, ago: usize, samples: &[f32]) {
        let length = self.history.len();
        for (offset, &sample) in samples.iter().enumerate() {
            if let Some(place) = (length + offset)
                .checked_sub(ago)
                .and_then(|place| self.history.get_mut(place))
            {
                *place = sample;
            }
        }
    }

    /// Fades over to the sound before the gap's end, continued backwards.
    fn meet(&mut self, future: Future<'_>, out: &mut [f32]) {
        let period = self.period.min(future.samples.len());
        if period < self.shortest {
            return;
        }
        let across = self.period.min(future.after.max(1));
        for (place, sample) in out.iter_mut().enumerate() {
            let left = future.after.saturating_sub(place);
            if left < across {
                let share = left as f32 / across as f32;
                let backwards = future.samples[(period - left % period) % period];
                *sample = *sample * share + backwards * (1.0 - share);
            }
        }
        if future.after <= out.len() {
            self.pending = 0;
        }
    }

    fn remember(&mut self, samples: &[f32]) {
        let length = self.history.len();
        let samples = &samples[samples.len().saturating_sub(length)..];
        self.history.rotate_left(samples.len());
        self.history[length - samples.len()..].copy_from_slice(samples);
    }

    fn next(&mut self) -> f32 {
        let end = self.before.len();
        let source = self.before[end - self.period + self.continued % self.period];
        let volume = 1.0 - self.continued.saturating_sub(self.overlap) as f32 / self.fade as f32;
        self.continued = self.continued.saturating_add(1);
        source * volume.clamp(0.0, 1.0)
    }

    fn pitch(&self) -> usize {
        let compared = self.longest;
        let end = self.history.len();
        let template = &self.history[end - compared..];
        let mut best = (0.0, self.longest);
        for lag in self.shortest..=self.longest {
            let likeness = likeness(template, &self.history[end - compared - lag..end - lag]);
            if likeness > best.0 {
                best = (likeness, lag);
            }
        }
        best.1
    }
}

/// Normalised correlation.
fn likeness(one: &[f32], other: &[f32]) -> f32 {
    let product: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    let energy: f32 = other.iter().map(|b| b * b).sum();
    product / (energy + 1e-9).sqrt()
}

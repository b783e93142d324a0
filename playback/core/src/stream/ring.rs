//! The decoded samples of a stream by their place in it (the unwrapped RTP timestamp, in samples), and what is known of each.
//!
//! Where a sample came late, again or out of order makes no difference here. The first sample of a place stays.

/// What is known of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing, so far.
    Empty,
    /// A decoded sample.
    Sound,
    /// The sender was silent.
    Silence,
}

/// A window on the stream: as many places from `low` on as the ring is long.
#[derive(Debug)]
pub(crate) struct Ring {
    samples: Box<[f32]>,
    content: Box<[Content]>,
    low: i64,
    /// Behind the last place of which anything is known.
    end: i64,
}

impl Ring {
    /// A ring of at least so many places.
    pub(crate) fn new(places: usize) -> Self {
        let length = places.next_power_of_two();
        Self {
            samples: vec![0.0; length].into_boxed_slice(),
            content: vec![Content::Empty; length].into_boxed_slice(),
            low: 0,
            end: 0,
        }
    }

    fn length(&self) -> i64 {
        i64::try_from(self.content.len()).unwrap_or(i64::MAX)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only the low bits count"
    )]
    fn slot(&self, place: i64) -> usize {
        place as usize & (self.content.len() - 1)
    }

    /// Places that are kept behind the cursor.
    pub(crate) fn kept(&self) -> i64 {
        self.length() / 4
    }

    /// Forgets everything; the window begins a quarter before `cursor`.
    pub(crate) fn clear(&mut self, cursor: i64) {
        self.content.fill(Content::Empty);
        self.samples.fill(0.0);
        self.low = cursor - self.kept();
        self.end = cursor;
    }

    /// Moves the window so that it begins a quarter before `cursor`. It never moves back.
    pub(crate) fn follow(&mut self, cursor: i64) {
        let low = cursor - self.kept();
        if low - self.low >= self.length() {
            return self.clear(cursor);
        }
        while self.low < low {
            let slot = self.slot(self.low);
            if let (Some(content), Some(sample)) = (self.content.get_mut(slot), self.samples.get_mut(slot)) {
                *content = Content::Empty;
                *sample = 0.0;
            }
            self.low += 1;
        }
        self.end = self.end.max(self.low);
    }

    /// Behind the last place of which anything is known.
    pub(crate) const fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn content(&self, place: i64) -> Content {
        if place < self.low || place >= self.end {
            return Content::Empty;
        }
        let slot = self.slot(place);
        self.content.get(slot).copied().unwrap_or(Content::Empty)
    }

    /// Stores samples; places that are known already, and those outside of the window, stay as they are.
    /// Answers how many were new.
    pub(crate) fn write(&mut self, at: i64, samples: &[f32]) -> usize {
        let mut new = 0;
        for (place, &sample) in (at..).zip(samples) {
            new += usize::from(self.set(place, sample, Content::Sound));
        }
        new
    }

    /// Marks the unknown places of a stretch as silent.
    pub(crate) fn silence(&mut self, from: i64, to: i64) {
        for place in from.max(self.low)..to.min(self.low + self.length()) {
            self.set(place, 0.0, Content::Silence);
        }
    }

    fn set(&mut self, place: i64, sample: f32, content: Content) -> bool {
        if place < self.low || place >= self.low + self.length() {
            return false;
        }
        let slot = self.slot(place);
        let (Some(target), Some(known)) = (self.samples.get_mut(slot), self.content.get_mut(slot)) else {
            return false;
        };
        if *known == Content::Sound || (*known == Content::Silence && content == Content::Silence) {
            return false;
        }
        *target = sample;
        *known = content;
        self.end = self.end.max(place + 1);
        true
    }

    /// What lies at `at`, and for how many places, of at most `most`.
    pub(crate) fn run(&self, at: i64, most: usize) -> (Content, usize) {
        let content = self.content(at);
        let length = (at..).take(most).take_while(|&place| self.content(place) == content);
        (content, length.count())
    }

    /// The first place from `at` on of which anything is known.
    pub(crate) fn next_known(&self, at: i64) -> Option<i64> {
        (at.max(self.low)..self.end).find(|&place| self.content(place) != Content::Empty)
    }

    /// Whether a decoded sample lies in a stretch.
    pub(crate) fn has_sound(&self, from: i64, to: i64) -> bool {
        (from.max(self.low)..to.min(self.end)).any(|place| self.content(place) == Content::Sound)
    }

    /// Whether all of a stretch is known.
    pub(crate) fn knows(&self, from: i64, length: usize) -> bool {
        (from..).take(length).all(|place| self.content(place) != Content::Empty)
    }

    /// Copies what lies at `at` (zero where nothing is known).
    pub(crate) fn read(&self, at: i64, out: &mut [f32]) {
        for (place, sample) in (at..).zip(out) {
            let known = self.content(place) == Content::Sound;
            let stored = self.samples.get(self.slot(place)).copied().unwrap_or(0.0);
            *sample = if known { stored } else { 0.0 };
        }
    }

    /// Mean of the squares of a stretch.
    pub(crate) fn mean_square(&self, from: i64, length: usize) -> f32 {
        let sum: f32 = (from..)
            .take(length)
            .filter(|&place| self.content(place) == Content::Sound)
            .map(|place| self.samples.get(self.slot(place)).copied().unwrap_or(0.0))
            .map(|sample| sample * sample)
            .sum();
        sum / length.max(1) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_where_they_belong_in_whatever_order_they_came() {
        let mut ring = Ring::new(64);
        ring.clear(1000);
        assert_eq!(ring.write(1004, &[5.0, 6.0]), 2);
        assert_eq!(ring.write(1000, &[1.0, 2.0]), 2);
        assert_eq!(ring.run(1000, 64), (Content::Sound, 2));
        assert_eq!(ring.run(1002, 64), (Content::Empty, 2));
        assert_eq!(ring.next_known(1002), Some(1004));
        let mut out = [9.0; 7];
        ring.read(1000, &mut out);
        assert_eq!(
            out.map(f32::to_bits),
            [1.0_f32, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0].map(f32::to_bits)
        );
    }

    #[test]
    fn the_first_sample_of_a_place_stays() {
        let mut ring = Ring::new(64);
        ring.clear(0);
        ring.write(0, &[1.0, 2.0]);
        assert_eq!(ring.write(1, &[7.0, 3.0]), 1);
        ring.silence(0, 5);
        let mut out = [9.0; 3];
        ring.read(0, &mut out);
        assert_eq!((out, ring.content(4)), ([1.0, 2.0, 3.0], Content::Silence));
    }

    #[test]
    fn nothing_of_what_was_passed_or_forgotten_stays_in_memory() {
        let mut ring = Ring::new(64);
        ring.clear(0);
        ring.write(0, &[1.0; 40]);
        ring.follow(40);
        let left = |ring: &Ring| ring.samples.iter().filter(|sample| **sample != 0.0).count();
        assert_eq!(left(&ring), 16, "a quarter is kept behind the cursor");
        ring.clear(40);
        assert_eq!(left(&ring), 0);
    }

    #[test]
    fn what_lies_outside_of_the_window_is_not_taken() {
        let mut ring = Ring::new(64);
        ring.clear(100);
        assert_eq!(ring.write(50, &[1.0]), 0);
        assert_eq!(ring.write(84 + 64, &[1.0]), 0);
        ring.write(100, &[1.0]);
        ring.follow(150);
        assert_eq!(ring.content(100), Content::Empty);
        assert_eq!(ring.end(), 134);
        ring.follow(1_000_000);
        assert_eq!(ring.next_known(0), None);
    }
}

//! Brings a leg's speech slowly to a comfortable level. Pauses and steady noise neither count nor change anything.

use super::ramp::Ramp;

/// Level that speech is brought to, in dB relative to a full-scale square wave.
const TARGET_DBFS: f32 = -22.0;
/// Nothing is changed for less.
const NEAR_ENOUGH_DB: f32 = 1.0;
/// Largest change either way.
const MOST_DB: f32 = 12.0;
/// Speed while someone speaks: 3 dB up and 6 dB down in a second.
const UP_DB: f32 = 0.03;
const DOWN_DB: f32 = 0.06;
/// A block is 10 ms.
const BLOCKS_PER_SECOND: u32 = 100;
/// Speech is no weaker than -50 dB, and rises and falls: less than half a second before and after, the sound is 10 dB
/// weaker. Noise that begins, goes on or ends doesn't.
const WEAKEST_SPEECH: f32 = 1e-5;
const ABOVE_VALLEYS: f32 = 10.0;
const NEIGHBOURS: usize = 45;
/// Blocks of speech that the level is averaged over, and that it takes to begin.
const AVERAGED_BLOCKS: u32 = 150;
const FIRST_BLOCKS: u32 = 30;

/// The level control of one leg.
#[derive(Debug)]
pub(super) struct AutoLevel {
    on: bool,
    block: u32,
    observed: u32,
    energy: f32,
    /// Mean squares of the last blocks; the one in the middle is looked at.
    blocks: [f32; 2 * NEIGHBOURS + 1],
    /// Mean square of the speech, over so many blocks of it.
    speech: f32,
    spoken: u32,
    gain_db: f32,
    gain: Ramp,
}

impl AutoLevel {
    pub(super) fn new(sample_rate: u32) -> Self {
        let block = (sample_rate / BLOCKS_PER_SECOND).max(1);
        Self {
            on: false,
            block,
            observed: 0,
            energy: 0.0,
            blocks: [0.0; 2 * NEIGHBOURS + 1],
            speech: 0.0,
            spoken: 0,
            gain_db: 0.0,
            gain: Ramp::new(1.0, block),
        }
    }

    pub(super) fn switch(&mut self, on: bool) {
        if on != self.on {
            self.on = on;
            self.blocks.fill(0.0);
            self.spoken = 0;
            self.gain_db = 0.0;
            self.gain.set(1.0);
        }
    }

    pub(super) fn apply(&mut self, sample: f32) -> f32 {
        if self.on {
            self.energy += sample * sample;
            self.observed += 1;
            if self.observed == self.block {
                self.end_block();
            }
        }
        self.gain.apply(sample)
    }

    /// Whether it is switched off and its gain gone.
    pub(super) fn is_off(&self) -> bool {
        !self.on && self.gain.rests_at(1.0)
    }

    /// The gain now, in dB.
    pub(super) const fn gain_db(&self) -> f32 {
        self.gain_db
    }

    fn end_block(&mut self) {
        self.blocks.rotate_left(1);
        if let Some(last) = self.blocks.last_mut() {
            *last = self.energy / self.block as f32;
        }
        self.energy = 0.0;
        self.observed = 0;
        if let Some(speech) = self.speech_in_the_middle() {
            self.spoken = (self.spoken + 1).min(AVERAGED_BLOCKS);
            self.speech += (speech - self.speech) / self.spoken as f32;
            if self.spoken >= FIRST_BLOCKS {
                self.adjust();
            }
        }
    }

    /// Mean square of the block in the middle, where it is speech.
    fn speech_in_the_middle(&self) -> Option<f32> {
        let (before, from) = self.blocks.split_at(NEIGHBOURS);
        let (&middle, after) = from.split_first()?;
        let valley = |blocks: &[f32]| blocks.iter().copied().fold(f32::MAX, f32::min);
        let valleys = valley(before).max(valley(after));
        (middle >= WEAKEST_SPEECH && middle >= valleys * ABOVE_VALLEYS).then_some(middle)
    }

    fn adjust(&mut self) {
        let wanted = (TARGET_DBFS - 10.0 * self.speech.log10()).clamp(-MOST_DB, MOST_DB);
        let missing = wanted - self.gain_db;
        if missing.abs() < NEAR_ENOUGH_DB {
            return;
        }
        self.gain_db += missing.clamp(-DOWN_DB, UP_DB);
        self.gain.set(10_f32.powf(self.gain_db / 20.0));
    }
}

//! The playing side of a leg: takes packets in order of their place on the time line, fills what is missing, and moves
//! the cursor. In quiet moments it makes good for clocks that run apart: skips where too much waits, holds where too little.

use std::time::Duration;

use silentmon_proto::time::Instant;

use crate::buffer::{JitterBuffer, Waiting};
use crate::conceal::Concealer;
use crate::player::PlayoutSettings;
use crate::quality::{Concealment, CopyMeter, PacketFate};
use crate::report::{DelayHistogram, Level, mean_square};
use crate::schedule::WindowedMinimum;
use crate::sequence::SequenceWindow;
use crate::units::{count, duration, samples, span};

/// Samples rendered at once: 10 ms.
pub(crate) const TICK: usize = 80;
const TICK_SPAN: i64 = 80;

/// A tick with a mean square below this is quiet (-48 dB of full scale): to drop or to repeat it goes unnoticed.
const QUIET: f64 = 130.0 * 130.0;
/// Delay beyond the target that is put up with; network jitter of 40 ms must never lead to a correction.
const TOLERANCE: i64 = 480;
/// A correction ends when it is this close to the target.
const CORRECTED: i64 = TICK_SPAN;
/// Most quiet ticks skipped at once.
const MOST_SKIPPED: usize = 8;
/// Packets in a row whose fates are told; more missing is a pause.
const MOST_FATES: i64 = 3000;
/// How long the fastest packets are watched before the delay is corrected.
const SLACK_WINDOW: Duration = Duration::from_secs(5);

/// What is being done about a delay that left its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    None,
    Skip,
    Hold,
}

/// What comes next at the cursor.
enum Next {
    /// So many samples of the packet that is being played.
    Decoded(usize),
    /// So many samples without a packet, though a later packet waits. `lost`: one is missing in between.
    Gap { length: usize, lost: bool },
    /// Nothing waits.
    Starved,
}

/// The playing side of a leg.
#[derive(Debug)]
pub(crate) struct Playout {
    pub(crate) buffer: JitterBuffer,
    pub(crate) delays: DelayHistogram,
    pub(crate) level: Level,
    /// What became of the packets whose time is over.
    pub(crate) fates: CopyMeter,
    /// Packets lost on the relay, and those of them whose fate was told.
    relay_lost: u64,
    relay_told: u64,
    /// Packets that came late, and whose fate is yet to be told.
    late: u64,
    /// Samples that had to be made up.
    pub(crate) concealed: u64,
    /// Decoded samples played.
    pub(crate) audible: u64,
    pub(crate) first_audio: Option<Instant>,
    /// Place of the next sample on the time line.
    cursor: i64,
    /// The samples of the packet being played, and the place of the first.
    frame: Vec<i16>,
    frame_at: i64,
    /// Generation and sequence number of the packet played last.
    last: Option<(u32, i64)>,
    concealer: Concealer,
    /// Silence played since nothing waited.
    starved: u64,
    /// Whether the last tick was quiet.
    quiet: bool,
    concealment: Concealment,
    target: i64,
    correction: Correction,
    /// Delay short of the target, by the fastest packets.
    shortage: WindowedMinimum,
}

impl Playout {
    pub(crate) fn new(settings: PlayoutSettings) -> Self {
        Self {
            buffer: JitterBuffer::new(),
            delays: DelayHistogram::new(),
            level: Level::default(),
            fates: CopyMeter::default(),
            relay_lost: 0,
            relay_told: 0,
            late: 0,
            concealed: 0,
            audible: 0,
            first_audio: None,
            cursor: 0,
            frame: Vec::with_capacity(crate::buffer::MAX_PAYLOAD),
            frame_at: 0,
            last: None,
            concealer: Concealer::new(),
            starved: 0,
            quiet: true,
            concealment: settings.concealment,
            target: samples(settings.delay),
            correction: Correction::None,
            shortage: WindowedMinimum::new(SLACK_WINDOW),
        }
    }

    /// Place of the next sample.
    pub(crate) const fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Where the last sample that waits, or is being played, ends.
    pub(crate) fn end(&self) -> i64 {
        let playing = self.frame_end().max(self.cursor);
        self.buffer.end().map_or(playing, |end| end.max(playing))
    }

    fn frame_end(&self) -> i64 {
        self.frame_at + span(self.frame.len())
    }

    /// Goes on without rendering, as before the first tick.
    pub(crate) const fn advance(&mut self, by: i64) {
        self.cursor += by;
    }

    /// Leaves out so many samples at once: the delay ran past every bound.
    pub(crate) fn cut(&mut self, by: i64) {
        self.cursor += by;
        self.shortage.shift(by);
    }

    /// Learns how much later than its target a packet will be played.
    pub(crate) fn watch(&mut self, now: Instant, excess: i64) {
        self.shortage.observe(now, excess.saturating_neg());
    }

    /// Forgets what was learnt: another time line begins.
    pub(crate) fn forget(&mut self) {
        self.shortage.forget();
        self.correction = Correction::None;
    }

    /// Whether all that came was played, and silence since.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved > 0 && !self.has_sound()
    }

    /// Makes the silence since the last packet a delay: the next packet belongs at the cursor, which is returned.
    pub(crate) fn hold(&mut self) -> i64 {
        self.concealed += self.starved;
        self.starved = 0;
        self.forget();
        self.cursor
    }

    /// Takes note of a packet that came too late, of which so many samples are missing.
    pub(crate) fn missed(&mut self, generation: u32, sequence: i64, samples: u64) {
        let passed = self.last.is_some_and(|(g, last)| g == generation && sequence < last);
        if passed {
            self.fates.came_late();
        } else {
            self.late += 1;
            self.concealed += samples;
            self.starved = self.starved.saturating_sub(samples);
        }
    }

    /// The next 10 ms. `at` is when the first of them is played.
    pub(crate) fn render(&mut self, at: Instant, numbers: &SequenceWindow, out: &mut [i16; TICK]) {
        self.decide();
        if self.correction == Correction::Hold && self.is_calm() {
            out.fill(0);
            self.shortage.shift(-TICK_SPAN);
            self.level.observe(0.0);
            return;
        }
        self.fill(at, numbers, out);
        for _ in 0..MOST_SKIPPED {
            let skip = self.correction == Correction::Skip && self.has_sound() && mean_square(out) < QUIET;
            if !skip {
                break;
            }
            self.shortage.shift(TICK_SPAN);
            self.fill(at, numbers, out);
            self.decide();
        }
        let mean_square = mean_square(out);
        self.quiet = mean_square < QUIET;
        self.level.observe(mean_square);
    }

    /// Quiet before and after the cursor: a pause may be lengthened here.
    fn is_calm(&self) -> bool {
        let ahead = self.frame.get(count(self.cursor - self.frame_at)..).unwrap_or_default();
        self.quiet && mean_square(ahead.get(..TICK).unwrap_or(ahead)) < QUIET
    }

    fn has_sound(&self) -> bool {
        self.cursor < self.frame_end() || self.buffer.front().is_some()
    }

    fn decide(&mut self) {
        let excess = self.shortage.minimum().map_or(0, i64::saturating_neg);
        self.correction = match self.correction {
            Correction::None if excess > TOLERANCE => Correction::Skip,
            Correction::None if excess < -self.target * 3 / 4 && self.shortage.is_settled() => Correction::Hold,
            Correction::Skip if excess <= CORRECTED => Correction::None,
            Correction::Hold if excess >= -CORRECTED => Correction::None,
            unchanged => unchanged,
        };
    }

    fn fill(&mut self, at: Instant, numbers: &SequenceWindow, out: &mut [i16]) {
        let mut rest = out;
        while !rest.is_empty() {
            let next = self.next(at, rest.len(), numbers);
            let length = match next {
                Next::Decoded(length) | Next::Gap { length, .. } => length,
                Next::Starved => rest.len(),
            };
            let (stretch, after) = rest.split_at_mut(length.min(rest.len()));
            self.play(at, &next, stretch);
            self.cursor += span(stretch.len());
            rest = after;
        }
    }

    fn next(&mut self, at: Instant, most: usize, numbers: &SequenceWindow) -> Next {
        loop {
            let left = count(self.frame_end() - self.cursor);
            if left > 0 {
                return Next::Decoded(left.min(most));
            }
            let Some(head) = self.buffer.front() else {
                return Next::Starved;
            };
            let gap = count(head.at - self.cursor);
            if gap > 0 {
                return Next::Gap {
                    length: gap.min(most),
                    lost: self.follows_loss(head, numbers),
                };
            }
            self.open(at, numbers);
        }
    }

    /// Whether a packet is missing between the one played last and `head`. Contiguous numbers with a jump of the
    /// timestamp are a pause that wasn't sent.
    fn follows_loss(&self, head: &Waiting, numbers: &SequenceWindow) -> bool {
        self.last.is_some_and(|(generation, sequence)| {
            generation == head.generation && numbers.misses_between(head.run, sequence, head.sequence)
        })
    }

    fn play(&mut self, at: Instant, next: &Next, stretch: &mut [i16]) {
        let length = stretch.len();
        match *next {
            Next::Decoded(_) => {
                let from = count(self.cursor - self.frame_at);
                if let Some(decoded) = self.frame.get(from..from + length) {
                    stretch.copy_from_slice(decoded);
                }
                self.concealer.played(stretch);
                self.audible += length as u64;
                self.first_audio.get_or_insert(at);
            }
            Next::Gap { lost: true, .. } => {
                self.concealed += length as u64;
                if self.starved == 0 && self.concealment == Concealment::Concealed {
                    self.concealer.conceal(stretch);
                } else {
                    self.silence(stretch);
                }
            }
            Next::Gap { lost: false, .. } => self.silence(stretch),
            Next::Starved => {
                self.starved += length as u64;
                self.silence(stretch);
            }
        }
    }

    fn silence(&mut self, stretch: &mut [i16]) {
        stretch.fill(0);
        self.concealer.silent(stretch.len());
    }

    /// Decodes the packet at the head.
    fn open(&mut self, at: Instant, numbers: &SequenceWindow) {
        let Some(head) = self.buffer.pop() else {
            return;
        };
        self.concealed += self.missing_before(&head, numbers);
        self.tell_fates(&head, numbers);
        self.starved = 0;
        self.last = Some((head.generation, head.sequence));
        self.frame.clear();
        self.frame_at = head.at;
        head.decoder.decode_into(&head.payload, &mut self.frame);
        self.delays.record(at.saturating_since(head.captured));
        self.buffer.recycle(head.payload);
    }

    /// Learns how many packets the relay has lost so far.
    pub(crate) const fn note_relay_losses(&mut self, lost: u64) {
        self.relay_lost = lost;
    }

    /// How much sound a packet holds, by the one played last.
    pub(crate) fn packet_time(&self) -> Duration {
        duration(self.frame.len() as u64)
    }

    /// Tells what became of the packets between the one played before and this one, and of this one.
    fn tell_fates(&mut self, head: &Waiting, numbers: &SequenceWindow) {
        let before = self.last.filter(|&(generation, _)| generation == head.generation);
        let first = before.map_or(head.sequence, |(_, sequence)| sequence + 1);
        for number in first.max(head.sequence - MOST_FATES)..head.sequence {
            let (came, late) = (numbers.has(number), self.late > 0);
            let lost_on_relay = !came && self.relay_told < self.relay_lost;
            self.late -= u64::from(came && late);
            self.relay_told += u64::from(lost_on_relay);
            let fate = match (came, late) {
                (true, true) => PacketFate::Late,
                // Kept-back events are never opened.
                (true, false) => PacketFate::Played,
                (false, _) if lost_on_relay => PacketFate::LostOnRelay,
                (false, _) => PacketFate::LostBeforeRelay,
            };
            self.fates.fate(fate);
        }
        self.fates.fate(PacketFate::Played);
    }

    /// Samples of the silence before a packet that should have been sound.
    fn missing_before(&self, head: &Waiting, numbers: &SequenceWindow) -> u64 {
        if self.follows_loss(head, numbers) {
            return self.starved;
        }
        let overdue = count(self.cursor - head.at) as u64;
        overdue.min(self.starved)
    }
}

//! Packets in: their place, what they say about the network, and the samples they hold.

use crate::codec::Gap;
use crate::codec::comfort_noise::ComfortNoise;
use crate::delay::target::Target;
use crate::sequence::{Numbered, Order};
use crate::units::{count, span};

use super::numbers::Span;
use super::{Phase, Stream};

/// A timestamp so many seconds before its time, or beyond the ceiling, is a jump.
const JUMP: f64 = 1.0;
const AHEAD: f64 = 0.5;
/// After so long a pause, the first packet says nothing about the jitter.
const PAUSE: f64 = 0.1;
/// The zero line has moved if it did by more than this from one packet to the next; falls beyond the other are a new path.
const LINE_STEP: f64 = 0.002;
const LINE_FALL: f64 = 0.1;
/// Longest gap that a decoder is asked to fill.
const LONGEST_FILL: f64 = 0.12;

/// When a packet came, in seconds of the output's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// When the next frame plays that isn't rendered yet: a sample that belongs before comes too late.
    pub(crate) output: f64,
    /// When it really came.
    pub(crate) at: f64,
    /// When it was captured, by the capture clock.
    pub(crate) captured: f64,
    /// Whether it was sent again: its time says how long a repair takes, and nothing about the path.
    pub(crate) again: bool,
}

/// A packet with its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) numbered: Numbered,
    pub(crate) payload: &'a [u8],
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All or a part of it will be played.
    Taken,
    /// Its time is over.
    Late,
    /// More than there is room for.
    Dropped,
    /// No payload of its codec.
    Undecodable,
    /// It doesn't fit the stream: another begins with it.
    Jump,
}

/// What a packet is among those sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The first one after a pause of the sender (RFC 3551 section 4.1).
    BeginsTalkspurt,
    GoesOn,
    /// Newer ones came before it.
    Reordered,
}

impl Stream {
    fn place(&self, timestamp: i64) -> i64 {
        if self.rate == self.clock_rate {
            return timestamp;
        }
        let scaled = i128::from(timestamp) * i128::from(self.rate) / i128::from(self.clock_rate);
        i64::try_from(scaled).unwrap_or(0)
    }

    /// Takes a packet of sound.
    pub(crate) fn handle_sound(&mut self, arrival: Arrival, packet: Incoming<'_>, target: &mut Target) -> Outcome {
        let Some(Ok(length)) = self.decoder.as_ref().map(|decoder| decoder.samples(packet.payload)) else {
            return Outcome::Undecodable;
        };
        if length == 0 || length > self.decoded.len() {
            return Outcome::Undecodable;
        }
        let before = self.timestamps;
        let timestamp = self.timestamps.unwrap(packet.timestamp);
        let start = self.place(timestamp);
        let span = Span {
            sequence: packet.numbered.extended,
            start,
            end: start + span(length),
        };
        if self.spans.newest().is_none() {
            self.aim_at(target.wanted());
            self.anchor(arrival, start);
        } else if !self.fits(start) {
            if packet.numbered.order == Order::Reordered {
                self.timestamps = before;
                return Outcome::Late;
            }
            return Outcome::Jump;
        }
        let standing = self.standing(packet, span);
        let lateness = self.learn(arrival, span, target);
        self.remember(span, packet.marker);
        let outcome = self.store(packet, span);
        self.follow_arrival(arrival, span, standing, lateness);
        outcome
    }

    /// Takes a packet that holds no sound: the sender is silent from here on.
    pub(crate) fn handle_silence(&mut self, packet: Incoming<'_>) {
        if self.spans.newest().is_none() {
            return;
        }
        let timestamp = self.timestamps.unwrap(packet.timestamp);
        let start = self.place(timestamp);
        let span = Span {
            sequence: packet.numbered.extended,
            start,
            end: start,
        };
        let newest = self.spans.newest().is_none_or(|newest| newest.sequence < span.sequence);
        self.remember(span, false);
        if newest {
            let noise = ComfortNoise::parse(packet.payload).filter(|noise| !noise.is_inaudible());
            self.silent_from = Some((start, noise.map_or(0.0, ComfortNoise::effective_value)));
        }
    }

    /// Begins where the packet lies.
    fn anchor(&mut self, arrival: Arrival, start: i64) {
        self.ring.clear(start);
        self.baseline.restart(arrival.at, arrival.at - self.seconds(start));
        self.capture
            .restart(arrival.captured, arrival.captured - self.seconds(start));
        self.line = arrival.at - self.seconds(start);
        let rendered = arrival.output - arrival.at;
        let wait = self.joins_after.take().unwrap_or(self.goal - rendered);
        self.cursor = start - self.samples(wait.max(0.0));
    }

    fn fits(&self, start: i64) -> bool {
        let wait = self.seconds(start) - self.playing_at();
        (-JUMP..self.ceiling + AHEAD).contains(&wait)
    }

    /// Learns from the packet's time; answers by how much it is later than the fastest.
    fn learn(&mut self, arrival: Arrival, span: Span, target: &mut Target) -> f64 {
        let place = self.seconds(span.start);
        let finished = self.baseline.observe(arrival.at, arrival.at - place, self.drift.skew());
        if let Some(fastest) = finished {
            self.drift.observe(fastest);
        }
        self.capture.observe(arrival.captured, arrival.captured - place, 0.0);
        self.follow_baseline(arrival, target);
        let lateness = arrival.output - place - self.line;
        let pause = self.pause_before(span);
        if !arrival.again && (pause < PAUSE || lateness < self.goal) {
            target.observe(lateness, self.seconds(span.end - span.start));
        }
        if pause > 0.0 && self.lost_before(span) > 0 {
            target.observe_gap(pause);
        }
        self.aim_at(target.wanted());
        lateness
    }

    /// Tells the target where the zero line of what it knows has moved. A path that became much faster is another path: what
    /// was known of the old one is no measure for it.
    fn follow_baseline(&mut self, arrival: Arrival, target: &mut Target) {
        let line = self.baseline.at(arrival.at, self.drift.skew());
        let moved = line - self.line;
        if moved > LINE_STEP || (-LINE_FALL..-LINE_STEP).contains(&moved) {
            target.shift(moved);
        }
        self.line = line;
    }

    fn standing(&self, packet: Incoming<'_>, span: Span) -> Standing {
        if packet.numbered.order == Order::Reordered {
            Standing::Reordered
        } else if self.pause_before(span) >= PAUSE && (packet.marker || self.lost_before(span) == 0) {
            Standing::BeginsTalkspurt
        } else {
            Standing::GoesOn
        }
    }

    /// How long the sender said nothing, or was lost, before this packet, which is the newest, in seconds.
    fn pause_before(&self, span: Span) -> f64 {
        self.spans
            .newest()
            .map_or(0.0, |newest| self.seconds(span.start - newest.end))
    }

    /// How many packets are missing just before this one, which is the newest.
    fn lost_before(&self, span: Span) -> i64 {
        self.spans
            .newest()
            .map_or(0, |newest| span.sequence - newest.sequence - 1)
    }

    /// Notes where the packet lies, and whether what is before and behind it was a pause.
    fn remember(&mut self, span: Span, marker: bool) {
        if let Some(newest) = self.spans.newest().filter(|newest| newest.sequence < span.sequence) {
            self.silent_from = None;
            // Lost packets before a marker ended the sound before the pause (RFC 3551 section 4.1).
            let lost = span.sequence - newest.sequence - 1;
            if lost > 0 && marker {
                let usual = (newest.end - newest.start).max(span.end - span.start);
                self.ring.silence(newest.end + lost.saturating_mul(usual), span.start);
            }
        }
        if let Some(before) = self.spans.of(span.sequence - 1) {
            self.pauses |= self.seconds(span.start - before.end) > PAUSE;
            self.ring.silence(before.end, span.start);
        }
        if let Some(after) = self.spans.of(span.sequence + 1) {
            self.ring.silence(span.end, after.start);
        }
        self.spans.insert(span);
    }

    /// Decodes the packet, or keeps it until those before it are decoded.
    fn store(&mut self, packet: Incoming<'_>, span: Span) -> Outcome {
        let late = span.end <= self.cursor;
        if !self.is_stateless() {
            let taken = self.queue.insert(span.sequence, span.start, span.end, packet.payload);
            self.decode_waiting();
            return match (taken, late) {
                (_, true) => Outcome::Late,
                (true, false) => Outcome::Taken,
                (false, false) => Outcome::Dropped,
            };
        }
        let length = count(span.end - span.start);
        let (Some(decoder), Some(out)) = (&mut self.decoder, self.decoded.get_mut(..length)) else {
            return Outcome::Undecodable;
        };
        if decoder.decode(packet.payload, out).is_err() {
            return Outcome::Undecodable;
        }
        if late {
            self.concealer.mend(count(self.cursor - span.start), out);
        }
        let new = self.ring.write(span.start, out);
        match (late, new) {
            (true, _) => Outcome::Late,
            (false, 0) => Outcome::Dropped,
            (false, _) => Outcome::Taken,
        }
    }

    /// Decodes what is next in order, and across a gap once the gap is about to be played.
    pub(super) fn decode_waiting(&mut self) {
        while let Some(head) = self.queue.front() {
            let gap = match self.queue.decoded() {
                Some((sequence, end)) if sequence + 1 != head.sequence => Some(end),
                _ => None,
            };
            if gap.is_some_and(|end| end > self.cursor + span(self.fade_length())) {
                return;
            }
            self.decode_next(gap);
        }
    }

    fn decode_next(&mut self, gap: Option<i64>) {
        let most = self.samples(LONGEST_FILL);
        let (Some(packet), Some(decoder)) = (self.queue.pop(), &mut self.decoder) else {
            return;
        };
        let mut made_up = 0;
        if let Some(from) = gap {
            let missing = packet.start - from;
            if (1..=most).contains(&missing)
                && let Some(out) = self.decoded.get_mut(..count(missing))
            {
                let filled = decoder.fill_gap(Some(&packet.payload), out);
                if filled != Gap::Open {
                    self.ring.write(from, out);
                }
                made_up = if filled == Gap::Concealed { missing } else { 0 };
            }
        }
        if let Some(out) = self.decoded.get_mut(..count(packet.end - packet.start)) {
            // A payload that turns out bad is silent.
            let _ = decoder.decode(&packet.payload, out);
            self.ring.write(packet.start, out);
        }
        self.queue.recycle(packet.payload);
        self.played.concealed += self.nanos(made_up);
    }

    /// Lets the cursor follow a packet that came later than it was to be played, or ends a pause.
    fn follow_arrival(&mut self, arrival: Arrival, span: Span, standing: Standing, lateness: f64) {
        match self.phase {
            // A packet that belongs before the first one: both are played.
            Phase::Waiting => self.cursor = self.cursor.min(span.start),
            Phase::Playing if self.cursor > span.start => self.catch_late(arrival, span, standing, lateness),
            Phase::Playing => {
                self.steps.forget();
                if standing != Standing::Reordered && self.is_in_pause() {
                    self.end_pause(span.start, lateness);
                }
            }
            Phase::Idle | Phase::Ending => {}
        }
    }
}

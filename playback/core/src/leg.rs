//! The receiving side of a leg: recognises streams and their restarts, removes duplicates, and gives every packet its
//! place on the time line.
//!
//! A stream keeps the place its first packet got (capture time + delay); each other packet follows by its timestamp, so
//! that nothing is stretched. Only where timestamps and capture times disagree for good does the time line begin anew.

use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Ssrc;
use silentmon_proto::rtp::Packet;
use silentmon_proto::time::Instant;

use crate::buffer::Waiting;
use crate::decoder::Decoder;
use crate::player::PlayoutSettings;
use crate::playout::{Playout, TICK};
use crate::report::LegReport;
use crate::schedule::{ArrivalClock, difference};
use crate::sequence::{Numbered, Order, SequenceWindow, TimestampUnwrapper};
use crate::units::{duration, samples, samples_from_nanos, span};

/// A timestamp so far in the past is a jump, not a delay.
const JUMP: Duration = Duration::from_secs(1);
/// After a pause this long a stream that comes late is taken up at once.
const PAUSE: Duration = Duration::from_millis(500);
/// A stream late for this long won't become punctual again.
const LATE: Duration = Duration::from_millis(200);
/// A stream that another replaced is believed again after this silence of the other.
const STALE: Duration = Duration::from_millis(500);
/// A new stream is joined to the end of the old one where they overlap by no more.
const JOIN: Duration = Duration::from_millis(100);

/// A packet's arrival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) now: Instant,
    pub(crate) captured: Instant,
    /// The place on the leg's time line that plays at `now`.
    pub(crate) position: i64,
}

/// The stream heard now.
#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    timestamps: TimestampUnwrapper,
    /// Place of timestamp 0; `None` before the first packet of sound.
    mapping: Option<i64>,
    /// Number of the packet that gave the mapping; older ones don't fit it.
    mapped_at: i64,
    /// Capture time and end (timestamp) of the newest packet.
    captured: Instant,
    end: i64,
    late_since: Option<Instant>,
}

impl Stream {
    fn new(ssrc: Ssrc, captured: Instant) -> Self {
        Self {
            ssrc,
            timestamps: TimestampUnwrapper::default(),
            mapping: None,
            mapped_at: 0,
            captured,
            end: 0,
            late_since: None,
        }
    }
}

/// A decodable packet on its way to its place.
#[derive(Debug, Clone, Copy)]
struct Placing {
    timestamp: i64,
    sequence: i64,
    samples: i64,
    newest: bool,
}

#[derive(Debug, Default)]
struct Counters {
    received: u64,
    duplicates: u64,
    late: u64,
    dropped: u64,
    undecodable: u64,
    suppressed: u64,
    resyncs: u64,
}

/// One leg of a session.
#[derive(Debug)]
pub(crate) struct Leg {
    settings: PlayoutSettings,
    pub(crate) playout: Playout,
    stream: Option<Stream>,
    /// The SSRC heard before.
    previous: Option<Ssrc>,
    numbers: SequenceWindow,
    relay: SequenceWindow,
    generation: u32,
    codec: Option<Codec>,
    counters: Counters,
}

impl Leg {
    pub(crate) fn new(settings: PlayoutSettings) -> Self {
        Self {
            settings,
            playout: Playout::new(settings),
            stream: None,
            previous: None,
            numbers: SequenceWindow::rtp(),
            relay: SequenceWindow::relay(),
            generation: 0,
            codec: None,
            counters: Counters::default(),
        }
    }

    pub(crate) fn handle_relay_sequence(&mut self, number: u32) {
        self.relay.record(number, 0);
        self.playout.note_relay_losses(self.relay.lost());
    }

    pub(crate) const fn count_dropped(&mut self) {
        self.counters.dropped += 1;
    }

    pub(crate) fn render(&mut self, at: Instant, out: &mut [i16; TICK]) {
        self.playout.render(at, &self.numbers, out);
    }

    /// Takes note of an event packet that was kept back: its number isn't missing, and its time is silent.
    pub(crate) fn handle_suppressed(&mut self, packet: &Packet<'_>) {
        self.counters.suppressed += 1;
        if self.stream.as_ref().is_some_and(|stream| stream.ssrc == packet.ssrc) {
            self.numbers.record(packet.sequence.0.into(), packet.timestamp.0);
        }
    }

    pub(crate) fn handle_packet(&mut self, arrival: Arrival, clock: &mut ArrivalClock, packet: &Packet<'_>) {
        if !self.follow(packet.ssrc, arrival.captured) {
            self.counters.late += 1;
            return;
        }
        let numbered = self.numbers.record(packet.sequence.0.into(), packet.timestamp.0);
        match numbered.order {
            Order::Newest | Order::Reordered => {}
            Order::Duplicate => return self.counters.duplicates += 1,
            Order::Suspect => return self.counters.dropped += 1,
            Order::Restarted => self.forget_mapping(),
        }
        self.counters.received += 1;
        let codec = Codec::from_static_payload_type(packet.payload_type);
        let Some(decoder) = Decoder::of(codec) else {
            self.counters.undecodable += u64::from(codec.is_speech());
            return;
        };
        self.codec = Some(codec);
        self.schedule(arrival, clock, packet, decoder, numbered);
    }

    /// Whether the packet's stream is to be heard; another SSRC replaces the present one, but a straggler of the one
    /// before doesn't.
    fn follow(&mut self, ssrc: Ssrc, captured: Instant) -> bool {
        if let Some(stream) = &self.stream {
            if stream.ssrc == ssrc {
                return true;
            }
            if self.previous == Some(ssrc) && captured.saturating_since(stream.captured) < STALE {
                return false;
            }
            self.previous = Some(stream.ssrc);
            self.numbers.restart();
        }
        self.stream = Some(Stream::new(ssrc, captured));
        true
    }

    fn forget_mapping(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.mapping = None;
        }
    }

    fn schedule(
        &mut self,
        arrival: Arrival,
        clock: &mut ArrivalClock,
        packet: &Packet<'_>,
        decoder: Decoder,
        numbered: Numbered,
    ) {
        let length = decoder.samples(packet.payload);
        let Some(stream) = &mut self.stream else {
            return;
        };
        let placing = Placing {
            timestamp: stream.timestamps.unwrap(packet.timestamp.0),
            sequence: numbered.extended,
            samples: span(length),
            newest: numbered.order != Order::Reordered,
        };
        let captured = clock.local(arrival.captured);
        let Some(at) = self.place(arrival, clock, placing) else {
            return self.miss(placing);
        };
        let Some(payload) = self.playout.buffer.store(packet.payload) else {
            return self.count_dropped();
        };
        self.playout.buffer.insert(Waiting {
            at,
            samples: length,
            generation: self.generation,
            sequence: numbered.extended,
            run: numbered.run,
            captured,
            decoder,
            payload,
        });
    }

    fn miss(&mut self, placing: Placing) {
        self.counters.late += 1;
        self.playout
            .missed(self.generation, placing.sequence, placing.samples.unsigned_abs());
    }

    /// The packet's place on the time line; `None` where its time is over.
    fn place(&mut self, arrival: Arrival, clock: &mut ArrivalClock, placing: Placing) -> Option<i64> {
        let due = self.due(arrival, clock);
        let stream = self.stream.as_mut()?;
        let Some(mapping) = stream.mapping else {
            return Some(self.anchor(arrival, placing, due));
        };
        let at = placing.timestamp + mapping;
        let late = at + placing.samples <= self.playout.cursor();
        let mut excess = at - due;
        let ceiling = samples(self.settings.max_delay.saturating_sub(self.settings.delay));
        if !placing.newest {
            // What is older than the mapping may belong to the time line before.
            let fits = placing.sequence > stream.mapped_at || excess.abs() <= ceiling;
            return (!late && fits).then_some(at);
        }
        let paused = arrival.captured.saturating_since(stream.captured) >= PAUSE;
        if excess > ceiling {
            if placing.timestamp != stream.end {
                return Some(self.anchor(arrival, placing, due));
            }
            self.playout.cut(excess);
            excess = 0;
        } else if excess < -samples(JUMP) || (late && paused) {
            return Some(self.anchor(arrival, placing, due));
        } else if self.playout.is_starved() && (1..=ceiling).contains(&(self.playout.cursor() - at)) {
            return self.hold(arrival, clock, placing);
        } else if late {
            return self.late(arrival, clock, placing);
        }
        self.keep(arrival, placing, excess);
        Some(at)
    }

    /// The place at which a packet captured now is to be played.
    fn due(&self, arrival: Arrival, clock: &ArrivalClock) -> i64 {
        let wait = difference(clock.local(arrival.captured), arrival.now);
        arrival.position + samples_from_nanos(wait) + samples(self.settings.delay)
    }

    fn keep(&mut self, arrival: Arrival, placing: Placing, excess: i64) {
        self.playout.watch(arrival.now, excess);
        if let Some(stream) = &mut self.stream {
            stream.captured = arrival.captured;
            stream.end = placing.timestamp + placing.samples;
            stream.late_since = None;
        }
    }

    /// Takes up the sound where it broke off: nothing was played since, so that nothing need be dropped.
    fn hold(&mut self, arrival: Arrival, clock: &mut ArrivalClock, placing: Placing) -> Option<i64> {
        clock.restart(arrival.now, arrival.captured);
        let due = self.due(arrival, clock);
        let at = self.playout.hold();
        self.stream.as_mut()?.mapping = Some(at - placing.timestamp);
        self.keep(arrival, placing, at - due);
        Some(at)
    }

    /// A packet that is late: one more, or one too many.
    fn late(&mut self, arrival: Arrival, clock: &mut ArrivalClock, placing: Placing) -> Option<i64> {
        let stream = self.stream.as_mut()?;
        stream.captured = arrival.captured;
        stream.end = placing.timestamp + placing.samples;
        let since = *stream.late_since.get_or_insert(arrival.now);
        if arrival.now.saturating_since(since) < LATE {
            return None;
        }
        clock.restart(arrival.now, arrival.captured);
        let due = self.due(arrival, clock);
        Some(self.anchor(arrival, placing, due))
    }

    /// Begins the time line anew: this packet is played when it is due, but not before what already waits.
    fn anchor(&mut self, arrival: Arrival, placing: Placing, due: i64) -> i64 {
        let end = self.playout.end();
        let mut at = due.max(self.playout.cursor());
        if at < end && end - at <= samples(JOIN) {
            at = end;
        } else {
            self.playout.buffer.truncate(at);
        }
        self.counters.resyncs += u64::from(self.generation > 0);
        self.generation = self.generation.wrapping_add(1);
        self.playout.forget();
        if let Some(stream) = &mut self.stream {
            stream.mapping = Some(at - placing.timestamp);
            stream.mapped_at = placing.sequence;
        }
        self.keep(arrival, placing, at - due);
        at
    }

    pub(crate) fn report(&self) -> LegReport {
        let counters = &self.counters;
        LegReport {
            codec: self.codec,
            received: counters.received,
            duplicates: counters.duplicates,
            lost: self.numbers.lost(),
            lost_on_relay: self.relay.lost(),
            late: counters.late,
            dropped: counters.dropped,
            undecodable: counters.undecodable,
            suppressed: counters.suppressed,
            resyncs: counters.resyncs,
            concealed: duration(self.playout.concealed),
            audible: duration(self.playout.audible),
            first_audio: self.playout.first_audio,
            level_dbfs: self.playout.level.dbfs(),
            delay: self.playout.delays.report(),
            concealment: self.settings.concealment,
            packet_time: self.playout.packet_time(),
            copy: self.playout.fates.copy(),
            heard: self.playout.fates.heard(),
        }
    }
}

//! One leg of a session: recognises its streams and their restarts, removes duplicates, and lets one stream follow another.

use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Ssrc;
use silentmon_proto::rtp::Packet;
use silentmon_proto::time::Instant;

use crate::delay::target::Target;
use crate::quality::{FateMeter, PacketFate};
use crate::report::{DelayHistogram, LegReport, Level};
use crate::sequence::{Numbered, Order, SequenceWindow};
use crate::settings::PlayoutSettings;
use crate::stream::{Arrival, CHUNKS_PER_SECOND, Incoming, Outcome, Phase, Stream};
use crate::units::duration;

/// A stream that another replaced is believed again after this silence of the other, in seconds.
const STALE: f64 = 0.5;
/// A new stream is joined to the end of the old one where that comes so soon after the time that is best for it, or so
/// shortly before, in seconds.
const JOIN: f64 = 0.1;
const SHORT: f64 = 0.005;
/// A leg from which nothing came for so long has no say in the delay, in seconds.
const QUIET: f64 = 5.0;

#[derive(Debug, Default)]
struct Counters {
    received: u64,
    duplicates: u64,
    late: u64,
    dropped: u64,
    undecodable: u64,
    suppressed: u64,
    streams: u64,
    repaired: u64,
    repaired_late: u64,
}

/// One leg of a session.
#[derive(Debug)]
pub(crate) struct Leg {
    settings: PlayoutSettings,
    streams: [Stream; 2],
    /// Which of the two is heard; the other may still play what it has.
    current: usize,
    /// The SSRC heard before.
    previous: Option<Ssrc>,
    numbers: SequenceWindow,
    relay: SequenceWindow,
    /// The relay's number of the packet at hand.
    relay_sequence: u32,
    fates: FateMeter,
    target: Target,
    /// The newest packet's arrival.
    newest: Option<Arrival>,
    extra: f64,
    codec: Option<Codec>,
    counters: Counters,
    level: Level,
    delays: DelayHistogram,
    first_audio: Option<Instant>,
    ending: Box<[f32]>,
}

impl Leg {
    pub(crate) fn new(settings: &PlayoutSettings) -> Self {
        let chunk = settings.sample_rate.div_ceil(CHUNKS_PER_SECOND) as usize;
        Self {
            settings: *settings,
            streams: [Stream::new(settings), Stream::new(settings)],
            current: 0,
            previous: None,
            numbers: SequenceWindow::rtp(),
            relay: SequenceWindow::relay(),
            relay_sequence: 0,
            fates: FateMeter::default(),
            target: Target::new(settings),
            newest: None,
            extra: 0.0,
            codec: None,
            counters: Counters::default(),
            level: Level::new(settings.sample_rate),
            delays: DelayHistogram::new(),
            first_audio: None,
            ending: vec![0.0; chunk].into_boxed_slice(),
        }
    }

    /// Renders so many samples per second from now on.
    pub(crate) fn set_sample_rate(&mut self, sample_rate: u32) {
        self.settings.sample_rate = sample_rate;
        self.level = Level::new(sample_rate);
        self.ending = vec![0.0; sample_rate.div_ceil(CHUNKS_PER_SECOND) as usize].into_boxed_slice();
        for stream in &mut self.streams {
            stream.set_output_rate(sample_rate);
        }
    }

    /// Samples per second of the codec heard last.
    pub(crate) fn sound_rate(&self) -> Option<u32> {
        (self.counters.streams > 0).then(|| self.stream().rate())
    }

    fn stream(&self) -> &Stream {
        &self.streams[self.current]
    }

    fn stream_mut(&mut self) -> &mut Stream {
        &mut self.streams[self.current]
    }

    /// Answers whether the number hadn't come before.
    pub(crate) fn handle_relay_sequence(&mut self, number: u32) -> bool {
        self.relay_sequence = number;
        match self.relay.record(number, 0).order {
            Order::Newest | Order::Reordered | Order::Restarted => true,
            Order::Duplicate | Order::Suspect => false,
        }
    }

    pub(crate) const fn late_packets(&self) -> u64 {
        self.counters.late
    }

    pub(crate) const fn count_repair(&mut self, in_time: bool) {
        if in_time {
            self.counters.repaired += 1;
        } else {
            self.counters.repaired_late += 1;
        }
    }

    fn tell_fate(&mut self, numbered: Numbered, fate: PacketFate) {
        self.fates
            .handle(numbered.run, numbered.extended, self.relay_sequence, fate);
    }

    pub(crate) const fn count_dropped(&mut self) {
        self.counters.dropped += 1;
    }

    /// Takes note of an event packet that was kept back: its number isn't missing, and its time is silent.
    pub(crate) fn handle_suppressed(&mut self, packet: &Packet<'_>) {
        self.counters.suppressed += 1;
        if self.stream().is_active() && self.stream().ssrc == packet.ssrc {
            let numbered = self.numbers.record(packet.sequence.0.into(), packet.timestamp.0);
            if matches!(numbered.order, Order::Newest | Order::Reordered) {
                self.tell_fate(numbered, PacketFate::Played);
                self.stream_mut().handle_silence(incoming(packet, numbered));
            }
        }
    }

    pub(crate) fn handle_packet(&mut self, arrival: Arrival, codec: Codec, packet: &Packet<'_>) {
        let known = self.counters.streams > 0;
        if known && self.stream().ssrc != packet.ssrc && self.is_straggler(arrival, packet.ssrc) {
            self.counters.late += 1;
            return;
        }
        let another = !known || self.stream().ssrc != packet.ssrc;
        if another {
            self.numbers.restart();
        }
        let numbered = self.numbers.record(packet.sequence.0.into(), packet.timestamp.0);
        match numbered.order {
            Order::Newest | Order::Reordered | Order::Restarted => {}
            Order::Duplicate => return self.counters.duplicates += 1,
            Order::Suspect => return self.count_dropped(),
        }
        self.counters.received += 1;
        self.newest = Some(arrival);
        let incoming = incoming(packet, numbered);
        if !codec.is_speech() {
            self.tell_fate(numbered, PacketFate::Played);
            if !another {
                self.stream_mut().handle_silence(incoming);
            }
            return;
        }
        let begins = another || numbered.order == Order::Restarted || !self.stream_mut().adopts(codec);
        if begins && !self.begin(arrival, codec, packet.ssrc) {
            self.counters.undecodable += 1;
            self.tell_fate(numbered, PacketFate::Played);
            return;
        }
        self.codec = Some(codec);
        self.deliver(arrival, codec, packet.ssrc, incoming);
    }

    fn deliver(&mut self, arrival: Arrival, codec: Codec, ssrc: Ssrc, packet: Incoming<'_>) {
        let stream = &mut self.streams[self.current];
        let mut outcome = stream.handle_sound(arrival, packet, &mut self.target);
        if outcome == Outcome::Jump && self.begin(arrival, codec, ssrc) {
            let stream = &mut self.streams[self.current];
            outcome = stream.handle_sound(arrival, packet, &mut self.target);
        }
        let fate = match outcome {
            Outcome::Taken | Outcome::Undecodable => PacketFate::Played,
            Outcome::Late | Outcome::Dropped | Outcome::Jump => PacketFate::Late,
        };
        self.tell_fate(packet.numbered, fate);
        match outcome {
            Outcome::Taken => {
                let delay = self.stream().delay(arrival.output);
                self.delays.record(duration(delay));
            }
            Outcome::Late => self.counters.late += 1,
            Outcome::Dropped | Outcome::Jump => self.counters.dropped += 1,
            Outcome::Undecodable => self.counters.undecodable += 1,
        }
    }

    /// Whether a packet comes from the stream before the present one, too soon for it to have come back.
    fn is_straggler(&self, arrival: Arrival, ssrc: Ssrc) -> bool {
        let since = self
            .newest
            .map_or(f64::INFINITY, |newest| arrival.captured - newest.captured);
        self.previous == Some(ssrc) && since < STALE
    }

    /// Lets a new stream take over. The one before plays what it has; the new one follows it without a seam where they meet.
    fn begin(&mut self, arrival: Arrival, codec: Codec, ssrc: Ssrc) -> bool {
        let remaining = self.stream().buffered();
        let follows = self.stream().phase == Phase::Playing;
        let old = self.stream().ssrc;
        if self.counters.streams > 0 && old != ssrc {
            self.previous = Some(old);
        }
        let best = self.target.delay() + self.extra - (arrival.output - arrival.at);
        let joins = follows && (-SHORT..JOIN).contains(&(remaining - best.max(0.0)));
        self.stream_mut().end();
        self.current = 1 - self.current;
        self.counters.streams += 1;
        let extra = self.extra;
        let stream = self.stream_mut();
        stream.ssrc = ssrc;
        stream.join_after(joins.then_some(remaining));
        stream.wait_for_other_leg(extra);
        stream.begin(ssrc, codec)
    }

    /// The next frames, at most a chunk; `output` and `at` are when the first of them plays.
    pub(crate) fn render(&mut self, output: f64, at: Instant, out: &mut [f32]) {
        let [first, second] = &mut self.streams;
        let (current, other) = if self.current == 0 {
            (first, second)
        } else {
            (second, first)
        };
        current.render(output, out);
        if other.phase == Phase::Ending
            && let Some(ending) = self.ending.get_mut(..out.len())
        {
            other.render(output, ending);
            let cut = current.phase == Phase::Playing && other.phase == Phase::Ending;
            add(ending, cut, out);
            if cut {
                other.phase = Phase::Idle;
            }
        }
        if current.heard && self.first_audio.is_none() {
            self.first_audio = Some(at);
        }
        self.level.observe(out);
    }

    /// How long it takes from capture to ear, as this leg alone would have it; `None` where nothing comes.
    pub(crate) fn needs(&self, now: f64) -> Option<f64> {
        let newest = self.newest.filter(|newest| now - newest.at < QUIET)?;
        let stream = self.stream();
        stream
            .is_active()
            .then(|| stream.path(newest.at, newest.captured) + self.target.delay())
    }

    /// Sets by how much longer this leg waits because the other one has to.
    pub(crate) fn wait_for_other_leg(&mut self, extra: f64) {
        self.extra = extra;
        self.stream_mut().wait_for_other_leg(extra);
    }

    /// The output's clock was set forward by so many seconds against the packets', or back.
    pub(crate) fn set_clock(&mut self, forward: f64) {
        for stream in &mut self.streams {
            stream.set_clock(forward);
        }
    }

    pub(crate) fn expect_repairs(&mut self, within: Option<Duration>) {
        self.target.expect_repairs(within.map(|within| within.as_secs_f64()));
    }

    /// How long a packet that is missing now may take to be played.
    pub(crate) fn patience(&self, output: f64) -> Duration {
        if !self.stream().is_active() {
            return duration(self.target.delay());
        }
        duration(self.stream().delay(output) - self.target.packet())
    }

    pub(crate) fn buffered(&self) -> f64 {
        self.streams.iter().map(Stream::buffered).fold(0.0, f64::max)
    }

    pub(crate) fn report(&self) -> LegReport {
        let counters = &self.counters;
        let [first, second] = &self.streams;
        let sum = |of: fn(&Stream) -> u64| Duration::from_nanos(of(first) + of(second));
        LegReport {
            codec: self.codec,
            received: counters.received,
            duplicates: counters.duplicates,
            lost: self.numbers.lost(),
            lost_on_relay: self.relay.lost() + counters.repaired_late,
            repaired: counters.repaired,
            late: counters.late,
            dropped: counters.dropped,
            undecodable: counters.undecodable,
            suppressed: counters.suppressed,
            resyncs: counters.streams.saturating_sub(1),
            concealed: sum(|stream| stream.played.concealed),
            audible: sum(|stream| stream.played.sound),
            shortened: sum(|stream| stream.played.shortened),
            lengthened: sum(|stream| stream.played.lengthened),
            drift_ppm: self.stream().drift_ppm(),
            target: duration(self.target.delay() + self.extra),
            first_audio: self.first_audio,
            level_dbfs: self.level.dbfs(),
            delay: self.delays.report(),
            concealment: self.settings.concealment,
            packet_time: duration(self.target.packet()),
            copy: self.fates.copy(),
            heard: self.fates.heard(),
        }
    }
}

fn incoming<'a>(packet: &Packet<'a>, numbered: Numbered) -> Incoming<'a> {
    Incoming {
        timestamp: packet.timestamp.0,
        marker: packet.marker,
        numbered,
        payload: packet.payload,
    }
}

/// Adds what an ending stream still has, fading it out where it is to be cut.
fn add(ending: &[f32], cut: bool, out: &mut [f32]) {
    let length = out.len().max(1) as f32;
    for (place, (sample, ending)) in out.iter_mut().zip(ending).enumerate() {
        let volume = if cut { 1.0 - place as f32 / length } else { 1.0 };
        *sample += ending * volume;
    }
}

//! One stream of packets, from decoding to samples at the output's rate: one SSRC, one way of counting timestamps.
//!
//! Decoded samples lie in a ring by their timestamp. A cursor walks through it: where there is sound it is played, where
//! the sender was silent there is silence, and what is missing is concealed. How far the cursor stays behind the packets
//! is the delay; only a change of it makes the cursor jump.

mod intake;
mod numbers;
mod pace;
mod pending;
mod playing;
mod queue;
mod ring;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Ssrc;

use crate::codec::{self, Decoder};
use crate::conceal::Concealer;
use crate::delay::baseline::Baseline;
use crate::delay::drift::Drift;
use crate::delay::target::Wanted;
use crate::player::SAMPLE_RATE;
use crate::quality::Concealment;
use crate::resample::{HIGHEST_RATE, Resampler};
use crate::sequence::TimestampUnwrapper;
use crate::settings::{LONGEST_DELAY, PlayoutSettings};
use crate::stretch::Stretcher;
use crate::units::{count, rounded, span};

use numbers::Spans;
use pending::Pending;
use queue::Queue;
use ring::Ring;

pub(crate) use intake::{Arrival, Incoming, Outcome};

/// Most frames rendered at once: 5 ms of the output.
pub(crate) const CHUNKS_PER_SECOND: u32 = 200;
/// Longest payload taken: what fits an Ethernet frame.
pub(crate) const MAX_PAYLOAD: usize = 1500;
/// Most samples of a payload: 120 ms at 48 kHz (RFC 6716 section 2.1.4), and more than a payload of 16 bit samples holds.
const MAX_SAMPLES: usize = 5760;
/// Length of a cross-fade: 5 ms, in fractions of a second.
const FADES_PER_SECOND: u32 = 200;
/// The concealer is shown so much of what follows a gap: 60 ms.
const SHOWN_PER_SECOND: f64 = 0.06;

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not in use.
    Idle,
    /// Its first sample is still to be played.
    Waiting,
    Playing,
    /// Another stream took its place: what came is played, no more.
    Ending,
}

/// What is spare of the delay beyond this need not be kept exactly: files are written so, and nobody hears them live.
const LEAST_SPARE: f64 = 0.1;
/// However much is spare, both legs are to stay together to this many seconds.
const MOST_SPARE: f64 = 0.050;

/// What was played, by what was made of it, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Played {
    pub(crate) sound: u64,
    pub(crate) concealed: u64,
    pub(crate) shortened: u64,
    pub(crate) lengthened: u64,
}

/// One stream of a leg.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) ssrc: Ssrc,
    pub(crate) codec: Codec,
    pub(crate) phase: Phase,
    pub(crate) played: Played,
    /// Whether any decoded sample was played.
    pub(crate) heard: bool,
    decoder: Option<Box<dyn Decoder>>,
    decodes: Codec,
    clock_rate: u32,
    rate: u32,
    output_rate: u32,
    concealment: Concealment,
    ceiling: f64,
    timestamps: TimestampUnwrapper,
    spans: Spans,
    queue: Queue,
    ring: Ring,
    concealer: Concealer,
    stretcher: Stretcher,
    resampler: Resampler,
    pending: Pending,
    decoded: Box<[f32]>,
    shown: Box<[f32]>,
    taken: Box<[f32]>,
    baseline: Baseline,
    drift: Drift,
    /// Where the baseline was when the newest packet came.
    line: f64,
    /// The same as `baseline` by capture time: what both legs are aligned by.
    capture: Baseline,
    /// The next place to be taken from the ring.
    cursor: i64,
    /// Where the gap begins that is being concealed.
    gap: Option<i64>,
    /// Whether the sound before it was quiet.
    broke_off_quiet: bool,
    /// Samples concealed since anything was waiting.
    starved: usize,
    /// Samples of sound since the last gap, as long as it is fading over.
    resumed: usize,
    /// From here on the sender said that it is silent, and how loud its noise is.
    silent_from: Option<(i64, f32)>,
    noise: u32,
    /// Whether the sender sends nothing in pauses.
    pauses: bool,
    /// The delay aimed at, in seconds, and what of it is there for the other leg's sake.
    goal: f64,
    extra: f64,
    /// By so much the delay may be wrong, because more is aimed at than the network needs.
    spare: f64,
    /// So much of the goal no packet has needed yet.
    precaution: f64,
    /// How long the first packet is to wait where it follows another stream.
    joins_after: Option<f64>,
    pace: pace::Pace,
    steps: pace::Steps,
}

impl Stream {
    /// A stream ready for G.711; others take their memory when they begin.
    pub(crate) fn new(settings: &PlayoutSettings) -> Self {
        let rate = SAMPLE_RATE;
        Self {
            ssrc: Ssrc(0),
            codec: Codec::Unknown,
            phase: Phase::Idle,
            played: Played::default(),
            heard: false,
            decoder: codec::decoder(Codec::Pcmu),
            decodes: Codec::Pcmu,
            clock_rate: rate,
            rate,
            output_rate: settings.sample_rate,
            concealment: settings.concealment,
            ceiling: settings.max_delay.min(LONGEST_DELAY).as_secs_f64(),
            timestamps: TimestampUnwrapper::default(),
            spans: Spans::new(),
            queue: Queue::new(),
            ring: Ring::new(ring_places(rate)),
            concealer: Concealer::new(rate),
            stretcher: Stretcher::new(rate),
            resampler: Resampler::new(HIGHEST_RATE.div_ceil(CHUNKS_PER_SECOND) as usize),
            pending: Pending::new(rate),
            decoded: vec![0.0; MAX_SAMPLES].into_boxed_slice(),
            shown: vec![0.0; shown_samples(rate)].into_boxed_slice(),
            taken: taken(rate, settings.sample_rate),
            baseline: Baseline::new(),
            drift: Drift::new(),
            line: 0.0,
            capture: Baseline::new(),
            cursor: 0,
            gap: None,
            broke_off_quiet: false,
            starved: 0,
            resumed: usize::MAX,
            silent_from: None,
            noise: 1,
            pauses: false,
            goal: 0.0,
            extra: 0.0,
            spare: 0.0,
            precaution: 0.0,
            joins_after: None,
            pace: pace::Pace::new(settings.preset),
            steps: pace::Steps::default(),
        }
    }

    /// Makes it the stream of an SSRC that begins now. Answers whether there is a decoder for the codec.
    pub(crate) fn begin(&mut self, ssrc: Ssrc, codec: Codec) -> bool {
        if !self.decode_with(codec) {
            self.phase = Phase::Idle;
            return false;
        }
        self.ssrc = ssrc;
        self.phase = Phase::Waiting;
        self.heard = false;
        self.timestamps = TimestampUnwrapper::default();
        self.spans.clear();
        self.queue.clear();
        self.pending.clear();
        self.resampler.reset();
        self.resampler.set_rates(self.rate, self.output_rate);
        self.concealer.silent(self.rate as usize);
        self.baseline = Baseline::new();
        self.capture = Baseline::new();
        self.drift = Drift::new();
        self.gap = None;
        self.starved = 0;
        self.resumed = usize::MAX;
        self.silent_from = None;
        self.pauses = false;
        self.pace.restart();
        self.steps = pace::Steps::default();
        true
    }

    /// Takes the decoder of a codec, and the memory that its rate needs.
    fn decode_with(&mut self, codec: Codec) -> bool {
        if self.decodes != codec {
            let Some(decoder) = codec::decoder(codec) else {
                return false;
            };
            self.set_rate(decoder.sample_rate().max(1));
            self.decoder = Some(decoder);
            self.decodes = codec;
        } else if let Some(decoder) = &mut self.decoder {
            decoder.reset();
        }
        self.codec = codec;
        self.clock_rate = codec.clock_rate().max(1);
        true
    }

    fn set_rate(&mut self, rate: u32) {
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        self.ring = Ring::new(ring_places(rate));
        self.concealer = Concealer::new(rate);
        self.stretcher = Stretcher::new(rate);
        self.pending = Pending::new(rate);
        self.shown = vec![0.0; shown_samples(rate)].into_boxed_slice();
        self.taken = taken(rate, self.output_rate);
    }

    /// Renders so many samples per second from now on; what was heard is kept.
    pub(crate) fn set_output_rate(&mut self, output_rate: u32) {
        self.output_rate = output_rate;
        self.resampler.set_rates(self.rate, output_rate);
        self.taken = taken(self.rate, output_rate);
    }

    /// Samples per second of its codec.
    pub(crate) const fn rate(&self) -> u32 {
        self.rate
    }

    /// Whether packets of another codec can be laid into this stream as they are.
    pub(crate) fn adopts(&mut self, codec: Codec) -> bool {
        if self.codec == codec {
            return true;
        }
        let Some(decoder) = codec::decoder(codec) else {
            return false;
        };
        let alike = codec.clock_rate() == self.clock_rate
            && decoder.sample_rate() == self.rate
            && decoder.is_stateless()
            && self.is_stateless();
        if alike {
            self.decoder = Some(decoder);
            self.decodes = codec;
            self.codec = codec;
        }
        alike
    }

    fn is_stateless(&self) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| decoder.is_stateless())
    }

    /// Lets another stream take over.
    pub(crate) fn end(&mut self) {
        self.phase = match self.phase {
            Phase::Playing => Phase::Ending,
            Phase::Idle | Phase::Waiting | Phase::Ending => Phase::Idle,
        };
    }

    pub(crate) const fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Playing)
    }

    fn nanos(&self, samples: i64) -> u64 {
        samples.unsigned_abs().saturating_mul(1_000_000_000) / u64::from(self.rate)
    }

    fn seconds(&self, samples: i64) -> f64 {
        samples as f64 / f64::from(self.rate)
    }

    fn samples(&self, seconds: f64) -> i64 {
        rounded(seconds * f64::from(self.rate))
    }

    fn fade_length(&self) -> usize {
        (self.rate / FADES_PER_SECOND) as usize
    }

    /// The place, in seconds, of the sample that the next output frame is made of.
    fn playing_at(&self) -> f64 {
        self.seconds(self.cursor - span(self.pending.len())) - self.resampler.held() / f64::from(self.rate)
    }

    /// How long the fastest packet would wait that came when the next output frame plays, at `output` seconds.
    pub(crate) fn delay(&self, output: f64) -> f64 {
        output - self.playing_at() - self.baseline.at(output, self.drift.skew())
    }

    /// What the fastest packets take from capture to arrival, on any scale that both legs share.
    pub(crate) fn path(&self, now: f64, captured: f64) -> f64 {
        self.baseline.at(now, self.drift.skew()) - self.capture.at(captured, 0.0)
    }

    /// By how much the sender's clock runs slower than the output's, in parts per million.
    pub(crate) fn drift_ppm(&self) -> f64 {
        self.drift.skew() * 1e6
    }

    /// Sets the delay that this leg needs. What the resampler looks ahead comes on top.
    fn aim_at(&mut self, wanted: Wanted) {
        self.spare = (wanted.spare - LEAST_SPARE).clamp(0.0, MOST_SPARE);
        self.precaution = wanted.precaution;
        let ahead = self.resampler.held() / f64::from(self.rate);
        self.goal = (wanted.delay + self.extra + ahead + self.reserve()).min(self.ceiling);
    }

    /// The output's clock was set forward by so many seconds against the packets', or back: it stood still, or ran on alone.
    pub(crate) fn set_clock(&mut self, forward: f64) {
        self.baseline.set_clock(forward);
        self.drift.set_clock(forward);
        self.line += forward;
    }

    /// Sets by how much longer this leg is to wait because the other one has to.
    pub(crate) const fn wait_for_other_leg(&mut self, extra: f64) {
        self.extra = extra;
    }

    /// Lets the first packet wait for the end of another stream.
    pub(crate) const fn join_after(&mut self, wait: Option<f64>) {
        self.joins_after = wait;
    }

    /// Samples that wait, as seconds.
    pub(crate) fn buffered(&self) -> f64 {
        if self.phase == Phase::Idle {
            return 0.0;
        }
        let end = self.ring.end().max(self.queue.end().unwrap_or(i64::MIN));
        (self.seconds(end) - self.playing_at()).max(0.0)
    }
}

/// Room for the longest delay, as much again for a burst that comes before its time, and the past.
fn ring_places(rate: u32) -> usize {
    count(rounded(f64::from(rate) * LONGEST_DELAY.as_secs_f64() * 2.0))
}

/// Room for what a chunk of the output takes from the ring, at most.
fn taken(rate: u32, output_rate: u32) -> Box<[f32]> {
    let chunk = output_rate.div_ceil(CHUNKS_PER_SECOND) as usize;
    let most = chunk * rate.div_ceil(output_rate) as usize + rate as usize / 50;
    vec![0.0; most + chunk * 8 + 1024].into_boxed_slice()
}

fn shown_samples(rate: u32) -> usize {
    count(rounded(f64::from(rate) * SHOWN_PER_SECOND))
}

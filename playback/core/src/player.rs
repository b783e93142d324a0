//! One session's sound: two legs in, one stereo signal out, agent left, customer right.
//!
//! Sans-IO: packets are handed in with the time they came, samples are pulled by whoever has a clock to play them. All time
//! is counted in frames handed out, so that the output's clock is the only one that matters.

use std::time::Duration;

use silentmon_proto::ids;
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::rtp;
use silentmon_proto::time::Instant;

use crate::g711::FULL_SCALE;
use crate::leg::Leg;
use crate::mix::{Levels, MixSettings, Mixer};
use crate::report::LegReport;
use crate::resample::HIGHEST_RATE;
pub use crate::settings::{PlayoutSettings, Preset};
use crate::stream::{Arrival, CHUNKS_PER_SECOND};
use crate::units::duration;

/// Frames per second handed out where nothing else is set.
pub const SAMPLE_RATE: u32 = 8000;

/// The legs may differ by this much in their delay, in seconds: nobody's turn comes before another's for that.
const ALIGNED: f64 = 0.010;
/// They differ by more only where one of them is counted by another clock.
const LONGEST_DIFFERENCE: f64 = 1.0;
/// An output whose frames and times differ by more from one pull to the next stood still, or began anew.
const CLOCK_STEP: f64 = 0.001;

/// A sample as 16 bit: those that a decoder gave, and nothing changed, come back exactly.
#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
pub fn to_i16(sample: f32) -> i16 {
    (sample * FULL_SCALE).round() as i16
}

/// Room for a chunk of each leg.
fn samples(sample_rate: u32) -> [Box<[f32]>; 2] {
    let chunk = sample_rate.div_ceil(CHUNKS_PER_SECOND) as usize;
    [0, 1].map(|_| vec![0.0; chunk].into_boxed_slice())
}

/// The nearest count of frames.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of floats saturates"
)]
fn rounded(frames: f64) -> u64 {
    frames.round() as u64
}

/// The last pull: when its first frame plays by the clock of whoever pulled, and by the frames handed out.
#[derive(Debug, Clone, Copy)]
struct Pull {
    now: Instant,
    output: f64,
}

/// The player of one session.
///
/// The time handed in must come from one clock and not run backwards. After construction nothing is allocated, but for
/// a new stream of another codec than G.711.
#[derive(Debug)]
pub struct Player {
    preset: Preset,
    legs: [Leg; 2],
    mixer: Mixer,
    sample_rate: u32,
    /// When the player was first spoken to, and the capture time of the first packet.
    epoch: Option<Instant>,
    captured: Option<Instant>,
    pull: Option<Pull>,
    /// Frames handed out, with those that would have been between `epoch` and the first pull.
    frames: u64,
    samples: [Box<[f32]>; 2],
}

impl Player {
    /// A player that has heard nothing yet.
    pub fn new(settings: PlayoutSettings) -> Self {
        let sample_rate = settings.sample_rate.clamp(SAMPLE_RATE, HIGHEST_RATE);
        let settings = PlayoutSettings {
            sample_rate,
            ..settings
        };
        Self {
            preset: settings.preset,
            legs: [Leg::new(&settings), Leg::new(&settings)],
            mixer: Mixer::new(sample_rate),
            sample_rate,
            epoch: None,
            captured: None,
            pull: None,
            frames: 0,
            samples: samples(sample_rate),
        }
    }

    /// What its delay aims at.
    pub const fn preset(&self) -> Preset {
        self.preset
    }

    /// Frames per second that [`pull`](Self::pull) hands out.
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples per second of what came: of the wider codec, where the legs differ. `None` before the first sound.
    pub fn sound_rate(&self) -> Option<u32> {
        self.legs.iter().filter_map(Leg::sound_rate).max()
    }

    /// Hands out so many frames per second (8,000 to 96,000) from now on. What plays goes on; memory is taken.
    pub fn set_sample_rate(&mut self, sample_rate: u32) {
        let sample_rate = sample_rate.clamp(SAMPLE_RATE, HIGHEST_RATE);
        if sample_rate == self.sample_rate {
            return;
        }
        self.frames = rounded(self.output() * f64::from(sample_rate));
        self.sample_rate = sample_rate;
        self.samples = samples(sample_rate);
        let mix = self.mixer.settings();
        self.mixer = Mixer::new(sample_rate);
        self.mixer.set(mix);
        for leg in &mut self.legs {
            leg.set_sample_rate(sample_rate);
        }
    }

    /// Changes how the legs are mixed.
    pub fn set_mix(&mut self, settings: MixSettings) {
        self.mixer.set(settings);
    }

    /// How loud both legs are.
    pub fn levels(&self) -> Levels {
        self.mixer.levels()
    }

    /// Takes an audio datagram of the relay that came at `now`: its header, and the RTP bytes behind it.
    pub fn handle_packet(&mut self, now: Instant, header: &AudioHeader, bytes: &[u8]) {
        let arrival = self.arrival(now, header);
        let leg = self.leg_mut(header.leg);
        let repairs = leg.handle_relay_sequence(header.relay_sequence) && header.again;
        let Ok(packet) = rtp::parse(bytes) else {
            return leg.count_dropped();
        };
        let late = leg.late_packets();
        match header.kind {
            AudioKind::Rtp => leg.handle_packet(arrival, header.codec, &packet),
            AudioKind::Suppressed => leg.handle_suppressed(&packet),
        }
        if repairs {
            leg.count_repair(leg.late_packets() == late);
        }
        self.share_delay(arrival.at);
    }

    /// Writes the next frames (left, right; full scale ±1), the first of which plays at `now`. To be called every 10 ms
    /// or oftener.
    pub fn pull(&mut self, now: Instant, out: &mut [[f32; 2]]) {
        let epoch = *self.epoch.get_or_insert(now);
        if self.pull.is_none() {
            let passed = now.saturating_since(epoch).as_nanos() * u128::from(self.sample_rate) / 1_000_000_000;
            self.frames = u64::try_from(passed).unwrap_or(u64::MAX);
        }
        let pull = Pull {
            now,
            output: self.output(),
        };
        if let Some(last) = self.pull.replace(pull) {
            let forward = pull.output - last.output - now.seconds_since(last.now);
            if forward.abs() > CLOCK_STEP {
                self.legs.iter_mut().for_each(|leg| leg.set_clock(forward));
            }
        }
        let chunk = self.samples[0].len();
        let mut at = now;
        for frames in out.chunks_mut(chunk) {
            self.render(at, frames);
            at += duration(frames.len() as f64 / f64::from(self.sample_rate));
        }
    }

    fn render(&mut self, at: Instant, frames: &mut [[f32; 2]]) {
        let output = self.output();
        let [agent, customer] = &mut self.legs;
        let [left, right] = &mut self.samples;
        let (Some(left), Some(right)) = (left.get_mut(..frames.len()), right.get_mut(..frames.len())) else {
            return;
        };
        agent.render(output, at, left);
        customer.render(output, at, right);
        self.mixer.mix(left, right, frames);
        self.frames += frames.len() as u64;
    }

    /// How long the sound lasts that already waits: what is still to be pulled when no packet comes any more.
    pub fn buffered(&self) -> Duration {
        duration(self.legs.iter().map(Leg::buffered).fold(0.0, f64::max))
    }

    /// How long a packet of a leg that is missing now may still take to be played.
    pub fn patience(&self, leg: ids::Leg) -> Duration {
        self.leg(leg).patience(self.output())
    }

    /// Waits at least so long for packets, because those that the relay lost are sent again within this time; `None`
    /// where they aren't.
    pub fn expect_repairs(&mut self, within: Option<Duration>) {
        for leg in &mut self.legs {
            leg.expect_repairs(within);
        }
    }

    /// What became of a leg's packets so far.
    pub fn report(&self, leg: ids::Leg) -> LegReport {
        self.leg(leg).report()
    }

    fn leg(&self, leg: ids::Leg) -> &Leg {
        let [agent, customer] = &self.legs;
        match leg {
            ids::Leg::Agent => agent,
            ids::Leg::Customer => customer,
        }
    }

    fn leg_mut(&mut self, leg: ids::Leg) -> &mut Leg {
        let [agent, customer] = &mut self.legs;
        match leg {
            ids::Leg::Agent => agent,
            ids::Leg::Customer => customer,
        }
    }

    /// When the next frame plays, in seconds since the player was first spoken to, by the frames handed out.
    fn output(&self) -> f64 {
        self.frames as f64 / f64::from(self.sample_rate)
    }

    /// A packet's times on the output's time line: between two pulls the output goes on. Where the next pull is late the
    /// packet may come after all that was handed out; that makes it no earlier.
    fn arrival(&mut self, now: Instant, header: &AudioHeader) -> Arrival {
        let epoch = *self.epoch.get_or_insert(now);
        let first = *self.captured.get_or_insert(header.captured);
        let captured = header.captured.seconds_since(first);
        let (at, output) = match self.pull {
            None => {
                let passed = now.saturating_since(epoch).as_secs_f64();
                (passed, passed)
            }
            Some(pull) => {
                let output = self.output();
                let since = now.saturating_since(pull.now).as_secs_f64();
                (pull.output + since, output)
            }
        };
        Arrival {
            output,
            at,
            captured,
            again: header.again,
        }
    }

    /// Both legs take the same time from capture to ear: the longer of what each needs.
    fn share_delay(&mut self, now: f64) {
        let needs = [0, 1].map(|leg: usize| self.legs.get(leg).and_then(|leg| leg.needs(now)));
        let extra = match needs {
            [Some(agent), Some(customer)] => [customer - agent, agent - customer],
            _ => [0.0; 2],
        };
        for (leg, extra) in self.legs.iter_mut().zip(extra) {
            let counts = (ALIGNED..LONGEST_DIFFERENCE).contains(&extra);
            leg.wait_for_other_leg(if counts { extra } else { 0.0 });
        }
    }
}

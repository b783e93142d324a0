//! Time in one stream: interarrival jitter (RFC 3550 A.8), packet time, RTP clock and jumps of the timestamp.

use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::RtpTimestamp;
use silentmon_proto::time::Instant;

/// Clocks in use for audio and video over RTP, in ticks per second.
const CLOCK_RATES: [u32; 8] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// How far a measured clock may be from a usual one.
const CLOCK_TOLERANCE: f64 = 0.08;
/// Shortest stretch over which a clock is measured.
const CLOCK_STRETCH: Duration = Duration::from_millis(250);
/// A timestamp that strays from capture time by more than this has jumped.
const JUMP: f64 = 1.0;

/// Timing of one stream.
#[derive(Debug, Clone)]
pub struct Timing {
    clock_rate: u32,
    step: u32,
    step_votes: u32,
    last_timestamp: u32,
    timestamp_jumps: u32,
    jitter_ticks: f64,
    last: Instant,
    anchor: (Instant, u32),
}

/// What the timing of a packet shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timed {
    /// Ticks since the packet before, where none is missing in between.
    pub ticks: Option<u32>,
    /// Whether the timestamp jumped.
    pub jumped: bool,
}

impl Timing {
    /// Starts with the first packet.
    pub fn new(captured: Instant, timestamp: RtpTimestamp, codec: Codec) -> Self {
        Self {
            clock_rate: if codec == Codec::Unknown { 0 } else { codec.clock_rate() },
            step: 0,
            step_votes: 0,
            last_timestamp: timestamp.0,
            timestamp_jumps: 0,
            jitter_ticks: 0.0,
            last: captured,
            anchor: (captured, timestamp.0),
        }
    }

    /// Takes the next packet that was not seen before. `follows` says that none is missing since the one before,
    /// `restarted` that the sender began anew.
    pub fn handle(&mut self, captured: Instant, timestamp: RtpTimestamp, follows: bool, restarted: bool) -> Timed {
        let ticks = timestamp.0.wrapping_sub(self.last_timestamp);
        let elapsed = captured.seconds_since(self.last);
        let jumped = !restarted && self.strays(ticks, elapsed);
        if jumped || restarted {
            self.timestamp_jumps += u32::from(jumped);
            self.anchor = (captured, timestamp.0);
        } else {
            self.note_jitter(ticks, elapsed);
            self.learn_clock(captured, timestamp);
        }
        let steady = follows && !jumped && !restarted;
        if steady {
            self.vote(ticks);
        }
        self.last_timestamp = timestamp.0;
        self.last = captured;
        Timed {
            ticks: steady.then_some(ticks),
            jumped,
        }
    }

    /// Sets the clock when the codec becomes known.
    pub const fn note_codec(&mut self, codec: Codec) {
        self.clock_rate = codec.clock_rate();
    }

    /// Ticks of the timestamp per second, known from the codec or measured.
    pub const fn clock_rate(&self) -> Option<u32> {
        if self.clock_rate == 0 {
            None
        } else {
            Some(self.clock_rate)
        }
    }

    /// Ticks from one packet to the next, as most packets show them.
    pub const fn step(&self) -> Option<u32> {
        if self.step == 0 { None } else { Some(self.step) }
    }

    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub fn jitter(&self) -> Option<Duration> {
        self.clock_rate()
            .map(|rate| Duration::from_secs_f64(self.jitter_ticks / f64::from(rate)))
    }

    /// How often the timestamp jumped.
    pub const fn timestamp_jumps(&self) -> u32 {
        self.timestamp_jumps
    }

    fn strays(&self, ticks: u32, elapsed: f64) -> bool {
        let Some(rate) = self.clock_rate() else {
            return false;
        };
        (seconds(ticks, rate) - elapsed).abs() > JUMP
    }

    fn note_jitter(&mut self, ticks: u32, elapsed: f64) {
        if self.clock_rate != 0 {
            let difference = (elapsed * f64::from(self.clock_rate) - signed(ticks)).abs();
            self.jitter_ticks += (difference - self.jitter_ticks) / 16.0;
        }
    }

    /// Nobody says how fast a dynamic payload type's clock runs; the capture's own clock does.
    fn learn_clock(&mut self, captured: Instant, timestamp: RtpTimestamp) {
        if self.clock_rate != 0 {
            return;
        }
        let (since, from) = self.anchor;
        let elapsed = captured.saturating_since(since);
        if elapsed < CLOCK_STRETCH {
            return;
        }
        let measured = signed(timestamp.0.wrapping_sub(from)) / elapsed.as_secs_f64();
        let usual = CLOCK_RATES
            .into_iter()
            .find(|&rate| (measured / f64::from(rate) - 1.0).abs() < CLOCK_TOLERANCE);
        self.clock_rate = usual.unwrap_or(0);
    }

    /// Boyer and Moore's majority vote.
    fn vote(&mut self, ticks: u32) {
        if ticks == self.step {
            self.step_votes = self.step_votes.saturating_add(1);
        } else if self.step_votes == 0 {
            self.step = ticks;
            self.step_votes = 1;
        } else {
            self.step_votes -= 1;
        }
    }
}

#[allow(clippy::cast_possible_wrap)]
fn signed(ticks: u32) -> f64 {
    f64::from(ticks as i32)
}

fn seconds(ticks: u32, rate: u32) -> f64 {
    signed(ticks) / f64::from(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + milliseconds * 1_000_000)
    }

    #[test]
    fn a_steady_stream_has_no_jitter_and_its_packet_time_is_learnt() {
        let mut timing = Timing::new(at(0), RtpTimestamp(u32::MAX - 100), Codec::Pcma);
        for number in 1..50u32 {
            let timestamp = RtpTimestamp((u32::MAX - 100).wrapping_add(number * 240));
            let timed = timing.handle(at(u64::from(number) * 30), timestamp, true, false);
            assert_eq!(
                timed,
                Timed {
                    ticks: Some(240),
                    jumped: false
                }
            );
        }
        assert_eq!(timing.step(), Some(240));
        assert_eq!(timing.jitter(), Some(Duration::ZERO));
    }

    #[test]
    fn jitter_follows_the_estimator_of_rfc_3550() {
        let mut timing = Timing::new(at(0), RtpTimestamp(0), Codec::Pcmu);
        timing.handle(at(30), RtpTimestamp(160), true, false);
        assert_eq!(timing.jitter(), Some(Duration::from_micros(625)));
        timing.handle(at(40), RtpTimestamp(320), true, false);
        let expected = 0.625 + (10.0 - 0.625) / 16.0;
        let milliseconds = timing.jitter().expect("known clock").as_secs_f64() * 1e3;
        assert!((milliseconds - expected).abs() < 1e-6, "{milliseconds}");
    }

    #[test]
    fn learns_the_clock_of_a_codec_nobody_described() {
        let mut timing = Timing::new(at(0), RtpTimestamp(7), Codec::Unknown);
        for number in 1..30u32 {
            let wobble = u64::from(number % 3);
            timing.handle(
                at(u64::from(number) * 20 + wobble),
                RtpTimestamp(7 + number * 960),
                true,
                false,
            );
        }
        assert_eq!(timing.clock_rate(), Some(48_000));
    }

    #[test]
    fn silence_suppression_is_no_jump_and_a_jump_is() {
        let mut timing = Timing::new(at(0), RtpTimestamp(0), Codec::Pcmu);
        assert!(!timing.handle(at(5000), RtpTimestamp(40_000), true, false).jumped);
        assert!(timing.handle(at(5020), RtpTimestamp(9_000_000), true, false).jumped);
        assert!(timing.handle(at(5040), RtpTimestamp(0), true, false).jumped);
        assert_eq!(timing.timestamp_jumps(), 2);
        assert!(timing.jitter().expect("known clock") < Duration::from_millis(1));
    }
}

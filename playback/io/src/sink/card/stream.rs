//! One open stream to a card: the ring between player and callback, and what is known of the card's health.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, Device, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::clock;
use crate::sink::SharedPlayer;
use crate::sink::feeder::lock;
use crate::sink::resample::{RateConverter, TICK};

/// Length of a callback asked for. Never the system's default: that may be a second long.
const PERIOD: Duration = Duration::from_millis(10);
/// Kept in the ring beyond one callback, for a feeder that wakes late.
const RESERVE: Duration = Duration::from_millis(15);
/// A card whose callback doesn't come for this long is lost.
const STALLED: Duration = Duration::from_secs(1);
/// How long opening may take where the system lets that be said.
const OPENING: Duration = Duration::from_secs(2);

/// A frame at full scale ±1: left, right.
type Frame = [f32; 2];

/// What the callbacks tell the feeder.
#[derive(Debug, Default)]
struct Health {
    callbacks: AtomicU64,
    /// Frames that weren't there when the card wanted them.
    missing: AtomicU64,
    /// Longest callback in frames.
    longest: AtomicU32,
    failure: OnceLock<String>,
}

/// An open stream.
pub(super) struct CardStream {
    /// Plays as long as it is kept.
    stream: Stream,
    name: String,
    sample_rate: u32,
    ring: Producer<Frame>,
    converter: RateConverter,
    health: Arc<Health>,
    callbacks: u64,
    called: Instant,
    frames: u64,
}

impl CardStream {
    /// Opens a card at its own rate, fills its ring and starts it.
    ///
    /// # Errors
    /// What the sound system says.
    pub(super) fn open(device: &Device, name: String, player: &SharedPlayer) -> Result<Self, String> {
        let supported = device.default_output_config().map_err(|error| error.to_string())?;
        let sample_rate = supported.sample_rate();
        let config = StreamConfig {
            channels: supported.channels(),
            sample_rate,
            buffer_size: BufferSize::Fixed(frames_in(PERIOD, sample_rate)),
        };
        let (ring, consumer) = RingBuffer::new(sample_rate as usize);
        let health = Arc::new(Health::default());
        let stream = build(device, config, supported.sample_format(), consumer, &health)?;
        let mut card = Self {
            stream,
            name,
            sample_rate,
            ring,
            converter: RateConverter::new(sample_rate)?,
            health,
            callbacks: 0,
            called: Instant::now(),
            frames: 0,
        };
        card.feed(player)?;
        card.stream.play().map_err(|error| error.to_string())?;
        Ok(card)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Frames of 8 kHz pulled for it.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    pub(super) fn underrun_frames(&self) -> u64 {
        self.health.missing.load(Ordering::Relaxed)
    }

    /// Fills the ring up to its target from the player.
    ///
    /// # Errors
    /// Where the card is lost, with the cause.
    pub(super) fn feed(&mut self, player: &SharedPlayer) -> Result<(), String> {
        self.check()?;
        let longest = self.health.longest.load(Ordering::Relaxed);
        let target = longest.max(frames_in(PERIOD, self.sample_rate)) + frames_in(RESERVE, self.sample_rate);
        while self.waiting() < target as usize {
            let mut tick = [[0.0; 2]; TICK];
            lock(player).pull(clock::now(), &mut tick);
            self.frames += TICK as u64;
            for frame in self.converter.convert(&tick)?.chunks_exact(2) {
                if let [left, right] = *frame {
                    // The ring holds a second; what doesn't fit has nowhere to go.
                    let _ = self.ring.push([left, right]);
                }
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(cause) = self.health.failure.get() {
            return Err(cause.clone());
        }
        let callbacks = self.health.callbacks.load(Ordering::Relaxed);
        if callbacks != self.callbacks {
            self.callbacks = callbacks;
            self.called = Instant::now();
        }
        if self.called.elapsed() > STALLED {
            return Err(format!("it took no sound for {} ms", STALLED.as_millis()));
        }
        Ok(())
    }
}

fn frames_in(duration: Duration, sample_rate: u32) -> u32 {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    sample_rate / 1000 * millis
}

fn build(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    ring: Consumer<Frame>,
    health: &Arc<Health>,
) -> Result<Stream, String> {
    match format {
        SampleFormat::I8 => build_as::<i8>(device, config, ring, health),
        SampleFormat::I16 => build_as::<i16>(device, config, ring, health),
        SampleFormat::I24 => build_as::<cpal::I24>(device, config, ring, health),
        SampleFormat::I32 => build_as::<i32>(device, config, ring, health),
        SampleFormat::U8 => build_as::<u8>(device, config, ring, health),
        SampleFormat::U16 => build_as::<u16>(device, config, ring, health),
        SampleFormat::F32 => build_as::<f32>(device, config, ring, health),
        SampleFormat::F64 => build_as::<f64>(device, config, ring, health),
        other => Err(format!("its sample format {other} isn't supported")),
    }
}

fn build_as<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut ring: Consumer<Frame>,
    health: &Arc<Health>,
) -> Result<Stream, String> {
    let channels = usize::from(config.channels).max(1);
    let (seen, failing) = (health.clone(), health.clone());
    let stream = device.build_output_stream(
        config,
        move |out: &mut [T], _| play(out, channels, &mut ring, &seen),
        move |error| note(&error, &failing),
        Some(OPENING),
    );
    stream.map_err(|error| error.to_string())
}

/// The callback: nothing here waits, allocates or logs.
fn play<T: SizedSample + FromSample<f32>>(out: &mut [T], channels: usize, ring: &mut Consumer<Frame>, health: &Health) {
    let mut missing = 0;
    for target in out.chunks_exact_mut(channels) {
        let frame = ring.pop().unwrap_or_else(|_| {
            missing += 1;
            [0.0; 2]
        });
        place(frame, target);
    }
    let length = u32::try_from(out.len() / channels).unwrap_or(u32::MAX);
    health.longest.fetch_max(length, Ordering::Relaxed);
    health.missing.fetch_add(missing, Ordering::Relaxed);
    health.callbacks.fetch_add(1, Ordering::Relaxed);
}

/// Left and right to the first two channels, or both to the only one.
fn place<T: SizedSample + FromSample<f32>>([left, right]: Frame, target: &mut [T]) {
    match target {
        [only] => *only = T::from_sample((left + right).clamp(-1.0, 1.0)),
        [first, second, others @ ..] => {
            *first = T::from_sample(left);
            *second = T::from_sample(right);
            others.fill(T::EQUILIBRIUM);
        }
        [] => {}
    }
}

fn note(error: &cpal::Error, health: &Health) {
    match error.kind() {
        // The card goes on; what it missed is counted in the callback.
        ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
            let _ = health.failure.set(error.to_string());
        }
        // Where it is more than a hiccup, the callbacks stop coming.
        _ => tracing::debug!(%error, "sound card"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_that_finds_too_little_plays_silence_and_counts() {
        let (mut producer, mut consumer) = RingBuffer::new(8);
        let health = Health::default();
        producer.push([0.5, -0.5]).expect("room");
        let mut out = [1_i16; 9];
        play(&mut out, 3, &mut consumer, &health);
        assert_eq!(out, [16384, -16384, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(health.missing.load(Ordering::Relaxed), 2);
        assert_eq!(health.longest.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_mono_card_gets_both_legs_within_full_scale() {
        let mut out = [0_i16; 1];
        place([0.25, 0.25], &mut out);
        assert_eq!(out, [16384]);
        place([0.9, 0.9], &mut out);
        assert_eq!(out, [i16::MAX]);
    }

    #[test]
    fn only_a_card_that_is_gone_counts_as_lost() {
        let health = Health::default();
        note(&cpal::Error::new(ErrorKind::Xrun), &health);
        assert_eq!(health.failure.get(), None);
        note(&cpal::Error::new(ErrorKind::DeviceNotAvailable), &health);
        assert!(health.failure.get().is_some());
    }
}

//! One open stream to a card: the ring between player and callback, and what is known of the card's health.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig, SupportedBufferSize,
    SupportedStreamConfig,
};
use rtrb::{Producer, RingBuffer};
use silentmon_playback_core::player::SAMPLE_RATE;
use silentmon_proto::time::Instant;

use super::ahead::Ahead;
use super::callback::{Callback, Frame, Meter};
use super::lead::Lead;
use crate::clock;
use crate::sink::feeder::lock;
use crate::sink::priority::Scheduling;
use crate::sink::{SharedPlayer, length};

/// The first that the card takes is used. Never the system's default, which may be a second.
const PERIODS: [u32; 4] = [5, 10, 20, 40];
/// The same for threads that the system may keep waiting.
const ORDINARY_PERIODS: [u32; 3] = [10, 20, 40];
/// Rates that the player gives.
const RATES: RangeInclusive<u32> = SAMPLE_RATE..=96_000;
/// Pulled at once: 2.5 ms, so that whoever brings packets never waits for the player for long.
const TICKS_PER_SECOND: u32 = 400;
/// More than any card takes at once.
const RING_SECONDS: usize = 2;
/// A card whose callback doesn't come for this long is lost.
const STALLED: Duration = Duration::from_secs(1);
/// How long opening may take where the system lets that be said.
const OPENING: Duration = Duration::from_secs(2);

/// A card that misses so many callbacks in this time, and again in the next, is asked for longer ones: for a machine that
/// hung once or twice a gap isn't worth it.
const STRAIN: u64 = 5;
const STRAIN_WINDOW: Duration = Duration::from_secs(10);
const STRAINED_WINDOWS: u32 = 2;

/// Lengths of a callback to ask for, in milliseconds, the best first.
pub(super) const fn periods(scheduling: Scheduling) -> &'static [u32] {
    match scheduling {
        Scheduling::RealTime => &PERIODS,
        Scheduling::Ordinary => &ORDINARY_PERIODS,
    }
}

/// An open stream.
pub(super) struct CardStream {
    /// Plays as long as it is kept.
    _stream: Stream,
    name: String,
    sample_rate: u32,
    ring: Producer<Frame>,
    tick: Vec<Frame>,
    health: Health,
    lead: Lead,
    ahead: Ahead,
    callbacks: u64,
    called: std::time::Instant,
    missing: u64,
    /// Since when late callbacks are counted, and how many there were before.
    watched: std::time::Instant,
    xruns: u64,
    /// In how many such stretches in a row too many came late.
    strained: u32,
    /// Frames put into the ring.
    written: u64,
    /// Frames pulled from the player.
    frames: u64,
}

/// What the two callbacks of a stream report.
#[derive(Debug, Clone, Default)]
struct Health {
    meter: Arc<Meter>,
    troubles: Arc<Troubles>,
}

/// What the sound system complained of.
#[derive(Debug, Default)]
struct Troubles {
    /// Callbacks that came too late for the card.
    xruns: AtomicU64,
    /// Why the card is lost.
    failure: OnceLock<String>,
}

impl CardStream {
    /// Opens a card at its own rate and starts it. It plays silence until [`feed`](Self::feed) finds it in its rhythm.
    ///
    /// # Errors
    /// What the sound system says.
    pub(super) fn open(device: &Device, name: &str, periods: &[u32], scheduling: Scheduling) -> Result<Self, String> {
        let supported = device.default_output_config().map_err(|error| error.to_string())?;
        let mut outcome = Err("no length of callback to try".to_owned());
        for &period in periods {
            outcome = Self::open_with(device, name, &supported, period, scheduling);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn open_with(
        device: &Device,
        name: &str,
        supported: &SupportedStreamConfig,
        period: u32,
        scheduling: Scheduling,
    ) -> Result<Self, String> {
        let sample_rate = supported.sample_rate().clamp(*RATES.start(), *RATES.end());
        let config = StreamConfig {
            channels: supported.channels(),
            sample_rate,
            buffer_size: buffer_size(period, sample_rate, supported),
        };
        let (ring, consumer) = RingBuffer::new(sample_rate as usize * RING_SECONDS);
        let health = Health::default();
        let callback = Callback::new(consumer, health.meter.clone(), config.channels, sample_rate);
        let stream = build(device, config, supported.sample_format(), callback, &health)?;
        stream.play().map_err(|error| error.to_string())?;
        let (least, first) = scheduling.margins();
        Ok(Self {
            _stream: stream,
            name: name.to_owned(),
            sample_rate,
            ring,
            tick: vec![[0.0; 2]; (sample_rate / TICKS_PER_SECOND) as usize],
            health,
            lead: Lead::new(clock::now(), least, first),
            ahead: Ahead::default(),
            callbacks: 0,
            called: std::time::Instant::now(),
            missing: 0,
            watched: std::time::Instant::now(),
            xruns: 0,
            strained: 0,
            written: 0,
            frames: 0,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Frames pulled for it.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    pub(super) fn underrun_frames(&self) -> u64 {
        self.health.meter.missing.load(Ordering::Relaxed)
    }

    /// Mean time from pulling a frame to hearing it.
    pub(super) fn ahead(&self) -> Duration {
        self.ahead.mean()
    }

    /// Whether the card misses more callbacks than it should. To be asked now and then.
    pub(super) fn is_strained(&mut self) -> bool {
        let xruns = self.health.troubles.xruns.load(Ordering::Relaxed);
        if self.watched.elapsed() >= STRAIN_WINDOW {
            let strained = xruns - self.xruns >= STRAIN;
            self.strained = if strained { self.strained + 1 } else { 0 };
            self.watched = std::time::Instant::now();
            self.xruns = xruns;
        }
        self.strained >= STRAINED_WINDOWS
    }

    /// Puts into the ring what the callbacks that are about to come will take.
    ///
    /// # Errors
    /// Where the card is lost, with the cause.
    pub(super) fn feed(&mut self, player: &SharedPlayer) -> Result<(), String> {
        let longest = self.observe()?;
        let wanted = self.lead.due(clock::now()) as usize * longest as usize;
        let wanted = wanted.min(self.ring.buffer().capacity());
        let waiting = self.waiting();
        if waiting >= wanted {
            return Ok(());
        }
        let held = u32::try_from(waiting / (longest as usize).max(1)).unwrap_or(u32::MAX);
        while self.waiting() < wanted {
            self.pull(player, wanted - self.waiting());
        }
        self.lead.handle_filled(clock::now(), held);
        Ok(())
    }

    /// Time until [`feed`](Self::feed) has something to do.
    pub(super) fn wait(&self) -> Duration {
        self.lead.wait(clock::now())
    }

    /// Notes what the callbacks did; the longest one's frames.
    fn observe(&mut self) -> Result<u32, String> {
        if let Some(cause) = self.health.troubles.failure.get() {
            return Err(cause.clone());
        }
        let meter = &self.health.meter;
        let callbacks = meter.callbacks.load(Ordering::Acquire);
        let newest = Instant::from_nanos(meter.called_at.load(Ordering::Relaxed));
        let longest = meter.longest.load(Ordering::Relaxed);
        let missing = meter.missing.load(Ordering::Relaxed);
        if callbacks != self.callbacks {
            self.callbacks = callbacks;
            self.called = std::time::Instant::now();
        }
        if self.called.elapsed() > STALLED {
            return Err(format!("it took no sound for {} ms", STALLED.as_millis()));
        }
        let period = length(longest.into(), self.sample_rate);
        self.lead.handle_callbacks(callbacks, newest, period);
        if missing != self.missing {
            self.missing = missing;
            self.lead.handle_missing(newest);
            tracing::debug!(missing, margin = ?self.lead.margin(), "the sound card found too little");
        }
        Ok(longest)
    }

    fn pull(&mut self, player: &SharedPlayer, most: usize) {
        let now = self.ahead.time(clock::now(), self.heard());
        let length = self.tick.len().min(most);
        let tick = self.tick.get_mut(..length).unwrap_or_default();
        {
            let mut player = lock(player);
            player.set_sample_rate(self.sample_rate);
            player.pull(now, tick);
        }
        self.frames += length as u64;
        for frame in tick {
            // Never more than there is room for, see `feed`.
            self.written += u64::from(self.ring.push(*frame).is_ok());
        }
    }

    /// When the next frame put into the ring is heard.
    fn heard(&self) -> Instant {
        let origin = Instant::from_nanos(self.health.meter.origin.load(Ordering::Relaxed));
        origin + length(self.written, self.sample_rate)
    }

    fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }
}

/// A callback's length, as near as the card allows.
fn buffer_size(period: u32, sample_rate: u32, supported: &SupportedStreamConfig) -> BufferSize {
    let frames = sample_rate / 1000 * period;
    BufferSize::Fixed(match *supported.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => frames.clamp(min, max),
        _ => frames,
    })
}

fn build(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    callback: Callback,
    health: &Health,
) -> Result<Stream, String> {
    match format {
        SampleFormat::I8 => build_as::<i8>(device, config, callback, health),
        SampleFormat::I16 => build_as::<i16>(device, config, callback, health),
        SampleFormat::I24 => build_as::<cpal::I24>(device, config, callback, health),
        SampleFormat::I32 => build_as::<i32>(device, config, callback, health),
        SampleFormat::U8 => build_as::<u8>(device, config, callback, health),
        SampleFormat::U16 => build_as::<u16>(device, config, callback, health),
        SampleFormat::F32 => build_as::<f32>(device, config, callback, health),
        SampleFormat::F64 => build_as::<f64>(device, config, callback, health),
        other => Err(format!("its sample format {other} isn't supported")),
    }
}

fn build_as<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut callback: Callback,
    health: &Health,
) -> Result<Stream, String> {
    let troubles = health.troubles.clone();
    let stream = device.build_output_stream(
        config,
        move |out: &mut [T], info| {
            let timestamp = info.timestamp();
            callback.play(out, timestamp.playback.duration_since(timestamp.callback));
        },
        move |error| note(&error, &troubles),
        Some(OPENING),
    );
    stream.map_err(|error| error.to_string())
}

fn note(error: &cpal::Error, troubles: &Troubles) {
    match error.kind() {
        // The card goes on.
        ErrorKind::Xrun => {
            troubles.xruns.fetch_add(1, Ordering::Relaxed);
        }
        ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
            let _ = troubles.failure.set(error.to_string());
        }
        // Where it is more than a hiccup, the callbacks stop coming.
        _ => tracing::debug!(%error, "sound card"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_card_that_is_gone_counts_as_lost() {
        let troubles = Troubles::default();
        note(&cpal::Error::new(ErrorKind::Xrun), &troubles);
        assert_eq!(troubles.failure.get(), None);
        assert_eq!(troubles.xruns.load(Ordering::Relaxed), 1);
        note(&cpal::Error::new(ErrorKind::DeviceNotAvailable), &troubles);
        assert!(troubles.failure.get().is_some());
    }
}

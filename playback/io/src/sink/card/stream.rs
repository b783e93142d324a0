//! One open stream to a card: the ring between player and callback, and what is known of the card's health.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig, SupportedBufferSize,
    SupportedStreamConfig,
};
use rtrb::RingBuffer;
use silentmon_playback_core::player::SAMPLE_RATE;

use super::callback::{Callback, Meter, Reading};
use super::lead::Lead;
use super::reserve::Margins;
use super::supply::{SharedSupply, Supply};
use crate::clock;
use crate::sink::feeder::lock;
use crate::sink::{SharedPlayer, length};

/// Rates that the player gives.
const RATES: RangeInclusive<u32> = SAMPLE_RATE..=96_000;
/// More than any card takes at once.
const RING_SECONDS: usize = 2;
/// A card whose callback doesn't come for this long is lost.
const STALLED: Duration = Duration::from_secs(1);
/// How long opening may take where the system lets that be said.
const OPENING: Duration = Duration::from_secs(2);

/// An open stream.
pub(super) struct CardStream {
    /// Plays as long as it is kept.
    _stream: Stream,
    name: String,
    sample_rate: u32,
    player: SharedPlayer,
    supply: SharedSupply,
    health: Health,
    lead: Lead,
    /// What the callbacks had done when that was read last, and when the newest of them was noticed.
    reading: Reading,
    called: std::time::Instant,
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
    pub(super) fn open(
        device: &Device,
        name: &str,
        player: &SharedPlayer,
        periods: &[u32],
        margins: Margins,
    ) -> Result<Self, String> {
        let supported = device.default_output_config().map_err(|error| error.to_string())?;
        let mut outcome = Err("no length of callback to try".to_owned());
        for &period in periods {
            outcome = Self::open_with(device, name, player, &supported, period, margins);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn open_with(
        device: &Device,
        name: &str,
        player: &SharedPlayer,
        supported: &SupportedStreamConfig,
        period: u32,
        margins: Margins,
    ) -> Result<Self, String> {
        let sample_rate = supported.sample_rate().clamp(*RATES.start(), *RATES.end());
        let config = StreamConfig {
            channels: supported.channels(),
            sample_rate,
            buffer_size: buffer_size(period, sample_rate, supported),
        };
        let (ring, consumer) = RingBuffer::new(sample_rate as usize * RING_SECONDS);
        let supply = Arc::new(Mutex::new(Supply::new(ring, sample_rate)));
        let health = Health::default();
        let (shared, meter) = ((supply.clone(), player.clone()), health.meter.clone());
        let callback = Callback::new(consumer, shared, meter, config.channels, sample_rate);
        let stream = build(device, config, supported.sample_format(), callback, &health)?;
        stream.play().map_err(|error| error.to_string())?;
        Ok(Self {
            _stream: stream,
            name: name.to_owned(),
            sample_rate,
            player: player.clone(),
            supply,
            health,
            lead: Lead::new(clock::now(), margins),
            reading: Reading::default(),
            called: std::time::Instant::now(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Frames pulled for it.
    pub(super) fn frames(&self) -> u64 {
        lock(&self.supply).frames()
    }

    /// Frames that weren't there when the card wanted them.
    pub(super) const fn underrun_frames(&self) -> u64 {
        self.reading.missing
    }

    /// Callbacks that came too late for the card.
    pub(super) fn late_callbacks(&self) -> u64 {
        self.health.troubles.xruns.load(Ordering::Relaxed)
    }

    /// Mean time from pulling a frame to hearing it.
    pub(super) fn ahead(&self) -> Duration {
        lock(&self.supply).ahead()
    }

    /// Whether all that is heard now, and all that is ready to be heard, is quiet.
    pub(super) fn is_pause(&self) -> bool {
        let supply = lock(&self.supply);
        supply.quiet() > supply.ahead() + self.period()
    }

    /// Puts into the ring what the callbacks that are about to come will take.
    ///
    /// # Errors
    /// Where the card is lost, with the cause.
    pub(super) fn feed(&mut self) -> Result<(), String> {
        self.observe()?;
        let now = clock::now();
        let mut supply = lock(&self.supply);
        supply.follow(self.lead.poll_calm(now));
        let taken = self.reading.taken;
        while supply.held(taken) + supply.tick_length() <= self.lead.wanted(now)
            && supply.pull(&mut lock(&self.player), self.reading.origin)
        {}
        Ok(())
    }

    /// Time until [`feed`](Self::feed) has something to do.
    pub(super) fn wait(&self) -> Duration {
        let supply = lock(&self.supply);
        let held = supply.held(self.reading.taken);
        self.lead.wait(clock::now(), held, supply.tick_length())
    }

    /// Notes what the callbacks did.
    fn observe(&mut self) -> Result<(), String> {
        if let Some(cause) = self.health.troubles.failure.get() {
            return Err(cause.clone());
        }
        let before = self.reading;
        self.reading = self.health.meter.read().unwrap_or(before);
        let reading = self.reading;
        if reading.callbacks != before.callbacks {
            self.called = std::time::Instant::now();
        }
        if self.called.elapsed() > STALLED {
            return Err(format!("it took no sound for {} ms", STALLED.as_millis()));
        }
        self.lead
            .handle_callbacks(reading.callbacks, reading.called_at, self.period());
        if reading.missing != before.missing {
            let missing = length(reading.missing - before.missing, self.sample_rate);
            let change = self.lead.handle_missing(reading.called_at, missing);
            lock(&self.supply).follow(change);
            tracing::debug!(?missing, margin = ?self.lead.margin(), "the sound card found too little");
        }
        Ok(())
    }

    /// How long the sound of a callback lasts.
    fn period(&self) -> Duration {
        length(self.reading.longest.into(), self.sample_rate)
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

//! One open stream to a card: the ring between player and callback, and what is known of the card's health.

use std::any::Any;
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

#[cfg(target_os = "linux")]
use super::alsa;
use super::callback::{Callback, Meter, Reading};
use super::lead::Lead;
use super::reserve::{Margins, Spare};
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
    _driver: Box<dyn Any>,
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
pub(super) struct Troubles {
    /// Callbacks that came too late for the card.
    pub(super) xruns: AtomicU64,
    /// Why the card is lost.
    pub(super) failure: OnceLock<String>,
}

/// What a card is opened for.
#[derive(Clone, Copy)]
pub(super) struct Format {
    pub(super) sample_rate: u32,
    pub(super) channels: u16,
    pub(super) sample: SampleFormat,
}

/// A driver at work.
pub(super) struct Driver {
    /// Plays as long as it is kept.
    pub(super) plays: Box<dyn Any>,
    /// Callbacks whose sound the card holds.
    pub(super) held: u32,
}

/// Opens a card that is to have so much left when it asks for more.
type Open = fn(&Device, Spare, Format, Callback, &Arc<Troubles>) -> Result<Driver, String>;

/// The drivers, the best first.
const DRIVERS: &[Open] = &[
    #[cfg(target_os = "linux")]
    alsa::open,
    open_by_cpal,
];

impl CardStream {
    /// Opens a card at its own rate and starts it. It plays silence until [`feed`](Self::feed) finds it in its rhythm.
    ///
    /// # Errors
    /// What the sound system says.
    pub(super) fn open(
        device: &Device,
        name: &str,
        player: &SharedPlayer,
        spares: &[Spare],
        margins: Margins,
    ) -> Result<Self, String> {
        let supported = device.default_output_config().map_err(|error| error.to_string())?;
        let format = Format {
            sample_rate: supported.sample_rate().clamp(*RATES.start(), *RATES.end()),
            channels: supported.channels(),
            sample: supported.sample_format(),
        };
        let mut outcome = Err("nothing to ask it for".to_owned());
        for (&spare, open) in spares
            .iter()
            .flat_map(|spare| DRIVERS.iter().map(move |open| (spare, open)))
        {
            outcome = Self::open_by(*open, device, name, player, format, spare, margins);
            match &outcome {
                Ok(_) => break,
                Err(cause) => tracing::debug!(cause, ?spare, "a sound card refuses"),
            }
        }
        outcome
    }

    fn open_by(
        open: Open,
        device: &Device,
        name: &str,
        player: &SharedPlayer,
        format: Format,
        spare: Spare,
        margins: Margins,
    ) -> Result<Self, String> {
        let (ring, consumer) = RingBuffer::new(format.sample_rate as usize * RING_SECONDS);
        let supply = Arc::new(Mutex::new(Supply::new(ring, format.sample_rate)));
        let health = Health::default();
        let (shared, meter) = ((supply.clone(), player.clone()), health.meter.clone());
        let callback = Callback::new(consumer, shared, meter, format.channels, format.sample_rate);
        let driver = open(device, spare, format, callback, &health.troubles)?;
        Ok(Self {
            _driver: driver.plays,
            name: name.to_owned(),
            sample_rate: format.sample_rate,
            player: player.clone(),
            supply,
            health,
            lead: Lead::new(clock::now(), margins, driver.held),
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

/// Opens a card through cpal, which has a card hold two callbacks: what it has left when it asks for more is one of them.
fn open_by_cpal(
    device: &Device,
    spare: Spare,
    format: Format,
    callback: Callback,
    troubles: &Arc<Troubles>,
) -> Result<Driver, String> {
    let supported = device.default_output_config().map_err(|error| error.to_string())?;
    let config = StreamConfig {
        channels: format.channels,
        sample_rate: format.sample_rate,
        buffer_size: buffer_size(spare.of_two, format.sample_rate, &supported),
    };
    let stream = build(device, config, format.sample, callback, troubles)?;
    stream.play().map_err(|error| error.to_string())?;
    Ok(Driver {
        plays: Box::new(stream),
        held: 2,
    })
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
    troubles: &Arc<Troubles>,
) -> Result<Stream, String> {
    match format {
        SampleFormat::I8 => build_as::<i8>(device, config, callback, troubles),
        SampleFormat::I16 => build_as::<i16>(device, config, callback, troubles),
        SampleFormat::I24 => build_as::<cpal::I24>(device, config, callback, troubles),
        SampleFormat::I32 => build_as::<i32>(device, config, callback, troubles),
        SampleFormat::U8 => build_as::<u8>(device, config, callback, troubles),
        SampleFormat::U16 => build_as::<u16>(device, config, callback, troubles),
        SampleFormat::F32 => build_as::<f32>(device, config, callback, troubles),
        SampleFormat::F64 => build_as::<f64>(device, config, callback, troubles),
        other => Err(format!("its sample format {other} isn't supported")),
    }
}

fn build_as<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut callback: Callback,
    troubles: &Arc<Troubles>,
) -> Result<Stream, String> {
    let troubles = troubles.clone();
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

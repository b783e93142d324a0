//! A card through ALSA, which asks for a little sound at a time. cpal has a card hold two callbacks, so that only half of what it
//! holds bears a late thread; here it is all but one short callback. A callback that would find too little, because somebody
//! is pulling the player at that moment, waits too as long as the card has sound left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use alsa::pcm::{Access, Frames, HwParams, IO, IoFormat, PCM};
use alsa::{Direction, ValueOr};
use cpal::traits::DeviceTrait;
use cpal::{Device, FromSample, HostId, SampleFormat, SizedSample};
use rustix::io::Errno;

use super::callback::Callback;
use super::reserve::Spare;
use super::stream::{Driver, Format, Troubles};
use crate::sink::length;

/// Sound of one callback, in milliseconds: as short as cards usually allow.
const PERIOD: u32 = 5;
/// A card that has no more left than this gets what there is.
const LAST: Duration = Duration::from_millis(3);
/// How soon it is looked again for what isn't there yet.
const AGAIN: Duration = Duration::from_micros(250);
/// How long a card that asks for nothing is waited for before it is looked whether the stream is to end, in milliseconds.
const LOOK: u32 = 50;

/// A stream's thread; ends with it.
struct Stream {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Nothing is left to be done where it panicked.
            let _ = thread.join();
        }
    }
}

/// Opens a card that is to have so much left when it asks for more, and starts it. Its thread has the priority of the
/// one that opens it.
///
/// # Errors
/// What ALSA says; a card of another sound system, or of samples that aren't played here.
pub(super) fn open(
    device: &Device,
    spare: Spare,
    format: Format,
    callback: Callback,
    troubles: &Arc<Troubles>,
) -> Result<Driver, String> {
    let id = device.id().map_err(|error| error.to_string())?;
    if id.host() != HostId::Alsa {
        return Err(format!("{id} isn't a card of ALSA"));
    }
    match format.sample {
        SampleFormat::I8 => open_as::<i8>(id.id(), spare.of_many, format, callback, troubles),
        SampleFormat::U8 => open_as::<u8>(id.id(), spare.of_many, format, callback, troubles),
        SampleFormat::I16 => open_as::<i16>(id.id(), spare.of_many, format, callback, troubles),
        SampleFormat::I32 => open_as::<i32>(id.id(), spare.of_many, format, callback, troubles),
        SampleFormat::F32 => open_as::<f32>(id.id(), spare.of_many, format, callback, troubles),
        SampleFormat::F64 => open_as::<f64>(id.id(), spare.of_many, format, callback, troubles),
        other => Err(format!("its sample format {other} isn't played here")),
    }
}

fn open_as<T: IoFormat + SizedSample + FromSample<f32> + Send + 'static>(
    name: &str,
    spare: u32,
    format: Format,
    callback: Callback,
    troubles: &Arc<Troubles>,
) -> Result<Driver, String> {
    let (pcm, period, held) = prepare::<T>(name, spare, format).map_err(|error| error.to_string())?;
    let stopping = Arc::new(AtomicBool::new(false));
    let (seen, troubles) = (stopping.clone(), troubles.clone());
    let sample = T::EQUILIBRIUM;
    let run = move || {
        let feeding = Feeding {
            pcm: &pcm,
            stopping: &seen,
            callback,
            period,
            slice: vec![sample; period * usize::from(format.channels)],
            format,
        };
        if let Err(error) = feeding.run(&troubles) {
            let _ = troubles.failure.set(error.to_string());
        }
    };
    let thread = thread::Builder::new()
        .name("silentmon-card".to_owned())
        .spawn(run)
        .map_err(|error| error.to_string())?;
    let stream = Stream {
        stopping,
        thread: Some(thread),
    };
    Ok(Driver {
        plays: Box::new(stream),
        held,
    })
}

/// Opens a card; frames of a callback, and how many callbacks it holds.
fn prepare<T: IoFormat>(name: &str, spare: u32, format: Format) -> alsa::Result<(PCM, usize, u32)> {
    let pcm = PCM::new(name, Direction::Playback, true)?;
    let (buffer, period) = {
        let frames = |milliseconds: u32| Frames::from(format.sample_rate / 1000 * milliseconds);
        let wanted = HwParams::any(&pcm)?;
        wanted.set_access(Access::RWInterleaved)?;
        wanted.set_format(T::FORMAT)?;
        wanted.set_channels(format.channels.into())?;
        wanted.set_rate(format.sample_rate, ValueOr::Nearest)?;
        let period = wanted.set_period_size_near(frames(PERIOD), ValueOr::Nearest)?;
        wanted.set_buffer_size_near((frames(spare) + period).max(period * 2))?;
        pcm.hw_params(&wanted)?;
        (wanted.get_buffer_size()?, wanted.get_period_size()?)
    };
    let held = buffer.checked_div(period).unwrap_or_default();
    let numbers = (usize::try_from(period), u32::try_from(held));
    let (Ok(frames), Ok(callbacks @ 2..)) = numbers else {
        return Err(alsa::Error::new("snd_pcm_hw_params", Errno::INVAL.raw_os_error()));
    };
    {
        let wanted = pcm.sw_params_current()?;
        wanted.set_avail_min(period)?;
        wanted.set_start_threshold(period * held)?;
        pcm.sw_params(&wanted)?;
    }
    pcm.prepare()?;
    Ok((pcm, frames, callbacks))
}

/// What a stream's thread works with.
struct Feeding<'pcm, T> {
    pcm: &'pcm PCM,
    stopping: &'pcm AtomicBool,
    callback: Callback,
    /// Frames of a callback.
    period: usize,
    /// Their samples.
    slice: Vec<T>,
    format: Format,
}

impl<T: IoFormat + SizedSample + FromSample<f32>> Feeding<'_, T> {
    /// Plays until the stream is to end, or the card is lost.
    fn run(mut self, troubles: &Troubles) -> alsa::Result<()> {
        let card = self.pcm.io_checked::<T>()?;
        while !self.is_over() {
            if let Err(error) = self.feed(&card) {
                if error.errno() == Errno::PIPE.raw_os_error() {
                    troubles.xruns.fetch_add(1, Ordering::Relaxed);
                }
                // Ran empty, or the machine slept: it begins anew. Anything else stays an error.
                self.pcm.try_recover(error, true)?;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until the card asks for sound, and gives it what it asks for.
    fn feed(&mut self, card: &IO<T>) -> alsa::Result<()> {
        if !self.pcm.wait(Some(LOOK))? {
            return Ok(());
        }
        if !self.give(card)? {
            // Some cards wake us early; never spin at real-time priority.
            thread::sleep(AGAIN);
            return Ok(());
        }
        while !self.is_over() && self.give(card)? {}
        Ok(())
    }

    /// Gives the card one callback's sound. False where it has no room for it yet.
    fn give(&mut self, card: &IO<T>) -> alsa::Result<bool> {
        while !self.is_over() {
            let (room, delay) = self.pcm.avail_delay()?;
            if !usize::try_from(room).is_ok_and(|room| room >= self.period) {
                return Ok(false);
            }
            let delay = length(u64::try_from(delay).unwrap_or_default(), self.format.sample_rate);
            if delay <= LAST || self.callback.is_ready(self.period, delay) {
                self.callback.play(&mut self.slice, delay);
                self.write(card)?;
                return Ok(true);
            }
            thread::sleep(AGAIN);
        }
        Ok(false)
    }

    fn write(&self, card: &IO<T>) -> alsa::Result<()> {
        let channels = usize::from(self.format.channels);
        let mut rest = self.slice.as_slice();
        while !rest.is_empty() && !self.is_over() {
            match card.writei(rest) {
                Ok(frames) => rest = rest.get(frames * channels..).unwrap_or_default(),
                Err(error) if error.errno() == Errno::AGAIN.raw_os_error() => thread::sleep(AGAIN),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

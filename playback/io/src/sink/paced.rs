//! Outputs without a clock of their own: a WAV file, browsers and nothing at all, paced by the system's steady clock. What was
//! pulled after a time is exactly the samples of that time.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::{Duration, Instant};

use silentmon_playback_core::player::{SAMPLE_RATE, to_i16};
use tokio::sync::mpsc;

use super::feeder::{Feeder, Stopping, lock};
use super::{Output, SharedPlayer, SinkError, SinkEvent, SinkSummary, length, tell};
use crate::clock;
use crate::wav::{WavFormat, WavWriter};

/// Ticks a second: what is pulled at once lasts 10 ms.
const TICKS: u32 = 100;
const TICK_LENGTH: Duration = Duration::from_millis(10);
/// Between two ticks at least.
const CATCHING_UP: Duration = Duration::from_millis(1);
/// How often a file's header is brought up to date.
const FLUSH: Duration = Duration::from_millis(500);

/// What was pulled at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick<'a> {
    /// When its first frame plays.
    pub(super) at: silentmon_proto::time::Instant,
    /// Frames per second.
    pub(super) sample_rate: u32,
    /// The frames: left, right; full scale ±1.
    pub(super) frames: &'a [[f32; 2]],
}

/// At which rate a player is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PaceRate {
    /// Frames per second.
    Fixed(u32),
    /// That of the codec that is heard first; 8 kHz until then.
    OfFirstSound,
}

/// Room for a tick.
fn tick_of(sample_rate: u32) -> Vec<[f32; 2]> {
    vec![[0.0; 2]; (sample_rate / TICKS) as usize]
}

/// A player pulled by the system's clock.
pub(super) struct Pace {
    player: SharedPlayer,
    sample_rate: u32,
    rate: PaceRate,
    started: Instant,
    started_at: silentmon_proto::time::Instant,
    frames: u64,
    tick: Vec<[f32; 2]>,
}

impl Pace {
    pub(super) fn new(player: SharedPlayer, rate: PaceRate) -> Self {
        let sample_rate = match rate {
            PaceRate::Fixed(sample_rate) => sample_rate,
            PaceRate::OfFirstSound => SAMPLE_RATE,
        };
        Self {
            player,
            sample_rate,
            rate,
            started: Instant::now(),
            started_at: clock::now(),
            frames: 0,
            tick: tick_of(sample_rate),
        }
    }

    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Time until the next tick.
    pub(super) fn wait(&self) -> Duration {
        let next = length(self.frames, self.sample_rate) + TICK_LENGTH;
        next.saturating_sub(self.started.elapsed()).max(CATCHING_UP)
    }

    /// Pulls a tick where its time has passed. After a standstill the rest follows tick by tick: what came from the network
    /// meanwhile is to be handed to the player first.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn run(&mut self, write: impl FnMut(Tick<'_>) -> io::Result<()>) -> io::Result<()> {
        self.choose_rate();
        let tick = self.tick.len() as u64;
        let due = if self.due() < tick { 0 } else { tick };
        self.pull(due, write)
    }

    /// Pulls what the time that passed is worth, to the frame.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn end(&mut self, write: impl FnMut(Tick<'_>) -> io::Result<()>) -> io::Result<()> {
        let due = self.due();
        self.pull(due, write)
    }

    fn choose_rate(&mut self) {
        if self.rate != PaceRate::OfFirstSound {
            return;
        }
        let heard = lock(&self.player).sound_rate();
        if let Some(sample_rate) = heard {
            self.rate = PaceRate::Fixed(sample_rate);
            self.frames = self.frames * u64::from(sample_rate) / u64::from(self.sample_rate);
            self.sample_rate = sample_rate;
            self.tick = tick_of(sample_rate);
        }
    }

    fn due(&self) -> u64 {
        let passed = self.started.elapsed().as_nanos() * u128::from(self.sample_rate) / 1_000_000_000;
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_sub(self.frames)
    }

    fn pull(&mut self, mut due: u64, mut write: impl FnMut(Tick<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut outcome = Ok(());
        while due > 0 {
            let at = self.started_at + length(self.frames, self.sample_rate);
            let most = usize::try_from(due).unwrap_or(usize::MAX).min(self.tick.len());
            let frames = self.tick.get_mut(..most).unwrap_or_default();
            {
                let mut player = lock(&self.player);
                player.set_sample_rate(self.sample_rate);
                player.pull(at, frames);
            }
            self.frames += most as u64;
            due -= most as u64;
            let tick = Tick {
                at,
                sample_rate: self.sample_rate,
                frames,
            };
            outcome = outcome.and_then(|()| write(tick));
        }
        outcome
    }
}

/// Starts to throw the sound away at the pace of a card.
pub(super) fn start_null(player: SharedPlayer, events: mpsc::Sender<SinkEvent>) -> Result<Feeder, SinkError> {
    Feeder::start(move |stopping| {
        opened(&Output::Null, SAMPLE_RATE, &events);
        run(
            Pace::new(player, PaceRate::Fixed(SAMPLE_RATE)),
            &stopping,
            &events,
            |_| Ok(()),
        )
    })
}

/// Starts to write the sound to a file.
pub(super) fn start_wav(
    path: &Path,
    player: SharedPlayer,
    events: mpsc::Sender<SinkEvent>,
) -> Result<Feeder, SinkError> {
    let format = WavFormat {
        channels: 2,
        sample_rate: SAMPLE_RATE,
    };
    let file = WavWriter::create(path, format).map_err(|cause| SinkError::File {
        path: path.to_owned(),
        cause,
    })?;
    let output = Output::Wav(path.to_owned());
    Feeder::start(move |stopping| {
        opened(&output, SAMPLE_RATE, &events);
        write_wav(file, player, &stopping, &events)
    })
}

/// Tells that an output plays.
pub(super) fn opened(output: &Output, sample_rate: u32, events: &mpsc::Sender<SinkEvent>) {
    let opened = SinkEvent::Opened {
        name: output.to_string(),
        sample_rate,
    };
    tell(events, opened);
}

fn write_wav(
    mut file: WavWriter<BufWriter<File>>,
    player: SharedPlayer,
    stopping: &Stopping,
    events: &mpsc::Sender<SinkEvent>,
) -> SinkSummary {
    let mut flushed = Instant::now();
    let summary = run(Pace::new(player, PaceRate::OfFirstSound), stopping, events, |tick| {
        file.set_sample_rate(tick.sample_rate)?;
        file.write(tick.frames.iter().flatten().copied().map(to_i16))?;
        if flushed.elapsed() >= FLUSH {
            flushed = Instant::now();
            file.flush()?;
        }
        Ok(())
    });
    if let Err(error) = file.finish() {
        failed(&error, events);
    }
    summary
}

/// Pulls until stopped. Where writing fails the player is pulled on, so that the session goes on.
pub(super) fn run(
    mut pace: Pace,
    stopping: &Stopping,
    events: &mpsc::Sender<SinkEvent>,
    mut write: impl FnMut(Tick<'_>) -> io::Result<()>,
) -> SinkSummary {
    let mut broken = false;
    loop {
        let last = stopping.is_set();
        let write = |tick: Tick<'_>| if broken { Ok(()) } else { write(tick) };
        let outcome = if last { pace.end(write) } else { pace.run(write) };
        if let Err(error) = outcome {
            broken = true;
            failed(&error, events);
        }
        if last {
            return SinkSummary {
                frames: pace.frames(),
                ..SinkSummary::default()
            };
        }
        stopping.rest(pace.wait());
    }
}

fn failed(error: &io::Error, events: &mpsc::Sender<SinkEvent>) {
    let failed = SinkEvent::Failed {
        cause: error.to_string(),
    };
    tell(events, failed);
}

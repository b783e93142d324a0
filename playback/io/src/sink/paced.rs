//! Outputs without a clock of their own: a WAV file and nothing at all, paced by the system's steady clock. What was
//! pulled after a time is exactly the samples of that time.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::{Duration, Instant};

use silentmon_playback_core::player::{SAMPLE_RATE, to_i16};
use tokio::sync::mpsc;

use super::feeder::{Feeder, Stopping, lock};
use super::{Output, SharedPlayer, SinkError, SinkEvent, SinkSummary, tell};
use crate::clock;
use crate::wav::{WavFormat, WavWriter};

/// Frames pulled at once.
const TICK: usize = 80;
const TICK_LENGTH: Duration = Duration::from_millis(10);
/// How often a file's header is brought up to date.
const FLUSH: Duration = Duration::from_millis(500);

/// A player pulled by the system's clock.
pub(super) struct Pace {
    player: SharedPlayer,
    started: Instant,
    started_at: silentmon_proto::time::Instant,
    frames: u64,
    tick: Box<[[f32; 2]; TICK]>,
}

impl Pace {
    pub(super) fn new(player: SharedPlayer) -> Self {
        Self {
            player,
            started: Instant::now(),
            started_at: clock::now(),
            frames: 0,
            tick: Box::new([[0.0; 2]; TICK]),
        }
    }

    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Time until the next tick.
    pub(super) fn wait(&self) -> Duration {
        let next = length(self.frames) + TICK_LENGTH;
        next.saturating_sub(self.started.elapsed())
    }

    /// Pulls what the time that passed is worth in whole ticks.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn run(&mut self, write: impl FnMut(&[[f32; 2]]) -> io::Result<()>) -> io::Result<()> {
        let due = frames(self.started.elapsed()).saturating_sub(self.frames);
        self.pull(due - due % TICK as u64, write)
    }

    /// Pulls what the time that passed is worth, to the frame.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn end(&mut self, write: impl FnMut(&[[f32; 2]]) -> io::Result<()>) -> io::Result<()> {
        let due = frames(self.started.elapsed()).saturating_sub(self.frames);
        self.pull(due, write)
    }

    fn pull(&mut self, mut due: u64, mut write: impl FnMut(&[[f32; 2]]) -> io::Result<()>) -> io::Result<()> {
        let mut outcome = Ok(());
        while due > 0 {
            let now = self.started_at + length(self.frames);
            let most = usize::try_from(due).unwrap_or(TICK).min(TICK);
            let tick = self.tick.get_mut(..most).unwrap_or_default();
            lock(&self.player).pull(now, tick);
            self.frames += most as u64;
            due -= most as u64;
            outcome = outcome.and_then(|()| write(tick));
        }
        outcome
    }
}

fn length(frames: u64) -> Duration {
    Duration::from_micros(frames.saturating_mul(125))
}

fn frames(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros() / 125).unwrap_or(u64::MAX)
}

/// Starts to throw the sound away at the pace of a card.
pub(super) fn start_null(player: SharedPlayer, events: mpsc::Sender<SinkEvent>) -> Result<Feeder, SinkError> {
    Feeder::start(move |stopping| {
        opened(&Output::Null, &events);
        run(player, &stopping, &events, |_| Ok(()))
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
        opened(&output, &events);
        write_wav(file, player, &stopping, &events)
    })
}

fn opened(output: &Output, events: &mpsc::Sender<SinkEvent>) {
    let opened = SinkEvent::Opened {
        name: output.to_string(),
        sample_rate: SAMPLE_RATE,
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
    let summary = run(player, stopping, events, |frames| {
        file.write(frames.iter().flatten().copied().map(to_i16))?;
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
fn run(
    player: SharedPlayer,
    stopping: &Stopping,
    events: &mpsc::Sender<SinkEvent>,
    mut write: impl FnMut(&[[f32; 2]]) -> io::Result<()>,
) -> SinkSummary {
    let mut pace = Pace::new(player);
    let mut broken = false;
    loop {
        let last = stopping.is_set();
        let write = |frames: &[[f32; 2]]| if broken { Ok(()) } else { write(frames) };
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

//! What a capture thread does, for an interface and for a file, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Cache};
use silentmon_capture_core::filter::MediaFilter;
use silentmon_proto::time::Instant;

use super::outlet::{Closed, Outlet};
use super::{CaptureEnd, CaptureError};
use crate::file::paced::{Pace, PacedFile};
use crate::live::{LiveCapture, LiveRead, LiveStop};

/// Frames taken from an interface before the filter is looked up again.
const FRAMES: usize = 4096;
/// How often libpcap is asked for the kernel's figures: it opens a file for that.
const KERNEL_FIGURES: Duration = Duration::from_millis(250);
/// Frames of a file due within this are due now: a thread can't be woken for each of 100,000 a second.
const EARLY: Duration = Duration::from_millis(1);

/// Whether a file is to be left.
pub(super) type FileStop = Arc<AtomicBool>;

/// What stops a thread.
pub(super) enum Stop {
    Live(LiveStop),
    File(FileStop),
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Live(_) => "Live",
            Self::File(_) => "File",
        })
    }
}

impl Stop {
    pub(super) fn file() -> Self {
        Self::File(Arc::default())
    }

    /// The thread's share of it.
    pub(super) fn for_thread(&self) -> FileStop {
        match self {
            Self::Live(_) => Arc::default(),
            Self::File(stop) => Arc::clone(stop),
        }
    }

    pub(super) fn stop<T>(&self, thread: Option<&JoinHandle<T>>) {
        match self {
            Self::Live(live) => live.stop(),
            Self::File(stop) => {
                stop.store(true, Ordering::Release);
                if let Some(thread) = thread {
                    thread.thread().unpark();
                }
            }
        }
    }
}

/// The time of the day.
pub(super) fn day_now() -> Instant {
    Instant::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

pub(super) fn run_live(mut capture: LiveCapture, mut outlet: Outlet, filter: &ArcSwap<MediaFilter>) -> CaptureEnd {
    let mut figures = std::time::Instant::now();
    let mut filter = Cache::new(filter);
    outlet.set_own(capture.own_address());
    loop {
        let mut taken = Ok(());
        let read = capture.read(FRAMES, |frame| {
            if taken.is_ok() {
                // Loaded for each frame: on a quiet link the read may have waited since before the filter changed.
                taken = outlet.take(&frame, filter.load());
            }
        });
        let more = matches!(read, Ok(LiveRead::Frames(_)));
        if !more || figures.elapsed() >= KERNEL_FIGURES {
            figures = std::time::Instant::now();
            outlet.stats().set_kernel(capture.counters());
        }
        let flushed = outlet.flush();
        match read {
            Err(error) => return CaptureEnd::Failed(CaptureError::Live(error)),
            Ok(LiveRead::Stopped) => return CaptureEnd::Stopped,
            Ok(LiveRead::Frames(_)) if taken.and(flushed) == Err(Closed) => return CaptureEnd::Stopped,
            Ok(LiveRead::Frames(_)) => {}
        }
    }
}

pub(super) fn run_file(
    mut file: PacedFile,
    pace: Pace,
    mut outlet: Outlet,
    filter: &Arc<ArcSwap<MediaFilter>>,
    stop: &FileStop,
) -> CaptureEnd {
    let clock = Clock::start();
    let mut filter = Cache::new(Arc::clone(filter));
    let end = loop {
        if stop.load(Ordering::Acquire) {
            break CaptureEnd::Stopped;
        }
        let frame = match file.advance() {
            Ok(Some(due)) => file.frame(due),
            Ok(None) => break CaptureEnd::EndOfFile,
            Err(error) => break CaptureEnd::Failed(CaptureError::File(error)),
        };
        if pace == Pace::Real && clock.until(frame.captured) > EARLY {
            if outlet.flush() == Err(Closed) {
                return CaptureEnd::Stopped;
            }
            if !clock.wait(frame.captured, stop) {
                break CaptureEnd::Stopped;
            }
        }
        if outlet.begin_round(file.round()) == Err(Closed) || outlet.take(&frame, filter.load()) == Err(Closed) {
            return CaptureEnd::Stopped;
        }
    };
    match outlet.flush() {
        Ok(()) => end,
        Err(Closed) => CaptureEnd::Stopped,
    }
}

/// The day's time at the start, advanced by the steady clock, so that setting the clock doesn't stall a file.
struct Clock {
    day: Instant,
    steady: std::time::Instant,
}

impl Clock {
    fn start() -> Self {
        Self {
            day: day_now(),
            steady: std::time::Instant::now(),
        }
    }

    fn until(&self, due: Instant) -> Duration {
        due - (self.day + self.steady.elapsed())
    }

    /// Waits until a frame is due; `false` where the file is to be left instead.
    fn wait(&self, due: Instant, stop: &FileStop) -> bool {
        loop {
            if stop.load(Ordering::Acquire) {
                return false;
            }
            match self.until(due) {
                Duration::ZERO => return true,
                left => std::thread::park_timeout(left),
            }
        }
    }
}

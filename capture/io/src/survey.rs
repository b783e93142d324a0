//! A survey of an interface, on a thread of its own, or of a capture file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use silentmon_capture_core::survey::{Counters, Report, Survey, SurveyOptions};

use crate::feed::CaptureError;
use crate::file::{CaptureFile, FileError};
use crate::live::{Direction, LiveCapture, LiveCounters, LiveError, LiveOptions, LiveRead, LiveStop};

/// Frames taken at a time; a report waits no longer than they take.
const FRAMES: usize = 4096;
/// How often libpcap is asked for the kernel's figures: it opens a file for that.
const KERNEL_FIGURES: Duration = Duration::from_millis(250);

/// Shows a survey every frame of a file for as long as `go_on` says so, which is asked now and then.
///
/// # Errors
/// Where the file is damaged; what stands before the damage was shown.
pub fn read_file(
    file: &mut CaptureFile,
    survey: &mut Survey,
    mut go_on: impl FnMut() -> bool,
) -> Result<(), FileError> {
    while let Some(frame) = file.next_frame()? {
        survey.handle_frame(&frame.into());
        if survey.frames().is_multiple_of(FRAMES as u64) && !go_on() {
            break;
        }
    }
    Ok(())
}

/// A survey that runs. Dropping it stops it.
pub struct LiveSurvey {
    survey: Arc<Mutex<Survey>>,
    stop: LiveStop,
    thread: Option<JoinHandle<Option<LiveError>>>,
}

impl LiveSurvey {
    /// Opens an interface, promiscuous, and starts to watch what it receives.
    ///
    /// # Errors
    /// Where the interface can't be captured from, or the thread can't be started.
    pub fn start(interface: &str, options: SurveyOptions) -> Result<Self, CaptureError> {
        let live = LiveOptions {
            direction: Direction::In,
            ..LiveOptions::default()
        };
        let mut capture = LiveCapture::open(interface, &live)?;
        let stop = capture.stop();
        let survey = Arc::new(Mutex::new(Survey::new(options)));
        let watched = Arc::clone(&survey);
        let thread = std::thread::Builder::new()
            .name("survey".to_owned())
            .spawn(move || watch(capture, &watched))
            .map_err(|error| CaptureError::Thread(format!("can't be started: {error}")))?;
        Ok(Self {
            survey,
            stop,
            thread: Some(thread),
        })
    }

    /// What was seen so far.
    pub fn report(&self) -> Report {
        lock(&self.survey).report()
    }

    /// Whether the capture ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops, and answers what was seen and why the capture had ended before, if it had.
    pub fn finish(mut self) -> (Report, Option<CaptureError>) {
        self.stop.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        let failure = match ended {
            Some(Ok(error)) => error.map(CaptureError::Live),
            Some(Err(_)) => Some(CaptureError::Thread("broke down".to_owned())),
            None => None,
        };
        let mut survey = lock(&self.survey);
        survey.conclude();
        (survey.report(), failure)
    }
}

impl Drop for LiveSurvey {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn watch(mut capture: LiveCapture, survey: &Mutex<Survey>) -> Option<LiveError> {
    let mut figures = Instant::now();
    loop {
        // Taken with the first frame, not while waiting for it.
        let mut guard = None;
        let read = capture.read(FRAMES, |frame| {
            guard.get_or_insert_with(|| lock(survey)).handle_frame(&frame);
        });
        drop(guard);
        let more = matches!(read, Ok(LiveRead::Frames(_)));
        if !more || figures.elapsed() >= KERNEL_FIGURES {
            figures = Instant::now();
            let counters = counters(capture.counters());
            lock(survey).handle_counters(counters);
        }
        match read {
            Ok(LiveRead::Frames(_)) => {}
            Ok(LiveRead::Stopped) => return None,
            Err(error) => return Some(error),
        }
    }
}

const fn counters(live: LiveCounters) -> Counters {
    Counters {
        received: live.received,
        dropped: live.dropped,
        dropped_by_interface: live.dropped_by_interface,
    }
}

fn lock(survey: &Mutex<Survey>) -> MutexGuard<'_, Survey> {
    survey.lock().unwrap_or_else(PoisonError::into_inner)
}

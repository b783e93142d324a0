//! A capture file as a source of live traffic: its frames at the pace they were captured at, or as fast as they come,
//! once or over and over.
//!
//! Reads no clock: [`PacedFile::next_frame`] says when a frame is due, whoever owns a clock waits until then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use silentmon_proto::frame::Frame;
use silentmon_proto::time::Instant;

use super::{CaptureFile, FileError, Place, Problem, Record};

/// Time between the last frame of one run through the file and the first of the next: a usual packet time.
const LOOP_GAP: Duration = Duration::from_millis(20);

/// A step back in capture time that is more than reordering: two captures joined into one file, a clock set back.
const STEP_BACK: Duration = Duration::from_secs(1);

/// How fast a file's frames come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// With the gaps they were captured with, shifted so that the first frame comes now.
    #[default]
    Real,
    /// As fast as they can be taken, with the capture times of the file.
    Fast,
}

/// What comes after the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    /// The end.
    #[default]
    Once,
    /// The first frame again, at a later time.
    Forever,
}

/// Where a capture file comes from; can be opened again and again but for standard input.
#[derive(Debug, Clone)]
pub enum FileOrigin {
    /// A file in the file system; `-` is standard input.
    Path(PathBuf),
    /// A capture in memory.
    Memory {
        /// What it is called in errors.
        name: String,
        /// The bytes of the file.
        bytes: Arc<[u8]>,
    },
}

impl FileOrigin {
    /// Opens the file.
    ///
    /// # Errors
    /// Where it can't be opened or isn't a capture file.
    pub fn open(&self) -> Result<CaptureFile, FileError> {
        match self {
            Self::Path(path) => CaptureFile::open(path),
            Self::Memory { name, bytes } => CaptureFile::from_bytes(name.clone(), bytes.clone()),
        }
    }
}

/// A capture file that is played.
pub struct PacedFile {
    origin: FileOrigin,
    file: CaptureFile,
    timeline: Timeline,
    repeat: Repeat,
    round: u32,
}

/// A frame of the file, shifted in time, not yet looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    record: Record,
    at: Instant,
}

impl PacedFile {
    /// Opens the file. With [`Pace::Real`] its first frame is due at `start`; [`Pace::Fast`] keeps the file's times.
    ///
    /// # Errors
    /// Where it can't be opened, isn't a capture file, or is standard input to be repeated.
    pub fn open(origin: FileOrigin, pace: Pace, repeat: Repeat, start: Instant) -> Result<Self, FileError> {
        if repeat == Repeat::Forever && matches!(&origin, FileOrigin::Path(path) if path == Path::new("-")) {
            let problem = Problem::Open("it can be read only once, not in a loop".to_owned());
            return Err(FileError::new("standard input", Place::default(), problem));
        }
        Ok(Self {
            file: origin.open()?,
            origin,
            timeline: Timeline::new(match pace {
                Pace::Real => Some(start),
                Pace::Fast => None,
            }),
            repeat,
            round: 0,
        })
    }

    /// The next frame, its capture time shifted to when it is due; `None` at the end.
    ///
    /// # Errors
    /// Where the file is damaged, or can't be opened again. What precedes the damage has been delivered, and is the
    /// end of it with [`Repeat::Forever`] too.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FileError> {
        let due = self.advance()?;
        Ok(due.map(|due| self.frame(due)))
    }

    /// How often the file has begun again.
    pub const fn round(&self) -> u32 {
        self.round
    }

    /// Goes on to the next frame, which [`Self::frame`] shows.
    pub(crate) fn advance(&mut self) -> Result<Option<Due>, FileError> {
        let record = loop {
            match self.file.advance() {
                Ok(Some(record)) => break record,
                Ok(None) if self.repeat == Repeat::Once || self.file.frames() == 0 => return Ok(None),
                Ok(None) => self.begin_again()?,
                Err(error) => {
                    self.repeat = Repeat::Once;
                    return Err(error);
                }
            }
        };
        let at = self.timeline.shift(record.captured);
        Ok(Some(Due { record, at }))
    }

    /// The frame that the file is at.
    pub(crate) fn frame(&self, due: Due) -> Frame<'_> {
        Frame {
            captured: due.at,
            ..self.file.frame(due.record).into()
        }
    }

    fn begin_again(&mut self) -> Result<(), FileError> {
        self.file = self.origin.open()?;
        self.timeline.begin_again();
        self.round = self.round.wrapping_add(1);
        Ok(())
    }
}

/// Shifts capture times so that they go on from `next`, and never far back.
#[derive(Debug)]
struct Timeline {
    /// When the next frame is due whatever its capture time; `None` where the file's time counts.
    next: Option<Instant>,
    /// Added to capture times, in nanoseconds.
    shift: i128,
    /// Capture time and due time of the last frame.
    last: Option<(Instant, Instant)>,
}

impl Timeline {
    fn new(start: Option<Instant>) -> Self {
        Self {
            next: start,
            shift: 0,
            last: None,
        }
    }

    fn begin_again(&mut self) {
        self.next = self.last.map(|(_, due)| due + LOOP_GAP);
    }

    fn shift(&mut self, captured: Instant) -> Instant {
        let stepped_back = self
            .last
            .filter(|&(last_captured, _)| captured + STEP_BACK < last_captured)
            .map(|(_, due)| due);
        if let Some(next) = self.next.take().or(stepped_back) {
            self.shift = i128::from(next.as_nanos()) - i128::from(captured.as_nanos());
        }
        let shifted = i128::from(captured.as_nanos()) + self.shift;
        let due = Instant::from_nanos(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX));
        // Frames that several queues stamped come slightly out of order; time doesn't run backwards for that.
        let due = self.last.map_or(due, |(_, last_due)| due.max(last_due));
        self.last = Some((captured, due));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_parts(5000, 0);

    fn file(milliseconds: &[u32]) -> FileOrigin {
        let mut bytes = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1] {
            bytes.extend(u32::to_le_bytes(word));
        }
        for at in milliseconds {
            for word in [100 + at / 1000, at % 1000 * 1000, 1, 60] {
                bytes.extend(u32::to_le_bytes(word));
            }
            bytes.push(7);
        }
        FileOrigin::Memory {
            name: "test".to_owned(),
            bytes: bytes.into(),
        }
    }

    fn due(origin: FileOrigin, pace: Pace, repeat: Repeat, count: usize) -> Vec<u64> {
        let mut paced = PacedFile::open(origin, pace, repeat, START).unwrap();
        let mut times = Vec::new();
        while let Some(frame) = paced.next_frame().unwrap() {
            times.push(frame.captured.as_nanos() / 1_000_000);
            if times.len() == count {
                break;
            }
        }
        times
    }

    #[test]
    fn real_pace_keeps_the_gaps_and_begins_now() {
        let times = due(file(&[3, 23, 48]), Pace::Real, Repeat::Once, 9);
        assert_eq!(times, [5_000_000, 5_000_020, 5_000_045]);
    }

    #[test]
    fn fast_keeps_the_times_of_the_file() {
        let times = due(file(&[3, 23, 48]), Pace::Fast, Repeat::Once, 9);
        assert_eq!(times, [100_003, 100_023, 100_048]);
    }

    #[test]
    fn time_goes_on_from_one_run_to_the_next() {
        let times = due(file(&[0, 5]), Pace::Real, Repeat::Forever, 5);
        assert_eq!(times, [5_000_000, 5_000_005, 5_000_025, 5_000_030, 5_000_050]);
        let times = due(file(&[0, 5]), Pace::Fast, Repeat::Forever, 4);
        assert_eq!(times, [100_000, 100_005, 100_025, 100_030]);
    }

    #[test]
    fn what_follows_the_last_frame_does_not_end_the_loop() {
        let trace = "1.0: trust(i) len=6\n              00 01 02 03 04 05\n\nns5gt-> exit\n";
        let origin = FileOrigin::Memory {
            name: "test".to_owned(),
            bytes: trace.as_bytes().into(),
        };
        assert_eq!(
            due(origin, Pace::Real, Repeat::Forever, 3),
            [5_000_000, 5_000_020, 5_000_040]
        );
    }

    #[test]
    fn damage_ends_a_loop() {
        let FileOrigin::Memory { name, bytes } = file(&[0, 5]) else {
            unreachable!()
        };
        let bytes = bytes[..bytes.len() - 1].into();
        let mut paced =
            PacedFile::open(FileOrigin::Memory { name, bytes }, Pace::Fast, Repeat::Forever, START).unwrap();
        assert!(paced.next_frame().unwrap().is_some());
        assert!(paced.next_frame().is_err());
        assert!(paced.next_frame().unwrap().is_none());
    }

    #[test]
    fn standard_input_is_not_read_in_a_loop() {
        let refused = PacedFile::open(FileOrigin::Path("-".into()), Pace::Real, Repeat::Forever, START).err();
        assert_eq!(
            refused.unwrap().to_string(),
            "standard input: can't be opened: it can be read only once, not in a loop"
        );
    }

    #[test]
    fn slight_disorder_never_runs_time_backwards() {
        let times = due(file(&[10, 9, 11]), Pace::Real, Repeat::Once, 9);
        assert_eq!(times, [5_000_000, 5_000_000, 5_000_001]);
    }

    #[test]
    fn a_step_back_in_the_file_goes_on_from_where_time_was() {
        let times = due(file(&[90_000, 90_020, 10, 30]), Pace::Real, Repeat::Once, 9);
        assert_eq!(times, [5_000_000, 5_000_020, 5_000_020, 5_000_040]);
    }

    #[test]
    fn a_file_without_frames_ends_even_where_it_would_repeat() {
        assert_eq!(due(file(&[]), Pace::Real, Repeat::Forever, 9), [0_u64; 0]);
    }
}

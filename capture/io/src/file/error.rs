//! What can be wrong with a capture file, and where in it: file, record, byte.

use std::fmt;

/// A capture file that can't be read (on), with the place; everything before that place has been delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    file: String,
    place: Place,
    problem: Problem,
}

/// Where in a capture file a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The record's number, counted from 1: a block in pcapng, a packet record otherwise; 0 is the file's header.
    pub record: u64,
    /// What the format calls that record.
    pub unit: &'static str,
    /// Where that record begins: bytes from the start of the file, after decompression.
    pub offset: u64,
    /// Frames delivered before it.
    pub frames: u64,
}

/// How much of a damaged file could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Nothing of it.
    Unreadable,
    /// This many frames before the damage.
    Kept(u64),
}

/// What was expected in a capture file, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file can't be opened.
    #[error("can't be opened: {0}")]
    Open(String),
    /// The system failed to deliver the file's bytes.
    #[error("can't be read: {0}")]
    Read(String),
    /// There is not a single byte in it.
    #[error("expected a capture file, found an empty one")]
    Empty,
    /// Not a format read here.
    #[error("expected pcap, pcapng, gzip of either, or a NetScreen snoop trace, found {found}")]
    UnknownFormat {
        /// The first bytes, or the name of the format they belong to.
        found: String,
    },
    /// A version of the format that isn't read here.
    #[error("expected {expected}, found version {major}.{minor}")]
    Version {
        /// The format and version read here.
        expected: &'static str,
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// The file ends in the middle of something.
    #[error("the file is cut short: expected {expected} bytes of {what}, found {found}")]
    CutShort {
        /// What is incomplete.
        what: &'static str,
        /// Bytes it should have.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A field holds what it can't hold.
    #[error("expected {what} {expected}, found {found}")]
    Field {
        /// The field.
        what: &'static str,
        /// Its possible values.
        expected: String,
        /// Its value.
        found: u64,
    },
    /// A packet refers to an interface that no block before it describes.
    #[error("expected an interface described in this section ({known} so far), found a packet of interface {found}")]
    Interface {
        /// Interfaces described so far in the section.
        known: usize,
        /// The interface referred to, counted from 0.
        found: u32,
    },
    /// The compressed data are damaged.
    #[error("the gzip data are damaged: {0}")]
    Gzip(String),
    /// A line of a text trace that can't be understood.
    #[error("expected {expected}, found the line '{found}'")]
    Line {
        /// What belongs there.
        expected: &'static str,
        /// Beginning of the line.
        found: String,
    },
}

impl Place {
    /// Moves on to the record that begins at `offset`.
    #[inline]
    pub(super) fn begin(&mut self, offset: u64) {
        self.record += 1;
        self.offset = offset;
    }
}

impl FileError {
    pub(super) fn new(file: &str, place: Place, problem: Problem) -> Self {
        Self(Box::new(Inner {
            file: file.to_owned(),
            place,
            problem,
        }))
    }

    /// The file as it was named when opened.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Where in the file.
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// What was expected and found there.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// How much of the file could be used.
    pub fn damage(&self) -> Damage {
        match self.0.place.frames {
            0 => Damage::Unreadable,
            frames => Damage::Kept(frames),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { file, place, problem } = &*self.0;
        match problem {
            Problem::Open(_) | Problem::Empty | Problem::UnknownFormat { .. } => return write!(f, "{file}: {problem}"),
            _ => {}
        }
        match place.record {
            0 => write!(f, "{file}: header")?,
            record => write!(f, "{file}: {} {record}", place.unit)?,
        }
        write!(f, " at byte {}: {problem}", place.offset)?;
        match place.frames {
            0 => Ok(()),
            1 => write!(f, "; the frame before it is kept"),
            frames => write!(f, "; the {frames} frames before it are kept"),
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(record: u64, frames: u64, problem: Problem) -> FileError {
        let place = Place {
            record,
            unit: "block",
            offset: 812,
            frames,
        };
        FileError::new("call.pcapng", place, problem)
    }

    #[test]
    fn names_file_block_byte_and_what_was_expected_and_found() {
        let cut = Problem::CutShort {
            what: "packet data",
            expected: 214,
            found: 100,
        };
        assert_eq!(
            error(9, 6, cut).to_string(),
            "call.pcapng: block 9 at byte 812: the file is cut short: expected 214 bytes of packet data, found 100; \
             the 6 frames before it are kept"
        );
    }

    #[test]
    fn tells_damage_at_the_end_from_an_unreadable_file() {
        assert_eq!(error(1, 0, Problem::Empty).damage(), Damage::Unreadable);
        assert_eq!(error(9, 6, Problem::Empty).damage(), Damage::Kept(6));
    }

    #[test]
    fn says_no_place_where_there_is_none() {
        let missing = error(0, 0, Problem::Open("No such file or directory".into()));
        assert_eq!(
            missing.to_string(),
            "call.pcapng: can't be opened: No such file or directory"
        );
    }
}

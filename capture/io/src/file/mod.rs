//! Capture files, read as a stream in bounded memory: classic pcap, pcapng, gzip of either, NetScreen snoop traces.
//!
//! Own readers rather than libpcap's, which refuses pcapng files whose interfaces differ in link type or snap length
//! and can't say where a file is broken. Whatever precedes the damage is delivered before the error.

mod bytes;
mod classic;
mod error;
mod input;
mod netscreen;
pub mod paced;
mod pcapng;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use silentmon_proto::frame::{Frame, LinkType};
use silentmon_proto::time::Instant;

use bytes::hex;
use classic::Classic;
pub use error::{Damage, FileError, Place, Problem};
use input::{Input, Source};
use netscreen::NetScreen;
use pcapng::Pcapng;

/// Longest record read, in bytes. Longer lengths are nonsense: libpcap itself never captures more than 256 KiB a frame.
pub const MAX_RECORD: usize = 1 << 20;

/// A frame as a capture file holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFrame<'a> {
    /// How to read the bytes.
    pub link_type: LinkType,
    /// When it was captured; where the format holds no time, that of the frame before it.
    pub captured: Instant,
    /// The bytes captured.
    pub bytes: &'a [u8],
    /// How long the frame was on the wire, in bytes.
    pub wire_length: u32,
}

impl<'a> From<FileFrame<'a>> for Frame<'a> {
    fn from(frame: FileFrame<'a>) -> Self {
        Self {
            link_type: frame.link_type,
            captured: frame.captured,
            bytes: frame.bytes,
            wire_length: frame.wire_length,
        }
    }
}

/// A capture file being read, frame by frame.
pub struct CaptureFile {
    name: String,
    input: Input,
    format: Format,
    place: Place,
    ended: bool,
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
    NetScreen(NetScreen),
}

/// Where a format's reader left a frame.
#[derive(Debug, Clone, Copy)]
struct Record {
    link_type: LinkType,
    captured: Instant,
    wire_length: u32,
    /// The frame's bytes begin this far before the end of what the input has consumed.
    back: usize,
    /// How many they are.
    length: usize,
}

impl CaptureFile {
    /// Opens the file at `path`, or standard input where that is `-`, and reads its header.
    ///
    /// # Errors
    /// Where the file can't be opened or isn't a capture file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        if path == Path::new("-") {
            return Self::from_reader("standard input", std::io::stdin());
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::from_reader(name, file),
            Err(error) => Err(FileError::new(
                &name,
                Place::default(),
                Problem::Open(error.to_string()),
            )),
        }
    }

    /// Reads a capture held in memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// Where the bytes aren't a capture file.
    pub fn from_bytes(name: impl Into<String>, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Self, FileError> {
        Self::from_reader(name, Cursor::new(bytes))
    }

    /// Reads a capture from any reader; `name` stands for the file in errors.
    ///
    /// # Errors
    /// Where the bytes aren't a capture file.
    pub fn from_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Result<Self, FileError> {
        let name = name.into();
        let mut input = Input::new(Box::new(reader));
        if input.peek_up_to(GZIP_MAGIC.len()) == GZIP_MAGIC {
            input = input.decompress(|source: Source| Box::new(MultiGzDecoder::new(source)));
        }
        match Format::detect(&mut input) {
            Ok(format) => Ok(Self {
                place: Place {
                    unit: format.unit(),
                    ..Place::default()
                },
                name,
                input,
                format,
                ended: false,
            }),
            Err(problem) => Err(FileError::new(&name, Place::default(), problem)),
        }
    }

    /// The file as it is named in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Frames delivered so far.
    pub fn frames(&self) -> u64 {
        self.place.frames
    }

    /// The next frame; `None` at the end of the file and after an error.
    ///
    /// # Errors
    /// Where the file is damaged. The error says where and how many frames came before.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<FileFrame<'_>>, FileError> {
        let Some(record) = self.advance()? else {
            return Ok(None);
        };
        Ok(Some(self.frame(record)))
    }

    /// Moves on to the next frame and says where it is.
    #[inline]
    fn advance(&mut self) -> Result<Option<Record>, FileError> {
        if self.ended {
            return Ok(None);
        }
        match self.format.next(&mut self.input, &mut self.place) {
            Ok(Some(record)) => {
                self.place.frames += 1;
                Ok(Some(record))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(problem) => Err(self.fail(problem)),
        }
    }

    /// The frame moved on to.
    #[inline]
    fn frame(&self, record: Record) -> FileFrame<'_> {
        let bytes = match &self.format {
            Format::NetScreen(trace) => trace.bytes(),
            Format::Classic(_) | Format::Pcapng(_) => {
                self.input.consumed(record.back).get(..record.length).unwrap_or(&[])
            }
        };
        FileFrame {
            link_type: record.link_type,
            captured: record.captured,
            bytes,
            wire_length: record.wire_length,
        }
    }

    #[cold]
    fn fail(&mut self, problem: Problem) -> FileError {
        self.ended = true;
        FileError::new(&self.name, self.place, problem)
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Formats that are recognised in order to be refused by name.
const OTHERS: [(&[u8], &str); 7] = [
    (b"snoop\0\0\0", "a Solaris snoop file"),
    (b"\x28\xb5\x2f\xfd", "a zstd-compressed file"),
    (b"\xfd7zXZ\0", "an xz-compressed file"),
    (b"BZh", "a bzip2-compressed file"),
    (b"\x04\x22\x4d\x18", "an LZ4-compressed file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"GMBU", "a Microsoft Network Monitor file"),
];

impl Format {
    fn detect(input: &mut Input) -> Result<Self, Problem> {
        if input.at_end()? {
            return Err(Problem::Empty);
        }
        let magic = input.peek_up_to(4);
        if magic == pcapng::SECTION_HEADER {
            return Ok(Self::Pcapng(Pcapng::default()));
        }
        if let Some(variant) = classic::Variant::of(magic) {
            return Ok(Self::Classic(Classic::read_header(variant, input)?));
        }
        if NetScreen::recognises(input.peek_up_to(netscreen::DETECTED_WITHIN)) {
            return Ok(Self::NetScreen(NetScreen::default()));
        }
        let start = input.peek_up_to(8);
        let known = OTHERS.iter().find(|(magic, _)| start.starts_with(magic));
        Err(Problem::UnknownFormat {
            found: known.map_or_else(|| hex(start), |(_, name)| (*name).to_owned()),
        })
    }

    fn unit(&self) -> &'static str {
        match self {
            Self::Pcapng(_) => "block",
            Self::Classic(_) | Self::NetScreen(_) => "frame",
        }
    }

    #[inline]
    fn next(&mut self, input: &mut Input, place: &mut Place) -> Result<Option<Record>, Problem> {
        match self {
            Self::Classic(classic) => classic.next(input, place),
            Self::Pcapng(pcapng) => pcapng.next(input, place),
            Self::NetScreen(trace) => trace.next(input, place),
        }
    }
}

#[cfg(test)]
mod tests;

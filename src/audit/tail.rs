//! The end of a journal: its last record, and what a crash in the middle of one left.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::chain::{LONGEST, Link, Record};

/// Read at once, from the end backwards.
const BLOCK: u64 = 64 << 10;

/// How a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last whole record; [`Link::BEGIN`] in an empty file.
    pub last: Option<Link>,
    /// Where whole lines end.
    pub whole: u64,
    /// Bytes after that: the begin of a record that nobody was told is written.
    pub torn: u64,
}

impl Tail {
    /// Looks at the end of a file.
    ///
    /// # Errors
    /// Where it can't be read, or its last line isn't a record.
    pub fn read(file: &mut File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut end = Vec::new();
        let mut from = length;
        loop {
            let size = BLOCK.min(from);
            from -= size;
            let mut block = vec![0; usize::try_from(size).unwrap_or_default()];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut block)?;
            block.append(&mut end);
            end = block;
            let breaks = || end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
            let last = breaks().next().map(|(at, _)| at);
            let before = breaks().nth(1).map(|(at, _)| at);
            if from > 0 && (last.is_none() || before.is_none()) {
                if length - from > LONGEST as u64 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "it ends in a line that is no record of an audit journal",
                    ));
                }
                continue;
            }
            let Some(last) = last else {
                return Ok(Self {
                    last: None,
                    whole: 0,
                    torn: length,
                });
            };
            let line = &end[before.map_or(0, |before| before + 1)..last];
            let record = Record::parse(line).map_err(|error| {
                let text = format!("its last line is no record of an audit journal: {error}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            let whole = from + last as u64 + 1;
            return Ok(Self {
                last: Some(record.link(line)),
                whole,
                torn: length - whole,
            });
        }
    }
}

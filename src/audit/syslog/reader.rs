//! Reads records behind a number, from the parts that were put aside and the file that is written.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::audit::chain::Record;

/// A record and its line, without the line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) record: Record,
    pub(super) text: Vec<u8>,
}

/// A place in the journal's files.
#[derive(Debug)]
pub(super) struct Reader {
    journal: PathBuf,
    /// Number of the record read last.
    last: u64,
    open: Option<BufReader<File>>,
    /// The begin of a line whose end wasn't there yet.
    begun: Vec<u8>,
}

impl Reader {
    /// Reads what comes behind the record `last`.
    pub(super) const fn behind(journal: PathBuf, last: u64) -> Self {
        Self {
            journal,
            last,
            open: None,
            begun: Vec::new(),
        }
    }

    /// The next record, where it is there already; one up to `newest` must be.
    ///
    /// # Errors
    /// Where a file can't be read or holds something else.
    pub(super) fn next(&mut self, newest: u64) -> io::Result<Option<Line>> {
        if self.last >= newest {
            return Ok(None);
        }
        if let Some(line) = self.read_on()? {
            return Ok(Some(line));
        }
        // The file was put aside and ends here, or none is open yet.
        self.open = Some(BufReader::new(File::open(self.file()?)?));
        self.begun.clear();
        self.read_on()
    }

    /// The next record behind the last one in the open file.
    fn read_on(&mut self) -> io::Result<Option<Line>> {
        let Some(file) = &mut self.open else { return Ok(None) };
        while file.read_until(b'\n', &mut self.begun)? > 0 && self.begun.last() == Some(&b'\n') {
            self.begun.pop();
            let text = std::mem::take(&mut self.begun);
            let record = Record::parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if record.n > self.last {
                self.last = record.n;
                return Ok(Some(Line { record, text }));
            }
        }
        Ok(None)
    }

    /// The file in which the record behind the last one stands: the first part that was put aside and goes further, else
    /// the file that is written.
    fn file(&self) -> io::Result<PathBuf> {
        let folder = match self.journal.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let wanted = self.last_of_part(&path).filter(|last| *last > self.last);
            parts.extend(wanted.map(|last| (last, path)));
        }
        let first = parts.into_iter().min();
        Ok(first.map_or_else(|| self.journal.clone(), |(_, path)| path))
    }

    /// The number of the last record of a part, by its name: `audit-000000001-000000017.jsonl`.
    fn last_of_part(&self, path: &Path) -> Option<u64> {
        if path.extension() != self.journal.extension() {
            return None;
        }
        let numbers = path
            .file_stem()?
            .to_str()?
            .strip_prefix(self.journal.file_stem()?.to_str()?)?;
        let (first, last) = numbers.strip_prefix('-')?.split_once('-')?;
        first.parse::<u64>().ok()?;
        last.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Journal};
    use time::OffsetDateTime;

    fn write(journal: &mut Journal) {
        let stopped = Event::ServiceStopped { server: "gw1" };
        journal.record(&stopped, OffsetDateTime::UNIX_EPOCH).expect("writes");
    }

    fn numbers(reader: &mut Reader, newest: u64) -> Vec<u64> {
        let next = || reader.next(newest).expect("reads").map(|line| line.record.n);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn every_record_is_read_once_over_rotations_and_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = Journal::open(&path, Some(500)).expect("opens");
        let mut reader = Reader::behind(path.clone(), 0);
        assert!(numbers(&mut reader, 0).is_empty());
        for _ in 0..5 {
            write(&mut journal);
        }
        assert_eq!(numbers(&mut reader, 5), [1, 2, 3, 4, 5]);
        for _ in 0..6 {
            write(&mut journal);
        }
        assert_eq!(numbers(&mut reader, 11), [6, 7, 8, 9, 10, 11]);
        let mut restarted = Reader::behind(path, 4);
        assert_eq!(numbers(&mut restarted, 11), [5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn parts_that_were_removed_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = Journal::open(&path, Some(500)).expect("opens");
        for _ in 0..9 {
            write(&mut journal);
        }
        let mut reader = Reader::behind(path, 0);
        let first = reader.file().expect("a part");
        let last = reader.last_of_part(&first).expect("it was put aside");
        std::fs::remove_file(first).expect("is there");
        assert_eq!(numbers(&mut reader, 9), (last + 1..=9).collect::<Vec<_>>());
    }
}

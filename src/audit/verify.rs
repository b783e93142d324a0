//! Whether a journal is whole: every record there, unchanged, in its place.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;

use super::chain::{Hash, LONGEST, Link, Record, read_head};

/// Flaws that are listed; more are counted.
const LISTED: usize = 1000;

/// A line of a file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line in it.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "flaw", rename_all = "snake_case")]
pub enum Flaw {
    /// A line that is no record.
    NotARecord {
        /// Where.
        place: Place,
        /// What was expected.
        error: String,
    },
    /// Records are missing before this place.
    Missing {
        /// Where they should be.
        place: Place,
        /// The first number.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A record stands behind a later one, or twice.
    OutOfOrder {
        /// Where.
        place: Place,
        /// Its number.
        n: u64,
        /// The number before it.
        after: u64,
    },
    /// A record isn't what the one after it says it was.
    Changed {
        /// The record after it.
        place: Place,
        /// The changed one's number.
        n: u64,
    },
    /// The journal ends before the record that its head, or who checks it, names.
    EndMissing {
        /// A record that was there.
        expected: Link,
        /// The last that is.
        found: Link,
    },
    /// The record that its head, or who checks it, names is another one.
    Replaced {
        /// What was written.
        expected: Link,
        /// What is there.
        found: Link,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord { place, error } => {
                write!(f, "{place}: expected a record, found something else ({error})")
            }
            Self::Missing { place, from, to } if from == to => {
                write!(f, "{place}: record {from} is missing before this one")
            }
            Self::Missing { place, from, to } => {
                write!(f, "{place}: records {from} to {to} are missing before this one")
            }
            Self::OutOfOrder { place, n, after } => write!(f, "{place}: record {n} stands behind record {after}"),
            Self::Changed { place, n } => write!(f, "{place}: record {n} before this one was changed"),
            Self::EndMissing { expected, found } => write!(
                f,
                "records {} to {} are missing at the end (there was one {expected})",
                found.n + 1,
                expected.n
            ),
            Self::Replaced { expected, found } => write!(
                f,
                "record {} was changed: expected {}, found {}",
                found.n, expected.hash, found.hash
            ),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Records read.
    pub records: u64,
    /// Number of the first.
    pub first: Option<u64>,
    /// The last one's place in the chain.
    pub head: Option<Link>,
    /// When the first was written.
    #[serde(with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    /// When the last was written.
    #[serde(with = "time::serde::rfc3339::option")]
    pub to: Option<OffsetDateTime>,
    /// Whether a head beside the journal, or one that was named, vouches for its end.
    pub end_known: bool,
    /// Bytes at the end that are no whole record: a crash cut it off, or it is being written.
    pub torn: u64,
    /// What isn't as it was written; at most 1,000 are listed.
    pub flaws: Vec<Flaw>,
    /// Those that aren't listed.
    pub more_flaws: u64,
}

impl Checked {
    /// Whether nothing was removed, changed or moved.
    pub fn is_whole(&self) -> bool {
        self.flaws.is_empty()
    }
}

/// Checks a journal, its parts that were put aside in any order. `expected`, or else the head beside the last file, names a
/// record that must be there.
///
/// # Errors
/// Where a file can't be read.
pub fn verify(files: &[PathBuf], expected: Option<Link>) -> io::Result<Checked> {
    let files = in_order(files)?;
    let expected = match files.last() {
        Some(last) if expected.is_none() => read_head(last)?,
        _ => expected,
    };
    let mut walk = Walk {
        expected,
        ..Walk::default()
    };
    for file in &files {
        walk.read(file)?;
    }
    Ok(walk.finish())
}

/// By the number of their first record; one without any is last, where the newest belongs.
fn in_order(files: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut numbered = Vec::with_capacity(files.len());
    for file in files {
        let mut line = Vec::new();
        let mut reader = BufReader::new(open(file)?);
        read_line(&mut reader, &mut line)?;
        let first = Record::parse(&line).map_or(u64::MAX, |record| record.n);
        numbered.push((first, file.clone()));
    }
    numbered.sort_by_key(|(first, _)| *first);
    Ok(numbered.into_iter().map(|(_, file)| file).collect())
}

fn open(file: &Path) -> io::Result<File> {
    File::open(file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Reads a line without its break; says how many bytes it has with it, and whether it has one. Of a line that is too long
/// for a record only the begin is kept.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<(u64, bool)> {
    line.clear();
    let mut size = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok((size, false));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = LONGEST.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        size += used as u64;
        reader.consume(used);
        if end.is_some() {
            return Ok((size, true));
        }
    }
}

#[derive(Default)]
struct Walk {
    expected: Option<Link>,
    records: u64,
    first: Option<u64>,
    from: Option<OffsetDateTime>,
    to: Option<OffsetDateTime>,
    last: Option<Link>,
    /// The last line was no record: what the next one says of it can't be checked.
    unknown: bool,
    torn: u64,
    flaws: Vec<Flaw>,
    more_flaws: u64,
}

impl Walk {
    fn read(&mut self, file: &Path) -> io::Result<()> {
        let mut reader = BufReader::new(open(file)?);
        let mut line = Vec::new();
        for number in 1.. {
            let (size, whole) = read_line(&mut reader, &mut line)?;
            if size == 0 {
                break;
            }
            if !whole {
                self.torn = size;
                break;
            }
            let place = Place {
                file: file.to_owned(),
                line: number,
            };
            match Record::parse(&line) {
                Ok(record) => self.follow(&record, record.link(&line), place),
                Err(error) => {
                    self.unknown = true;
                    let error = error.to_string();
                    self.flaw(Flaw::NotARecord { place, error });
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, record: &Record, link: Link, place: Place) {
        self.records += 1;
        self.first.get_or_insert(record.n);
        self.from.get_or_insert(record.at);
        self.to = Some(record.at);
        if let Some(expected) = self.expected
            && expected.n == link.n
            && expected.hash != link.hash
        {
            self.flaw(Flaw::Replaced { expected, found: link });
        }
        let unknown = std::mem::take(&mut self.unknown);
        let begins = record.n == 1 && self.last.is_none();
        match self.last.replace(link) {
            // A line that is no record stands for one.
            Some(last) if unknown && record.n == last.n + 2 => {}
            Some(last) if record.n <= last.n => {
                let (n, after) = (record.n, last.n);
                self.flaw(Flaw::OutOfOrder { place, n, after });
            }
            Some(last) if record.n > last.n + 1 => {
                let (from, to) = (last.n + 1, record.n - 1);
                self.flaw(Flaw::Missing { place, from, to });
            }
            Some(last) if record.previous != last.hash => self.flaw(Flaw::Changed { place, n: last.n }),
            None if begins && record.previous != Hash::FIRST => self.flaw(Flaw::Changed { place, n: 1 }),
            Some(_) | None => {}
        }
    }

    fn flaw(&mut self, flaw: Flaw) {
        if self.flaws.len() < LISTED {
            self.flaws.push(flaw);
        } else {
            self.more_flaws += 1;
        }
    }

    fn finish(mut self) -> Checked {
        let found = self.last.unwrap_or(Link::BEGIN);
        // The head is written after its record: a record more than it says is no flaw.
        if let Some(expected) = self.expected.filter(|expected| expected.n > found.n) {
            self.flaw(Flaw::EndMissing { expected, found });
        }
        Checked {
            records: self.records,
            first: self.first,
            head: self.last,
            from: self.from,
            to: self.to,
            end_known: self.expected.is_some(),
            torn: self.torn,
            flaws: self.flaws,
            more_flaws: self.more_flaws,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{Event, Journal, Who};

    const RECORDS: usize = 6;

    /// A journal of six records, as lines.
    fn journal(folder: &Path) -> (PathBuf, Vec<String>) {
        let path = folder.join("audit.jsonl");
        let mut journal = Journal::open(&path, None).expect("opens");
        for agent in ["4711", "4712", "4713", "4714", "4715", "4716"] {
            let event = Event::Refused {
                who: Who::ANNA,
                agent,
                reason: "SM-1001".to_owned(),
            };
            journal.record(&event, OffsetDateTime::UNIX_EPOCH).expect("writes");
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        (path, text.lines().map(str::to_owned).collect())
    }

    fn check(path: &Path, lines: &[String]) -> Checked {
        std::fs::write(path, lines.join("\n") + "\n").expect("writes");
        verify(&[path.to_owned()], None).expect("reads")
    }

    fn said(checked: &Checked) -> Vec<String> {
        let file = |flaw: &Flaw| flaw.to_string();
        checked.flaws.iter().map(file).collect()
    }

    #[test]
    fn a_journal_as_it_was_written_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, lines) = journal(folder.path());
        let checked = check(&path, &lines);
        assert!(checked.is_whole() && checked.end_known, "{checked:?}");
        assert_eq!(
            (checked.records, checked.first, checked.head.map(|head| head.n)),
            (6, Some(1), Some(6))
        );
    }

    #[test]
    fn what_happened_to_a_record_is_said_with_its_number_and_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, lines) = journal(folder.path());
        let mut changed = lines.clone();
        changed[2] = changed[2].replace("4713", "4799");
        let mut removed = lines.clone();
        removed.remove(2);
        let mut swapped = lines.clone();
        swapped.swap(2, 3);
        let mut cut = lines.clone();
        cut.truncate(4);
        let mut last = lines.clone();
        last[5] = last[5].replace("4716", "4799");
        let mut noise = lines.clone();
        noise[3] = "noise".to_owned();
        for (lines, wanted) in [
            (changed, ":4: record 3 before this one was changed"),
            (removed, ":3: record 3 is missing before this one"),
            (swapped, ":4: record 3 stands behind record 4"),
            (cut, "records 5 to 6 are missing at the end"),
            (last, "record 6 was changed"),
            (noise, ":4: expected a record, found something else"),
        ] {
            let said = said(&check(&path, &lines));
            assert!(said.iter().any(|flaw| flaw.contains(wanted)), "{wanted}: {said:?}");
        }
    }

    #[test]
    fn a_part_of_a_journal_is_whole_in_itself_and_the_begin_of_the_last_record_is_no_flaw() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, lines) = journal(folder.path());
        let checked = check(&path, &lines[3..]);
        assert!(checked.is_whole(), "{checked:?}");
        assert_eq!(checked.first, Some(4));
        std::fs::write(&path, format!("{}\n{}\n{{\"n\":3,", lines[0], lines[1])).expect("writes");
        let expected = Some(
            verify(std::slice::from_ref(&path), Some(Link::BEGIN))
                .expect("reads")
                .head
                .expect("a record"),
        );
        let checked = verify(&[path], expected).expect("reads");
        assert!(checked.is_whole() && checked.torn == 7, "{checked:?}");
    }

    proptest! {
        #[test]
        fn no_single_change_goes_unseen(line in 0..RECORDS, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let folder = tempfile::tempdir().expect("a folder");
            let (path, lines) = journal(folder.path());
            let mut bytes: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
            let at = at.index(bytes[line].len());
            bytes[line][at] ^= 1 << bit;
            std::fs::write(&path, bytes.join(&b'\n').into_iter().chain([b'\n']).collect::<Vec<u8>>()).expect("writes");
            let checked = verify(&[path], None).expect("reads");
            prop_assert!(!checked.is_whole());
        }

        #[test]
        fn no_removed_doubled_or_moved_record_goes_unseen(from in 0..RECORDS, to in 0..RECORDS, what in 0..3_u8) {
            let folder = tempfile::tempdir().expect("a folder");
            let (path, mut lines) = journal(folder.path());
            let before = lines.clone();
            match what {
                0 => drop(lines.remove(from)),
                1 => lines.insert(to, before[from].clone()),
                _ => lines.swap(from, to),
            }
            let checked = check(&path, &lines);
            // What is taken from the begin can't be told from what was put aside.
            let put_aside = what == 0 && from == 0;
            prop_assert_eq!(checked.is_whole(), lines == before || put_aside);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("audit.jsonl");
            std::fs::write(&path, &bytes).expect("writes");
            let checked = verify(std::slice::from_ref(&path), None).expect("reads");
            prop_assert_eq!(checked.records, 0);
            prop_assert_ne!(Journal::open(&path, None).is_ok(), bytes.contains(&b'\n'));
        }
    }
}

//! Writing the journal.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chain::{Hash, LONGEST, Link, Record, head_path, read_head};
use super::entry::Event;
use super::mark;
use super::tail::Tail;

/// An open journal, which nobody else writes meanwhile.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// A new file is begun before one grows beyond this; `None`: never.
    rotate_after: Option<u64>,
    file: File,
    length: u64,
    last: Link,
    /// Writing failed, and the file may end with a part of a record.
    failed: bool,
}

#[derive(Serialize)]
struct Entry<'a> {
    n: u64,
    at: String,
    previous: Hash,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Journal {
    /// Opens a journal to append to it, or makes it (readable by its owner only). What a crash left of a record that
    /// nobody was told is written is taken away, and said in a record; so is an end that differs from what the head says.
    /// A file that would grow beyond `rotate_after` bytes is put aside under the numbers of its records.
    ///
    /// # Errors
    /// Where it can't be read or written, is something else, or another program writes it.
    pub fn open(path: &Path, rotate_after: Option<u64>) -> anyhow::Result<Self> {
        let (file, tail) = open_file(path).with_context(|| cannot_write(path))?;
        let head = read_head(path).with_context(|| cannot_write(path))?;
        let last = tail.last.or(head).unwrap_or(Link::BEGIN);
        let mut journal = Self {
            path: path.to_owned(),
            rotate_after,
            file,
            length: tail.whole,
            last,
            failed: false,
        };
        let now = OffsetDateTime::now_utc();
        if tail.torn > 0 {
            tracing::warn!(bytes = tail.torn, path = %path.display(), "a record that a crash cut off was taken from the audit journal");
            journal.record(&Event::Mended { bytes: tail.torn }, now)?;
        }
        if let Some(expected) = head.filter(|head| head.n > last.n || (head.n == last.n && head.hash != last.hash)) {
            tracing::error!(%expected, found = %last, path = %path.display(), "the audit journal doesn't end as its head says");
            // Its number tells how many are missing.
            journal.last.n = journal.last.n.max(expected.n);
            journal.record(&Event::Damaged { expected, found: last }, now)?;
        }
        Ok(journal)
    }

    /// The newest record.
    pub const fn head(&self) -> Link {
        self.last
    }

    /// Writes an event down and waits until it is on disk.
    ///
    /// # Errors
    /// Where it can't be written: what it tells of must not happen.
    pub fn record(&mut self, event: &Event<'_>, at: OffsetDateTime) -> anyhow::Result<()> {
        let written = self.write(event, at).with_context(|| cannot_write(&self.path));
        if written.is_err() {
            // Where that fails too it is tried again before the next record.
            self.failed = self.mend().is_err();
        }
        written
    }

    fn write(&mut self, event: &Event<'_>, at: OffsetDateTime) -> anyhow::Result<()> {
        if self.failed {
            self.mend()?;
        }
        let mut line = serde_json::to_vec(&Entry {
            n: self.last.n + 1,
            at: at.format(&Rfc3339)?,
            previous: self.last.hash,
            event,
        })?;
        anyhow::ensure!(line.len() < LONGEST, "a record of {} bytes is too long", line.len());
        let written = Link {
            n: self.last.n + 1,
            hash: Hash::of(&line),
        };
        line.push(b'\n');
        let grown = self.length + line.len() as u64;
        if self.length > 0 && self.rotate_after.is_some_and(|limit| grown > limit) {
            self.rotate()?;
        }
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        self.last = written;
        self.write_head();
        Ok(())
    }

    /// Takes away what a failure left of a record.
    fn mend(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.length {
            self.file.set_len(self.length)?;
            self.file.sync_data()?;
        }
        self.failed = false;
        Ok(())
    }

    /// Puts the file aside and begins a new one, in which the chain goes on.
    fn rotate(&mut self) -> anyhow::Result<()> {
        let first = first_number(&self.path)?;
        let aside = put_aside(&self.path, first, self.last.n);
        std::fs::rename(&self.path, &aside)?;
        let (file, _) = open_file(&self.path)?;
        self.file = file;
        self.length = 0;
        tracing::info!(head = %self.last, file = %aside.display(), "a full audit journal was put aside");
        Ok(())
    }

    /// What is on disk is on disk: a head that can't be written is complained of and nothing else.
    fn write_head(&self) {
        let path = head_path(&self.path);
        if let Err(error) = mark::write(&path, self.last, |_| Ok(())) {
            tracing::error!(%error, path = %path.display(), "the audit journal's head can't be written");
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{}: the audit journal can't be written", path.display())
}

/// Opens and locks a journal, without what a crash left of a record.
fn open_file(path: &Path) -> io::Result<(File, Tail)> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another program writes it"),
        TryLockError::Error(error) => error,
    })?;
    let tail = Tail::read(&mut file)?;
    if tail.torn > 0 {
        file.set_len(tail.whole)?;
        file.sync_data()?;
    }
    Ok((file, tail))
}

fn first_number(path: &Path) -> anyhow::Result<u64> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).read_until(b'\n', &mut line)?;
    Ok(Record::parse(&line)?.n)
}

/// `audit-000000001-000000017.jsonl` for records 1 to 17 of `audit.jsonl`.
fn put_aside(path: &Path, first: u64, last: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map_or(String::new(), |extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}-{first:09}-{last:09}{extension}"))
}

#[cfg(test)]
mod tests {
    use silentmon_capture_core::engine::{EngineEvent, SessionRecord};
    use silentmon_capture_core::policy::{Means, Principal, Role};
    use silentmon_capture_core::session::Disclosed;
    use silentmon_proto::ids::SessionId;
    use silentmon_proto::reason::Code;
    use silentmon_proto::time::Instant;

    use super::*;
    use crate::audit::Who;
    use crate::audit::verify::{Flaw, verify};

    const REFUSED: Event<'static> = Event::Refused {
        who: Who::ANNA,
        agent: "4711",
        reason: String::new(),
    };

    fn anna() -> Principal {
        Principal {
            name: "anna".into(),
            role: Role::Supervisor,
            from: [10, 1, 9, 1].into(),
            means: Means::Certificate,
        }
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).expect("a time")
    }

    fn open(path: &Path) -> Journal {
        Journal::open(path, None).expect("opens")
    }

    /// The events of a journal without flaw.
    fn events(path: &Path) -> Vec<String> {
        let checked = verify(&[path.to_owned()], None).expect("reads");
        assert_eq!(checked.flaws, []);
        let text = std::fs::read(path).expect("reads");
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Record::parse(line).expect("a record").event).collect()
    }

    #[test]
    fn each_record_carries_the_hash_of_the_line_before_it_even_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let record = SessionRecord {
            session: SessionId(7),
            principal: anna(),
            agent: "4711".into(),
            purpose: Some("coaching".into()),
            started: Instant::from_parts(1, 0),
            audible: std::time::Duration::from_secs(9),
            disclosed: Disclosed::NotShown,
            home: None,
        };
        let started = EngineEvent::SessionStarted(record.clone());
        let stopped = EngineEvent::SessionStopped(record, Code::AudioFlowing.into());
        let mut journal = open(&path);
        journal
            .record(&Event::of(&started).expect("audited"), at(1))
            .expect("writes");
        drop(journal);
        let mut journal = open(&path);
        journal.record(&REFUSED, at(2)).expect("writes");
        journal
            .record(&Event::of(&stopped).expect("audited"), at(3))
            .expect("writes");
        assert_eq!(journal.head().n, 3);
        assert!(Event::of(&EngineEvent::FilterChanged).is_none());
        assert_eq!(events(&path), ["session_started", "session_refused", "session_stopped"]);
        let text = std::fs::read_to_string(&path).expect("reads");
        assert!(
            text.contains("\"audible_s\":9") && text.contains("1970-01-01T00:00:03Z"),
            "{text}"
        );
    }

    #[test]
    fn a_journal_that_cannot_be_opened_says_where() {
        let error = Journal::open(Path::new("/nonexistent/audit.jsonl"), None).expect_err("no such folder");
        assert!(error.to_string().contains("/nonexistent/audit.jsonl"));
    }

    #[test]
    fn a_file_that_is_something_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("letter.txt");
        std::fs::write(&path, "Dear Anna,\nall is well.\n").expect("writes");
        let error = Journal::open(&path, None).expect_err("no journal");
        assert!(
            format!("{error:#}").contains("no record of an audit journal"),
            "{error:#}"
        );
        assert_eq!(
            std::fs::read_to_string(&path).expect("reads"),
            "Dear Anna,\nall is well.\n"
        );
    }

    #[test]
    fn only_one_program_writes_a_journal() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let _first = open(&path);
        let error = Journal::open(&path, None).expect_err("locked");
        assert!(format!("{error:#}").contains("another program writes it"), "{error:#}");
    }

    #[test]
    fn the_chain_holds_wherever_a_crash_cuts_a_record_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = open(&path);
        journal.record(&REFUSED, at(1)).expect("writes");
        let one = std::fs::read(&path).expect("reads");
        let head = std::fs::read(head_path(&path)).expect("reads");
        journal.record(&REFUSED, at(2)).expect("writes");
        drop(journal);
        let two = std::fs::read(&path).expect("reads");
        for cut in one.len()..=two.len() {
            std::fs::write(&path, &two[..cut]).expect("writes");
            std::fs::write(head_path(&path), &head).expect("writes");
            drop(open(&path));
            let wanted: &[&str] = match cut {
                _ if cut == one.len() => &["session_refused"],
                _ if cut == two.len() => &["session_refused", "session_refused"],
                _ => &["session_refused", "journal_mended"],
            };
            assert_eq!(events(&path), wanted, "cut at {cut}");
        }
    }

    #[test]
    fn records_that_vanish_from_the_end_are_written_down_at_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = open(&path);
        journal.record(&REFUSED, at(1)).expect("writes");
        let one = std::fs::read(&path).expect("reads");
        journal.record(&REFUSED, at(2)).expect("writes");
        journal.record(&REFUSED, at(3)).expect("writes");
        drop(journal);
        std::fs::write(&path, one).expect("writes");
        drop(open(&path));
        let checked = verify(&[path], None).expect("reads");
        let missing = |flaw: &&Flaw| matches!(flaw, Flaw::Missing { from: 2, to: 3, .. });
        assert_eq!(checked.flaws.iter().filter(missing).count(), 1, "{:?}", checked.flaws);
    }

    #[test]
    fn a_full_journal_is_put_aside_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = Journal::open(&path, Some(500)).expect("opens");
        for second in 0..7 {
            journal.record(&REFUSED, at(second)).expect("writes");
        }
        drop(journal);
        let mut journal = Journal::open(&path, Some(500)).expect("opens again");
        journal.record(&REFUSED, at(8)).expect("writes");
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|file| file.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        files.sort();
        files.reverse();
        assert!(
            files.len() > 2
                && files
                    .iter()
                    .any(|file| file.ends_with("audit-000000001-000000002.jsonl")),
            "{files:?}"
        );
        let checked = verify(&files, None).expect("reads");
        assert_eq!((checked.flaws, checked.records), (Vec::new(), 8));
        assert!(std::fs::metadata(&path).expect("is there").len() <= 500);
    }

    #[test]
    fn a_journal_goes_on_after_its_file_was_put_aside_in_a_crash() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut journal = open(&path);
        journal.record(&REFUSED, at(1)).expect("writes");
        drop(journal);
        let aside = folder.path().join("audit-000000001-000000001.jsonl");
        std::fs::rename(&path, &aside).expect("moves");
        let mut journal = open(&path);
        journal.record(&REFUSED, at(2)).expect("writes");
        let checked = verify(&[aside, path], None).expect("reads");
        assert_eq!((checked.flaws, checked.records), (Vec::new(), 2));
    }
}

//! The audit journal: one JSON object a line, appended and synced before sound flows, each carrying the hash of the
//! line before it so that a missing or changed line shows.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};
use silentmon_capture_core::engine::{EngineEvent, SessionRecord};
use silentmon_proto::relay::SuperviseAction;
use silentmon_proto::time::Instant;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Hash that the first line carries.
const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    last_hash: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: String,
    previous: &'a str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event")]
enum What<'a> {
    #[serde(rename = "session_started")]
    Started {
        session: String,
        supervisor: &'a str,
        agent: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<&'a str>,
    },
    #[serde(rename = "session_stopped")]
    Stopped {
        session: String,
        supervisor: &'a str,
        agent: &'a str,
        audible_s: u64,
        reason: String,
    },
    #[serde(rename = "session_refused")]
    Refused {
        supervisor: &'a str,
        agent: &'a str,
        reason: String,
    },
    #[serde(rename = "supervise_requested")]
    Supervise {
        session: String,
        supervisor: &'a str,
        agent: &'a str,
        action: SuperviseAction,
        device: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<&'a str>,
    },
}

impl Journal {
    /// Opens a journal to append to it, or makes it (readable by its owner only).
    ///
    /// # Errors
    /// Where it can't be read or written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let open = || -> std::io::Result<(File, String)> {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .read(true)
                .mode(0o600)
                .open(path)?;
            let last = BufReader::new(File::open(path)?).lines().last().transpose()?;
            Ok((file, last.map_or_else(|| FIRST.to_owned(), |line| hash(&line))))
        };
        let (file, last_hash) =
            open().with_context(|| format!("{}: the audit journal can't be written", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            last_hash,
        })
    }

    /// Writes an event down and waits until it is on disk. Events that don't concern sessions are passed over.
    ///
    /// # Errors
    /// Where it can't be written: the session must not go on.
    pub fn record(&mut self, event: &EngineEvent, now: Instant) -> anyhow::Result<()> {
        let Some(what) = what(event) else { return Ok(()) };
        let nanoseconds = i128::from(now.as_nanos());
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)?.format(&Rfc3339)?;
        let mut line = serde_json::to_string(&Entry {
            at,
            previous: &self.last_hash,
            what,
        })?;
        let next_hash = hash(&line);
        line.push('\n');
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        written.with_context(|| format!("{}: the audit journal can't be written", self.path.display()))?;
        self.last_hash = next_hash;
        Ok(())
    }
}

fn what(event: &EngineEvent) -> Option<What<'_>> {
    match event {
        EngineEvent::FilterChanged
        | EngineEvent::DemandChanged { .. }
        | EngineEvent::Command { .. }
        | EngineEvent::Resynchronised(_)
        | EngineEvent::Released(_)
        | EngineEvent::CallEnded { .. } => None,
        EngineEvent::SuperviseRequested(record) => Some(What::Supervise {
            session: record.session.to_string(),
            supervisor: record.supervisor.as_str(),
            agent: record.agent.as_str(),
            action: record.action,
            device: record.device.as_str(),
            refused: record.refused.as_deref(),
        }),
        EngineEvent::SessionStarted(SessionRecord {
            session,
            supervisor,
            agent,
            purpose,
            ..
        }) => Some(What::Started {
            session: session.to_string(),
            supervisor: supervisor.as_str(),
            agent: agent.as_str(),
            purpose: purpose.as_deref(),
        }),
        EngineEvent::SessionStopped(
            SessionRecord {
                session,
                supervisor,
                agent,
                audible,
                ..
            },
            reason,
        ) => Some(What::Stopped {
            session: session.to_string(),
            supervisor: supervisor.as_str(),
            agent: agent.as_str(),
            audible_s: audible.as_secs(),
            reason: reason.to_string(),
        }),
        EngineEvent::SessionRefused {
            supervisor,
            agent,
            reason,
        } => Some(What::Refused {
            supervisor: supervisor.as_str(),
            agent: agent.as_str(),
            reason: reason.to_string(),
        }),
    }
}

fn hash(line: &str) -> String {
    Sha256::digest(line.as_bytes())
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use silentmon_proto::ids::SessionId;
    use silentmon_proto::reason::Code;

    use super::*;

    fn refused() -> EngineEvent {
        let reason = Code::NotAuthorised.into();
        EngineEvent::SessionRefused {
            supervisor: "anna".into(),
            agent: "4711".into(),
            reason,
        }
    }

    #[test]
    fn each_line_carries_the_hash_of_the_line_before_it_even_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let record = SessionRecord {
            session: SessionId(7),
            supervisor: "anna".into(),
            agent: "4711".into(),
            purpose: Some("coaching".into()),
            started: Instant::from_parts(1, 0),
            audible: std::time::Duration::from_secs(9),
        };
        let mut journal = Journal::open(&path).expect("opens");
        journal
            .record(&EngineEvent::SessionStarted(record.clone()), Instant::from_parts(1, 0))
            .expect("writes");
        drop(journal);
        let mut journal = Journal::open(&path).expect("opens again");
        journal.record(&refused(), Instant::from_parts(2, 0)).expect("writes");
        journal
            .record(&EngineEvent::FilterChanged, Instant::from_parts(2, 0))
            .expect("writes nothing");
        let stop = EngineEvent::SessionStopped(record, Code::AudioFlowing.into());
        journal.record(&stop, Instant::from_parts(3, 0)).expect("writes");

        let text = std::fs::read_to_string(&path).expect("reads");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let mut previous = FIRST.to_owned();
        for line in lines {
            let entry: serde_json::Value = serde_json::from_str(line).expect("is JSON");
            assert_eq!(entry["previous"], previous);
            previous = hash(line);
        }
        assert!(
            text.contains("\"audible_s\":9") && text.contains("1970-01-01T00:00:03Z"),
            "{text}"
        );
    }

    #[test]
    fn a_journal_that_cannot_be_opened_says_where() {
        let error = Journal::open(Path::new("/nonexistent/audit.jsonl")).expect_err("no such folder");
        assert!(error.to_string().contains("/nonexistent/audit.jsonl"));
    }
}

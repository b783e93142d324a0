//! How far the second sink came, in a file beside the journal: `NUMBER:HASH` of the newest record that arrived.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::audit::chain::Link;
use crate::audit::mark;

/// The file and what it says.
#[derive(Debug, Clone)]
pub(super) struct Position {
    path: PathBuf,
    last: Link,
}

impl Position {
    /// Reads `JOURNAL.syslog`; before the first record where there is none.
    ///
    /// # Errors
    /// Where it can't be read, or says something else.
    pub(super) fn open(journal: &Path) -> anyhow::Result<Self> {
        let path = mark::beside(journal, ".syslog");
        let last = mark::read(&path);
        let last = last.with_context(|| format!("{}: how far audit.syslog came can't be read", path.display()))?;
        let last = last.unwrap_or(Link::BEGIN);
        Ok(Self { path, last })
    }

    /// Number of the newest record that arrived; 0 before the first.
    pub(super) const fn number(&self) -> u64 {
        self.last.n
    }

    /// Writes down that everything up to `last` has arrived. Where that fails, a restart sends more than it had to.
    pub(super) fn advance(&mut self, last: Link) {
        if last == self.last {
            return;
        }
        self.last = last;
        if let Err(error) = mark::write(&self.path, last, File::sync_data) {
            tracing::error!(%error, path = %self.path.display(), "how far audit.syslog came can't be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Hash;

    #[test]
    fn a_restart_goes_on_where_the_run_before_it_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("audit.jsonl");
        let mut position = Position::open(&journal).expect("none yet");
        assert_eq!(position.number(), 0);
        let hash = Hash::of(b"a record");
        position.advance(Link { n: 17, hash });
        assert_eq!(Position::open(&journal).expect("reads").number(), 17);
        std::fs::write(&position.path, "seventeen").expect("writes");
        assert!(Position::open(&journal).is_err());
    }
}

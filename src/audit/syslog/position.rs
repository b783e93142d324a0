//! How far the second sink came, in a file beside the journal: `NUMBER:HASH` of the newest record that arrived.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::audit::chain::Link;

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
        let mut name = journal.as_os_str().to_owned();
        name.push(".syslog");
        let path = PathBuf::from(name);
        let last = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(anyhow::Error::msg),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Link::BEGIN),
            Err(error) => Err(error.into()),
        };
        let last = last.with_context(|| format!("{}: how far audit.syslog came can't be read", path.display()))?;
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
        if let Err(error) = self.write() {
            tracing::error!(%error, path = %self.path.display(), "how far audit.syslog came can't be written");
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        writeln!(file, "{}", self.last)?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)
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

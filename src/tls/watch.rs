//! The files of an identity, and whether somebody replaced them while the program runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use silentmon_certs::{Credentials, Trust};

use super::unusable;

/// How often the files are looked at: replaced ones are in use after twice as long at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where certificates are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// Our own chain and key.
    pub identity: PathBuf,
    /// The authorities that are trusted.
    pub ca: PathBuf,
    /// Their revocation lists.
    pub crl: Option<PathBuf>,
}

impl IdentityFiles {
    /// Reads them.
    ///
    /// # Errors
    /// `BadConfig` where a file is missing or isn't what it should be, `NotPermitted` where it can't be read.
    pub fn load(&self) -> anyhow::Result<(Credentials, Trust)> {
        let credentials = Credentials::load(&self.identity, None).map_err(|error| unusable(&error))?;
        let trust = Trust::load(&self.ca, self.crl.as_deref()).map_err(|error| unusable(&error))?;
        Ok((credentials, trust))
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let key = self.identity.with_extension("key");
        let all = [Some(&self.identity), Some(&key), Some(&self.ca), self.crl.as_ref()];
        all.into_iter().flatten().map(|path| Stamp::of(path)).collect()
    }
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: found.modified().ok()?,
            length: found.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(&found),
        })
    }
}

/// Waits for the files to be replaced.
#[derive(Debug)]
pub struct FileWatch {
    files: IdentityFiles,
    used: Vec<Option<Stamp>>,
    ticks: tokio::time::Interval,
}

impl FileWatch {
    /// Takes the files as they are for those in use. Must be called within a tokio runtime.
    pub fn new(files: IdentityFiles) -> Self {
        Self::every(INTERVAL, files)
    }

    fn every(interval: Duration, files: IdentityFiles) -> Self {
        Self {
            used: files.stamps(),
            files,
            ticks: tokio::time::interval(interval),
        }
    }

    /// The files.
    pub fn files(&self) -> &IdentityFiles {
        &self.files
    }

    /// Waits until the files are others than before, and have been left alone for a moment: certificate and key are
    /// replaced one after the other. Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        let mut before = self.files.stamps();
        loop {
            self.ticks.tick().await;
            let now = self.files.stamps();
            if now != self.used && now == before {
                self.used = now;
                return;
            }
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_others_once_they_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = IdentityFiles {
            identity: folder.path().join("gw1.pem"),
            ca: folder.path().join("ca.pem"),
            crl: None,
        };
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("gw1.pem", "one");
        let mut watch = FileWatch::every(Duration::from_millis(5), files);
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err(), "nothing was replaced");
        write("gw1.key", "two");
        let noticed = tokio::time::timeout(Duration::from_secs(3), watch.changed()).await;
        assert!(noticed.is_ok(), "the key beside it counts");
        let again = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(again.is_err(), "a change is told once");
    }
}

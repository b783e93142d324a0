//! Files that are there whole or not at all, with the right mode from their first byte.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::CertsError;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Anybody: mode 0644.
    All,
    /// Its owner: mode 0600.
    Owner,
}

/// What happens to a file of that name that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Kept,
    Replaced,
}

/// Longest file read: a revocation list of a million entries fits.
const LONGEST: u64 = 64 << 20;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CertsError> {
    let failed = |source| CertsError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a file through a temporary one beside it, so that no reader and no crash ever sees half of it.
pub(crate) fn write(path: &Path, bytes: &[u8], readers: Readers, existing: Existing) -> Result<(), CertsError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => CertsError::Exists { path: path.to_owned() },
        _ => CertsError::Write {
            path: path.to_owned(),
            source,
        },
    };
    let temporary = temporary_beside(path).map_err(failed)?;
    let outcome = fill(&temporary, bytes, readers).and_then(|()| match existing {
        Existing::Replaced => fs::rename(&temporary, path),
        // A hard link never replaces: of two writers one gets the file, the other an error.
        Existing::Kept => fs::hard_link(&temporary, path).and_then(|()| fs::remove_file(&temporary)),
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome.map_err(failed)?;
    sync_directory(path);
    Ok(())
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.part", u64::from_be_bytes(random)));
    Ok(path.with_file_name(name))
}

fn fill(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options, readers);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, readers: Readers) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    });
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _readers: Readers) {}

/// Without it a power cut may take the directory's entry along; not every file system allows it, and none needs telling.
fn sync_directory(path: &Path) {
    if let Some(Ok(directory)) = path.parent().map(File::open) {
        let _ = directory.sync_all();
    }
}

pub(crate) fn create_directory(path: &Path) -> Result<(), CertsError> {
    fs::create_dir_all(path).map_err(|source| CertsError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Refuses a folder in which no authority lives, so that nothing is put down there.
pub(crate) fn require_authority(directory: &Path) -> Result<(), CertsError> {
    let path = directory.join("ca.pem");
    if path.is_file() {
        return Ok(());
    }
    let source = io::Error::from(io::ErrorKind::NotFound);
    Err(CertsError::Read { path, source })
}

/// Holds the directory's lock until dropped: two invocations that sign or revoke take turns.
pub(crate) fn lock(directory: &Path) -> Result<File, CertsError> {
    let path = directory.join(".lock");
    let failed = |source| CertsError::Write {
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    restrict(&mut options, Readers::Owner);
    let file = options.open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Refuses a private key that others than its owner may read, or whose folder everybody may change.
#[cfg(unix)]
pub(crate) fn check_secret(path: &Path) -> Result<(), CertsError> {
    if mode(path).is_some_and(|mode| mode & 0o077 != 0) {
        return Err(CertsError::Exposed { path: path.to_owned() });
    }
    check_folder(path)
}

/// Refuses a file that says who is trusted where everybody may change it or its folder.
#[cfg(unix)]
pub(crate) fn check_unchangeable(path: &Path) -> Result<(), CertsError> {
    if mode(path).is_some_and(|mode| mode & 0o002 != 0) {
        return Err(CertsError::Changeable { path: path.to_owned() });
    }
    check_folder(path)
}

/// In a folder with the sticky bit, as /tmp, nobody can replace another's file.
#[cfg(unix)]
fn check_folder(path: &Path) -> Result<(), CertsError> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let folder = parent.unwrap_or(Path::new("."));
    if mode(folder).is_some_and(|mode| mode & 0o1002 == 0o0002) {
        let path = folder.to_owned();
        return Err(CertsError::Changeable { path });
    }
    Ok(())
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).ok().map(|found| found.permissions().mode())
}

#[cfg(not(unix))]
pub(crate) fn check_secret(_path: &Path) -> Result<(), CertsError> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_unchangeable(_path: &Path) -> Result<(), CertsError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_secret_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.key");
        write(&path, b"secret", Readers::Owner, Existing::Kept).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(check_secret(&path).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_read_or_a_folder_that_all_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.key");
        write(&path, b"secret", Readers::Owner, Existing::Kept).expect("written");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        for (mode, good) in [(0o400, true), (0o600, true), (0o640, false), (0o604, false)] {
            set(&path, mode);
            assert_eq!(check_secret(&path).is_ok(), good, "{mode:o}");
        }
        set(&path, 0o600);
        for (mode, good) in [(0o755, true), (0o777, false), (0o1777, true)] {
            set(directory.path(), mode);
            assert_eq!(check_secret(&path).is_ok(), good, "{mode:o}");
        }
        set(directory.path(), 0o700);
        set(&path, 0o646);
        let error = check_unchangeable(&path).expect_err("refused").to_string();
        assert!(error.contains("chmod o-w"), "{error}");
    }

    #[test]
    fn a_kept_file_is_never_replaced_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.key");
        write(&path, b"first", Readers::Owner, Existing::Kept).expect("written");
        let second = write(&path, b"second", Readers::Owner, Existing::Kept);
        assert!(matches!(second, Err(CertsError::Exists { .. })), "{second:?}");
        assert_eq!(fs::read(&path).expect("there"), b"first");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        write(&path, b"third", Readers::Owner, Existing::Replaced).expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"third");
    }
}

//! People who sign in by name and password, for browsers that have no certificate. Their file holds hashes (Argon2id, RFC
//! 9106) and is its owner's only; it is read again whenever it is another.

mod password;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use silentmon_capture_core::policy::Role;
use silentmon_proto::ids::SupervisorName;

pub use self::password::{PasswordHash, unknown};
use crate::exit::{ExitKind, Failure};

/// The only schema there is.
const SCHEMA: u32 = 1;
/// Longest name, in characters; as in certificates.
pub const LONGEST_NAME: usize = 64;
/// Shortest password, in characters.
pub const SHORTEST_PASSWORD: usize = 8;
/// Longest password, in bytes: more would only cost time to hash.
pub const LONGEST_PASSWORD: usize = 1024;
/// Most users in a file.
const MOST_USERS: usize = 10_000;
/// Longest file read, in bytes.
const LONGEST_FILE: u64 = 8 << 20;

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// His name.
    pub name: SupervisorName,
    /// What he may be.
    pub role: Role,
    /// The hash of his password.
    pub password: PasswordHash,
}

/// The file as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserFile {
    schema: u32,
    users: Vec<User>,
}

impl UserFile {
    /// Reads a file; one that isn't there has no users.
    ///
    /// # Errors
    /// `BadConfig` where it is something else, or others than its owner may read it; `NotPermitted` where it can't be
    /// read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let wrong = |kind, what: String| Failure::error(kind, format!("{}: {what}", path.display()));
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let users = Vec::new();
                return Ok(Self { schema: SCHEMA, users });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(wrong(ExitKind::NotPermitted, error.to_string()));
            }
            Err(error) => return Err(wrong(ExitKind::BadConfig, error.to_string())),
        };
        let file: Self = serde_json::from_str(&text)
            .map_err(|error| wrong(ExitKind::BadConfig, format!("expected a file of users: {error}")))?;
        if file.schema != SCHEMA {
            let what = format!("expected schema {SCHEMA}, found {}", file.schema);
            return Err(wrong(ExitKind::BadConfig, what));
        }
        if file.users.len() > MOST_USERS {
            let what = format!("expected at most {MOST_USERS} users, found {}", file.users.len());
            return Err(wrong(ExitKind::BadConfig, what));
        }
        Ok(file)
    }

    /// Writes the file whole or not at all, for its owner only. It stays the owner's who had it; a new one belongs to
    /// whom its folder belongs.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let mut name = path.file_name().context("expected the name of a file")?.to_owned();
        name.push(format!(".{:016x}.part", u64::from_be_bytes(random)));
        let part = path.with_file_name(name);
        let written = self.fill(&part, path).and_then(|()| fs::rename(&part, path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => ExitKind::NotPermitted,
                _ => ExitKind::Unavailable,
            };
            Failure::error(kind, format!("{}: {error}", path.display()))
        })
    }

    fn fill(&self, part: &Path, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let owner = fs::metadata(path).or_else(|_| fs::metadata(folder.unwrap_or(Path::new("."))))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(part)?;
        let mine = file.metadata()?;
        if (mine.uid(), mine.gid()) != (owner.uid(), owner.gid()) {
            // Only root may give files away; for anybody else the file stays his own.
            let _ = std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
        }
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Everybody.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// Who has this name.
    pub fn user(&self, name: &SupervisorName) -> Option<&User> {
        self.users.iter().find(|user| user.name == *name)
    }

    /// Adds somebody, or replaces who has his name.
    pub fn put(&mut self, user: User) {
        self.remove(&user.name);
        self.users.push(user);
        self.users.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Removes somebody; says whether he was there.
    pub fn remove(&mut self, name: &SupervisorName) -> bool {
        let before = self.users.len();
        self.users.retain(|user| user.name != *name);
        self.users.len() != before
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        let what = format!(
            "expected a file that only its owner may read (mode 0600), found {:04o}",
            mode & 0o7777
        );
        return Err(io::Error::other(what));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, LONGEST_FILE), &mut text)?;
    Ok(text)
}

/// The users as the file has them now.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    known: Mutex<(Option<Stamp>, Arc<UserFile>)>,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Users {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// As [`UserFile::read`].
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let stamp = stamp(path);
        let file = UserFile::read(path)?;
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new((stamp, Arc::new(file))),
        })
    }

    /// The users as they are now. A file that can't be read has none: whoever was taken out of it must not stay in.
    pub fn current(&self) -> Arc<UserFile> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp != known.0 {
            let file = UserFile::read(&self.path).unwrap_or_else(|error| {
                tracing::error!("nobody can sign in by password: {error:#}");
                UserFile {
                    schema: SCHEMA,
                    users: Vec::new(),
                }
            });
            *known = (stamp, Arc::new(file));
        }
        Arc::clone(&known.1)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User {
            name: name.into(),
            role: Role::Supervisor,
            password: PasswordHash::of("correct horse").expect("hashes"),
        }
    }

    #[test]
    fn a_file_of_users_is_its_owners_only_and_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.json");
        let mut file = UserFile::read(&path).expect("one that isn't there has none");
        assert_eq!(file.users(), []);
        file.put(user("bert"));
        file.put(user("anna"));
        file.write(&path).expect("writes");
        assert_eq!(UserFile::read(&path).expect("reads"), file);
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(folder.path()).expect("reads").count(),
            1,
            "nothing is left beside it"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changes");
        let error = UserFile::read(&path).expect_err("others may read it");
        assert!(error.to_string().contains("mode 0600"), "{error}");
    }

    #[test]
    fn whoever_is_taken_out_is_out_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.json");
        let mut file = UserFile::read(&path).expect("reads");
        file.put(user("anna"));
        file.write(&path).expect("writes");
        let users = Users::open(&path).expect("opens");
        assert!(users.current().user(&"anna".into()).is_some());
        assert!(file.remove(&"anna".into()));
        file.write(&path).expect("writes");
        assert!(users.current().user(&"anna".into()).is_none());
        file.put(user("anna"));
        file.write(&path).expect("writes");
        assert!(users.current().user(&"anna".into()).is_some());
        fs::write(&path, "{").expect("writes");
        assert!(
            users.current().user(&"anna".into()).is_none(),
            "a file that can't be read has nobody"
        );
    }
}

//! Files beside a journal that name one of its records, as `NUMBER:HASH`: the newest, and how far a second sink came.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::chain::Link;

/// The journal's own name with `end` behind it.
pub fn beside(journal: &Path, end: &str) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Which record a file names; `None` where there is no file.
///
/// # Errors
/// Where it can't be read, or says something else.
pub fn read(path: &Path) -> io::Result<Option<Link>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let link = text.trim().parse();
    link.map(Some)
        .map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
}

/// Has a file name a record, whole or not at all and readable by its owner only. `finish` is done with what was written
/// before it takes the former file's place.
///
/// # Errors
/// Where it can't be written.
pub fn write(path: &Path, link: Link, finish: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    writeln!(file, "{link}")?;
    finish(&file)?;
    std::fs::rename(&new, path)
}

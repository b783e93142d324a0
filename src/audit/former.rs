//! Records of a journal's newest file, read again at the start: what must outlive a restart rests on what is written down.
//! A file that was put aside in between is left out: it takes 64 MiB of records to have that done.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

#[derive(Deserialize)]
struct Line<T> {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    #[serde(flatten)]
    said: T,
}

/// The records since a time that are of some kinds, the oldest first. Each of these kinds' lines has one of `marks`; most
/// lines have none, and need not be read in full.
///
/// # Errors
/// Where the file can't be read.
pub(super) fn records<T: DeserializeOwned>(
    path: &Path,
    marks: &[&[u8]],
    begin: OffsetDateTime,
) -> anyhow::Result<Vec<(OffsetDateTime, T)>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut found = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.with_context(|| path.display().to_string())?;
        let is_marked = |mark: &&[u8]| line.windows(mark.len()).any(|part| part == *mark);
        if !marks.iter().any(is_marked) {
            continue;
        }
        if let Ok(Line { at, said }) = serde_json::from_slice(&line)
            && at >= begin
        {
            found.push((at, said));
        }
    }
    Ok(found)
}

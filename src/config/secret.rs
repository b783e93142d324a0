//! Where passwords and tokens of the configuration come from: the environment, a file of their own or the configuration
//! itself.

use std::path::Path;

use silentmon_proto::ids::LinkName;

use super::ENVIRONMENT_PREFIX;
use crate::exit::{ExitKind, Failure};
use crate::secret::Secret;

/// The environment variable that names a secret of a CTI source: `SILENTMON_CTI_` and the source's name and the key,
/// in capitals, anything but letters and digits as `_`.
fn variable(source: &LinkName, key: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = format!("{source}_{key}").chars().map(plain).collect();
    format!("{ENVIRONMENT_PREFIX}CTI_{name}")
}

/// The secret that a CTI source calls `key`: from the environment, else the file, else as the configuration itself has
/// it. A file's last line break is no part of it.
///
/// # Errors
/// `BadConfig` where the file can't be read or is empty.
pub fn of_source(
    source: &LinkName,
    key: &str,
    file: Option<&Path>,
    inline: Option<&Secret>,
) -> anyhow::Result<Option<Secret>> {
    if let Ok(value) = std::env::var(variable(source, key)) {
        return Ok(Some(value.as_str().into()));
    }
    find(file, inline)
}

/// The secret in the file, else as the configuration itself has it.
///
/// # Errors
/// As [`of_source`].
pub fn find(file: Option<&Path>, inline: Option<&Secret>) -> anyhow::Result<Option<Secret>> {
    match file {
        Some(path) => read(path).map(Some),
        None => Ok(inline.cloned()),
    }
}

fn read(path: &Path) -> anyhow::Result<Secret> {
    let complain = |what: String| Failure::error(ExitKind::BadConfig, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| complain(format!("can't read the secret: {error}")))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(complain("expected a password or token, found nothing".to_owned()));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sources_variable_is_named_after_it() {
        assert_eq!(variable(&"csta-1".into(), "password"), "SILENTMON_CTI_CSTA_1_PASSWORD");
    }

    #[test]
    fn the_line_break_at_a_files_end_is_no_part_of_the_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2 \r\n").expect("writes");
        let found = find(Some(&path), None).expect("reads");
        assert_eq!(found, Some(Secret::from("hunter2 ")));
        std::fs::write(&path, "\n").expect("writes");
        assert!(find(Some(&path), None).is_err());
    }
}

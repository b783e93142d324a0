//! Configuration: one TOML file, unknown keys refused with line and column, the environment above it.
//!
//! Relative paths in a file are relative to the file's folder. Nothing else in the program reads files of
//! configuration or the environment.

#[cfg(feature = "capture")]
pub mod authority;
#[cfg(feature = "capture")]
pub mod capture;
#[cfg(feature = "capture")]
pub mod cluster;
#[cfg(feature = "capture")]
pub mod cti;
#[cfg(feature = "capture")]
mod heard;
#[cfg(feature = "capture")]
pub mod nats;
#[cfg(feature = "capture")]
pub mod oidc;
#[cfg(feature = "playback")]
pub mod playback;
#[cfg(feature = "capture")]
pub mod secret;
#[cfg(feature = "capture")]
pub mod values;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::exit::{ExitKind, Failure};

/// The only schema there is.
pub const SCHEMA: u32 = 1;
/// Environment variables that begin so override keys: `SILENTMON_SERVICE_LISTEN` is `listen` in `[service]`.
const ENVIRONMENT_PREFIX: &str = "SILENTMON_";

/// What both kinds of file have.
pub trait Schema: DeserializeOwned {
    /// Sections whose keys the environment may override.
    const SECTIONS: &'static [&'static str];

    /// The `schema` key.
    fn schema(&self) -> u32;

    /// Shows `visit` every path of a file that the program reads or writes.
    fn visit_paths(&mut self, visit: &mut dyn FnMut(&mut PathBuf));

    /// Checks what types can't say.
    ///
    /// # Errors
    /// What was expected, with the key it was expected at.
    fn check(&self) -> Result<(), Complaint>;
}

/// A key whose value won't do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The key, such as `policy.disclosure`.
    pub key: &'static str,
    /// What was expected.
    pub expected: String,
}

impl Complaint {
    /// That a key isn't as it must be.
    ///
    /// # Errors
    /// Always.
    pub fn about(key: &'static str, expected: impl Into<String>) -> Result<(), Self> {
        let expected = expected.into();
        Err(Self { key, expected })
    }
}

/// Reads, overrides and checks a configuration file.
///
/// # Errors
/// `BadConfig` with `FILE:LINE:COL: what was expected`; `Unavailable` where the file can't be read.
pub fn load<T: Schema>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let environment = std::env::vars().collect::<Vec<_>>();
    parse(&text, path, &environment)
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied => ExitKind::NotPermitted,
        _ => ExitKind::BadConfig,
    };
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => " (a running service reads a folder that is new to it after a restart)",
        _ => "",
    };
    Failure::error(
        kind,
        format!("{}: can't read the configuration: {error}{hint}", path.display()),
    )
}

/// Reads a file that holds one table.
///
/// # Errors
/// As [`load`].
#[cfg(feature = "capture")]
pub fn read_table<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    toml::from_str(&text).map_err(|error| misplaced(path, &text, &error))
}

/// Reads a configuration from text; `path` is for messages and relative paths.
///
/// # Errors
/// As [`load`].
pub fn parse<T: Schema>(text: &str, path: &Path, environment: &[(String, String)]) -> anyhow::Result<T> {
    let file: T = toml::from_str(text).map_err(|error| misplaced(path, text, &error))?;
    if file.schema() != SCHEMA {
        let place = place_of(text, "schema");
        let found = file.schema();
        return Err(complain(
            path,
            place,
            &format!("expected schema = {SCHEMA}, found {found}"),
        ));
    }
    let mut config = override_from_environment(text, path, environment, file)?;
    config.check().map_err(|complaint| {
        let place = place_of(text, complaint.key);
        complain(path, place, &format!("{}: {}", complaint.key, complaint.expected))
    })?;
    let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    config.visit_paths(&mut |path| absolute(&folder, path));
    Ok(config)
}

fn override_from_environment<T: Schema>(
    text: &str,
    path: &Path,
    environment: &[(String, String)],
    file: T,
) -> anyhow::Result<T> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| misplaced(path, text, &error))?;
    let mut last = None;
    for (name, value) in environment {
        let Some((section, key)) = overridden_key::<T>(name) else {
            continue;
        };
        let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
            .ok()
            .and_then(|mut table| table.remove("v"))
            .unwrap_or_else(|| toml::Value::String(value.clone()));
        let entry = table
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let Some(section) = entry.as_table_mut() {
            section.insert(key, value);
        }
        last = Some(name);
    }
    let Some(name) = last else { return Ok(file) };
    table.try_into().map_err(|error: toml::de::Error| {
        Failure::error(
            ExitKind::BadConfig,
            format!("environment ({name} or another): {}", error.message()),
        )
    })
}

/// The section and key that an environment variable overrides, if any.
fn overridden_key<T: Schema>(name: &str) -> Option<(&'static str, String)> {
    let rest = name.strip_prefix(ENVIRONMENT_PREFIX)?;
    T::SECTIONS.iter().find_map(|section| {
        let key = rest.strip_prefix(&section.to_uppercase())?.strip_prefix('_')?;
        Some((*section, key.to_lowercase()))
    })
}

fn misplaced(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let begin = error.span().map_or(0, |span| span.start);
    let offset = unknown_key(text, begin, error.message()).unwrap_or(begin);
    complain(path, line_and_column(text, offset), error.message())
}

fn complain(path: &Path, (line, column): (usize, usize), what: &str) -> anyhow::Error {
    Failure::error(
        ExitKind::BadConfig,
        format!("{}:{line}:{column}: {what}", path.display()),
    )
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

/// Where an unknown key stands: of a section whose `kind` decides what belongs into it, only the section's place is told.
fn unknown_key(text: &str, begin: usize, message: &str) -> Option<usize> {
    let name = message.strip_prefix("unknown field `")?.split('`').next()?;
    let mut offset = begin;
    for (index, line) in text.get(begin..)?.split_inclusive('\n').enumerate() {
        let trimmed = line.trim_start();
        if index > 0 && trimmed.starts_with('[') {
            return None;
        }
        let is_key = |rest: &str| rest.trim_start().starts_with('=');
        if trimmed.strip_prefix(name).is_some_and(is_key) {
            return Some(offset + line.len() - trimmed.len());
        }
        offset += line.len();
    }
    None
}

/// Where a key such as `policy.disclosure` stands, else its section, else the end of the file.
fn place_of(text: &str, key: &str) -> (usize, usize) {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = "";
    let mut section_at = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            current = trimmed.trim_matches(|c| c == '[' || c == ']').trim();
        }
        if current == section {
            section_at.get_or_insert(offset);
            if trimmed
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
            {
                return line_and_column(text, offset);
            }
        }
        offset += line.len();
    }
    line_and_column(text, section_at.unwrap_or(text.len()))
}

/// `path` as seen from `folder`.
fn absolute(folder: &Path, path: &mut PathBuf) {
    if path.is_relative() {
        *path = folder.join(&*path);
    }
}

#[cfg(all(test, feature = "capture"))]
mod tests {
    use super::capture::CaptureConfig;
    use super::*;

    const GOOD: &str = "schema = 1\n[capture]\nsource = { interface = \"ens224\" }\n[policy]\ndisclosure = \"never\"\n";

    fn read(text: &str) -> Result<CaptureConfig, String> {
        parse(text, Path::new("/etc/silentmon/capture.toml"), &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_column() {
        let error = read(&GOOD.replace("disclosure", "disclosures = 1\ndisclosure")).expect_err("unknown key");
        assert!(
            error.starts_with("/etc/silentmon/capture.toml:5:1: unknown field `disclosures`"),
            "{error}"
        );
    }

    #[test]
    fn the_operator_must_choose_disclosure() {
        let error = read("schema = 1\n[capture]\nsource = { interface = \"ens224\" }\n[policy]\nwho = \"team\"\n")
            .expect_err("no disclosure");
        assert!(
            error.starts_with("/etc/silentmon/capture.toml:4:1: policy.disclosure"),
            "{error}"
        );
        assert!(error.contains("never"), "{error}");
    }

    #[test]
    fn another_schema_is_refused_where_it_stands() {
        let error = read(&GOOD.replace("schema = 1", "schema = 2")).expect_err("another schema");
        assert!(
            error.starts_with("/etc/silentmon/capture.toml:1:1: expected schema = 1, found 2"),
            "{error}"
        );
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment = [("SILENTMON_SERVICE_LISTEN".to_owned(), "127.0.0.1:5000".to_owned())];
        let config: CaptureConfig = parse(GOOD, Path::new("x.toml"), &environment).expect("good");
        assert_eq!(config.service.listen.to_string(), "127.0.0.1:5000");
        let environment = [("SILENTMON_SERVICE_LISTEN".to_owned(), "nowhere".to_owned())];
        let error = parse::<CaptureConfig>(GOOD, Path::new("x.toml"), &environment).expect_err("bad address");
        assert!(error.to_string().contains("SILENTMON_SERVICE_LISTEN"), "{error}");
    }

    #[test]
    fn only_a_leaf_may_do_without_the_supervisors_door() {
        let leaf = "[cluster]\nrole = \"leaf\"\npeers = [{ name = \"hub1\", address = \"10.0.0.1:42029\" }]\n";
        let closed = format!("{GOOD}[service]\nlisten = \"none\"\n");
        let config = read(&format!("{closed}\n{leaf}")).expect("good");
        assert_eq!(config.service.listen.address(), None);
        assert_eq!(config.listened(), []);
        for (text, expected) in [
            (closed.clone(), "only a leaf of a cluster may do without"),
            (
                format!("{closed}https = true\n{leaf}"),
                "which service.https needs, found \"none\"",
            ),
        ] {
            let error = read(&text).expect_err("nobody could connect");
            assert!(error.contains("service.listen") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn paths_are_seen_from_the_files_folder() {
        let config = read(GOOD).expect("good");
        assert_eq!(config.service.identity, Path::new("/etc/silentmon/certs/server.pem"));
    }
}

//! `silentmon config`: checks a configuration file, or prints it with every default filled in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::config::{self, Schema};
use crate::exit::{ExitKind, Failure};
use crate::tls::IdentityFiles;
use crate::{output, tls};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Exit 0 where the file is good, else 78 and FILE:LINE:COL: what was expected.
    Check {
        /// The file of a capture or playback service.
        file: PathBuf,
    },
    /// Prints the file as the program understands it: environment above it, defaults below it.
    Print {
        /// The file of a capture or playback service.
        file: PathBuf,
    },
}

/// Checks or prints.
///
/// # Errors
/// `BadConfig` with the place, where the file is wrong.
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Check { file } => check(file),
        Action::Print { file } => {
            output::line(understood(file)?.text.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Exit 0 and a line that says so, where the file is good. Also behind `capture --check` and `playback --check`.
///
/// # Errors
/// As [`run`].
pub fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let understood = understood(file)?;
    for note in &understood.notes {
        output::complain(&format!("{}: note: {note}", file.display()));
    }
    output::line(&format!("{}: good ({} configuration)", file.display(), understood.kind));
    Ok(ExitCode::SUCCESS)
}

struct Understood {
    kind: &'static str,
    text: String,
    notes: Vec<String>,
}

/// A file with a `[playback]` section is a playback service's; any other counts as a capture service's.
fn understood(file: &Path) -> anyhow::Result<Understood> {
    let is_playback = std::fs::read_to_string(file).is_ok_and(|text| {
        text.parse::<toml::Table>()
            .is_ok_and(|table| table.contains_key("playback"))
    });
    if is_playback {
        understood_playback(file)
    } else {
        understood_capture(file)
    }
}

#[cfg(feature = "capture")]
fn understood_capture(file: &Path) -> anyhow::Result<Understood> {
    let config = config::load::<config::capture::CaptureConfig>(file)?;
    config.rules()?;
    Ok(Understood {
        kind: "capture",
        text: print(&config)?,
        notes: config
            .notes()
            .into_iter()
            .chain(certificates(&config.service.files()))
            .collect(),
    })
}

#[cfg(not(feature = "capture"))]
fn understood_capture(file: &Path) -> anyhow::Result<Understood> {
    Err(not_built_in(file, "capture"))
}

#[cfg(feature = "playback")]
fn understood_playback(file: &Path) -> anyhow::Result<Understood> {
    let config = config::load::<config::playback::PlaybackConfig>(file)?;
    Ok(Understood {
        kind: "playback",
        text: print(&config)?,
        notes: certificates(&config.playback.files()),
    })
}

#[cfg(not(feature = "playback"))]
fn understood_playback(file: &Path) -> anyhow::Result<Understood> {
    Err(not_built_in(file, "playback"))
}

/// What ends soon, or is wrong with certificates that are there: a file may well be checked on another machine.
fn certificates(files: &IdentityFiles) -> Vec<String> {
    if !files.identity.exists() {
        return Vec::new();
    }
    tls::look_over(files).unwrap_or_else(|error| vec![format!("{error:#}")])
}

fn print<T: Schema + serde::Serialize>(config: &T) -> anyhow::Result<String> {
    toml::to_string_pretty(config).context("writing the configuration as TOML")
}

#[cfg_attr(
    all(feature = "capture", feature = "playback"),
    expect(dead_code, reason = "both are built in")
)]
fn not_built_in(file: &Path, kind: &str) -> anyhow::Error {
    let sentence = format!("{}: this program is built without {kind}", file.display());
    Failure::error(ExitKind::BadConfig, sentence)
}

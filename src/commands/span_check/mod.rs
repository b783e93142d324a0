//! `silentmon span-check`: what a mirror port delivers, from an interface for a minute or from a capture file, and what is
//! wrong with it, with what to do.
//!
//! What is judged is judged in `capture/core/src/survey`; this shows it: a table while it runs, then text, JSON, HTML.

mod html;
mod live;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{ArgGroup, Args};
use serde::Serialize;
use silentmon_capture_core::survey::{Report, Survey, SurveyOptions, Verdict};
use silentmon_capture_io::file::{CaptureFile, FileError};
use silentmon_capture_io::link::LinkFacts;
use silentmon_capture_io::survey::read_file;
use tokio_util::sync::CancellationToken;

use crate::exit::{ExitKind, Failure};
use crate::{output, shutdown};

/// Exit code where nothing could be judged: no frames, or no voice among them.
const INCONCLUSIVE: u8 = 2;

/// Arguments of `span-check`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["interface", "file"])))]
pub struct SpanCheckArgs {
    /// The interface at the mirror port. It is only read.
    #[arg(value_name = "IFACE")]
    interface: Option<String>,
    /// A capture file instead: pcap, pcapng, gzip of either; - for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long to look. Ctrl-C ends it earlier.
    #[arg(long = "for", value_name = "SECONDS", default_value = "60", value_parser = seconds, conflicts_with = "file")]
    duration: Duration,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Writes a page to print, too.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// What was looked at, and what was seen.
#[derive(Debug, Serialize)]
struct Document {
    /// The interface or the file's name.
    source: String,
    /// What the system says of the interface.
    link: Option<LinkFacts>,
    #[serde(flatten)]
    report: Report,
    /// Where the file is damaged; all before that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

/// Looks, and says what was seen. The exit code is 0 where calls can be heard, 1 where something keeps them from it, 2
/// where nothing could be judged.
///
/// # Errors
/// `Unavailable` or `NotPermitted` where the interface can't be captured from, `BadData` where the file is no capture or
/// damaged.
pub fn run(args: &SpanCheckArgs) -> anyhow::Result<ExitCode> {
    let (document, failure) = match (&args.file, &args.interface) {
        (Some(file), _) => survey_file(file)?,
        (None, Some(interface)) => live::survey(interface, args.duration)?,
        (None, None) => return Err(Failure::error(ExitKind::Usage, "expected an interface or --file FILE")),
    };
    if args.json {
        output::json(&document)?;
    } else {
        for line in text::lines(&document) {
            output::line(&line);
        }
    }
    if let Some(path) = &args.report {
        write_page(path, &document)?;
    }
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(exit_code(document.report.verdict)),
    }
}

fn exit_code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Healthy | Verdict::Impaired => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::from(ExitKind::No as u8),
        Verdict::NoVoice | Verdict::NoFrames => ExitCode::from(INCONCLUSIVE),
    }
}

fn write_page(path: &Path, document: &Document) -> anyhow::Result<()> {
    let page = html::page(document).html();
    let refused = |error| {
        Failure::error(
            ExitKind::Unavailable,
            format!("{}: can't be written: {error}", path.display()),
        )
    };
    std::fs::write(path, page).map_err(refused)
}

/// Reads a file to its end, to where it is damaged, or until Ctrl-C.
fn survey_file(path: &Path) -> anyhow::Result<(Document, Option<Failure>)> {
    let bad_data = |error: &FileError| Failure::new(ExitKind::BadData, error.to_string());
    let mut file = CaptureFile::open(path).map_err(|error| bad_data(&error))?;
    let stopped = Arc::new(AtomicBool::new(false));
    let _runtime = stop_on_signal(&stopped)?;
    let mut survey = Survey::new(SurveyOptions::default());
    let damage = read_file(&mut file, &mut survey, || !stopped.load(Ordering::Relaxed)).err();
    survey.conclude();
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let document = Document {
        source: name.into_owned(),
        link: None,
        report: survey.report(),
        damage: damage.as_ref().map(ToString::to_string),
    };
    Ok((document, damage.as_ref().map(bad_data)))
}

/// Sets the flag on SIGINT or SIGTERM for as long as the answer lives.
fn stop_on_signal(stopped: &Arc<AtomicBool>) -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting to listen for signals")?;
    let token = CancellationToken::new();
    runtime.block_on(async { shutdown::cancel_on_signal(token.clone()) })?;
    let stopped = Arc::clone(stopped);
    runtime.spawn(async move {
        token.cancelled().await;
        stopped.store(true, Ordering::Relaxed);
    });
    Ok(runtime)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let positive = parsed.filter(|duration| !duration.is_zero());
    positive.ok_or_else(|| "expected a positive number of seconds".to_owned())
}

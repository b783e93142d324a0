//! `silentmon capture`: the service that sniffs a mirror port and serves supervisors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use clap::Args;
use silentmon_capture_core::engine::{EngineEvent, EngineSettings};
use silentmon_capture_core::filter::MediaFilter;
use silentmon_capture_io::feed::{CaptureHandle, Source};
use silentmon_capture_io::service::{Journal as JournalWriter, Reload, Service, ServiceParts};
use silentmon_proto::cti::script::{self, ScriptedEvent};
use silentmon_proto::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::audit::Journal;
use crate::config::{self, capture::CaptureConfig, capture::CtiSection, capture::Pace, capture::SourceTable};
use crate::exit::{ExitKind, Failure};
use crate::shutdown;
use crate::telemetry;

/// Program and version, for greetings.
pub const SOFTWARE: &str = concat!("silentmon ", env!("CARGO_PKG_VERSION"));

/// Arguments of `capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only checks the configuration, as `config check` does.
    #[arg(long)]
    check: bool,
}

/// Serves until it is told to stop.
///
/// # Errors
/// `BadConfig`, `Unavailable` or `NotPermitted`, in one sentence.
pub fn run(args: &CaptureArgs) -> anyhow::Result<ExitCode> {
    if args.check {
        return super::config::check(&args.config);
    }
    let config = config::load::<CaptureConfig>(&args.config)?;
    for note in config.notes() {
        tracing::warn!("{note}");
    }
    tokio::runtime::Runtime::new()?.block_on(serve(&args.config, config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(path: &Path, config: CaptureConfig) -> anyhow::Result<()> {
    let journal = Journal::open(&config.audit.path).map_err(|error| unusable(&error))?;
    let script = read_scripts(&config)?;
    let endpoint = bind(&config)?;
    let filter = Arc::new(ArcSwap::from_pointee(MediaFilter::default()));
    let capture = open_source(&config, &filter)?;
    let (reload_sender, reloads) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    shutdown::cancel_on_signal(shutdown.clone())?;
    reload_on_hangup(path.to_owned(), reload_sender)?;
    let parts = ServiceParts {
        engine: settings(&config),
        endpoint,
        capture,
        filter,
        script,
        journal: Box::new(AuditWriter(journal)),
    };
    telemetry::ready();
    Service::run(parts, reloads, shutdown).await
}

fn unusable(error: &anyhow::Error) -> anyhow::Error {
    Failure::error(ExitKind::Unavailable, format!("SM-5002 {error:#}; listening is refused"))
}

fn settings(config: &CaptureConfig) -> EngineSettings {
    EngineSettings {
        server: config.cluster.name.clone(),
        software: SOFTWARE.to_owned(),
        policy: config.rules(),
        devices: config.devices.clone(),
    }
}

fn read_scripts(config: &CaptureConfig) -> anyhow::Result<Vec<ScriptedEvent>> {
    let mut events = Vec::new();
    for cti in &config.cti {
        let CtiSection::Script(script) = cti else { continue };
        let path = script.path.display();
        let text = std::fs::read_to_string(&script.path)
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{path}: can't read the script: {error}")))?;
        let parsed = script::parse(&text)
            .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{path}:{}: {}", error.line, error.what)))?;
        events.extend(parsed);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

struct AuditWriter(Journal);

impl JournalWriter for AuditWriter {
    fn record(&mut self, event: &EngineEvent, now: Instant) -> Result<(), String> {
        self.0.record(event, now).map_err(|error| format!("{error:#}"))
    }
}

/// SIGHUP reads the configuration again; what can't change in flight is said.
fn reload_on_hangup(path: PathBuf, reloads: mpsc::Sender<Reload>) -> anyhow::Result<()> {
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
        .context("listening for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match config::load::<CaptureConfig>(&path) {
                Ok(config) => {
                    let reload = Reload { policy: config.rules(), devices: config.devices };
                    if reloads.send(reload).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
            }
        }
    });
    Ok(())
}

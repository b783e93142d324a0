//! `silentmon capture`: the service that sniffs a mirror port and serves supervisors.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use clap::Args;
use silentmon_capture_core::engine::{EngineEvent, EngineSettings};
use silentmon_capture_core::filter::MediaFilter;
use silentmon_capture_core::policy::{Policy, REMEMBERED_FOR};
use silentmon_capture_io::cti::CtiSources;
use silentmon_capture_io::feed::{CaptureError, Filtering, OpenSource, Source};
use silentmon_capture_io::file::paced::{self, FileOrigin, Repeat};
use silentmon_capture_io::live::{LiveError, LiveOptions};
use silentmon_capture_io::service::{
    Clock, Door as ServiceDoor, Former, Journal as JournalWriter, Refusals, Reload, Service, ServiceParts, StartLinks,
};
use silentmon_certs::ServerTls;
use silentmon_proto::time::Instant;
use silentmon_transport::{ServerEndpoint, Settings};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::audit::{Event, Journal, pauses, sign_ins, syslog};
use crate::config::{self, capture::CaptureConfig, capture::Pace, capture::SourceTable, capture::SyslogSection};
use crate::exit::{ExitKind, Failure};
use crate::metrics::capture::{CaptureFigures, MetricsPage};
use crate::server_api::{ServerApi, WebDoor};
use crate::tls::{Doors, Follower, ServerIdentity};
use crate::{cluster, hardening, shutdown, sources, telemetry};

/// Program and version, for greetings.
pub const SOFTWARE: &str = concat!("silentmon ", env!("CARGO_PKG_VERSION"));

/// Questions and orders of the HTTPS interface that may wait, of each.
const QUESTIONS: usize = 16;
/// How long the end of the service waits for the second sink of the journal.
const SECOND_SINK_LIMIT: Duration = Duration::from_secs(3);

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
    let opened = Opened::open(&config)?;
    let report = hardening::service::confine(&args.config, &config, &opened.source);
    report.log();
    if config.hardening.required {
        report.require_all()?;
    }
    // Its threads inherit what this one has given up.
    tokio::runtime::Runtime::new()?.block_on(serve(&args.config, config, opened))?;
    Ok(ExitCode::SUCCESS)
}

/// What is opened with all rights.
struct Opened {
    journal: AuditWriter,
    /// What carries the journal to its second sink.
    sink: Option<syslog::Sink>,
    identity: ServerIdentity,
    source: OpenSource,
}

impl Opened {
    fn open(config: &CaptureConfig) -> anyhow::Result<Self> {
        let (journal, sink) = AuditWriter::open(config).map_err(|error| unusable(&error))?;
        Ok(Self {
            journal,
            sink,
            identity: ServerIdentity::load(&config.service.files())?,
            source: open_source(config)?,
        })
    }
}

/// What the journal says that a restart must not end.
fn former(journal: &Path, policy: &Policy) -> anyhow::Result<Former> {
    let now = OffsetDateTime::now_utc();
    let longest_pause = policy.payment_pauses.longest.max(policy.private_calls.longest) + pauses::MARGIN;
    Ok(Former {
        sign_ins: sign_ins::since(journal, now - REMEMBERED_FOR)?,
        pauses: pauses::running(journal, now - longest_pause)?,
    })
}

async fn serve(path: &Path, config: CaptureConfig, opened: Opened) -> anyhow::Result<()> {
    let Opened {
        journal,
        sink,
        identity,
        source,
    } = opened;
    let script = sources::read_scripts(&config)?;
    let engine = settings(&config)?;
    let local_time = config.policy.local_time();
    let former = former(&config.audit.path, &engine.policy)?;
    let files = config.service.files();
    let endpoint = bind(&config, identity.relay)?;
    let (peers, peer_renewals) = mpsc::channel(1);
    let (relay, renewals) = mpsc::channel(1);
    let refusals = Refusals::default();
    let doors = Doors {
        relay,
        peers: config.cluster.is_shared().then_some(peers),
        web: Arc::new(ArcSwap::from_pointee(identity.web)),
        expiries: watch::Sender::new(identity.expiries),
    };
    let signalling = config.signalling();
    let wanted = MediaFilter::default().with_signalling(signalling.clone());
    let filter = Arc::new(ArcSwap::from_pointee(wanted));
    let shutdown = CancellationToken::new();
    let (cti, start_links) = cti_sources(&config, &shutdown)?;
    let peers = cluster::door(&config.cluster, identity.peers, peer_renewals, refusals.clone())?;
    let store = cluster::store(&config.cluster)?;
    let (question_sender, questions) = mpsc::channel(QUESTIONS);
    let (order_sender, orders) = mpsc::channel(QUESTIONS);
    let web = WebDoor {
        tls: Arc::clone(&doors.web),
        refusals: refusals.clone(),
    };
    let api = ServerApi::bind(&config, &cti, (question_sender, order_sender), web).await?;
    let (figures, figures_receiver) = watch::channel(None);
    let figures_page = CaptureFigures {
        service: figures_receiver,
        expiries: doors.expiries.subscribe(),
        refusals: refusals.clone(),
        second_sink: journal.second.clone(),
    };
    let metrics = metrics_page(&config, figures_page).await?;
    let capture = source
        .start(Arc::clone(&filter))
        .map_err(|error| source_failure(&error))?;
    journal.begin(&config).map_err(|error| unusable(&error))?;
    let second = sink.zip(journal.second.clone()).map(SecondSink::start);
    let (reload_sender, reloads) = mpsc::channel(1);
    shutdown::cancel_on_signal(shutdown.clone())?;
    let server = config.cluster.name.clone();
    reload_on_hangup(path.to_owned(), config, journal.clone(), reload_sender)?;
    let written = journal.clone();
    let follower = Follower::new(files, doors, move |event| written.write(event))?;
    tokio::spawn(follower.run(shutdown.clone()));
    if let Some(api) = api {
        tokio::spawn(api.serve(shutdown.clone()));
    }
    if let Some(metrics) = metrics {
        tokio::spawn(metrics.serve(shutdown.clone()));
    }
    let parts = ServiceParts {
        local_time,
        former,
        engine,
        door: endpoint.map(|endpoint| ServiceDoor {
            endpoint,
            renewals,
            refusals,
        }),
        capture,
        filter,
        script,
        signalling,
        sources: cti,
        start_links,
        peers,
        store,
        journal: Box::new(journal.clone()),
        questions,
        orders,
        figures,
    };
    telemetry::ready();
    let outcome = Service::run(parts, reloads, shutdown).await;
    let stopped = Event::ServiceStopped {
        server: server.as_str(),
    };
    if let Err(error) = journal.write(&stopped) {
        tracing::error!("{error:#}");
    }
    if let Some(second) = second {
        second.finish().await;
    }
    outcome.map_err(|error| match error.downcast::<CaptureError>() {
        Ok(broken) => source_failure(&broken),
        Err(other) => other,
    })
}

/// The CTI sources, and what starts their links: now, or once this server is to hold them in its cluster.
fn cti_sources(config: &CaptureConfig, shutdown: &CancellationToken) -> anyhow::Result<(CtiSources, StartLinks)> {
    let mut cti = CtiSources::new(Clock::start(), shutdown.clone());
    if config.cluster.is_shared() {
        sources::try_out(config, cti.clock())?;
    } else {
        sources::start(config, &mut cti)?;
    }
    sources::start_risport(config, &mut cti)?;
    let linked = config.clone();
    Ok((cti, Box::new(move |cti| sources::start(&linked, cti))))
}

async fn metrics_page(config: &CaptureConfig, figures: CaptureFigures) -> anyhow::Result<Option<MetricsPage>> {
    match config.metrics.listen {
        Some(listen) => Ok(Some(MetricsPage::bind(listen, &config.cluster.name, figures).await?)),
        None => Ok(None),
    }
}

/// Opens the supervisors' door, where there is one.
fn bind(config: &CaptureConfig, tls: ServerTls) -> anyhow::Result<Option<ServerEndpoint>> {
    let Some(listen) = config.service.listen.address() else {
        return Ok(None);
    };
    let bound = ServerEndpoint::bind(listen, tls, Settings::server());
    let bound = bound.map_err(|error| Failure::error(ExitKind::Unavailable, format!("service.listen: {error}")))?;
    Ok(Some(bound))
}

fn open_source(config: &CaptureConfig) -> anyhow::Result<OpenSource> {
    let source = match &config.capture.source {
        SourceTable::Interface { interface } => Source::Interface {
            name: interface.clone(),
            options: LiveOptions {
                buffer_size: config.capture.buffer_mib << 20,
                ..LiveOptions::default()
            },
            filtering: Filtering::Kernel,
        },
        // A script that runs in the file's time changes what is wanted between two datagrams.
        SourceTable::File { file, pace, repeat } => Source::File {
            origin: FileOrigin::Path(file.clone()),
            pace: match pace {
                Pace::Real => paced::Pace::Real,
                Pace::Fast => paced::Pace::Fast,
            },
            repeat: if *repeat { Repeat::Forever } else { Repeat::Once },
            filtering: Filtering::Nowhere,
        },
    };
    OpenSource::open(source).map_err(|error| source_failure(&error))
}

/// A source that can't be opened, or broke while it was read.
fn source_failure(error: &CaptureError) -> anyhow::Error {
    let kind = match error {
        CaptureError::Live(LiveError::NotPermitted { .. }) => ExitKind::NotPermitted,
        CaptureError::Live(LiveError::NotOneInterface { .. }) => ExitKind::BadConfig,
        CaptureError::File(_) => ExitKind::BadData,
        _ => ExitKind::Unavailable,
    };
    Failure::error(kind, format!("capture.source: {error}"))
}

fn unusable(error: &anyhow::Error) -> anyhow::Error {
    Failure::error(
        ExitKind::Unavailable,
        format!("SM-5002 {error:#}; listening is refused"),
    )
}

fn settings(config: &CaptureConfig) -> anyhow::Result<EngineSettings> {
    Ok(EngineSettings {
        server: config.cluster.name.clone(),
        software: SOFTWARE.to_owned(),
        source: config.capture.source.name(),
        policy: config.rules()?,
        devices: config.all_devices()?,
        resolvers: config.media.resolvers.clone(),
        cluster: cluster::settings(config)?,
    })
}

/// The journal, written by the service and by whoever changes its rules.
#[derive(Clone)]
struct AuditWriter {
    journal: Arc<Mutex<Journal>>,
    /// How the second sink is doing, where there is one.
    second: Option<syslog::Progress>,
}

impl AuditWriter {
    /// The journal, and what carries it to the second sink.
    fn open(config: &CaptureConfig) -> anyhow::Result<(Self, Option<syslog::Sink>)> {
        let audit = &config.audit;
        let rotate_after = u64::from(audit.rotate_mib.get()) << 20;
        let journal = Journal::open(&audit.path, Some(rotate_after))?;
        let newest = journal.head().n;
        let open = |section: &SyslogSection| {
            syslog::Sink::open(audit.path.clone(), newest, section.clone(), config.cluster.name.clone())
        };
        let (sink, second) = audit.syslog.as_ref().map(open).transpose()?.unzip();
        let journal = Arc::new(Mutex::new(journal));
        Ok((Self { journal, second }, sink))
    }

    /// Writes down under which rules the service runs, once nothing keeps it from running.
    fn begin(&self, config: &CaptureConfig) -> anyhow::Result<()> {
        self.write(&Event::ServiceStarted {
            server: config.cluster.name.as_str(),
            version: env!("CARGO_PKG_VERSION"),
            policy: config.rules_in_words(),
        })?;
        tracing::info!(head = %self.lock()?.head(), path = %config.audit.path.display(), "audit journal");
        Ok(())
    }

    fn lock(&self) -> anyhow::Result<MutexGuard<'_, Journal>> {
        let broken = |_| anyhow::anyhow!("a thread broke down while it wrote the audit journal");
        self.journal.lock().map_err(broken)
    }

    fn write(&self, event: &Event<'_>) -> anyhow::Result<()> {
        self.write_at(event, OffsetDateTime::now_utc())
    }

    fn write_at(&self, event: &Event<'_>, at: OffsetDateTime) -> anyhow::Result<()> {
        let mut journal = self.lock()?;
        journal.record(event, at)?;
        if let Some(second) = &self.second {
            second.wrote(journal.head().n);
        }
        Ok(())
    }
}

/// The task that carries the journal to its second sink. It ends after the last record is written.
struct SecondSink {
    task: JoinHandle<()>,
    end: CancellationToken,
}

impl SecondSink {
    fn start((sink, progress): (syslog::Sink, syslog::Progress)) -> Self {
        let end = CancellationToken::new();
        Self {
            task: sink.start(progress, end.clone()),
            end,
        }
    }

    /// What isn't sent by then is sent after the next start.
    async fn finish(self) {
        self.end.cancel();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(SECOND_SINK_LIMIT, self.task).await.is_err() {
            abort.abort();
        }
    }
}

impl JournalWriter for AuditWriter {
    fn record(&mut self, event: &EngineEvent, now: Instant) -> Result<(), String> {
        if let (EngineEvent::SessionStarted(_), Some(second)) = (event, &self.second) {
            second.require()?;
        }
        let Some(event) = Event::of(event) else { return Ok(()) };
        let at =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.as_nanos())).map_err(|error| error.to_string())?;
        self.write_at(&event, at).map_err(|error| format!("{error:#}"))
    }
}

/// SIGHUP reads the configuration again; what can't change in flight is said.
fn reload_on_hangup(
    path: PathBuf,
    running: CaptureConfig,
    journal: AuditWriter,
    reloads: mpsc::Sender<Reload>,
) -> anyhow::Result<()> {
    let mut hangup =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match read_again(&path, &running, &journal) {
                Ok(reload) => {
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

/// New rules are on disk before they hold.
fn read_again(path: &Path, running: &CaptureConfig, journal: &AuditWriter) -> anyhow::Result<Reload> {
    let config = config::load::<CaptureConfig>(path)?;
    let (policy, devices) = (config.rules()?, config.all_devices()?);
    let stale = running.needing_restart(&config);
    if !stale.is_empty() {
        tracing::warn!("changed, but read only at a start: {}", stale.join(", "));
    }
    journal.write(&Event::PolicyChanged {
        policy: config.rules_in_words(),
    })?;
    Ok(Reload {
        local_time: config.policy.local_time(),
        policy,
        devices,
    })
}

//! Logs: human text on stderr, level by `--verbose` or `SILENTMON_LOG`.

use tracing_subscriber::EnvFilter;

/// Environment variable with a filter such as `debug` or `silentmon_capture_io=trace`.
const FILTER_VARIABLE: &str = "SILENTMON_LOG";

/// Starts logging. `verbosity` 0 is INFO for services and WARN for commands (`quiet`), each step more adds a level.
pub fn start(verbosity: u8, quiet: bool) {
    let level = match (verbosity, quiet) {
        (0, true) => "warn",
        (0, false) | (1, true) => "info",
        (1, false) | (2, _) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false)
        // It would say so on the very stream that failed, and panic: nobody reading the log must not end the service.
        .log_internal_errors(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
}

/// Says that the service works: to systemd, and as the line `ready` on stderr.
pub fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    tracing::info!("ready");
}

//! `silentmon nic-test`: whether a NIC delivers what a mirror port hands it. Works without server, certificate,
//! configuration and network: two computers and a cable, or one computer and two interfaces.

mod explain;
mod list;
mod qualify;
mod receive;
mod say;
mod send;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use silentmon_nic_core::check::Checks;
use silentmon_nic_core::classic;
use silentmon_nic_core::mac::MacAddress;
use silentmon_nic_core::plan::{BurstPlan, Plan};
use silentmon_nic_core::wire::SessionId;
use silentmon_nic_io::port::PortError;
use tokio_util::sync::CancellationToken;

use crate::exit::{ExitKind, Failure};
use crate::{output, shutdown};

/// Arguments of `nic-test`.
#[derive(Debug, Args)]
pub struct NicTestArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the interfaces with driver, firmware, link and settings.
    List {
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Waits for a generator and judges this interface: exit 0 qualified, 1 not, 2 inconclusive.
    Receive(ReceiveArgs),
    /// Sends the frames of the test from this interface.
    Send(SendArgs),
    /// Both ends on one computer: sends from IFACE2 and judges IFACE.
    Qualify(QualifyArgs),
    /// Writes the five classic frames (VLAN 85, priority 5) as a capture file.
    Sample {
        /// The file to write.
        out: PathBuf,
    },
    /// Says what a check sends, what it proves, and what a failure means.
    Explain {
        /// The check, such as SMNIC-1; without it all are explained.
        check: Option<String>,
    },
}

/// How the judgement is told.
#[derive(Debug, Args)]
struct TellArgs {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Writes a page to print and file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Tries rx-vlan-filter, rx-vlan-offload, GRO, LRO and the MTU one at a time, tests again, and puts each back.
    #[arg(long)]
    try_fixes: bool,
}

#[derive(Debug, Args)]
struct ReceiveArgs {
    /// The interface under test.
    interface: String,
    /// Seconds to wait for a generator.
    #[arg(long = "for", value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Takes only this generator.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Sends nothing, not even answers.
    #[arg(long, conflicts_with = "try_fixes")]
    silent: bool,
    #[command(flatten)]
    tell: TellArgs,
}

/// How hard the burst is.
#[derive(Debug, Args)]
struct BurstArgs {
    /// How long the burst lasts; 0 leaves it out.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    burst_seconds: f64,
    /// Packets a second of the burst: 100 for each call.
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    burst_rate: u32,
}

#[derive(Debug, Args)]
struct SendArgs {
    /// The interface to send from.
    interface: String,
    /// MAC address of the interface under test.
    #[arg(long, value_name = "MAC", required_unless_present = "file")]
    to: Option<MacAddress>,
    /// The session's identifier, up to 16 hexadecimal digits; drawn at random if it isn't said.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Doesn't wait for answers: the target sees a mirror, or is silent.
    #[arg(long)]
    one_way: bool,
    /// Seconds to call for the target.
    #[arg(long = "for", value_name = "S", default_value_t = 60)]
    seconds: u64,
    #[command(flatten)]
    burst: BurstArgs,
    /// Sends the frames of a capture file instead (to MAC, where that is said).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["session", "one_way"])]
    file: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct QualifyArgs {
    /// The interface under test.
    interface: String,
    /// The interface to send from, joined to it by a cable or a switch.
    #[arg(long, value_name = "IFACE2")]
    generator: String,
    #[command(flatten)]
    burst: BurstArgs,
    #[command(flatten)]
    tell: TellArgs,
}

/// Runs the test's part that was asked for.
///
/// # Errors
/// `Usage` for an unknown check, `NotPermitted` without the right to raw sockets, else `Unavailable`.
pub fn run(args: &NicTestArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List { json } => list::run(*json),
        Action::Receive(args) => receive::run(args),
        Action::Send(args) => send::run(args),
        Action::Qualify(args) => qualify::run(args),
        Action::Sample { out } => {
            std::fs::write(out, classic::capture_file()).with_context(|| format!("writing {}", out.display()))?;
            output::line(&format!(
                "{}: {} frames, VLAN 85, priority 5",
                out.display(),
                classic::FRAMES
            ));
            Ok(ExitCode::SUCCESS)
        }
        Action::Explain { check } => explain::run(check.as_deref()),
    }
}

impl BurstArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        let duration = Duration::try_from_secs_f64(self.burst_seconds).ok();
        let duration = duration.filter(|duration| *duration <= Duration::from_secs(3600));
        let Some(duration) = duration.filter(|_| self.burst_rate > 0) else {
            let sentence = "expected --burst-seconds of 0 to 3600 and --burst-rate above 0";
            return Err(Failure::error(ExitKind::Usage, sentence));
        };
        Ok(Plan {
            checks: Checks::all(),
            burst: BurstPlan::lasting(self.burst_rate, duration),
        })
    }
}

/// The error with the exit code it leads to.
fn unavailable(error: &PortError) -> anyhow::Error {
    let kind = match error {
        PortError::NotPermitted(_) => ExitKind::NotPermitted,
        _ => ExitKind::Unavailable,
    };
    Failure::error(kind, error.to_string())
}

/// A flag that is set when a person or the system asks the program to end, so that settings are put back first.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.context("listening for signals")?;
    let token = CancellationToken::new();
    // Installed before this returns: a signal that comes now finds it.
    let listening = runtime.block_on(async { shutdown::cancel_on_signal(token.clone()) });
    listening?;
    let flag = Arc::clone(&stop);
    std::thread::spawn(move || {
        runtime.block_on(token.cancelled());
        flag.store(true, Ordering::Release);
    });
    Ok(stop)
}

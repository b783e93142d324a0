//! `silentmon cluster`: how the members stand to each other, and who holds the sessions with the CTI sources.

#[cfg(feature = "capture")]
mod check;
#[cfg(feature = "playback")]
mod status;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// How the cluster stands, as the running servers see it. Needs an administrator's certificate.
    #[cfg(feature = "playback")]
    Status(status::StatusArgs),
    /// Lets a member hold the sessions with the CTI sources. Needs an administrator's certificate.
    #[cfg(feature = "playback")]
    HandOver(status::HandOverArgs),
    /// Dials every other member, as this server would, and lets each dial back: ports, names, versions, clocks,
    /// certificates.
    #[cfg(feature = "capture")]
    Check(check::CheckArgs),
}

/// Does it. Exit code 1 where something is amiss.
///
/// # Errors
/// `Usage` for an address that is none, `BadConfig` for a file that can't be used, `Unavailable` where no server answers,
/// `NotPermitted` where one refuses.
pub fn run(args: &ClusterArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        #[cfg(feature = "playback")]
        ClusterCommand::Status(args) => status::show(args),
        #[cfg(feature = "playback")]
        ClusterCommand::HandOver(args) => status::hand_over(args),
        #[cfg(feature = "capture")]
        ClusterCommand::Check(args) => check::check(args),
    }
}

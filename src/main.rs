//! The `silentmon` program: command line, configuration and wiring. What it does is in the crates it wires.

#[cfg(feature = "playback")]
mod asking;
#[cfg(feature = "capture")]
mod audit;
mod cli;
#[cfg(feature = "capture")]
mod cluster;
mod commands;
mod config;
mod exit;
#[cfg(any(feature = "capture", feature = "playback"))]
mod hardening;
#[cfg(feature = "playback")]
mod keyboard;
#[cfg(feature = "playback")]
mod listening;
#[cfg(feature = "playback")]
mod local_api;
#[cfg(any(feature = "capture", feature = "playback"))]
mod metrics;
#[cfg(feature = "capture")]
mod oidc;
mod output;
#[cfg(feature = "playback")]
mod quality;
#[cfg(feature = "capture")]
mod report;
#[cfg(any(feature = "capture", feature = "playback"))]
mod secret;
#[cfg(feature = "capture")]
mod server_api;
#[cfg(any(feature = "capture", feature = "playback", feature = "simulate"))]
mod shutdown;
#[cfg(feature = "playback")]
mod sound;
#[cfg(feature = "capture")]
mod sources;
#[cfg(feature = "playback")]
mod summary;
mod telemetry;
#[cfg(any(feature = "capture", feature = "playback"))]
mod tls;
#[cfg(feature = "capture")]
mod users;

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

use cli::{Cli, Command};

/// Memory is wiped when it is given back: packets, decoded sound and keys are gone with whoever held them, wherever a
/// buffer grew or was copied meanwhile. What is kept to be filled again wipes itself.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("silentmon: {error:#}"));
            exit::code(&error)
        }
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    if error.print().is_err() || error.use_stderr() {
        return ExitCode::from(exit::ExitKind::Usage as u8);
    }
    ExitCode::SUCCESS
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    telemetry::start(cli.verbose, !cli.command.is_service());
    #[cfg(any(feature = "capture", feature = "playback"))]
    hardening::keep_memory_private();
    #[cfg(feature = "playback")]
    if cli.command.is_for_a_desktop() {
        hardening::confine_desktop().log();
    }
    match cli.command {
        #[cfg(feature = "capture")]
        Command::Capture(args) => commands::capture::run(&args),
        #[cfg(feature = "playback")]
        Command::Playback(args) => commands::playback::run(&args),
        #[cfg(feature = "playback")]
        Command::Listen(args) => commands::listen::run(&args),
        #[cfg(feature = "playback")]
        Command::Agents(args) => commands::agents::run(&args),
        #[cfg(feature = "playback")]
        Command::Doctor(args) => commands::doctor::run(&args),
        #[cfg(all(feature = "capture", feature = "playback"))]
        Command::Replay(args) => commands::replay::run(args),
        #[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
        Command::Demo(args) => commands::demo::run(&args),
        #[cfg(feature = "simulate")]
        Command::Simulate(args) => commands::simulate::run(&args),
        #[cfg(feature = "capture")]
        Command::Audit(args) => commands::audit::run(&args),
        #[cfg(feature = "capture")]
        Command::NicTest(args) => commands::nic_test::run(&args),
        #[cfg(feature = "capture")]
        Command::SpanCheck(args) => commands::span_check::run(&args),
        #[cfg(feature = "capture")]
        Command::Span(args) => commands::span::run(&args),
        #[cfg(any(feature = "capture", feature = "playback"))]
        Command::Auth(args) => commands::auth::run(&args),
        #[cfg(any(feature = "capture", feature = "playback"))]
        Command::Cluster(args) => commands::cluster::run(&args),
        Command::Certs(args) => commands::certs::run(args),
        Command::Config(args) => commands::config::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
    }
}

impl Command {
    /// Whether the command hears, shows or reads calls and needs no rights for it.
    #[cfg(feature = "playback")]
    fn is_for_a_desktop(&self) -> bool {
        match self {
            Self::Playback(_) | Self::Listen(_) | Self::Agents(_) | Self::Doctor(_) => true,
            #[cfg(feature = "capture")]
            Self::Replay(_) => true,
            _ => false,
        }
    }

    /// Whether the command runs as a service, whose log is wanted.
    fn is_service(&self) -> bool {
        match self {
            #[cfg(feature = "capture")]
            Self::Capture(_) => true,
            #[cfg(feature = "playback")]
            Self::Playback(_) => true,
            #[cfg(feature = "simulate")]
            Self::Simulate(_) => true,
            _ => false,
        }
    }
}

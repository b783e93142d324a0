//! The command line (command-line contract).

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands;
#[cfg(feature = "playback")]
use crate::tls::IdentityFiles;

/// Hear a contact-centre agent's calls live, from a mirror of the network.
#[derive(Debug, Parser)]
#[command(name = "silentmon", version, about, max_term_width = 100)]
pub struct Cli {
    /// More log lines on stderr; twice for even more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Capture service: sniffs a mirror port and serves supervisors.
    #[cfg(feature = "capture")]
    Capture(commands::capture::CaptureArgs),
    /// Playback service on a supervisor's desktop.
    #[cfg(feature = "playback")]
    Playback(commands::playback::PlaybackArgs),
    /// Hears an agent from a terminal.
    #[cfg(feature = "playback")]
    Listen(commands::listen::ListenArgs),
    /// Lists agents and says whether they can be heard.
    #[cfg(feature = "playback")]
    Agents(commands::agents::AgentsArgs),
    /// Says why nothing is heard: walks the way from certificate to loudspeaker.
    #[cfg(feature = "playback")]
    Doctor(commands::doctor::DoctorArgs),
    /// Reads a capture file: lists its RTP streams or decodes them.
    #[cfg(all(feature = "capture", feature = "playback"))]
    Replay(commands::replay::ReplayArgs),
    /// Lets a call go through the whole chain on this machine.
    #[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
    Demo(commands::demo::DemoArgs),
    /// Plays a CTI source that isn't there, for rehearsals in a lab.
    #[cfg(feature = "simulate")]
    Simulate(commands::simulate::SimulateArgs),
    /// Checks audit journals, and picks records from them.
    #[cfg(feature = "capture")]
    Audit(commands::audit::AuditArgs),
    /// Tests whether a NIC delivers what a mirror port hands it.
    #[cfg(feature = "capture")]
    NicTest(commands::nic_test::NicTestArgs),
    /// Shows what a mirror port delivers, and what is wrong with it.
    #[cfg(feature = "capture")]
    SpanCheck(commands::span_check::SpanCheckArgs),
    /// Helps to set up a mirror port.
    #[cfg(feature = "capture")]
    Span(commands::span::SpanArgs),
    /// Who may sign in by password, and whose name is locked.
    #[cfg(any(feature = "capture", feature = "playback"))]
    Auth(commands::auth::AuthArgs),
    /// How the members of a cluster stand to each other.
    #[cfg(any(feature = "capture", feature = "playback"))]
    Cluster(commands::cluster::ClusterArgs),
    /// Makes and signs certificates.
    Certs(commands::certs::CertsArgs),
    /// Checks and prints configuration files.
    Config(commands::config::ConfigArgs),
    /// Explains a reason code.
    Explain(commands::explain::ExplainArgs),
}

/// How a supervisor's program reaches a capture server.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Capture server; one is chosen at random, the others are tried in turn.
    #[arg(long = "server", value_name = "HOST:PORT", required = true)]
    pub servers: Vec<String>,
    /// Certificate chain and key of the supervisor.
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// The authority that both sides' certificates come from.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Its revocation list.
    #[arg(long, value_name = "FILE")]
    pub crl: Option<PathBuf>,
}

#[cfg(feature = "playback")]
impl ServerArgs {
    /// The files of the supervisor's identity.
    pub fn files(&self) -> IdentityFiles {
        IdentityFiles {
            identity: self.identity.clone(),
            ca: self.ca.clone(),
            crl: self.crl.clone(),
        }
    }
}

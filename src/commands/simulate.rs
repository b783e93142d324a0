//! `silentmon simulate`: a CTI source that isn't there, for rehearsals in a lab. It plays a script, and its faults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use silentmon_simulators::{
    BroadWorks, BroadWorksOptions, Common, Csta, CstaOptions, CtiServer, CtiServerOptions, Dialect, Handle, Scenario,
    Start, Tls,
};
use tokio_util::sync::CancellationToken;

use crate::exit::{ExitKind, Failure};
use crate::{output, shutdown, telemetry};

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(subcommand)]
    protocol: Protocol,
}

/// What is simulated.
#[derive(Debug, Subcommand)]
enum Protocol {
    /// A Cisco CTI Server (GED-188), side A and side B.
    CtiServer(CtiServerArgs),
    /// A CSTA III switch (XML over TCP).
    Csta(CstaArgs),
    /// A BroadWorks application server's Xsi-Events (HTTP), on one or more XSPs.
    Broadworks(BroadWorksArgs),
}

/// What all simulators take.
#[derive(Debug, Args)]
struct PlayArgs {
    /// What is played: events as for `kind = "script"`, and faults; one JSON object a line.
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
    /// When the script's clock starts.
    #[arg(long, value_enum, default_value_t = StartArg::Open)]
    start: StartArg,
    /// Certificate chain and key as PEM: TLS from the first byte. Without it, plain TCP.
    #[arg(long, value_name = "FILE")]
    tls_identity: Option<PathBuf>,
    /// The authority from which clients must show a certificate.
    #[arg(long, value_name = "FILE", requires = "tls_identity")]
    tls_client_ca: Option<PathBuf>,
    /// Ends this long after the script's last step.
    #[arg(long, value_name = "SECONDS")]
    end_after: Option<u64>,
}

/// When the script's clock starts.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum StartArg {
    /// When the first client's session is open.
    Open,
    /// At once.
    Immediately,
}

/// Arguments of `simulate cti-server`.
#[derive(Debug, Args)]
struct CtiServerArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// Where a side listens; side A first.
    #[arg(long, value_name = "IP:PORT", default_values = ["127.0.0.1:42027", "127.0.0.1:43027"])]
    listen: Vec<SocketAddr>,
    /// The highest protocol version it takes.
    #[arg(long, value_name = "N", default_value_t = 24)]
    maximum_version: u32,
    /// The one ClientID that may come in.
    #[arg(long, value_name = "TEXT")]
    client_id: Option<String>,
    /// A file that holds its password.
    #[arg(long, value_name = "FILE")]
    client_password_file: Option<PathBuf>,
    /// PeripheralID of agents and calls.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    peripheral_id: u32,
    /// Skill groups of each agent: one AGENT_STATE_EVENT each.
    #[arg(long, value_name = "N", default_values_t = [5001])]
    skill_group: Vec<u32>,
    /// Side A is active, side B standby (version 24).
    #[arg(long)]
    active_standby: bool,
}

/// Arguments of `simulate csta`.
#[derive(Debug, Args)]
struct CstaArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// Where it listens.
    #[arg(long, value_name = "IP:PORT", default_values = ["127.0.0.1:1040"])]
    listen: Vec<SocketAddr>,
    /// How its documents carry their namespace.
    #[arg(long, value_enum, default_value_t = DialectArg::Default)]
    dialect: DialectArg,
    /// Device ids as they are, without what a switch puts around them (`N<3001>;noa=nk`).
    #[arg(long)]
    plain_devices: bool,
    /// The one user that may log in.
    #[arg(long, value_name = "TEXT", requires = "password_file")]
    user: Option<String>,
    /// A file that holds his password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// The longest session it grants.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    session_duration: u64,
}

/// How documents carry their namespace.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DialectArg {
    /// As default namespace of the root.
    Default,
    /// With a prefix before each name.
    Prefix,
    /// Not at all.
    Bare,
}

/// Arguments of `simulate broadworks`.
#[derive(Debug, Args)]
struct BroadWorksArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// Where an XSP listens; they share channel sets and subscriptions.
    #[arg(long, value_name = "IP:PORT", default_values = ["127.0.0.1:8443"])]
    listen: Vec<SocketAddr>,
    /// The domain of user ids: extension 3001 is 3001@DOMAIN.
    #[arg(long, value_name = "DOMAIN", default_value = "example.com")]
    domain: String,
    /// What is granted to channels and subscriptions; what they ask for without.
    #[arg(long, value_name = "SECONDS")]
    granted: Option<u64>,
    /// The one user that may come in.
    #[arg(long, value_name = "TEXT", requires = "password_file")]
    user: Option<String>,
    /// A file that holds his password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

/// Plays until the script and `--end-after` are over, or until it is told to stop. Prints what clients asked, one JSON
/// object a line, and the counters at the end.
///
/// # Errors
/// `BadData` for a script that can't be read, `Unavailable` for an address that can't be listened on.
pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (handle, play) = match &args.protocol {
            Protocol::CtiServer(args) => (cti_server(args)?, &args.play),
            Protocol::Csta(args) => (csta(args)?, &args.play),
            Protocol::Broadworks(args) => (broadworks(args)?, &args.play),
        };
        serve(handle, play).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn cti_server(args: &CtiServerArgs) -> anyhow::Result<Handle> {
    let client_password = args.client_password_file.as_deref().map(read_secret).transpose()?;
    let options = CtiServerOptions {
        sides: args.listen.clone(),
        maximum_version: args.maximum_version,
        client_id: args.client_id.clone(),
        client_password,
        peripheral_id: args.peripheral_id,
        skill_groups: args.skill_group.clone(),
        active_standby: args.active_standby,
        common: common(&args.play)?,
        ..CtiServerOptions::default()
    };
    CtiServer::start(options).context("listening")
}

fn csta(args: &CstaArgs) -> anyhow::Result<Handle> {
    let password = args.password_file.as_deref().map(read_secret).transpose()?;
    let options = CstaOptions {
        sides: args.listen.clone(),
        dialect: match args.dialect {
            DialectArg::Default => Dialect::Default,
            DialectArg::Prefix => Dialect::Prefix,
            DialectArg::Bare => Dialect::Bare,
        },
        decorated: !args.plain_devices,
        session_duration: Duration::from_secs(args.session_duration),
        login: args.user.clone().zip(password),
        common: common(&args.play)?,
        ..CstaOptions::default()
    };
    Csta::start(options).context("listening")
}

fn broadworks(args: &BroadWorksArgs) -> anyhow::Result<Handle> {
    let password = args.password_file.as_deref().map(read_secret).transpose()?;
    let options = BroadWorksOptions {
        xsps: args.listen.clone(),
        domain: args.domain.clone(),
        granted: args.granted.map(Duration::from_secs),
        login: args.user.clone().zip(password),
        common: common(&args.play)?,
        ..BroadWorksOptions::default()
    };
    BroadWorks::start(options).context("listening")
}

fn common(args: &PlayArgs) -> anyhow::Result<Common> {
    let scenario = Scenario::parse(&read(&args.script)?)
        .map_err(|error| Failure::error(ExitKind::BadData, format!("{}: {error}", args.script.display())))?;
    let start = match args.start {
        StartArg::Open => Start::Open,
        StartArg::Immediately => Start::Immediately,
    };
    Ok(Common {
        scenario,
        start,
        tls: args
            .tls_identity
            .as_deref()
            .map(|identity| tls(identity, args))
            .transpose()?,
    })
}

fn tls(identity: &Path, args: &PlayArgs) -> anyhow::Result<Tls> {
    let client_ca = args.tls_client_ca.as_deref().map(read).transpose()?;
    Tls::from_pem(read(identity)?.as_bytes(), client_ca.as_deref().map(str::as_bytes))
        .map_err(|error| Failure::error(ExitKind::BadConfig, format!("{}: {error}", identity.display())))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::error(ExitKind::BadData, format!("{}: {error}", path.display())))
}

/// The one line of a file.
fn read_secret(path: &Path) -> anyhow::Result<String> {
    Ok(read(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

async fn serve(handle: Handle, args: &PlayArgs) -> anyhow::Result<()> {
    for (side, address) in handle.addresses().iter().enumerate() {
        tracing::info!(side, %address, "listening");
    }
    let stop = CancellationToken::new();
    shutdown::cancel_on_signal(stop.clone())?;
    telemetry::ready();
    tokio::select! {
        () = stop.cancelled() => {}
        () = played(&handle, args.end_after) => {}
        shown = show_requests(&handle) => shown?,
    }
    show_new_requests(&handle)?;
    let counters = handle.counters();
    handle.shutdown().await;
    output::json(&json!({
        "connections": counters.connections,
        "sessions": counters.sessions_opened,
        "refused": counters.sessions_refused,
        "heartbeats": counters.heartbeats,
        "acks": counters.acks,
        "requests": counters.requests_by_name,
        "bad": counters.bad_messages,
        "sent": counters.messages_sent,
        "events": counters.events_played,
        "faults": counters.faults,
    }))
}

/// Waits for the script's end and the time after it; for ever without `--end-after`.
async fn played(handle: &Handle, end_after: Option<u64>) {
    let Some(seconds) = end_after else {
        return std::future::pending().await;
    };
    handle.wait_for(|counters| counters.script_finished).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn show_requests(handle: &Handle) -> anyhow::Result<()> {
    let mut shown = 0;
    while let Some(counters) = handle.wait_for(|counters| counters.requests > shown).await {
        shown = counters.requests;
        show_new_requests(handle)?;
    }
    Ok(())
}

fn show_new_requests(handle: &Handle) -> anyhow::Result<()> {
    for request in handle.take_requests() {
        output::json(&json!({
            "side": request.side,
            "request": request.name,
            "details": request.details,
        }))?;
    }
    Ok(())
}

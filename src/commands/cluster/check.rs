//! Whether the members of a cluster can reach each other, asked from one of them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use silentmon_capture_core::cluster::{ClockDifference, ClusterSettings};
use silentmon_capture_io::cluster::nats::read_members;
use silentmon_capture_io::service::Clock;
use silentmon_certs::ClientTls;
use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::{PeerMessage, Role};
use silentmon_proto::reason::{Code, Reason};
use silentmon_proto::store::MemberRecord;
use silentmon_proto::time::Instant;
use silentmon_transport::{Channel, CloseCode, Settings, connect};

use crate::config::capture::CaptureConfig;
use crate::config::cluster::{ClusterSection, PeerTable};
use crate::exit::{ExitKind, Failure};
use crate::tls::{self, ServerIdentity};
use crate::{cluster, config, output};

/// How long a member may take to dial back and say so.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// A clock that differs by more makes records hard to compare, and certificates end at other times.
const CLOCKS_WITHIN: f64 = 1_000.0;

/// Arguments of `cluster check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The capture server's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// JSON.
    #[arg(long)]
    json: bool,
}

/// What was found about one member.
#[derive(Debug, Serialize)]
struct Finding {
    server: String,
    address: String,
    /// Program and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<String>,
    /// Its clock less ours, in milliseconds, and the round trip at which that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    /// What is amiss, in words.
    problems: Vec<String>,
}

/// Exit code 1 where something is amiss.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = config::load::<CaptureConfig>(&args.config)?;
    let Some(settings) = cluster::settings(&config)? else {
        let text =
            "cluster.peers: expected the other members, or a cluster.directory that knows them, found none, and \
                    this server is no hub"
                .to_owned();
        return Err(Failure::error(ExitKind::BadConfig, text));
    };
    let warnings = tls::look_over(&config.service.files())?;
    let identity = ServerIdentity::load(&config.service.files())?;
    let findings = tokio::runtime::Runtime::new()?.block_on(async {
        let mut findings = Vec::new();
        for peer in &members(&config.cluster).await? {
            findings.push(examine(peer, &settings, &identity.peers.dialling).await?);
        }
        Ok::<_, anyhow::Error>(findings)
    })?;
    if args.json {
        output::json(&serde_json::json!({ "warnings": warnings, "members": findings }))?;
    } else {
        for warning in &warnings {
            output::line(&format!("warning: {warning}"));
        }
        for finding in &findings {
            say(finding);
        }
        if settings.role == Role::Hub {
            output::line("leaves dial this hub, and are checked from there");
        }
    }
    let amiss = findings.iter().any(|finding| !finding.problems.is_empty());
    Ok(if amiss { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The other members: those configured, or those that the store knows.
async fn members(section: &ClusterSection) -> anyhow::Result<Vec<PeerTable>> {
    let Some(store) = cluster::store_settings(section)? else {
        return Ok(section.peers.clone());
    };
    let unreached =
        |error: anyhow::Error| Failure::error(ExitKind::Unavailable, format!("cluster.directory: {error:#}"));
    let reading = tokio::time::timeout(ANSWERED_WITHIN, read_members(&store));
    let members = reading
        .await
        .map_err(anyhow::Error::from)
        .flatten()
        .map_err(unreached)?;
    let others = members.into_iter().filter(|(name, _)| *name != section.name);
    let table = |(name, record): (ServerName, MemberRecord)| {
        let address = record.address.parse();
        let address = address.map_err(|error: String| unreached(anyhow::anyhow!("{name}: {error}")))?;
        Ok(PeerTable { name, address })
    };
    others.map(table).collect()
}

fn say(finding: &Finding) {
    let Finding { server, address, .. } = finding;
    let software = finding.software.as_deref().unwrap_or("no answer");
    let clock = finding.clock_ms.zip(finding.round_trip_ms);
    let clock = clock.map(|(clock, round_trip)| format!(", clock {clock:+.1} ms (round trip {round_trip:.1} ms)"));
    let verdict = if finding.problems.is_empty() { "ok" } else { "amiss" };
    output::line(&format!(
        "{server:<16} {address:<24} {verdict}: {software}{}",
        clock.unwrap_or_default()
    ));
    for problem in &finding.problems {
        output::line(&format!("  {problem}"));
    }
}

async fn examine(peer: &PeerTable, settings: &ClusterSettings, tls: &ClientTls) -> anyhow::Result<Finding> {
    let mut finding = Finding {
        server: peer.name.to_string(),
        address: peer.address.to_string(),
        software: None,
        clock_ms: None,
        round_trip_ms: None,
        problems: Vec::new(),
    };
    let server = peer
        .server()
        .map_err(|error| Failure::error(ExitKind::BadConfig, format!("cluster.peers: {error}")))?;
    match connect(&server, tls, &Settings::server()).await {
        Err(error) => finding.problems.push(error.reason().to_string()),
        Ok(channel) => {
            let asking = ask(&mut finding, peer, settings, channel);
            if tokio::time::timeout(ANSWERED_WITHIN, asking).await.is_err() {
                let text = format!(
                    "It didn't say within {} s whether it reaches this server.",
                    ANSWERED_WITHIN.as_secs()
                );
                finding.problems.push(text);
            }
        }
    }
    Ok(finding)
}

/// Listens to its greeting and asks how it reaches us.
async fn ask(finding: &mut Finding, peer: &PeerTable, settings: &ClusterSettings, mut channel: Channel) {
    let name = channel.connection.peer().name.clone();
    if name.as_str() != peer.name.as_str() {
        finding
            .problems
            .push(format!("{name} answers there, {} was expected.", peer.name));
    }
    let clock = Clock::start();
    let outcome = async {
        channel.sender.send(&PeerMessage::Probe { sent: clock.now() }).await?;
        loop {
            match channel.receiver.receive::<PeerMessage>().await? {
                Some(PeerMessage::Hello(hello)) => {
                    let objections = settings.objections(&peer.name, &hello);
                    finding.problems.extend(objections.iter().map(ToString::to_string));
                    finding.software = Some(hello.software);
                }
                Some(PeerMessage::HeartbeatAnswer { sent, answered }) => measure(finding, sent, answered, clock.now()),
                Some(PeerMessage::Probed { unreached }) => {
                    finding.problems.extend(unreached.map(|reason| back(&reason)));
                    return anyhow::Ok(());
                }
                Some(_) => {}
                None => anyhow::bail!("it closed the connection"),
            }
        }
    };
    if let Err(error) = outcome.await {
        finding.problems.push(format!("{}: {error}.", Code::NoCaptureServer));
    }
    channel.connection.close(CloseCode::Done, "goodbye");
}

/// What the member says of its way to us. A hub has none to a leaf, and says nothing.
fn back(reason: &Reason) -> String {
    format!("It doesn't reach this server: {reason}")
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn measure(finding: &mut Finding, sent: Instant, answered: Instant, now: Instant) {
    let Some(ClockDifference { ahead, round_trip }) = ClockDifference::measured(sent, answered, now) else {
        return;
    };
    let ahead = ahead as f64 / 1e6;
    finding.clock_ms = Some(ahead);
    finding.round_trip_ms = Some(round_trip.as_secs_f64() * 1e3);
    if ahead.abs() > CLOCKS_WITHIN {
        finding.problems.push(format!(
            "Its clock is {ahead:+.0} ms from this server's: set both by NTP."
        ));
    }
}

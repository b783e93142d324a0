//! What running servers know of their cluster.

use std::process::ExitCode;

use clap::Args;
use silentmon_proto::ids::ServerName;
use silentmon_proto::peer::Role;
use silentmon_proto::relay::{ClientMessage, ClusterStatus, LeafStatus, LeavesStatus, MemberStatus, ServerMessage};
use silentmon_proto::time::Instant;
use silentmon_transport::ServerAddress;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::ServerArgs;
use crate::{asking, output};

/// Leaves that are named for people; `--json` has more.
const LEAVES_SHOWN: usize = 20;
/// The question's number.
const REQUEST: u32 = 1;

/// Arguments of `cluster status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// JSON, one object for each server asked.
    #[arg(long)]
    json: bool,
}

/// Arguments of `cluster hand-over`.
#[derive(Debug, Args)]
pub(super) struct HandOverArgs {
    /// The member that shall hold the sessions.
    to: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 1 where a member isn't there, or nobody holds the CTI sessions. Those of leaves are their own.
pub(super) fn show(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let asked = ask(&args.server, &ClientMessage::ClusterStatus { request: REQUEST })?;
    if args.json {
        let statuses: Vec<&ClusterStatus> = asked.iter().map(|(_, status)| status).collect();
        output::json(&statuses)?;
    } else {
        for (_, status) in &asked {
            for line in lines(status) {
                output::line(&line);
            }
        }
    }
    let held = |status: &ClusterStatus| status.holder.is_some() || status.role != Role::Member;
    let whole = |status: &ClusterStatus| held(status) && status.members.iter().all(|member| member.since.is_some());
    if asked.iter().all(|(_, status)| whole(status)) {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// Every server asked is told; the first that can does it.
pub(super) fn hand_over(args: &HandOverArgs) -> anyhow::Result<ExitCode> {
    let question = ClientMessage::HandOver {
        request: REQUEST,
        to: ServerName::new(&args.to),
    };
    let mut server = args.server.clone();
    server.servers.truncate(1);
    ask(&server, &question)?;
    output::line(&format!(
        "{} was asked to hold the sessions with the CTI sources",
        args.to
    ));
    Ok(ExitCode::SUCCESS)
}

fn ask(args: &ServerArgs, question: &ClientMessage) -> anyhow::Result<Vec<(ServerAddress, ClusterStatus)>> {
    asking::ask_all(args, question, |answer| match answer {
        ServerMessage::Cluster { result, .. } => Some(result),
        _ => None,
    })
}

fn lines(status: &ClusterStatus) -> Vec<String> {
    let holder = status.holder.as_ref();
    let mut lines = vec![
        format!(
            "cluster {}, seen by {} ({}, port {}): {} agents known",
            status.cluster, status.server, status.software, status.service_port, status.agents
        ),
        match holder {
            Some(holder) => format!("  CTI sessions: {holder}"),
            None if status.role != Role::Member => "  CTI sessions: none here".to_owned(),
            None => "  CTI sessions: nobody holds them".to_owned(),
        },
        format!(
            "  {:<16} this {}, sees {} agents",
            status.server.as_str(),
            in_a_word(status.role),
            status.sees
        ),
    ];
    lines.extend(status.store.as_ref().map(|store| match &store.away {
        None => "  store: reached".to_owned(),
        Some(why) => format!("  store: not reached: {why}; what was last known stays"),
    }));
    lines.extend(status.members.iter().map(line));
    lines.extend(status.leaves.iter().flat_map(leaves));
    lines
}

const fn in_a_word(role: Role) -> &'static str {
    match role {
        Role::Member => "server",
        Role::Hub => "hub",
        Role::Leaf => "leaf",
    }
}

fn leaves(leaves: &LeavesStatus) -> Vec<String> {
    let LeavesStatus {
        here, elsewhere, lost, ..
    } = leaves;
    let mut lines = vec![format!(
        "  leaves: {here} dialled this hub, {elsewhere} others alone, {lost} reached by none"
    )];
    lines.extend(leaves.each.iter().take(LEAVES_SHOWN).map(leaf));
    let more = (here + elsewhere).saturating_sub(LEAVES_SHOWN);
    if more > 0 {
        lines.push(format!("  and {more} more: --json"));
    }
    lines
}

fn leaf(leaf: &LeafStatus) -> String {
    let hubs: Vec<&str> = leaf.hubs.iter().map(ServerName::as_str).collect();
    let hubs = hubs.join(", ");
    let how = match (leaf.since, &leaf.software) {
        (Some(since), Some(software)) => format!("there since {} ({software}), dialled {hubs}", in_words(since)),
        _ => format!("there, dialled {hubs}"),
    };
    let LeafStatus {
        server, agents, sees, ..
    } = leaf;
    format!(
        "    {:<16} {how}, tells of {agents} agents, sees {sees}",
        server.as_str()
    )
}

fn line(member: &MemberStatus) -> String {
    let Some(since) = member.since else {
        let why = member.problem.as_ref().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "no connection yet".to_owned());
        return format!("  {:<16} not there: {why}", member.server.as_str());
    };
    let clock = match (member.ahead_us, member.round_trip_us) {
        (Some(ahead), Some(round_trip)) => format!(
            ", clock {:+.1} ms (round trip {:.1} ms)",
            milliseconds(ahead),
            milliseconds(i64::try_from(round_trip).unwrap_or(i64::MAX))
        ),
        _ => String::new(),
    };
    format!(
        "  {:<16} there since {} ({}), sees {} agents{clock}",
        member.server.as_str(),
        in_words(since),
        member.software.as_deref().unwrap_or("?"),
        member.sees
    )
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn milliseconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1e3
}

fn in_words(at: Instant) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos().into()).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

//! What is locked, as the running server knows it.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::relay::{ClientMessage, LockRow, ServerMessage};
use silentmon_transport::ServerAddress;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::ServerArgs;
use crate::{asking, output};

/// The question's number.
const REQUEST: u32 = 1;

/// Arguments of `auth list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `auth unlock`.
#[derive(Debug, Args)]
pub(super) struct UnlockArgs {
    /// The name.
    name: String,
    /// Only from this address; without it from everywhere.
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    #[command(flatten)]
    server: ServerArgs,
    /// JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    for (server, rows) in ask(&args.server, &ClientMessage::ListLocks { request: REQUEST })? {
        all.extend(rows.into_iter().map(|row| (server.clone(), row)));
    }
    show(&all, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 where nothing was locked.
pub(super) fn unlock(args: &UnlockArgs) -> anyhow::Result<ExitCode> {
    let unlock = ClientMessage::Unlock {
        request: REQUEST,
        name: SupervisorName::new(&args.name),
        source: args.source,
    };
    let mut all = Vec::new();
    for (server, rows) in ask(&args.server, &unlock)? {
        all.extend(rows.into_iter().map(|row| (server.clone(), row)));
    }
    show(&all, args.json)?;
    if all.is_empty() {
        output::complain(&format!("{} was not locked", args.name));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(locks: &[(ServerAddress, LockRow)], as_json: bool) -> anyhow::Result<()> {
    let until = |row: &LockRow| {
        let at = OffsetDateTime::from_unix_timestamp_nanos(row.until.as_nanos().into()).ok();
        at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
    };
    if as_json {
        let locks = locks.iter().map(|(server, row)| {
            json!({
                "server": server.to_string(),
                "name": row.name,
                "source": row.source,
                "failures": row.failures,
                "until": until(row),
            })
        });
        return output::json(&locks.collect::<Vec<_>>());
    }
    for (server, row) in locks {
        let LockRow {
            name, source, failures, ..
        } = row;
        output::line(&format!(
            "{name:<20} {source:<24} {failures} failed sign-ins, locked until {}   {server}",
            until(row)
        ));
    }
    Ok(())
}

/// The locks are each server's own.
fn ask(args: &ServerArgs, question: &ClientMessage) -> anyhow::Result<Vec<(ServerAddress, Vec<LockRow>)>> {
    asking::ask_all(args, question, |answer| match answer {
        ServerMessage::Locks { result, .. } => Some(result),
        _ => None,
    })
}

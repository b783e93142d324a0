//! What is locked, as the running server knows it.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use silentmon_proto::ids::SupervisorName;
use silentmon_proto::reason::Reason;
use silentmon_proto::relay::{ClientMessage, LockRow, ServerMessage, VERSION};
use silentmon_transport::{CloseCode, ServerAddress, Settings, connect};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::ServerArgs;
use crate::exit::{ExitKind, Failure};
use crate::listening::SOFTWARE;
use crate::{output, tls};

/// How long a server may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
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

/// What each server says; the locks are each server's own.
fn ask(args: &ServerArgs, question: &ClientMessage) -> anyhow::Result<Vec<(ServerAddress, Vec<LockRow>)>> {
    let tls = tls::client(&args.files())?;
    let servers = args.servers.iter().map(|server| server.parse::<ServerAddress>());
    let servers = servers
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut answers = Vec::new();
        for server in servers {
            let answer = tokio::time::timeout(ANSWERED_WITHIN, converse(&server, &tls, question)).await;
            let late = |_| Failure::error(ExitKind::Unavailable, format!("{server} doesn't answer"));
            let rows = answer.map_err(late)??;
            let rows = rows.map_err(|reason| Failure::error(ExitKind::NotPermitted, reason.to_string()))?;
            answers.push((server, rows));
        }
        Ok(answers)
    })
}

async fn converse(
    server: &ServerAddress,
    tls: &silentmon_certs::ClientTls,
    question: &ClientMessage,
) -> anyhow::Result<Result<Vec<LockRow>, Reason>> {
    let unavailable = |what: String| Failure::error(ExitKind::Unavailable, format!("{server}: {what}"));
    let mut channel = connect(server, tls, &Settings::client())
        .await
        .map_err(|error| unavailable(error.reason().to_string()))?;
    let hello = ClientMessage::Hello {
        version: VERSION,
        software: SOFTWARE.to_owned(),
    };
    channel.sender.send(&hello).await?;
    channel.sender.send(question).await?;
    let answer = loop {
        match channel.receiver.receive::<ServerMessage>().await? {
            Some(ServerMessage::Locks { result, .. }) => break result,
            Some(_) => {}
            None => return Err(unavailable("it doesn't know the question".to_owned())),
        }
    };
    channel.connection.close(CloseCode::Done, "goodbye");
    Ok(answer)
}

//! `silentmon agents`: who is there, and whether he can be heard.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use silentmon_playback_core::player::PlayoutSettings;
use silentmon_playback_io::receiver::{Persistence, ReceiverEvent};
use silentmon_proto::relay::AgentRow;
use tokio_util::sync::CancellationToken;

use crate::cli::ServerArgs;
use crate::exit::{ExitKind, Failure};
use crate::listening::Listener;
use crate::{output, shutdown, tls};

/// Arguments of `agents`.
#[derive(Debug, Args)]
pub struct AgentsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// JSON: one array, or with --watch one line a row.
    #[arg(long)]
    json: bool,
    /// Goes on and prints each row that changes.
    #[arg(long)]
    watch: bool,
}

/// Lists.
///
/// # Errors
/// `Unavailable` where no server answers.
pub fn run(args: &AgentsArgs) -> anyhow::Result<ExitCode> {
    let server = &args.server;
    let tls = tls::client(&server.files())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = Listener::connect(&server.servers, tls, Persistence::Rounds(1), PlayoutSettings::default())?;
        list(listener, args).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(mut listener: Listener, args: &AgentsArgs) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    shutdown::cancel_on_signal(stop.clone())?;
    listener.watch_agents();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = listener.next_event() => event,
        };
        match event {
            Some(ReceiverEvent::Agents(rows)) => {
                print_all(&rows, args)?;
                if !args.watch {
                    break;
                }
            }
            Some(ReceiverEvent::Notice(reason)) => output::complain(&reason.to_string()),
            Some(ReceiverEvent::AgentChanged(row)) if args.watch => print_row(&row, args)?,
            Some(ReceiverEvent::GaveUp { reason }) => {
                return Err(Failure::error(ExitKind::Unavailable, reason.to_string()));
            }
            Some(_) => {}
            None => break,
        }
    }
    listener.close().await;
    Ok(())
}

fn print_all(rows: &[AgentRow], args: &AgentsArgs) -> anyhow::Result<()> {
    if args.json && !args.watch {
        let rows = rows.iter().map(document).collect::<Result<Vec<_>, _>>()?;
        return output::json(&rows);
    }
    rows.iter().try_for_each(|row| print_row(row, args))
}

fn print_row(row: &AgentRow, args: &AgentsArgs) -> anyhow::Result<()> {
    if args.json {
        return output::json(&document(row)?);
    }
    let name = row.name.as_deref().unwrap_or("");
    let team = row.team.as_ref().map_or("", |team| team.as_str());
    let audible = if row.audible { "audio OK" } else { "no audio" };
    output::line(&format!(
        "{:<10} {name:<20} {:<28} {team:<12} {audible:<9} {:<36} {}",
        row.agent,
        row.state.words(),
        media(row),
        row.reason
    ));
    Ok(())
}

/// A row as the command-line contract has it: `reason` is the code, its sentence and what it rests on stand beside it.
fn document(row: &AgentRow) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(row)?;
    if let Some(fields) = document.as_object_mut() {
        fields.insert("reason".to_owned(), serde_json::to_value(row.reason.code)?);
        fields.insert("text".to_owned(), row.reason.text.as_str().into());
        fields.insert("evidence".to_owned(), serde_json::to_value(&row.reason.evidence)?);
    }
    Ok(document)
}

/// Each media address, and whose word it is.
fn media(row: &AgentRow) -> String {
    let addresses = row
        .media
        .iter()
        .map(|media| format!("{} ({})", media.address, media.origin.words()));
    addresses.collect::<Vec<_>>().join(", ")
}

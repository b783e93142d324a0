//! `silentmon audit`: checks journals, and picks records from them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime, Time, UtcOffset};

use crate::audit::chain::Link;
use crate::audit::export::{Format, Wanted, export};
use crate::audit::verify::{Checked, verify};
use crate::exit::{ExitKind, Failure};
use crate::output;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Checks that no record was removed, changed or moved. Exit 0: whole; 1: not; 65: no journal.
    Verify(VerifyArgs),
    /// Writes records as a table or as they are.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The journal, and its parts that were put aside, in any order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What an earlier check printed as the head, kept elsewhere: it must be the last record, or the journal have grown since.
    #[arg(long, value_name = "NUMBER:HASH")]
    expect: Option<Link>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The journals.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only records about this agent.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only records about this supervisor.
    #[arg(long, value_name = "NAME")]
    supervisor: Option<String>,
    /// From this time on: 2026-11-21 or 2026-11-21T09:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<OffsetDateTime>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<OffsetDateTime>,
    /// A table with a heading.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// The records as they are in the journal, one a line; this is the default.
    #[arg(long)]
    json: bool,
}

/// A day means its begin in UTC, as the journal counts.
fn instant(text: &str) -> Result<OffsetDateTime, String> {
    let day = || {
        let date = Date::parse(text, &Iso8601::DATE).ok()?;
        Some(date.with_time(Time::MIDNIGHT).assume_offset(UtcOffset::UTC))
    };
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(day);
    time.ok_or_else(|| "expected a day such as 2026-11-21, or a time such as 2026-11-21T09:00:00Z".to_owned())
}

/// Checks or exports.
///
/// # Errors
/// `Unavailable` where a file can't be read, `BadData` where it is no journal.
pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Verify(args) => check(args),
        Action::Export(args) => pick(args),
    }
}

fn check(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let checked = verify(&args.files, args.expect)
        .map_err(|error| Failure::error(ExitKind::Unavailable, format!("the journal can't be read: {error}")))?;
    if args.json {
        output::json(&checked)?;
    } else {
        say(&checked);
    }
    if checked.records == 0 && !checked.is_whole() {
        return Err(Failure::error(
            ExitKind::BadData,
            "expected an audit journal, found no record in it",
        ));
    }
    Ok(if checked.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(ExitKind::No as u8)
    })
}

fn say(checked: &Checked) {
    for flaw in &checked.flaws {
        output::line(&flaw.to_string());
    }
    if checked.more_flaws > 0 {
        output::line(&format!("and {} more flaws", checked.more_flaws));
    }
    let Some(head) = checked.head else {
        output::line("no records");
        return;
    };
    let written = [checked.from, checked.to].map(|at| at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default());
    output::line(&format!(
        "{} records, {} to {}, written {} to {}: {}",
        checked.records,
        checked.first.unwrap_or_default(),
        head.n,
        written[0],
        written[1],
        if checked.is_whole() { "whole" } else { "NOT WHOLE" }
    ));
    output::line(&format!("head {head}"));
    if checked.first.is_some_and(|first| first > 1) {
        output::line("what was written before its first record isn't among these files");
    }
    if !checked.end_known {
        output::line("no head beside the journal: whether records are missing at its end can't be told (see --expect)");
    }
    if checked.torn > 0 {
        output::line(&format!(
            "the last {} bytes are the begin of a record: it is being written, or a crash cut it off",
            checked.torn
        ));
    }
}

fn pick(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let wanted = Wanted {
        agent: args.agent.clone(),
        supervisor: args.supervisor.clone(),
        since: args.since,
        until: args.until,
    };
    let format = if args.csv { Format::Csv } else { Format::JsonLines };
    let foreign = export(&args.files, &wanted, format, output::writer())?;
    if foreign > 0 {
        output::complain(&format!(
            "silentmon: {foreign} lines are no records and were left out; `silentmon audit verify` says more"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

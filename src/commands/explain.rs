//! `silentmon explain CODE`: what a reason code means and what to do about it, offline.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use silentmon_proto::reason::Code;

use crate::exit::{ExitKind, Failure};
use crate::output;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, such as SM-2111; without it all codes are listed.
    code: Option<String>,
    /// One JSON document a code.
    #[arg(long)]
    json: bool,
}

/// Prints the code's meaning.
///
/// # Errors
/// `Usage` where there is no such code.
pub fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let codes = match &args.code {
        Some(text) => vec![
            text.parse::<Code>()
                .map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?,
        ],
        None => Code::ALL.to_vec(),
    };
    for code in codes {
        if args.json {
            output::json(&json!({"code": code, "hop": code.hop(), "sentence": code.sentence(), "fix": code.fix()}))?;
        } else {
            output::line(&format!("{code}  ({})\n  {}", code.hop(), code.sentence()));
            if !code.fix().is_empty() {
                output::line(&format!("  What to do: {}", code.fix()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

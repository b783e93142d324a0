//! The policy of an authority: put into force, and shown.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use silentmon_certs::IssuingPolicy;

use super::failure;
use crate::output;

#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// A file of rules to put into force, in the place of those before. Without it the rules in force are shown.
    #[arg(long, value_name = "FILE")]
    set: Option<PathBuf>,
}

pub(super) fn policy(args: &PolicyArgs) -> anyhow::Result<ExitCode> {
    let policy = match &args.set {
        Some(file) => IssuingPolicy::adopt(&args.ca, file).map(Some),
        None => IssuingPolicy::load(&args.ca),
    };
    match policy.map_err(|error| failure(&error))? {
        Some(policy) => output::line(toml::to_string(&policy)?.trim_end()),
        None => output::line("# no policy: what is asked for is signed as far as --role, --name and --host allow it"),
    }
    Ok(ExitCode::SUCCESS)
}

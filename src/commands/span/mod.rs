//! `silentmon span`: help with the mirror port itself.

mod template;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::output;

/// Arguments of `span`.
#[derive(Debug, Args)]
pub struct SpanArgs {
    #[command(subcommand)]
    command: SpanCommand,
}

#[derive(Debug, Subcommand)]
enum SpanCommand {
    /// Prints the mirror configuration of a switch, to be pasted.
    Template(template::TemplateArgs),
}

/// Prints what was asked for.
///
/// # Errors
/// `Usage` where an option doesn't fit the switch.
pub fn run(args: &SpanArgs) -> anyhow::Result<ExitCode> {
    let SpanCommand::Template(template) = &args.command;
    for line in template.lines()? {
        output::line(&line);
    }
    Ok(ExitCode::SUCCESS)
}

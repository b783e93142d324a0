//! `silentmon explain CODE`: what a reason code means and what to do about it, offline.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use silentmon_proto::reason::{Code, Markdown, Terminal, page};

use crate::exit::{ExitKind, Failure};
use crate::output;

/// What stands at the top of docs/reasons.md.
const PREFACE: &str = "\
# Why do I hear nothing?

<!-- Made by `silentmon explain --markdown > docs/reasons.md`. -->

Each hop of the way from authority to loudspeaker has stable codes. The same code stands in the log (`reason`), in the metrics
(`reason` label), in the API, in lists and summaries, and here. `silentmon doctor` walks the way in the order of this table and names
the first hop that is broken ([doctor.md](doctor.md)); `silentmon explain CODE` shows a page of this document offline.

| code | hop | sentence |
|---|---|---|
";

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, such as SM-2111; without it all codes are listed.
    code: Option<String>,
    /// One JSON document a code.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// All pages as one document: docs/reasons.md.
    #[arg(long, conflicts_with = "code")]
    markdown: bool,
}

/// Prints the code's meaning.
///
/// # Errors
/// `Usage` where there is no such code.
pub fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    if args.markdown {
        output::line(markdown().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let one = args.code.as_deref().map(str::parse::<Code>).transpose();
    let one = one.map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?;
    let codes = one.map_or_else(|| Code::ALL.to_vec(), |code| vec![code]);
    for code in codes {
        if args.json {
            output::json(&document(code))?;
        } else if one.is_some() {
            output::line(Terminal(code).to_string().trim_end());
        } else {
            output::line(&format!("{code}  {:<14} {}", code.hop(), code.sentence()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn document(code: Code) -> serde_json::Value {
    let page = page(code);
    json!({
        "code": code,
        "hop": code.hop(),
        "sentence": code.sentence(),
        "fix": code.fix(),
        "meaning": page.meaning,
        "recognised": page.recognised,
        "evidence": page.evidence,
        "causes": page.causes,
        "remedies": page.remedies,
        "related": page.related,
    })
}

fn markdown() -> String {
    let row = |code: &Code| {
        let anchor = code.to_string().to_lowercase();
        format!("| [{code}](#{anchor}) | {} | {} |\n", code.hop(), code.sentence())
    };
    let table: String = Code::ALL.iter().map(row).collect();
    let pages: String = Code::ALL.iter().map(|code| Markdown(*code).to_string()).collect();
    format!("{PREFACE}{table}\n{pages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_that_of_the_program() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md");
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found.trim_end() == markdown().trim_end(),
            "docs/reasons.md is out of date: silentmon explain --markdown > docs/reasons.md"
        );
    }
}

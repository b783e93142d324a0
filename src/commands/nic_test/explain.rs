//! `silentmon nic-test explain`: the checks in words, offline.

use std::process::ExitCode;

use silentmon_nic_core::check::{CheckId, Need};

use crate::exit::{ExitKind, Failure};
use crate::output;

/// Explains one check, or all.
pub(super) fn run(check: Option<&str>) -> anyhow::Result<ExitCode> {
    let checks = match check {
        Some(text) => vec![
            text.parse::<CheckId>()
                .map_err(|error| Failure::error(ExitKind::Usage, error.to_string()))?,
        ],
        None => CheckId::ALL.to_vec(),
    };
    for check in checks {
        let need = match check.need() {
            Need::Required => "required",
            Need::Useful => "only some networks need it",
        };
        output::line(&format!("{check}  {} ({need})", check.title()));
        output::line(&format!("  {}", check.proves()));
        output::line(&format!("  If it fails: {}", check.failing()));
    }
    Ok(ExitCode::SUCCESS)
}

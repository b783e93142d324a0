//! `silentmon nic-test list`: the interfaces of this computer.

use std::process::ExitCode;

use silentmon_nic_io::port::Facts;

use super::{say, unavailable};
use crate::output;

/// Lists them.
pub(super) fn run(json: bool) -> anyhow::Result<ExitCode> {
    let interfaces = silentmon_nic_io::interfaces().map_err(|error| unavailable(&error))?;
    if json {
        output::json(&interfaces)?;
        return Ok(ExitCode::SUCCESS);
    }
    for facts in &interfaces {
        let Facts { interface, address, .. } = facts;
        output::line(&format!("{interface}  {address}"));
        for (name, value) in say::facts(facts) {
            output::line(&format!("  {name}: {value}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! The demonstration, as a newcomer runs it: its WAV against the speech that the embedded call was made of.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

#[path = "common/punctual.rs"]
mod punctual;

use std::path::Path;
use std::process::Command;

use punctual::{BEARABLE, on_a_machine_that_keeps_time};

const SKIPPED: i32 = 75;

#[test]
fn the_demonstration_lets_both_voices_be_heard_in_full_quality() {
    on_a_machine_that_keeps_time(BEARABLE, lets_both_voices_be_heard);
}

fn lets_both_voices_be_heard() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check-demo");
    let output = match Command::new(script)
        .args(["--program", env!("CARGO_BIN_EXE_silentmon")])
        .output()
    {
        Ok(output) if output.status.code() != Some(SKIPPED) => output,
        Ok(output) => return eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => return eprintln!("skipped: python3 is needed: {error}"),
    };
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    eprintln!("{said}");
}

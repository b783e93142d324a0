//! What is installed: the units, and that the service needs no more than they give it.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail here, and says what it skipped"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exposure that a hardened service may have at most, as `systemd-analyze security` counts, in tenths.
const MOST_EXPOSED: &str = "20";

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

#[test]
fn the_capture_services_unit_leaves_little_exposed() {
    let analysis = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--threshold", MOST_EXPOSED])
        .arg(packaged("silentmon-capture.service"))
        .output();
    let Ok(analysis) = analysis else {
        return eprintln!("skipped: systemd-analyze is needed");
    };
    let said = String::from_utf8_lossy(&analysis.stdout);
    let wrong = String::from_utf8_lossy(&analysis.stderr);
    if wrong.contains("unrecognized option") {
        return eprintln!("skipped: this systemd-analyze reads no files");
    }
    assert!(said.contains("Overall exposure level"), "{said}{wrong}");
    assert!(analysis.status.success(), "{said}{wrong}");
}

#[test]
fn the_capture_services_unit_lets_it_give_up_its_rights() {
    let text = std::fs::read_to_string(packaged("silentmon-capture.service")).expect("a unit");
    let filters = text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let allowed: Vec<_> = filters
        .filter(|filter| !filter.starts_with('~'))
        .flat_map(str::split_whitespace)
        .collect();
    for call in [
        "capset",
        "seccomp",
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
    ] {
        assert!(allowed.contains(&call), "{call} is needed for it: {allowed:?}");
    }
    assert!(text.contains("\nLimitCORE=0\n"));
}

#[test]
fn the_units_start_what_there_is() {
    for (unit, command) in [
        ("silentmon-capture.service", "capture"),
        ("silentmon-playback.service", "playback"),
    ] {
        let text = std::fs::read_to_string(packaged(unit)).expect("a unit");
        let start = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .expect("a command");
        let words: Vec<_> = start.split_whitespace().collect();
        assert_eq!(words[..3], ["/usr/local/bin/silentmon", command, "--config"], "{unit}");
        let help = Command::new(env!("CARGO_BIN_EXE_silentmon"))
            .args([command, "--help"])
            .output();
        let help = help.expect("the program starts");
        assert!(String::from_utf8_lossy(&help.stdout).contains("--config"), "{unit}");
    }
}

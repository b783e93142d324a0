//! Tests that need interfaces of their own get a network namespace that ends with them.

use std::io::Write;
use std::process::Command;

const INSIDE: &str = "SILENTMON_TEST_NAMESPACE";

/// Runs the calling test again in a process with a network namespace of its own, which ends with it. Answers whether this
/// is that process; where namespaces can't be made, says so and answers `false`.
pub fn in_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let possible = Command::new("unshare").args(["--net", "ip", "link"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        let why = "skipped: network namespaces can't be made here (needs root, unshare and ip)";
        let _ = writeln!(std::io::stderr(), "{why}");
        return false;
    }
    let output = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("the test in its namespace");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "in its namespace:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

//! What a command prints for people and programs. The only place that writes to stdout; a reader that went away (a
//! closed pipe) is no failure.

use std::io::Write;

use serde::Serialize;

/// Prints a line.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe means that nobody reads on.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Where a command writes much.
#[cfg(feature = "capture")]
pub fn writer() -> impl Write {
    std::io::BufWriter::new(std::io::stdout().lock())
}

/// Prints one JSON document on a line of its own.
///
/// # Errors
/// Where the value can't be written as JSON.
pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?);
    Ok(())
}

/// Tells a person on stderr.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Shows a status line in place of the one before, where stderr is a terminal.
#[cfg(feature = "playback")]
pub fn status(text: &str) {
    let mut err = std::io::stderr().lock();
    if std::io::IsTerminal::is_terminal(&err) {
        let _ = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
    }
}

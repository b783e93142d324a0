//! Lines typed at a terminal while a command runs.

use std::io::IsTerminal;

use tokio::sync::mpsc;

/// Lines from standard input; none where it isn't `wanted`.
pub fn lines(wanted: bool) -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    if wanted {
        // The thread waits for the next line until the program ends.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

/// Whether someone sits at a terminal who can type now. A program in the background that reads is stopped by the system.
pub fn is_attended() -> bool {
    std::io::stdin().is_terminal() && in_foreground().unwrap_or(true)
}

/// Whether this process is of the terminal's foreground group, where the system tells (proc(5): `pgrp`, `tpgid`).
fn in_foreground() -> Option<bool> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    groups(&stat).map(|[group, foreground]| group == foreground)
}

fn groups(stat: &str) -> Option<[&str; 2]> {
    // The program's name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(2);
    let group = fields.next()?;
    let foreground = fields.nth(2)?;
    Some([group, foreground])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_behind_any_name() {
        let stat = "4711 (odd ) name) S 4000 4711 4000 34816 4711 4194304 120";
        assert_eq!(groups(stat), Some(["4711", "4711"]));
        assert_eq!(groups("4711 (x) S 1"), None);
    }
}

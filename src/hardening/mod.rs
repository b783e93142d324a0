//! What the program gives up before it reads a byte from anybody: dumps of its memory, new privileges, capabilities,
//! files it has no business with, system calls it never makes.
//!
//! Linux keeps most of this for each thread, and threads inherit it: so it is given up on the first thread, once what
//! needs rights is open, before the runtime starts its workers. What a kernel can't do is said and, where the operator
//! requires it, an error.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(feature = "capture")]
pub mod service;

use std::fmt;
#[cfg(feature = "capture")]
use std::path::PathBuf;

#[cfg(feature = "capture")]
use crate::exit::{ExitKind, Failure};

/// One thing given up: what to call it, or why it couldn't be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Measure {
    name: &'static str,
    outcome: Result<String, String>,
}

/// What was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(Vec<Measure>);

impl Report {
    /// What couldn't be given up, with the reasons; empty where all is as it should be.
    pub fn lacking(&self) -> Vec<String> {
        let why = |measure: &Measure| {
            let reason = measure.outcome.as_ref().err()?;
            Some(format!("{} ({reason})", measure.name))
        };
        self.0.iter().filter_map(why).collect()
    }

    /// Logs it: what is there in one line, and what isn't in another.
    pub fn log(&self) {
        tracing::info!("hardening: {self}");
        for lacking in self.lacking() {
            tracing::info!("hardening: this system lacks {lacking}");
        }
    }

    /// # Errors
    /// `Unavailable` where anything is lacking.
    #[cfg(feature = "capture")]
    pub fn require_all(&self) -> anyhow::Result<()> {
        let lacking = self.lacking();
        if lacking.is_empty() {
            return Ok(());
        }
        let sentence = format!("hardening.required: this system lacks {}", lacking.join(", "));
        Err(Failure::error(ExitKind::Unavailable, sentence))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self
            .0
            .iter()
            .filter_map(|measure| Some(format!("{}{}", measure.name, measure.outcome.as_ref().ok()?)))
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// Asked once capabilities aren't in effect any more: whether something fails without them.
#[cfg(feature = "capture")]
type Fails<'a> = &'a dyn Fn() -> bool;

/// What a service needs for the rest of its life.
#[cfg(feature = "capture")]
struct Plan<'a> {
    /// Files that are opened again and again.
    opened: Vec<PathBuf>,
    /// Folders and files that are read.
    read: Vec<PathBuf>,
    /// Folders in which files are written, made, renamed and removed.
    written: Vec<PathBuf>,
    /// TCP ports that others dial.
    listened: Vec<u16>,
    /// TCP ports that are dialled.
    dialled: Vec<u16>,
    /// Whether the kernel filter can't be changed without CAP_BPF, as in kernels before 5.19.
    kernel_filter_fails: Fails<'a>,
}

#[cfg(all(test, feature = "capture"))]
impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            opened: Vec::new(),
            read: Vec::new(),
            written: Vec::new(),
            listened: Vec::new(),
            dialled: Vec::new(),
            kernel_filter_fails: &|| false,
        }
    }
}

/// Keeps what is in memory out of dumps, and other users' processes away from it. To be called before anything secret
/// is read.
pub fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::keep_memory_private() {
        tracing::warn!(%error, "a crash of this program may leave its memory in a dump");
    }
}

/// Confines a service to `plan`, from now on, on this thread and those it starts.
#[cfg(feature = "capture")]
fn confine_service(plan: &Plan<'_>) -> Report {
    #[cfg(target_os = "linux")]
    return linux::confine_service(plan);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = plan;
        unknown_system()
    }
}

/// Takes from a program on a desktop what it never needs: capabilities, new privileges, other programs and dangerous
/// calls. Its files stay within reach, because sound libraries look for theirs in many places.
#[cfg(feature = "playback")]
pub fn confine_desktop() -> Report {
    #[cfg(target_os = "linux")]
    return linux::confine_desktop();
    #[cfg(not(target_os = "linux"))]
    unknown_system()
}

#[cfg(not(target_os = "linux"))]
fn unknown_system() -> Report {
    Report(vec![Measure {
        name: "confinement",
        outcome: Err("only known on Linux".to_owned()),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said_and_is_an_error_where_it_is_required() {
        let good = Measure {
            name: "seccomp",
            outcome: Ok(" 90 calls".to_owned()),
        };
        let bad = Measure {
            name: "landlock",
            outcome: Err("not in this kernel".to_owned()),
        };
        let report = Report(vec![good.clone(), bad]);
        assert_eq!(report.to_string(), "seccomp 90 calls");
        assert_eq!(report.lacking(), ["landlock (not in this kernel)"]);
        #[cfg(feature = "capture")]
        {
            let refused = report.require_all().expect_err("something is lacking");
            assert!(refused.to_string().contains("landlock"), "{refused}");
            Report(vec![good]).require_all().expect("nothing is lacking");
        }
    }
}

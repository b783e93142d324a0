//! Linux: capabilities(7), landlock(7), seccomp(2), `PR_SET_DUMPABLE`, `PR_SET_NO_NEW_PRIVS`.

mod calls;
mod capabilities;
#[cfg(feature = "capture")]
mod files;
mod sys;

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, setrlimit};
use rustix::thread::CapabilitySet;

use super::{Measure, Report};

/// No core dumps, and no other process of the same user that reads this one's memory (ptrace, /proc/PID/mem).
///
/// # Errors
/// Where the kernel refuses.
pub fn keep_memory_private() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The order matters: Landlock and seccomp need `no_new_privs`, and seccomp comes last because it refuses the calls of
/// all the others.
#[cfg(feature = "capture")]
pub fn confine_service(plan: &super::Plan<'_>) -> Report {
    let low_port = || plan.listened.iter().any(|port| (1..1024).contains(port));
    let files_out_of_reach = || files::out_of_reach(plan);
    let kept: [capabilities::Kept<'_>; 3] = [
        (CapabilitySet::BPF, plan.kernel_filter_fails),
        (CapabilitySet::NET_BIND_SERVICE, &low_port),
        (CapabilitySet::DAC_OVERRIDE, &files_out_of_reach),
    ];
    Report(vec![
        without_dumps(),
        without_new_privileges(),
        measure("capabilities ", capabilities::drop_all(&kept)),
        measure("landlock ", files::confine(plan)),
        measure("seccomp ", calls::allow_only_a_services()),
    ])
}

/// Whoever runs it as root wants it to read root's files and others'.
#[cfg(feature = "playback")]
pub fn confine_desktop() -> Report {
    let kept: [capabilities::Kept<'_>; 1] = [(CapabilitySet::DAC_OVERRIDE, &|| true)];
    Report(vec![
        without_dumps(),
        without_new_privileges(),
        measure("capabilities ", capabilities::drop_all(&kept)),
        measure("seccomp ", calls::refuse_dangerous()),
    ])
}

fn without_dumps() -> Measure {
    measure("no dumps", keep_memory_private().map(|()| String::new()).map_err(words))
}

fn without_new_privileges() -> Measure {
    let set = rustix::thread::set_no_new_privs(true);
    measure("no_new_privs", set.map(|()| String::new()).map_err(words))
}

fn measure(name: &'static str, outcome: Result<String, String>) -> Measure {
    Measure { name, outcome }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    /// Runs on a thread of its own, which is confined and then gone.
    pub fn on_a_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(run).join()).expect("the thread ends well")
    }
}

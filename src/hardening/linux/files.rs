//! Landlock (landlock(7)): files and TCP ports. Rules name folders rather than files where a file is replaced by
//! renaming, as editors and certificate tools do; a rule follows the folder, not the name.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use rustix::fs::{AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::words;
use crate::hardening::Plan;

/// The newest rights that are known here; an older kernel enforces those that it has.
const KNOWN: ABI = ABI::V6;

/// What this machine is called, how many of its processors are ours, and which time it is here.
const SYSTEM: [&str; 5] = [
    "/proc/sys/kernel/hostname",
    "/proc/self/cgroup",
    "/sys/fs/cgroup",
    "/etc/localtime",
    "/usr/share/zoneinfo",
];

/// Whether a file of `plan` belongs to somebody else, so that only CAP_DAC_OVERRIDE opens it: root's habit.
pub(super) fn out_of_reach(plan: &Plan<'_>) -> bool {
    let denied = |path: &Path, wanted| {
        let answer = accessat(CWD, path, wanted, AtFlags::EACCESS);
        answer == Err(Errno::ACCESS)
    };
    let unreadable = |path: &PathBuf| denied(path, rustix::fs::Access::READ_OK);
    let unwritable = |path: &PathBuf| denied(path, rustix::fs::Access::WRITE_OK);
    plan.opened.iter().any(unreadable) || plan.written.iter().any(unwritable)
}

/// Refuses all files but those of `plan`, and TCP ports likewise; says what the kernel could do of it.
pub(super) fn confine(plan: &Plan<'_>) -> Result<String, String> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|ruleset| ruleset.scope(Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(words)?;
    let status = allow(ruleset, plan)
        .and_then(RulesetCreated::restrict_self)
        .map_err(words)?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi < ABI::V4 => {
            Ok(format!("ABI {} (files only)", effective_abi as i32))
        }
        LandlockStatus::Available { effective_abi, .. } => Ok(format!("ABI {}", effective_abi as i32)),
        LandlockStatus::NotEnabled => Err("not enabled at boot, lsm=landlock,…".to_owned()),
        LandlockStatus::NotImplemented => Err("not in this kernel, 5.13 and later have it".to_owned()),
    }
}

fn allow(mut ruleset: RulesetCreated, plan: &Plan<'_>) -> Result<RulesetCreated, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in plan.read.iter().map(AsRef::as_ref).chain(SYSTEM.map(Path::new)) {
        ruleset = beneath(ruleset, path, reading)?;
    }
    let writing = reading | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    for path in &plan.written {
        ruleset = beneath(ruleset, path, writing)?;
    }
    for port in &plan.listened {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in &plan.dialled {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset)
}

/// What isn't there needs no rule.
fn beneath(ruleset: RulesetCreated, path: &Path, rights: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(place) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let rights = if path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(KNOWN)
    };
    ruleset.add_rule(PathBeneath::new(place, rights))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::super::tests::on_a_thread;
    use super::*;

    /// What `run` finds on a thread that is confined to `plan`; nothing where this kernel can't.
    fn confined<T: Send>(plan: &(impl Fn() -> Plan<'static> + Sync), run: impl FnOnce() -> T + Send) -> Option<T> {
        on_a_thread(|| {
            let _ = rustix::thread::set_no_new_privs(true);
            match confine(&plan()) {
                Ok(said) if !said.contains("files only") => Some(run()),
                other => {
                    crate::output::complain(&format!("skipped: landlock {other:?}"));
                    None
                }
            }
        })
    }

    #[test]
    fn a_file_outside_can_neither_be_read_nor_written_and_one_inside_only_as_planned() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["read", "written", "outside"] {
            fs::create_dir(at(name)).expect("a folder");
            fs::write(at(name).join("file"), name).expect("writes");
        }
        let plan = || Plan {
            read: vec![at("read"), at("nowhere")],
            written: vec![at("written")],
            ..Plan::default()
        };
        let refused =
            |outcome: std::io::Result<()>| outcome.map_err(|error| error.kind()) == Err(ErrorKind::PermissionDenied);
        confined(&plan, || {
            assert_eq!(
                fs::read_to_string(at("read").join("file")).expect("may be read"),
                "read"
            );
            assert!(refused(fs::write(at("read").join("file"), "changed")));
            assert!(refused(fs::read(at("outside").join("file")).map(drop)));
            assert!(refused(fs::read_dir(at("outside")).map(drop)));
            assert!(refused(fs::write(at("outside").join("new"), "new")));
            let (old, new) = (at("written").join("file"), at("written").join("aside"));
            fs::rename(&old, &new).expect("may be renamed");
            fs::write(&old, "new").expect("may be made");
            fs::remove_file(&new).expect("may be removed");
            assert!(refused(fs::rename(&old, at("read").join("moved"))));
        });
    }

    #[test]
    fn a_file_that_is_replaced_in_a_folder_of_the_plan_can_still_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("server.pem"), "old").expect("writes");
        let plan = || Plan {
            read: vec![folder.path().to_owned()],
            ..Plan::default()
        };
        let (confined_now, replaced) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let read = confined(&plan, || {
                    confined_now.wait();
                    replaced.wait();
                    fs::read_to_string(at("server.pem")).expect("may be read")
                });
                if read.is_none() {
                    confined_now.wait();
                    replaced.wait();
                }
                assert!(read.is_none_or(|read| read == "new"));
            });
            confined_now.wait();
            fs::write(at("server.new"), "new").expect("writes");
            fs::rename(at("server.new"), at("server.pem")).expect("moves");
            replaced.wait();
        });
    }

    #[test]
    fn only_planned_ports_are_listened_at_and_dialled() {
        let [here, elsewhere] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [here, elsewhere] = [here, elsewhere].map(|listener| (listener.local_addr().expect("bound"), listener));
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let free = free.expect("a port");
        let plan = || Plan {
            dialled: vec![here.0.port()],
            listened: vec![free.port()],
            ..Plan::default()
        };
        let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
        confined(&plan, || {
            TcpStream::connect(here.0).expect("may be dialled");
            assert!(TcpStream::connect(elsewhere.0).is_err_and(denied));
            TcpListener::bind(free).expect("may be bound");
            assert!(TcpListener::bind("127.0.0.1:0").is_err_and(denied));
        });
    }
}

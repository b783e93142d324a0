//! System calls (seccomp(2)). A service may make those listed and no others; a program on a desktop, whose sound
//! libraries make calls of their own, all but dangerous ones.
//!
//! A refused call fails with `EPERM` and is written to the kernel's log (audit type 1326): whoever has taken over a part
//! of the program gets nothing, and a call that was forgotten here costs one function and not the calls of everybody who
//! listens just now.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{sys, words};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Calls that a service makes, whatever their arguments.
#[cfg(feature = "capture")]
const SERVICE: &[c_long] = &[
    // Memory, except what [`service_rules`] looks into.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads, signals, time.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_membarrier,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    // Who and where we are.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getcwd,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_prlimit64,
    // Files, within what Landlock leaves.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fadvise64,
    libc::SYS_flock,
    libc::SYS_fchmod,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_umask,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    // Waiting.
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    // Sockets, except making new ones.
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
];

/// Older calls for the same, which the C library still makes where an architecture has them.
#[cfg(all(feature = "capture", target_arch = "x86_64"))]
const SERVICE_OLD: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_access,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_unlink,
    libc::SYS_chmod,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(all(feature = "capture", not(target_arch = "x86_64")))]
const SERVICE_OLD: &[c_long] = &[];

/// Commands of bpf(2) that look into and change tables that are there: all that the kernel filter needs after the start.
#[cfg(feature = "capture")]
const BPF_COMMANDS: [u64; 4] = [1, 2, 3, 4];
/// `PR_SET_NAME`, for the names of threads.
#[cfg(feature = "capture")]
const PRCTL_COMMANDS: [u64; 1] = [15];

/// Calls by which a program that was taken over would leave its place. None of them is made on a desktop.
#[cfg(feature = "playback")]
const DANGEROUS: &[c_long] = &[
    // Other programs and their memory.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The kernel's machinery.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    // Other users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
];

/// Lets a service make its own calls and no others; says how many those are.
#[cfg(feature = "capture")]
pub(super) fn allow_only_a_services() -> Result<String, String> {
    // clone3's arguments can't be looked into. Told that there is no such call, the C library makes clone(2) instead, of
    // which only threads are allowed. Of two filters the stricter decides, so that the second may allow it.
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    install(clone3, SeccompAction::Allow, error(libc::ENOSYS))?;
    let rules = service_rules()?;
    let count = rules.len();
    install(rules, error(libc::EPERM), SeccompAction::Allow)?;
    Ok(format!("{count} calls"))
}

/// Refuses what is dangerous; says how many calls those are.
#[cfg(feature = "playback")]
pub(super) fn refuse_dangerous() -> Result<String, String> {
    let mut rules: Rules = DANGEROUS.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, one_of(0, &[domain(libc::AF_PACKET)])?);
    let count = rules.len();
    install(rules, SeccompAction::Allow, error(libc::EPERM))?;
    Ok(format!("without {count} calls"))
}

/// The calls of a service, with the arguments that they may have.
#[cfg(feature = "capture")]
fn service_rules() -> Result<Rules, String> {
    let any = SERVICE.iter().chain(SERVICE_OLD).chain(&[libc::SYS_clone3]);
    let mut rules: Rules = any.map(|call| (*call, Vec::new())).collect();
    let domains = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(domain);
    rules.insert(libc::SYS_socket, one_of(0, &domains)?);
    rules.insert(libc::SYS_socketpair, one_of(0, &[domain(libc::AF_UNIX)])?);
    rules.insert(libc::SYS_bpf, one_of(0, &BPF_COMMANDS)?);
    rules.insert(libc::SYS_prctl, one_of(0, &PRCTL_COMMANDS)?);
    let requests = [libc::FIONBIO, libc::TCGETS, libc::TIOCGWINSZ, libc::SIOCGIFINDEX];
    rules.insert(libc::SYS_ioctl, one_of(1, &requests)?);
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    // What may be written is never run.
    let without = |flag: libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        rule(2, SeccompCmpOp::MaskedEq(flag), 0)
    };
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![without(libc::PROT_WRITE)?, without(libc::PROT_EXEC)?]);
    }
    Ok(rules)
}

/// The argument must have one of these values.
fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, String> {
    let rules = values.iter().map(|value| rule(argument, SeccompCmpOp::Eq, *value));
    rules.collect()
}

/// Arguments here are 32 bits wide for the kernel, whatever else the register holds.
fn rule(argument: u8, comparison: SeccompCmpOp, value: u64) -> Result<SeccompRule, String> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value).map_err(words)?;
    SeccompRule::new(vec![condition]).map_err(words)
}

fn domain(family: libc::c_int) -> u64 {
    u64::from(family.unsigned_abs())
}

fn error(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn install(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<(), String> {
    let machine = std::env::consts::ARCH.try_into().map_err(words)?;
    let filter = SeccompFilter::new(rules, otherwise, matching, machine).map_err(words)?;
    let program: BpfProgram = filter.try_into().map_err(words)?;
    sys::install(&program).map_err(words)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::process::Command;

    use rustix::mount::{UnmountFlags, unmount};
    use silentmon_ebpf::sys::{Map, MapKind};
    use socket2::{Domain, Socket, Type};

    use super::super::tests::on_a_thread;
    use super::*;

    /// What `run` finds behind the filter; nothing where this kernel has none.
    fn behind<T: Send>(filter: fn() -> Result<String, String>, run: impl FnOnce() -> T + Send) -> Option<T> {
        on_a_thread(|| {
            let _ = rustix::thread::set_no_new_privs(true);
            match filter() {
                Ok(_) => Some(run()),
                Err(error) => {
                    crate::output::complain(&format!("skipped: seccomp: {error}"));
                    None
                }
            }
        })
    }

    fn refused<T>(outcome: Result<T, impl Into<Error>>) -> bool {
        outcome.is_err_and(|error| error.into().kind() == ErrorKind::PermissionDenied)
    }

    /// Other programs, another root, other file systems, programs in the kernel, raw sockets: those that were not refused.
    fn leaves_its_place() -> Vec<&'static str> {
        let attempts = [
            ("execve", refused(Command::new("/bin/true").status())),
            ("chroot", refused(rustix::process::chroot("/"))),
            ("umount", refused(unmount("/nowhere", UnmountFlags::empty()))),
            ("bpf", refused(Map::<4, 8>::create(MapKind::Array, 1))),
            ("AF_PACKET", refused(Socket::new(Domain::PACKET, Type::RAW, None))),
        ];
        let got_through = attempts.into_iter().filter(|(_, refused)| !refused);
        got_through.map(|(name, _)| name).collect()
    }

    #[cfg(feature = "capture")]
    #[test]
    fn a_service_cannot_leave_its_place() {
        let through = behind(allow_only_a_services, leaves_its_place).unwrap_or_default();
        assert_eq!(through, Vec::<&str>::new());
    }

    #[cfg(feature = "playback")]
    #[test]
    fn a_program_on_a_desktop_cannot_leave_its_place() {
        let through = behind(refuse_dangerous, leaves_its_place).unwrap_or_default();
        assert_eq!(through, Vec::<&str>::new());
    }
}

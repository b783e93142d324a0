//! Installs a seccomp filter. The only module here with `unsafe`; the block says why it is sound.
#![allow(unsafe_code)]

use std::io::Error;

use seccompiler::sock_filter;

/// What the kernel takes: `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: libc::c_ushort,
    instructions: *const sock_filter,
}

/// Puts `program` on this thread and those it starts. Refused calls are written to the kernel's log.
///
/// # Errors
/// Where the kernel can't or won't; `EACCES` without `no_new_privs`.
pub(super) fn install(program: &[sock_filter]) -> Result<(), Error> {
    let length = libc::c_ushort::try_from(program.len()).map_err(Error::other)?;
    let argument = Program {
        length,
        instructions: program.as_ptr(),
    };
    // SAFETY: seccomp(2) reads `length` instructions of 8 octets through a pointer to a slice that long, which outlives
    // the call, and keeps no pointer to them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_LOG,
            &raw const argument,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

//! bpf(2) and SO_ATTACH_BPF, made safe: maps whose keys and values have the sizes their types say, programs, attaching
//! to sockets and interfaces.
//!
//! The only module of this crate with `unsafe`; each block says why it is sound.
#![allow(unsafe_code)]

use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::assembler::Instruction;

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;
const LINK_CREATE: libc::c_int = 28;

/// `BPF_XDP`, where a link is attached.
const ATTACH_XDP: u32 = 37;
/// `XDP_FLAGS_SKB_MODE`: in the kernel, whatever the driver can.
const GENERIC: u32 = 1 << 1;

/// What the kernel shows of a program's and a map's name, with its terminator.
const NAME: [u8; 16] = *b"silentmon\0\0\0\0\0\0\0";
/// Only functions free for every licence are called.
const LICENCE: &std::ffi::CStr = c"MIT OR Apache-2.0";
/// Room for the verifier's explanation of a refusal.
const LOG_LENGTH: usize = 64 * 1024;

/// The kinds of map used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// Entries by any key.
    Hash = 1,
    /// Entries by number.
    Array = 2,
}

/// What a program judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ProgramKind {
    /// Frames a socket would receive.
    SocketFilter = 1,
    /// Frames an interface receives, before anything else sees them.
    Xdp = 6,
}

/// A map of the kernel with keys of `K` bytes and values of `V` bytes.
#[derive(Debug)]
pub struct Map<const K: usize, const V: usize> {
    descriptor: OwnedFd,
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// A command's part of `union bpf_attr`.
///
/// # Safety
/// `repr(C)` with the field layout the kernel has for the command, without padding the kernel would read.
unsafe trait Attribute {}
// SAFETY: the prefixes of `union bpf_attr` in linux/bpf.h for these commands; the kernel takes shorter sizes than its
// own and treats the rest as zero.
unsafe impl Attribute for MapCreate {}
// SAFETY: as above.
unsafe impl Attribute for MapElement {}
// SAFETY: as above.
unsafe impl Attribute for ProgramLoad {}

/// Calls bpf(2).
///
/// # Safety
/// Addresses in the attribute are valid for what the command reads or writes there.
unsafe fn bpf<T: Attribute>(command: libc::c_int, attribute: &mut T) -> Result<libc::c_long, Error> {
    // SAFETY: the attribute is valid for its size for the length of the call; the caller vouches for addresses in it.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if answer < 0 {
        return Err(Error::last_os_error());
    }
    Ok(answer)
}

/// Takes over the descriptor that a bpf(2) command answered with.
fn own(descriptor: libc::c_long) -> Result<OwnedFd, Error> {
    let descriptor = RawFd::try_from(descriptor).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    // SAFETY: the kernel has just made it for us (close-on-exec), nobody else owns it, and it isn't negative.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

impl<const K: usize, const V: usize> Map<K, V> {
    /// Makes one with room for so many entries.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn create(kind: MapKind, entries: u32) -> Result<Self, Error> {
        let mut attribute = MapCreate {
            kind: kind as u32,
            key_size: u32::try_from(K).map_err(Error::other)?,
            value_size: u32::try_from(V).map_err(Error::other)?,
            max_entries: entries,
            flags: 0,
            inner_map: 0,
            numa_node: 0,
            name: NAME,
        };
        // SAFETY: no addresses in it.
        let descriptor = own(unsafe { bpf(MAP_CREATE, &mut attribute) }?)?;
        Ok(Self { descriptor })
    }

    /// The number by which a program names the map.
    pub fn number(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }

    /// The value for a key.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn lookup(&self, key: [u8; K]) -> Result<Option<[u8; V]>, Error> {
        let mut value = [0; V];
        let mut attribute = self.element(&key, std::ptr::from_mut(&mut value) as u64);
        // SAFETY: the map was made with keys of K and values of V bytes and isn't per processor, so the kernel reads K
        // bytes of `key` and writes V bytes to `value`; both outlive the call.
        match unsafe { bpf(MAP_LOOKUP_ELEM, &mut attribute) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value for a key, in one step: a program sees the old value or the new one.
    ///
    /// # Errors
    /// Where the map is full or the kernel refuses.
    pub fn update(&self, key: [u8; K], value: [u8; V]) -> Result<(), Error> {
        let mut attribute = self.element(&key, std::ptr::from_ref(&value) as u64);
        // SAFETY: as in `lookup`; here the kernel only reads.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut attribute) }.map(drop)
    }

    /// Takes out a key.
    ///
    /// # Errors
    /// Where there is none, or the kernel refuses.
    pub fn delete(&self, key: [u8; K]) -> Result<(), Error> {
        let mut attribute = self.element(&key, 0);
        // SAFETY: as in `lookup`; no value is read or written.
        unsafe { bpf(MAP_DELETE_ELEM, &mut attribute) }.map(drop)
    }

    fn element(&self, key: &[u8; K], value: u64) -> MapElement {
        MapElement {
            map: self.descriptor.as_raw_fd().cast_unsigned(),
            padding: 0,
            key: std::ptr::from_ref(key) as u64,
            value,
            flags: 0,
        }
    }
}

/// A program the kernel's verifier has accepted.
#[derive(Debug)]
pub struct Program {
    descriptor: OwnedFd,
}

impl Program {
    /// Loads a program; a refusal carries what the verifier says about it.
    ///
    /// # Errors
    /// Where the process may not, or the verifier refuses.
    pub fn load(kind: ProgramKind, instructions: &[Instruction]) -> Result<Self, Error> {
        let error = match load(kind, instructions, &mut []) {
            Ok(descriptor) => return Ok(Self { descriptor }),
            Err(error) => error,
        };
        if error.raw_os_error() == Some(libc::EPERM) {
            return Err(error);
        }
        // The verifier explains itself only on request, and a log that is too short would fail a good program.
        let mut log = vec![0; LOG_LENGTH];
        match load(kind, instructions, &mut log) {
            Ok(descriptor) => Ok(Self { descriptor }),
            Err(_) => Err(explained(&error, &log)),
        }
    }

    /// Makes the program the filter of a socket, in place of any other; no packet is lost by it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn attach(&self, socket: &impl AsRawFd) -> Result<(), Error> {
        let program: libc::c_int = self.descriptor.as_raw_fd();
        let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(Error::other)?;
        // SAFETY: the option takes an int, which lives longer than the call. A socket that isn't open or no
        // socket is refused by the kernel.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_BPF,
                std::ptr::from_ref(&program).cast(),
                length,
            )
        };
        if answer < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }
}

fn load(kind: ProgramKind, instructions: &[Instruction], log: &mut [u8]) -> Result<OwnedFd, Error> {
    let mut attribute = ProgramLoad {
        kind: kind as u32,
        instruction_count: u32::try_from(instructions.len()).map_err(Error::other)?,
        instructions: instructions.as_ptr() as u64,
        licence: LICENCE.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(Error::other)?,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kernel_version: 0,
        flags: 0,
        name: NAME,
    };
    // SAFETY: `instructions` holds that many instructions in the kernel's layout (`repr(C)`, 8 bytes), the licence ends
    // with a zero, the log has room for `log_size` bytes or is null with size 0; all outlive the call.
    own(unsafe { bpf(PROG_LOAD, &mut attribute) }?)
}

/// The error with the last lines of the verifier's log, which say what it didn't like.
fn explained(error: &Error, log: &[u8]) -> Error {
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(log.get(..end).unwrap_or(&[]));
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or(&[]).join("; ");
    Error::new(error.kind(), format!("{error} ({last})"))
}

/// A program attached to an interface, until this is dropped.
#[derive(Debug)]
pub struct XdpLink(#[expect(dead_code, reason = "held open: closing it detaches")] OwnedFd);

#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}
// SAFETY: as for the others.
unsafe impl Attribute for LinkCreate {}

#[repr(C)]
struct TestRun {
    program: u32,
    answer: u32,
    size_in: u32,
    size_out: u32,
    packet_in: u64,
    packet_out: u64,
    repeat: u32,
    duration: u32,
}
// SAFETY: as for the others.
unsafe impl Attribute for TestRun {}

impl Program {
    /// Has an XDP program judge what the interface with this number receives.
    ///
    /// # Errors
    /// Where the process may not, or the interface has one already.
    pub fn attach_xdp(&self, interface: u32) -> Result<XdpLink, Error> {
        let mut attribute = LinkCreate {
            program: self.descriptor.as_raw_fd().cast_unsigned(),
            interface,
            attach_type: ATTACH_XDP,
            flags: GENERIC,
        };
        // SAFETY: no addresses in it.
        Ok(XdpLink(own(unsafe { bpf(LINK_CREATE, &mut attribute) }?)?))
    }

    /// What a socket filter answers to a frame, and how many nanoseconds a run takes, without a network.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn run(&self, frame: &[u8], repeat: u32) -> Result<(u32, u32), Error> {
        // The kernel takes an Ethernet header off before it runs a socket filter here.
        let packet = [&[0; 14], frame].concat();
        let mut attribute = TestRun {
            program: self.descriptor.as_raw_fd().cast_unsigned(),
            answer: 0,
            size_in: u32::try_from(packet.len()).map_err(Error::other)?,
            size_out: 0,
            packet_in: packet.as_ptr() as u64,
            packet_out: 0,
            repeat,
            duration: 0,
        };
        // SAFETY: `packet` has `size_in` bytes and outlives the call; nothing is written but the attribute itself.
        unsafe { bpf(PROG_TEST_RUN, &mut attribute) }?;
        Ok((attribute.answer, attribute.duration))
    }
}

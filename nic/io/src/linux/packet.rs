//! A raw socket as a port.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use silentmon_nic_core::generator::Fate;
use silentmon_nic_core::mac::MacAddress;
use silentmon_nic_core::plan::{CUSTOMER_TPID, Tag};
use silentmon_nic_core::read::Arrived;
use silentmon_proto::frame::VlanTag;
use silentmon_proto::time::Instant;

use super::interface::LinuxInterface;
use super::sys::{Buffers, Received, Socket};
use crate::clock;
use crate::port::{Interface, Port, PortError};

/// Kernel memory for frames that wait: a quarter of a second at 500,000 frames a second, of which each takes about 1 KiB.
const RECEIVE_BUFFER: i32 = 128 << 20;

/// How often a frame is given to a queue that is full, and the time between.
const ATTEMPTS: u32 = 4;
const REST: Duration = Duration::from_micros(200);

/// See the module.
pub(super) struct PacketPort {
    interface: String,
    address: MacAddress,
    socket: Socket,
    buffers: Buffers,
    dropped: u64,
}

impl PacketPort {
    pub(super) fn open(interface: &LinuxInterface) -> Result<Self, PortError> {
        let name = interface.name();
        if !interface.is_up() {
            return Err(PortError::Down(name.to_owned()));
        }
        let socket = Socket::open(interface.index(), RECEIVE_BUFFER).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => PortError::NotPermitted(name.to_owned()),
            _ => failed("open a raw socket", name, error),
        })?;
        Ok(Self {
            interface: name.to_owned(),
            address: interface.address(),
            socket,
            buffers: Buffers::default(),
            dropped: 0,
        })
    }
}

impl Port for PacketPort {
    fn address(&self) -> MacAddress {
        self.address
    }

    fn send(&mut self, frame: &[u8]) -> Result<Fate, PortError> {
        for _ in 0..ATTEMPTS {
            match self.socket.send(frame) {
                Ok(()) => return Ok(Fate::Sent),
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(Fate::Refused),
                Err(error) if is_busy(&error) => std::thread::sleep(REST),
                Err(error) => return Err(failed("send", &self.interface, error)),
            }
        }
        // A queue has room by now: it is the wire that doesn't take the frame. A veth pair says so where its other end
        // drops a frame for its length.
        Ok(Fate::Sent)
    }

    fn send_many(&mut self, frames: &[u8], length: usize) -> Result<usize, PortError> {
        match self.socket.send_many(frames, length) {
            Ok(count) => Ok(count),
            Err(error) if is_busy(&error) => Ok(0),
            Err(error) => Err(failed("send", &self.interface, error)),
        }
    }

    fn receive(&mut self, wait: Duration, on_frame: &mut dyn FnMut(&Arrived<'_>)) -> Result<(), PortError> {
        let read = self.socket.receive(&mut self.buffers, wait, |received| {
            on_frame(&arrived(&received));
        });
        read.map_err(|error| failed("receive", &self.interface, error))
    }

    fn dropped(&mut self) -> u64 {
        // Fails only where the interface is gone, and then the last figure stands. Reading sets the kernel's to 0.
        self.dropped += u64::from(self.socket.drops().unwrap_or(0));
        self.dropped
    }
}

fn arrived<'a>(received: &Received<'a>) -> Arrived<'a> {
    let metadata = received.tag.map(|(tpid, tci)| Tag {
        tpid: tpid.unwrap_or(CUSTOMER_TPID),
        vlan: VlanTag::from_tci(tci),
    });
    let stamp = received
        .stamp
        .map(|(seconds, nanoseconds)| Instant::from_parts(seconds, nanoseconds));
    Arrived {
        bytes: received.bytes,
        metadata,
        stamp: stamp.unwrap_or_else(clock::now),
    }
}

/// Whether trying again may help.
fn is_busy(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR))
}

pub(super) fn failed(step: &'static str, interface: &str, error: Error) -> PortError {
    match error.raw_os_error() {
        Some(libc::ENETDOWN) => PortError::Down(interface.to_owned()),
        _ => PortError::System {
            step,
            interface: interface.to_owned(),
            error,
        },
    }
}

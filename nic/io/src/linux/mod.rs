//! Linux: a raw `AF_PACKET` socket with the tag's metadata (packet(7), PACKET_AUXDATA), and the driver through SIOCETHTOOL.

mod interface;
mod packet;
mod sys;

use crate::port::{Facts, Interface, Opened, PortError};
use interface::LinuxInterface;
use packet::PacketPort;

/// Opens an interface for a test: its frames, and its facts and settings.
///
/// # Errors
/// Where there is no such interface, it is down or no Ethernet, or the process may not.
pub fn open(name: &str) -> Result<Opened, PortError> {
    let interface = LinuxInterface::find(name)?;
    let port = PacketPort::open(&interface)?;
    Ok(Opened {
        port: Box::new(port),
        interface: Box::new(interface),
    })
}

/// The Ethernet interfaces of this computer, with what is known of each.
///
/// # Errors
/// Where the system doesn't list them.
pub fn interfaces() -> Result<Vec<Facts>, PortError> {
    let found = interface::names().into_iter();
    let found = found.filter_map(|name| LinuxInterface::find(&name).ok());
    Ok(found.map(|interface| interface.facts()).collect())
}

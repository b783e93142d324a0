//! NIC qualification on real interfaces: the only code of it with sockets, threads and clocks. What is decided lives in
//! `silentmon-nic-core`.
//!
//! Whatever touches the operating system is behind two traits, [`Port`](port::Port) for frames and
//! [`Interface`](port::Interface) for facts and settings. Linux has them (`AF_PACKET`, `SIOCETHTOOL`); another system needs
//! the two and [`open`] (Npcap: `pcap_sendqueue_transmit`, the tag from its `OID_GEN_VLAN_ID`, settings in the registry).

mod clock;
#[cfg(target_os = "linux")]
mod linux;
pub mod port;
pub mod receive;
pub mod replay;
pub mod send;
pub mod tuning;
mod watch;

#[cfg(target_os = "linux")]
pub use linux::{interfaces, open};

/// Opens an interface for a test.
///
/// # Errors
/// Always: this system's raw sockets aren't read yet.
#[cfg(not(target_os = "linux"))]
pub fn open(name: &str) -> Result<port::Opened, port::PortError> {
    Err(port::PortError::OtherSystem(name.to_owned()))
}

/// The interfaces of this computer, with what is known of each.
///
/// # Errors
/// Always: as [`open`].
#[cfg(not(target_os = "linux"))]
pub fn interfaces() -> Result<Vec<port::Facts>, port::PortError> {
    Err(port::PortError::OtherSystem("its interfaces".to_owned()))
}

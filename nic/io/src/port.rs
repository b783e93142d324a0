//! What a NIC test needs of an operating system: frames out and in, facts, settings.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use silentmon_nic_core::generator::Fate;
use silentmon_nic_core::mac::MacAddress;
use silentmon_nic_core::read::Arrived;
use thiserror::Error;

/// Why an interface can't be tested.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PortError {
    /// There is no such interface.
    #[error("expected a network interface, found none called '{interface}' (there are: {})", present.join(", "))]
    NoSuchInterface {
        /// The name asked for.
        interface: String,
        /// The interfaces there are.
        present: Vec<String>,
    },
    /// The process may not.
    #[error("expected to be allowed to open a raw socket on '{0}' (CAP_NET_RAW, or root)")]
    NotPermitted(String),
    /// The interface isn't up.
    #[error("expected interface '{0}' to be up, found it down (ip link set {0} up)")]
    Down(String),
    /// The interface has no MAC address of Ethernet.
    #[error("expected '{0}' to be an Ethernet interface")]
    NotEthernet(String),
    /// The operating system isn't one of those supported.
    #[error("expected Linux to test '{0}': raw frames and driver settings aren't supported on this system yet")]
    OtherSystem(String),
    /// The system refused something else.
    #[error("can't {step} on '{interface}': {error}")]
    System {
        /// What was tried.
        step: &'static str,
        /// On which interface.
        interface: String,
        /// The system's answer.
        error: std::io::Error,
    },
}

/// Frames out and in on one interface, which is promiscuous as long as this lives.
pub trait Port: Send {
    /// The interface's MAC address.
    fn address(&self) -> MacAddress;

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// Where the system fails; a frame that is too long is no error but refused.
    fn send(&mut self, frame: &[u8]) -> Result<Fate, PortError>;

    /// Sends frames of one length that lie one after the other, as fast as it goes; answers how many went out, which may be
    /// fewer where the system's queue is full.
    ///
    /// # Errors
    /// Where the system fails.
    fn send_many(&mut self, frames: &[u8], length: usize) -> Result<usize, PortError>;

    /// Waits for frames, at most this long, and hands over those that are there. Frames sent by this computer aren't among
    /// them.
    ///
    /// # Errors
    /// Where the interface is gone.
    fn receive(&mut self, wait: Duration, on_frame: &mut dyn FnMut(&Arrived<'_>)) -> Result<(), PortError>;

    /// Frames the kernel has dropped so far because this port was read too slowly.
    fn dropped(&mut self) -> u64;
}

/// What is known of an interface, and what can be set.
pub trait Interface: Send {
    /// Its name.
    fn name(&self) -> &str;

    /// What is known of it.
    fn facts(&self) -> Facts;

    /// Frames the interface itself has counted as dropped or missed so far.
    fn lost(&self) -> u64;

    /// The value of a setting and whether it can be changed; `None` where the driver doesn't have it.
    fn setting(&self, setting: Setting) -> Option<(Value, bool)>;

    /// Changes a setting.
    ///
    /// # Errors
    /// Where the driver refuses.
    fn set(&self, setting: Setting, value: Value) -> Result<(), PortError>;
}

/// An interface that was opened for a test.
pub struct Opened {
    /// Its frames.
    pub port: Box<dyn Port>,
    /// Its facts and settings.
    pub interface: Box<dyn Interface>,
}

/// Settings that decide on what reaches the capture layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The hardware passes only VLANs it was told of.
    VlanFilter,
    /// The hardware takes the tag out of the frame.
    VlanOffload,
    /// The kernel joins received packets.
    GenericReceiveOffload,
    /// The hardware joins received packets.
    LargeReceiveOffload,
    /// The longest payload of a frame, in bytes.
    Mtu,
}

impl Setting {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; 5] = [
        Self::VlanFilter,
        Self::VlanOffload,
        Self::GenericReceiveOffload,
        Self::LargeReceiveOffload,
        Self::Mtu,
    ];

    /// Its name, as ethtool has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VlanFilter => "rx-vlan-filter",
            Self::VlanOffload => "rx-vlan-offload",
            Self::GenericReceiveOffload => "rx-gro",
            Self::LargeReceiveOffload => "rx-lro",
            Self::Mtu => "mtu",
        }
    }
}

/// The value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// In effect.
    On,
    /// Not in effect.
    Off,
    /// A length in bytes.
    Bytes(u32),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Off => f.write_str("off"),
            Self::Bytes(bytes) => bytes.fmt(f),
        }
    }
}

/// What is known of an interface. What the driver doesn't say is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its name.
    pub interface: String,
    /// Its MAC address.
    pub address: MacAddress,
    /// Its driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The driver's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_version: String,
    /// The version of the firmware.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub firmware: String,
    /// Where it is plugged in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bus: String,
    /// Whether it is up.
    pub is_up: bool,
    /// Whether there is a link.
    pub has_link: bool,
    /// Megabits a second of the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mbit: Option<u32>,
    /// The longest payload of a frame, in bytes.
    pub mtu: u32,
    /// Settings the driver has.
    pub settings: Vec<KnownSetting>,
}

/// A setting as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownSetting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Whether it can be changed.
    pub changeable: bool,
}

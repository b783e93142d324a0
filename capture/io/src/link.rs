//! What the system says of a network interface: carrier, speed, driver, address, and whether it takes every frame.
//!
//! Linux tells it in `/sys/class/net`; elsewhere nothing is known, and nothing else depends on it.

use std::path::Path;

use serde::Serialize;
use silentmon_proto::frame::MacAddress;

const INTERFACES: &str = "/sys/class/net";
/// IFF_PROMISC. Unlike what `ip link` shows, this file has it also where a packet socket asked for it.
const PROMISCUOUS: u32 = 0x100;

/// What is known of an interface; each fact is absent where the system doesn't tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LinkFacts {
    /// Its name.
    pub interface: String,
    /// Whether there is a carrier.
    pub carrier: Option<bool>,
    /// Speed in Mbit/s.
    pub speed_mbps: Option<u32>,
    /// `full` or `half`.
    pub duplex: Option<String>,
    /// Name of the driver.
    pub driver: Option<String>,
    /// Its own MAC address.
    pub address: Option<String>,
    /// Longest packet that fits without being cut, in bytes.
    pub mtu: Option<u32>,
    /// Whether it takes frames for other stations now.
    pub promiscuous: Option<bool>,
}

impl LinkFacts {
    /// Asks the system.
    pub fn of(interface: &str) -> Self {
        Self::read(Path::new(INTERFACES), interface)
    }

    fn read(interfaces: &Path, interface: &str) -> Self {
        let folder = interfaces.join(interface);
        let text = |name: &str| told(&folder, name);
        let number = |name: &str| text(name)?.parse().ok();
        let flags = text("flags").and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
        let driver = std::fs::read_link(folder.join("device/driver")).ok();
        Self {
            interface: interface.to_owned(),
            carrier: carrier_in(&folder),
            speed_mbps: number("speed"),
            duplex: text("duplex").filter(|duplex| duplex != "unknown"),
            driver: driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
            address: text("address"),
            mtu: number("mtu"),
            promiscuous: flags.map(|flags| flags & PROMISCUOUS != 0),
        }
    }

    /// Its own MAC address.
    pub fn own(&self) -> Option<MacAddress> {
        let mut octets = [0; 6];
        let mut parts = self.address.as_deref()?.split(':');
        for octet in &mut octets {
            *octet = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(MacAddress(octets))
    }
}

/// Whether an interface has a carrier, which may be asked often; absent where the system doesn't tell it.
pub fn carrier(interface: &str) -> Option<bool> {
    carrier_in(&Path::new(INTERFACES).join(interface))
}

fn carrier_in(folder: &Path) -> Option<bool> {
    told(folder, "carrier").map(|carrier| carrier == "1")
}

/// What Linux tells of an interface in a file (Documentation/ABI/testing/sysfs-class-net).
fn told(folder: &Path, name: &str) -> Option<String> {
    let read = std::fs::read_to_string(folder.join(name)).ok()?;
    Some(read.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_where_there_are_any() {
        let folder = tempfile::tempdir().expect("a folder");
        let eth0 = folder.path().join("eth0");
        std::fs::create_dir(&eth0).expect("a folder");
        for (name, text) in [
            ("carrier", "1\n"),
            ("speed", "-1\n"),
            ("duplex", "unknown\n"),
            ("address", "02:00:5e:10:00:01\n"),
            ("mtu", "1500\n"),
            ("flags", "0x1103\n"),
        ] {
            std::fs::write(eth0.join(name), text).expect("writes");
        }
        let facts = LinkFacts::read(folder.path(), "eth0");
        assert_eq!(
            (facts.carrier, facts.speed_mbps, facts.duplex.as_deref()),
            (Some(true), None, None)
        );
        assert_eq!(
            (facts.mtu, facts.promiscuous, facts.driver.as_deref()),
            (Some(1500), Some(true), None)
        );
        assert_eq!(facts.own(), Some(MacAddress([2, 0, 0x5e, 0x10, 0, 1])));
        let nothing = LinkFacts::read(folder.path(), "eth1");
        assert_eq!((nothing.carrier, nothing.own()), (None, None));
    }
}

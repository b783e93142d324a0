//! An interface's facts and settings, through ioctls of the network namespace the process is in.
//!
//! Not through /sys, which shows the namespace it was mounted in.

use std::io::ErrorKind;

use silentmon_nic_core::mac::MacAddress;

use super::packet::failed;
use super::sys::{self, Control};
use crate::port::{Facts, Interface, KnownSetting, PortError, Setting, Value};

/// Counters of the process's network namespace (proc_pid_net(5)).
const COUNTERS: &str = "/proc/self/net/dev";

/// See the module.
#[derive(Debug)]
pub(super) struct LinuxInterface {
    control: Control,
    index: i32,
    address: MacAddress,
}

/// Names of all interfaces of the namespace, the loopback interface apart.
pub(super) fn names() -> Vec<String> {
    let counters = std::fs::read_to_string(COUNTERS).unwrap_or_default();
    let names = counters.lines().filter_map(|line| line.split_once(':'));
    let names = names.map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name != "lo").collect()
}

impl LinuxInterface {
    pub(super) fn find(name: &str) -> Result<Self, PortError> {
        let no_such = || PortError::NoSuchInterface {
            interface: name.to_owned(),
            present: names(),
        };
        let control = Control::of(name).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => no_such(),
            _ => failed("open a control socket", name, error),
        })?;
        let index = control.index().map_err(|_| no_such())?;
        let address = control
            .hardware_address()
            .map_err(|_| PortError::NotEthernet(name.to_owned()))?;
        Ok(Self {
            control,
            index,
            address: MacAddress(address),
        })
    }

    pub(super) const fn index(&self) -> i32 {
        self.index
    }

    pub(super) const fn address(&self) -> MacAddress {
        self.address
    }

    pub(super) fn is_up(&self) -> bool {
        self.control.is_up().unwrap_or(false)
    }

    /// The kernel's name of a feature.
    const fn feature(setting: Setting) -> Option<&'static str> {
        match setting {
            Setting::VlanFilter => Some("rx-vlan-filter"),
            Setting::VlanOffload => Some("rx-vlan-hw-parse"),
            Setting::GenericReceiveOffload => Some("rx-gro"),
            Setting::LargeReceiveOffload => Some("rx-lro"),
            Setting::Mtu => None,
        }
    }
}

impl Interface for LinuxInterface {
    fn name(&self) -> &str {
        self.control.name()
    }

    fn facts(&self) -> Facts {
        let driver = self.control.driver().unwrap_or_default();
        let settings = Setting::ALL.into_iter().filter_map(|setting| {
            let (value, changeable) = self.setting(setting)?;
            Some(KnownSetting {
                name: setting.name(),
                value: value.to_string(),
                changeable,
            })
        });
        Facts {
            interface: self.name().to_owned(),
            address: self.address,
            driver: driver.name,
            driver_version: driver.version,
            firmware: driver.firmware,
            bus: driver.bus,
            is_up: self.is_up(),
            has_link: self.control.has_link().unwrap_or(false),
            speed_mbit: self.control.speed_mbit().ok().flatten(),
            mtu: self.control.mtu().unwrap_or(0),
            settings: settings.collect(),
        }
    }

    fn lost(&self) -> u64 {
        let counters = std::fs::read_to_string(COUNTERS).unwrap_or_default();
        lost(&counters, self.name()).unwrap_or(0)
    }

    fn setting(&self, setting: Setting) -> Option<(Value, bool)> {
        let Some(name) = Self::feature(setting) else {
            return Some((Value::Bytes(self.control.mtu().ok()?), true));
        };
        let features = self.control.features().ok()?;
        let sys::Feature { is_on, changeable, .. } = features.into_iter().find(|feature| feature.name == name)?;
        Some((if is_on { Value::On } else { Value::Off }, changeable))
    }

    fn set(&self, setting: Setting, value: Value) -> Result<(), PortError> {
        let done = match (Self::feature(setting), value) {
            (Some(feature), Value::On) => self.control.set_feature(feature, true),
            (Some(feature), Value::Off) => self.control.set_feature(feature, false),
            (None, Value::Bytes(mtu)) => self.control.set_mtu(mtu),
            (None, Value::On | Value::Off) | (Some(_), Value::Bytes(_)) => Err(ErrorKind::InvalidInput.into()),
        };
        done.map_err(|error| failed("change a setting", self.name(), error))
    }
}

/// Received frames with errors, dropped ones and those for which there was no room.
fn lost(counters: &str, interface: &str) -> Option<u64> {
    let mut lines = counters.lines().filter_map(|line| line.split_once(':'));
    let (_, figures) = lines.find(|(name, _)| name.trim() == interface)?;
    // bytes, packets, errs, drop, fifo, …
    let figures = figures.split_whitespace().skip(2).take(3);
    Some(figures.filter_map(|figure| figure.parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_from_the_kernels_table() {
        let table = "Inter-|   Receive\n face |bytes\n    lo:  1 2 3 4 5 6\n  eth0: 100 200 1 20 300 0 0 0 9 9\n";
        assert_eq!(lost(table, "eth0"), Some(321));
        assert_eq!(lost(table, "eth1"), None);
    }
}

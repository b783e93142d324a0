//! Addresses of Ethernet interfaces (IEEE 802 EUI-48).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// An EUI-48 address, written `02:00:5e:00:53:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Everyone on the wire.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// Somebody else's unicast address: one of those set apart for documentation (RFC 9542).
    pub const FOREIGN: Self = Self([0x00, 0x00, 0x5e, 0x00, 0x53, 0x55]);

    /// Whether it stands for one interface, not for a group of them.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, octet) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a MAC address such as 02:00:5e:00:53:01, found \"{0}\"")]
pub struct NoMacAddress(String);

impl FromStr for MacAddress {
    type Err = NoMacAddress;

    /// Reads six pairs of hexadecimal digits with `:` or `-` between them.
    fn from_str(text: &str) -> Result<Self, NoMacAddress> {
        let wrong = || NoMacAddress(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| matches!(part.len(), 1 | 2));
            let digits = part.filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
            *octet = u8::from_str_radix(digits.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systems_print() {
        let address = MacAddress([2, 0, 0x5e, 0, 0x53, 1]);
        assert_eq!("02:00:5e:00:53:01".parse(), Ok(address));
        assert_eq!("02-00-5E-00-53-01".parse(), Ok(address));
        assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "eth0",
            "02:00:5e:00:53",
            "02:00:5e:00:53:01:02",
            "02:00:5e:00:53:+1",
        ] {
            assert_eq!(text.parse::<MacAddress>(), Err(NoMacAddress(text.to_owned())));
        }
    }
}

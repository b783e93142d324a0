//! Newtypes for every identifier: the standard's word, written out, so that two kinds of number can't be mixed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thiserror::Error;

/// Synchronisation source of an RTP stream (RFC 3550 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl FromStr for Ssrc {
    type Err = BadSsrc;

    /// Reads `0x441bc0cf`, or decimal digits.
    fn from_str(text: &str) -> Result<Self, BadSsrc> {
        let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Self).map_err(|_| BadSsrc(text.to_owned()))
    }
}

/// A text that is no SSRC.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an SSRC such as 0x441bc0cf, found \"{0}\"")]
pub struct BadSsrc(String);

/// RTP sequence number (RFC 3550 section 5.1): counts packets modulo 2^16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub u16);

/// RTP timestamp (RFC 3550 section 5.1): counts ticks of the codec's RTP clock modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RtpTimestamp(pub u32);

/// RTP payload type (RFC 3550 section 5.1, RFC 3551 section 6): 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayloadType(pub u8);

impl PayloadType {
    /// G.711 µ-law at 8 kHz (RFC 3551 table 4).
    pub const PCMU: Self = Self(0);
    /// G.711 A-law at 8 kHz (RFC 3551 table 4).
    pub const PCMA: Self = Self(8);
    /// G.722; RTP clock 8 kHz though it samples at 16 kHz (RFC 3551 section 4.5.2).
    pub const G722: Self = Self(9);
    /// Comfort noise (RFC 3389).
    pub const COMFORT_NOISE: Self = Self(13);
    /// Comfort noise as used before RFC 3389 (reserved in RFC 3551 table 4).
    pub const CISCO_COMFORT_NOISE: Self = Self(19);
    /// G.729 (RFC 3551 table 4).
    pub const G729: Self = Self(18);
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// Takes the identifier as its source writes it.
            pub fn new(text: impl Into<SmolStr>) -> Self {
                Self(text.into())
            }

            /// The identifier as its source wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

text_id!(
    /// An agent, by the number or name he signs in with.
    AgentId
);
text_id!(
    /// A call, in the words of the CTI source.
    CallId
);
text_id!(
    /// A team of agents.
    TeamName
);
text_id!(
    /// A device or extension, as the CTI source numbers it.
    Extension
);
text_id!(
    /// A connection to a CTI source, by the name its configuration gives it.
    LinkName
);
text_id!(
    /// A supervisor, by the name in his certificate.
    SupervisorName
);
text_id!(
    /// A cluster of capture servers.
    ClusterName
);
text_id!(
    /// A capture server, by its name in the cluster.
    ServerName
);

/// A monitoring session: unique per server, random enough not to be guessed, stable over a reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One side of a monitored call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// What the agent says: packets sent from his media address. Played left.
    Agent,
    /// What the customer says: packets sent to the agent's media address. Played right.
    Customer,
}

impl Leg {
    /// Both sides, agent first.
    pub const BOTH: [Self; 2] = [Self::Agent, Self::Customer];

    /// 0 for the agent (left channel), 1 for the customer (right channel).
    pub const fn index(self) -> usize {
        match self {
            Self::Agent => 0,
            Self::Customer => 1,
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Customer => "customer",
        })
    }
}

/// Where an agent's phone sends and receives media. Without a port, any port of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaAddress {
    /// The phone's IP address as it stands in the mirrored frames.
    pub ip: IpAddr,
    /// The phone's RTP port, where the source told it.
    pub port: Option<u16>,
}

impl MediaAddress {
    /// Whether a packet from or to `address` belongs to this media address.
    pub fn covers(&self, address: SocketAddr) -> bool {
        self.ip == address.ip() && self.port.is_none_or(|port| port == address.port())
    }
}

impl From<SocketAddr> for MediaAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip(),
            port: Some(address.port()),
        }
    }
}

impl fmt::Display for MediaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl FromStr for MediaAddress {
    type Err = BadMediaAddress;

    /// Reads `10.1.1.20`, `10.1.1.20:24678`, `2001:db8::20` or `[2001:db8::20]:24678`.
    fn from_str(text: &str) -> Result<Self, BadMediaAddress> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse() {
            Ok(ip) => Ok(Self { ip, port: None }),
            Err(_) => Err(BadMediaAddress(text.to_owned())),
        }
    }
}

/// A text that is no media address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected IP or IP:PORT (IPv6 with a port in brackets), found \"{0}\"")]
pub struct BadMediaAddress(String);

impl Serialize for MediaAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MediaAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_an_ssrc_in_hexadecimal() {
        assert_eq!("0x441bc0cf".parse(), Ok(Ssrc(0x441b_c0cf)));
        assert_eq!("17".parse(), Ok(Ssrc(17)));
        assert_eq!(Ssrc(0x1a).to_string(), "0x0000001a");
        assert!("0xzz".parse::<Ssrc>().is_err());
    }

    #[test]
    fn a_media_address_without_port_covers_every_port() {
        let any: MediaAddress = "10.1.1.20".parse().expect("an address");
        let one: MediaAddress = "10.1.1.20:24678".parse().expect("an address");
        let packet: SocketAddr = "10.1.1.20:30000".parse().expect("an address");
        assert!(any.covers(packet));
        assert!(!one.covers(packet));
    }

    #[test]
    fn reads_ipv6_media_addresses_with_and_without_a_port() {
        for text in ["2001:db8::20", "[2001:db8::20]:24678"] {
            assert_eq!(text.parse::<MediaAddress>().expect(text).to_string(), text);
        }
        assert_eq!(
            "10.1.1:5".parse::<MediaAddress>(),
            Err(BadMediaAddress("10.1.1:5".into()))
        );
    }
}

//! A server as people write it: `HOST`, `HOST:PORT`, `10.1.1.5:42228`, `[2001:db8::5]:42228`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use silentmon_proto::relay::SERVICE_PORT;
use thiserror::Error;

/// Host name or IP address, and UDP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// The host name, or the IP address without brackets: the name that the server's certificate must carry.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for ServerAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = BadServerAddress;

    /// Reads a server; without a port it is 42228.
    fn from_str(text: &str) -> Result<Self, BadServerAddress> {
        let bad = || BadServerAddress(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, SERVICE_PORT).into());
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
            None => (text, SERVICE_PORT),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// A text that is no server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected HOST:PORT (IPv6 in brackets), found \"{0}\"")]
pub struct BadServerAddress(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_hosts_and_addresses_with_and_without_a_port() {
        for (text, written) in [
            ("gw1", "gw1:42228"),
            ("gw1.example:1", "gw1.example:1"),
            ("10.1.1.5", "10.1.1.5:42228"),
            ("10.1.1.5:7", "10.1.1.5:7"),
            ("2001:db8::5", "[2001:db8::5]:42228"),
            ("[2001:db8::5]", "[2001:db8::5]:42228"),
            ("[2001:db8::5]:7", "[2001:db8::5]:7"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().expect(text).to_string(), written);
        }
        for bad in ["", ":1", "gw1:", "gw1:x", "gw1:70000", "a b:1", "[::1:5"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_reads_back(text in "\\PC*") {
            if let Ok(address) = text.parse::<ServerAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}

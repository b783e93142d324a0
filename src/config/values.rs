//! Values that sections share: where a server answers, and times.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `HOST:PORT`, IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Host name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Host and port of `https://HOST[:PORT]`, whatever path follows.
    pub fn of_https(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://").unwrap_or(url);
        let place = rest.split('/').next()?;
        if place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')) {
            place.parse().ok()
        } else {
            format!("{place}:443").parse().ok()
        }
    }
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let bare = host
                .strip_prefix('[')
                .map_or(Some(host), |rest| rest.strip_suffix(']'))?;
            let ambiguous = bare.contains(':') && bare == host;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            (!bare.is_empty() && !ambiguous).then(|| Self {
                host: bare.to_owned(),
                port,
            })
        });
        parsed.ok_or_else(|| format!("expected \"HOST:PORT\" (IPv6 in brackets), found \"{text}\""))
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a service listens: at an address, or nowhere (`"none"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// There.
    At(SocketAddr),
    /// Nobody can connect.
    Nowhere,
}

impl Listen {
    /// The address, where there is one.
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Nowhere => None,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Nowhere => f.write_str("none"),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        let expected = |_| format!("expected \"ADDRESS:PORT\" or \"none\", found \"{text}\"");
        text.parse()
            .map(Self::At)
            .map_err(expected)
            .map_err(serde::de::Error::custom)
    }
}

/// A positive time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => {
                let what = format!("expected a positive number of seconds, found {seconds}");
                Err(serde::de::Error::custom(what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_port() {
        for (url, place) in [
            ("https://xsp1.example", "xsp1.example:443"),
            ("https://xsp1.example:8443/", "xsp1.example:8443"),
            ("https://[2001:db8::1]/audit", "[2001:db8::1]:443"),
        ] {
            let found = HostPort::of_https(url).expect(url);
            assert_eq!(found.to_string(), place);
        }
        assert_eq!(HostPort::of_https("https://"), None);
    }

    #[test]
    fn reads_and_writes_host_and_port() {
        for text in ["cti-a.example:42027", "10.1.1.1:42027", "[2001:db8::1]:42027"] {
            assert_eq!(text.parse::<HostPort>().expect(text).to_string(), text);
        }
        for wrong in [
            "cti-a",
            "cti-a:0",
            "cti-a:99999",
            ":42027",
            "2001:db8::1:42027",
            "[::1:42027",
        ] {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
    }
}

//! The fields of a message's body, one after the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Whether an address comes with its type (versions from 17 on).
    typed_addresses: bool,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8], typed_addresses: bool) -> Self {
        Self { rest, typed_addresses }
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// A text in a field of fixed size, ended by a zero byte where it is shorter.
    pub(super) fn text(&mut self, size: usize) -> Option<String> {
        let (field, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// A text as long as its zero byte says.
    pub(super) fn string(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// An address and a port; unspecified or 0 where they are unset.
    pub(super) fn address(&mut self) -> Option<SocketAddr> {
        let ip = if self.typed_addresses {
            let kind = self.number()?;
            let bytes: &[u8; 16] = self.take()?;
            let [a, b, c, d, ..] = *bytes;
            match kind {
                0 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
                _ => IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical(),
            }
        } else {
            let bytes: &[u8; 4] = self.take()?;
            IpAddr::V4(Ipv4Addr::from(*bytes))
        };
        let port = u16::try_from(self.number()?).unwrap_or(0);
        Some(SocketAddr::new(ip, port))
    }
}

/// The address, where it is set.
pub(super) fn set(address: SocketAddr) -> Option<SocketAddr> {
    let is_set = !address.ip().is_unspecified() && address.port() != 0;
    is_set.then_some(address)
}

//! What the headers of a frame say besides where its payload goes: addresses of the link layer, priority, hops. Only
//! whoever looks at a mirror itself wants them.

use std::fmt;
use std::net::IpAddr;

use super::walk::Path;
use super::{Tunnel, VlanStack};

/// A MAC address (IEEE 802 clause 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether a group of stations is addressed, all of them included.
    pub const fn is_group(self) -> bool {
        let Self([first, ..]) = self;
        first & 1 == 1
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

/// The headers of a frame, as far as they were read; of a tunnel those inside, but for the tags, which are all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    /// VLAN identifiers, outermost first.
    pub vlan: VlanStack,
    /// Priority code point of the innermost tag, where there is a tag.
    pub priority: Option<u8>,
    /// The innermost tunnel.
    pub tunnel: Option<Tunnel>,
    /// Source and destination of the innermost IP packet.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Hops that it may yet take (TTL, hop limit).
    pub hops: u8,
    /// The innermost Ethernet frame; empty where there is none.
    pub ethernet: &'a [u8],
    /// Whether the frame ends before its IP packet does: cut by the capture or by whoever mirrored it.
    pub is_cut: bool,
}

impl<'a> Headers<'a> {
    pub(super) fn of(path: &Path, ethernet: &'a [u8]) -> Self {
        let has_ip = !path.source.is_unspecified() || !path.destination.is_unspecified();
        Self {
            vlan: path.vlan,
            priority: (!path.vlan.ids().is_empty()).then_some(path.priority),
            tunnel: path.tunnel,
            addresses: has_ip.then_some((path.source, path.destination)),
            hops: path.hops,
            ethernet,
            is_cut: path.cut,
        }
    }

    /// Destination and source of the innermost Ethernet frame.
    pub fn stations(&self) -> Option<(MacAddress, MacAddress)> {
        let (destination, rest) = self.ethernet.split_first_chunk::<6>()?;
        let (source, _) = rest.split_first_chunk::<6>()?;
        Some((MacAddress(*destination), MacAddress(*source)))
    }
}

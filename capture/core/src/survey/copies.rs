//! Packets that the mirror shows more than once, and why: what differs between the copies tells where they were taken.

use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use foldhash::fast::FixedState;
use silentmon_proto::frame::{Datagram, Headers, MacAddress, Tunnel, VlanStack};
use silentmon_proto::time::Instant;

use super::report::CopyFigures;
use crate::stream::RtpArrival;

/// Packets remembered: 0.3 s of 1,000 calls. Copies follow each other within some milliseconds.
const ENTRIES: usize = 1 << 15;
/// A packet seen again later than this is another one.
const WITHIN: Duration = Duration::from_secs(1);

/// Why the mirror shows a packet twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyCause {
    /// The very same frame: it was mirrored where it came in and where it went out, or by two sources.
    SameFrame,
    /// Fewer hops left: before and after a router.
    Routed,
    /// Another tag: mirrored in two VLANs, or once with its tag and once without.
    OtherVlan,
    /// Once inside a tunnel and once outside, or in two tunnels.
    OtherTunnel,
    /// Other MAC addresses though no router counted it: before and after a firewall, a load balancer, a proxy of ARP.
    OtherStations,
}

/// Remembers the last packets.
#[derive(Debug)]
pub(super) struct Copies {
    hasher: FixedState,
    seen: Vec<Option<Seen>>,
    figures: CopyFigures,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    packet: u64,
    captured: Instant,
    stations: Option<(MacAddress, MacAddress)>,
    vlan: VlanStack,
    tunnel: Option<Tunnel>,
    hops: u8,
}

impl Copies {
    pub(super) fn new() -> Self {
        Self {
            hasher: FixedState::default(),
            seen: vec![None; ENTRIES],
            figures: CopyFigures::default(),
        }
    }

    pub(super) fn handle(&mut self, headers: &Headers<'_>, datagram: &Datagram<'_>, arrival: &RtpArrival<'_>) {
        let now = Seen {
            packet: self.hash(datagram, arrival),
            captured: datagram.captured,
            stations: headers.stations(),
            vlan: datagram.vlan,
            tunnel: datagram.tunnel,
            hops: headers.hops,
        };
        self.figures.packets += 1;
        let Some(place) = self.seen.get_mut(place(now.packet)) else {
            return;
        };
        match place {
            Some(first) if first.packet == now.packet && now.captured.saturating_since(first.captured) <= WITHIN => {
                self.figures.count(cause(first, &now));
            }
            _ => *place = Some(now),
        }
    }

    pub(super) const fn figures(&self) -> CopyFigures {
        self.figures
    }

    fn hash(&self, datagram: &Datagram<'_>, arrival: &RtpArrival<'_>) -> u64 {
        let packet = &arrival.packet;
        let mut state = self.hasher.build_hasher();
        datagram.source.hash(&mut state);
        datagram.destination.hash(&mut state);
        state.write_u32(packet.ssrc.0);
        state.write_u32(packet.timestamp.0);
        state.write_u16(packet.sequence.0);
        state.write_u8(packet.payload_type.0);
        state.finish()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the remainder is below ENTRIES")]
const fn place(packet: u64) -> usize {
    (packet % ENTRIES as u64) as usize
}

/// A router changes MAC addresses and often the VLAN too, so hops come first.
fn cause(first: &Seen, copy: &Seen) -> CopyCause {
    if first.tunnel != copy.tunnel {
        CopyCause::OtherTunnel
    } else if first.hops != copy.hops {
        CopyCause::Routed
    } else if first.vlan != copy.vlan {
        CopyCause::OtherVlan
    } else if first.stations != copy.stations {
        CopyCause::OtherStations
    } else {
        CopyCause::SameFrame
    }
}

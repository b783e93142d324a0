//! Who talks most, and which address most streams share: in a contact centre that is the gateway.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use foldhash::HashMap;

use super::report::{Gateway, Talker};
use crate::stream::Stream;

/// Addresses kept: a /16. A port that shows more is flooded, and the first ones stand for the others.
const MOST: usize = 65_536;
/// Addresses listed of either kind.
const MOST_LISTED: usize = 10;
/// Phones that an address must have streams with to be a gateway.
const MANY: usize = 3;

/// Frames and bytes by address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: HashMap<IpAddr, Counts>,
    unlisted: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    frames: u64,
    sent: u64,
    received: u64,
}

impl Addresses {
    pub(super) fn handle(&mut self, source: IpAddr, destination: IpAddr, bytes: u32) {
        for (address, sends) in [(source, true), (destination, false)] {
            if self.known.len() >= MOST && !self.known.contains_key(&address) {
                self.unlisted += 1;
                continue;
            }
            let counts = self.known.entry(address).or_default();
            counts.frames += 1;
            let direction = if sends { &mut counts.sent } else { &mut counts.received };
            *direction += u64::from(bytes);
        }
    }

    /// The addresses with most bytes.
    pub(super) fn talkers(&self) -> Vec<Talker> {
        let talker = |(&address, counts): (&IpAddr, &Counts)| Talker {
            address,
            frames: counts.frames,
            bytes_sent: counts.sent,
            bytes_received: counts.received,
        };
        let mut talkers: Vec<_> = self.known.iter().map(talker).collect();
        talkers.sort_by_key(|talker| (Reverse(talker.bytes_sent + talker.bytes_received), talker.address));
        talkers.truncate(MOST_LISTED);
        talkers
    }

    /// Mentions of addresses beyond those that are kept.
    pub(super) const fn unlisted(&self) -> u64 {
        self.unlisted
    }
}

/// The addresses that most streams share.
pub(super) fn gateways<'s>(streams: impl Iterator<Item = &'s Stream>) -> Vec<Gateway> {
    let mut ends: BTreeMap<IpAddr, (u64, u64, Vec<IpAddr>)> = BTreeMap::new();
    for stream in streams {
        let key = stream.key();
        let (source, destination) = (key.source.ip(), key.destination.ip());
        for (address, peer) in [(source, destination), (destination, source)] {
            let (shared, packets, peers) = ends.entry(address).or_default();
            *shared += 1;
            *packets += stream.packets();
            peers.push(peer);
        }
    }
    let gateway = |(address, (streams, packets, mut peers)): (IpAddr, (u64, u64, Vec<IpAddr>))| {
        peers.sort_unstable();
        peers.dedup();
        (peers.len() >= MANY).then_some(Gateway {
            address,
            streams,
            packets,
            peers: peers.len() as u64,
        })
    };
    let mut gateways: Vec<_> = ends.into_iter().filter_map(gateway).collect();
    gateways.sort_by_key(|gateway| (Reverse(gateway.streams), Reverse(gateway.packets), gateway.address));
    gateways.truncate(MOST_LISTED);
    gateways
}

//! Which agents' streams this server sees: packets of those nobody listens to are counted without being looked at, those of
//! monitored ones pass the stream table.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use silentmon_proto::ids::{AgentId, Leg, MediaAddress};
use silentmon_proto::time::Instant;

use super::Engine;
use super::media::heard_paths;
use crate::filter::MediaPath;
use crate::stream::Stream;

/// How long an agent's answer to "audible?" stays good after packets were counted.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Visibility {
    /// Packets from each phone and to it: its agent's leg, the customer's.
    phones: HashMap<IpAddr, [Count; 2]>,
    /// Phones that somebody's media have left since they were last looked through.
    left: Vec<IpAddr>,
}

/// Packets that were counted without being looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    packets: u64,
    /// When they were last found to be more.
    at: Option<Instant>,
}

impl Count {
    /// Takes up the sum of packets since the phone is watched. One below the last says that it was watched anew meanwhile.
    fn handle(&mut self, packets: u64, now: Instant) {
        let known = if packets < self.packets { 0 } else { self.packets };
        if packets > known {
            self.at = Some(now);
        }
        self.packets = packets;
    }

    fn is_lately(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now - at <= SEEN_WITHIN)
    }
}

impl Engine {
    /// Packets of agents nobody listens to are only counted: that may wait for the next tick.
    pub(super) fn watch(&mut self, agent: &AgentId) {
        let heard = heard_paths(&self.directory.media(agent));
        let paths: BTreeSet<MediaPath> = heard.into_iter().map(|heard| heard.path).collect();
        let former = if paths.is_empty() {
            self.paths.remove(agent)
        } else {
            self.paths.insert(agent.clone(), paths.into_iter().collect())
        };
        if former.as_ref() != self.paths.get(agent) {
            self.paths_changed = true;
            self.change_owner(agent, former.unwrap_or_default());
        }
    }

    /// The agent's media have left the addresses of `former` for those of his paths.
    fn change_owner(&mut self, agent: &AgentId, former: Vec<MediaPath>) {
        for path in former {
            if let Some(owners) = self.owners.get_mut(&path.address) {
                owners.retain(|owner| owner != agent);
                if owners.is_empty() {
                    self.owners.remove(&path.address);
                    self.visibility.left.push(path.address.ip);
                }
            }
        }
        for path in self.paths.get(agent).into_iter().flatten() {
            let owners = self.owners.entry(path.address).or_default();
            if !owners.contains(agent) {
                owners.push(agent.clone());
            }
        }
    }

    /// Takes up packets counted from and to a phone, whoever monitors it; sums since it is watched.
    pub fn handle_address_count(&mut self, ip: IpAddr, from: u64, to: u64, now: Instant) {
        let counts = self.visibility.phones.entry(ip).or_default();
        for (count, packets) in counts.iter_mut().zip([from, to]) {
            count.handle(packets, now);
        }
    }

    /// Forgets the counts of phones that are watched no more, as the kernel does.
    pub(super) fn forget_phones_left(&mut self) {
        for ip in std::mem::take(&mut self.visibility.left) {
            if self.owners_of(ip).next().is_none() {
                self.visibility.phones.remove(&ip);
            }
        }
    }

    /// Agents at whose phones' IP addresses something was seen lately: nothing is of all the others. One may come twice.
    pub(super) fn agents_in_sight(&self, now: Instant) -> impl Iterator<Item = &AgentId> {
        let streams = self.streams.iter().map(|(_, stream)| stream);
        let captured = streams.filter(|stream| now - stream.last_captured() <= SEEN_WITHIN);
        let ends = captured.flat_map(|stream| [stream.key().source.ip(), stream.key().destination.ip()]);
        let phones: HashSet<IpAddr> = self.phones_counted(now).chain(ends).collect();
        phones.into_iter().flat_map(|ip| self.owners_of(ip))
    }

    /// Agents whose media are at a phone.
    fn owners_of(&self, ip: IpAddr) -> impl Iterator<Item = &AgentId> {
        let (first, last) = (None, Some(u16::MAX));
        let at = |port| MediaAddress { ip, port };
        self.owners.range(at(first)..=at(last)).flat_map(|(_, owners)| owners)
    }

    /// Which legs of an agent's this server sees.
    pub(super) fn sees(&self, agent: &AgentId, now: Instant) -> [bool; 2] {
        let paths = self.paths.get(agent).map_or(&[][..], Vec::as_slice);
        Leg::BOTH.map(|leg| paths.iter().any(|path| self.is_seen(path.address, leg, now)))
    }

    /// Whether packets of a leg at this address were counted lately, or are in the stream table.
    pub(super) fn is_seen(&self, address: MediaAddress, leg: Leg, now: Instant) -> bool {
        let counted = self.counted(address, leg);
        counted.is_some_and(|at| now - at <= SEEN_WITHIN) || self.streams_visible(address, leg, now)
    }

    /// Whether packets from or to an address came lately.
    pub(super) fn is_alive(&self, address: MediaAddress, now: Instant) -> bool {
        Leg::BOTH.into_iter().any(|leg| self.is_seen(address, leg, now))
    }

    /// Whether a stream of a leg at this address was captured lately.
    pub(super) fn streams_visible(&self, address: MediaAddress, leg: Leg, now: Instant) -> bool {
        let lately = |stream: &Stream| now - stream.last_captured() <= SEEN_WITHIN;
        match leg {
            Leg::Agent => self.streams.from_address(address).any(|(_, stream)| lately(stream)),
            Leg::Customer => self.streams.to_address(address).any(|(_, stream)| lately(stream)),
        }
    }

    /// When packets of a leg at this address were last counted without being looked at.
    pub(super) fn counted(&self, address: MediaAddress, leg: Leg) -> Option<Instant> {
        self.visibility.phones.get(&address.ip)?[leg.index()].at
    }

    /// Phones from or to which packets were counted lately without being looked at.
    pub(super) fn phones_counted(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        let lately = move |counts: &[Count; 2]| counts.iter().any(|count| count.is_lately(now));
        let phones = self.visibility.phones.iter();
        phones
            .filter(move |(_, counts)| lately(counts))
            .map(|(&phone, _)| phone)
    }

    /// How many phones' packets are counted.
    pub(super) fn phones_known(&self) -> usize {
        self.visibility.phones.len()
    }
}

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
    phones: HashMap<IpAddr, Counts>,
}

/// When packets from and to a phone were last counted without being looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    from: Option<(u64, Instant)>,
    to: Option<(u64, Instant)>,
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

    /// Takes up packets counted from and to a phone that nobody monitors; sums since the start.
    pub fn handle_address_count(&mut self, ip: IpAddr, from: u64, to: u64, now: Instant) {
        let seen = self.visibility.phones.entry(ip).or_default();
        for (known, count) in [(&mut seen.from, from), (&mut seen.to, to)] {
            if count > known.map_or(0, |(old, _)| old) {
                *known = Some((count, now));
            }
        }
    }

    /// Agents at whose phones' IP addresses something was seen lately: nothing is of all the others. One may come twice.
    pub(super) fn agents_in_sight(&self, now: Instant) -> impl Iterator<Item = &AgentId> {
        let streams = self.streams.iter().map(|(_, stream)| stream);
        let captured = streams.filter(|stream| now - stream.last_captured() <= SEEN_WITHIN);
        let ends = captured.flat_map(|stream| [stream.key().source.ip(), stream.key().destination.ip()]);
        let phones: HashSet<IpAddr> = self.phones_counted(now).chain(ends).collect();
        let at = |ip| {
            let (first, last) = (
                MediaAddress { ip, port: None },
                MediaAddress {
                    ip,
                    port: Some(u16::MAX),
                },
            );
            self.owners.range(first..=last)
        };
        phones.into_iter().flat_map(at).flat_map(|(_, owners)| owners)
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
        let seen = self.visibility.phones.get(&address.ip)?;
        let counted = match leg {
            Leg::Agent => seen.from,
            Leg::Customer => seen.to,
        };
        counted.map(|(_, at)| at)
    }

    /// Phones from or to which packets were counted lately without being looked at.
    pub(super) fn phones_counted(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        let lately = move |count: Option<(u64, Instant)>| count.is_some_and(|(_, at)| now - at <= SEEN_WITHIN);
        let counted = self
            .visibility
            .phones
            .iter()
            .filter(move |(_, seen)| lately(seen.from) || lately(seen.to));
        counted.map(|(&phone, _)| phone)
    }

    /// How many phones' packets are counted.
    pub(super) fn phones_known(&self) -> usize {
        self.visibility.phones.len()
    }
}

//! Which agents' streams this server sees: packets of those nobody listens to are counted without being looked at, those of
//! monitored ones pass the stream table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use silentmon_proto::ids::{AgentId, Leg, MediaAddress};
use silentmon_proto::time::Instant;

use super::media::heard_paths;
use super::{Engine, EngineEvent};
use crate::filter::MediaPath;
use crate::stream::Stream;

/// How long an agent's answer to "audible?" stays good after packets were counted.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// How often the counts of phones whose media are new are to be read ([`Engine::phones_awaited`]): another member may have
/// somebody who listens.
pub const LOOK: Duration = Duration::from_millis(100);
/// How many looks an agent's new media are worth; after that they are found by the next tick.
const LOOKS: u32 = 50;
/// So many agents are looked for at a time; a house that begins to work at once waits for the next tick.
const MOST_AWAITED: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Visibility {
    /// Packets from each phone and to it: its agent's leg, the customer's.
    phones: HashMap<IpAddr, [Count; 2]>,
    /// Phones that somebody's media have left since they were last looked through.
    left: Vec<IpAddr>,
    /// Agents whose media are at a new place, and how often it is still looked whether they are seen there.
    awaited: BTreeMap<AgentId, u32>,
    /// Whether media are elsewhere than what is watched.
    stale: bool,
}

impl Visibility {
    /// Whether something else than now is to be watched.
    pub(super) const fn is_stale(&self) -> bool {
        self.stale
    }
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
        self.at.is_some_and(|at| lately(at, now))
    }
}

/// Whether packets that came at a time still say that something is seen.
pub(super) fn lately(at: Instant, now: Instant) -> bool {
    now - at <= SEEN_WITHIN
}

impl Engine {
    /// Packets of agents nobody listens to are only counted. Those of phones that are new to the server are from now on; all
    /// else may wait for the next tick.
    pub(super) fn watch(&mut self, agent: &AgentId) {
        let heard = heard_paths(&self.directory.media(agent));
        let paths: BTreeSet<MediaPath> = heard.into_iter().map(|heard| heard.path).collect();
        let former = if paths.is_empty() {
            self.visibility.awaited.remove(agent);
            self.paths.remove(agent)
        } else {
            self.paths.insert(agent.clone(), paths.into_iter().collect())
        };
        if former.as_ref() != self.paths.get(agent) {
            self.visibility.stale = true;
            self.change_owner(agent, former.unwrap_or_default());
            self.look_for(agent);
        }
    }

    /// Other members want to know soon that an agent is seen here.
    fn look_for(&mut self, agent: &AgentId) {
        let awaited = &mut self.visibility.awaited;
        if self.membership.directory().is_some() && self.paths.contains_key(agent) && awaited.len() < MOST_AWAITED {
            awaited.insert(agent.clone(), LOOKS);
        }
    }

    /// Phones whose counts are wanted each [`LOOK`], and [`Self::handle_looked`] after them.
    pub fn phones_awaited(&self) -> BTreeSet<IpAddr> {
        let awaited = self.visibility.awaited.keys();
        let paths = awaited.filter_map(|agent| self.paths.get(agent)).flatten();
        paths.map(|path| path.address.ip).collect()
    }

    /// Whether there are [`Self::phones_awaited`].
    pub fn awaits_phones(&self) -> bool {
        !self.visibility.awaited.is_empty()
    }

    /// The counts of [`Self::phones_awaited`] were read: other members are told whose media came into sight.
    pub fn handle_looked(&mut self, now: Instant) {
        let mut awaited = std::mem::take(&mut self.visibility.awaited);
        awaited.retain(|agent, looks| {
            let legs = self.sees(agent, now);
            if legs != [false; 2] {
                self.tell_seen(agent, legs, now);
            }
            *looks -= 1;
            legs != [true; 2] && *looks > 0
        });
        awaited.append(&mut self.visibility.awaited);
        self.visibility.awaited = awaited;
    }

    /// Lets the shell watch where media are now.
    pub(super) fn change_watched(&mut self) {
        self.visibility.stale = false;
        self.forget_phones_left();
        self.events.push_back(EngineEvent::FilterChanged);
    }

    /// The agent's media have left the addresses of `former` for those of his paths.
    fn change_owner(&mut self, agent: &AgentId, former: Vec<MediaPath>) {
        let phones = self.paths.get(agent).into_iter().flatten().map(|path| path.address.ip);
        let came: BTreeSet<IpAddr> = phones.filter(|&ip| self.owners_of(ip).next().is_none()).collect();
        if !came.is_empty() {
            self.events.push_back(EngineEvent::PhonesCame(came));
        }
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
    fn forget_phones_left(&mut self) {
        for ip in std::mem::take(&mut self.visibility.left) {
            if self.owners_of(ip).next().is_none() {
                self.visibility.phones.remove(&ip);
            }
        }
    }

    /// Agents at whose phones' IP addresses something was seen lately: nothing is of all the others. One may come twice.
    pub(super) fn agents_in_sight(&self, now: Instant) -> impl Iterator<Item = &AgentId> {
        let streams = self.streams.iter().map(|(_, stream)| stream);
        let captured = streams.filter(|stream| lately(stream.last_captured(), now));
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
        counted.is_some_and(|at| lately(at, now)) || self.streams_visible(address, leg, now)
    }

    /// Whether packets from or to an address came lately.
    pub(super) fn is_alive(&self, address: MediaAddress, now: Instant) -> bool {
        Leg::BOTH.into_iter().any(|leg| self.is_seen(address, leg, now))
    }

    /// Whether a stream of a leg at this address was captured lately.
    pub(super) fn streams_visible(&self, address: MediaAddress, leg: Leg, now: Instant) -> bool {
        let came = |stream: &Stream| lately(stream.last_captured(), now);
        match leg {
            Leg::Agent => self.streams.from_address(address).any(|(_, stream)| came(stream)),
            Leg::Customer => self.streams.to_address(address).any(|(_, stream)| came(stream)),
        }
    }

    /// When packets of a leg at this address were last counted without being looked at.
    pub(super) fn counted(&self, address: MediaAddress, leg: Leg) -> Option<Instant> {
        self.visibility.phones.get(&address.ip)?[leg.index()].at
    }

    /// Phones from or to which packets were counted lately without being looked at.
    pub(super) fn phones_counted(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        let phones = self.visibility.phones.iter();
        phones
            .filter(move |(_, counts)| counts.iter().any(|count| count.is_lately(now)))
            .map(|(&phone, _)| phone)
    }

    /// How many phones' packets are counted.
    pub(super) fn phones_known(&self) -> usize {
        self.visibility.phones.len()
    }
}

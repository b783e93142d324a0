//! The table itself: finds the stream of a packet, makes room for new ones, and forgets those that went silent.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use silentmon_proto::frame::{Datagram, VlanStack};
use silentmon_proto::ids::{MediaAddress, PayloadType};
use silentmon_proto::rtp::Packet;
use silentmon_proto::time::Instant;

use super::demux::{Carried, carried};
use super::entry::{Incoming, Stream, Taken};
use super::neighbours::{NeighbourCache, Neighbours};
use super::payload::Told;
use super::recent::Fingerprint;
use super::signalling::Announcements;
use super::slots::{Slots, StreamId};
use super::{Arrival, Evidence, Limits, News, Rejected, Rejection, RtpArrival, StreamKey, Validity};

/// Streams on probation may take this part of a full table before they give way first.
const PROBATION_SHARE: usize = 8;
/// Streams of one address looked through for the one a new SSRC replaces.
const MOST_PREDECESSORS: usize = 64;

/// All streams of a mirror.
#[derive(Debug)]
pub struct StreamTable {
    limits: Limits,
    hasher: RandomState,
    index: HashTable<u32>,
    slots: Slots,
    by_source: Endpoints,
    by_destination: Endpoints,
    neighbours: NeighbourCache,
    announcements: Option<Announcements>,
    rejected: Rejected,
    evicted: u64,
    serial: u64,
}

type Endpoints = BTreeSet<(IpAddr, u16, StreamId)>;

impl Default for StreamTable {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl StreamTable {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hasher: RandomState::default(),
            index: HashTable::new(),
            slots: Slots::new(),
            by_source: Endpoints::new(),
            by_destination: Endpoints::new(),
            neighbours: NeighbourCache::new(),
            announcements: None,
            rejected: Rejected::default(),
            evicted: 0,
            serial: 0,
        }
    }

    /// Reads session descriptions (SDP) among the datagrams too: what dynamic payload types mean, where media are
    /// expected, which ports carry T.38.
    #[must_use]
    pub fn with_signalling(mut self) -> Self {
        self.announcements = Some(Announcements::new());
        self
    }

    /// Takes a datagram and says what it is. Its capture time is the table's clock.
    pub fn handle_datagram<'a>(&mut self, datagram: &Datagram<'a>, evidence: Evidence) -> Arrival<'a> {
        self.handle_told(datagram, evidence, |_| Told::default())
    }

    /// Takes a datagram like [`Self::handle_datagram`]; `told` says what others than the signalling among the datagrams
    /// tell of a payload type.
    pub fn handle_told<'a>(
        &mut self,
        datagram: &Datagram<'a>,
        evidence: Evidence,
        told: impl Fn(PayloadType) -> Told,
    ) -> Arrival<'a> {
        match carried(datagram.payload) {
            Carried::Rtp(packet) => self.handle_rtp(datagram, packet, evidence, told(packet.payload_type)),
            Carried::Rtcp(bytes) => self.handle_rtcp(datagram, bytes),
            Carried::Stun => {
                self.note_neighbour(datagram, Neighbours::STUN);
                self.reject(Rejection::Stun)
            }
            Carried::Dtls => {
                self.note_neighbour(datagram, Neighbours::DTLS);
                self.reject(Rejection::Dtls)
            }
            Carried::Other => self.handle_other(datagram),
        }
    }

    /// When [`Self::handle_timeout`] has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.limits.idle?;
        let last = |validity| {
            let slot = self.slots.oldest(validity)?;
            Some(self.slots.at(slot)?.last_captured())
        };
        [last(Validity::Probation), last(Validity::Valid)]
            .into_iter()
            .flatten()
            .min()
            .map(|last| last + idle)
    }

    /// Forgets the streams that have been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(idle) = self.limits.idle else {
            return;
        };
        for validity in [Validity::Probation, Validity::Valid] {
            while let Some(slot) = self.slots.oldest(validity) {
                let last = self.slots.at(slot).map_or(now, Stream::last_captured);
                if now.saturating_since(last) < idle {
                    break;
                }
                self.remove(slot);
            }
        }
    }

    /// A stream, unless it has expired.
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.slots.at(self.slots.slot(id)?)
    }

    /// Packets a stream misses so far.
    pub fn lost(&self, id: StreamId) -> Option<u64> {
        Some(self.stream(id)?.sequence().lost())
    }

    /// Number of streams kept, those on probation included.
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// Streams given up because the table was full.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Datagrams that belong to no stream, by reason.
    pub const fn rejected(&self) -> &Rejected {
        &self.rejected
    }

    /// Every stream, valid or not.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.slots.iter()
    }

    /// The streams that count: the valid ones, and lone packets that something beside them vouches for. In the order
    /// of their first packets.
    pub fn listed(&self) -> Vec<(StreamId, &Stream)> {
        let mut listed: Vec<_> = self.slots.iter().filter(|(_, stream)| self.is_listed(stream)).collect();
        listed.sort_by_key(|(_, stream)| stream.serial());
        listed
    }

    /// Streams sent from a media address, valid or not: what an agent says.
    pub fn from_address(&self, address: MediaAddress) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.among(&self.by_source, address)
    }

    /// Streams sent to a media address, valid or not: what an agent hears.
    pub fn to_address(&self, address: MediaAddress) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.among(&self.by_destination, address)
    }

    fn among<'t>(
        &'t self,
        endpoints: &'t Endpoints,
        address: MediaAddress,
    ) -> impl Iterator<Item = (StreamId, &'t Stream)> {
        let (low, high) = address.port.map_or((0, u16::MAX), |port| (port, port));
        endpoints
            .range((address.ip, low, StreamId::LOWEST)..=(address.ip, high, StreamId::HIGHEST))
            .filter_map(|&(_, _, id)| Some((id, self.stream(id)?)))
    }

    fn handle_rtp<'a>(
        &mut self,
        datagram: &Datagram<'a>,
        packet: Packet<'a>,
        evidence: Evidence,
        told: Told,
    ) -> Arrival<'a> {
        let key = StreamKey {
            vlan: datagram.vlan,
            source: datagram.source,
            destination: datagram.destination,
            ssrc: packet.ssrc,
        };
        if let Some(announcements) = &mut self.announcements
            && announcements.is_udptl(key.destination)
        {
            return self.reject(Rejection::Udptl);
        }
        let incoming = Incoming {
            captured: datagram.captured,
            packet: &packet,
            print: Fingerprint::of(&packet),
            truncated: datagram.truncated,
            told: Told {
                described: told.described.or_else(|| {
                    let announced = self.announcements.as_ref()?;
                    announced.codec(key.destination, packet.payload_type)
                }),
                ..told
            },
        };
        let found = match self.find(&key) {
            Some(slot) => slot,
            None => self.begin(datagram, key, evidence, &incoming),
        };
        let slot = self.joined_with_copy(found, &incoming);
        self.take(slot, &incoming, evidence)
            .map_or_else(|| self.reject(Rejection::NotRtp), Arrival::Rtp)
    }

    fn take<'a>(&mut self, slot: u32, incoming: &Incoming<'_, 'a>, evidence: Evidence) -> Option<RtpArrival<'a>> {
        let id = self.slots.id(slot)?;
        let stream = self.slots.at_mut(slot)?;
        let before = stream.validity();
        if evidence == Evidence::Announced {
            stream.announce();
        }
        let taken = stream.take(incoming);
        self.slots.touch(slot, before);
        let replaces = if taken.became_valid { self.validated(slot) } else { None };
        let stream = self.slots.at(slot)?;
        Some(RtpArrival {
            stream: id,
            packet: *incoming.packet,
            freshness: taken.sequenced.freshness,
            extended_sequence: taken.sequenced.extended,
            kind: taken.kind,
            codec: taken.kind.codec(),
            validity: stream.validity(),
            encryption: stream.encryption(),
            news: news(&taken, replaces),
        })
    }

    /// A stream became valid: its neighbours count, and it may have taken another's place.
    fn validated(&mut self, slot: u32) -> Option<StreamId> {
        let own = self.slots.id(slot)?;
        let stream = self.slots.at_mut(slot)?;
        let key = *stream.key();
        if self
            .neighbours
            .between(key.source, key.destination)
            .any_of(Neighbours::DTLS)
        {
            stream.declare_encrypted();
        }
        self.neighbours.note(key.source, key.destination, Neighbours::RTP);
        self.from_address(key.source.into())
            .take(MOST_PREDECESSORS)
            .filter(|(id, other)| {
                *id != own && other.key().destination == key.destination && other.validity() == Validity::Valid
            })
            .max_by_key(|(_, other)| other.last_captured())
            .map(|(id, _)| id)
    }

    fn handle_rtcp(&mut self, datagram: &Datagram<'_>, bytes: &[u8]) -> Arrival<'static> {
        if !self.read_rtcp(datagram, bytes) {
            return self.reject(Rejection::BadRtcp);
        }
        self.note_neighbour(datagram, Neighbours::RTCP);
        Arrival::Rtcp
    }

    fn handle_other(&mut self, datagram: &Datagram<'_>) -> Arrival<'static> {
        if datagram.truncated && datagram.payload.first().is_none_or(|first| first >> 6 == 2) {
            return self.reject(Rejection::Truncated);
        }
        self.note_neighbour(datagram, Neighbours::FOREIGN);
        if let Some(announcements) = &mut self.announcements {
            announcements.handle(datagram.payload);
        }
        self.reject(Rejection::NotRtp)
    }

    const fn reject(&mut self, rejection: Rejection) -> Arrival<'static> {
        self.rejected.count(rejection);
        Arrival::Rejected(rejection)
    }

    fn note_neighbour(&mut self, datagram: &Datagram<'_>, kind: Neighbours) {
        self.neighbours.note(datagram.source, datagram.destination, kind);
    }

    fn is_listed(&self, stream: &Stream) -> bool {
        if stream.validity() == Validity::Valid {
            return true;
        }
        let key = stream.key();
        let beside = self.neighbours.between(key.source, key.destination);
        let vouched = Neighbours::STUN
            .and(Neighbours::DTLS)
            .and(Neighbours::RTCP)
            .and(Neighbours::RTP);
        let expected = self
            .announcements
            .as_ref()
            .is_some_and(|announced| announced.expects_rtp(key.destination));
        let alone = stream.sequence().unique() == 1 && !beside.any_of(Neighbours::FOREIGN);
        stream.is_plausible() && (beside.any_of(vouched) || expected || (alone && stream.is_credible_alone()))
    }
}

/// Finding, beginning and ending streams.
impl StreamTable {
    pub(super) fn stream_at(&mut self, slot: u32) -> Option<&mut Stream> {
        self.slots.at_mut(slot)
    }

    pub(super) fn find(&self, key: &StreamKey) -> Option<u32> {
        let is_it = |&slot: &u32| {
            self.slots
                .at(slot)
                .is_some_and(|stream| same_flow(stream.key(), key) && carries(stream, key.vlan))
        };
        self.index.find(self.hash(key), is_it).copied()
    }

    /// The stream with the same 5-tuple and SSRC on another VLAN that this one may be a copy of.
    fn sibling(&self, slot: u32) -> Option<u32> {
        let key = self.slots.at(slot)?.key();
        self.index
            .iter_hash(self.hash(key))
            .copied()
            .find(|&other| other != slot && self.slots.at(other).is_some_and(|other| same_flow(other.key(), key)))
    }

    fn begin(
        &mut self,
        datagram: &Datagram<'_>,
        key: StreamKey,
        evidence: Evidence,
        incoming: &Incoming<'_, '_>,
    ) -> u32 {
        self.make_room();
        self.serial += 1;
        let slot = self
            .slots
            .insert(Stream::new(key, datagram.tunnel, evidence, self.serial, incoming));
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash(&self.hasher, &key), slot, |&slot| {
            slots.at(slot).map_or(0, |stream| hash(hasher, stream.key()))
        });
        if let Some(id) = self.slots.id(slot) {
            self.by_source.insert((key.source.ip(), key.source.port(), id));
            self.by_destination
                .insert((key.destination.ip(), key.destination.port(), id));
        }
        self.introduce_sibling(slot);
        slot
    }

    fn introduce_sibling(&mut self, slot: u32) {
        let Some(sibling) = self.sibling(slot) else {
            return;
        };
        for slot in [slot, sibling] {
            if let Some(stream) = self.slots.at_mut(slot) {
                stream.note_sibling();
            }
        }
    }

    /// Where the packet shows that two streams are one and a copy of it, makes them one and answers its slot.
    fn joined_with_copy(&mut self, slot: u32, incoming: &Incoming<'_, '_>) -> u32 {
        self.join(slot, incoming).unwrap_or(slot)
    }

    fn join(&mut self, slot: u32, incoming: &Incoming<'_, '_>) -> Option<u32> {
        let stream = self.slots.at(slot).filter(|stream| stream.has_sibling())?;
        let other_slot = self.sibling(slot)?;
        let other = self.slots.at(other_slot)?;
        if !other.has_seen(incoming.print) || !(stream.is_young() || other.is_young()) {
            return None;
        }
        let (kept, copy) = if stream.serial() < other.serial() {
            (slot, other_slot)
        } else {
            (other_slot, slot)
        };
        let gone = self.remove(copy)?;
        if let Some(stream) = self.slots.at_mut(kept) {
            stream.absorb(&gone);
        }
        Some(kept)
    }

    fn make_room(&mut self) {
        if self.slots.len() < self.limits.max_streams {
            return;
        }
        let crowded = self.slots.in_probation() > self.limits.max_streams / PROBATION_SHARE;
        let probation = self.slots.oldest(Validity::Probation);
        let valid = self.slots.oldest(Validity::Valid).filter(|_| !crowded);
        let last_heard = |slot: &u32| self.slots.at(*slot).map(Stream::last_captured);
        let oldest = probation.into_iter().chain(valid).min_by_key(last_heard);
        if let Some(slot) = oldest {
            self.evicted += 1;
            self.remove(slot);
        }
    }

    fn remove(&mut self, slot: u32) -> Option<Stream> {
        let id = self.slots.id(slot)?;
        let key = *self.slots.at(slot)?.key();
        if let Ok(entry) = self.index.find_entry(self.hash(&key), |&other| other == slot) {
            entry.remove();
        }
        self.by_source.remove(&(key.source.ip(), key.source.port(), id));
        self.by_destination
            .remove(&(key.destination.ip(), key.destination.port(), id));
        self.slots.remove(slot)
    }

    fn hash(&self, key: &StreamKey) -> u64 {
        hash(&self.hasher, key)
    }
}

/// The VLAN stack is left out, so that copies on other VLANs are found.
fn hash(hasher: &RandomState, key: &StreamKey) -> u64 {
    let mut state = hasher.build_hasher();
    hash_endpoint(&mut state, key.source);
    hash_endpoint(&mut state, key.destination);
    state.write_u32(key.ssrc.0);
    state.finish()
}

fn hash_endpoint(state: &mut impl Hasher, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
        IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
    }
    state.write_u16(address.port());
}

fn same_flow(one: &StreamKey, other: &StreamKey) -> bool {
    (one.ssrc, one.source, one.destination) == (other.ssrc, other.source, other.destination)
}

fn carries(stream: &Stream, vlan: VlanStack) -> bool {
    stream.key().vlan == vlan || stream.copies().contains(&vlan)
}

const fn news(taken: &Taken, replaces: Option<StreamId>) -> News {
    News {
        became_valid: taken.became_valid,
        encryption_changed: taken.encryption_changed,
        restarted: taken.sequenced.restarted,
        timestamp_jumped: taken.timed.jumped,
        payload_type_changed: taken.payload_type_changed,
        replaces,
    }
}

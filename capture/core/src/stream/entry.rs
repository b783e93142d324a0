//! One stream: everything counted and learnt of it, and how a packet changes that.

use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::frame::{Tunnel, VlanStack};
use silentmon_proto::ids::{PayloadType, RtpTimestamp, SequenceNumber};
use silentmon_proto::rtp::Packet;
use silentmon_proto::time::Instant;

use super::encryption::{Encryption, EncryptionDetector};
use super::payload::{PayloadKind, SeenPayloadType, Told};
use super::plausible;
use super::recent::{Fingerprint, REMEMBERED, Recent};
use super::sequence::{Freshness, MIN_SEQUENTIAL, SequenceTracker, Sequenced};
use super::timing::{Timed, Timing};
use super::{Evidence, RtcpFigures, StreamKey, Validity};

const MOST_PAYLOAD_TYPES: usize = 6;

/// A stream of the table: what it is and its statistics.
#[derive(Debug, Clone)]
pub struct Stream {
    key: StreamKey,
    copies: Vec<VlanStack>,
    tunnel: Option<Tunnel>,
    serial: u64,
    evidence: Evidence,
    validity: Validity,
    in_sequence: u8,
    plausible_first: bool,
    credible_alone: bool,
    has_sibling: bool,
    sequence: SequenceTracker,
    timing: Timing,
    encryption: EncryptionDetector,
    payload_types: [Option<SeenPayloadType>; MOST_PAYLOAD_TYPES],
    other_packets: u64,
    speech: PayloadType,
    payload_type_changes: u32,
    packets: u64,
    markers: u64,
    cut_short: u64,
    first_captured: Instant,
    last_captured: Instant,
    longest_gap: Duration,
    first_timestamp: u32,
    last_timestamp: u32,
    events: u32,
    last_event: Option<u32>,
    first_length: usize,
    recent: Recent,
    rtcp: RtcpFigures,
}

/// What a packet did to its stream.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub sequenced: Sequenced,
    pub timed: Timed,
    pub kind: PayloadKind,
    pub became_valid: bool,
    pub encryption_changed: bool,
    pub payload_type_changed: bool,
}

/// A packet with all that its stream needs to know of it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'p, 'a> {
    pub captured: Instant,
    pub packet: &'p Packet<'a>,
    pub print: Fingerprint,
    /// Whether the capture cut its payload short.
    pub truncated: bool,
    /// What others say of the payload type.
    pub told: Told,
}

impl Stream {
    /// Begins a stream with its first packet, which is still to be taken.
    pub fn new(
        key: StreamKey,
        tunnel: Option<Tunnel>,
        evidence: Evidence,
        serial: u64,
        incoming: &Incoming<'_, '_>,
    ) -> Self {
        let packet = incoming.packet;
        let mut payload_types = [None; MOST_PAYLOAD_TYPES];
        let seen = SeenPayloadType::new(packet.payload_type, incoming.told);
        let codec = seen.codec();
        if let Some(first) = payload_types.first_mut() {
            *first = Some(seen);
        }
        Self {
            key,
            copies: Vec::new(),
            tunnel,
            serial,
            evidence,
            validity: Validity::Probation,
            in_sequence: 0,
            plausible_first: plausible::is_plausible(packet),
            credible_alone: plausible::is_credible_alone(packet, key.source, key.destination),
            has_sibling: false,
            sequence: SequenceTracker::new(packet.sequence, packet.timestamp),
            timing: Timing::new(incoming.captured, packet.timestamp, codec),
            encryption: EncryptionDetector::default(),
            payload_types,
            other_packets: 0,
            speech: packet.payload_type,
            payload_type_changes: 0,
            packets: 0,
            markers: 0,
            cut_short: 0,
            first_captured: incoming.captured,
            last_captured: incoming.captured,
            longest_gap: Duration::ZERO,
            first_timestamp: packet.timestamp.0,
            last_timestamp: packet.timestamp.0,
            events: 0,
            last_event: None,
            first_length: packet.payload.len(),
            recent: Recent::new(incoming.print),
            rtcp: RtcpFigures::default(),
        }
    }

    /// Takes a packet of the stream.
    pub fn take(&mut self, incoming: &Incoming<'_, '_>) -> Taken {
        let sequenced = self.number(incoming);
        self.packets += 1;
        self.markers += u64::from(incoming.packet.marker);
        self.cut_short += u64::from(incoming.truncated);
        self.longest_gap = self
            .longest_gap
            .max(incoming.captured.saturating_since(self.last_captured));
        self.last_captured = self.last_captured.max(incoming.captured);
        let kind = self.look_at_payload(incoming);
        let mut taken = Taken {
            sequenced,
            timed: Timed::default(),
            kind,
            became_valid: false,
            encryption_changed: false,
            payload_type_changed: false,
        };
        if sequenced.freshness.is_new() {
            self.take_new(incoming, &mut taken);
        }
        taken.became_valid = self.weigh(incoming.packet, sequenced);
        taken
    }

    fn number(&mut self, incoming: &Incoming<'_, '_>) -> Sequenced {
        let packet = incoming.packet;
        if self.packets == 0 {
            return Sequenced {
                freshness: Freshness::Fresh,
                extended: self.sequence.highest(),
                restarted: false,
                follows: false,
            };
        }
        self.recent.push(incoming.print);
        let sequenced = self.sequence.handle(packet.sequence, packet.timestamp);
        if sequenced.extended == self.sequence.highest() {
            self.last_timestamp = packet.timestamp.0;
        }
        if self.sequence.first() == packet.sequence && sequenced.freshness == Freshness::Reordered {
            self.first_timestamp = packet.timestamp.0;
        }
        sequenced
    }

    fn take_new(&mut self, incoming: &Incoming<'_, '_>, taken: &mut Taken) {
        let packet = incoming.packet;
        match taken.kind {
            PayloadKind::TelephoneEvent(_) => self.count_event(packet.timestamp),
            PayloadKind::ComfortNoise => self.keep_time(incoming, taken),
            PayloadKind::Speech(codec) => {
                self.keep_time(incoming, taken);
                self.judge_encryption(codec, packet, taken);
                self.note_speech(packet.payload_type, taken);
            }
            PayloadKind::Unknown => {
                self.keep_time(incoming, taken);
                self.note_speech(packet.payload_type, taken);
            }
        }
    }

    fn keep_time(&mut self, incoming: &Incoming<'_, '_>, taken: &mut Taken) {
        if self.packets > 1 {
            let Sequenced { follows, restarted, .. } = taken.sequenced;
            taken.timed = self
                .timing
                .handle(incoming.captured, incoming.packet.timestamp, follows, restarted);
        }
    }

    fn judge_encryption(&mut self, codec: Codec, packet: &Packet<'_>, taken: &mut Taken) {
        let before = self.encryption.verdict();
        let now = self.encryption.handle(codec, packet.payload, taken.timed.ticks);
        taken.encryption_changed = before != now;
    }

    fn note_speech(&mut self, payload_type: PayloadType, taken: &mut Taken) {
        if payload_type != self.speech {
            taken.payload_type_changed = self.packets > 1;
            self.payload_type_changes += u32::from(taken.payload_type_changed);
            self.speech = payload_type;
        }
    }

    fn count_event(&mut self, timestamp: RtpTimestamp) {
        if self.last_event != Some(timestamp.0) {
            self.events += 1;
            self.last_event = Some(timestamp.0);
        }
    }

    fn look_at_payload(&mut self, incoming: &Incoming<'_, '_>) -> PayloadKind {
        let packet = incoming.packet;
        let known = self.payload_types.iter_mut().find(|seen| {
            seen.as_ref()
                .is_none_or(|seen| seen.payload_type == packet.payload_type)
        });
        let Some(place) = known else {
            self.other_packets += 1;
            return PayloadKind::Unknown;
        };
        let seen = place.get_or_insert_with(|| SeenPayloadType::new(packet.payload_type, incoming.told));
        let kind = seen.handle(packet.payload, packet.timestamp, incoming.told);
        if let PayloadKind::Speech(codec) = kind {
            self.timing.note_codec(codec);
        }
        kind
    }

    /// RFC 3550 A.1: valid after two packets in sequence, or one where the address was announced.
    fn weigh(&mut self, packet: &Packet<'_>, sequenced: Sequenced) -> bool {
        if self.validity == Validity::Valid || packet.payload.is_empty() || !sequenced.freshness.is_new() {
            return false;
        }
        self.in_sequence = if sequenced.follows { self.in_sequence + 1 } else { 1 };
        let announced = self.evidence == Evidence::Announced && plausible::is_plausible(packet);
        if announced || self.in_sequence >= MIN_SEQUENTIAL {
            self.validity = Validity::Valid;
        }
        self.validity == Validity::Valid
    }

    /// Adds the packets of a stream that turned out to be copies of this one's.
    pub fn absorb(&mut self, copy: &Self) {
        for print in copy.first_prints() {
            self.sequence.handle(print.sequence(), print.timestamp());
        }
        self.packets += copy.packets;
        self.markers += copy.markers;
        self.cut_short += copy.cut_short;
        self.last_captured = self.last_captured.max(copy.last_captured);
        for seen in copy.payload_types() {
            let same = self
                .payload_types
                .iter_mut()
                .flatten()
                .find(|own| own.payload_type == seen.payload_type);
            match same {
                Some(own) => own.packets += seen.packets,
                None => self.other_packets += seen.packets,
            }
        }
        self.copies.push(copy.key.vlan);
    }

    /// Notes that an address was announced after the stream was first seen.
    pub const fn announce(&mut self) {
        self.evidence = Evidence::Announced;
    }

    /// Notes that another VLAN carries the same 5-tuple and SSRC.
    pub const fn note_sibling(&mut self) {
        self.has_sibling = true;
    }

    /// Whether another VLAN carries, or carried, the same 5-tuple and SSRC.
    pub const fn has_sibling(&self) -> bool {
        self.has_sibling
    }

    /// Whether all its packets are still remembered, so that it can turn out to be a copy.
    pub const fn is_young(&self) -> bool {
        self.packets <= REMEMBERED as u64
    }

    /// Whether this very packet is among the last ones.
    pub fn has_seen(&self, print: Fingerprint) -> bool {
        self.recent.contains(print)
    }

    fn first_prints(&self) -> &[Fingerprint] {
        self.recent.first(usize::try_from(self.packets).unwrap_or(REMEMBERED))
    }

    /// Settles that its media are encrypted.
    pub const fn declare_encrypted(&mut self) {
        self.encryption.declare_encrypted();
    }

    /// What RTCP said of it, to be changed.
    pub const fn rtcp_mut(&mut self) -> &mut RtcpFigures {
        &mut self.rtcp
    }

    /// Whether the first packet could begin a stream.
    pub const fn is_plausible(&self) -> bool {
        self.plausible_first
    }

    /// Whether the first packet is credible with nothing beside it.
    pub const fn is_credible_alone(&self) -> bool {
        self.credible_alone
    }

    /// Counts streams in the order of their first packets.
    pub const fn serial(&self) -> u64 {
        self.serial
    }
}

/// What is known of the stream.
impl Stream {
    /// VLAN stack, addresses and SSRC.
    pub const fn key(&self) -> &StreamKey {
        &self.key
    }

    /// Other VLAN stacks on which the mirror showed copies of its packets.
    pub fn copies(&self) -> &[VlanStack] {
        &self.copies
    }

    /// The tunnel its first packet came in.
    pub const fn tunnel(&self) -> Option<Tunnel> {
        self.tunnel
    }

    /// Whether it is taken for RTP.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it can be heard.
    pub const fn encryption(&self) -> Encryption {
        self.encryption.verdict()
    }

    /// Packets that arrived, copies included.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Sequence numbers: unique, duplicate, reordered, expected and lost packets.
    pub const fn sequence(&self) -> &SequenceTracker {
        &self.sequence
    }

    /// Jitter, clock, packet time and jumps.
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The payload types seen first, in that order; at most six.
    pub fn payload_types(&self) -> impl Iterator<Item = &SeenPayloadType> {
        self.payload_types.iter().flatten()
    }

    /// Packets of payload types beyond those.
    pub const fn other_packets(&self) -> u64 {
        self.other_packets
    }

    /// Codec of the payload type that most packets have, speech before noise and events.
    pub fn codec(&self) -> Codec {
        let weight = |seen: &&SeenPayloadType| (seen.codec().is_speech(), seen.packets);
        self.payload_types()
            .max_by_key(weight)
            .map_or(Codec::Unknown, SeenPayloadType::codec)
    }

    /// How often speech changed its payload type.
    pub const fn payload_type_changes(&self) -> u32 {
        self.payload_type_changes
    }

    /// Packets with the marker bit.
    pub const fn markers(&self) -> u64 {
        self.markers
    }

    /// Packets whose payload the capture cut short.
    pub const fn cut_short(&self) -> u64 {
        self.cut_short
    }

    /// Telephone events, by their timestamps.
    pub const fn events(&self) -> u32 {
        self.events
    }

    /// What RTCP said of it.
    pub const fn rtcp(&self) -> &RtcpFigures {
        &self.rtcp
    }

    /// When its first packet was captured.
    pub const fn first_captured(&self) -> Instant {
        self.first_captured
    }

    /// When its latest packet was captured.
    pub const fn last_captured(&self) -> Instant {
        self.last_captured
    }

    /// Longest time between two packets, copies included.
    pub const fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// From the first packet to the last.
    pub const fn duration(&self) -> Duration {
        self.last_captured.saturating_since(self.first_captured)
    }

    /// Lowest sequence number.
    pub const fn first_sequence(&self) -> SequenceNumber {
        self.sequence.first()
    }

    /// Highest sequence number.
    pub const fn last_sequence(&self) -> SequenceNumber {
        self.sequence.last()
    }

    /// Timestamp of the packet with the lowest sequence number.
    pub const fn first_timestamp(&self) -> RtpTimestamp {
        RtpTimestamp(self.first_timestamp)
    }

    /// Timestamp of the packet with the highest sequence number.
    pub const fn last_timestamp(&self) -> RtpTimestamp {
        RtpTimestamp(self.last_timestamp)
    }

    /// Duration of a packet: from the timestamps, else from the length of a G.711 or G.722 payload.
    pub fn packet_time(&self) -> Option<Duration> {
        let rate = self.timing.clock_rate()?;
        let ticks = self.timing.step().or_else(|| self.ticks_of_first_packet())?;
        Some(Duration::from_secs_f64(f64::from(ticks) / f64::from(rate)))
    }

    fn ticks_of_first_packet(&self) -> Option<u32> {
        let one_byte_a_tick = matches!(self.codec(), Codec::Pcmu | Codec::Pcma | Codec::G722);
        u32::try_from(self.first_length).ok().filter(|_| one_byte_a_tick)
    }
}

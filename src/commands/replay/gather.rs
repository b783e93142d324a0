//! The packets of the streams that are to be heard, gathered while the file is read; which of them may be heard is
//! known only at its end.

use std::collections::BTreeMap;
use std::ops::Range;

use silentmon_capture_core::stream::{Arrival, Encryption, PayloadKind, RtpArrival, StreamId, StreamKey, StreamTable};
use silentmon_proto::frame::Datagram;
use silentmon_proto::ids::{Leg, MediaAddress, RtpTimestamp, SequenceNumber, Ssrc};
use silentmon_proto::time::Instant;

use crate::exit::{ExitKind, Failure};

/// What is to be heard, and its packets so far.
pub(super) struct Gathering {
    ssrc: Option<Ssrc>,
    address: Option<MediaAddress>,
    packets: Vec<Gathered>,
    bytes: Vec<u8>,
}

/// An RTP packet of a stream that is to be heard.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub stream: StreamId,
    pub key: StreamKey,
    pub leg: Leg,
    pub captured: Instant,
    pub kind: PayloadKind,
    pub encryption: Encryption,
    /// Whether the sender began anew, or its timestamp jumped, with this packet.
    pub broken_off: bool,
    pub sequence: SequenceNumber,
    pub timestamp: RtpTimestamp,
    header: usize,
    payload: usize,
    place: Range<usize>,
}

impl Gathering {
    /// Nothing gathered yet of a stream or of a media address' legs.
    ///
    /// # Errors
    /// `Usage` where neither is given.
    pub(super) fn new(ssrc: Option<Ssrc>, address: Option<MediaAddress>) -> anyhow::Result<Self> {
        if ssrc.is_none() && address.is_none() {
            return Err(Failure::error(
                ExitKind::Usage,
                "--wav needs --stream SSRC or --media-address IP[:PORT]",
            ));
        }
        Ok(Self {
            ssrc,
            address,
            packets: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Keeps a packet that is to be heard.
    pub(super) fn handle(&mut self, datagram: &Datagram<'_>, arrival: &Arrival<'_>) {
        let Arrival::Rtp(arrival) = arrival else {
            return;
        };
        for leg in Leg::BOTH {
            if self.wants(leg, datagram, arrival) {
                self.keep(leg, datagram, arrival);
            }
        }
    }

    /// The packets of streams that count, each under the stream it belongs to in the end.
    pub(super) fn settle(&mut self, table: &StreamTable) {
        let listed: BTreeMap<StreamId, &StreamKey> = table
            .listed()
            .into_iter()
            .map(|(id, stream)| (id, stream.key()))
            .collect();
        for packet in &mut self.packets {
            if table.stream(packet.stream).is_none() {
                // Its stream turned out to be a copy of another one's, on another VLAN.
                let own = listed.iter().find(|(_, key)| same_flow(key, &packet.key));
                packet.stream = own.map_or(packet.stream, |(id, _)| *id);
            }
        }
        self.packets.retain(|packet| listed.contains_key(&packet.stream));
        self.resolve_encryption();
    }

    /// All packets, in the order of the file.
    pub(super) fn packets(&self) -> &[Gathered] {
        &self.packets
    }

    /// The whole RTP packet.
    pub(super) fn rtp(&self, packet: &Gathered) -> &[u8] {
        self.bytes.get(packet.place.clone()).unwrap_or(&[])
    }

    /// Its payload.
    pub(super) fn payload(&self, packet: &Gathered) -> &[u8] {
        let rtp = self.rtp(packet);
        rtp.get(packet.header..packet.header + packet.payload).unwrap_or(&[])
    }

    /// What was undecided when a packet came is known from the packets after it.
    fn resolve_encryption(&mut self) {
        let mut known: BTreeMap<StreamId, Encryption> = BTreeMap::new();
        for packet in self.packets.iter_mut().rev() {
            match packet.encryption {
                Encryption::Undecided => {
                    packet.encryption = known.get(&packet.stream).copied().unwrap_or_default();
                }
                decided => {
                    known.insert(packet.stream, decided);
                }
            }
        }
    }

    /// A packet that the address sends to itself belongs to both legs.
    fn wants(&self, leg: Leg, datagram: &Datagram<'_>, arrival: &RtpArrival<'_>) -> bool {
        let address = match leg {
            Leg::Agent => datagram.source,
            Leg::Customer => datagram.destination,
        };
        let covered = self.address.map_or(leg == Leg::Agent, |wanted| wanted.covers(address));
        covered && self.ssrc.is_none_or(|ssrc| ssrc == arrival.packet.ssrc)
    }

    fn keep(&mut self, leg: Leg, datagram: &Datagram<'_>, arrival: &RtpArrival<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(arrival.packet.bytes);
        self.packets.push(Gathered {
            stream: arrival.stream,
            key: key(datagram, arrival),
            leg,
            captured: datagram.captured,
            kind: arrival.kind,
            encryption: arrival.encryption,
            broken_off: arrival.news.restarted || arrival.news.timestamp_jumped,
            sequence: arrival.packet.sequence,
            timestamp: arrival.packet.timestamp,
            header: arrival.packet.header_length,
            payload: arrival.packet.payload.len(),
            place: start..self.bytes.len(),
        });
    }
}

fn key(datagram: &Datagram<'_>, arrival: &RtpArrival<'_>) -> StreamKey {
    StreamKey {
        vlan: datagram.vlan,
        source: datagram.source,
        destination: datagram.destination,
        ssrc: arrival.packet.ssrc,
    }
}

fn same_flow(one: &StreamKey, other: &StreamKey) -> bool {
    (one.ssrc, one.source, one.destination) == (other.ssrc, other.source, other.destination)
}

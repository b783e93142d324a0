//! What a survey says, as one JSON document (`span-check --json`). Shares are in percent, times in seconds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Ssrc;

use super::copies::CopyCause;
use super::findings::{Finding, Verdict};
use super::seconds;
use crate::stream::{Encryption, Stream};

/// Streams listed one by one; the figures hold all of them.
pub(super) const MOST_LISTED: usize = 1000;

/// What was seen, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// All in a word.
    pub verdict: Verdict,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// What is to be known, though nothing is wrong with it.
    pub notes: Vec<String>,
    /// Frames by what they are.
    pub frames: FrameFigures,
    /// Frames by their tags.
    pub tags: TagFigures,
    /// Frames by whom they are addressed to.
    pub destinations: Destinations,
    /// Voice.
    pub rtp: RtpFigures,
    /// Streams paired to calls.
    pub calls: CallFigures,
    /// Packets seen more than once.
    pub copies: CopyFigures,
    /// Packets that are missing.
    pub losses: LossFigures,
    /// Signalling.
    pub signalling: SignallingFigures,
    /// What the kernel counted; of a live capture only.
    pub counters: Option<Counters>,
    /// Addresses that streams of several others share, the most shared first.
    pub gateways: Vec<Gateway>,
    /// Addresses with most bytes, whatever they say.
    pub talkers: Vec<Talker>,
    /// Mentions of addresses beyond the 65,536 that are kept.
    pub unlisted_addresses: u64,
    /// The streams in the order of their first packets, at most a thousand.
    pub streams: Vec<ListedStream>,
    /// Streams beyond those.
    pub unlisted_streams: u64,
}

/// Frames by what they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct FrameFigures {
    /// All frames.
    pub total: u64,
    /// Their bytes, as long as they were on the wire.
    pub bytes: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// Frames that the capture cut (snap length).
    pub cut_by_capture: u64,
    /// Frames that came whole but end before the IP packet in them does: whoever mirrored them cut them.
    pub cut_by_mirror: u64,
    /// UDP datagrams in them.
    pub datagrams: u64,
    /// TCP segments in them.
    pub tcp_segments: u64,
    /// Frames without either, by reason.
    pub others: BTreeMap<&'static str, u64>,
    /// Frames by the innermost tunnel they came in.
    pub tunnels: BTreeMap<&'static str, u64>,
}

/// Frames by their tags.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TagFigures {
    /// Frames without a tag.
    pub untagged: u64,
    /// Their share of all frames.
    pub untagged_percent: f64,
    /// Stacks of tags, the most frequent first, at most 64.
    pub stacks: Vec<TagShare>,
    /// Frames of other stacks.
    pub unlisted: u64,
}

/// Frames of one stack of tags.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TagShare {
    /// VLAN identifiers, outermost first; 0 is a tag for the priority alone.
    pub vlan: Vec<u16>,
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their share of all frames.
    pub percent: f64,
    /// Frames by the priority (PCP) of the innermost tag.
    pub priorities: BTreeMap<u8, u64>,
}

/// Frames by whom they are addressed to, the outermost address counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Destinations {
    /// Whether the interface's own address is known; of a file it isn't, and `own` counts as `foreign`.
    pub own_known: bool,
    /// To this interface.
    pub own: u64,
    /// Those of them that carry a tunnel, such as ERSPAN.
    pub own_tunnelled: u64,
    /// To all stations.
    pub broadcast: u64,
    /// To groups.
    pub multicast: u64,
    /// To other stations: what a mirror is for.
    pub foreign: u64,
    /// Frames of a link without addresses.
    pub without_address: u64,
}

/// Voice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RtpFigures {
    /// Streams.
    pub streams: u64,
    /// Their packets, copies included.
    pub packets: u64,
    /// Their packets without copies.
    pub unique: u64,
    /// Packets that must have been sent, by their numbers.
    pub expected: u64,
    /// Those that didn't arrive.
    pub lost: u64,
    /// Copies of packets.
    pub duplicates: u64,
    /// Packets whose sound is cut short.
    pub cut_short: u64,
    /// Streams that are encrypted.
    pub encrypted: u64,
    /// Streams whose receiver reports what it misses (RTCP).
    pub reported: u64,
    /// Codecs, that of most packets first.
    pub codecs: Vec<CodecShare>,
    /// DTLS records: keys of encrypted media are agreed upon.
    pub dtls: u64,
    /// STUN and TURN messages.
    pub stun: u64,
    /// RTCP whose lengths don't add up.
    pub bad_rtcp: u64,
    /// Datagrams cut before the end of an RTP header.
    pub cut: u64,
    /// Other datagrams.
    pub not_rtp: u64,
    /// Streams given up because there were more than 100,000.
    pub evicted: u64,
}

/// Streams of one codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodecShare {
    /// Its encoding name.
    pub codec: &'static str,
    /// Streams that mostly carry it.
    pub streams: u64,
    /// Their packets.
    pub packets: u64,
    /// Whether this program decodes it; of an unknown one nobody can tell.
    pub built_in: Option<bool>,
}

impl CodecShare {
    pub(super) const fn of(codec: Codec) -> Self {
        let built_in = match codec {
            Codec::Unknown => None,
            Codec::Cn | Codec::TelephoneEvent => Some(true),
            speech => Some(speech.is_built_in()),
        };
        Self {
            codec: codec.name(),
            streams: 0,
            packets: 0,
            built_in,
        }
    }
}

/// Streams paired to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CallFigures {
    /// Pairs of streams in both directions.
    pub two_way: u64,
    /// Streams of at least 2 s and 50 packets that nothing answers.
    pub one_way: u64,
    /// Shorter ones that nothing answers.
    pub too_short: u64,
}

/// Packets seen more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CopyFigures {
    /// RTP packets looked at.
    pub packets: u64,
    /// Copies of the very same frame.
    pub same_frame: u64,
    /// Copies from before and after a router.
    pub routed: u64,
    /// Copies with another tag.
    pub other_vlan: u64,
    /// Copies in another tunnel, or once in none.
    pub other_tunnel: u64,
    /// Copies with other MAC addresses but as many hops left.
    pub other_stations: u64,
}

impl CopyFigures {
    pub(super) const fn count(&mut self, cause: CopyCause) {
        match cause {
            CopyCause::SameFrame => self.same_frame += 1,
            CopyCause::Routed => self.routed += 1,
            CopyCause::OtherVlan => self.other_vlan += 1,
            CopyCause::OtherTunnel => self.other_tunnel += 1,
            CopyCause::OtherStations => self.other_stations += 1,
        }
    }

    /// Copies by cause.
    pub const fn by_cause(&self) -> [(CopyCause, u64); 5] {
        [
            (CopyCause::SameFrame, self.same_frame),
            (CopyCause::Routed, self.routed),
            (CopyCause::OtherVlan, self.other_vlan),
            (CopyCause::OtherTunnel, self.other_tunnel),
            (CopyCause::OtherStations, self.other_stations),
        ]
    }

    /// Copies in all.
    pub const fn total(&self) -> u64 {
        self.same_frame + self.routed + self.other_vlan + self.other_tunnel + self.other_stations
    }
}

/// Packets that are missing, by where they were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LossFigures {
    /// In the calls: the phones miss them too.
    pub in_call: u64,
    /// In the mirror: gaps on several streams at once, or while the kernel dropped frames.
    pub in_mirror: u64,
    /// Packets of streams beyond the 20,000 that are watched.
    pub unwatched: u64,
}

/// Signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SignallingFigures {
    /// SIP messages.
    pub sip: u64,
    /// TCP segments that begin with an SCCP message.
    pub sccp: u64,
    /// RTCP datagrams.
    pub rtcp: u64,
}

/// What the kernel counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Frames for the capture, dropped ones included.
    pub received: u64,
    /// Frames dropped because this program was too slow.
    pub dropped: u64,
    /// Frames the interface dropped: its ring was full.
    pub dropped_by_interface: u64,
}

impl Counters {
    /// Frames lost on this machine.
    pub const fn lost(&self) -> u64 {
        self.dropped + self.dropped_by_interface
    }
}

/// An address that streams of several others share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// The address.
    pub address: IpAddr,
    /// Streams from or to it.
    pub streams: u64,
    /// Their packets.
    pub packets: u64,
    /// Other ends of them.
    pub peers: u64,
}

/// An address with many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Talker {
    /// The address.
    pub address: IpAddr,
    /// Frames from or to it.
    pub frames: u64,
    /// Bytes it sent.
    pub bytes_sent: u64,
    /// Bytes sent to it.
    pub bytes_received: u64,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedStream {
    /// Synchronisation source.
    pub ssrc: Ssrc,
    /// VLAN identifiers, outermost first.
    pub vlan: Vec<u16>,
    /// Other stacks on which copies of it came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Vec<u16>>,
    /// The tunnel it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<&'static str>,
    /// From where.
    pub source: String,
    /// To where.
    pub destination: String,
    /// The codec that most packets have.
    pub codec: &'static str,
    /// Packets by payload type.
    pub payload_types: BTreeMap<u8, u64>,
    /// Packets, copies included.
    pub packets: u64,
    /// Copies among them.
    pub duplicates: u64,
    /// Packets that didn't arrive.
    pub lost: u64,
    /// From its first packet to its last.
    pub duration_s: f64,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

impl ListedStream {
    pub(super) fn of(stream: &Stream) -> Self {
        let (key, sequence) = (stream.key(), stream.sequence());
        Self {
            ssrc: key.ssrc,
            vlan: key.vlan.ids().to_vec(),
            copies: stream.copies().iter().map(|stack| stack.ids().to_vec()).collect(),
            tunnel: stream.tunnel().map(silentmon_proto::frame::Tunnel::name),
            source: key.source.to_string(),
            destination: key.destination.to_string(),
            codec: stream.codec().name(),
            payload_types: stream
                .payload_types()
                .map(|seen| (seen.payload_type.0, seen.packets))
                .collect(),
            packets: stream.packets(),
            duplicates: sequence.duplicates(),
            lost: sequence.lost(),
            duration_s: seconds(stream.duration()),
            encrypted: stream.encryption() == Encryption::Encrypted,
        }
    }
}

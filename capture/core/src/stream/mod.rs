//! The stream table: which datagrams are RTP, of which stream, whether new, valid and to be heard (design.md 2).
//!
//! [`StreamTable::handle_datagram`] takes every datagram the media filter lets through and says what it is. A stream is
//! its VLAN stack, 5-tuple and SSRC together; packets that the mirror copied from another VLAN count as duplicates of
//! the first. It takes two packets in sequence (RFC 3550 A.1) to be valid, or one where the media address was announced.
//! Memory is bounded by [`Limits`]; no packet allocates.

mod demux;
mod encryption;
mod entry;
mod neighbours;
mod payload;
mod plausible;
mod recent;
mod reports;
mod sequence;
mod signalling;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod timing;

use std::net::SocketAddr;
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::frame::VlanStack;
use silentmon_proto::ids::Ssrc;
use silentmon_proto::rtp::Packet;

pub use encryption::{Encryption, EncryptionDetector};
pub use entry::Stream;
pub use payload::{PayloadKind, SeenPayloadType, Told};
pub use reports::RtcpFigures;
pub use sequence::{Freshness, MAX_DROPOUT, MAX_MISORDER, MIN_SEQUENTIAL, SequenceTracker};
pub use slots::StreamId;
pub use table::StreamTable;
pub use timing::Timing;

/// What a stream is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// VLAN identifiers, outermost first.
    pub vlan: VlanStack,
    /// Where its packets come from.
    pub source: SocketAddr,
    /// Where its packets go.
    pub destination: SocketAddr,
    /// Synchronisation source.
    pub ssrc: Ssrc,
}

/// How much is known before the first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// Nothing: any datagram of the mirror.
    Observed,
    /// A CTI source announced this media address: its first plausible packet is believed.
    Announced,
}

/// Whether a stream is taken for one (RFC 3550 A.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Validity {
    /// Not enough packets in sequence yet.
    Probation,
    /// RTP.
    Valid,
}

/// Bounds of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most streams kept; beyond it the one heard longest ago gives way, those on probation first.
    pub max_streams: usize,
    /// Silence after which a stream is forgotten; `None` for offline reading.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    /// 100,000 streams, five minutes: longer than a hold without media.
    fn default() -> Self {
        Self {
            max_streams: 100_000,
            idle: Some(Duration::from_secs(300)),
        }
    }
}

/// Why a datagram belongs to no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// STUN or TURN without media in it.
    Stun,
    /// DTLS.
    Dtls,
    /// RTCP whose lengths don't add up.
    BadRtcp,
    /// The capture cut it before the end of its RTP header.
    Truncated,
    /// The signalling turned this port over to T.38 (UDPTL).
    Udptl,
    /// Anything else.
    NotRtp,
}

/// How many datagrams were rejected, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejected {
    /// STUN or TURN without media in it.
    pub stun: u64,
    /// DTLS.
    pub dtls: u64,
    /// RTCP whose lengths don't add up.
    pub bad_rtcp: u64,
    /// Cut by the capture before the end of the RTP header.
    pub truncated: u64,
    /// To a port that carries T.38.
    pub udptl: u64,
    /// Anything else.
    pub not_rtp: u64,
}

impl Rejected {
    const fn count(&mut self, rejection: Rejection) {
        match rejection {
            Rejection::Stun => self.stun += 1,
            Rejection::Dtls => self.dtls += 1,
            Rejection::BadRtcp => self.bad_rtcp += 1,
            Rejection::Truncated => self.truncated += 1,
            Rejection::Udptl => self.udptl += 1,
            Rejection::NotRtp => self.not_rtp += 1,
        }
    }
}

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A packet of a stream.
    Rtp(RtpArrival<'a>),
    /// RTCP; its figures are kept with the streams it speaks of.
    Rtcp,
    /// Neither.
    Rejected(Rejection),
}

/// A packet of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpArrival<'a> {
    /// The stream.
    pub stream: StreamId,
    /// The packet; `packet.bytes` is what is relayed (without TURN wrapping).
    pub packet: Packet<'a>,
    /// New, copy or straggler.
    pub freshness: Freshness,
    /// Sequence number with its cycles; rises also over a restart of the sender.
    pub extended_sequence: u64,
    /// Speech, comfort noise, event.
    pub kind: PayloadKind,
    /// The codec of the payload, as far as known.
    pub codec: Codec,
    /// Whether the stream is valid, this packet included.
    pub validity: Validity,
    /// Whether it is encrypted, judged with this packet.
    pub encryption: Encryption,
    /// What changed with this packet.
    pub news: News,
}

impl RtpArrival<'_> {
    /// Whether the stream may be heard: valid, and known not to be encrypted.
    pub fn is_audible(&self) -> bool {
        self.validity == Validity::Valid && self.encryption == Encryption::Plain
    }
}

/// What changed in a stream with a packet.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, any of which can come together"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// The stream became valid.
    pub became_valid: bool,
    /// The verdict on its encryption changed.
    pub encryption_changed: bool,
    /// The sender began to count anew under the same SSRC.
    pub restarted: bool,
    /// The timestamp jumped.
    pub timestamp_jumped: bool,
    /// Speech goes on in another payload type.
    pub payload_type_changed: bool,
    /// The stream took the place of this one: same 5-tuple, another SSRC.
    pub replaces: Option<StreamId>,
}

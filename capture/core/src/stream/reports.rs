//! What RTCP says of the streams: figures of the two ends, kept beside our own (RFC 3550 section 6.4, RFC 3611).

use std::net::SocketAddr;

use silentmon_proto::frame::{Datagram, VlanStack};
use silentmon_proto::ids::Ssrc;
use silentmon_proto::rtcp::{Block, Compound, Packet, ReportBlock, SenderReport, VoipMetrics};

use super::{Encryption, Stream, StreamKey, StreamTable};

/// What RTCP said of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RtcpFigures {
    /// Sender reports of the stream's source.
    pub sender_reports: u32,
    /// Packets the source says it has sent.
    pub sent_packets: u32,
    /// Reception reports of the far end.
    pub reception_reports: u32,
    /// Part lost since the report before, in 1/256 (RFC 3550 section 6.4.1).
    pub fraction_lost: u8,
    /// Packets the far end misses in all.
    pub cumulative_lost: i32,
    /// Jitter at the far end, in ticks of the RTP clock.
    pub jitter: u32,
    /// Listening quality at the far end, in tenths of a MOS (RFC 3611 section 4.7.5).
    pub listening_mos: Option<u8>,
    /// Whether the source said goodbye.
    pub goodbye: bool,
}

impl RtcpFigures {
    const fn note_sent(&mut self, report: &SenderReport<'_>) {
        self.sender_reports = self.sender_reports.saturating_add(1);
        self.sent_packets = report.packets;
    }

    const fn note_received(&mut self, block: &ReportBlock) {
        self.reception_reports = self.reception_reports.saturating_add(1);
        self.fraction_lost = block.fraction_lost;
        self.cumulative_lost = block.cumulative_lost;
        self.jitter = block.jitter;
    }

    fn note_metrics(&mut self, metrics: &VoipMetrics) {
        self.listening_mos = metrics.listening_mos.or(self.listening_mos);
    }
}

/// Between whom an RTCP packet went.
#[derive(Clone, Copy)]
struct Path {
    vlan: VlanStack,
    source: SocketAddr,
    destination: SocketAddr,
}

impl Path {
    /// The way the media go of which an RTCP sender tells what he received.
    const fn reversed(self) -> Self {
        Self {
            vlan: self.vlan,
            source: self.destination,
            destination: self.source,
        }
    }
}

impl StreamTable {
    /// Reads a compound packet; answers whether it was RTCP from its beginning on.
    pub(super) fn read_rtcp(&mut self, datagram: &Datagram<'_>, bytes: &[u8]) -> bool {
        let path = Path {
            vlan: datagram.vlan,
            source: datagram.source,
            destination: datagram.destination,
        };
        let mut packets = 0;
        for packet in Compound::new(bytes).map_while(Result::ok) {
            packets += 1;
            self.note_packet(path, &packet);
        }
        packets > 0
    }

    fn note_packet(&mut self, path: Path, packet: &Packet<'_>) {
        match packet {
            Packet::SenderReport(report) => {
                self.note(path, report.ssrc, |figures| figures.note_sent(report));
                self.note_blocks(path, report.blocks());
            }
            Packet::ReceiverReport(report) => self.note_blocks(path, report.blocks()),
            Packet::Goodbye(goodbye) => {
                for ssrc in goodbye.sources() {
                    self.note(path, ssrc, |figures| figures.goodbye = true);
                }
            }
            Packet::ExtendedReport(report) => {
                for block in report.blocks() {
                    if let Block::VoipMetrics(metrics) = block {
                        self.note(path.reversed(), metrics.ssrc, |figures| figures.note_metrics(&metrics));
                    }
                }
            }
            Packet::SourceDescription(_) | Packet::Other { .. } => {}
        }
    }

    fn note_blocks(&mut self, path: Path, blocks: impl Iterator<Item = ReportBlock>) {
        for block in blocks {
            self.note(path.reversed(), block.ssrc, |figures| figures.note_received(&block));
        }
    }

    /// RTCP goes to the media's own ports (RFC 5761) or one above them (RFC 3550 section 11). What it says of encrypted
    /// media is encrypted too.
    fn note(&mut self, path: Path, ssrc: Ssrc, note: impl FnOnce(&mut RtcpFigures)) {
        let beside = one_below(path.source).zip(one_below(path.destination));
        let ways = [Some((path.source, path.destination)), beside];
        let found = ways.into_iter().flatten().find_map(|(source, destination)| {
            self.find(&StreamKey {
                vlan: path.vlan,
                source,
                destination,
                ssrc,
            })
        });
        let stream = found.and_then(|slot| self.stream_at(slot));
        if let Some(stream) = stream.filter(|stream| stream.encryption() != Encryption::Encrypted) {
            note(Stream::rtcp_mut(stream));
        }
    }
}

fn one_below(address: SocketAddr) -> Option<SocketAddr> {
    let port = address.port().checked_sub(1)?;
    Some(SocketAddr::new(address.ip(), port))
}

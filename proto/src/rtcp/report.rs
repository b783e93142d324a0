//! Sender and receiver reports (RFC 3550 section 6.4): packets sent, lost, jitter, and the times for a round trip.

use std::time::Duration;

use super::wire::{split, word, words};
use super::{RtpTimestamp, Ssrc};

/// Wall clock of a sender: seconds since 1900-01-01 UTC and 2^32ths of one (RFC 3550 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtpTimestamp(pub u64);

impl NtpTimestamp {
    /// The middle 32 bits, as report blocks quote it: units of 1/65,536 second.
    pub const fn middle(self) -> u32 {
        let [_, _, a, b, c, d, _, _] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Time since `earlier`; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        let units = self.0.saturating_sub(earlier.0);
        let nanoseconds = ((units & 0xffff_ffff) * 1_000_000_000) >> 32;
        Duration::new(units >> 32, nanoseconds as u32)
    }
}

/// What a sender sent, and what it received from others (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// The sender.
    pub ssrc: Ssrc,
    /// When the report was sent, by the sender's wall clock.
    pub sent: NtpTimestamp,
    /// The same moment on the RTP clock of its stream.
    pub timestamp: RtpTimestamp,
    /// RTP packets sent so far, modulo 2^32.
    pub packets: u32,
    /// Bytes of RTP payload sent so far, modulo 2^32.
    pub octets: u32,
    blocks: &'a [[u8; ReportBlock::LENGTH]],
}

impl<'a> SenderReport<'a> {
    pub(super) fn read(count: u8, content: &'a [u8]) -> Result<Self, usize> {
        const LENGTH: usize = 24;
        let (fields, rest) = split::<LENGTH>(content)?;
        let [ssrc, ntp_high, ntp_low, timestamp, packets, octets] = words(fields.as_chunks().0);
        Ok(Self {
            ssrc: Ssrc(ssrc),
            sent: NtpTimestamp(u64::from(ntp_high) << 32 | u64::from(ntp_low)),
            timestamp: RtpTimestamp(timestamp),
            packets,
            octets,
            blocks: blocks(count, rest).map_err(|needed| LENGTH + needed)?,
        })
    }

    /// What it received, by source: up to 31 blocks.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::read)
    }
}

/// What a receiver received (RFC 3550 section 6.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// The receiver.
    pub ssrc: Ssrc,
    blocks: &'a [[u8; ReportBlock::LENGTH]],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn read(count: u8, content: &'a [u8]) -> Result<Self, usize> {
        let (ssrc, rest) = word(content)?;
        Ok(Self {
            ssrc: Ssrc(ssrc),
            blocks: blocks(count, rest).map_err(|needed| 4 + needed)?,
        })
    }

    /// What it received, by source: up to 31 blocks.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::read)
    }
}

/// The report blocks behind a report's own fields. Profile-specific extensions may follow (RFC 3550 section 6.4.3); they
/// are left unread.
fn blocks(count: u8, bytes: &[u8]) -> Result<&[[u8; ReportBlock::LENGTH]], usize> {
    let count = usize::from(count);
    bytes.as_chunks().0.get(..count).ok_or(count * ReportBlock::LENGTH)
}

/// How one source was received (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// Packets lost since the last report, in 256ths of those expected.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative where duplicates outnumber the lost.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the count of its wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// Middle bits of the last sender report's time; `None` where there was no report yet.
    pub last_sender_report: Option<u32>,
    /// Time between receiving that report and sending this one, in 1/65,536 second.
    pub delay_since_last_sender_report: u32,
}

impl ReportBlock {
    const LENGTH: usize = 24;

    fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let [ssrc, lost, highest_sequence, jitter, report_time, delay] = words(bytes.as_chunks().0);
        Self {
            ssrc: Ssrc(ssrc),
            fraction_lost: (lost >> 24) as u8,
            // 24 bits with sign, moved up and back down to carry the sign along
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest_sequence,
            jitter,
            last_sender_report: (report_time != 0).then_some(report_time),
            delay_since_last_sender_report: delay,
        }
    }

    /// Packets lost since the last report, 0.0 to 1.0 of those expected.
    pub fn loss(&self) -> f64 {
        f64::from(self.fraction_lost) / 256.0
    }

    /// Network round trip of the sender whose report the block answers, where the block reached it at `received`
    /// (RFC 3550 figure 2). `None` without such a report, or where the clocks contradict each other.
    pub fn round_trip(&self, received: NtpTimestamp) -> Option<Duration> {
        let elapsed = received.middle().wrapping_sub(self.last_sender_report?);
        let units = elapsed.wrapping_sub(self.delay_since_last_sender_report).cast_signed();
        let units = u64::try_from(units).ok()?;
        Some(Duration::from_nanos((units * 1_000_000_000) >> 16))
    }
}

//! RTCP (RFC 3550 section 6, RFC 3611): what the two ends of a call report about it, read for quality.
//!
//! A compound packet is walked with [`Compound`]; lengths are checked, contents are plain structs. Nothing is ever sent.

use thiserror::Error;

use crate::ids::{RtpTimestamp, Ssrc};

mod description;
mod report;
mod wire;
mod xr;

pub use description::{Chunk, Chunks, Goodbye, ItemType, SourceDescription};
pub use report::{NtpTimestamp, ReceiverReport, ReportBlock, SenderReport};
pub use xr::{Block, Blocks, DelayReport, DelayReports, ExtendedReport, VoipMetrics};

/// Packet types (RFC 3550 section 12.1, RFC 3611 section 6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const EXTENDED_REPORT: u8 = 207;
}

/// An RTCP packet of a compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR: what a sender sent, and what it received.
    SenderReport(SenderReport<'a>),
    /// RR: what a receiver received.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES: who the sources are.
    SourceDescription(SourceDescription<'a>),
    /// BYE: sources that left.
    Goodbye(Goodbye<'a>),
    /// XR: extended reports.
    ExtendedReport(ExtendedReport<'a>),
    /// Any other: APP, RTPFB, PSFB and what is not assigned; skipped.
    Other {
        /// Its packet type, 192 to 223.
        packet_type: u8,
    },
}

/// Why bytes are no RTCP, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Fewer bytes than a header or the packet's own fields need.
    #[error("expected {expected} bytes of RTCP at byte {offset}, found {found}")]
    TooShort {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
        /// Where in the compound, in bytes.
        offset: usize,
    },
    /// Another version.
    #[error("expected RTCP version 2 at byte {offset}, found {found}")]
    Version {
        /// The first two bits.
        found: u8,
        /// Where in the compound, in bytes.
        offset: usize,
    },
    /// A packet type outside those that RTCP has (RFC 5761 section 4).
    #[error("expected an RTCP packet type of 192 to 223 at byte {offset}, found {found}")]
    PacketType {
        /// The second byte.
        found: u8,
        /// Where in the compound, in bytes.
        offset: usize,
    },
    /// Padding that is no multiple of four, longer than the packet, or not in the last one (RFC 3550 section 6.4.1).
    #[error("padding of {found} bytes does not fit the RTCP packet at byte {offset}")]
    Padding {
        /// What the last byte says.
        found: u8,
        /// Where in the compound, in bytes.
        offset: usize,
    },
}

/// The RTCP packets of one UDP payload. Ends after the first one that is malformed.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
    offset: usize,
}

/// The common header (RFC 3550 section 6.1) and what it covers.
struct Raw<'a> {
    count: u8,
    packet_type: u8,
    content: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Length of the common header in bytes.
    const HEADER: usize = 4;

    /// The packets of `payload`. Reduced-size compounds (RFC 5506) may begin with any packet type.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self {
            rest: payload,
            offset: 0,
        }
    }

    fn take(&mut self) -> Result<Raw<'a>, Malformed> {
        let offset = self.offset;
        let too_short = |expected, found| Malformed::TooShort {
            expected,
            found,
            offset,
        };
        let [first, packet_type, high, low, ..] = *self.rest else {
            return Err(too_short(Self::HEADER, self.rest.len()));
        };
        if first >> 6 != 2 {
            return Err(Malformed::Version {
                found: first >> 6,
                offset,
            });
        }
        if !(192..=223).contains(&packet_type) {
            return Err(Malformed::PacketType {
                found: packet_type,
                offset,
            });
        }
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((packet, rest)) = self.rest.split_at_checked(length) else {
            return Err(too_short(length, self.rest.len()));
        };
        let content = packet.get(Self::HEADER..).unwrap_or_default();
        let padded = first & 0x20 != 0;
        let content = if padded {
            unpadded(content, rest.is_empty()).map_err(|found| Malformed::Padding { found, offset })?
        } else {
            content
        };
        self.rest = rest;
        self.offset += length;
        Ok(Raw {
            count: first & 0x1f,
            packet_type,
            content,
        })
    }
}

/// `content` without its padding, or what the last byte says where that can't be.
fn unpadded(content: &[u8], last: bool) -> Result<&[u8], u8> {
    let padding = content.last().copied().unwrap_or(0);
    let kept = content.len().checked_sub(usize::from(padding));
    match kept.and_then(|kept| content.get(..kept)) {
        Some(kept) if last && padding != 0 && padding.is_multiple_of(4) => Ok(kept),
        _ => Err(padding),
    }
}

impl<'a> Raw<'a> {
    /// The packet's own fields, or the number of bytes they would need.
    fn read(self) -> Result<Packet<'a>, usize> {
        let Self {
            count,
            packet_type,
            content,
        } = self;
        Ok(match packet_type {
            packet_type::SENDER_REPORT => Packet::SenderReport(SenderReport::read(count, content)?),
            packet_type::RECEIVER_REPORT => Packet::ReceiverReport(ReceiverReport::read(count, content)?),
            packet_type::SOURCE_DESCRIPTION => Packet::SourceDescription(SourceDescription::read(count, content)),
            packet_type::GOODBYE => Packet::Goodbye(Goodbye::read(count, content)?),
            packet_type::EXTENDED_REPORT => Packet::ExtendedReport(ExtendedReport::read(content)?),
            packet_type => Packet::Other { packet_type },
        })
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        let packet = self.take().and_then(|raw| {
            let found = raw.content.len() + Self::HEADER;
            raw.read().map_err(|needed| Malformed::TooShort {
                expected: needed + Self::HEADER,
                found,
                offset,
            })
        });
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests;

//! Classic pcap: a header, then records with seconds and a fraction, in either byte order.
//!
//! draft-ietf-opsawg-pcap, and what libpcap still reads: the "modified" format with longer record headers (Kuznetzov's
//! patched libpcap, magic 0xa1b2cd34) and the lengths that versions up to 2.3 wrote the other way round.

use silentmon_proto::frame::LinkType;
use silentmon_proto::time::Instant;

use super::bytes::ByteOrder;
use super::input::{Input, Missing};
use super::{MAX_RECORD, Place, Problem, Record};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The modified format adds the interface's index, the protocol and the direction.
const MODIFIED_RECORD_HEADER: usize = 24;

/// Bits of the link-type field that must be zero: the field holds a LINKTYPE_ value in its lower half and the length
/// of the frame check sequence in its uppermost bits.
const RESERVED_BITS: u32 = 0x03ff_0000;

/// What the magic number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    order: ByteOrder,
    nanoseconds_per_unit: u32,
    record_header: usize,
}

impl Variant {
    pub(super) fn of(magic: &[u8]) -> Option<Self> {
        let magic = *magic.first_chunk()?;
        [ByteOrder::Little, ByteOrder::Big].into_iter().find_map(|order| {
            let (nanoseconds_per_unit, record_header) = match order.u32(magic) {
                0xa1b2_c3d4 => (1_000, RECORD_HEADER),
                0xa1b2_3c4d => (1, RECORD_HEADER),
                0xa1b2_cd34 => (1_000, MODIFIED_RECORD_HEADER),
                _ => return None,
            };
            Some(Self {
                order,
                nanoseconds_per_unit,
                record_header,
            })
        })
    }
}

/// In which order a record's two lengths are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    /// Version 2.3 was written both ways; the captured length is never the longer one.
    Either,
}

/// Reads the records.
pub(super) struct Classic {
    variant: Variant,
    link_type: LinkType,
    lengths: Lengths,
}

impl Classic {
    pub(super) fn read_header(variant: Variant, input: &mut Input) -> Result<Self, Problem> {
        let header: &[u8; FILE_HEADER] = input
            .peek_array()
            .map_err(|missing| missing.of("file header", FILE_HEADER))?;
        let version = (variant.order.u16_at(header, 4), variant.order.u16_at(header, 6));
        let lengths = match version {
            // 543 is what DG/UX's tcpdump wrote.
            (2, ..3) | (543, 0) => Lengths::WireFirst,
            (2, 3) => Lengths::Either,
            (2, 4) => Lengths::CapturedFirst,
            (major, minor) => {
                return Err(Problem::Version {
                    expected: "pcap version 2.0 to 2.4",
                    major,
                    minor,
                });
            }
        };
        let network = variant.order.u32_at(header, 20);
        if network & RESERVED_BITS != 0 {
            return Err(Problem::Field {
                what: "a link type",
                expected: "of 16 bits".to_owned(),
                found: network.into(),
            });
        }
        input.consume(FILE_HEADER);
        Ok(Self {
            variant,
            link_type: LinkType::from_pcap((network & 0xffff) as u16),
            lengths,
        })
    }

    #[inline]
    pub(super) fn next(&mut self, input: &mut Input, place: &mut Place) -> Result<Option<Record>, Problem> {
        let Variant {
            order,
            nanoseconds_per_unit,
            record_header,
        } = self.variant;
        let offset = input.offset();
        let header = match input.peek(record_header) {
            Ok(header) => header,
            Err(Missing {
                found: 0,
                failure: None,
            }) => return Ok(None),
            Err(missing) => {
                place.begin(offset);
                return Err(missing.of("record header", record_header));
            }
        };
        place.begin(offset);
        let (seconds, fraction) = (order.u32_at(header, 0), order.u32_at(header, 4));
        let (length, wire_length) = self.lengths.sort(order.u32_at(header, 8), order.u32_at(header, 12));
        if length as usize > MAX_RECORD {
            return Err(Problem::Field {
                what: "a captured length",
                expected: format!("of at most {MAX_RECORD} bytes"),
                found: length.into(),
            });
        }
        let length = length as usize;
        if let Err(missing) = input.peek(record_header + length) {
            return Err(missing.after(record_header).of("packet data", length));
        }
        input.consume(record_header + length);
        let nanoseconds = u64::from(fraction) * u64::from(nanoseconds_per_unit);
        Ok(Some(Record {
            link_type: self.link_type,
            // A fraction of a second or more is wrong, but says what it says.
            captured: Instant::from_nanos(u64::from(seconds) * 1_000_000_000 + nanoseconds),
            wire_length,
            back: length,
            length,
        }))
    }
}

impl Lengths {
    #[inline]
    fn sort(self, first: u32, second: u32) -> (u32, u32) {
        match self {
            Self::CapturedFirst => (first, second),
            Self::WireFirst => (second, first),
            Self::Either => (first.min(second), first.max(second)),
        }
    }
}

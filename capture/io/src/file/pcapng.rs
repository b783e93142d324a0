//! pcapng: sections of blocks, each section in its own byte order with interfaces of their own link type and clock.
//!
//! draft-ietf-opsawg-pcapng: section header, interface description, enhanced, simple and (obsolete) packet blocks are
//! read; names, statistics, secrets, custom and unknown blocks are skipped, whatever their length.

use silentmon_proto::frame::LinkType;
use silentmon_proto::time::Instant;

use super::bytes::ByteOrder;
use super::input::{Input, Missing};
use super::{MAX_RECORD, Place, Problem, Record};

/// Type of a section header block; reads the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and total length before a block's body; the total length again after it.
const HEAD: usize = 8;
const TRAILER: usize = 4;
/// Where the fields of a section header end and its options begin.
const SECTION_FIELDS: usize = 24;
/// Where the fields of an interface description end and its options begin.
const INTERFACE_FIELDS: usize = 16;
/// Where the data of an enhanced packet block begin; those of the obsolete packet block too.
const PACKET_DATA: usize = 28;
/// Where the data of a simple packet block begin.
const SIMPLE_PACKET_DATA: usize = 12;

const OPTION_END: u16 = 0;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

/// Interfaces a section may describe, so that a file of nothing else can't fill the memory.
const MAX_INTERFACES: usize = 1 << 16;

/// Reads the blocks.
pub(super) struct Pcapng {
    order: ByteOrder,
    /// Interfaces of the section, in the order of their description blocks.
    interfaces: Vec<Interface>,
    /// Capture time of the last frame that had one.
    last: Instant,
}

impl Default for Pcapng {
    fn default() -> Self {
        Self {
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            last: Instant::EPOCH,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interface {
    link_type: LinkType,
    /// 0 where nothing is cut.
    snap_length: u32,
    resolution: Resolution,
    offset_seconds: i64,
}

/// How many nanoseconds a tick of an interface's clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolution {
    /// 10 to the power of minus this, in seconds.
    Decimal(u8),
    /// 2 to the power of minus this, in seconds.
    Binary(u8),
}

#[derive(Debug, Clone, Copy)]
struct Head {
    kind: u32,
    length: usize,
}

impl Pcapng {
    pub(super) fn next(&mut self, input: &mut Input, place: &mut Place) -> Result<Option<Record>, Problem> {
        loop {
            let Some(Head { kind, length }) = self.head(input, place)? else {
                return Ok(None);
            };
            let record = match kind {
                ENHANCED_PACKET | PACKET => {
                    let block = whole(input, length, PACKET_DATA, self.order)?;
                    Some(self.packet(kind, block)?)
                }
                SIMPLE_PACKET => {
                    let block = whole(input, length, SIMPLE_PACKET_DATA, self.order)?;
                    Some(self.simple_packet(block)?)
                }
                INTERFACE_DESCRIPTION => {
                    let block = whole(input, length, INTERFACE_FIELDS, self.order)?;
                    let interface = Interface::read(block, self.order);
                    self.describe(interface)?;
                    None
                }
                _ => {
                    pass(input, length, self.order)?;
                    continue;
                }
            };
            input.consume(length);
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    /// Reads type and length of the next block. A section header sets the byte order for both.
    fn head(&mut self, input: &mut Input, place: &mut Place) -> Result<Option<Head>, Problem> {
        let offset = input.offset();
        let first: [u8; HEAD] = match input.peek_array() {
            Ok(head) => *head,
            Err(Missing {
                found: 0,
                failure: None,
            }) => return Ok(None),
            Err(missing) => {
                place.begin(offset);
                return Err(missing.of("block type and length", HEAD));
            }
        };
        place.begin(offset);
        if first.starts_with(&SECTION_HEADER) {
            self.begin_section(input)?;
        }
        let length = self.order.u32_at(&first, 4);
        if !length.is_multiple_of(4) || (length as usize) < HEAD + TRAILER {
            return Err(Problem::Field {
                what: "a block length",
                expected: "of 12 or more, a multiple of 4".to_owned(),
                found: length.into(),
            });
        }
        Ok(Some(Head {
            kind: self.order.u32_at(&first, 0),
            length: length as usize,
        }))
    }

    fn begin_section(&mut self, input: &mut Input) -> Result<(), Problem> {
        let header: &[u8; SECTION_FIELDS] = input
            .peek_array()
            .map_err(|missing| missing.of("section header", SECTION_FIELDS))?;
        let magic = ByteOrder::Little.u32_at(header, 8);
        self.order = match magic {
            BYTE_ORDER_MAGIC => ByteOrder::Little,
            _ if magic.swap_bytes() == BYTE_ORDER_MAGIC => ByteOrder::Big,
            _ => {
                return Err(Problem::Field {
                    what: "a byte-order magic",
                    expected: format!("of {BYTE_ORDER_MAGIC} in either order"),
                    found: magic.into(),
                });
            }
        };
        // Some writers called the same format 1.2.
        match (self.order.u16_at(header, 12), self.order.u16_at(header, 14)) {
            (1, 0 | 2) => {}
            (major, minor) => {
                return Err(Problem::Version {
                    expected: "pcapng version 1.0",
                    major,
                    minor,
                });
            }
        }
        self.interfaces.clear();
        Ok(())
    }

    fn describe(&mut self, interface: Interface) -> Result<(), Problem> {
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Problem::Field {
                what: "a number of interfaces",
                expected: format!("of at most {MAX_INTERFACES} in a section"),
                found: MAX_INTERFACES as u64 + 1,
            });
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&mut self, kind: u32, block: &[u8]) -> Result<Record, Problem> {
        let order = self.order;
        // The obsolete block has a drop count in the other half of the field.
        let interface = self.interface(match kind {
            PACKET => order.u16_at(block, 8).into(),
            _ => order.u32_at(block, 8),
        })?;
        let ticks = u64::from(order.u32_at(block, 12)) << 32 | u64::from(order.u32_at(block, 16));
        let room = block.len() - PACKET_DATA - TRAILER;
        let length = order.u32_at(block, 20) as usize;
        if length > room {
            return Err(Problem::Field {
                what: "a captured length",
                expected: format!("of at most the {room} bytes left in the block"),
                found: length as u64,
            });
        }
        self.last = interface.time(ticks);
        Ok(Record {
            link_type: interface.link_type,
            captured: self.last,
            wire_length: order.u32_at(block, 24),
            back: block.len() - PACKET_DATA,
            length,
        })
    }

    /// A block without interface, time or captured length: the first interface's, the last frame's, and what fits.
    fn simple_packet(&mut self, block: &[u8]) -> Result<Record, Problem> {
        let interface = self.interface(0)?;
        let wire_length = self.order.u32_at(block, 8);
        let room = block.len() - SIMPLE_PACKET_DATA - TRAILER;
        let cut = match interface.snap_length {
            0 => wire_length,
            snap_length => wire_length.min(snap_length),
        };
        Ok(Record {
            link_type: interface.link_type,
            captured: self.last,
            wire_length,
            back: block.len() - SIMPLE_PACKET_DATA,
            length: room.min(cut as usize),
        })
    }

    fn interface(&self, number: u32) -> Result<Interface, Problem> {
        let found = self.interfaces.get(number as usize).copied();
        found.ok_or(Problem::Interface {
            known: self.interfaces.len(),
            found: number,
        })
    }
}

/// The whole of a block whose fields need `fields` bytes, head and trailer included, not consumed yet.
fn whole(input: &mut Input, length: usize, fields: usize, order: ByteOrder) -> Result<&[u8], Problem> {
    if !(fields + TRAILER..=MAX_RECORD).contains(&length) {
        return Err(Problem::Field {
            what: "a block length",
            expected: format!("of {} to {MAX_RECORD} for its type", fields + TRAILER),
            found: length as u64,
        });
    }
    let block = input.peek(length).map_err(|missing| missing.of("block", length))?;
    check_trailer(length, order.u32_at(block, length - TRAILER))?;
    Ok(block)
}

/// Consumes a block that isn't read.
fn pass(input: &mut Input, length: usize, order: ByteOrder) -> Result<(), Problem> {
    let before = length - TRAILER;
    input
        .skip(before as u64)
        .map_err(|missing| missing.of("block", length))?;
    let trailer: &[u8; TRAILER] = input
        .peek_array()
        .map_err(|missing| missing.of("block length after a block", TRAILER))?;
    check_trailer(length, order.u32(*trailer))?;
    input.consume(TRAILER);
    Ok(())
}

fn check_trailer(length: usize, trailer: u32) -> Result<(), Problem> {
    if trailer as usize == length {
        return Ok(());
    }
    Err(Problem::Field {
        what: "a block length after the block",
        expected: format!("of {length} as before it"),
        found: trailer.into(),
    })
}

impl Interface {
    fn read(block: &[u8], order: ByteOrder) -> Self {
        let mut interface = Self {
            link_type: LinkType::from_pcap(order.u16_at(block, 8)),
            snap_length: order.u32_at(block, 12),
            resolution: Resolution::Decimal(6),
            offset_seconds: 0,
        };
        let mut options = block.get(INTERFACE_FIELDS..block.len() - TRAILER).unwrap_or(&[]);
        while let Some((code, value)) = next_option(&mut options, order) {
            match (code, value) {
                (OPTION_TIME_RESOLUTION, &[exponent]) => interface.resolution = Resolution::read(exponent),
                (OPTION_TIME_OFFSET, value) if value.len() == 8 => interface.offset_seconds = order.i64_at(value, 0),
                _ => {}
            }
        }
        interface
    }

    /// The point in time of a tick count; saturates at both ends of what an [`Instant`] holds.
    fn time(self, ticks: u64) -> Instant {
        let ticks = i128::from(ticks);
        let since_offset = match self.resolution {
            Resolution::Decimal(exponent @ ..=9) => ticks * 10_i128.pow(9 - u32::from(exponent)),
            Resolution::Decimal(exponent) => 10_i128
                .checked_pow(u32::from(exponent) - 9)
                .map_or(0, |divisor| ticks / divisor),
            Resolution::Binary(exponent) => (ticks * 1_000_000_000) >> exponent,
        };
        let nanoseconds = since_offset + i128::from(self.offset_seconds) * 1_000_000_000;
        Instant::from_nanos(u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX))
    }
}

/// Takes the next option off; `None` at the end, and where the rest is too short to hold what it claims.
fn next_option<'a>(options: &mut &'a [u8], order: ByteOrder) -> Option<(u16, &'a [u8])> {
    let head: &[u8; 4] = options.first_chunk()?;
    let (code, length) = (order.u16_at(head, 0), usize::from(order.u16_at(head, 2)));
    if code == OPTION_END {
        return None;
    }
    let value = options.get(4..4 + length)?;
    *options = options.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((code, value))
}

impl Resolution {
    fn read(exponent: u8) -> Self {
        match exponent & 0x80 {
            0 => Self::Decimal(exponent),
            _ => Self::Binary(exponent & 0x7f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(resolution: u8, offset_seconds: i64) -> Interface {
        Interface {
            link_type: LinkType::Ethernet,
            snap_length: 0,
            resolution: Resolution::read(resolution),
            offset_seconds,
        }
    }

    #[test]
    fn reads_every_time_resolution() {
        let second = Instant::from_parts(1, 500_000_000);
        assert_eq!(interface(0, 0).time(2), Instant::from_parts(2, 0));
        assert_eq!(interface(6, 0).time(1_500_000), second);
        assert_eq!(interface(9, 0).time(1_500_000_000), second);
        assert_eq!(interface(12, 0).time(1_500_000_000_000), second);
        assert_eq!(interface(0x8a, 0).time(1536), second);
        assert_eq!(interface(0x7f, 0).time(u64::MAX), Instant::EPOCH);
        assert_eq!(interface(0xff, 0).time(u64::MAX), Instant::EPOCH);
    }

    #[test]
    fn adds_the_clock_offset_and_stays_within_time() {
        assert_eq!(interface(6, 7).time(1_000_000), Instant::from_parts(8, 0));
        assert_eq!(interface(6, -7).time(1_000_000), Instant::EPOCH);
        assert_eq!(interface(0, i64::MAX).time(u64::MAX), Instant::from_nanos(u64::MAX));
        assert_eq!(interface(0, i64::MIN).time(0), Instant::EPOCH);
    }

    #[test]
    fn stops_reading_options_that_claim_more_than_there_is() {
        let mut options: &[u8] = &[9, 0, 1, 0, 3, 0, 0, 0, 14, 0, 8, 0, 1];
        assert_eq!(next_option(&mut options, ByteOrder::Little), Some((9, &[3][..])));
        assert_eq!(next_option(&mut options, ByteOrder::Little), None);
    }
}

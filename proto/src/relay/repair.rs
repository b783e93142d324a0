//! What a supervisor's program asks for where audio datagrams were lost on the way to it: an unreliable datagram of its
//! own, from client to server.

use thiserror::Error;

use crate::ids::Leg;

/// Most packets that may lie between a packet and its copy.
pub const MOST_COPY_DISTANCE: u8 = 63;
/// Numbers that one request can name: the base and those after it.
pub const NUMBERS_IN_A_REQUEST: u32 = 64;

/// Asks for packets of one leg to be sent again, and says how many packets later copies are wanted from now on.
///
/// 16 bytes, big-endian: version and kind (4 bits each); copy distance (7 bits), leg (1 bit); channel (2); base (4);
/// bitmap (8), whose bit n, counted from the lowest, asks for number base + n. A request that asks for nothing has
/// neither base nor bits; any other asks for its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairRequest {
    /// The session, by the number that `MonitorStarted` gave.
    pub channel: u16,
    /// Which side of the call.
    pub leg: Leg,
    /// How many packets later each packet is to be sent a second time, in case the first is lost; 0 for no copies.
    pub copy_distance: u8,
    base: u32,
    bitmap: u64,
}

/// A datagram that is no repair request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadRepairRequest {
    /// Too short or too long.
    #[error("expected a repair request of 16 bytes, found {0}")]
    Length(usize),
    /// Another version or kind.
    #[error("expected version 1 and kind 2, found first byte {0:02x}")]
    Foreign(u8),
    /// Copies later than anybody would wait.
    #[error("expected copies at most {MOST_COPY_DISTANCE} packets later, found {0}")]
    CopyDistance(u8),
    /// A base that isn't asked for.
    #[error("expected a bitmap that asks for its base {base}, found {bitmap:016x}")]
    Numbers {
        /// The base.
        base: u32,
        /// The bitmap.
        bitmap: u64,
    },
}

impl RepairRequest {
    /// Length in bytes.
    pub const LEN: usize = 16;
    const VERSION_AND_KIND: u8 = 0x12;

    /// A request that asks for nothing yet. A distance beyond [`MOST_COPY_DISTANCE`] counts as that.
    pub fn new(channel: u16, leg: Leg, copy_distance: u8) -> Self {
        Self {
            channel,
            leg,
            copy_distance: copy_distance.min(MOST_COPY_DISTANCE),
            base: 0,
            bitmap: 0,
        }
    }

    /// Asks for a number too. Answers whether there was room: numbers are given in ascending order (modulo 2^32), and
    /// within [`NUMBERS_IN_A_REQUEST`] of the first.
    pub fn ask(&mut self, number: u32) -> bool {
        if self.bitmap == 0 {
            self.base = number;
        }
        let place = number.wrapping_sub(self.base);
        if place >= NUMBERS_IN_A_REQUEST {
            return false;
        }
        self.bitmap |= 1 << place;
        true
    }

    /// The numbers asked for, in ascending order (modulo 2^32).
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let Self { base, bitmap, .. } = *self;
        let asked = (0..NUMBERS_IN_A_REQUEST).filter(move |place| bitmap >> place & 1 == 1);
        asked.map(move |place| base.wrapping_add(place))
    }

    /// Writes the datagram.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let leg = match self.leg {
            Leg::Agent => 0,
            Leg::Customer => 1,
        };
        let mut bytes = [0; Self::LEN];
        bytes[0] = Self::VERSION_AND_KIND;
        bytes[1] = self.copy_distance << 1 | leg;
        bytes[2..4].copy_from_slice(&self.channel.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.base.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.bitmap.to_be_bytes());
        bytes
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// Where it isn't exactly what [`to_bytes`](Self::to_bytes) writes.
    pub fn parse(datagram: &[u8]) -> Result<Self, BadRepairRequest> {
        let Ok(bytes) = <&[u8; Self::LEN]>::try_from(datagram) else {
            return Err(BadRepairRequest::Length(datagram.len()));
        };
        let [first, second, c0, c1, b0, b1, b2, b3, bitmap @ ..] = *bytes;
        if first != Self::VERSION_AND_KIND {
            return Err(BadRepairRequest::Foreign(first));
        }
        let copy_distance = second >> 1;
        if copy_distance > MOST_COPY_DISTANCE {
            return Err(BadRepairRequest::CopyDistance(copy_distance));
        }
        let (base, bitmap) = (u32::from_be_bytes([b0, b1, b2, b3]), u64::from_be_bytes(bitmap));
        if bitmap & 1 == 0 && (base, bitmap) != (0, 0) {
            return Err(BadRepairRequest::Numbers { base, bitmap });
        }
        Ok(Self {
            channel: u16::from_be_bytes([c0, c1]),
            leg: if second & 1 == 0 { Leg::Agent } else { Leg::Customer },
            copy_distance,
            base,
            bitmap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(numbers: &[u32]) -> RepairRequest {
        let mut request = RepairRequest::new(0x0102, Leg::Customer, 5);
        assert!(numbers.iter().all(|&number| request.ask(number)));
        request
    }

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        for numbers in [&[][..], &[0], &[7, 9, 70], &[u32::MAX - 1, u32::MAX, 0, 61]] {
            let request = request(numbers);
            assert_eq!(RepairRequest::parse(&request.to_bytes()), Ok(request));
            assert_eq!(request.numbers().collect::<Vec<_>>(), numbers);
        }
    }

    #[test]
    fn a_request_keeps_its_shape_on_the_wire() {
        let bytes = request(&[0x0a0b_0c0d, 0x0a0b_0c0f]).to_bytes();
        assert_eq!(bytes, [0x12, 11, 1, 2, 10, 11, 12, 13, 0, 0, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn a_number_out_of_reach_needs_another_request() {
        let mut request = request(&[100]);
        assert!(!request.ask(164) && !request.ask(99));
        assert_eq!(request.numbers().collect::<Vec<_>>(), [100]);
    }

    #[test]
    fn refuses_what_no_program_of_ours_writes() {
        let good = request(&[7]).to_bytes();
        let with = |place: usize, byte| {
            let mut bytes = good;
            bytes[place] = byte;
            RepairRequest::parse(&bytes)
        };
        assert_eq!(RepairRequest::parse(&good[1..]), Err(BadRepairRequest::Length(15)));
        assert_eq!(with(0, 0x11), Err(BadRepairRequest::Foreign(0x11)));
        assert_eq!(with(1, 0x80), Err(BadRepairRequest::CopyDistance(64)));
        let numbers = BadRepairRequest::Numbers { base: 7, bitmap: 2 };
        assert_eq!(with(15, 2), Err(numbers));
        assert_eq!(with(15, 0), Err(BadRepairRequest::Numbers { base: 7, bitmap: 0 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_as_what_writes_them(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(request) = RepairRequest::parse(&bytes) {
                prop_assert_eq!(&request.to_bytes()[..], &bytes[..]);
            }
        }

        #[test]
        fn any_fields_are_written_and_read(
            second in 0_u8..128, channel: u16, base: u32, bitmap: u64
        ) {
            let mut bytes = [0x12, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes[2..4].copy_from_slice(&channel.to_be_bytes());
            bytes[4..8].copy_from_slice(&base.to_be_bytes());
            bytes[8..].copy_from_slice(&(bitmap | 1).to_be_bytes());
            let request = RepairRequest::parse(&bytes).expect("as we write it");
            prop_assert_eq!(request.to_bytes(), bytes);
            prop_assert_eq!(request.numbers().next(), Some(base));
            prop_assert_eq!(request.numbers().count(), (bitmap | 1).count_ones() as usize);
        }
    }
}

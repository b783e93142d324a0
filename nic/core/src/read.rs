//! Tells the frames of a test from all others, and how each came.

use silentmon_proto::frame::VlanTag;
use silentmon_proto::time::Instant;

use crate::check::CheckId;
use crate::control::{Control, Heard};
use crate::frame::{IPV4, IPV6, UDP};
use crate::mac::MacAddress;
use crate::plan::{CUSTOMER_TPID, SERVICE_TPID, Tag, VOICE_TAG};
use crate::wire::{self, Condition, ETHER_TYPE, Kind, Payload, SessionId, UDP_PORT};

/// Most tags looked through.
const MOST_TAGS: usize = 8;

/// A frame as a socket hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Its bytes, without frame check sequence.
    pub bytes: &'a [u8],
    /// The tag the driver or the kernel took out and keeps beside the frame.
    pub metadata: Option<Tag>,
    /// The kernel's stamp.
    pub stamp: Instant,
}

/// The tags of a frame, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags {
    tags: [Option<Tag>; MOST_TAGS],
    /// Whether the outermost was beside the frame, not in it.
    pub in_metadata: bool,
}

impl Tags {
    /// Whether they are exactly these.
    pub fn are(&self, expected: &[Tag]) -> bool {
        let found = self.tags.iter().flatten();
        found.eq(expected)
    }

    fn push(&mut self, tag: Tag) -> bool {
        let free = self.tags.iter_mut().find(|place| place.is_none());
        free.map(|place| *place = Some(tag)).is_some()
    }
}

/// A frame of a check, and how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Of which check.
    pub check: CheckId,
    /// Of which round.
    pub round: u8,
    /// Its number within the check.
    pub sequence: u32,
    /// When it was sent, by the generator's clock.
    pub sent: Instant,
    /// When it came, by the kernel's stamp.
    pub arrived: Instant,
    /// How much of it came.
    pub condition: Condition,
    /// Its tags.
    pub tags: Tags,
}

/// What a frame is to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A message of this session.
    Control(SessionId, Heard),
    /// A frame of a check of this session.
    Probe(SessionId, Sighting),
    /// A test's, with a header that can't be believed.
    Damaged,
    /// Tagged as the frames of the documented sample are (VLAN 85, priority 5), without a session.
    Classic,
    /// Ordinary traffic.
    Foreign,
}

/// A frame that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Who sent it.
    pub source: MacAddress,
    /// What it is.
    pub content: Content,
}

/// Reads a frame. No frame is an error: what is no test's is foreign.
pub fn read(arrived: &Arrived<'_>) -> Read {
    let source = arrived.bytes.get(6..12).and_then(|bytes| bytes.try_into().ok());
    Read {
        source: MacAddress(source.unwrap_or_default()),
        content: content(arrived).unwrap_or(Content::Foreign),
    }
}

fn content(arrived: &Arrived<'_>) -> Option<Content> {
    let mut tags = Tags::default();
    if let Some(tag) = arrived.metadata {
        tags.in_metadata = tags.push(tag);
    }
    let (ether_type, rest) = through_tags(arrived.bytes.get(12..)?, &mut tags)?;
    let payload = match payload_of(ether_type, rest).map_or(Payload::Foreign, wire::read) {
        Payload::Foreign if tags.are(&[VOICE_TAG]) => return Some(Content::Classic),
        payload => payload,
    };
    Some(match payload {
        Payload::Foreign => Content::Foreign,
        Payload::DamagedHeader => Content::Damaged,
        Payload::Test(header, condition, body) => match header.kind {
            Kind::Probe(check) => {
                let sighting = Sighting {
                    check,
                    round: header.round,
                    sequence: header.sequence,
                    sent: header.sent,
                    arrived: arrived.stamp,
                    condition,
                    tags,
                };
                Content::Probe(header.session, sighting)
            }
            _ if condition != Condition::Whole => Content::Damaged,
            kind => {
                let heard = Heard {
                    control: Control::read(kind, body)?,
                    round: header.round,
                    arrived: arrived.stamp,
                };
                Content::Control(header.session, heard)
            }
        },
    })
}

/// EtherType behind all tags, and what follows it.
fn through_tags<'a>(mut bytes: &'a [u8], tags: &mut Tags) -> Option<(u16, &'a [u8])> {
    loop {
        let (&ether_type, rest) = bytes.split_first_chunk()?;
        let ether_type = u16::from_be_bytes(ether_type);
        if !matches!(ether_type, CUSTOMER_TPID | SERVICE_TPID | 0x9100) {
            return Some((ether_type, rest));
        }
        let (&tci, rest) = rest.split_first_chunk()?;
        let vlan = VlanTag::from_tci(u16::from_be_bytes(tci));
        if !tags.push(Tag { tpid: ether_type, vlan }) {
            return None;
        }
        bytes = rest;
    }
}

/// What a test's payload would be in a frame of this kind.
fn payload_of(ether_type: u16, rest: &[u8]) -> Option<&[u8]> {
    let datagram = match ether_type {
        ETHER_TYPE => return Some(rest),
        IPV4 => {
            let words = usize::from(rest.first()? & 15);
            (rest.get(9) == Some(&UDP)).then(|| rest.get(words * 4..)).flatten()?
        }
        IPV6 => (rest.get(6) == Some(&UDP)).then(|| rest.get(40..)).flatten()?,
        _ => return None,
    };
    let is_ours = datagram.get(2..4) == Some(&UDP_PORT.to_be_bytes());
    is_ours.then(|| datagram.get(8..)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{self, Ends};
    use crate::plan::SIZES;

    const ENDS: Ends = Ends {
        generator: MacAddress([2, 0, 0, 0, 0, 1]),
        target: MacAddress([2, 0, 0, 0, 0, 2]),
    };
    const SESSION: SessionId = SessionId(7);

    fn probe(check: CheckId, sequence: u32) -> Vec<u8> {
        let header = frame::header(SESSION, check, 0, sequence, Instant::from_nanos(5));
        frame::probe(ENDS, &check.shape(sequence).unwrap(), &header)
    }

    fn content(bytes: &[u8], metadata: Option<Tag>) -> Content {
        let stamp = Instant::from_nanos(9);
        read(&Arrived { bytes, metadata, stamp }).content
    }

    fn sighting(bytes: &[u8], metadata: Option<Tag>) -> Sighting {
        match content(bytes, metadata) {
            Content::Probe(SESSION, sighting) => sighting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_frame_of_every_check_is_read_as_it_was_built() {
        for check in CheckId::ALL.iter().copied() {
            for sequence in 0..check.frames().max(u32::from(check == CheckId::Burst)) {
                let shape = check.shape(sequence).unwrap();
                let frame = probe(check, sequence);
                assert_eq!(frame.len() + 4, usize::from(shape.wire_length), "{check}");
                let seen = sighting(&frame, None);
                assert_eq!(
                    (seen.check, seen.sequence, seen.condition),
                    (check, sequence, Condition::Whole)
                );
                assert!(seen.tags.are(shape.tags) && !seen.tags.in_metadata, "{check}");
            }
        }
        assert_eq!(
            (probe(CheckId::Sizes, 0).len(), probe(CheckId::Sizes, 12).len()),
            (60, 1518)
        );
        assert_eq!(SIZES.len(), 13);
    }

    #[test]
    fn a_tag_in_the_metadata_is_told_from_one_in_the_frame_and_from_a_lost_one() {
        let frame = probe(CheckId::Tagged, 0);
        let stripped = [&frame[..12], &frame[16..]].concat();
        let seen = sighting(&stripped, Some(VOICE_TAG));
        assert!(seen.tags.are(&[VOICE_TAG]) && seen.tags.in_metadata);
        let seen = sighting(&stripped, None);
        assert!(!seen.tags.are(&[VOICE_TAG]) && seen.condition == Condition::Whole);
    }

    #[test]
    fn a_tag_without_a_session_is_a_classic_frame() {
        let mut frame = probe(CheckId::Tagged, 0);
        frame[16] = 0x08;
        assert_eq!(content(&frame, None), Content::Classic);
        frame[15] = 86;
        assert_eq!(content(&frame, None), Content::Foreign);
    }

    #[test]
    fn a_damaged_message_says_nothing() {
        let now = Instant::from_nanos(1);
        let mut frame = frame::control(ENDS.generator, ENDS.target, SESSION, 0, now, &Control::Ready);
        assert_eq!(frame.len(), 60);
        assert!(matches!(content(&frame, None), Content::Control(SESSION, _)));
        frame[50] ^= 1;
        assert_eq!(content(&frame, None), Content::Damaged);
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..6_usize) {
            let kinds = [0x8100_u16, 0x88a8, 0x0800, 0x86dd, 0x88b5, 0x9100];
            content(&bytes, None);
            if let Some(place) = bytes.get_mut(12..14) {
                place.copy_from_slice(&kinds[kind].to_be_bytes());
            }
            content(&bytes, Some(VOICE_TAG));
        }

        #[test]
        fn a_frame_damaged_in_its_payload_never_counts_as_whole(check in 0..12_usize, place in 0..1600_usize, bit in 0..8) {
            let check = CheckId::ALL[check];
            let mut frame = probe(check, 0);
            let payload = frame::payload_offset(&check.shape(0).unwrap());
            let place = payload + place % (frame.len() - payload);
            frame[place] ^= 1_u8 << bit;
            if let Content::Probe(_, sighting) = content(&frame, None) {
                prop_assert!(sighting.condition != Condition::Whole);
            }
        }
    }
}

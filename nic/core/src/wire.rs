//! The payload of every frame of a test: a header with the session, a filling that is known beforehand, and checksums.
//!
//! ```text
//!  0  4  "SMNT"             10  8  session            30  4  CRC-32 of bytes 0 to 29
//!  4  1  version            18  4  sequence number    34     filling, or what a control message says
//!  5  1  kind               22  8  time of sending    -4  4  CRC-32 of all before it
//!  6  1  check              (nanoseconds since 1970)
//!  7  1  round
//!  8  2  length of all this
//! ```
//! Numbers are big-endian. The header's own checksum lets a frame that was cut or damaged further on still count for its
//! session as what it is; one whose header is damaged counts for nobody.

use std::fmt;

use serde::{Serialize, Serializer};
use silentmon_proto::time::Instant;
use thiserror::Error;

use crate::check::CheckId;

/// EtherType of frames without IP: IEEE 802's local experimental EtherType 1.
pub const ETHER_TYPE: u16 = 0x88b5;
/// UDP port of frames with IP: discard (RFC 863), so that nobody answers.
pub const UDP_PORT: u16 = 9;

/// Bytes before the filling.
pub const HEADER: usize = 34;
/// Bytes after it.
pub const TRAILER: usize = 4;
const MAGIC: [u8; 4] = *b"SMNT";
const VERSION: u8 = 1;
const CHECKED: usize = 30;

/// Which test a frame belongs to: drawn at random by the generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a session of 1 to 16 hexadecimal digits, found \"{0}\"")]
pub struct NoSession(String);

impl std::str::FromStr for SessionId {
    type Err = NoSession;

    fn from_str(text: &str) -> Result<Self, NoSession> {
        let digits = matches!(text.len(), 1..=16) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| NoSession(text.to_owned()))
    }
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The generator announces itself and what it will send.
    Hello,
    /// A frame of this check.
    Probe(CheckId),
    /// The generator has sent it all.
    Done,
    /// The target has heard the generator.
    Ready,
    /// The target wants some checks once more.
    Again,
    /// The target's verdict.
    Verdict,
}

impl Kind {
    const fn code(self) -> (u8, u8) {
        match self {
            Self::Hello => (1, 0),
            Self::Probe(check) => (2, check.number()),
            Self::Done => (3, 0),
            Self::Ready => (4, 0),
            Self::Again => (5, 0),
            Self::Verdict => (6, 0),
        }
    }

    fn from_code(kind: u8, check: u8) -> Option<Self> {
        match kind {
            1 => Some(Self::Hello),
            2 => CheckId::from_number(check).map(Self::Probe),
            3 => Some(Self::Done),
            4 => Some(Self::Ready),
            5 => Some(Self::Again),
            6 => Some(Self::Verdict),
            _ => None,
        }
    }
}

/// The header of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose it is.
    pub session: SessionId,
    /// What it is.
    pub kind: Kind,
    /// 0, and one more each time checks are sent again.
    pub round: u8,
    /// The frame's number within its check.
    pub sequence: u32,
    /// When it was sent, by the sender's clock.
    pub sent: Instant,
}

/// How much of a payload came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// All of it, as it was sent.
    Whole,
    /// Less than was sent.
    Cut,
    /// All of it, but changed.
    Damaged,
}

/// What bytes behind an EtherType or a UDP header are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A test's: its header, how much of it came, and what is between header and trailer (empty unless whole).
    Test(Header, Condition, &'a [u8]),
    /// A test's, with a header that can't be believed.
    DamagedHeader,
    /// Anything else.
    Foreign,
}

fn put(payload: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = payload.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Writes header and checksums around what is in `payload` already.
pub fn seal(payload: &mut [u8], header: &Header) {
    let (kind, check) = header.kind.code();
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    put(payload, 0, &MAGIC);
    put(payload, 4, &[VERSION, kind, check, header.round]);
    put(payload, 8, &length.to_be_bytes());
    put(payload, 10, &header.session.0.to_be_bytes());
    put(payload, 18, &header.sequence.to_be_bytes());
    put(payload, 22, &header.sent.as_nanos().to_be_bytes());
    let header_sum = crc32fast::hash(payload.get(..CHECKED).unwrap_or_default());
    put(payload, CHECKED, &header_sum.to_be_bytes());
    let body = payload.len().saturating_sub(TRAILER);
    let sum = crc32fast::hash(payload.get(..body).unwrap_or_default());
    put(payload, body, &sum.to_be_bytes());
}

/// The filling: bytes that differ from their neighbours, so that a shift shows.
pub fn fill(payload: &mut [u8]) {
    for (place, byte) in payload.iter_mut().enumerate() {
        *byte = u8::try_from(place * 37 % 251).unwrap_or_default();
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Reads what stands behind an EtherType or a UDP header; padding behind it is left out.
pub fn read(bytes: &[u8]) -> Payload<'_> {
    if !bytes.starts_with(&MAGIC) {
        return Payload::Foreign;
    }
    let Some((header, length)) = read_header(bytes) else {
        return Payload::DamagedHeader;
    };
    let Some(payload) = bytes.get(..length) else {
        return Payload::Test(header, Condition::Cut, &[]);
    };
    let (body, sum) = payload.split_at(length - TRAILER);
    if crc32fast::hash(body).to_be_bytes() != sum {
        return Payload::Test(header, Condition::Damaged, &[]);
    }
    Payload::Test(header, Condition::Whole, body.get(HEADER..).unwrap_or_default())
}

/// A header and the length it says, at least that of header and trailer.
fn read_header(bytes: &[u8]) -> Option<(Header, usize)> {
    let sum = crc32fast::hash(bytes.get(..CHECKED)?);
    let [version, kind, check, round] = array(bytes, 4)?;
    if version != VERSION || sum != u32::from_be_bytes(array(bytes, CHECKED)?) {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(array(bytes, 8)?));
    let header = Header {
        kind: Kind::from_code(kind, check)?,
        session: SessionId(u64::from_be_bytes(array(bytes, 10)?)),
        round,
        sequence: u32::from_be_bytes(array(bytes, 18)?),
        sent: Instant::from_nanos(u64::from_be_bytes(array(bytes, 22)?)),
    };
    (length >= HEADER + TRAILER).then_some((header, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            session: SessionId(0x0123_4567_89ab_cdef),
            kind: Kind::Probe(CheckId::Qinq),
            round: 3,
            sequence: 70_000,
            sent: Instant::from_nanos(1_700_000_000_000_000_001),
        }
    }

    fn payload(length: usize) -> Vec<u8> {
        let mut payload = vec![0; length];
        fill(&mut payload);
        seal(&mut payload, &header());
        payload
    }

    #[test]
    fn padding_behind_a_payload_is_left_out() {
        let sealed = payload(60);
        let padded = [sealed.as_slice(), &[0; 9]].concat();
        assert_eq!(
            read(&padded),
            Payload::Test(header(), Condition::Whole, &sealed[HEADER..56])
        );
    }

    #[test]
    fn a_cut_payload_still_says_whose_it_is() {
        let payload = payload(200);
        assert_eq!(read(&payload[..110]), Payload::Test(header(), Condition::Cut, &[]));
        assert_eq!(read(&payload[..33]), Payload::DamagedHeader);
    }

    #[test]
    fn a_session_reads_back_as_it_is_written() {
        let session = SessionId(0xbeef);
        assert_eq!(session.to_string().parse(), Ok(session));
        for text in ["", "x", "+5", "00000000000000000"] {
            assert_eq!(text.parse::<SessionId>(), Err(NoSession(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_reads_back(length in HEADER + TRAILER..1600) {
            let payload = payload(length);
            let between = &payload[HEADER..length - TRAILER];
            prop_assert_eq!(read(&payload), Payload::Test(header(), Condition::Whole, between));
        }

        #[test]
        fn a_damaged_payload_never_counts_as_whole(length in HEADER + TRAILER..400, place in 0_usize..400, bit in 0..8) {
            let mut payload = payload(length);
            payload[place % length] ^= 1_u8 << bit;
            prop_assert!(!matches!(read(&payload), Payload::Test(_, Condition::Whole, _)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[MAGIC.as_slice(), &bytes].concat());
        }
    }
}

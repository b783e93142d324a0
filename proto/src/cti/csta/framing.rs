//! Framing on TCP without SOAP: eight bytes before each document (protocol sheet 2.1).

use std::fmt;

use thiserror::Error;

/// Bytes before the document: format indicator, length, invoke id.
const HEADER: usize = 8;

/// Largest document accepted or sent, in bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;
const LONGEST: usize = MAX_DOCUMENT + HEADER;

/// The invoke id of events: they are answered by nobody.
pub const EVENT_INVOKE_ID: InvokeId = InvokeId(9999);

/// Ties a response to its request: 0 to 9999, on the wire four ASCII digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvokeId(u16);

impl InvokeId {
    /// An invoke id for a request.
    ///
    /// Wraps before [`EVENT_INVOKE_ID`], so that a request never has that one.
    pub const fn of_request(number: u16) -> Self {
        Self(number % EVENT_INVOKE_ID.0)
    }

    /// The number, 0 to 9999.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The invoke id of the next request.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::of_request(self.0 + 1)
    }

    fn from_digits(digits: [u8; 4]) -> Option<Self> {
        digits.iter().try_fold(Self(0), |Self(number), digit| {
            let value = char::from(*digit).to_digit(10)?;
            Some(Self(number * 10 + u16::try_from(value).ok()?))
        })
    }
}

impl fmt::Display for InvokeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// One framed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Of the request that this is, or that it answers; [`EVENT_INVOKE_ID`] for an event.
    pub invoke_id: InvokeId,
    /// The XML document.
    pub document: Vec<u8>,
}

/// Bytes that are no frame. The stream can't be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length doesn't cover its own header, or is beyond [`MAX_DOCUMENT`].
    #[error("expected a frame of {HEADER} to {LONGEST} bytes, found a length of {0}")]
    Length(u32),
    /// The invoke id isn't made of digits.
    #[error("expected four digits as invoke id, found {0:02x?}")]
    InvokeId([u8; 4]),
}

impl Frame {
    /// Writes header and document. A document of more than 65,527 bytes gets a length of 32 bits in place of format
    /// indicator and length, as [`Framer`] reads it.
    ///
    /// # Errors
    /// A document beyond [`MAX_DOCUMENT`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, FrameError> {
        let length = u32::try_from(self.document.len() + HEADER).unwrap_or(u32::MAX);
        if self.document.len() > MAX_DOCUMENT {
            return Err(FrameError::Length(length));
        }
        let mut bytes = Vec::with_capacity(self.document.len() + HEADER);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.invoke_id.to_string().as_bytes());
        bytes.extend_from_slice(&self.document);
        Ok(bytes)
    }
}

/// Cuts a stream of bytes into frames, in whatever portions they come.
///
/// The format indicator is 0 and the length has 16 bits. No standard says how a longer document is framed; a format
/// indicator other than 0 is read as the high half of a length of 32 bits where that isn't more than [`MAX_DOCUMENT`]
/// allows, and is an error otherwise.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    read: usize,
}

impl Framer {
    /// Takes the next portion.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame.
    ///
    /// # Errors
    /// A header that can't be one; it stays so until the framer is replaced.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.read..];
        let Some((length, invoke_id)) = header_of(rest)? else {
            return Ok(None);
        };
        let Some(document) = rest.get(HEADER..length) else {
            return Ok(None);
        };
        let frame = Frame {
            invoke_id,
            document: document.to_vec(),
        };
        self.read += length;
        Ok(Some(frame))
    }
}

fn header_of(bytes: &[u8]) -> Result<Option<(usize, InvokeId)>, FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    let in_bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER..=LONGEST).contains(&in_bytes) {
        return Err(FrameError::Length(length));
    }
    let Some(digits) = rest.first_chunk::<4>() else {
        return Ok(None);
    };
    let invoke_id = InvokeId::from_digits(*digits).ok_or(FrameError::InvokeId(*digits))?;
    Ok(Some((in_bytes, invoke_id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames_of(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next_frame().expect("good frames")).collect()
    }

    #[test]
    fn the_length_includes_the_header_and_the_invoke_id_is_in_digits() {
        let frame = Frame {
            invoke_id: InvokeId::of_request(7),
            document: b"<a/>".to_vec(),
        };
        assert_eq!(frame.to_bytes().expect("short"), b"\x00\x00\x00\x0c0007<a/>");
    }

    #[test]
    fn a_format_indicator_other_than_zero_is_the_high_half_of_a_long_length() {
        let long = Frame {
            invoke_id: EVENT_INVOKE_ID,
            document: vec![b' '; 70_000],
        };
        let bytes = long.to_bytes().expect("long");
        assert_eq!(bytes[..8], *b"\x00\x01\x11\x789999");
        let mut framer = Framer::default();
        framer.push(&bytes);
        assert_eq!(frames_of(&mut framer), [long]);
    }

    #[test]
    fn a_header_that_can_not_be_one_is_refused_with_what_it_holds() {
        for (bytes, error) in [
            (&b"HTTP/1.1 400 Bad"[..], FrameError::Length(0x4854_5450)),
            (b"\x00\x00\x00\x079999", FrameError::Length(7)),
            (b"\x00\x10\x00\x099999", FrameError::Length(0x0010_0009)),
            (b"\x00\x00\x00\x0c12 4", FrameError::InvokeId(*b"12 4")),
        ] {
            let mut framer = Framer::default();
            framer.push(bytes);
            assert_eq!(framer.next_frame(), Err(error));
        }
        let too_long = Frame {
            invoke_id: EVENT_INVOKE_ID,
            document: vec![b' '; MAX_DOCUMENT + 1],
        };
        assert!(too_long.to_bytes().is_err());
    }

    #[test]
    fn requests_count_from_0_to_9998() {
        assert_eq!(InvokeId::of_request(9998).next(), InvokeId::of_request(0));
        assert_eq!(InvokeId::of_request(9999).number(), 0);
    }

    proptest! {
        #[test]
        fn frames_come_back_whatever_the_portions(
            documents in proptest::collection::vec((0_u16..10_000, proptest::collection::vec(any::<u8>(), 0..300)), 0..6),
            portion in 1_usize..40,
        ) {
            let frames: Vec<Frame> = documents
                .into_iter()
                .map(|(number, document)| Frame { invoke_id: InvokeId(number), document })
                .collect();
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.to_bytes().expect("short")).collect();
            let mut framer = Framer::default();
            let mut read = Vec::new();
            for portion in bytes.chunks(portion) {
                framer.push(portion);
                read.extend(frames_of(&mut framer));
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn any_bytes_never_panic(portions in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..10)) {
            let mut framer = Framer::default();
            for portion in portions {
                framer.push(&portion);
                while let Ok(Some(_)) = framer.next_frame() {}
            }
        }
    }
}

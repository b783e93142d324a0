//! Bytes of the connection, in whatever portions, to messages (protocol sheet 1.1).
//!
//! There is no mark to find the next message by: a header that can't be true means that the stream is out of step, and
//! only a new connection helps.

use thiserror::Error;

use super::MessageType;
use super::wire::Wire;

/// MessageLength and MessageType.
pub const HEADER_SIZE: usize = 8;

/// The greatest body taken for true. Real ones are a few KiB.
pub const MAX_BODY: usize = 64 * 1024;

/// One message as framed, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What kind of message it is.
    pub message_type: MessageType,
    /// Fixed part and floating part.
    pub body: Vec<u8>,
}

/// A header that can't be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OutOfSync {
    /// A MessageLength beyond [`MAX_BODY`].
    #[error("out of step: expected a message of at most {MAX_BODY} bytes, found a length of {length}")]
    Length {
        /// The MessageLength found.
        length: u32,
    },
    /// A MessageType that nobody gave out.
    #[error(
        "out of step: expected a message type of 1 to {}, found {found}",
        MessageType::HIGHEST
    )]
    Type {
        /// The MessageType found.
        found: u32,
    },
}

/// Collects bytes and cuts them into messages. Ask [`poll_frame`](Self::poll_frame) until it has no more after every
/// portion: then it holds at most one unfinished message.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
}

impl Framer {
    /// Takes the next portion of the stream.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// [`OutOfSync`] when the header can't be true; again at every call until [`reset`](Self::reset).
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, OutOfSync> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let Some((length, after_length)) = split_uint(pending) else {
            return Ok(None);
        };
        let body_size = usize::try_from(length).unwrap_or(usize::MAX);
        if body_size > MAX_BODY {
            return Err(OutOfSync::Length { length });
        }
        let Some((message_type, after_type)) = split_uint(after_length) else {
            return Ok(None);
        };
        if !(1..=MessageType::HIGHEST).contains(&message_type) {
            return Err(OutOfSync::Type { found: message_type });
        }
        let Some(body) = after_type.get(..body_size) else {
            return Ok(None);
        };
        let frame = Frame {
            message_type: MessageType(message_type),
            body: body.to_vec(),
        };
        self.start += HEADER_SIZE + body_size;
        Ok(Some(frame))
    }

    /// Forgets everything: for a new connection.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }
}

fn split_uint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (uint, rest) = bytes.split_at_checked(u32::SIZE)?;
    Some((u32::from_wire(uint), rest))
}

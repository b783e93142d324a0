//! Why a message can't be read or written.

use thiserror::Error;

use super::framer::MAX_BODY;
use super::{MessageType, ProtocolVersion, Tag};

/// A body that isn't what its message type says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body ends within the fixed part.
    #[error("{message_type}: expected a fixed part of {expected} bytes, found {found}")]
    FixedTooShort {
        /// The message.
        message_type: MessageType,
        /// The fixed part's size by the session's version.
        expected: usize,
        /// The body's size.
        found: usize,
    },
    /// The floating part doesn't end with the message, for no size of the fixed part that was tried.
    #[error("{message_type}: expected floating fields from byte {fixed} to the end: {source}")]
    Floating {
        /// The message.
        message_type: MessageType,
        /// The fixed part's size by the session's version.
        fixed: usize,
        /// What was wrong there.
        source: Box<DecodeError>,
    },
    /// A floating field reaches beyond the message.
    #[error("the field at byte {offset} of the floating part reaches beyond the {remaining} bytes left")]
    FieldOverrun {
        /// Where the field begins.
        offset: usize,
        /// Bytes from there to the message's end.
        remaining: usize,
    },
    /// Tag 0, which no field has.
    #[error("the field at byte {offset} of the floating part has tag 0")]
    TagZero {
        /// Where the field begins.
        offset: usize,
    },
}

/// A message that the session's version can't carry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A tag or length beyond the 255 that one byte holds.
    #[error("version {version} can't carry {tag} of {length} bytes: tag and length go up to 255")]
    FieldTooWide {
        /// The field.
        tag: Tag,
        /// Its data's size.
        length: u16,
        /// The session's version.
        version: ProtocolVersion,
    },
    /// A body beyond [`MAX_BODY`].
    #[error("expected a body of at most {MAX_BODY} bytes, found {size}")]
    TooLong {
        /// The body's size.
        size: usize,
    },
}

//! Source descriptions and goodbyes (RFC 3550 sections 6.5 and 6.6).

use super::Ssrc;
use super::wire::{split, word};

/// Who the sources are (RFC 3550 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceDescription<'a> {
    count: u8,
    content: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) const fn read(count: u8, content: &'a [u8]) -> Self {
        Self { count, content }
    }

    /// What is told about each source; ends early where a chunk runs out of bytes.
    pub const fn chunks(&self) -> Chunks<'a> {
        Chunks {
            remaining: self.count,
            rest: self.content,
        }
    }
}

/// The chunks of a source description.
#[derive(Debug, Clone)]
pub struct Chunks<'a> {
    remaining: u8,
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (ssrc, items) = word(self.rest).ok()?;
        let length = items_length(items)?;
        let (items, after) = items.split_at_checked(length)?;
        // the null that ends the items is padded to the next word
        let padding = 4 - length % 4;
        self.rest = after.get(padding..).unwrap_or_default();
        Some(Chunk {
            ssrc: Ssrc(ssrc),
            items,
        })
    }
}

/// Length of the items up to the null that ends them.
fn items_length(items: &[u8]) -> Option<usize> {
    let mut position = 0;
    loop {
        match items.get(position..)? {
            [] | [0, ..] => return Some(position),
            [_, length, ..] => position += 2 + usize::from(*length),
            [_] => return None,
        }
    }
}

/// What is told about one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

/// What a description item tells (RFC 3550 section 12.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemType {
    /// CNAME: the name that stays the same when the SSRC changes.
    CanonicalName,
    /// NAME: a person.
    Name,
    /// TOOL: the sending program.
    Tool,
    /// Any other.
    Other(u8),
}

impl From<u8> for ItemType {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::CanonicalName,
            2 => Self::Name,
            6 => Self::Tool,
            other => Self::Other(other),
        }
    }
}

impl<'a> Chunk<'a> {
    /// Its items in turn. The text should be UTF-8 and is whatever the sender sent.
    pub fn items(&self) -> impl Iterator<Item = (ItemType, &'a [u8])> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let ([item, length], after) = split::<2>(rest).ok()?;
            let (text, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some((ItemType::from(*item), text))
        })
    }

    /// The canonical name, the same for all streams of one participant.
    pub fn canonical_name(&self) -> Option<&'a [u8]> {
        self.items()
            .find_map(|(item, text)| (item == ItemType::CanonicalName).then_some(text))
    }
}

/// Sources that left (RFC 3550 section 6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goodbye<'a> {
    sources: &'a [[u8; 4]],
    reason: Option<&'a [u8]>,
}

impl<'a> Goodbye<'a> {
    pub(super) fn read(count: u8, content: &'a [u8]) -> Result<Self, usize> {
        let count = usize::from(count);
        let sources = content.as_chunks().0.get(..count).ok_or(count * 4)?;
        let reason = match content.get(count * 4..) {
            Some([length, text @ ..]) => text.get(..usize::from(*length)),
            _ => None,
        };
        Ok(Self { sources, reason })
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        self.sources.iter().map(|ssrc| Ssrc(u32::from_be_bytes(*ssrc)))
    }

    /// Why, in the sender's words.
    pub const fn reason(&self) -> Option<&'a [u8]> {
        self.reason
    }
}

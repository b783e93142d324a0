//! Cuts the stream into documents, wherever the borders of its chunks lie.
//!
//! Only what marks where a document ends is looked at: tags, quotes in them, comments, processing instructions and
//! character data sections. Whether the document is any good is for whoever reads it.

use thiserror::Error;

/// Largest document that is waited for, in bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// A document that never seems to end: the stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a document of at most {MAX_DOCUMENT} bytes on the event stream")]
pub struct Oversized;

/// Gathers the stream's bytes until a document is complete.
#[derive(Debug, Clone, Default)]
pub struct StreamReader {
    /// The document that has begun, from its root's `<`; or a mark-up outside any document.
    document: Vec<u8>,
    /// Open elements.
    depth: usize,
    state: State,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Between tags.
    #[default]
    Text,
    /// Behind `<`, with what follows it from this place on.
    Opened {
        from: usize,
    },
    /// In a start tag.
    StartTag {
        quote: Option<u8>,
    },
    EndTag,
    /// Until this ending.
    Until(&'static [u8]),
    /// In a declaration such as a document type, which a reader will refuse.
    Declaration,
}

impl StreamReader {
    /// Takes up the next bytes and gives the documents that they complete, each from its root's start tag to its end tag.
    ///
    /// # Errors
    /// [`Oversized`]: more than [`MAX_DOCUMENT`] bytes without an end. The reader begins anew.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Oversized> {
        let mut complete = Vec::new();
        for &byte in bytes {
            self.take(byte, &mut complete);
            if self.document.len() > MAX_DOCUMENT {
                *self = Self {
                    skipped: self.skipped,
                    ..Self::default()
                };
                return Err(Oversized);
            }
        }
        Ok(complete)
    }

    /// Bytes of an incomplete document held.
    pub fn pending(&self) -> usize {
        self.document.len()
    }

    /// Bytes that belonged to no document and were no white space.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn take(&mut self, byte: u8, complete: &mut Vec<Vec<u8>>) {
        let between = self.depth == 0 && self.state == State::Text;
        if between && byte != b'<' {
            self.skipped += u64::from(!byte.is_ascii_whitespace());
            return;
        }
        self.document.push(byte);
        self.state = match self.state {
            State::Text if byte == b'<' => State::Opened {
                from: self.document.len(),
            },
            State::Text => State::Text,
            State::Opened { from } => self.opened(from),
            State::StartTag { quote: Some(quote) } if byte == quote => State::StartTag { quote: None },
            State::StartTag { quote: None } if byte == b'"' || byte == b'\'' => State::StartTag { quote: Some(byte) },
            State::StartTag { quote: None } if byte == b'>' => {
                if !self.document.ends_with(b"/>") {
                    self.depth += 1;
                }
                self.ended(complete);
                State::Text
            }
            State::EndTag if byte == b'>' => {
                self.depth = self.depth.saturating_sub(1);
                self.ended(complete);
                State::Text
            }
            State::Until(ending) if self.document.ends_with(ending) => self.aside(),
            State::Declaration if byte == b'>' => self.aside(),
            unchanged @ (State::StartTag { .. } | State::EndTag | State::Until(_) | State::Declaration) => unchanged,
        };
    }

    /// Tells apart what follows `<`.
    fn opened(&self, from: usize) -> State {
        const COMMENT: &[u8] = b"!--";
        const CDATA: &[u8] = b"![CDATA[";
        let so_far = self.document.get(from..).unwrap_or_default();
        match so_far.first() {
            Some(b'?') => State::Until(b"?>"),
            Some(b'/') => State::EndTag,
            Some(b'!') if so_far == COMMENT => State::Until(b"-->"),
            Some(b'!') if so_far == CDATA => State::Until(b"]]>"),
            Some(b'!') if COMMENT.starts_with(so_far) || CDATA.starts_with(so_far) => State::Opened { from },
            Some(b'!') => {
                if so_far.last() == Some(&b'>') {
                    State::Text
                } else {
                    State::Declaration
                }
            }
            _ => State::StartTag { quote: None },
        }
    }

    /// A tag has ended, and with depth 0 the document.
    fn ended(&mut self, complete: &mut Vec<Vec<u8>>) {
        if self.depth > 0 {
            return;
        }
        let document = std::mem::take(&mut self.document);
        if document.starts_with(b"</") {
            self.skipped += document.len() as u64;
        } else {
            complete.push(document);
        }
    }

    /// What isn't an element has ended; outside a document nobody needs it.
    fn aside(&mut self) -> State {
        if self.depth == 0 {
            self.document.clear();
        }
        State::Text
    }
}

//! A window over the bytes of a capture file: read ahead in large pieces, handed out as slices, never copied twice.
//!
//! Memory stays within one window however large the file or the lengths it claims.

use std::io::{ErrorKind, Read};

use super::error::Problem;

/// Bytes read at a time.
const WINDOW: usize = 256 * 1024;

/// Where the bytes come from.
pub(super) type Source = Box<dyn Read + Send>;

/// A reader with a window.
pub(super) struct Input {
    source: Source,
    window: Vec<u8>,
    /// The bytes of the window not consumed yet.
    start: usize,
    end: usize,
    /// Bytes consumed since the start of the file.
    offset: u64,
    state: State,
    compressed: bool,
}

enum State {
    Reading,
    Ended,
    Failed(std::io::Error),
}

/// Bytes that were asked for but aren't there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// How many there are.
    pub(super) found: usize,
    /// What stopped the file, where it isn't simply its end.
    pub(super) failure: Option<Problem>,
}

impl Missing {
    /// The same, counted from after the first `count` bytes.
    pub(super) fn after(self, count: usize) -> Self {
        Self {
            found: self.found.saturating_sub(count),
            ..self
        }
    }

    /// The problem this is when `expected` bytes of `what` were needed.
    pub(super) fn of(self, what: &'static str, expected: usize) -> Problem {
        self.failure.unwrap_or(Problem::CutShort {
            what,
            expected: expected as u64,
            found: self.found as u64,
        })
    }
}

impl Input {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            window: vec![0; WINDOW],
            start: 0,
            end: 0,
            offset: 0,
            state: State::Reading,
            compressed: false,
        }
    }

    /// Puts a decompressor between the source and the window. What was read ahead becomes its first input.
    pub(super) fn decompress(self, decompressor: impl FnOnce(Source) -> Source) -> Self {
        let ahead = self.window.get(self.start..self.end).unwrap_or(&[]).to_vec();
        let chained: Source = Box::new(std::io::Cursor::new(ahead).chain(self.source));
        Self {
            compressed: true,
            ..Self::new(decompressor(chained))
        }
    }

    /// Bytes consumed since the start of the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes, without consuming them.
    #[inline]
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], Missing> {
        if self.end - self.start < count {
            self.fill(count)?;
        }
        Ok(self.window.get(self.start..self.start + count).unwrap_or(&[]))
    }

    /// The next `N` bytes, without consuming them.
    #[inline]
    pub(super) fn peek_array<const N: usize>(&mut self) -> Result<&[u8; N], Missing> {
        let bytes = self.peek(N)?;
        bytes.first_chunk().ok_or(Missing {
            found: 0,
            failure: None,
        })
    }

    /// As many bytes as there are, up to `count`, without consuming them.
    pub(super) fn peek_up_to(&mut self, count: usize) -> &[u8] {
        let there = match self.peek(count) {
            Ok(_) => count,
            Err(missing) => missing.found,
        };
        self.window.get(self.start..self.start + there).unwrap_or(&[])
    }

    /// Consumes bytes that were peeked at.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// The last `count` bytes consumed, which stay in the window until the next peek.
    #[inline]
    pub(super) fn consumed(&self, count: usize) -> &[u8] {
        let from = self.start.saturating_sub(count);
        self.window.get(from..self.start).unwrap_or(&[])
    }

    /// Consumes `count` bytes that need not fit into the window.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Missing> {
        let mut left = count;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(WINDOW).min(WINDOW);
            let there = self.peek_up_to(step).len();
            self.consume(there);
            left -= there as u64;
            if there < step {
                return Err(Missing {
                    found: usize::try_from(count - left).unwrap_or(usize::MAX),
                    failure: self.failure(),
                });
            }
        }
        Ok(())
    }

    /// Whether the file ends here, cleanly.
    pub(super) fn at_end(&mut self) -> Result<bool, Problem> {
        match self.peek(1) {
            Ok(_) => Ok(false),
            Err(Missing { failure: None, .. }) => Ok(true),
            Err(Missing {
                failure: Some(problem), ..
            }) => Err(problem),
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> Result<(), Missing> {
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.window.len() < count {
            self.window.resize(count, 0);
        }
        while self.end < count && matches!(self.state, State::Reading) {
            self.read_once();
        }
        if self.end < count {
            return Err(Missing {
                found: self.end,
                failure: self.failure(),
            });
        }
        Ok(())
    }

    fn read_once(&mut self) {
        let room = self.window.get_mut(self.end..).unwrap_or(&mut []);
        match self.source.read(room) {
            Ok(0) => self.state = State::Ended,
            Ok(read) => self.end = self.window.len().min(self.end + read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.state = State::Failed(error),
        }
    }

    fn failure(&self) -> Option<Problem> {
        let State::Failed(error) = &self.state else {
            return None;
        };
        let damaged = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData
        );
        Some(match (self.compressed && damaged, error.kind()) {
            (true, ErrorKind::UnexpectedEof) => Problem::Gzip("they are cut short".to_owned()),
            (true, _) => Problem::Gzip(error.to_string()),
            (false, _) => Problem::Read(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in drops of three, then fails if asked to.
    struct Dripping(std::io::Cursor<Vec<u8>>, bool);

    impl Read for Dripping {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            let drop = room.len().min(3);
            match self.0.read(&mut room[..drop])? {
                0 if self.1 => Err(std::io::Error::other("the disk is gone")),
                read => Ok(read),
            }
        }
    }

    fn input(bytes: Vec<u8>, fails: bool) -> Input {
        Input::new(Box::new(Dripping(std::io::Cursor::new(bytes), fails)))
    }

    #[test]
    fn hands_out_what_comes_in_drops() {
        let mut input = input((0..10).collect(), false);
        assert_eq!(input.peek(4), Ok(&[0, 1, 2, 3][..]));
        input.consume(3);
        assert_eq!(input.consumed(2), &[1, 2]);
        assert_eq!(input.peek(7), Ok(&[3, 4, 5, 6, 7, 8, 9][..]));
        assert_eq!(input.offset(), 3);
    }

    #[test]
    fn says_how_much_is_there_when_it_is_not_enough() {
        let mut input = input(vec![7; 10], false);
        let missing = Missing {
            found: 10,
            failure: None,
        };
        assert_eq!(input.peek(11), Err(missing));
        assert_eq!(input.peek_up_to(11).len(), 10);
        assert_eq!(input.at_end(), Ok(false));
        input.consume(10);
        assert_eq!(input.at_end(), Ok(true));
    }

    #[test]
    fn delivers_what_came_before_a_failing_read_and_then_the_failure() {
        let mut input = input(vec![7; 10], true);
        assert_eq!(input.peek(10).map(<[u8]>::len), Ok(10));
        input.consume(10);
        assert_eq!(input.at_end(), Err(Problem::Read("the disk is gone".into())));
    }

    #[test]
    fn skips_more_than_the_window_holds_without_growing_it() {
        let mut input = input(vec![7; WINDOW * 2 + 5], false);
        assert_eq!(input.skip(WINDOW as u64 * 2), Ok(()));
        assert_eq!(input.window.len(), WINDOW);
        let missing = Missing {
            found: 5,
            failure: None,
        };
        assert_eq!(input.skip(1 << 40), Err(missing));
        assert_eq!(input.window.len(), WINDOW);
    }
}

//! Frames of CSTA over TCP without SOAP (protocol sheet 2.1): two zero bytes, the length with these eight bytes, four
//! decimal digits of invoke id, the document.

/// The invoke id of events.
pub(super) const EVENT: u16 = 9999;
const HEADER: usize = 8;

/// A document in its frame; `None` where it is too long for one.
pub(super) fn frame(invoke: u16, document: &str) -> Option<Vec<u8>> {
    let length = u16::try_from(HEADER + document.len()).ok()?;
    let [high, low] = length.to_be_bytes();
    let mut bytes = vec![0, 0, high, low];
    bytes.extend(format!("{invoke:04}").bytes());
    bytes.extend(document.bytes());
    Some(bytes)
}

/// Cuts frames out of a stream.
#[derive(Debug, Default)]
pub(super) struct Framer(Vec<u8>);

/// A stream that isn't made of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfSync;

impl Framer {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// The next whole frame: invoke id and document.
    pub fn next(&mut self) -> Result<Option<(u16, String)>, OutOfSync> {
        let Some([f1, f0, l1, l0, digits @ ..]) = self.0.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([*l1, *l0]));
        let digits = std::str::from_utf8(digits).map_err(|_| OutOfSync)?;
        let invoke = digits.parse().map_err(|_| OutOfSync)?;
        if (*f1, *f0) != (0, 0) || length < HEADER {
            return Err(OutOfSync);
        }
        if self.0.len() < length {
            return Ok(None);
        }
        let document = String::from_utf8(self.0[HEADER..length].to_vec()).map_err(|_| OutOfSync)?;
        self.0.drain(..length);
        Ok(Some((invoke, document)))
    }
}

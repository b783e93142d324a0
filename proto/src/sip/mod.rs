//! SIP messages (RFC 3261) as a passive listener reads them: start line, header fields, bodies.
//!
//! A listener must read what phones get along with, and nothing it misreads may do harm. So odd but readable messages
//! are taken (RFC 4475 section 3.1.1), those that contradict themselves are refused, and nothing is ever answered.

mod address;
mod body;
mod framing;
mod header;

use std::borrow::Cow;

use thiserror::Error;

pub use address::{NameAddr, Uri};
pub use body::Body;
pub use framing::{find_start, message_length};

use header::Header;

/// Most header fields of a message that are read.
const MOST_HEADERS: usize = 512;
/// The largest sequence number of a CSeq (RFC 3261 section 8.1.1.5), exclusive.
const CSEQ_LIMIT: u64 = 1 << 31;

/// Why bytes are no SIP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SipError {
    /// The first line is neither a request's nor a response's.
    #[error("expected a SIP request line or status line")]
    StartLine,
    /// A line among the header fields that is none, or more of them than are read.
    #[error("expected a header field")]
    Header,
    /// No empty line ends the header fields in a stream.
    #[error("expected an empty line after the header fields")]
    Unended,
    /// A header field that every message has is absent (RFC 3261 section 8.1.1).
    #[error("expected a header field {0}")]
    Missing(&'static str),
    /// A header field that stands once comes twice with different values.
    #[error("expected one header field {0}, found several")]
    Repeated(&'static str),
    /// A value that is out of its range or its grammar.
    #[error("expected a readable header field {0}")]
    Value(&'static str),
    /// The CSeq names another method than the request line (RFC 3261 section 8.1.1.5).
    #[error("expected the method of the request line in the CSeq")]
    Method,
    /// The body is shorter than its Content-Length says.
    #[error("expected {expected} bytes of body, found {found}")]
    Short {
        /// The Content-Length.
        expected: usize,
        /// The bytes there are.
        found: usize,
    },
}

/// The first line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// A request.
    Request {
        /// Its method, as it stands (methods are case-sensitive).
        method: Cow<'a, str>,
        /// Its Request-URI, as it stands.
        uri: Cow<'a, str>,
    },
    /// A response.
    Response {
        /// Its status code, 100 to 699.
        status: u16,
    },
}

/// A CSeq (RFC 3261 section 20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: &'a str,
}

/// A SIP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its first line.
    pub start: StartLine<'a>,
    headers: Vec<Header<'a>>,
    /// Its body; empty where it has none.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the message in a datagram or cut out of a byte stream. Bytes after it are left alone (RFC 3261
    /// section 18.3).
    ///
    /// # Errors
    /// [`SipError`] where the bytes are no SIP message, or one that contradicts itself.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SipError> {
        let bytes = header::without_leading_line_ends(bytes);
        let (first, rest) = header::split_line(bytes).ok_or(SipError::StartLine)?;
        let start = start_line(first)?;
        let (headers, body) = read_headers(rest)?;
        let message = Self { start, headers, body };
        let body = message.declared_body()?;
        let message = Self { body, ..message };
        message.check()?;
        Ok(message)
    }

    /// The first value of a header field, by its long name in lower case; compact forms are found by it too.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    /// Every value of a header field, those listed after commas too.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields(name).flat_map(header::split_list)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.header("call-id").unwrap_or_default()
    }

    /// The CSeq.
    pub fn cseq(&self) -> CSeq<'_> {
        self.read_cseq().unwrap_or(CSeq { number: 0, method: "" })
    }

    /// The From.
    pub fn from(&self) -> NameAddr<'_> {
        self.header("from").map(NameAddr::parse).unwrap_or_default()
    }

    /// The To.
    pub fn to(&self) -> NameAddr<'_> {
        self.header("to").map(NameAddr::parse).unwrap_or_default()
    }

    /// The status code of a response.
    pub const fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status } => Some(status),
        }
    }

    /// The bodies: the parts of a multipart one (RFC 2046 section 5.1), however nested, or the only one.
    pub fn bodies(&self) -> Vec<Body<'a>> {
        let content_type = self.header("content-type").unwrap_or_default();
        body::parts(content_type, self.body)
    }

    /// The first session description (`application/sdp`, RFC 8866) among the bodies.
    pub fn session_description(&self) -> Option<&'a [u8]> {
        let mut bodies = self.bodies().into_iter();
        bodies.find(Body::is_session_description).map(|body| body.bytes)
    }

    fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |header: &&Header<'_>| header.is(name);
        self.headers.iter().filter(of_name).map(|header| &*header.value)
    }

    fn declared_body(&self) -> Result<&'a [u8], SipError> {
        let Some(declared) = self.header("content-length") else {
            return Ok(self.body);
        };
        let expected: usize = declared
            .parse()
            .ok()
            .filter(|_| header::is_number(declared))
            .ok_or(SipError::Value("Content-Length"))?;
        let found = self.body.len();
        self.body.get(..expected).ok_or(SipError::Short { expected, found })
    }

    fn read_cseq(&self) -> Result<CSeq<'_>, SipError> {
        let value = self.header("cseq").ok_or(SipError::Missing("CSeq"))?;
        let (number, method) = value.split_once([' ', '\t']).ok_or(SipError::Value("CSeq"))?;
        let number = number
            .parse::<u64>()
            .ok()
            .filter(|number| *number < CSEQ_LIMIT)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or(SipError::Value("CSeq"))?;
        let method = method.trim();
        Ok(CSeq { number, method })
    }

    fn check(&self) -> Result<(), SipError> {
        for (name, shown) in [
            ("from", "From"),
            ("to", "To"),
            ("call-id", "Call-ID"),
            ("cseq", "CSeq"),
            ("content-length", "Content-Length"),
        ] {
            let mut values = self.fields(name);
            let first = values.next();
            if first.is_none_or(str::is_empty) && name != "content-length" {
                return Err(SipError::Missing(shown));
            }
            if values.any(|other| Some(other) != first) {
                return Err(SipError::Repeated(shown));
            }
        }
        let cseq = self.read_cseq()?;
        match &self.start {
            StartLine::Request { method, .. } if method != cseq.method => Err(SipError::Method),
            StartLine::Request { .. } | StartLine::Response { .. } => Ok(()),
        }
    }
}

fn read_headers(mut rest: &[u8]) -> Result<(Vec<Header<'_>>, &[u8]), SipError> {
    let mut headers = Vec::new();
    loop {
        // Phones are heard that leave the empty line out, or send the last line half: a BYE is a BYE all the same.
        let (field, after) = header::split_field(rest).unwrap_or_default();
        rest = after;
        if field.is_empty() {
            return Ok((headers, rest));
        }
        if headers.len() == MOST_HEADERS {
            return Err(SipError::Header);
        }
        headers.push(Header::parse(field).ok_or(SipError::Header)?);
    }
}

/// One space and no other stands between the parts (RFC 3261 section 7.1); a second one is no phone's.
fn start_line(line: &[u8]) -> Result<StartLine<'_>, SipError> {
    if let Some(rest) = header::strip_version(line) {
        return status_line(rest).ok_or(SipError::StartLine);
    }
    request_line(line).ok_or(SipError::StartLine)
}

fn status_line(rest: &[u8]) -> Option<StartLine<'_>> {
    let rest = rest.strip_prefix(b" ")?;
    let (code, reason) = rest.split_at_checked(3)?;
    let status = std::str::from_utf8(code).ok()?.parse().ok()?;
    let ended = matches!(reason.first(), None | Some(b' '));
    (ended && (100..700).contains(&status)).then_some(StartLine::Response { status })
}

fn request_line(line: &[u8]) -> Option<StartLine<'_>> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    let whole = words.next().is_none() && header::strip_version(version).is_some_and(<[u8]>::is_empty);
    let readable = header::is_token(method) && uri.contains(&b':') && !uri.starts_with(b"<");
    (whole && readable).then(|| StartLine::Request {
        method: String::from_utf8_lossy(method),
        uri: String::from_utf8_lossy(uri),
    })
}

#[cfg(test)]
mod tests;

//! Bodies of a message: multipart ones (RFC 2046 section 5.1, RFC 5621) are opened.

use super::NameAddr;
use super::header::{Header, split_field};

/// Parts of all multipart bodies of a message together that are read, and how deep in each other.
const MOST_PARTS: usize = 32;
const DEEPEST: usize = 4;

/// One body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body<'a> {
    /// Its media type with parameters, as it stands.
    pub content_type: String,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Body<'_> {
    /// Whether it is a session description.
    pub fn is_session_description(&self) -> bool {
        media_type(&self.content_type).eq_ignore_ascii_case("application/sdp")
    }
}

/// The parts of a body of this type, or the body itself.
pub(super) fn parts<'a>(content_type: &str, bytes: &'a [u8]) -> Vec<Body<'a>> {
    let mut found = Vec::new();
    open(content_type, bytes, DEEPEST, &mut found);
    found
}

fn open<'a>(content_type: &str, bytes: &'a [u8], depth: usize, found: &mut Vec<Body<'a>>) {
    let Some(boundary) = boundary(content_type).filter(|_| depth > 0) else {
        if !bytes.is_empty() && found.len() < MOST_PARTS {
            let content_type = content_type.to_owned();
            found.push(Body { content_type, bytes });
        }
        return;
    };
    let mut rest = after_delimiter(bytes, boundary).map(|(_, rest)| rest);
    while let Some(part) = rest {
        if found.len() >= MOST_PARTS {
            return;
        }
        let Some((part, after)) = after_delimiter(part, boundary) else {
            return;
        };
        open_part(part, depth, found);
        rest = (!after.starts_with(b"--")).then_some(after);
    }
}

fn open_part<'a>(part: &'a [u8], depth: usize, found: &mut Vec<Body<'a>>) {
    // What follows on the delimiter's line is padding.
    let Some(mut rest) = super::header::split_line(part).map(|(_, rest)| rest) else {
        return;
    };
    let mut content_type = String::new();
    while let Some((field, after)) = split_field(rest) {
        rest = after;
        if field.is_empty() {
            return open(&content_type, rest, depth - 1, found);
        }
        if let Some(header) = Header::parse(field).filter(|header| header.is("content-type")) {
            content_type = header.value.into_owned();
        }
    }
}

/// What stands before and after the next delimiter. The line end before it belongs to it.
fn after_delimiter<'a>(bytes: &'a [u8], boundary: &str) -> Option<(&'a [u8], &'a [u8])> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut from = 0;
    loop {
        let at = from + find(bytes.get(from..)?, &delimiter)?;
        let before = bytes.get(..at)?;
        if before.is_empty() || before.ends_with(b"\n") {
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            return Some((before, bytes.get(at + delimiter.len()..)?));
        }
        from = at + 1;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    let is_multipart = kind
        .trim()
        .split_once('/')
        .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case("multipart"));
    let boundary = NameAddr::with_parameters(parameters).parameter("boundary")?;
    (is_multipart && !boundary.is_empty() && boundary.len() <= 70).then_some(boundary)
}

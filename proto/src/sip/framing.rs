//! Where messages begin and end in a byte stream (RFC 3261 section 18.3).

use super::header::{Header, is_number, split_field, split_line, strip_version, without_leading_line_ends};
use super::{SipError, start_line};

/// The largest message taken out of a stream, bytes.
const LARGEST: usize = 65_535;

/// How long the message is that the bytes begin with, or `None` where more must come to know. In a stream a message
/// without a Content-Length has no body.
///
/// # Errors
/// Where no message begins here, or one larger than 65,535 bytes.
pub fn message_length(bytes: &[u8]) -> Result<Option<usize>, SipError> {
    let message = without_leading_line_ends(bytes);
    let incomplete = |error| if bytes.len() < LARGEST { Ok(None) } else { Err(error) };
    let Some((first, mut rest)) = split_line(message) else {
        return incomplete(SipError::StartLine);
    };
    start_line(first)?;
    let mut body = 0;
    loop {
        let Some((field, after)) = split_field(rest) else {
            return incomplete(SipError::Unended);
        };
        rest = after;
        if field.is_empty() {
            break;
        }
        let header = Header::parse(field).ok_or(SipError::Header)?;
        if header.is("content-length") {
            let readable = header.value.parse().ok().filter(|_| is_number(&header.value));
            body = readable.ok_or(SipError::Value("Content-Length"))?;
        }
    }
    let head = bytes.len() - rest.len();
    match head.checked_add(body) {
        Some(length) if length > LARGEST => Err(SipError::Value("Content-Length")),
        Some(length) if length <= bytes.len() => Ok(Some(length)),
        Some(_) => Ok(None),
        None => Err(SipError::Value("Content-Length")),
    }
}

/// Where the next message begins: at the first whole line that is a start line.
pub fn find_start(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some((line, rest)) = bytes.get(at..).and_then(split_line) {
        let begins = strip_version(line).is_some() || line.ends_with(b" SIP/2.0");
        if begins && start_line(line).is_ok() {
            return Some(at);
        }
        at = bytes.len() - rest.len();
    }
    None
}

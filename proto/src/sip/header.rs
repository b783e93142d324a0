//! Header fields (RFC 3261 section 7.3): names with their compact forms, folded lines, lists.

use std::borrow::Cow;

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header<'a> {
    name: Cow<'a, str>,
    /// The value on one line, without white space around it.
    pub value: Cow<'a, str>,
}

/// Compact forms (RFC 3261 section 20, and the RFCs that add a header field).
const COMPACT: [(&str, &str); 19] = [
    ("a", "accept-contact"),
    ("b", "referred-by"),
    ("c", "content-type"),
    ("d", "request-disposition"),
    ("e", "content-encoding"),
    ("f", "from"),
    ("i", "call-id"),
    ("j", "reject-contact"),
    ("k", "supported"),
    ("l", "content-length"),
    ("m", "contact"),
    ("n", "identity-info"),
    ("o", "event"),
    ("r", "refer-to"),
    ("s", "subject"),
    ("t", "to"),
    ("u", "allow-events"),
    ("v", "via"),
    ("x", "session-expires"),
];

impl<'a> Header<'a> {
    /// Reads a field that may be folded.
    pub(super) fn parse(field: &'a [u8]) -> Option<Self> {
        let colon = field.iter().position(|byte| *byte == b':')?;
        let (name, value) = field.split_at_checked(colon)?;
        let name = name.trim_ascii_end();
        if !is_token(name) {
            return None;
        }
        let value = value.get(1..).unwrap_or_default();
        Some(Self {
            name: String::from_utf8_lossy(name),
            value: unfold(value),
        })
    }

    /// Whether this is the field of that long name in lower case.
    pub(super) fn is(&self, long: &str) -> bool {
        self.name.eq_ignore_ascii_case(long)
            || (self.name.len() == 1
                && COMPACT
                    .iter()
                    .any(|(compact, name)| *name == long && self.name.eq_ignore_ascii_case(compact)))
    }
}

/// A folded value on one line: each line end with the white space after it becomes one space.
fn unfold(value: &[u8]) -> Cow<'_, str> {
    if !value.contains(&b'\n') {
        return String::from_utf8_lossy(value.trim_ascii());
    }
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let joined = lines.collect::<Vec<_>>().join(&b' ');
    Cow::Owned(String::from_utf8_lossy(joined.trim_ascii()).into_owned())
}

/// The bytes up to the end of the line, and those after it. Lines end with CR LF; a bare LF is taken too.
pub(super) fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some((line, rest.get(1..).unwrap_or_default()))
}

/// The lines of a header field: the first, and those after it that begin with white space.
pub(super) fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, mut rest) = split_line(bytes)?;
    if first.is_empty() {
        return Some((first, rest));
    }
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        rest = split_line(rest)?.1;
    }
    let field = bytes.get(..bytes.len() - rest.len())?;
    Some((field, rest))
}

/// Line ends before a message are no part of it (RFC 3261 section 7.5).
pub(super) fn without_leading_line_ends(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    start.and_then(|start| bytes.get(start..)).unwrap_or_default()
}

/// What follows `SIP/2.0`.
pub(super) fn strip_version(bytes: &[u8]) -> Option<&[u8]> {
    let (version, rest) = bytes.split_at_checked(7)?;
    version.eq_ignore_ascii_case(b"SIP/2.0").then_some(rest)
}

/// A token (RFC 3261 section 25.1).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(allowed)
}

/// Digits and nothing else.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The values of a list: commas inside of quotes or angle brackets don't part them.
pub(super) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = outside_quotes(text, ',');
        rest = end.and_then(|end| text.get(end + 1..));
        Some(end.and_then(|end| text.get(..end)).unwrap_or(text).trim())
    })
    .filter(|value| !value.is_empty())
}

/// Where `wanted` first stands outside of quotes and angle brackets.
pub(super) fn outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            other if other == wanted && !bracketed => return Some(at),
            '<' => bracketed = true,
            '>' => bracketed = false,
            _ => {}
        }
    }
    None
}

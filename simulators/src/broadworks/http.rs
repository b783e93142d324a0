//! HTTP/1.1 as a server (RFC 9112): requests with Content-Length or without body, and answers.

use std::fmt::Write;

/// How long head and body of a request may be together.
const LIMIT: usize = 256 << 10;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub method: String,
    /// Its segments, percent decoded.
    pub path: Vec<String>,
    pub authorization: Option<String>,
    pub cookie: Option<String>,
    pub body: String,
}

/// A stream that isn't made of requests, with the status that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad(pub u16);

/// Cuts requests out of a stream.
#[derive(Debug, Default)]
pub(super) struct Framer(Vec<u8>);

impl Framer {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub fn next(&mut self) -> Result<Option<Request>, Bad> {
        let Some(end) = self.0.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return if self.0.len() > LIMIT { Err(Bad(431)) } else { Ok(None) };
        };
        let head = String::from_utf8(self.0[..end].to_vec()).map_err(|_| Bad(400))?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(_)) = (first.next(), first.next(), first.next()) else {
            return Err(Bad(400));
        };
        let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim().to_owned())
        };
        if header("Transfer-Encoding").is_some() {
            return Err(Bad(411));
        }
        let length = header("Content-Length").map_or(Ok(0), |text| text.parse::<usize>().map_err(|_| Bad(400)))?;
        if length > LIMIT {
            return Err(Bad(413));
        }
        let whole = end + 4 + length;
        let Some(body) = self.0.get(end + 4..whole) else {
            return Ok(None);
        };
        let request = Request {
            method: method.to_owned(),
            path: segments(target),
            authorization: header("Authorization"),
            cookie: header("Cookie"),
            body: String::from_utf8_lossy(body).into_owned(),
        };
        self.0.drain(..whole);
        Ok(Some(request))
    }
}

fn segments(target: &str) -> Vec<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect()
}

fn decode(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| behind.get(..2)).flatten();
        let digits = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer with its whole body.
pub(super) fn answer(status: u16, cookie: Option<&str>, body: &str) -> Vec<u8> {
    let mut head = head(status, cookie);
    // Writing to a String can't fail.
    let _ = write!(head, "Content-Length: {}\r\n\r\n{body}", body.len());
    head.into_bytes()
}

/// The head of an answer whose body comes in chunks and never ends.
pub(super) fn stream(cookie: Option<&str>) -> Vec<u8> {
    (head(200, cookie) + "Transfer-Encoding: chunked\r\n\r\n").into_bytes()
}

fn head(status: u16, cookie: Option<&str>) -> String {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: text/xml;charset=UTF-8\r\n",
        reason(status)
    );
    if status == 401 {
        head.push_str("WWW-Authenticate: Basic realm=\"BWS Authentication\"\r\n");
    }
    if let Some(cookie) = cookie {
        let _ = write!(
            head,
            "Set-Cookie: JSESSIONID={cookie}; Path=/com.broadsoft.xsi-events; HttpOnly\r\n"
        );
    }
    head
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// One chunk of a body.
pub(super) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(bytes);
    chunk.extend(b"\r\n");
    chunk
}

/// The chunk that ends a body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What a client with this user and password sends as Authorization (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4usize {
            let index = (bits >> (18 - 6 * place)) & 63;
            let digit = char::from(ALPHABET[index as usize]);
            text.push(if place <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_in_whatever_portions() {
        let text = b"PUT /a/user/3001%40example.com?x=y HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n";
        for cut in 1..text.len() {
            let mut framer = Framer::default();
            let mut seen = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                framer.push(part);
                while let Some(request) = framer.next().expect("requests") {
                    seen.push(request);
                }
            }
            assert_eq!(seen.len(), 2, "cut at {cut}");
            assert_eq!(seen[0].path, ["a", "user", "3001@example.com"]);
            assert_eq!((seen[0].body.as_str(), seen[1].method.as_str()), ("body", "GET"));
        }
        let mut framer = Framer::default();
        framer.push(b"nonsense\r\n\r\n");
        assert_eq!(framer.next(), Err(Bad(400)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic_the_framer(head in "[A-Z /%0-9a-f:\r\n]{0,80}", bytes: Vec<u8>) {
            let mut framer = Framer::default();
            framer.push(head.as_bytes());
            framer.push(b"\r\n\r\n");
            framer.push(&bytes);
            while let Ok(Some(_)) = framer.next() {}
        }
    }

    #[test]
    fn basic_authentication_is_that_of_the_rfc() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(base64(b"ab"), "YWI=");
    }

    #[test]
    fn a_chunk_says_its_length() {
        // The first chunk of the sheet's real trace has 181 bytes.
        assert!(chunk(&[b'x'; 181]).starts_with(b"b5\r\nx"));
    }
}

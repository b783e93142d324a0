//! Session descriptions (RFC 8866): where media are received, in which codecs, whether encrypted, and which way.
//!
//! Lines that aren't needed, or can't be read, are passed over: a description that is partly odd still tells the rest.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::codec::Codec;
use crate::ids::PayloadType;

mod media;

pub use media::{Direction, MediaDescription, MediaKind, MediaProtocol, RtpMap};

/// Most media descriptions, and most payload types of each, that are read.
const MOST_MEDIA: usize = 16;
const MOST_FORMATS: usize = 64;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionDescription {
    /// Its media descriptions, in their order.
    pub media: Vec<MediaDescription>,
}

impl SessionDescription {
    /// Reads a body of type `application/sdp`. Text without a media description gives an empty one.
    pub fn parse(bytes: &[u8]) -> Self {
        find_in(&String::from_utf8_lossy(bytes)).next().unwrap_or_default()
    }
}

/// The session descriptions in a text, each beginning with its `v=` line, whatever stands around them (SIP, MGCP, SAP,
/// RTSP).
pub fn find_in(text: &str) -> impl Iterator<Item = SessionDescription> {
    let mut lines = text.lines().map(str::trim).peekable();
    std::iter::from_fn(move || {
        lines.find(|line| line.starts_with("v="))?;
        let mut session = Reader::default();
        while let Some(line) = lines.next_if(|line| !line.starts_with("v=")) {
            session.line(line);
        }
        Some(session.finish())
    })
}

/// What was read so far. Values of the session stand for each of its media that has none of its own.
#[derive(Debug, Default)]
struct Reader {
    connection: Option<IpAddr>,
    direction: Option<Direction>,
    fingerprint: bool,
    media: Vec<MediaDescription>,
    /// Whether a media description was left out, so that its lines aren't taken for the last one's.
    skipping: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let Some((kind, value)) = line.split_once('=') else {
            return;
        };
        match kind {
            "m" => self.media_line(value),
            _ if self.skipping => {}
            "c" => {
                let connection = connection_address(value);
                match self.media.last_mut() {
                    Some(media) => media.connection = connection,
                    None => self.connection = connection,
                }
            }
            "a" => self.attribute(value),
            _ => {}
        }
    }

    fn media_line(&mut self, value: &str) {
        let media = MediaDescription::parse(value, self.connection).filter(|_| self.media.len() < MOST_MEDIA);
        self.skipping = media.is_none();
        self.media.extend(media);
    }

    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let Some(media) = self.media.last_mut() else {
            self.direction = Direction::parse(name).or(self.direction);
            self.fingerprint |= name == "fingerprint";
            return;
        };
        media.attribute(name, value);
    }

    fn finish(mut self) -> SessionDescription {
        for media in &mut self.media {
            media.inherit(self.direction, self.fingerprint);
        }
        SessionDescription { media: self.media }
    }
}

/// `IN IP4 224.2.36.42/127` (RFC 8866 section 5.7); addresses given by name are looked up by nobody here.
fn connection_address(value: &str) -> Option<IpAddr> {
    let mut words = value.split_ascii_whitespace();
    let ("IN", "IP4" | "IP6", address) = (words.next()?, words.next()?, words.next()?) else {
        return None;
    };
    address.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests;

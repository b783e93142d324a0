//! What SDP bodies on the same mirror announce (RFC 8866): where media are received, with which payload types, or that
//! a port was turned over to T.38. Only the lines needed are read, in whatever protocol carries them.

use std::net::{IpAddr, SocketAddr};

use foldhash::{HashMap, HashMapExt};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::PayloadType;

/// Most addresses remembered; beyond it, nothing new is learnt.
const MOST: usize = 65_536;
/// RTP to a T.38 port that goes on for this many packets shows that the change was refused or undone: 1 s at 20 ms.
const UNDONE_AFTER: u8 = 50;
const MOST_CODECS: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Rtp,
    Udptl { rtp_packets: u8 },
}

#[derive(Debug, Clone)]
struct Announcement {
    transport: Transport,
    codecs: [(PayloadType, Codec); MOST_CODECS],
    known: usize,
}

/// The media addresses that signalling announced as destinations.
#[derive(Debug, Default)]
pub struct Announcements {
    by_destination: HashMap<SocketAddr, Announcement>,
    any_udptl: bool,
}

impl Announcements {
    /// Nothing announced yet.
    pub fn new() -> Self {
        Self {
            by_destination: HashMap::new(),
            any_udptl: false,
        }
    }

    /// Reads the session descriptions in a datagram, if there are any.
    pub fn handle(&mut self, payload: &[u8]) {
        if !payload.first().is_some_and(u8::is_ascii_graphic) {
            return;
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return;
        };
        if text.contains("m=") && text.contains("c=") {
            self.read(text);
        }
    }

    /// Whether media are expected at an address.
    pub fn expects_rtp(&self, destination: SocketAddr) -> bool {
        self.by_destination
            .get(&destination)
            .is_some_and(|announcement| announcement.transport == Transport::Rtp)
    }

    /// Whether a datagram to an address is T.38 although it looks like RTP.
    pub fn is_udptl(&mut self, destination: SocketAddr) -> bool {
        if !self.any_udptl {
            return false;
        }
        let Some(announcement) = self.by_destination.get_mut(&destination) else {
            return false;
        };
        match &mut announcement.transport {
            Transport::Rtp => false,
            Transport::Udptl { rtp_packets } if *rtp_packets < UNDONE_AFTER => {
                *rtp_packets += 1;
                true
            }
            Transport::Udptl { .. } => {
                announcement.transport = Transport::Rtp;
                false
            }
        }
    }

    /// The codec agreed upon for a payload type towards an address.
    pub fn codec(&self, destination: SocketAddr, payload_type: PayloadType) -> Option<Codec> {
        let announcement = self.by_destination.get(&destination)?;
        let known = announcement.codecs.get(..announcement.known)?;
        let (_, codec) = known.iter().find(|(known, _)| *known == payload_type)?;
        Some(*codec)
    }

    fn read(&mut self, text: &str) {
        let mut session = None;
        let mut media: Option<(SocketAddr, Announcement)> = None;
        let mut pending: Option<(u16, Transport)> = None;
        for line in text.lines().map(str::trim) {
            if line.starts_with("v=") {
                self.finish(media.take());
                (session, pending) = (None, None);
            } else if let Some(connection) = line.strip_prefix("c=") {
                let address = connection_address(connection);
                match pending.zip(address) {
                    Some(((port, transport), ip)) => {
                        media = Some(replaced(media.take(), SocketAddr::new(ip, port), transport));
                    }
                    None => session = address,
                }
            } else if let Some(description) = line.strip_prefix("m=") {
                self.finish(media.take());
                pending = media_line(description);
                media = pending
                    .zip(session)
                    .map(|((port, transport), ip)| (SocketAddr::new(ip, port), Announcement::new(transport)));
            } else if let (Some(map), Some((_, announcement))) = (line.strip_prefix("a=rtpmap:"), media.as_mut()) {
                announcement.note(map);
            }
        }
        self.finish(media);
    }

    fn finish(&mut self, media: Option<(SocketAddr, Announcement)>) {
        let Some((destination, announcement)) = media else {
            return;
        };
        if self.by_destination.len() < MOST || self.by_destination.contains_key(&destination) {
            self.any_udptl |= announcement.transport != Transport::Rtp;
            self.by_destination.insert(destination, announcement);
        }
    }
}

/// A media description gets its own connection address after its `m=` line.
fn replaced(
    media: Option<(SocketAddr, Announcement)>,
    destination: SocketAddr,
    transport: Transport,
) -> (SocketAddr, Announcement) {
    let announcement = media.map_or_else(|| Announcement::new(transport), |(_, announcement)| announcement);
    (destination, announcement)
}

impl Announcement {
    const fn new(transport: Transport) -> Self {
        Self {
            transport,
            codecs: [(PayloadType(0), Codec::Unknown); MOST_CODECS],
            known: 0,
        }
    }

    fn note(&mut self, map: &str) {
        let Some((number, encoding)) = map.split_once(' ') else {
            return;
        };
        let (Ok(number), Some(codec)) = (number.parse(), Codec::from_encoding(encoding)) else {
            return;
        };
        if let Some(place) = self.codecs.get_mut(self.known) {
            *place = (PayloadType(number), codec);
            self.known += 1;
        }
    }
}

/// `IN IP4 10.1.1.20` or `IN IP6 2001:db8::1`.
fn connection_address(connection: &str) -> Option<IpAddr> {
    let address = connection.split_ascii_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

/// `audio 5002 RTP/AVP 8 101` or `image 5002 udptl t38`; a port of 0 is a refusal.
fn media_line(description: &str) -> Option<(u16, Transport)> {
    let mut words = description.split_ascii_whitespace();
    let (_media, port, protocol) = (words.next()?, words.next()?, words.next()?);
    let port = port.split('/').next()?.parse().ok().filter(|&port| port != 0)?;
    let transport = if protocol.eq_ignore_ascii_case("udptl") {
        Transport::Udptl { rtp_packets: 0 }
    } else {
        Transport::Rtp
    };
    Some((port, transport))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn heard(text: &str) -> Announcements {
        let mut announcements = Announcements::new();
        announcements.handle(text.as_bytes());
        announcements
    }

    const OFFER: &str = "INVITE sip:a@b SIP/2.0\r\n\r\nv=0\r\no=- 1 1 IN IP4 10.0.0.9\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
        m=audio 5000 RTP/AVP 8 97\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\n\
        m=video 5002 RTP/AVP 34\r\nc=IN IP4 10.0.0.2\r\n";

    #[test]
    fn learns_where_media_are_expected_and_what_dynamic_payload_types_mean() {
        let announcements = heard(OFFER);
        assert!(announcements.expects_rtp(address("10.0.0.1:5000")));
        assert!(announcements.expects_rtp(address("10.0.0.2:5002")));
        assert!(!announcements.expects_rtp(address("10.0.0.1:5002")));
        assert_eq!(
            announcements.codec(address("10.0.0.1:5000"), PayloadType(97)),
            Some(Codec::TelephoneEvent)
        );
        assert_eq!(announcements.codec(address("10.0.0.1:5000"), PayloadType(101)), None);
    }

    #[test]
    fn a_port_turned_over_to_t38_carries_no_rtp_until_the_signalling_or_the_wire_says_so() {
        let fax = "v=0\r\nc=IN IP4 10.0.0.1\r\nm=image 5000 udptl t38\r\n";
        let mut announcements = heard(fax);
        assert!(announcements.is_udptl(address("10.0.0.1:5000")));
        assert!(!announcements.is_udptl(address("10.0.0.1:5002")));
        announcements.handle(OFFER.as_bytes());
        assert!(!announcements.is_udptl(address("10.0.0.1:5000")));
        announcements.handle(fax.as_bytes());
        let refused = (0..200)
            .filter(|_| announcements.is_udptl(address("10.0.0.1:5000")))
            .count();
        assert_eq!(refused, 50);
    }

    #[test]
    fn a_refused_or_unreadable_media_line_announces_nothing() {
        for text in [
            "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 8\r\n",
            "v=0\r\nc=IN IP4 $\r\nm=audio 5000 RTP/AVP 8\r\n",
            "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio $ RTP/AVP 8\r\n",
        ] {
            assert!(heard(text).by_destination.is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[vcma=: /0-9IPRTN.\r\n]{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut announcements = heard(&text);
            announcements.handle(&bytes);
        }
    }
}

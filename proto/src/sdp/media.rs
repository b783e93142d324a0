//! One media description: `m=` and the lines below it.

use super::{Codec, Duration, IpAddr, MOST_FORMATS, PayloadType, SocketAddr};

/// What a medium is (RFC 8866 section 5.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Speech.
    Audio,
    /// Pictures that move.
    Video,
    /// Fax (T.38).
    Image,
    /// Text, application, message and their like.
    Other,
}

/// How a medium is carried (RFC 8866 section 5.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaProtocol {
    /// RTP in the clear: `RTP/AVP`, `RTP/AVPF`.
    Rtp,
    /// RTP that is encrypted: `RTP/SAVP`, `RTP/SAVPF`, `UDP/TLS/RTP/SAVPF`.
    Srtp,
    /// Fax over UDPTL (ITU-T T.38).
    Udptl,
    /// Anything else.
    Other,
}

/// Which way media go, seen from who wrote the description (RFC 8866 section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendReceive,
    /// He sends and doesn't listen: on hold, with music.
    SendOnly,
    /// He listens and doesn't send.
    ReceiveOnly,
    /// Neither: on hold.
    Inactive,
}

/// What a payload type stands for (RFC 8866 section 6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// The payload type.
    pub payload_type: PayloadType,
    /// The encoding name, as it stands.
    pub encoding: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// Channels; 1 where none are told.
    pub channels: u8,
}

/// One media description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// What it is.
    pub kind: MediaKind,
    /// Where it is received: port 0 refuses the medium.
    pub port: u16,
    /// How it is carried.
    pub protocol: MediaProtocol,
    /// Where it is received: the medium's own address, else the session's.
    pub connection: Option<IpAddr>,
    /// Payload types in the order of preference.
    pub formats: Vec<PayloadType>,
    /// What the dynamic ones stand for.
    pub rtp_maps: Vec<RtpMap>,
    /// Format parameters (`a=fmtp`), as they stand.
    pub format_parameters: Vec<(PayloadType, String)>,
    /// Which way media go.
    pub direction: Direction,
    /// Audio in one packet (`a=ptime`).
    pub packet_time: Option<Duration>,
    /// Whether keys are offered: `a=crypto` (RFC 4568), `a=fingerprint` (RFC 8122).
    pub keyed: bool,
    direction_told: bool,
}

impl Direction {
    /// Reads an attribute's name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Self::SendReceive),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::ReceiveOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::SendOnly)
    }

    /// Whether the writer listens.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::ReceiveOnly)
    }
}

impl MediaDescription {
    /// Reads `audio 49170/2 RTP/AVP 0 8 97`.
    pub(super) fn parse(value: &str, connection: Option<IpAddr>) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (kind, port, protocol) = (words.next()?, words.next()?, words.next()?);
        let formats = words.filter_map(|word| word.parse().ok().filter(|number| *number < 128));
        Some(Self {
            kind: match kind {
                "audio" => MediaKind::Audio,
                "video" => MediaKind::Video,
                "image" => MediaKind::Image,
                _ => MediaKind::Other,
            },
            port: port.split('/').next()?.parse().ok()?,
            protocol: media_protocol(protocol),
            connection,
            formats: formats.map(PayloadType).take(MOST_FORMATS).collect(),
            rtp_maps: Vec::new(),
            format_parameters: Vec::new(),
            direction: Direction::default(),
            packet_time: None,
            keyed: false,
            direction_told: false,
        })
    }

    pub(super) fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "rtpmap" if self.rtp_maps.len() < MOST_FORMATS => self.rtp_maps.extend(RtpMap::parse(value)),
            "fmtp" if self.format_parameters.len() < MOST_FORMATS => {
                let parameters = value.split_once(' ').and_then(|(number, parameters)| {
                    let number = number.parse().ok()?;
                    Some((PayloadType(number), parameters.trim().to_owned()))
                });
                self.format_parameters.extend(parameters);
            }
            "ptime" => {
                let milliseconds = value.trim().parse::<f32>().ok();
                let readable = milliseconds.filter(|time| (0.0..=10_000.0).contains(time));
                self.packet_time = readable.map(|time| Duration::from_secs_f32(time / 1000.0));
            }
            "crypto" | "fingerprint" => self.keyed = true,
            _ => {
                if let Some(direction) = Direction::parse(name) {
                    self.direction = direction;
                    self.direction_told = true;
                }
            }
        }
    }

    pub(super) fn inherit(&mut self, direction: Option<Direction>, fingerprint: bool) {
        if let (Some(direction), false) = (direction, self.direction_told) {
            self.direction = direction;
        }
        self.keyed |= fingerprint;
    }

    /// Where the writer receives this medium; `None` where he refuses it (port 0), told no address, or `0.0.0.0`, which
    /// is hold in the old way (RFC 3264 section 8.4).
    pub fn address(&self) -> Option<SocketAddr> {
        let ip = self
            .connection
            .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())?;
        (self.port != 0).then(|| SocketAddr::new(ip, self.port))
    }

    /// Whether what is sent to the writer is encrypted, as far as he decides it.
    pub const fn is_encrypted(&self) -> bool {
        self.keyed || matches!(self.protocol, MediaProtocol::Srtp)
    }

    /// Whether it is speech over RTP.
    pub const fn is_speech(&self) -> bool {
        matches!(self.kind, MediaKind::Audio) && matches!(self.protocol, MediaProtocol::Rtp | MediaProtocol::Srtp)
    }

    /// The encoding name of a payload type: as described, else the static one's (RFC 3551).
    pub fn encoding(&self, payload_type: PayloadType) -> Option<&str> {
        let described = self.rtp_maps.iter().find(|map| map.payload_type == payload_type);
        described
            .map(|map| map.encoding.as_str())
            .or_else(|| match Codec::from_static_payload_type(payload_type) {
                Codec::Unknown => None,
                known => Some(known.name()),
            })
    }
}

impl RtpMap {
    /// Reads `97 iLBC/8000`.
    fn parse(value: &str) -> Option<Self> {
        let (number, encoding) = value.split_once(' ')?;
        let mut parts = encoding.trim().split('/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        Some(Self {
            payload_type: PayloadType(number.parse().ok().filter(|number| *number < 128)?),
            encoding: name.to_owned(),
            clock_rate: parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(8000),
            channels: parts.next().and_then(|count| count.parse().ok()).unwrap_or(1),
        })
    }

    /// The codec, where this program knows it.
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_rtpmap(&self.encoding, Some(self.clock_rate), self.channels)
    }
}

fn media_protocol(text: &str) -> MediaProtocol {
    let upper = text.to_ascii_uppercase();
    match upper.rsplit('/').next() {
        Some("SAVP" | "SAVPF") => MediaProtocol::Srtp,
        Some("AVP" | "AVPF") if upper.contains("RTP") => MediaProtocol::Rtp,
        Some("UDPTL") => MediaProtocol::Udptl,
        _ => MediaProtocol::Other,
    }
}

//! What the payload of an RTP packet is: speech, comfort noise or a telephone event (RFC 4733).
//!
//! What a payload type stands for is known from the CTI source, which names the call's codec, from a session
//! description, which says it of each payload type, and from RFC 3551's table, in that order ([`Told`]). A dynamic one
//! is known to carry events when the description says so, or by the shape and the course of its payloads; never by its
//! number, 101 or other.

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::{PayloadType, RtpTimestamp};
use silentmon_proto::telephone_event::TelephoneEvent;

/// The lowest payload type without a meaning of its own (RFC 3551 section 6).
const FIRST_DYNAMIC: u8 = 96;

/// Events that one packet may pack (RFC 4733 section 2.5.1.5) to be taken for events without a description.
const MOST_PACKED: usize = 8;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// Sound of this codec.
    Speech(Codec),
    /// Comfort noise (RFC 3389): a description of silence.
    ComfortNoise,
    /// A named telephone event (RFC 4733), such as a DTMF digit: never forwarded.
    TelephoneEvent(TelephoneEvent),
    /// A dynamic payload type that nobody described.
    Unknown,
}

impl PayloadKind {
    /// The codec, as far as known.
    pub const fn codec(self) -> Codec {
        match self {
            Self::Speech(codec) => codec,
            Self::ComfortNoise => Codec::Cn,
            Self::TelephoneEvent(_) => Codec::TelephoneEvent,
            Self::Unknown => Codec::Unknown,
        }
    }
}

/// What others than the packets say of a payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// The codec of the call, as a CTI source names it: whatever its payload type is.
    pub named: Option<Codec>,
    /// The codec of this payload type, as a session description has it.
    pub described: Option<Codec>,
}

impl Told {
    /// What a payload type certainly is. A codec that has a static payload type, or one beside events and comfort
    /// noise, isn't what a description of another one means.
    fn codec_of(self, payload_type: PayloadType) -> Option<Codec> {
        let assigned = Codec::from_static_payload_type(payload_type);
        let named = self
            .named
            .filter(|codec| codec.is_dynamic() && assigned == Codec::Unknown);
        match self.described {
            Some(described) if described.is_speech() => named.or(Some(described)),
            Some(described) => Some(described),
            None => Some(assigned).filter(|codec| *codec != Codec::Unknown),
        }
    }
}

/// What is known of one payload type of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPayloadType {
    /// The payload type.
    pub payload_type: PayloadType,
    /// Packets of it, copies included.
    pub packets: u64,
    nature: Nature,
    named: Option<Codec>,
    event: u8,
    duration: u16,
    timestamp: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// A static type, or one that was described.
    Known(Codec),
    /// Dynamic, and every payload so far was shaped like an event.
    LikeEvents,
    /// Dynamic, and two payloads in succession were one event going on.
    Events,
    /// Dynamic, and no events: what the CTI source names, if it does.
    Other,
}

impl SeenPayloadType {
    /// A payload type seen for the first time.
    pub fn new(payload_type: PayloadType, told: Told) -> Self {
        let nature = match told.codec_of(payload_type) {
            Some(codec) => Nature::Known(codec),
            None if payload_type.0 >= FIRST_DYNAMIC => Nature::LikeEvents,
            None => Nature::Other,
        };
        Self {
            payload_type,
            packets: 0,
            nature,
            named: told.named,
            event: 0,
            duration: 0,
            timestamp: 0,
        }
    }

    /// The codec, as far as known.
    pub fn codec(&self) -> Codec {
        match self.nature {
            Nature::Known(codec) => codec,
            Nature::Events => Codec::TelephoneEvent,
            Nature::LikeEvents => Codec::Unknown,
            Nature::Other => self.otherwise(),
        }
    }

    fn otherwise(&self) -> Codec {
        self.named.unwrap_or(Codec::Unknown)
    }

    /// Takes the next payload of this type, with what is said of the type by now, and says what it is.
    pub fn handle(&mut self, payload: &[u8], timestamp: RtpTimestamp, told: Told) -> PayloadKind {
        self.packets += 1;
        self.named = told.named.or(self.named);
        if told.described.is_some() {
            self.nature = told.codec_of(self.payload_type).map_or(self.nature, Nature::Known);
        }
        match self.nature {
            Nature::Known(codec) => Self::kind_of(codec, payload),
            Nature::LikeEvents | Nature::Events => self.follow_event(payload, timestamp),
            Nature::Other => Self::kind_of(self.otherwise(), payload),
        }
    }

    fn kind_of(codec: Codec, payload: &[u8]) -> PayloadKind {
        match codec {
            Codec::Cn => PayloadKind::ComfortNoise,
            Codec::TelephoneEvent => {
                TelephoneEvent::parse(payload).map_or(PayloadKind::Unknown, PayloadKind::TelephoneEvent)
            }
            Codec::Unknown => PayloadKind::Unknown,
            _ => PayloadKind::Speech(codec),
        }
    }

    /// Events keep their timestamp while their duration rises (RFC 4733 section 2.5.1.2). One shaped like an event is
    /// taken for one at once: a digit must not get through before it is certain.
    fn follow_event(&mut self, payload: &[u8], timestamp: RtpTimestamp) -> PayloadKind {
        let most = if self.nature == Nature::Events { MOST_PACKED } else { 1 };
        let shaped = TelephoneEvent::parse(payload).filter(|_| payload.len() <= most * TelephoneEvent::LENGTH);
        let Some(event) = shaped else {
            self.nature = Nature::Other;
            return Self::kind_of(self.otherwise(), payload);
        };
        let goes_on = self.packets > 1 && self.timestamp == timestamp.0;
        if goes_on && event.event != self.event && self.nature == Nature::LikeEvents {
            self.nature = Nature::Other;
            return Self::kind_of(self.otherwise(), payload);
        }
        if goes_on && event.duration >= self.duration {
            self.nature = Nature::Events;
        }
        self.timestamp = timestamp.0;
        self.event = event.event;
        self.duration = event.duration;
        PayloadKind::TelephoneEvent(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dynamic() -> SeenPayloadType {
        SeenPayloadType::new(PayloadType(101), Told::default())
    }

    fn digit(event: u8, flags: u8, duration: u16) -> [u8; 4] {
        let [d0, d1] = duration.to_be_bytes();
        [event, flags, d0, d1]
    }

    #[test]
    fn events_are_recognised_by_their_course_and_held_from_the_first_packet() {
        let mut seen = dynamic();
        let first = seen.handle(&digit(5, 10, 160), RtpTimestamp(800), Told::default());
        assert!(matches!(first, PayloadKind::TelephoneEvent(event) if event.event == 5));
        assert_eq!(seen.codec(), Codec::Unknown);
        seen.handle(&digit(5, 10, 320), RtpTimestamp(800), Told::default());
        assert_eq!(seen.codec(), Codec::TelephoneEvent);
        seen.handle(&digit(6, 10, 160), RtpTimestamp(2000), Told::default());
        assert_eq!(seen.codec(), Codec::TelephoneEvent);
    }

    #[test]
    fn packed_events_are_held_too_once_the_type_is_known() {
        let mut seen = dynamic();
        seen.handle(&digit(5, 10, 160), RtpTimestamp(800), Told::default());
        seen.handle(&digit(5, 10, 320), RtpTimestamp(800), Told::default());
        let packed = [digit(5, 0x8a, 480), digit(6, 10, 160)].concat();
        let kind = seen.handle(&packed, RtpTimestamp(800), Told::default());
        assert_eq!(kind.codec(), Codec::TelephoneEvent);
    }

    #[test]
    fn payload_type_101_with_speech_in_it_is_no_event() {
        let mut seen = dynamic();
        assert_eq!(
            seen.handle(&[0x55; 160], RtpTimestamp(0), Told::default()),
            PayloadKind::Unknown
        );
        assert_eq!(
            seen.handle(&digit(5, 10, 160), RtpTimestamp(160), Told::default()),
            PayloadKind::Unknown
        );
    }

    #[test]
    fn another_event_under_the_same_timestamp_is_no_event() {
        let mut seen = dynamic();
        seen.handle(&digit(5, 10, 160), RtpTimestamp(0), Told::default());
        assert_eq!(
            seen.handle(&digit(77, 33, 9), RtpTimestamp(0), Told::default()),
            PayloadKind::Unknown
        );
        assert_eq!(seen.codec(), Codec::Unknown);
    }

    fn described(codec: Codec) -> Told {
        Told {
            described: Some(codec),
            named: None,
        }
    }

    fn named(codec: Codec) -> Told {
        Told {
            named: Some(codec),
            described: None,
        }
    }

    /// What a payload of 40 bytes counts as.
    fn kind(number: u8, told: Told) -> Codec {
        let mut seen = SeenPayloadType::new(PayloadType(number), told);
        seen.handle(&[7; 40], RtpTimestamp(0), told).codec()
    }

    #[test]
    fn the_cti_source_goes_before_the_description_and_that_before_the_table() {
        let both = |named, described| Told {
            named: Some(named),
            described: Some(described),
        };
        assert_eq!(kind(96, both(Codec::Opus, Codec::Ilbc)), Codec::Opus);
        assert_eq!(kind(96, described(Codec::Ilbc)), Codec::Ilbc);
        assert_eq!(kind(96, named(Codec::Pcmu)), Codec::Pcmu);
        assert_eq!(kind(25, named(Codec::L16At16000)), Codec::L16At16000);
        assert_eq!(kind(8, described(Codec::G722)), Codec::G722);
        assert_eq!(kind(8, Told::default()), Codec::Pcma);
    }

    #[test]
    fn a_named_codec_means_no_payload_type_that_is_certainly_another() {
        let both = |named, described| Told {
            named: Some(named),
            described: Some(described),
        };
        assert_eq!(kind(8, named(Codec::Opus)), Codec::Pcma);
        assert_eq!(kind(96, both(Codec::Pcmu, Codec::Opus)), Codec::Opus);
        assert_eq!(kind(13, both(Codec::Opus, Codec::Cn)), Codec::Cn);
    }

    #[test]
    fn a_digit_is_one_whatever_codec_is_named() {
        let mut seen = SeenPayloadType::new(PayloadType(101), named(Codec::Pcmu));
        let first = seen.handle(&digit(5, 10, 160), RtpTimestamp(0), named(Codec::Pcmu));
        assert!(matches!(first, PayloadKind::TelephoneEvent(_)));
    }

    #[test]
    fn what_is_told_late_counts_from_then_on() {
        let mut seen = dynamic();
        let mut next = |told| seen.handle(&[7; 40], RtpTimestamp(0), told);
        assert_eq!(next(Told::default()), PayloadKind::Unknown);
        assert_eq!(next(named(Codec::Opus)), PayloadKind::Speech(Codec::Opus));
        assert_eq!(next(Told::default()), PayloadKind::Speech(Codec::Opus));
        assert_eq!(next(described(Codec::Ilbc)), PayloadKind::Speech(Codec::Ilbc));
    }

    #[test]
    fn the_signalling_has_the_first_word() {
        let mut speech = SeenPayloadType::new(PayloadType(101), described(Codec::G722));
        assert_eq!(
            speech.handle(&digit(1, 10, 160), RtpTimestamp(0), described(Codec::G722)),
            PayloadKind::Speech(Codec::G722)
        );
        let mut events = SeenPayloadType::new(PayloadType(96), described(Codec::TelephoneEvent));
        events.handle(&digit(1, 10, 160), RtpTimestamp(0), Told::default());
        assert_eq!(events.codec(), Codec::TelephoneEvent);
    }

    #[test]
    fn both_comfort_noise_types_are_silence_and_an_unassigned_type_is_unknown() {
        for number in [13, 19] {
            let mut seen = SeenPayloadType::new(PayloadType(number), Told::default());
            assert_eq!(
                seen.handle(&[60], RtpTimestamp(0), Told::default()),
                PayloadKind::ComfortNoise
            );
        }
        let mut seen = SeenPayloadType::new(PayloadType(23), Told::default());
        assert_eq!(
            seen.handle(&digit(1, 10, 160), RtpTimestamp(0), Told::default()),
            PayloadKind::Unknown
        );
    }
}
